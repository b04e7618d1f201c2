//! The decoder's forward pass over packed documents: one code path for training and evaluation.

use super::{DecoderConfig, Layer, Model};
use crate::ops::attention::{Attention, Documents};
use crate::ops::linear::{FrozenLinear, LoraPacked, Packed, Ranks};
use crate::ops::norm::RmsNorm;
use crate::ops::residual::Residual;
use crate::ops::rope::{Angles, Rope};
use crate::ops::swiglu::SwiGlu;
use crate::ops::{Stash, tensor};
use candle_core::{Result, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// Tokens of documents packed side by side; positions restart at every document.
pub(crate) struct Batch {
    pub(crate) tokens: Vec<u32>,
    pub(crate) documents: Arc<Documents>,
    angles: Arc<Angles>,
}

impl Batch {
    pub(crate) fn new(config: &DecoderConfig, tokens: Vec<u32>, documents: Documents) -> Self {
        let positions: Vec<u32> =
            documents.0.iter().flat_map(|s| (0_u32..).skip(s.prefix.len()).take(s.rows.len())).collect();
        let angles = Arc::new(Angles::new(&positions, config.heads.dim, config.rope_theta));
        Self { tokens, documents: Arc::new(documents), angles }
    }
}

/// The adapter of one [`Packed`]: A and B of all its adapted parts.
pub(crate) struct LoraTensors {
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
    pub(crate) ranks: Ranks,
}

/// The adapters of one block.
#[derive(Default)]
pub(crate) struct LoraLayer {
    pub(crate) qkv: Option<LoraTensors>,
    pub(crate) o: Option<LoraTensors>,
    pub(crate) gate_up: Option<LoraTensors>,
    pub(crate) down: Option<LoraTensors>,
}

/// Adapters of blocks `first..first + layers.len()`.
pub(crate) struct Lora {
    pub(crate) first: usize,
    pub(crate) layers: Vec<LoraLayer>,
}

impl Lora {
    fn layer(&self, index: usize) -> Option<&LoraLayer> {
        self.layers.get(index.checked_sub(self.first)?)
    }
}

impl Model {
    /// Rows of the embedding table, [tokens, hidden].
    pub(crate) fn embed(&self, tokens: &[u32]) -> Result<Tensor> {
        let hidden = self.config.hidden;
        let mut rows = vec![0.0; tokens.len() * hidden];
        for (token, row) in tokens.iter().zip(rows.chunks_exact_mut(hidden)) {
            self.embedding.row(*token as usize, row);
        }
        tensor(rows, (tokens.len(), hidden))
    }

    /// Runs some blocks on [tokens, hidden].
    pub(crate) fn blocks(
        &self,
        hidden: Tensor,
        batch: &Batch,
        lora: Option<&Lora>,
        range: Range<usize>,
    ) -> Result<Tensor> {
        let none = LoraLayer::default();
        let mut hidden = hidden;
        for (index, layer) in self.layers.iter().enumerate().take(range.end).skip(range.start) {
            let lora = lora.and_then(|l| l.layer(index)).unwrap_or(&none);
            hidden = self.block(layer, &hidden, batch, lora)?;
        }
        Ok(hidden)
    }

    fn block(&self, layer: &Layer, hidden: &Tensor, batch: &Batch, lora: &LoraLayer) -> Result<Tensor> {
        let config = &self.config;
        let heads = config.heads;
        let x = hidden.apply_op1(RmsNorm::new(layer.attention_norm.clone(), config.norm_eps))?;
        let qkv = linear(&layer.qkv, lora.qkv.as_ref(), &x)?;
        let rope =
            Rope { angles: batch.angles.clone(), heads: heads.query + heads.key, width: heads.packed() };
        let attended = qkv.apply_op1(rope)?.apply_op1(Attention::new(batch.documents.clone(), heads))?;
        let hidden = residual(hidden, &linear(&layer.o, lora.o.as_ref(), &attended)?)?;
        let x = hidden.apply_op1(RmsNorm::new(layer.feed_forward_norm.clone(), config.norm_eps))?;
        let gated = linear(&layer.gate_up, lora.gate_up.as_ref(), &x)?;
        let gated = gated.apply_op1(SwiGlu { width: config.feed_forward })?;
        residual(&hidden, &linear(&layer.down, lora.down.as_ref(), &gated)?)
    }

    /// Picks the rows that have a label and normalises them for the head.
    pub(crate) fn top(&self, hidden: &Tensor, rows: &[u32]) -> Result<Tensor> {
        let rows = Tensor::from_slice(rows, rows.len(), hidden.device())?;
        let picked = hidden.index_select(&rows, 0)?;
        picked.apply_op1(RmsNorm::new(self.norm.clone(), self.config.norm_eps))
    }
}

fn residual(hidden: &Tensor, added: &Tensor) -> Result<Tensor> {
    hidden.apply_op2(added, Residual { wants_dx: hidden.track_op() })
}

fn linear(base: &Arc<Packed>, lora: Option<&LoraTensors>, x: &Tensor) -> Result<Tensor> {
    match lora {
        None => x.apply_op1(FrozenLinear(base.clone())),
        Some(LoraTensors { a, b, ranks }) => {
            let wants_dx = x.track_op();
            let op = LoraPacked { base: base.clone(), ranks: ranks.clone(), wants_dx, xa: Stash::new() };
            x.apply_op3(a, b, op)
        }
    }
}
