//! Entries: who may take part, and the step that opens the tournament (TOURNAMENT 1 and 3).

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::boss::Boss;
use crate::draw::{DrawCommitment, DrawKey, DrawSeed};
use crate::fixtures::Dataset;
use crate::ids::{Digest, EntrantId, Label, SubmissionId};
use crate::rounds::{Course, Group, Knockout, Next};
use crate::rulebook::{Rulebook, Rules};
use crate::units::{Minor, PPM_ONE, UnixSeconds, wide};

/// Entry leaves of one tournament, refused ones included.
pub const ENTRIES_MAX: usize = 4096;

/// A step that refused, with the state as it was.
#[derive(Debug)]
pub struct Refused<S, E> {
    pub state: S,
    pub error: E,
}

/// One row of the operator's roll, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub entrant: EntrantId,
    pub submission: SubmissionId,
    /// Finds copies of the same content (TOURNAMENT 6).
    pub normalised_sha256: Digest,
    pub label: Label,
    /// Sequence number of the roll row; the earlier one wins every tie.
    #[serde(with = "wide")]
    pub seq: u64,
    pub buy_in: Minor,
    #[serde(with = "wide")]
    pub stake: u64,
    pub completed_entries: u32,
    /// Set for the one entry that defends the title: the champion, or the operator's baseline.
    pub champion: Option<Title>,
}

/// A title that is defended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Title {
    /// Consecutive titles, the present one included.
    pub titles: NonZeroU32,
    /// The improvement by which it was won.
    pub diff_ppm: i64,
}

impl Title {
    /// A vacant title, held by the operator's baseline, or one that was won without a known gain.
    pub fn first() -> Self {
        Self { titles: NonZeroU32::MIN, diff_ppm: 0 }
    }
}

/// Why an entry was refused; the reason stands in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum EntryRefused {
    #[error("entry: the entrant has entered already")]
    DuplicateEntrant,
    #[error("entry: the submission was entered already")]
    DuplicateSubmission,
    #[error("entry: sequence number {seq} was used already")]
    DuplicateSequence {
        #[serde(with = "wide")]
        seq: u64,
    },
    #[error("entry: the content is that of the earlier submission {of}")]
    DuplicateContent { of: SubmissionId },
    #[error("entry: expected a buy-in of {} minor units, found {}", expected.0, got.0)]
    BuyInMissing { expected: Minor, got: Minor },
    #[error("entry: the title is defended by another entry")]
    SecondChampion,
    #[error("entry: entries are closed")]
    FieldClosed,
    #[error("entry: the submission's signature does not hold")]
    UnsignedSubmission,
    #[error("entry: the roll row is not signed by the charter's roll key")]
    UnsignedRollRow,
    #[error("entry: the submission names another tournament or base")]
    OtherTournament,
    #[error("entry: the licence is missing or not admitted")]
    Licence,
    #[error("entry: the submission passes a size limit")]
    TooLarge,
    #[error("entry: expected at most {ENTRIES_MAX} rows, the record takes no more")]
    RecordFull,
}

impl EntryRefused {
    /// Reasons that the caller finds, since this crate sees neither signatures nor content.
    pub fn is_external(&self) -> bool {
        matches!(
            self,
            Self::UnsignedSubmission
                | Self::UnsignedRollRow
                | Self::OtherTournament
                | Self::Licence
                | Self::TooLarge
        )
    }
}

/// What an accepted entry did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    New,
    /// The same row again.
    Again,
    /// An earlier copy of a content that had been accepted under a later sequence number.
    InPlaceOf(Box<Entry>),
}

/// Entries are open.
#[derive(Debug, Clone)]
pub struct Entries {
    rules: Rulebook,
    commitment: DrawCommitment,
    opened: UnixSeconds,
    datasets: Vec<Dataset>,
    accepted: BTreeMap<SubmissionId, Entry>,
}

/// Why entries could not be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    #[error("close: expected not before {}, found {}", opens.0, now.0)]
    TooEarly { opens: UnixSeconds, now: UnixSeconds },
    #[error("close: expected a draw seed that gives commitment {}, found one that gives {}", expected.0, got.0)]
    SeedNotCommitted { expected: DrawCommitment, got: DrawCommitment },
    #[error(
        "close: nobody holds the title\nenter the champion, or the operator's baseline, with `champion` set"
    )]
    TitleVacant,
    #[error("close: entries are closed already")]
    Closed,
}

/// How the tournament opens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Opened {
    Group(Group),
    Knockout(Knockout),
    Boss(Boss),
    Cancelled(Cancelled),
}

/// Too few challengers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    pub challengers: u32,
    pub min: u32,
    /// Keeps the title that it holds.
    pub champion: Option<Entry>,
}

/// A challenger that was taken, with the figure it was sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selected {
    pub submission: SubmissionId,
    /// Stake with bonus; a decimal string, since it may pass 64 bits.
    pub boosted: String,
}

impl Entries {
    /// The first state: the commitment to the draw seed is public before anybody enters.
    pub fn open(
        rules: Rulebook,
        commitment: DrawCommitment,
        datasets: Vec<Dataset>,
        now: UnixSeconds,
    ) -> Self {
        Self { rules, commitment, opened: now, datasets, accepted: BTreeMap::new() }
    }

    /// Takes one entry, or hands the state back with the reason.
    pub fn enter(mut self, entry: Entry) -> Result<(Self, Accepted), Box<Refused<Self, EntryRefused>>> {
        if self.accepted.get(&entry.submission) == Some(&entry) {
            return Ok((self, Accepted::Again));
        }
        match self.check(&entry) {
            Err(error) => Err(Box::new(Refused { state: self, error })),
            Ok(None) => {
                self.accepted.insert(entry.submission, entry);
                Ok((self, Accepted::New))
            }
            Ok(Some(later)) => {
                let displaced = self.accepted.remove(&later);
                self.accepted.insert(entry.submission, entry);
                Ok((self, displaced.map_or(Accepted::New, |old| Accepted::InPlaceOf(Box::new(old)))))
            }
        }
    }

    /// `Some` names a later copy that the entry displaces.
    fn check(&self, entry: &Entry) -> Result<Option<SubmissionId>, EntryRefused> {
        let others = || self.accepted.values();
        if self.accepted.contains_key(&entry.submission) {
            return Err(EntryRefused::DuplicateSubmission);
        }
        if others().any(|other| other.entrant == entry.entrant) {
            return Err(EntryRefused::DuplicateEntrant);
        }
        if others().any(|other| other.seq == entry.seq) {
            return Err(EntryRefused::DuplicateSequence { seq: entry.seq });
        }
        if entry.champion.is_some() && others().any(|other| other.champion.is_some()) {
            return Err(EntryRefused::SecondChampion);
        }
        let expected = self.rules.field.buy_in_minor;
        if entry.champion.is_none() && entry.buy_in < expected {
            return Err(EntryRefused::BuyInMissing { expected, got: entry.buy_in });
        }
        let same = others().find(|other| other.normalised_sha256 == entry.normalised_sha256);
        match same {
            None => Ok(None),
            Some(other) if precedence(entry) < precedence(other) => Ok(Some(other.submission)),
            Some(other) => Err(EntryRefused::DuplicateContent { of: other.submission }),
        }
    }

    /// Challengers by boosted stake, then sequence number; as many as the field has places.
    pub fn selection(&self) -> Vec<Selected> {
        let mut rows: Vec<_> = self
            .accepted
            .values()
            .filter(|entry| entry.champion.is_none())
            .map(|entry| (std::cmp::Reverse(boosted(&self.rules, entry)), entry.seq, entry.submission))
            .collect();
        rows.sort_unstable();
        let size = usize::try_from(self.rules.field.size).unwrap_or(usize::MAX);
        let text = |std::cmp::Reverse(value): std::cmp::Reverse<u128>| value.to_string();
        rows.into_iter()
            .take(size)
            .map(|(boosted, _, submission)| Selected { submission, boosted: text(boosted) })
            .collect()
    }

    /// The entry that defends the title.
    pub fn champion(&self) -> Option<&Entry> {
        self.accepted.values().find(|entry| entry.champion.is_some())
    }

    /// Accepted entries, ascending by submission.
    pub fn accepted(&self) -> impl Iterator<Item = &Entry> {
        self.accepted.values()
    }

    /// Closes entries and draws the first round.
    pub fn close(
        self,
        now: UnixSeconds,
        seed: &DrawSeed,
        entries_root: &Digest,
    ) -> Result<Opened, Box<Refused<Self, CloseError>>> {
        let opens = UnixSeconds(self.opened.0.saturating_add(u64::from(self.rules.schedule.entries_s)));
        if now < opens {
            return Err(Box::new(Refused { state: self, error: CloseError::TooEarly { opens, now } }));
        }
        let (expected, got) = (self.commitment, seed.commitment());
        if expected != got {
            let error = CloseError::SeedNotCommitted { expected, got };
            return Err(Box::new(Refused { state: self, error }));
        }
        let selection: Vec<_> = self.selection().into_iter().map(|row| row.submission).collect();
        let challengers = u32::try_from(selection.len()).unwrap_or(u32::MAX);
        let min = self.rules.field.min;
        let alone = challengers == 1 && min <= 2;
        if challengers == 0 || (challengers < min && !alone) {
            let champion = self.champion().cloned();
            return Ok(Opened::Cancelled(Cancelled { challengers, min, champion }));
        }
        let Some(champion) = self.champion().cloned() else {
            return Err(Box::new(Refused { state: self, error: CloseError::TitleVacant }));
        };
        let key = DrawKey::derive(seed, &self.rules.sha256(), entries_root);
        let field = selection.iter().filter_map(|id| Some((*id, self.accepted.get(id)?.clone()))).collect();
        let skip = challengers <= self.rules.group.skip_at;
        let course = Course::new(self.rules, key, self.datasets, field, champion);
        Ok(if skip {
            match course.next(selection, 1) {
                Next::Knockout(state) => Opened::Knockout(state),
                Next::Boss(state) => Opened::Boss(state),
                Next::Decided(state) => Opened::Cancelled(state.cancelled(min)),
            }
        } else {
            Opened::Group(Group::draw(course, selection))
        })
    }
}

/// The champion's content is the older one, whatever its row says.
fn precedence(entry: &Entry) -> (bool, u64) {
    (entry.champion.is_none(), entry.seq)
}

/// Stake with the bonus for completed entries (TOURNAMENT 3.1).
pub fn boosted(rules: &Rules, entry: &Entry) -> u128 {
    let per_entry = u64::from(rules.stake.bonus_per_entry_ppm.0);
    let bonus = (per_entry * u64::from(entry.completed_entries)).min(u64::from(rules.stake.bonus_max_ppm.0));
    let stake = u128::from(entry.stake);
    stake + stake * u128::from(bonus) / u128::from(PPM_ONE)
}
