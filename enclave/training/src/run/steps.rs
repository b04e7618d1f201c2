//! Loss and gradients of a window of items.

use super::gradcheck::{Slope, Want};
use super::variables::Variables;
use crate::OpError;
use crate::data::{Encoded, pack};
use crate::model::Model;
use crate::ops::ce::LinearCe;
use crate::ops::{Stash, tensor, with_values};
use crate::tape::{Node, Tape};
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
        window: &[usize],
        micro_tokens: usize,
    ) -> Result<Outcome, OpError> {
        let labels: usize = window.iter().map(|i| self.encoded[*i].labels()).sum();
        let scale = 1.0 / labels.max(1) as f64;
        let mut gradients: Vec<Vec<f32>> = variables.all.iter().map(|v| vec![0.0; v.values.len()]).collect();
        let mut sum = 0.0;
        for micro in self.micro_batches(window, micro_tokens) {
            let slope = self.slope(model, variables, &micro, scale, Want::Gradients)?;
            sum += slope.loss;
            for (sum, gradient) in gradients.iter_mut().zip(slope.gradients) {
                sum.iter_mut().zip(gradient.into_iter().flatten()).for_each(|(sum, g)| *sum += g);
            }
        }
        let tokens = window.iter().map(|i| self.encoded[*i].tokens.len() as u64).sum();
        Ok(Outcome { loss: sum, gradients, tokens })
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

    /// Sum of some items' losses times `scale`, and its gradients.
    pub(crate) fn slope(
        &mut self,
        model: &Model,
        variables: &Variables,
        items: &[usize],
        scale: f64,
        want: Want,
    ) -> Result<Slope, OpError> {
        let tape = &mut Tape::default();
        let (lora, nodes) = variables.lora(tape)?;
        self.keep_below(model, lora.first, items)?;
        let kept: Option<Vec<&[f32]>> = items.iter().map(|i| self.kept[*i].as_deref()).collect();
        let documents: Vec<&Encoded> = items.iter().map(|i| &self.encoded[*i]).collect();
        let packed = pack(&model.config, &documents);
        let hidden = match kept {
            Some(parts) => {
                let mut rows = parts[0][..packed.shared * model.config.hidden].to_vec();
                parts.iter().for_each(|p| rows.extend_from_slice(&p[packed.shared * model.config.hidden..]));
                Node::constant(tensor(rows, (packed.batch.tokens.len(), model.config.hidden))?)
            }
            None => {
                let embedded = model.embed(&packed.batch.tokens)?;
                model.blocks(tape, embedded, &packed.batch, None, 0..lora.first)?
            }
        };
        let range = lora.first..model.layers.len();
        let hidden = model.blocks(tape, hidden, &packed.batch, Some(&lora), range)?;
        let top = model.top(tape, &hidden, packed.rows)?;
        let losses = Arc::new(Stash::new());
        let loss = LinearCe {
            head: model.head.clone(),
            targets: packed.targets,
            scale: scale as f32,
            wants_dx: want == Want::Gradients,
            dx: Stash::new(),
            losses: losses.clone(),
        };
        let loss = tape.one(loss, &top)?;
        let sum: f64 = losses.take("linear-ce")?.iter().sum();
        let mut slope = Slope { loss: sum * scale, ..Slope::default() };
        if want == Want::Gradients {
            let mut gradients = std::mem::take(tape).backward(&loss)?;
            for node in &nodes {
                let gradient = gradients.take(node);
                let values = |g| with_values("gradient", &g, |g| Ok(g.to_vec()));
                slope.gradients.push(gradient.map(values).transpose()?);
            }
            slope.foreign = gradients.left();
        }
        Ok(slope)
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
        let embedded = model.embed(&packed.batch.tokens)?;
        let hidden = model.blocks(&mut Tape::default(), embedded, &packed.batch, None, 0..first)?;
        let mut parts = Vec::new();
        with_values("hidden", &hidden.value, |hidden| {
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
