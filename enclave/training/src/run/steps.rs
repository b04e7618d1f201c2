//! Loss and gradients of a window of items.

use super::variables::Variables;
use crate::OpError;
use crate::data::{Encoded, pack};
use crate::model::Model;
use crate::model::decoder::Lora;
use crate::ops::ce::LinearCe;
use crate::ops::{Stash, tensor, with_values};
use candle_core::Tensor;
use std::sync::Arc;

/// Most bytes of frozen activations that a run keeps.
const MAX_KEPT_BYTES: usize = 512 << 20;

/// Items with, for each, the activations below the first adapter once they've been computed.
pub(crate) struct Items {
    pub(crate) encoded: Vec<Encoded>,
    kept: Vec<Option<Vec<f32>>>,
    kept_bytes: usize,
}

/// Loss and gradients of one window.
pub(crate) struct Outcome {
    /// Mean over the window's labels.
    pub(crate) loss: f64,
    pub(crate) gradients: Vec<Vec<f32>>,
    /// Tokens of the window's items.
    pub(crate) tokens: u64,
}

impl Items {
    pub(crate) fn new(encoded: Vec<Encoded>) -> Self {
        let kept = encoded.iter().map(|_| None).collect();
        Self { encoded, kept, kept_bytes: 0 }
    }

    /// Loss and gradients of the items at `window`, accumulated in the order of micro-batches.
    pub(crate) fn window(
        &mut self,
        model: &Model,
        variables: &Variables,
        lora: &Lora,
        window: &[usize],
        micro_tokens: usize,
    ) -> Result<Outcome, OpError> {
        let labels: usize = window.iter().map(|i| self.encoded[*i].labels()).sum();
        let scale = 1.0 / labels.max(1) as f64;
        let mut gradients: Vec<Vec<f32>> = Vec::new();
        let mut sum = 0.0;
        for micro in self.micro_batches(window, micro_tokens) {
            let (loss, losses) = self.loss(model, lora, &micro, scale as f32)?;
            sum += losses.iter().sum::<f64>();
            let store = loss.backward()?;
            for (index, variable) in variables.all.iter().enumerate() {
                let zero = || vec![0.0; variable.values.len()];
                if gradients.len() == index {
                    gradients.push(zero());
                }
                let Some(gradient) = store.get(&variable.var) else { continue };
                with_values("gradient", gradient, |g| {
                    gradients[index].iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
                    Ok(())
                })?;
            }
        }
        let tokens = window.iter().map(|i| self.encoded[*i].tokens.len() as u64).sum();
        Ok(Outcome { loss: sum * scale, gradients, tokens })
    }

    /// Consecutive items of at most `micro_tokens` together; one item alone may have more.
    fn micro_batches(&self, window: &[usize], micro_tokens: usize) -> Vec<Vec<usize>> {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let mut tokens = 0;
        for index in window {
            let rows = self.encoded[*index].rows();
            match batches.last_mut().filter(|_| tokens + rows <= micro_tokens) {
                Some(batch) => batch.push(*index),
                None => {
                    batches.push(vec![*index]);
                    tokens = 0;
                }
            }
            tokens += rows;
        }
        batches
    }

    /// The graph's scalar: sum of the items' losses times `scale`; and the loss of each label.
    pub(crate) fn loss(
        &mut self,
        model: &Model,
        lora: &Lora,
        items: &[usize],
        scale: f32,
    ) -> Result<(Tensor, Vec<f64>), OpError> {
        self.keep_below(model, lora.first, items)?;
        let kept: Option<Vec<&[f32]>> = items.iter().map(|i| self.kept[*i].as_deref()).collect();
        let documents: Vec<&Encoded> = items.iter().map(|i| &self.encoded[*i]).collect();
        let packed = pack(&model.config, &documents);
        let hidden = match kept {
            Some(parts) => {
                let mut rows = parts[0][..packed.shared * model.config.hidden].to_vec();
                parts.iter().for_each(|p| rows.extend_from_slice(&p[packed.shared * model.config.hidden..]));
                tensor(rows, (packed.batch.tokens.len(), model.config.hidden))?
            }
            None => {
                let embedded = model.embed(&packed.batch.tokens)?;
                model.blocks(embedded, &packed.batch, None, 0..lora.first)?
            }
        };
        let hidden = model.blocks(hidden, &packed.batch, Some(lora), lora.first..model.layers.len())?;
        let top = model.top(&hidden, &packed.rows)?;
        let losses = Arc::new(Stash::new());
        let loss = top.apply_op1(LinearCe {
            head: model.head.clone(),
            targets: packed.targets,
            scale,
            wants_dx: top.track_op(),
            dx: Stash::new(),
            losses: losses.clone(),
        })?;
        Ok((loss, losses.take("linear-ce")?))
    }

    /// Computes the activations that enter block `first`, where they are missing and there is room.
    fn keep_below(&mut self, model: &Model, first: usize, items: &[usize]) -> Result<(), OpError> {
        let width = model.config.hidden;
        let missing: Vec<usize> = items.iter().copied().filter(|i| self.kept[*i].is_none()).collect();
        let bytes: usize = missing.iter().map(|i| self.encoded[*i].rows() * width * 4).sum();
        if first == 0 || missing.is_empty() || self.kept_bytes + bytes > MAX_KEPT_BYTES {
            return Ok(());
        }
        let documents: Vec<&Encoded> = missing.iter().map(|i| &self.encoded[*i]).collect();
        let packed = pack(&model.config, &documents);
        let hidden = model.blocks(model.embed(&packed.batch.tokens)?, &packed.batch, None, 0..first)?;
        let mut parts = Vec::new();
        with_values("hidden", &hidden, |hidden| {
            let mut at = packed.shared;
            for document in &documents {
                let own = document.rows() - packed.shared;
                let mut rows = hidden[..packed.shared * width].to_vec();
                rows.extend_from_slice(&hidden[at * width..(at + own) * width]);
                parts.push(rows);
                at += own;
            }
            Ok(())
        })?;
        for (index, rows) in missing.into_iter().zip(parts) {
            self.kept_bytes += rows.len() * 4;
            self.kept[index] = Some(rows);
        }
        Ok(())
    }
}
