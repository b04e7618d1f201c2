//! What was ordered and what came back, task by task (TOURNAMENT 5).

use std::collections::{BTreeMap, BTreeSet};

use crate::fixtures::Task;
use crate::ids::{Digest, SubmissionId};
use crate::record::{EvaluateOutcome, ScoreRow, TrainOutcome};
use crate::rulebook::Attempts;
use crate::score::{Budget, SCORE_BITS, TRAIN_BITS};
use crate::verdict::Outcome;

/// One task's account.
#[derive(Debug, Clone)]
pub(crate) struct TaskLedger {
    pub task: Task,
    pub trainings: BTreeMap<SubmissionId, Training>,
    pub evaluation: Evaluation,
}

/// The trainings of one submission on one task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Training {
    pub attempts: u32,
    /// Ordered, without an outcome.
    pub open: BTreeSet<Digest>,
    /// The outcome that stands, or the last one that another attempt may better.
    pub outcome: Option<TrainOutcome>,
}

/// The evaluations of one task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evaluation {
    pub attempts: u32,
    pub open: BTreeSet<Digest>,
    pub outcome: Option<EvaluateOutcome>,
}

impl Training {
    pub fn trained(&self) -> Option<&TrainOutcome> {
        self.outcome.as_ref().filter(|outcome| outcome.status.trained())
    }

    /// No further attempt changes the outcome.
    pub fn is_final(&self, max: u32) -> bool {
        match &self.outcome {
            None => false,
            Some(outcome) if outcome.status.may_retry() => self.attempts >= max && self.open.is_empty(),
            Some(_) => true,
        }
    }

    fn withheld(&self, max: u32, affordable: bool) -> bool {
        !self.is_final(max) && self.open.is_empty() && !affordable
    }
}

impl Evaluation {
    /// A score, or a verdict on an artefact; anything less goes back for another attempt.
    pub fn decisive(&self) -> bool {
        let decides =
            |row: &ScoreRow| !row.status.may_retry() && row.status != crate::record::Status::TimedOut;
        self.outcome.as_ref().is_some_and(|outcome| outcome.scores.iter().any(decides))
    }

    pub fn is_final(&self, max: u32) -> bool {
        self.decisive() || (self.outcome.is_some() && self.attempts >= max && self.open.is_empty())
    }
}

impl TaskLedger {
    pub fn new(task: Task) -> Self {
        let trainings = task.participants.iter().map(|id| (*id, Training::default())).collect();
        Self { task, trainings, evaluation: Evaluation::default() }
    }

    /// Participants that left an artefact, ascending.
    pub fn trained(&self) -> impl Iterator<Item = (SubmissionId, &TrainOutcome)> {
        self.trainings.iter().filter_map(|(id, training)| Some((*id, training.trained()?)))
    }

    /// Bits that one evaluation discloses: a score per artefact, and the base model's.
    pub fn evaluation_bits(&self) -> u64 {
        let artefacts = u64::try_from(self.trained().count()).unwrap_or(u64::MAX);
        artefacts.saturating_add(1).saturating_mul(SCORE_BITS)
    }

    /// All trainings ended, each in its outcome or for want of bits.
    pub fn trainings_ended(&self, attempts: &Attempts, budget: &Budget) -> bool {
        let affordable = budget.check(&self.task.dataset, TRAIN_BITS).is_ok();
        self.trainings.values().all(|t| t.is_final(attempts.train) || t.withheld(attempts.train, affordable))
    }

    /// Nothing more is awaited.
    pub fn is_complete(&self, attempts: &Attempts, budget: &Budget) -> bool {
        self.trainings_ended(attempts, budget)
            && (self.trained().next().is_none()
                || self.evaluation.is_final(attempts.evaluate)
                || self.evaluation_withheld(attempts, budget))
    }

    /// The cap kept a training or the evaluation from being ordered.
    pub fn withheld(&self, attempts: &Attempts, budget: &Budget) -> bool {
        let affordable = budget.check(&self.task.dataset, TRAIN_BITS).is_ok();
        self.trainings.values().any(|t| t.withheld(attempts.train, affordable))
            || (self.trained().next().is_some() && self.evaluation_withheld(attempts, budget))
    }

    fn evaluation_withheld(&self, attempts: &Attempts, budget: &Budget) -> bool {
        !self.evaluation.is_final(attempts.evaluate)
            && self.evaluation.open.is_empty()
            && budget.check(&self.task.dataset, self.evaluation_bits()).is_err()
    }

    /// Each participant's outcome, copies set aside; `precedes` orders who was first.
    pub fn outcomes(
        &self,
        attempts: &Attempts,
        precedence: impl Fn(&SubmissionId) -> (bool, u64),
    ) -> BTreeMap<SubmissionId, Outcome> {
        let rows = self.evaluation.outcome.as_ref().map_or(&[][..], |outcome| outcome.scores.as_slice());
        let mut outcomes = BTreeMap::new();
        for (id, training) in &self.trainings {
            let row = rows.iter().find(|row| row.submission == *id);
            let outcome = match (training.trained(), row) {
                (None, _) if training.is_final(attempts.train) => Outcome::Failed,
                // Bits ran out before it could be trained: not its fault.
                (None, _) | (Some(_), None) => Outcome::Unscored,
                (Some(_), Some(row)) if row.status.refuses_artefact() => Outcome::Failed,
                (Some(_), Some(row)) => {
                    row.score.map_or(Outcome::Unscored, |score| Outcome::Scored { score })
                }
            };
            outcomes.insert(*id, outcome);
        }
        set_copies_aside(rows, &mut outcomes, precedence);
        outcomes
    }
}

/// Of equal artefacts or equal item losses the first submission keeps its score (TOURNAMENT 8).
fn set_copies_aside(
    rows: &[ScoreRow],
    outcomes: &mut BTreeMap<SubmissionId, Outcome>,
    precedence: impl Fn(&SubmissionId) -> (bool, u64),
) {
    let mut scored: Vec<&ScoreRow> = rows.iter().filter(|row| row.score.is_some()).collect();
    scored.sort_unstable_by_key(|row| (precedence(&row.submission), row.submission));
    let mut originals: Vec<(&ScoreRow, SubmissionId)> = Vec::with_capacity(scored.len());
    for row in scored {
        let original = originals.iter().find(|(other, _)| same(row, other)).map(|(_, original)| *original);
        if let Some(submission) = original {
            outcomes.insert(row.submission, Outcome::DuplicateOf { submission });
        }
        // A copy of a copy names the first of them.
        originals.push((row, original.unwrap_or(row.submission)));
    }
}

fn same(a: &ScoreRow, b: &ScoreRow) -> bool {
    let equal = |x: Option<Digest>, y: Option<Digest>| x.is_some() && x == y;
    equal(a.artefact_sha256, b.artefact_sha256)
        || equal(a.losses_root, b.losses_root)
        || a.same_losses_as == Some(b.submission)
        || b.same_losses_as == Some(a.submission)
}
