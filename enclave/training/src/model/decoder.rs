//! The decoder's forward pass over packed documents: one code path for training and evaluation.

use super::{DecoderConfig, Layer, Model};
use crate::ops::attention::{Attention, Documents};
use crate::ops::linear::{FrozenLinear, LoraPacked, Packed, Ranks};
use crate::ops::norm::RmsNorm;
use crate::ops::pick::PickRows;
use crate::ops::residual::Residual;
use crate::ops::rope::{Angles, Rope};
use crate::ops::swiglu::SwiGlu;
use crate::ops::{Stash, tensor};
use crate::tape::{Node, Tape};
use candle_core::Result;
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
#[derive(Clone)]
pub(crate) struct LoraTensors {
    pub(crate) a: Node,
    pub(crate) b: Node,
    pub(crate) ranks: Ranks,
}

/// The adapters of one block.
#[derive(Clone, Default)]
pub(crate) struct LoraLayer {
    pub(crate) qkv: Option<LoraTensors>,
    pub(crate) o: Option<LoraTensors>,
    pub(crate) gate_up: Option<LoraTensors>,
    pub(crate) down: Option<LoraTensors>,
}

/// Adapters of blocks `first..first + layers.len()`.
#[derive(Clone)]
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
    pub(crate) fn embed(&self, tokens: &[u32]) -> Result<Node> {
        let hidden = self.config.hidden;
        let mut rows = vec![0.0; tokens.len() * hidden];
        for (token, row) in tokens.iter().zip(rows.chunks_exact_mut(hidden)) {
            self.embedding.row(*token as usize, row);
        }
        tensor(rows, (tokens.len(), hidden)).map(Node::constant)
    }

    /// Runs some blocks on [tokens, hidden].
    pub(crate) fn blocks(
        &self,
        tape: &mut Tape,
        hidden: Node,
        batch: &Batch,
        lora: Option<&Lora>,
        range: Range<usize>,
    ) -> Result<Node> {
        let none = LoraLayer::default();
        let mut hidden = hidden;
        for (index, layer) in self.layers.iter().enumerate().take(range.end).skip(range.start) {
            let lora = lora.and_then(|l| l.layer(index)).unwrap_or(&none);
            hidden = self.block(tape, layer, &hidden, batch, lora)?;
        }
        Ok(hidden)
    }

    fn block(
        &self,
        tape: &mut Tape,
        layer: &Layer,
        hidden: &Node,
        batch: &Batch,
        lora: &LoraLayer,
    ) -> Result<Node> {
        let config = &self.config;
        let heads = config.heads;
        let x = tape.one(RmsNorm::new(layer.attention_norm.clone(), config.norm_eps), hidden)?;
        let qkv = linear(tape, &layer.qkv, lora.qkv.as_ref(), &x)?;
        let rope =
            Rope { angles: batch.angles.clone(), heads: heads.query + heads.key, width: heads.packed() };
        let turned = tape.one(rope, &qkv)?;
        let attended = tape.one(Attention::new(batch.documents.clone(), heads), &turned)?;
        let added = linear(tape, &layer.o, lora.o.as_ref(), &attended)?;
        let hidden = tape.two(Residual, hidden, &added)?;
        let x = tape.one(RmsNorm::new(layer.feed_forward_norm.clone(), config.norm_eps), &hidden)?;
        let gated = linear(tape, &layer.gate_up, lora.gate_up.as_ref(), &x)?;
        let gated = tape.one(SwiGlu { width: config.feed_forward }, &gated)?;
        let added = linear(tape, &layer.down, lora.down.as_ref(), &gated)?;
        tape.two(Residual, &hidden, &added)
    }

    /// Picks the rows that have a label and normalises them for the head.
    pub(crate) fn top(&self, tape: &mut Tape, hidden: &Node, rows: Vec<u32>) -> Result<Node> {
        let picked = tape.one(PickRows { rows, width: self.config.hidden }, hidden)?;
        tape.one(RmsNorm::new(self.norm.clone(), self.config.norm_eps), &picked)
    }
}

fn linear(tape: &mut Tape, base: &Arc<Packed>, lora: Option<&LoraTensors>, x: &Node) -> Result<Node> {
    match lora {
        None => tape.one(FrozenLinear(base.clone()), x),
        Some(LoraTensors { a, b, ranks }) => {
            let (base, ranks, wants_dx) = (base.clone(), ranks.clone(), x.tracked());
            tape.three(LoraPacked { base, ranks, wants_dx, xa: Stash::new() }, x, a, b)
        }
    }
}
