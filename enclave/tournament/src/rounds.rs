//! Group and knockout rounds: each settles into the next state (TOURNAMENT 1 and 3).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::boss::{Boss, Decided};
use crate::draw::DrawKey;
use crate::entries::{Entry, Refused, Title};
use crate::fixtures::{Dataset, RoundKind, Task, draw_pairs, draw_tasks};
use crate::ids::SubmissionId;
use crate::points::{Overflow, ranking, round_value, task_points};
use crate::rulebook::{Rulebook, TooMany};
use crate::units::PPM_ONE;
use crate::verdict::{Outcome, Verdict};

/// Outcomes of a round: task id -> participant -> outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub tasks: BTreeMap<String, BTreeMap<SubmissionId, Outcome>>,
    /// Tasks whose many failures the operator has decided to let stand.
    pub excused: BTreeSet<String>,
}

/// Why a round could not be settled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    #[error("task {task}: the outcome of {submission} is missing")]
    OutcomeMissing { task: String, submission: SubmissionId },
    #[error("task {task}: expected an outcome of this round's participants, found another")]
    ForeignOutcome { task: String },
    #[error("task {task}: {failed} of {of} trainings failed\nthe operator decides by a signed statement")]
    TooManyFailures { task: String, failed: u32, of: u32 },
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

/// One participant's line in a settled task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultRow {
    pub submission: SubmissionId,
    pub outcome: Outcome,
    /// Task points, before the kind's weight.
    pub points: i32,
}

/// A settled task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskResult {
    pub task: String,
    pub winner: Option<SubmissionId>,
    /// Of the boss round only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Ascending by submission.
    pub rows: Vec<ResultRow>,
}

/// A settled round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundResult {
    pub round: u32,
    pub stage: RoundKind,
    pub tasks: Vec<TaskResult>,
    /// Went on without a match.
    pub bye: Option<SubmissionId>,
    /// Who goes on, best ranked first.
    pub advancing: Vec<SubmissionId>,
}

/// One participant's account over the rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// The last round that it took part in.
    pub reached: u32,
    /// Round points times the kind's weight in ppm.
    pub round_points: u64,
    /// Task points times the kind's weight in ppm.
    pub task_points: i64,
    /// Whether any task gave it a valid score.
    pub valid: bool,
}

/// What all states after the close share.
#[derive(Clone)]
pub(crate) struct Course {
    pub rules: Rulebook,
    pub key: DrawKey,
    pub datasets: Vec<Dataset>,
    pub challengers: BTreeMap<SubmissionId, Entry>,
    pub champion: Entry,
    pub title: Title,
    pub tally: BTreeMap<SubmissionId, Tally>,
}

/// The state after a settled round.
#[derive(Debug, Clone)]
pub(crate) enum Next {
    Knockout(Knockout),
    Boss(Boss),
    /// Nobody is left to challenge.
    Decided(Decided),
}

impl std::fmt::Debug for Course {
    /// Leaves the draw key out: it would tell the draws to come.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Course").field("challengers", &self.challengers.len()).finish_non_exhaustive()
    }
}

impl Course {
    pub fn new(
        rules: Rulebook,
        key: DrawKey,
        datasets: Vec<Dataset>,
        challengers: BTreeMap<SubmissionId, Entry>,
        champion: Entry,
    ) -> Self {
        let title = champion.champion.unwrap_or_else(Title::first);
        Self { rules, key, datasets, challengers, champion, title, tally: BTreeMap::new() }
    }

    /// The sequence number that breaks ties.
    pub fn seq(&self, id: &SubmissionId) -> u64 {
        self.challengers.get(id).map_or(self.champion.seq, |entry| entry.seq)
    }

    /// The round that follows, for survivors in rank order.
    pub fn next(self, ranked: Vec<SubmissionId>, round: u32) -> Next {
        match ranked.as_slice() {
            [] => Next::Decided(Decided::unchallenged(self)),
            [challenger] => Next::Boss(Boss::draw(self, *challenger, round)),
            _ => Next::Knockout(Knockout::draw(self, ranked, round)),
        }
    }

    pub fn tasks(&self, round: u32, stage: RoundKind, pairings: Vec<Vec<SubmissionId>>) -> Vec<Task> {
        draw_tasks(&self.key, &self.rules.mix_ppm, &self.datasets, (round, stage), pairings)
    }

    /// Every participant has an outcome, nobody else has one, and not too many trainings failed.
    pub fn check(&self, tasks: &[Task], outcomes: &Outcomes) -> Result<(), SettleError> {
        let named: BTreeSet<_> = tasks.iter().map(|task| task.id.as_str()).collect();
        if let Some(task) = outcomes.tasks.keys().find(|id| !named.contains(id.as_str())) {
            return Err(SettleError::ForeignOutcome { task: task.clone() });
        }
        for task in tasks {
            let none = BTreeMap::new();
            let got = outcomes.tasks.get(&task.id).unwrap_or(&none);
            if let Some(submission) = task.participants.iter().find(|id| !got.contains_key(id)) {
                return Err(SettleError::OutcomeMissing { task: task.id.clone(), submission: *submission });
            }
            if got.len() != task.participants.len() {
                return Err(SettleError::ForeignOutcome { task: task.id.clone() });
            }
            self.check_failures(task, got, outcomes)?;
        }
        Ok(())
    }

    fn check_failures(
        &self,
        task: &Task,
        got: &BTreeMap<SubmissionId, Outcome>,
        outcomes: &Outcomes,
    ) -> Result<(), SettleError> {
        let rule = &self.rules.failures;
        if rule.too_many == TooMany::Off || outcomes.excused.contains(&task.id) {
            return Ok(());
        }
        let failed = got.values().filter(|outcome| matches!(outcome, Outcome::Failed)).count();
        let (failed, of) = (u32::try_from(failed).unwrap_or(u32::MAX), u32::try_from(got.len()).unwrap_or(0));
        if u64::from(failed) * u64::from(PPM_ONE) > u64::from(of) * u64::from(rule.above_ppm.0) {
            return Err(SettleError::TooManyFailures { task: task.id.clone(), failed, of });
        }
        Ok(())
    }

    /// Books a task's points and gives its result; the winner is the caller's to name.
    pub fn book(
        &mut self,
        task: &Task,
        got: &BTreeMap<SubmissionId, Outcome>,
        winner: Option<SubmissionId>,
        verdict: Option<Verdict>,
    ) -> Result<TaskResult, Overflow> {
        let ranked = ranking(task.kind.direction(), got, |id| self.seq(id));
        let points = task_points(&self.rules.points, got, &ranked);
        let weight = self.rules.weights_ppm.of(task.kind).0;
        let value = round_value(self.rules.points.round_value, task.round)?;
        let overflow = Overflow { what: "points" };
        let mut rows = Vec::with_capacity(got.len());
        for (id, outcome) in got {
            let points = points.get(id).copied().unwrap_or(0);
            let tally = self.tally.entry(*id).or_default();
            tally.reached = task.round;
            tally.valid |= outcome.score().is_some();
            tally.task_points =
                tally.task_points.checked_add(i64::from(points) * i64::from(weight)).ok_or(overflow)?;
            if winner == Some(*id) && *id != self.champion.submission {
                let more = value.checked_mul(u64::from(weight)).ok_or(overflow)?;
                tally.round_points = tally.round_points.checked_add(more).ok_or(overflow)?;
            }
            rows.push(ResultRow { submission: *id, outcome: *outcome, points });
        }
        Ok(TaskResult { task: task.id.clone(), winner, verdict, rows })
    }
}

/// Everybody in one group, one task.
#[derive(Debug, Clone)]
pub struct Group {
    course: Course,
    tasks: Vec<Task>,
}

/// The state after the group round.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AfterGroup {
    Knockout(Knockout),
    Boss(Boss),
    /// No valid outcome in the whole round: the champion keeps the title.
    Decided(Decided),
}

impl Group {
    pub(crate) fn draw(course: Course, field: Vec<SubmissionId>) -> Self {
        let tasks = course.tasks(1, RoundKind::Group, vec![field]);
        Self { course, tasks }
    }

    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Ranks the group; its best go on.
    pub fn settle(
        self,
        outcomes: &Outcomes,
    ) -> Result<(RoundResult, AfterGroup), Box<Refused<Self, SettleError>>> {
        let mut course = self.course.clone();
        let advance = usize::try_from(course.rules.group.advance).unwrap_or(usize::MAX);
        let mut ranked = Vec::new();
        let results = course.check(&self.tasks, outcomes).and_then(|()| {
            let mut results = Vec::with_capacity(self.tasks.len());
            for task in &self.tasks {
                let Some(got) = outcomes.tasks.get(&task.id) else { continue };
                let best = ranking(task.kind.direction(), got, |id| course.seq(id));
                results.push(course.book(task, got, best.first().copied(), None)?);
                ranked.extend(best.into_iter().take(advance));
            }
            Ok(results)
        });
        let tasks = match results {
            Ok(tasks) => tasks,
            Err(error) => return Err(Box::new(Refused { state: self, error })),
        };
        let result =
            RoundResult { round: 1, stage: RoundKind::Group, tasks, bye: None, advancing: ranked.clone() };
        let after = match course.next(ranked, 2) {
            Next::Knockout(state) => AfterGroup::Knockout(state),
            Next::Boss(state) => AfterGroup::Boss(state),
            Next::Decided(state) => AfterGroup::Decided(state),
        };
        Ok((result, after))
    }
}

/// Pairs; the better disclosed score goes on.
#[derive(Debug, Clone)]
pub struct Knockout {
    course: Course,
    round: u32,
    /// Best ranked of the round before first.
    members: Vec<SubmissionId>,
    bye: Option<SubmissionId>,
    tasks: Vec<Task>,
}

/// The state after a knockout round.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AfterKnockout {
    Knockout(Knockout),
    Boss(Boss),
    /// No valid outcome in the whole round: the champion keeps the title.
    Decided(Decided),
}

impl Knockout {
    pub(crate) fn draw(course: Course, members: Vec<SubmissionId>, round: u32) -> Self {
        let (bye, pairs) = draw_pairs(&course.key, round, &members);
        let tasks = course.tasks(round, RoundKind::Knockout, pairs);
        Self { course, round, members, bye, tasks }
    }

    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    pub fn round(&self) -> u32 {
        self.round
    }

    /// The member that goes on without a match.
    pub fn bye(&self) -> Option<SubmissionId> {
        self.bye
    }

    /// Winners go on in the order of their rank; who had the bye comes after them, so that the next
    /// bye is another's. A pair without a valid score sends nobody.
    pub fn settle(
        self,
        outcomes: &Outcomes,
    ) -> Result<(RoundResult, AfterKnockout), Box<Refused<Self, SettleError>>> {
        let mut course = self.course.clone();
        let mut winners = BTreeSet::new();
        let results = course.check(&self.tasks, outcomes).and_then(|()| {
            let mut results = Vec::with_capacity(self.tasks.len());
            for task in &self.tasks {
                let Some(got) = outcomes.tasks.get(&task.id) else { continue };
                let winner = ranking(task.kind.direction(), got, |id| course.seq(id)).first().copied();
                winners.extend(winner);
                results.push(course.book(task, got, winner, None)?);
            }
            Ok(results)
        });
        let tasks = match results {
            Ok(tasks) => tasks,
            Err(error) => return Err(Box::new(Refused { state: self, error })),
        };
        let mut ranked: Vec<_> = self.members.iter().filter(|id| winners.contains(id)).copied().collect();
        ranked.extend(self.bye);
        let (round, stage) = (self.round, RoundKind::Knockout);
        let result = RoundResult { round, stage, tasks, bye: self.bye, advancing: ranked.clone() };
        let after = match course.next(ranked, self.round + 1) {
            Next::Knockout(state) => AfterKnockout::Knockout(state),
            Next::Boss(state) => AfterKnockout::Boss(state),
            Next::Decided(state) => AfterKnockout::Decided(state),
        };
        Ok((result, after))
    }
}
