//! Per-item losses in fixed point, independent of batches and threads (TRAINING 13, TOURNAMENT 8).

use crate::adapter::Adapter;
use crate::data::{Encoded, Item, LossOn, encode, pack};
use crate::model::decoder::Lora;
use crate::model::{BaseModel, Model};
use crate::ops::{ce, with_values};
use crate::tape::{Node, Tape};
use crate::{EvaluateError, OpError};
use std::sync::Arc;

/// Rows that are computed together; a row's bits don't depend on it.
const BATCH_ROWS: usize = 512;
/// Most bytes of activations kept from one adapter to the next.
const MAX_KEPT_BYTES: usize = 512 << 20;
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
/// Loss is taken on the completion alone; items are cut to `max_len` tokens. Several adapters on the same
/// items are cheaper by one [`Evaluation`], and give the same values.
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
    Evaluation::new(base, items, max_len, threads)?.values(adapter)
}

/// Items made ready for one or many adapters of a base.
///
/// Activations below the adapters' first block are kept from one adapter to the next.
pub struct Evaluation {
    model: Arc<Model>,
    pool: rayon::ThreadPool,
    items: usize,
    batches: Vec<Batch>,
    /// The block that the kept activations enter.
    cut: usize,
}

struct Batch {
    /// Index of each document's item.
    items: Vec<usize>,
    documents: Vec<Encoded>,
    kept: Option<Node>,
}

impl Evaluation {
    /// Tokenises items.
    ///
    /// # Errors
    /// [`EvaluateError::MaxLen`] and [`EvaluateError::Threads`].
    pub fn new(
        base: &BaseModel,
        items: &[Item],
        max_len: usize,
        threads: usize,
    ) -> Result<Self, EvaluateError> {
        let model = base.0.clone();
        let limit = model.config.context;
        if !(16..=limit).contains(&max_len) {
            return Err(EvaluateError::MaxLen { limit, got: max_len });
        }
        let pool = crate::run::pool(threads).map_err(EvaluateError::Threads)?;
        let encoded = items.iter().map(|item| encode(item, &model.tokenizer, max_len, LossOn::Completion));
        let batches = batches(encoded);
        Ok(Self { model, pool, items: items.len(), batches, cut: 0 })
    }

    /// Values of the items under one adapter, or of the base itself.
    ///
    /// # Errors
    /// [`EvaluateError::Op`].
    pub fn values(&mut self, adapter: Option<&Adapter>) -> Result<Vec<ItemValue>, EvaluateError> {
        let Self { model, pool, batches, .. } = self;
        let lora = adapter.map(|a| &a.lora);
        let rows: usize = batches.iter().flat_map(|b| &b.documents).map(Encoded::rows).sum();
        let room = rows * model.config.hidden * 4 <= MAX_KEPT_BYTES;
        let first = lora.map_or(self.cut, |l| l.first);
        if first != self.cut {
            batches.iter_mut().for_each(|b| b.kept = None);
            self.cut = first;
        }
        let mut values = vec![ItemValue { loss_micro: None, labels: 0 }; self.items];
        for batch in batches {
            let sums = pool.install(|| batch.losses(model, lora, first, room))?;
            for (index, (sum, labels)) in batch.items.iter().zip(sums) {
                values[*index] = ItemValue { loss_micro: quantise(sum), labels: labels as u32 };
            }
        }
        Ok(values)
    }
}

impl Batch {
    /// (sum of losses, labels) of each document.
    fn losses(
        &mut self,
        model: &Model,
        lora: Option<&Lora>,
        first: usize,
        room: bool,
    ) -> Result<Vec<(f64, usize)>, OpError> {
        let documents: Vec<&Encoded> = self.documents.iter().collect();
        let packed = pack(&model.config, &documents);
        let tape = &mut Tape::default();
        let below = match &self.kept {
            Some(kept) => kept.clone(),
            None => {
                let embedded = model.embed(&packed.batch.tokens)?;
                model.blocks(tape, embedded, &packed.batch, None, 0..first)?
            }
        };
        if room && first > 0 {
            self.kept = Some(below.clone());
        }
        let hidden = model.blocks(tape, below, &packed.batch, lora, first..model.layers.len())?;
        let top = model.top(tape, &hidden, packed.rows)?;
        let losses =
            with_values("hidden", &top.value, |top| Ok(ce::losses(&model.head, top, &packed.targets)))?;
        let mut rest = &losses[..];
        let sums = packed.counts.iter().map(|count| {
            let (own, tail) = rest.split_at(*count);
            rest = tail;
            (own.iter().sum(), *count)
        });
        Ok(sums.collect())
    }
}

/// round_ties_even(x * 1e6).
fn quantise(sum: f64) -> Option<i64> {
    (sum.is_finite() && sum.abs() <= MAX_LOSS).then(|| (sum * 1e6).round_ties_even() as i64)
}

/// Documents in batches of about [`BATCH_ROWS`], in order; items without labels are left out.
fn batches(encoded: impl Iterator<Item = Option<Encoded>>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut rows = 0;
    for (index, document) in encoded.enumerate() {
        let Some(document) = document else { continue };
        let more = document.rows();
        match batches.last_mut().filter(|_| rows + more <= BATCH_ROWS) {
            Some(batch) => {
                batch.items.push(index);
                batch.documents.push(document);
            }
            None => {
                batches.push(Batch { items: vec![index], documents: vec![document], kept: None });
                rows = 0;
            }
        }
        rows += more;
    }
    batches
}
