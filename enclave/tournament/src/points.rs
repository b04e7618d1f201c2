//! Points, rank weights, pools and shares (TOURNAMENT 9).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{EntrantId, SubmissionId};
use crate::rulebook::{Direction, PointRules, PoolRules, RankRules, RoundValue};
use crate::units::{Minor, PPM_ONE, Ppm};
use crate::verdict::{Outcome, better_first};

/// An amount passed the range of its integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: the value passes its integer")]
pub struct Overflow {
    pub what: &'static str,
}

/// Participants with a valid score, best first; equal scores by the lower sequence number.
pub fn ranking(
    direction: Direction,
    outcomes: &BTreeMap<SubmissionId, Outcome>,
    seq: impl Fn(&SubmissionId) -> u64,
) -> Vec<SubmissionId> {
    let mut valid: Vec<_> = outcomes
        .iter()
        .filter_map(|(id, outcome)| Some((better_first(direction, outcome.score()?), seq(id), *id)))
        .collect();
    valid.sort_unstable();
    valid.into_iter().map(|(_, _, id)| id).collect()
}

/// Points of every participant of one task: `ranked` are those with a valid score, best first.
pub fn task_points(
    rules: &PointRules,
    outcomes: &BTreeMap<SubmissionId, Outcome>,
    ranked: &[SubmissionId],
) -> BTreeMap<SubmissionId, i32> {
    let without_score = if ranked.is_empty() { 0 } else { rules.worst };
    let mut points: BTreeMap<_, _> =
        outcomes.iter().map(|(id, o)| (*id, if o.score().is_some() { 0 } else { without_score })).collect();
    // An evaluation that gave nothing is nobody's fault.
    for (id, outcome) in outcomes {
        if matches!(outcome, Outcome::Unscored) {
            points.insert(*id, 0);
        }
    }
    let one_in = usize::try_from(rules.worst_one_in).unwrap_or(usize::MAX).max(1);
    let from_field = usize::try_from(rules.worst_from_field).unwrap_or(usize::MAX);
    let worst = if outcomes.len() >= from_field { (ranked.len() / one_in).max(1) } else { 0 };
    for id in ranked.iter().skip(1).rev().take(worst) {
        points.insert(*id, rules.worst);
    }
    if let Some(best) = ranked.first() {
        points.insert(*best, rules.best);
    }
    points
}

/// What winning a task of `round` (from 1) is worth.
pub fn round_value(rule: RoundValue, round: u32) -> Result<u64, Overflow> {
    match rule {
        RoundValue::Geometric { ratio } => {
            u64::from(ratio).checked_pow(round.saturating_sub(1)).ok_or(Overflow { what: "round value" })
        }
        RoundValue::Linear => Ok(u64::from(round)),
    }
}

/// Weights of the places 1 to n, as exact fractions of one denominator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankWeights {
    numerators: Vec<u128>,
    sum: u128,
}

impl RankWeights {
    /// Place r weighs `num^(r-1) * den^(n-r)` over the sum of all.
    pub fn new(rules: &RankRules, places: usize) -> Result<Self, Overflow> {
        let overflow = Overflow { what: "rank weights" };
        let (num, den) = (u128::from(rules.decay_num), u128::from(rules.decay_den));
        let mut numerators = Vec::with_capacity(places);
        for place in 0..places {
            let down = u32::try_from(place).map_err(|_| overflow)?;
            let up = u32::try_from(places - 1 - place).map_err(|_| overflow)?;
            let weight = num.checked_pow(down).zip(den.checked_pow(up));
            numerators.push(weight.and_then(|(a, b)| a.checked_mul(b)).ok_or(overflow)?);
        }
        let sum = numerators.iter().try_fold(0_u128, |sum, n| sum.checked_add(*n)).ok_or(overflow)?;
        Ok(Self { numerators, sum })
    }

    /// `pool_ppm` times the mean weight of the places `first` to `first + tied - 1` (from 1), floor.
    pub fn part(&self, pool_ppm: u32, first: usize, tied: usize) -> Result<u32, Overflow> {
        let overflow = Overflow { what: "rank part" };
        let weights = self.numerators.iter().skip(first.saturating_sub(1)).take(tied);
        let weight: u128 = weights.sum();
        let tied = u128::try_from(tied).map_err(|_| overflow)?;
        let scaled = weight.checked_mul(u128::from(pool_ppm)).ok_or(overflow)?;
        let per = self.sum.checked_mul(tied).ok_or(overflow)?;
        if per == 0 {
            return Ok(0);
        }
        u32::try_from(scaled / per).map_err(|_| overflow)
    }
}

/// Sizes of the two pools, in ppm of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// For everybody but the champion.
    pub base_ppm: u32,
    /// For the champion.
    pub boosted_ppm: u32,
    /// The improvement that the boost comes from; may be negative.
    pub diff_ppm: i64,
}

impl Pools {
    /// `min(base + max(0, gain * (diff - from) - per_title * (titles - 1)), cap)`.
    pub fn new(rules: &PoolRules, diff_ppm: i64, titles: u32) -> Self {
        let above = i128::from(diff_ppm) - i128::from(rules.diff_from_ppm.0);
        let worn = i128::from(rules.per_title_ppm.0) * i128::from(titles.saturating_sub(1));
        let boost = (i128::from(rules.diff_gain) * above - worn).max(0);
        let boosted = (i128::from(rules.base_ppm.0) + boost).min(i128::from(rules.cap_ppm.0));
        Self {
            base_ppm: rules.base_ppm.0,
            boosted_ppm: u32::try_from(boosted).unwrap_or(rules.cap_ppm.0),
            diff_ppm,
        }
    }
}

/// Median of the tasks' improvements; of an even count the floor of the mean of the middle two;
/// 0 of none.
pub fn median_ppm(gains: &[i64]) -> i64 {
    let mut sorted = gains.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, middle.checked_sub(1).and_then(|i| sorted.get(i)), sorted.get(middle)) {
        (1, _, Some(value)) => *value,
        (_, Some(low), Some(high)) => {
            i64::try_from((i128::from(*low) + i128::from(*high)).div_euclid(2)).unwrap_or(*low)
        }
        _ => 0,
    }
}

/// One participant's part of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    pub submission: SubmissionId,
    pub entrant: EntrantId,
    /// 0: took part without a rank.
    pub place: u32,
    pub share_ppm: u32,
}

/// All shares; with `unspent_ppm` they are exactly one million.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    pub pools: Pools,
    /// By place, then submission; those without a place last.
    pub rows: Vec<Share>,
    /// Returned to whoever paid.
    pub unspent_ppm: u32,
}

/// A place in the ranking; equal places are a tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub submission: SubmissionId,
    pub entrant: EntrantId,
    /// From 1, `None` for a participant without a valid result. The champion alone has place 1.
    pub place: Option<u32>,
}

impl Shares {
    /// The champion's part comes from the boosted pool, everybody else's from the base pool.
    pub fn new(
        pool_rules: &PoolRules,
        rank_rules: &RankRules,
        pools: Pools,
        placed: &[Placed],
    ) -> Result<Self, Overflow> {
        let overflow = Overflow { what: "shares" };
        let part_taking = pool_rules.participant_ppm.0;
        let n = u32::try_from(placed.len()).map_err(|_| overflow)?;
        let for_pools =
            part_taking.checked_mul(n).and_then(|all| PPM_ONE.checked_sub(all)).ok_or(overflow)?;
        let weights = RankWeights::new(rank_rules, placed.iter().filter(|p| p.place.is_some()).count())?;
        let scaled = |pool: u32| Ppm(floor_ppm(pool, for_pools));
        let mut rows = Vec::with_capacity(placed.len());
        for one in placed {
            let part = match one.place {
                None => 0,
                Some(place) => {
                    let pool = scaled(if place == 1 { pools.boosted_ppm } else { pools.base_ppm });
                    let tied = placed.iter().filter(|p| p.place == one.place).count();
                    weights.part(pool.0, usize::try_from(place).map_err(|_| overflow)?, tied)?
                }
            };
            let share_ppm = part_taking.checked_add(part).ok_or(overflow)?;
            let (submission, entrant) = (one.submission, one.entrant);
            rows.push(Share { submission, entrant, place: one.place.unwrap_or(0), share_ppm });
        }
        rows.sort_unstable_by_key(|row| (row.place == 0, row.place, row.submission));
        let spent = rows.iter().try_fold(0_u32, |sum, r| sum.checked_add(r.share_ppm)).ok_or(overflow)?;
        let unspent_ppm = PPM_ONE.checked_sub(spent).ok_or(overflow)?;
        Ok(Self { pools, rows, unspent_ppm })
    }

    /// Divides `amount` by largest remainder, ties by submission id; parts and rest are the amount.
    pub fn divide(&self, amount: Minor) -> Payout {
        let one = u128::from(PPM_ONE);
        let of = |ppm: u32| u128::from(amount.0) * u128::from(ppm);
        // `None` is the unspent rest, which takes part in the rounding like everybody else.
        let mut parts: Vec<(Option<SubmissionId>, u128, u128)> = self
            .rows
            .iter()
            .map(|row| (Some(row.submission), of(row.share_ppm) / one, of(row.share_ppm) % one))
            .collect();
        parts.push((None, of(self.unspent_ppm) / one, of(self.unspent_ppm) % one));
        let given: u128 = parts.iter().map(|(_, part, _)| part).sum();
        let left = usize::try_from(u128::from(amount.0).saturating_sub(given)).unwrap_or(0);
        parts.sort_unstable_by_key(|(id, _, rest)| (std::cmp::Reverse(*rest), id.is_none(), *id));
        for (_, part, _) in parts.iter_mut().take(left) {
            *part += 1;
        }
        parts.sort_unstable_by_key(|(id, _, _)| *id);
        let minor = |part: u128| Minor(u64::try_from(part).unwrap_or(amount.0));
        let unspent = parts.iter().find(|(id, _, _)| id.is_none()).map_or(Minor(0), |(_, p, _)| minor(*p));
        let rows = parts.into_iter().filter_map(|(id, part, _)| Some((id?, minor(part)))).collect();
        Payout { rows, unspent }
    }
}

/// An amount of money, divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// Ascending by submission.
    pub rows: Vec<(SubmissionId, Minor)>,
    pub unspent: Minor,
}

fn floor_ppm(value: u32, ppm: u32) -> u32 {
    let scaled = u64::from(value) * u64::from(ppm) / u64::from(PPM_ONE);
    u32::try_from(scaled).unwrap_or(value)
}
