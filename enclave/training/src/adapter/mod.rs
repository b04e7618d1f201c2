//! Adapters: which weights they are, how they're saved, and what is checked before one is used.

mod artefact;
mod check;
mod config;

pub use artefact::Artefact;
pub(crate) use artefact::{Saved, safetensors};
pub use check::Adapter;
pub(crate) use config::write as write_config;

use crate::model::DecoderConfig;
use crate::ops::linear::Ranks;
use crate::recipe::{AdapterChoice, Kind, TARGETS};

/// PEFT's names of the maps in [`TARGETS`].
const MODULES: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// The four packed maps of a block, and which of [`TARGETS`] each holds.
pub(crate) const SITES: [std::ops::Range<usize>; 4] = [0..3, 3..4, 4..6, 6..7];

/// An adapter's structure on one base model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Structure {
    pub(crate) kind: Kind,
    pub(crate) rank: usize,
    pub(crate) alpha: u32,
    pub(crate) targets: [bool; 7],
    /// First and last block, both included.
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// One adapted map.
pub(crate) struct Module {
    pub(crate) layer: usize,
    /// Index in [`TARGETS`].
    pub(crate) target: usize,
    pub(crate) inner: usize,
    pub(crate) out: usize,
}

impl Module {
    /// `model.layers.3.self_attn.q_proj`
    pub(crate) fn name(&self) -> String {
        let block = if self.target < 4 { "self_attn" } else { "mlp" };
        format!("model.layers.{}.{block}.{}", self.layer, MODULES[self.target])
    }

    /// PEFT's keys of A and B.
    pub(crate) fn keys(&self) -> [String; 2] {
        let name = self.name();
        ["A", "B"].map(|m| format!("base_model.model.{name}.lora_{m}.weight"))
    }
}

impl Structure {
    /// The recipe's choice on this base; `None` when the base has no such block.
    pub(crate) fn new(choice: &AdapterChoice, config: &DecoderConfig) -> Option<Self> {
        let (first, last) = choice.layers.unwrap_or((0, config.layers - 1));
        let AdapterChoice { kind, rank, alpha, targets, .. } = *choice;
        (last < config.layers).then_some(Self { kind, rank, alpha, targets, first, last })
    }

    pub(crate) fn scale(&self) -> f32 {
        let rank = self.rank as f64;
        let divisor = match self.kind {
            Kind::Lora => rank,
            Kind::RsLora => libm::sqrt(rank),
        };
        (f64::from(self.alpha) / divisor) as f32
    }

    /// All adapted maps of one block's site, in the order of packing.
    pub(crate) fn site(&self, config: &DecoderConfig, layer: usize, site: usize) -> Vec<Module> {
        let targets = SITES[site].clone().filter(|t| self.targets[*t]);
        targets
            .map(|target| {
                let (inner, out) = size(config, target);
                Module { layer, target, inner, out }
            })
            .collect()
    }

    pub(crate) fn modules(&self, config: &DecoderConfig) -> Vec<Module> {
        (self.first..=self.last)
            .flat_map(|layer| (0..SITES.len()).flat_map(move |site| self.site(config, layer, site)))
            .collect()
    }

    pub(crate) fn ranks(&self, site: usize) -> Ranks {
        Ranks { adapted: self.targets[SITES[site].clone()].to_vec(), rank: self.rank, scale: self.scale() }
    }

    pub(crate) fn parameters(&self, config: &DecoderConfig) -> u64 {
        self.modules(config).iter().map(|m| (self.rank * (m.inner + m.out)) as u64).sum()
    }
}

/// (inputs, outputs) of a map.
fn size(config: &DecoderConfig, target: usize) -> (usize, usize) {
    let (query, key) = (config.heads.query * config.heads.dim, config.heads.key * config.heads.dim);
    match TARGETS[target] {
        "q" => (config.hidden, query),
        "k" | "v" => (config.hidden, key),
        "o" => (query, config.hidden),
        "down" => (config.feed_forward, config.hidden),
        _ => (config.hidden, config.feed_forward),
    }
}
