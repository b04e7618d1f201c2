//! Item losses: their salted root, which is public, and the score that follows from them.

use tiltyard_attestation::Hex;
use tiltyard_provisioning::dataset::{SplitSeed, losses_root};
use tiltyard_provisioning::order::{ItemLoss, ItemLosses};
use tiltyard_tournament::{Micro, score_losses};
use tiltyard_training::ItemValue;

use crate::error::GuestError;

/// Item losses of one model, committed to under salts that only the owner and the referee learn.
///
/// `model` keeps the salts of different submissions apart; the base model's is all zero.
pub(crate) fn commit(
    seed: &SplitSeed,
    model: &Hex<32>,
    item_ids: &[Hex<32>],
    values: &[ItemValue],
) -> Result<ItemLosses, GuestError> {
    if item_ids.len() != values.len() {
        return Err(GuestError::Crypto("one loss per item"));
    }
    let items: Vec<ItemLoss> = item_ids
        .iter()
        .zip(values)
        .map(|(item, value)| ItemLoss {
            item: *item,
            loss_micro: value.loss_micro,
            labels: value.labels,
            salt: seed.loss_salt(model, item),
        })
        .collect();
    let root = losses_root(&items);
    Ok(ItemLosses { items, root })
}

/// Mean loss per label in 1e-4 nat; none when an item was not finite or nothing was labelled.
pub(crate) fn score(losses: &ItemLosses) -> Option<i32> {
    // An item without labels is left out, whatever its loss: it says nothing about a model.
    let labelled = losses.items.iter().filter(|item| item.labels > 0);
    let values: Option<Vec<(Micro, u32)>> =
        labelled.map(|item| Some((Micro(item.loss_micro?), item.labels))).collect();
    score_losses(&values?).map(tiltyard_tournament::Disclosed::steps)
}
