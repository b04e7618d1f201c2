//! The boss round, and what stands at the end (TOURNAMENT 4 and 9).

use serde::{Deserialize, Serialize};

use crate::entries::{Cancelled, Entry, Refused};
use crate::fixtures::{RoundKind, Task};
use crate::ids::{EntrantId, Label, SubmissionId};
use crate::points::{Overflow, Placed, Pools, Shares, median_ppm};
use crate::rounds::{Course, Outcomes, RoundResult, SettleError, Tally};
use crate::units::wide;
use crate::verdict::{Verdict, boss_verdict, relative_gain_ppm};

/// Champion against the one challenger that is left.
#[derive(Debug, Clone)]
pub struct Boss {
    course: Course,
    round: u32,
    challenger: SubmissionId,
    tasks: Vec<Task>,
}

/// The state after the boss round; a preset with draws adds replacement tasks here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AfterBoss {
    Decided(Decided),
}

/// What the boss round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BossCount {
    /// Tasks that the challenger won.
    pub wins: u32,
    /// Tasks that the champion kept.
    pub losses: u32,
    pub undecided: u32,
}

/// Whether the title changed hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TitleResult {
    Kept,
    Taken,
}

impl Boss {
    pub(crate) fn draw(course: Course, challenger: SubmissionId, round: u32) -> Self {
        let both = vec![course.champion.submission, challenger];
        let count = usize::try_from(course.rules.boss.tasks).unwrap_or(1);
        let tasks = course.tasks(round, RoundKind::Boss, vec![both; count]);
        Self { course, round, challenger, tasks }
    }

    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    pub fn round(&self) -> u32 {
        self.round
    }

    /// The title is taken by more than half of the decided tasks.
    pub fn settle(
        self,
        outcomes: &Outcomes,
    ) -> Result<(RoundResult, AfterBoss), Box<Refused<Self, SettleError>>> {
        let mut course = self.course.clone();
        let champion = course.champion.submission;
        let margin = course.rules.boss.margin.at(course.title.titles);
        let mut count = BossCount::default();
        let mut gains = Vec::new();
        let results = course.check(&self.tasks, outcomes).and_then(|()| {
            let mut results = Vec::with_capacity(self.tasks.len());
            for task in &self.tasks {
                let Some(got) = outcomes.tasks.get(&task.id) else { continue };
                let (Some(b), Some(c)) = (got.get(&champion), got.get(&self.challenger)) else { continue };
                let direction = task.kind.direction();
                let verdict = boss_verdict(direction, b, c, margin);
                let winner = match verdict {
                    Verdict::Challenger => Some(self.challenger),
                    Verdict::Champion => Some(champion),
                    Verdict::Undecided => None,
                };
                match verdict {
                    Verdict::Challenger => count.wins += 1,
                    Verdict::Champion => count.losses += 1,
                    Verdict::Undecided => count.undecided += 1,
                }
                let scores = b.score().zip(c.score());
                gains.extend(scores.and_then(|(b, c)| relative_gain_ppm(direction, b, c)));
                results.push(course.book(task, got, winner, Some(verdict))?);
            }
            Ok(results)
        });
        let tasks = match results {
            Ok(tasks) => tasks,
            Err(error) => return Err(Box::new(Refused { state: self, error })),
        };
        let taken = count.wins * 2 > count.wins + count.losses;
        let title = if taken { TitleResult::Taken } else { TitleResult::Kept };
        let holder = if taken { self.challenger } else { champion };
        let (round, stage) = (self.round, RoundKind::Boss);
        let result = RoundResult { round, stage, tasks, bye: None, advancing: vec![holder] };
        let challenger = Some(self.challenger);
        let decided = Decided { course, title, challenger, count, gains };
        Ok((result, AfterBoss::Decided(decided)))
    }
}

/// The end: everything here follows from the rounds.
#[derive(Debug, Clone)]
pub struct Decided {
    course: Course,
    title: TitleResult,
    challenger: Option<SubmissionId>,
    count: BossCount,
    gains: Vec<i64>,
}

/// One participant's final line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// From 1, equal for a tie; `None` without any valid result.
    pub place: Option<u32>,
    pub submission: SubmissionId,
    pub entrant: EntrantId,
    pub label: Label,
    /// The last round that it took part in.
    pub reached: u32,
    /// In millionths of a point.
    #[serde(with = "wide")]
    pub round_points: u64,
    /// In millionths of a point.
    pub task_points: i64,
}

/// A submission whose content is kept: places 1 and 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archived {
    pub place: u32,
    pub submission: SubmissionId,
    pub entrant: EntrantId,
    pub normalised_sha256: crate::ids::Digest,
}

impl Decided {
    pub(crate) fn unchallenged(course: Course) -> Self {
        let (title, count) = (TitleResult::Kept, BossCount::default());
        Self { course, title, challenger: None, count, gains: Vec::new() }
    }

    pub(crate) fn cancelled(self, min: u32) -> Cancelled {
        let challengers = u32::try_from(self.course.challengers.len()).unwrap_or(u32::MAX);
        Cancelled { challengers, min, champion: Some(self.course.champion) }
    }

    pub fn title(&self) -> TitleResult {
        self.title
    }

    pub fn count(&self) -> BossCount {
        self.count
    }

    /// Who held the title before.
    pub fn defender(&self) -> SubmissionId {
        self.course.champion.submission
    }

    /// The one that met the champion.
    pub fn challenger(&self) -> Option<SubmissionId> {
        self.challenger
    }

    /// Who holds the title now.
    pub fn holder(&self) -> SubmissionId {
        match (self.title, self.challenger) {
            (TitleResult::Taken, Some(challenger)) => challenger,
            _ => self.course.champion.submission,
        }
    }

    /// The holder's consecutive titles, this one included.
    pub fn titles(&self) -> u32 {
        match self.title {
            TitleResult::Taken => 1,
            TitleResult::Kept => self.course.title.titles.get().saturating_add(1),
        }
    }

    /// The improvement that the holder's pool is boosted by: this one's, or the stored one of a defence.
    pub fn diff_ppm(&self) -> i64 {
        match self.title {
            TitleResult::Taken => median_ppm(&self.gains),
            TitleResult::Kept => self.course.title.diff_ppm,
        }
    }

    /// Holder, other finalist, then by round reached, round points and task points; equal is a tie.
    pub fn standings(&self) -> Vec<Standing> {
        let holder = self.holder();
        let finalist = match self.title {
            TitleResult::Taken => Some(self.defender()),
            TitleResult::Kept => self.challenger,
        };
        let mut rest: Vec<&Entry> =
            self.entries().filter(|e| e.submission != holder && Some(e.submission) != finalist).collect();
        rest.sort_unstable_by_key(|entry| (self.sort_key(entry.submission), entry.submission));
        let mut rows: Vec<Standing> = Vec::with_capacity(rest.len() + 2);
        for entry in self.entries().filter(|entry| entry.submission == holder) {
            rows.push(self.standing(entry, Some(1)));
        }
        for entry in self.entries().filter(|entry| Some(entry.submission) == finalist) {
            rows.push(self.standing(entry, Some(2)));
        }
        let mut before = None;
        for entry in rest {
            let key = self.sort_key(entry.submission);
            let next = u32::try_from(rows.len() + 1).unwrap_or(u32::MAX);
            let place = match before {
                Some((same, place)) if same == key => place,
                _ if key.0 => None,
                _ => Some(next),
            };
            before = Some((key, place));
            rows.push(self.standing(entry, place));
        }
        rows
    }

    /// Shares of the whole, exact.
    pub fn shares(&self) -> Result<Shares, Overflow> {
        let rules = &self.course.rules;
        let pools = Pools::new(&rules.pool, self.diff_ppm(), self.titles());
        let placed: Vec<_> = self
            .standings()
            .into_iter()
            .map(|row| Placed { submission: row.submission, entrant: row.entrant, place: row.place })
            .collect();
        Shares::new(&rules.pool, &rules.rank, pools, &placed)
    }

    /// The submissions of places 1 and 2.
    pub fn archive(&self) -> Vec<Archived> {
        let standings = self.standings();
        let top = standings.iter().filter_map(|row| Some((row.place.filter(|p| *p <= 2)?, row.submission)));
        top.filter_map(|(place, id)| {
            let entry = self.entries().find(|entry| entry.submission == id)?;
            let (entrant, normalised_sha256) = (entry.entrant, entry.normalised_sha256);
            Some(Archived { place, submission: id, entrant, normalised_sha256 })
        })
        .collect()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.course.challengers.values().chain(std::iter::once(&self.course.champion))
    }

    fn tally(&self, id: SubmissionId) -> Tally {
        self.course.tally.get(&id).copied().unwrap_or_default()
    }

    /// Without a valid result last; everything else descending.
    fn sort_key(&self, id: SubmissionId) -> SortKey {
        let tally = self.tally(id);
        let down = std::cmp::Reverse((tally.reached, tally.round_points, tally.task_points));
        if tally.valid { (false, down) } else { (true, std::cmp::Reverse((0, 0, 0))) }
    }

    fn standing(&self, entry: &Entry, place: Option<u32>) -> Standing {
        let tally = self.tally(entry.submission);
        Standing {
            place,
            submission: entry.submission,
            entrant: entry.entrant,
            label: entry.label.clone(),
            reached: tally.reached,
            round_points: tally.round_points,
            task_points: tally.task_points,
        }
    }
}

type SortKey = (bool, std::cmp::Reverse<(u32, u64, i64)>);
