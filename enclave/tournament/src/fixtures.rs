//! Fixtures: which task, on which dataset, between whom (TOURNAMENT 3 and 5).

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::draw::{DrawKey, Stream};
use crate::ids::{Digest, SubmissionId};
use crate::rulebook::{PerKind, TaskKind};

/// The three stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundKind {
    Group,
    Knockout,
    Boss,
}

/// An owner's dataset that tasks may be drawn on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    pub id: String,
    pub kind: TaskKind,
}

/// One task of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// `r<round>-<g|k|b><number>`
    pub id: String,
    /// From 1.
    pub round: u32,
    pub stage: RoundKind,
    pub kind: TaskKind,
    pub dataset: String,
    /// Names the randomness of the trainings: initialisation and data order.
    pub seed: Digest,
    /// Ascending.
    pub participants: Vec<SubmissionId>,
}

/// Draws the tasks of one round, in the order of `pairings`, from the label `tasks/R`.
pub(crate) fn draw_tasks(
    key: &DrawKey,
    mix: &PerKind,
    datasets: &[Dataset],
    (round, stage): (u32, RoundKind),
    pairings: Vec<Vec<SubmissionId>>,
) -> Vec<Task> {
    let mut stream = key.stream(&format!("tasks/{round}"));
    let letter = match stage {
        RoundKind::Group => 'g',
        RoundKind::Knockout => 'k',
        RoundKind::Boss => 'b',
    };
    let mut tasks = Vec::with_capacity(pairings.len());
    for (index, mut participants) in pairings.into_iter().enumerate() {
        participants.sort_unstable();
        let kind = draw_kind(&mut stream, mix, datasets);
        let of_kind: Vec<_> = datasets.iter().filter(|dataset| dataset.kind == kind).collect();
        let dataset = stream.pick(&of_kind).map(|dataset| dataset.id.clone()).unwrap_or_default();
        let seed = stream.bytes32();
        let id = format!("r{round}-{letter}{}", index + 1);
        tasks.push(Task { id, round, stage, kind, dataset, seed, participants });
    }
    tasks
}

/// A kind by the rulebook's mix, renormalised over the kinds that there are datasets for.
fn draw_kind(stream: &mut Stream, mix: &PerKind, datasets: &[Dataset]) -> TaskKind {
    let kinds = [TaskKind::Instruct, TaskKind::Dpo, TaskKind::Grpo, TaskKind::Image];
    let there: Vec<_> = kinds
        .into_iter()
        .filter(|kind| datasets.iter().any(|dataset| dataset.kind == *kind))
        .map(|kind| (kind, u64::from(mix.of(kind).0)))
        .collect();
    let first = there.first().map_or(TaskKind::Instruct, |(kind, _)| *kind);
    let Some(total) = NonZeroU64::new(there.iter().map(|(_, weight)| weight).sum()) else { return first };
    let mut x = stream.below(total);
    for (kind, weight) in there {
        match x.checked_sub(weight) {
            None => return kind,
            Some(rest) => x = rest,
        }
    }
    first
}

/// Pairs of one knockout round; an odd field gives its best ranked a bye.
///
/// The shuffle starts from ascending ids, so no order of arrival goes into it.
pub(crate) fn draw_pairs(
    key: &DrawKey,
    round: u32,
    ranked: &[SubmissionId],
) -> (Option<SubmissionId>, Vec<Vec<SubmissionId>>) {
    let (bye, rest) = match ranked.split_first() {
        Some((best, rest)) if ranked.len() % 2 == 1 => (Some(*best), rest),
        _ => (None, ranked),
    };
    let mut order = rest.to_vec();
    order.sort_unstable();
    key.stream(&format!("pairs/{round}")).shuffle(&mut order);
    (bye, order.chunks(2).map(<[SubmissionId]>::to_vec).collect())
}
