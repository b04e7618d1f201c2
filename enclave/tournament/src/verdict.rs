//! Who wins a task: the champion's margin, and what a missing score means (TOURNAMENT 4).

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::ids::SubmissionId;
use crate::rulebook::{Direction, MarginRule};
use crate::units::{Disclosed, PPM_ONE, Ppm};

/// What one participant's work on a task came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Trained and measured.
    Scored { score: Disclosed },
    /// Trained, but there is no measurement of it.
    Unscored,
    /// No training, or one that is no fine-tuning of the base.
    Failed,
    /// The same artefact, or the same item losses, as an earlier submission of the task.
    DuplicateOf { submission: SubmissionId },
}

impl Outcome {
    /// The score, where there is a valid one.
    pub fn score(&self) -> Option<Disclosed> {
        match self {
            Self::Scored { score } => Some(*score),
            _ => None,
        }
    }
}

/// Who won a task of the boss round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Champion,
    Challenger,
    /// Not counted.
    Undecided,
}

impl MarginRule {
    /// The margin against a champion with `titles` consecutive titles, the present one included.
    pub fn at(&self, titles: NonZeroU32) -> Ppm {
        match self {
            Self::Steps { ppm } => {
                let step = usize::try_from(titles.get() - 1).unwrap_or(usize::MAX);
                ppm.get(step).or(ppm.last()).copied().unwrap_or(Ppm(PPM_ONE))
            }
            Self::Decay { start_ppm, factor_ppm, floor_ppm } => {
                let mut margin = u64::from(start_ppm.0);
                for _ in 1..titles.get() {
                    let next = margin * u64::from(factor_ppm.0) / u64::from(PPM_ONE);
                    if next == margin || next < u64::from(floor_ppm.0) {
                        margin = next;
                        break;
                    }
                    margin = next;
                }
                Ppm(u32::try_from(margin).unwrap_or(PPM_ONE).max(floor_ppm.0))
            }
        }
    }
}

/// What the challenger must gain on the champion's score, in steps of 1e-4; at least one step.
///
/// Taken of the absolute value: a product with the sign in it turns the margin round below zero, and
/// gives none at all at zero.
pub fn need(champion: Disclosed, margin: Ppm) -> i128 {
    let product = i128::from(margin.0) * i128::from(champion.steps()).abs();
    let one = i128::from(PPM_ONE);
    ((product + one - 1) / one).max(1)
}

/// Whether the challenger's score passes the champion's by the margin.
pub fn passes(direction: Direction, champion: Disclosed, challenger: Disclosed, margin: Ppm) -> bool {
    let (b, c) = (i128::from(champion.steps()), i128::from(challenger.steps()));
    match direction {
        Direction::LowerIsBetter => c <= b - need(champion, margin),
        Direction::HigherIsBetter => c >= b + need(champion, margin),
    }
}

/// The verdict on one boss task: the nine cells of TOURNAMENT 4. A duplicate counts as failed.
pub fn boss_verdict(direction: Direction, champion: &Outcome, challenger: &Outcome, margin: Ppm) -> Verdict {
    use Outcome::{DuplicateOf, Failed, Scored, Unscored};
    match (champion, challenger) {
        (Scored { score: b }, Scored { score: c }) => {
            if passes(direction, *b, *c, margin) {
                Verdict::Challenger
            } else {
                Verdict::Champion
            }
        }
        (Scored { .. }, Unscored | Failed | DuplicateOf { .. }) => Verdict::Champion,
        (Unscored, Scored { .. }) => Verdict::Challenger,
        (Unscored, Unscored) => Verdict::Undecided,
        (Unscored, Failed | DuplicateOf { .. }) => Verdict::Champion,
        (Failed | DuplicateOf { .. }, Scored { .. } | Unscored) => Verdict::Challenger,
        (Failed | DuplicateOf { .. }, Failed | DuplicateOf { .. }) => Verdict::Champion,
    }
}

/// `score` as a key that sorts the better one first.
pub fn better_first(direction: Direction, score: Disclosed) -> i64 {
    match direction {
        Direction::LowerIsBetter => i64::from(score.steps()),
        Direction::HigherIsBetter => -i64::from(score.steps()),
    }
}

/// The challenger's improvement on the champion, relative to the champion's score, in ppm (floor);
/// none at a champion's score of zero.
pub fn relative_gain_ppm(direction: Direction, champion: Disclosed, challenger: Disclosed) -> Option<i64> {
    let (b, c) = (i128::from(champion.steps()), i128::from(challenger.steps()));
    let gain = match direction {
        Direction::LowerIsBetter => b - c,
        Direction::HigherIsBetter => c - b,
    };
    let scale = b.abs();
    if scale == 0 { None } else { i64::try_from((gain * i128::from(PPM_ONE)).div_euclid(scale)).ok() }
}
