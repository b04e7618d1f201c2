//! Settling rounds, and the final leaves.

use super::{Conductor, End, Stage};
use crate::boss::{AfterBoss, BossCount, TitleResult};
use crate::points::Overflow;
use crate::record::{DecidedBody, DrawRevealBody, Ending, LeafError, LeafType, RoundSettledBody};
use crate::rounds::{AfterGroup, AfterKnockout, Outcomes, RoundResult, SettleError};
use crate::units::UnixSeconds;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Outcomes of the present round are missing.
    Waiting,
    /// The next round is drawn.
    RoundSettled,
    /// Nothing is left but [`Conductor::reveal`].
    Decided,
}

/// Why a round could not be settled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceError {
    #[error("advance: entries are still open")]
    EntriesOpen,
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

/// Why the end could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevealError {
    #[error("reveal: the tournament is not decided yet")]
    NotDecided,
    #[error(transparent)]
    Overflow(#[from] Overflow),
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

impl Conductor {
    /// Settles the present round once nothing more is awaited: leaves `round_settled` and the next `fixture`s.
    pub fn advance(&mut self, time: UnixSeconds) -> Result<Progress, AdvanceError> {
        let attempts = &self.rules.attempts;
        if let Some(round) = self.present_round()
            && round.tasks.iter().any(|ledger| !ledger.is_complete(attempts, &self.budget))
        {
            return Ok(Progress::Waiting);
        }
        let outcomes = self.outcomes();
        let (result, stage) = match self.stage.clone() {
            Stage::Entries(_) => return Err(AdvanceError::EntriesOpen),
            Stage::Ended(_) | Stage::Revealed(_) => return Ok(Progress::Decided),
            Stage::Group(state) => {
                let (result, after) = state.settle(&outcomes).map_err(|refused| refused.error)?;
                (result, Stage::from(after))
            }
            Stage::Knockout(state) => {
                let (result, after) = state.settle(&outcomes).map_err(|refused| refused.error)?;
                (result, Stage::from(after))
            }
            Stage::Boss(state) => {
                let (result, after) = state.settle(&outcomes).map_err(|refused| refused.error)?;
                (result, Stage::from(after))
            }
        };
        self.settled(time, result, stage)
    }

    fn settled(
        &mut self,
        time: UnixSeconds,
        result: RoundResult,
        stage: Stage,
    ) -> Result<Progress, AdvanceError> {
        let time = self.log.now(time);
        let attempts = &self.rules.attempts;
        let tasks = self.present_round().map_or(&[][..], |round| round.tasks.as_slice());
        let withheld = tasks
            .iter()
            .filter(|ledger| ledger.withheld(attempts, &self.budget))
            .map(|ledger| ledger.task.id.clone())
            .collect();
        let body = RoundSettledBody { result: result.clone(), withheld, record_root: self.log.root() };
        self.log.push(time, LeafType::RoundSettled, &body)?;
        if let Some(round) = self.rounds.last_mut() {
            round.result = Some(result);
        }
        self.stage = stage;
        let pause = u64::from(self.rules.schedule.break_s);
        self.draw_round(time, UnixSeconds(time.0.saturating_add(pause)))?;
        Ok(if matches!(self.stage, Stage::Ended(_)) { Progress::Decided } else { Progress::RoundSettled })
    }

    fn outcomes(&self) -> Outcomes {
        let attempts = &self.rules.attempts;
        let ledgers = self.present_round().map_or(&[][..], |round| round.tasks.as_slice());
        let tasks = ledgers
            .iter()
            .map(|ledger| (ledger.task.id.clone(), ledger.outcomes(attempts, |id| self.precedence(id))))
            .collect();
        Outcomes { tasks, excused: self.excused.clone() }
    }

    /// Writes the end: leaves `decided`, `shares`, `archive` and, last, `draw_reveal`.
    ///
    /// A second call writes nothing. A cancelled tournament has neither shares nor archive.
    pub fn reveal(&mut self, time: UnixSeconds) -> Result<(), RevealError> {
        let end = match &self.stage {
            Stage::Revealed(_) => return Ok(()),
            Stage::Ended(end) => end.clone(),
            _ => return Err(RevealError::NotDecided),
        };
        let seed = self.seed.as_ref().map(|seed| seed.reveal()).ok_or(RevealError::NotDecided)?;
        let body = self.decided_body(&end);
        // All that can fail comes before the first leaf.
        let (shares, archive) = match &end {
            End::Decided(decided) => (Some(decided.shares()?), decided.archive()),
            End::Cancelled(_) => (None, Vec::new()),
        };
        self.log.push(time, LeafType::Decided, &body)?;
        if let Some(shares) = &shares {
            self.log.push(time, LeafType::Shares, shares)?;
        }
        for archived in &archive {
            self.log.push(time, LeafType::Archive, archived)?;
        }
        let commitment = self.commitment.0;
        self.log.push(time, LeafType::DrawReveal, &DrawRevealBody { seed, commitment })?;
        self.stage = Stage::Revealed(end);
        Ok(())
    }

    fn decided_body(&self, end: &End) -> DecidedBody {
        let record_root = self.log.root();
        match end {
            End::Decided(decided) => DecidedBody {
                ending: match decided.title() {
                    TitleResult::Kept => Ending::Kept,
                    TitleResult::Taken => Ending::Taken,
                },
                defender: Some(decided.defender()),
                holder: Some(decided.holder()),
                holder_entrant: self.entry(&decided.holder()).map(|entry| entry.entrant),
                titles: decided.titles(),
                boss: decided.count(),
                standings: decided.standings(),
                record_root,
            },
            End::Cancelled(cancelled) => DecidedBody {
                ending: Ending::Cancelled,
                defender: cancelled.champion.as_ref().map(|entry| entry.submission),
                holder: cancelled.champion.as_ref().map(|entry| entry.submission),
                holder_entrant: cancelled.champion.as_ref().map(|entry| entry.entrant),
                titles: cancelled
                    .champion
                    .as_ref()
                    .and_then(|entry| entry.champion)
                    .map_or(0, |title| title.titles.get()),
                boss: BossCount::default(),
                standings: Vec::new(),
                record_root,
            },
        }
    }
}

impl From<AfterGroup> for Stage {
    fn from(after: AfterGroup) -> Self {
        match after {
            AfterGroup::Knockout(state) => Self::Knockout(state),
            AfterGroup::Boss(state) => Self::Boss(state),
            AfterGroup::Decided(state) => Self::Ended(End::Decided(Box::new(state))),
        }
    }
}

impl From<AfterKnockout> for Stage {
    fn from(after: AfterKnockout) -> Self {
        match after {
            AfterKnockout::Knockout(state) => Self::Knockout(state),
            AfterKnockout::Boss(state) => Self::Boss(state),
            AfterKnockout::Decided(state) => Self::Ended(End::Decided(Box::new(state))),
        }
    }
}

impl From<AfterBoss> for Stage {
    fn from(after: AfterBoss) -> Self {
        match after {
            AfterBoss::Decided(state) => Self::Ended(End::Decided(Box::new(state))),
        }
    }
}
