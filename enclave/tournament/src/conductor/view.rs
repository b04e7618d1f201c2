//! What pages and the API show: all of it is in the record already.

use serde::{Deserialize, Serialize};

use super::{Conductor, End, Round, Stage};
use crate::entries::Entry;
use crate::fixtures::RoundKind;
use crate::ids::{Digest, EntrantId, Label, SubmissionId};
use crate::ledger::TaskLedger;
use crate::record::Status;
use crate::rounds::RoundResult;
use crate::rulebook::TaskKind;
use crate::units::{Disclosed, UnixSeconds, wide};

/// The whole tournament at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub tournament: String,
    pub charter: Digest,
    pub rulebook_sha256: Digest,
    pub draw_commitment: Digest,
    /// `entries`, `group`, `knockout`, `boss`, `ended` or `revealed`.
    pub stage: String,
    /// Set at the end: `kept`, `taken` or `cancelled`.
    pub ending: Option<String>,
    /// Who holds the title: the defender until the end.
    pub holder: Option<SubmissionId>,
    #[serde(with = "wide")]
    pub leaves: u64,
    pub entries: Vec<EntryView>,
    pub rounds: Vec<RoundView>,
    pub budget: Vec<BudgetView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryView {
    pub submission: SubmissionId,
    pub entrant: EntrantId,
    pub label: Label,
    #[serde(with = "wide")]
    pub seq: u64,
    pub champion: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundView {
    pub number: u32,
    pub stage: RoundKind,
    pub opens: UnixSeconds,
    pub bye: Option<SubmissionId>,
    pub tasks: Vec<TaskView>,
    pub result: Option<RoundResult>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskView {
    pub task: String,
    pub kind: TaskKind,
    pub dataset: String,
    pub seed: Digest,
    /// Loss of the untouched base model.
    pub base: Option<Disclosed>,
    pub fingerprint: Option<Digest>,
    pub evaluations: u32,
    pub trainings: Vec<TrainingView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingView {
    pub submission: SubmissionId,
    pub label: Option<Label>,
    pub attempts: u32,
    /// Ordered, and not answered yet.
    pub running: bool,
    /// What the training came to.
    pub status: Option<Status>,
    pub duration_bucket: Option<u32>,
    /// What the evaluation of its artefact came to.
    pub evaluated: Option<Status>,
    pub score: Option<Disclosed>,
    pub artefact_sha256: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetView {
    pub dataset: String,
    pub spent_bits: u64,
    pub cap_bits: u64,
}

/// Everybody's line, best first once it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standings {
    pub decided: bool,
    pub rows: Vec<StandingRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingRow {
    /// Set once it is decided.
    pub place: Option<u32>,
    pub submission: SubmissionId,
    pub entrant: EntrantId,
    pub label: Label,
    /// Defends the title.
    pub champion: bool,
    /// The last round that it took part in.
    pub reached: u32,
    /// In millionths of a point; set once it is decided.
    #[serde(with = "wide")]
    pub round_points: u64,
    /// In millionths of a point; set once it is decided.
    pub task_points: i64,
    /// One line per task in which it was scored.
    pub scores: Vec<ScoreLine>,
}

/// Held-out loss before and after training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreLine {
    pub task: String,
    pub before: Option<Disclosed>,
    pub after: Disclosed,
}

impl Conductor {
    /// Everything that pages show, bracket by bracket.
    pub fn state(&self) -> State {
        let ending = match &self.stage {
            Stage::Ended(end) | Stage::Revealed(end) => Some(self.decided_ending(end)),
            _ => None,
        };
        let defender = self.entrants.values().find(|entry| entry.champion.is_some());
        let holder = self.decided().map(|decided| decided.holder());
        State {
            tournament: self.tournament().to_owned(),
            charter: self.setup.charter,
            rulebook_sha256: self.rules.sha256(),
            draw_commitment: self.commitment.0,
            stage: self.stage_name().to_owned(),
            ending: ending.map(str::to_owned),
            holder: holder.or(defender.map(|entry| entry.submission)),
            leaves: self.leaf_count(),
            entries: self.entrants.values().map(entry_view).collect(),
            rounds: self.rounds.iter().map(|round| self.round_view(round)).collect(),
            budget: self.budget_view(),
        }
    }

    /// Places, points, and held-out losses before and after.
    pub fn standings(&self) -> Standings {
        let Some(decided) = self.decided() else {
            let rows = self.entrants.values().map(|entry| self.standing_row(entry)).collect();
            return Standings { decided: false, rows };
        };
        let rows = decided.standings().into_iter().filter_map(|standing| {
            let mut row = self.standing_row(self.entrants.get(&standing.submission)?);
            row.place = standing.place;
            row.reached = standing.reached;
            row.round_points = standing.round_points;
            row.task_points = standing.task_points;
            Some(row)
        });
        Standings { decided: true, rows: rows.collect() }
    }

    fn standing_row(&self, entry: &Entry) -> StandingRow {
        let id = entry.submission;
        let took_part = |round: &&Round| round.tasks.iter().any(|l| l.trainings.contains_key(&id));
        StandingRow {
            place: None,
            submission: id,
            entrant: entry.entrant,
            label: entry.label.clone(),
            champion: entry.champion.is_some(),
            reached: self.rounds.iter().filter(took_part).map(|round| round.number).max().unwrap_or(0),
            round_points: 0,
            task_points: 0,
            scores: self
                .rounds
                .iter()
                .flat_map(|round| &round.tasks)
                .filter_map(|l| score_line(l, id))
                .collect(),
        }
    }

    fn stage_name(&self) -> &'static str {
        match &self.stage {
            Stage::Entries(_) => "entries",
            Stage::Group(_) => "group",
            Stage::Knockout(_) => "knockout",
            Stage::Boss(_) => "boss",
            Stage::Ended(_) => "ended",
            Stage::Revealed(_) => "revealed",
        }
    }

    fn decided_ending(&self, end: &End) -> &'static str {
        match end {
            End::Cancelled(_) => "cancelled",
            End::Decided(decided) if decided.holder() == decided.defender() => "kept",
            End::Decided(_) => "taken",
        }
    }

    fn round_view(&self, round: &Round) -> RoundView {
        RoundView {
            number: round.number,
            stage: round.kind,
            opens: round.opens,
            bye: round.bye,
            tasks: round.tasks.iter().map(|ledger| self.task_view(ledger)).collect(),
            result: round.result.clone(),
        }
    }

    fn task_view(&self, ledger: &TaskLedger) -> TaskView {
        let outcome = ledger.evaluation.outcome.as_ref();
        let trainings = ledger.trainings.iter().map(|(id, training)| {
            let row = outcome.and_then(|outcome| outcome.scores.iter().find(|row| row.submission == *id));
            TrainingView {
                submission: *id,
                label: self.entrants.get(id).map(|entry| entry.label.clone()),
                attempts: training.attempts,
                running: !training.open.is_empty(),
                status: training.outcome.as_ref().map(|outcome| outcome.status),
                duration_bucket: training.outcome.as_ref().map(|outcome| outcome.duration_bucket),
                evaluated: row.map(|row| row.status),
                score: row.and_then(|row| row.score),
                artefact_sha256: row.and_then(|row| row.artefact_sha256),
            }
        });
        TaskView {
            task: ledger.task.id.clone(),
            kind: ledger.task.kind,
            dataset: ledger.task.dataset.clone(),
            seed: ledger.task.seed,
            base: outcome.and_then(|outcome| outcome.base.score),
            fingerprint: outcome.map(|outcome| outcome.fingerprint),
            evaluations: ledger.evaluation.attempts,
            trainings: trainings.collect(),
        }
    }

    fn budget_view(&self) -> Vec<BudgetView> {
        let view = |dataset: &String| {
            let (spent_bits, cap_bits) = self.budget(dataset);
            BudgetView { dataset: dataset.clone(), spent_bits, cap_bits }
        };
        self.setup.datasets.iter().map(view).collect()
    }
}

fn entry_view(entry: &Entry) -> EntryView {
    EntryView {
        submission: entry.submission,
        entrant: entry.entrant,
        label: entry.label.clone(),
        seq: entry.seq,
        champion: entry.champion.is_some(),
    }
}

fn score_line(ledger: &TaskLedger, id: SubmissionId) -> Option<ScoreLine> {
    let outcome = ledger.evaluation.outcome.as_ref()?;
    let after = outcome.scores.iter().find(|row| row.submission == id)?.score?;
    Some(ScoreLine { task: ledger.task.id.clone(), before: outcome.base.score, after })
}
