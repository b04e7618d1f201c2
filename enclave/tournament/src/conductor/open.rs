//! From the empty record to the first fixtures.

use std::collections::{BTreeMap, BTreeSet};

use super::{Conductor, DATASETS_MAX, End, ID_MAX_BYTES, OpenError, Round, Setup, SetupFacts, Stage};
use crate::draw::{DrawCommitment, DrawSeed};
use crate::entries::{Accepted, CloseError, ENTRIES_MAX, Entries, Entry, EntryRefused, Opened, Refused};
use crate::fixtures::{Dataset, RoundKind, Task};
use crate::ids::{Digest, SubmissionId};
use crate::ledger::TaskLedger;
use crate::record::{
    BootBody, ClosedBody, DrawCommitBody, EntryRefusedBody, LeafError, LeafType, Log, OpensWith, RulebookBody,
};
use crate::rulebook::{Rulebook, TaskKind};
use crate::score::Budget;
use crate::units::UnixSeconds;

impl Conductor {
    /// Starts the record: leaves `rulebook` and `draw_commit`.
    pub fn open(setup: Setup, time: UnixSeconds, commitment: DrawCommitment) -> Result<Self, OpenError> {
        let rules = Rulebook::parse(&setup.rulebook)?;
        check_id("tournament", &setup.tournament)?;
        let ascending = setup.datasets.is_sorted_by(|a, b| a < b);
        if !(1..=DATASETS_MAX).contains(&setup.datasets.len()) || !ascending {
            return Err(OpenError::Datasets { got: setup.datasets.len() });
        }
        setup.datasets.iter().try_for_each(|id| check_id("dataset", id))?;
        let charter = Digest(setup.charter);
        let mut log = Log::new(setup.tournament);
        let body = RulebookBody {
            rulebook_sha256: rules.sha256(),
            len_bytes: u64::try_from(rules.len_bytes()).unwrap_or(u64::MAX),
            charter,
            datasets: setup.datasets.clone(),
            cap_bits: setup.cap_bits,
        };
        log.push(time, LeafType::Rulebook, &body)?;
        log.push(time, LeafType::DrawCommit, &DrawCommitBody { commitment: commitment.0 })?;
        let datasets: Vec<_> =
            setup.datasets.iter().map(|id| Dataset { id: id.clone(), kind: TaskKind::Instruct }).collect();
        let entries = Entries::open(rules.clone(), commitment, datasets, time);
        Ok(Self {
            rules,
            setup: SetupFacts { datasets: setup.datasets, charter },
            commitment,
            log,
            stage: Stage::Entries(entries),
            seed: None,
            budget: Budget::new(u64::from(setup.cap_bits)),
            entry_leaves: 0,
            entrants: BTreeMap::new(),
            rounds: Vec::new(),
            orders: BTreeMap::new(),
            excused: BTreeSet::new(),
        })
    }

    /// Introduces the keys of one boot of the referee: leaf `boot`.
    pub fn boot(&mut self, time: UnixSeconds, body: BootBody) -> Result<(), OpenError> {
        if body.charter != self.setup.charter {
            return Err(OpenError::OtherCharter { expected: self.setup.charter, got: body.charter });
        }
        Ok(self.log.push(time, LeafType::Boot, &body)?)
    }

    /// Takes a roll row: leaf `entry`, or `entry_refused` with the reason that is returned.
    ///
    /// The same row again is accepted without a leaf. A row with a lower sequence number displaces a
    /// copy of its content; the copy's refusal follows as a leaf.
    pub fn enter(&mut self, time: UnixSeconds, entry: Entry) -> Result<(), EntryRefused> {
        if self.is_revealed() {
            return Err(EntryRefused::FieldClosed);
        }
        if self.entrants.get(&entry.submission) == Some(&entry) {
            return Ok(());
        }
        // A displaced copy needs a second leaf.
        if self.entry_leaves + 2 > ENTRIES_MAX {
            return Err(EntryRefused::RecordFull);
        }
        let Stage::Entries(entries) = &self.stage else {
            return self.refused(time, entry, EntryRefused::FieldClosed);
        };
        match entries.clone().enter(entry.clone()) {
            Err(refused) => self.refused(time, entry, refused.error),
            Ok((state, accepted)) => {
                self.push_entry(time, LeafType::Entry, &entry)?;
                self.entrants.insert(entry.submission, entry.clone());
                self.stage = Stage::Entries(state);
                if let Accepted::InPlaceOf(copy) = accepted {
                    self.entrants.remove(&copy.submission);
                    let reason = EntryRefused::DuplicateContent { of: entry.submission };
                    // Its refusal is the record's, not the caller's.
                    let _recorded = self.refused(time, *copy, reason);
                }
                Ok(())
            }
        }
    }

    /// Records a row that the caller refused, for a reason that this crate cannot see: leaf `entry_refused`.
    pub fn refuse(
        &mut self,
        time: UnixSeconds,
        entry: Entry,
        reason: EntryRefused,
    ) -> Result<(), EntryRefused> {
        let open = matches!(self.stage, Stage::Entries(_));
        if !open || !reason.is_external() {
            return Err(EntryRefused::FieldClosed);
        }
        if self.entry_leaves + 1 > ENTRIES_MAX {
            return Err(EntryRefused::RecordFull);
        }
        match self.refused(time, entry, reason) {
            Err(returned) if returned != reason => Err(returned),
            _ => Ok(()),
        }
    }

    fn refused(&mut self, time: UnixSeconds, entry: Entry, reason: EntryRefused) -> Result<(), EntryRefused> {
        self.push_entry(time, LeafType::EntryRefused, &EntryRefusedBody { entry, reason })?;
        Err(reason)
    }

    fn push_entry<B: serde::Serialize>(
        &mut self,
        time: UnixSeconds,
        kind: LeafType,
        body: &B,
    ) -> Result<(), EntryRefused> {
        self.log.push(time, kind, body).map_err(|_| EntryRefused::RecordFull)?;
        self.entry_leaves += 1;
        Ok(())
    }

    /// Closes entries and draws the first round: leaves `closed` and `fixture`s.
    ///
    /// With too few challengers the tournament is cancelled, which [`Conductor::advance`] reports.
    pub fn close(&mut self, time: UnixSeconds, seed: &DrawSeed) -> Result<(), CloseFailed> {
        let Stage::Entries(entries) = &self.stage else { return Err(CloseError::Closed.into()) };
        let time = self.log.now(time);
        let entries_root = self.log.entries_root();
        let selected = entries.selection();
        let champion = entries.champion().map(|entry| entry.submission);
        let accepted = u32::try_from(entries.accepted().count()).unwrap_or(u32::MAX);
        let opened = entries
            .clone()
            .close(time, seed, &entries_root)
            .map_err(|refused: Box<Refused<_, _>>| refused.error)?;
        let (stage, opens) = match opened {
            Opened::Group(state) => (Stage::Group(state), OpensWith::Group),
            Opened::Knockout(state) => (Stage::Knockout(state), OpensWith::Knockout),
            Opened::Boss(state) => (Stage::Boss(state), OpensWith::Boss),
            Opened::Cancelled(state) => (Stage::Ended(End::Cancelled(Box::new(state))), OpensWith::Cancelled),
        };
        let record_root = self.log.root();
        let body = ClosedBody { accepted, entries_root, selected, champion, opens, record_root };
        self.log.push(time, LeafType::Closed, &body)?;
        self.seed = Some(seed.copy());
        self.stage = stage;
        self.draw_round(time, time)?;
        Ok(())
    }

    /// Records the fixtures of the round that the stage has drawn.
    pub(super) fn draw_round(&mut self, time: UnixSeconds, opens: UnixSeconds) -> Result<(), LeafError> {
        let Some((number, kind, bye, tasks)) = self.drawn() else { return Ok(()) };
        for task in &tasks {
            self.log.push(time, LeafType::Fixture, task)?;
        }
        let tasks = tasks.into_iter().map(TaskLedger::new).collect();
        self.rounds.push(Round { number, kind, opens, bye, tasks, result: None });
        Ok(())
    }

    fn drawn(&self) -> Option<(u32, RoundKind, Option<SubmissionId>, Vec<Task>)> {
        match &self.stage {
            Stage::Group(state) => Some((1, RoundKind::Group, None, state.tasks().to_vec())),
            Stage::Knockout(state) => {
                Some((state.round(), RoundKind::Knockout, state.bye(), state.tasks().to_vec()))
            }
            Stage::Boss(state) => Some((state.round(), RoundKind::Boss, None, state.tasks().to_vec())),
            Stage::Entries(_) | Stage::Ended(_) | Stage::Revealed(_) => None,
        }
    }
}

/// Why the close failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseFailed {
    #[error(transparent)]
    Refused(#[from] CloseError),
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

fn check_id(what: &'static str, id: &str) -> Result<(), OpenError> {
    let fits = (1..=ID_MAX_BYTES).contains(&id.len())
        && id.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    if fits { Ok(()) } else { Err(OpenError::Id { what, got: id.chars().take(ID_MAX_BYTES).collect() }) }
}
