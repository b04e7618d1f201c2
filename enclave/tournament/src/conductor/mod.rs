//! The driver: one set of rules for the referee that makes a record and for whoever replays it.
//!
//! Every accepted input appends its leaf, and with it the leaves that follow from it. Inputs are
//! idempotent: the same order outcome twice is one leaf.

mod finish;
mod open;
mod view;
mod work;

use std::collections::{BTreeMap, BTreeSet};

use crate::boss::{Boss, Decided};
use crate::draw::{DrawCommitment, DrawSeed};
use crate::entries::{Cancelled, Entries, Entry};
use crate::fixtures::{RoundKind, Task};
use crate::ids::{Digest, SubmissionId};
use crate::ledger::TaskLedger;
use crate::record::{LeafError, Log, OrderBody};
use crate::rounds::{Group, Knockout, RoundResult};
use crate::rulebook::{Rulebook, RulebookError};
use crate::score::{Budget, OutputBudget};
use crate::units::UnixSeconds;

pub use finish::{AdvanceError, Progress, RevealError};
pub use open::CloseFailed;
pub use view::{
    BudgetView, EntryView, RoundView, ScoreLine, StandingRow, Standings, State, TaskView, TrainingView,
};
pub use work::{OrderRefused, OutcomeRefused, Recorded};

/// Most datasets of one tournament.
pub const DATASETS_MAX: usize = 64;
/// Longest tournament or dataset id, in bytes.
pub const ID_MAX_BYTES: usize = 64;

/// What a tournament is held under; all of it comes from the charter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    pub tournament: String,
    /// The rulebook's bytes as received.
    pub rulebook: Vec<u8>,
    /// Dataset ids that tasks are drawn on, each Instruct; ascending, without repeats.
    pub datasets: Vec<String>,
    /// Digest of the charter.
    pub charter: [u8; 32],
    /// Bits that the record may disclose about one dataset.
    pub cap_bits: u32,
}

/// Why a tournament could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error(transparent)]
    Rulebook(#[from] RulebookError),
    #[error("{what}: expected 1 to {ID_MAX_BYTES} of a-z, 0-9, '-', '_', found {got:?}")]
    Id { what: &'static str, got: String },
    #[error("datasets: expected 1 to {DATASETS_MAX} ascending ids without repeats, found {got}")]
    Datasets { got: usize },
    #[error("boot: expected charter {expected}, found {got}")]
    OtherCharter { expected: Digest, got: Digest },
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

/// A tournament in progress, or after its end.
pub struct Conductor {
    rules: Rulebook,
    setup: SetupFacts,
    commitment: DrawCommitment,
    log: Log,
    stage: Stage,
    /// Known from the close on.
    seed: Option<DrawSeed>,
    budget: Budget,
    /// Entry leaves so far, refused ones included.
    entry_leaves: usize,
    entrants: BTreeMap<SubmissionId, Entry>,
    rounds: Vec<Round>,
    orders: BTreeMap<Digest, Ordered>,
    excused: BTreeSet<String>,
}

/// The setup without the rulebook's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetupFacts {
    pub datasets: Vec<String>,
    pub charter: Digest,
}

/// The typestates, side by side.
#[derive(Debug, Clone)]
enum Stage {
    Entries(Entries),
    Group(Group),
    Knockout(Knockout),
    Boss(Boss),
    /// Settled; the seed is still secret.
    Ended(End),
    /// The final leaf is written.
    Revealed(End),
}

#[derive(Debug, Clone)]
enum End {
    Decided(Box<Decided>),
    Cancelled(Box<Cancelled>),
}

/// One round's account.
#[derive(Debug, Clone)]
struct Round {
    number: u32,
    kind: RoundKind,
    opens: UnixSeconds,
    bye: Option<SubmissionId>,
    tasks: Vec<TaskLedger>,
    result: Option<RoundResult>,
}

/// One order's account.
#[derive(Debug, Clone)]
struct Ordered {
    body: OrderBody,
    /// Its outcome, or a conflicting one, is in the record.
    settled: Settled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Settled {
    Open,
    /// By the outcome with this digest.
    By(Digest),
    /// As above, and a differing one is on record too, or it came after another attempt's.
    Conflicting,
}

/// A task of the present round on which work is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskWork {
    pub task: Task,
    /// No order is accepted before.
    pub opens: UnixSeconds,
    /// Participants whose training has no final outcome yet.
    pub untrained: Vec<SubmissionId>,
    /// Participants with an artefact, and the train order that made it; all that there will be, once
    /// `untrained` is empty. Then, if this is not, the task wants its evaluation.
    pub trained: Vec<(SubmissionId, Digest)>,
}

impl Conductor {
    /// Canonical leaf bytes that were not taken yet, in order.
    pub fn take_leaves(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.log.pending)
    }

    pub(crate) fn pending_is_empty(&self) -> bool {
        self.log.pending.is_empty()
    }

    pub(crate) fn restore_pending(&mut self, leaves: Vec<Vec<u8>>) {
        self.log.pending = leaves;
    }

    /// Leaves made so far, taken or not.
    pub fn leaf_count(&self) -> u64 {
        self.log.len()
    }

    pub fn tournament(&self) -> &str {
        self.log.tournament()
    }

    pub fn rulebook(&self) -> &Rulebook {
        &self.rules
    }

    pub fn charter(&self) -> Digest {
        self.setup.charter
    }

    pub fn commitment(&self) -> DrawCommitment {
        self.commitment
    }

    /// True once the final leaf is written; only `boot` is accepted afterwards.
    pub fn is_revealed(&self) -> bool {
        matches!(self.stage, Stage::Revealed(_))
    }

    /// Tasks of the present round whose outcomes are missing and can still be ordered.
    pub fn open_tasks(&self) -> Vec<TaskWork> {
        let Some(round) = self.present_round() else { return Vec::new() };
        let attempts = &self.rules.attempts;
        round
            .tasks
            .iter()
            .filter(|ledger| !ledger.is_complete(attempts, &self.budget))
            .map(|ledger| TaskWork {
                task: ledger.task.clone(),
                opens: round.opens,
                untrained: ledger
                    .trainings
                    .iter()
                    .filter(|(_, training)| !training.is_final(attempts.train))
                    .map(|(id, _)| *id)
                    .collect(),
                trained: ledger.trained().map(|(id, outcome)| (id, outcome.order)).collect(),
            })
            .collect()
    }

    /// Orders without an outcome. After a restart their results can no longer be opened: order the next
    /// attempt, or, where there is none, report `infrastructure` for them.
    pub fn outstanding(&self) -> Vec<OrderBody> {
        let open = self.orders.values().filter(|ordered| ordered.settled == Settled::Open);
        open.map(|ordered| ordered.body.clone()).filter(|body| self.is_present(&body.task)).collect()
    }

    /// Bits booked for a dataset against the cap: `(spent, cap)`.
    pub fn budget(&self, dataset: &str) -> (u64, u64) {
        (self.budget.spent(dataset), self.budget.cap())
    }

    /// Whether an order on a dataset for `bits` would still fit.
    pub fn check_budget(&self, dataset: &str, bits: u64) -> Result<(), OutputBudget> {
        self.budget.check(dataset, bits)
    }

    /// An accepted entry by its submission.
    pub fn entry(&self, submission: &SubmissionId) -> Option<&Entry> {
        self.entrants.get(submission)
    }

    /// Accepted entries, ascending by submission.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entrants.values()
    }

    /// How it ended, once the last round is settled.
    pub fn decided(&self) -> Option<&Decided> {
        match &self.stage {
            Stage::Ended(End::Decided(decided)) | Stage::Revealed(End::Decided(decided)) => Some(decided),
            _ => None,
        }
    }

    fn present_round(&self) -> Option<&Round> {
        self.rounds.last().filter(|round| round.result.is_none())
    }

    fn is_present(&self, task: &str) -> bool {
        self.present_round().is_some_and(|round| round.tasks.iter().any(|ledger| ledger.task.id == task))
    }

    fn ledger(&self, task: &str) -> Option<&TaskLedger> {
        self.rounds.iter().flat_map(|round| &round.tasks).find(|ledger| ledger.task.id == task)
    }

    fn ledger_mut(&mut self, task: &str) -> Option<&mut TaskLedger> {
        self.rounds.iter_mut().flat_map(|round| &mut round.tasks).find(|ledger| ledger.task.id == task)
    }

    /// The champion was there first, then the lower sequence number.
    fn precedence(&self, id: &SubmissionId) -> (bool, u64) {
        self.entrants.get(id).map_or((true, u64::MAX), |entry| (entry.champion.is_none(), entry.seq))
    }
}
