//! Per-item losses in fixed point, independent of batches and threads (TRAINING 13, TOURNAMENT 8).

use crate::adapter::Adapter;
use crate::data::{Encoded, Item, LossOn, encode, pack};
use crate::model::decoder::Lora;
use crate::model::{BaseModel, Model};
use crate::ops::{ce, with_values};
use crate::tape::Tape;
use crate::{EvaluateError, OpError};

/// Rows that are computed together; a row's bits don't depend on it.
const BATCH_ROWS: usize = 512;
/// Largest magnitude of a value; beyond, an item is invalid.
const MAX_LOSS: f64 = 1e6;

/// What one item came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemValue {
    /// Sum of the cross-entropies of the labels, 1e-6 nat; `None` for an item without labels, and for one
    /// whose loss isn't a number or over 1e6.
    pub loss_micro: Option<i64>,
    /// Labels that it is the sum of; 0 where none is left within the sequence length.
    pub labels: u32,
}

/// Values of items, in their order.
///
/// Loss is taken on the completion alone; items are cut to `max_len` tokens.
///
/// # Errors
/// [`EvaluateError`].
pub fn evaluate(
    base: &BaseModel,
    adapter: Option<&Adapter>,
    items: &[Item],
    max_len: usize,
    threads: usize,
) -> Result<Vec<ItemValue>, EvaluateError> {
    let model = &*base.0;
    let limit = model.config.context;
    if !(16..=limit).contains(&max_len) {
        return Err(EvaluateError::MaxLen { limit, got: max_len });
    }
    let pool = crate::run::pool(threads).map_err(EvaluateError::Threads)?;
    pool.install(|| {
        let encoded: Vec<Option<Encoded>> =
            items.iter().map(|item| encode(item, &model.tokenizer, max_len, LossOn::Completion)).collect();
        let mut values = vec![ItemValue { loss_micro: None, labels: 0 }; items.len()];
        for batch in batches(&encoded) {
            let sums = batch_losses(model, adapter.map(|a| &a.lora), &encoded, &batch)?;
            for (index, (sum, labels)) in batch.into_iter().zip(sums) {
                values[index] = ItemValue { loss_micro: quantise(sum), labels: labels as u32 };
            }
        }
        Ok(values)
    })
}

/// round_ties_even(x * 1e6).
fn quantise(sum: f64) -> Option<i64> {
    (sum.is_finite() && sum.abs() <= MAX_LOSS).then(|| (sum * 1e6).round_ties_even() as i64)
}

/// Items in batches of about [`BATCH_ROWS`], in order.
fn batches(encoded: &[Option<Encoded>]) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut rows = 0;
    for (index, item) in encoded.iter().enumerate() {
        let Some(item) = item else { continue };
        match batches.last_mut().filter(|_| rows + item.rows() <= BATCH_ROWS) {
            Some(batch) => batch.push(index),
            None => {
                batches.push(vec![index]);
                rows = 0;
            }
        }
        rows += item.rows();
    }
    batches
}

/// (sum of losses, labels) of each item of a batch.
fn batch_losses(
    model: &Model,
    lora: Option<&Lora>,
    encoded: &[Option<Encoded>],
    batch: &[usize],
) -> Result<Vec<(f64, usize)>, OpError> {
    let documents: Vec<&Encoded> = batch.iter().filter_map(|i| encoded[*i].as_ref()).collect();
    let packed = pack(&model.config, &documents);
    let tape = &mut Tape::default();
    let hidden = model.embed(&packed.batch.tokens)?;
    let hidden = model.blocks(tape, hidden, &packed.batch, lora, 0..model.layers.len())?;
    let top = model.top(tape, &hidden, packed.rows)?;
    let losses = with_values("hidden", &top.value, |top| Ok(ce::losses(&model.head, top, &packed.targets)))?;
    let mut rest = &losses[..];
    let sums = packed.counts.iter().map(|count| {
        let (own, tail) = rest.split_at(*count);
        rest = tail;
        (own.iter().sum(), *count)
    });
    Ok(sums.collect())
}
