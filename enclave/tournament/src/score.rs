//! From item losses to the one number that may leave (TOURNAMENT 8), and what it costs to say it.

use std::collections::BTreeMap;

use crate::units::{Disclosed, Micro};

/// Bits of one disclosed score, or of the status that stands in its place.
pub const SCORE_BITS: u64 = 19;
/// Bits of one status.
pub const STATUS_BITS: u64 = 3;
/// Bits of one duration in 15-minute buckets.
pub const DURATION_BITS: u64 = 6;
/// Largest duration bucket that fits [`DURATION_BITS`].
pub const DURATION_BUCKET_MAX: u32 = 63;
/// Bits of one train order's answer.
pub const TRAIN_BITS: u64 = STATUS_BITS + DURATION_BITS;
/// Bits of one (submission, task): a train order's answer and its score.
pub const OUTCOME_BITS: u64 = TRAIN_BITS + SCORE_BITS;

/// Mean loss per label over all items, in steps of 1e-4, rounded half to even, clamped.
///
/// Each item is (summed cross entropy, label count); items without labels are left out. `None` when no
/// label is left, or a sum passes 128 bits. A model with an item that was not finite has no score:
/// the caller doesn't call this, since leaving such items out would reward producing them.
pub fn score_losses(items: &[(Micro, u32)]) -> Option<Disclosed> {
    let mut sum = 0_i128;
    let mut labels = 0_i128;
    for (loss, count) in items.iter().filter(|(_, count)| *count > 0) {
        sum = sum.checked_add(i128::from(loss.0))?;
        labels = labels.checked_add(i128::from(*count))?;
    }
    // One division for the whole fraction: rounding twice could move a tie.
    let per_step = labels.checked_mul(100)?;
    if per_step == 0 {
        return None;
    }
    let floor = sum.div_euclid(per_step);
    let twice_rest = sum.rem_euclid(per_step).checked_mul(2)?;
    let up = twice_rest > per_step || (twice_rest == per_step && floor.rem_euclid(2) == 1);
    Some(Disclosed::clamped(floor + i128::from(up)))
}

/// The record may not say more about a dataset than its cap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "dataset {dataset}: expected at most {cap} disclosed bits, found {spent} booked and {asked} asked\nraise `output.cap_bits` in a new charter, or let the result stay with the owner"
)]
pub struct OutputBudget {
    pub dataset: String,
    pub spent: u64,
    pub asked: u64,
    pub cap: u64,
}

/// Bits booked per dataset, before the order that will disclose them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    cap: u64,
    spent: BTreeMap<String, u64>,
}

impl Budget {
    pub fn new(cap: u64) -> Self {
        Self { cap, spent: BTreeMap::new() }
    }

    pub fn cap(&self) -> u64 {
        self.cap
    }

    /// Bits booked for a dataset so far.
    pub fn spent(&self, dataset: &str) -> u64 {
        self.spent.get(dataset).copied().unwrap_or_default()
    }

    /// Whether `bits` more would fit.
    pub fn check(&self, dataset: &str, bits: u64) -> Result<(), OutputBudget> {
        let spent = self.spent(dataset);
        match spent.checked_add(bits) {
            Some(total) if total <= self.cap => Ok(()),
            _ => Err(OutputBudget { dataset: dataset.to_owned(), spent, asked: bits, cap: self.cap }),
        }
    }

    /// Books `bits`, or changes nothing.
    pub fn book(&mut self, dataset: &str, bits: u64) -> Result<(), OutputBudget> {
        self.check(dataset, bits)?;
        *self.spent.entry(dataset.to_owned()).or_default() += bits;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn steps(items: &[(i64, u32)]) -> Option<i32> {
        let items: Vec<_> = items.iter().map(|(loss, labels)| (Micro(*loss), *labels)).collect();
        score_losses(&items).map(Disclosed::steps)
    }

    #[test]
    fn mean_is_over_labels_not_items() {
        // (3.0 + 1.0) / (1 + 3) = 1.0; a mean of means would give 1.6667.
        assert_eq!(steps(&[(3_000_000, 1), (1_000_000, 3)]), Some(10_000));
        assert_eq!(steps(&[(3_000_000, 1), (9_000_000, 0)]), Some(30_000));
    }

    #[test]
    fn halves_go_to_even_and_once() {
        assert_eq!(steps(&[(150, 1)]), Some(2));
        assert_eq!(steps(&[(250, 1)]), Some(2));
        assert_eq!(steps(&[(251, 1)]), Some(3));
        assert_eq!(steps(&[(-150, 1)]), Some(-2));
        assert_eq!(steps(&[(-250, 1)]), Some(-2));
        assert_eq!(steps(&[(-50, 1)]), Some(0));
        assert_eq!(steps(&[(300, 2)]), Some(2));
        assert_eq!(steps(&[(299, 2)]), Some(1));
    }

    #[test]
    fn edges_clamp_and_nothing_is_none() {
        assert_eq!(steps(&[]), None);
        assert_eq!(steps(&[(5, 0)]), None);
        assert_eq!(steps(&[(i64::MAX, 1), (i64::MAX, 1)]), Some(Disclosed::MAX));
        assert_eq!(steps(&[(i64::MIN, 1)]), Some(Disclosed::MIN));
    }

    #[test]
    fn budget_books_per_dataset_and_refuses_whole() {
        assert_eq!(OUTCOME_BITS, 28);
        let mut budget = Budget::new(60);
        assert!(budget.book("a", 28).is_ok());
        assert!(budget.book("a", 28).is_ok());
        let refused = budget.book("a", 5).unwrap_err();
        assert_eq!((refused.spent, refused.asked, refused.cap), (56, 5, 60));
        assert_eq!(budget.spent("a"), 56);
        assert!(budget.book("a", 4).is_ok());
        assert!(budget.book("b", 60).is_ok());
        assert!(budget.check("b", u64::MAX).is_err());
    }
}
