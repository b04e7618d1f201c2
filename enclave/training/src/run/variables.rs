//! The trained matrices of a run.

use crate::adapter::{Artefact, SITES, Saved, Structure, safetensors, write_config};
use crate::model::DecoderConfig;
use crate::model::decoder::{Lora, LoraLayer, LoraTensors};
use crate::ops::tensor;
use crate::rng::{Stream, hex};
use crate::tape::{Node, Tape};
use candle_core::{Result, Tensor};
use std::collections::BTreeMap;

/// One variable: A or B of all adapted maps of one site.
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) values: Vec<f32>,
    rows: usize,
    columns: usize,
}

impl Variable {
    fn tensor(&self) -> Result<Tensor> {
        tensor(self.values.clone(), (self.rows, self.columns))
    }
}

/// All variables, A before B, site by site, block by block.
pub(crate) struct Variables {
    pub(crate) all: Vec<Variable>,
    structure: Structure,
    config: DecoderConfig,
}

impl Variables {
    /// A is uniform in +-1/sqrt(in) (Kaiming with a = sqrt 5), B is zero; each map has its own stream.
    pub(crate) fn new(structure: Structure, config: DecoderConfig, seed: &[u8; 32]) -> Self {
        let mut all = Vec::new();
        for layer in structure.first..=structure.last {
            for site in 0..SITES.len() {
                let modules = structure.site(&config, layer, site);
                let Some(first) = modules.first() else { continue };
                let bound = (1.0 / libm::sqrt(first.inner as f64)) as f32;
                let mut a = Vec::new();
                for module in &modules {
                    let mut stream = Stream::variable(seed, "lora-init", &module.name());
                    let count = structure.rank * module.inner;
                    a.extend((0..count).map(|_| stream.uniform().mul_add(2.0 * bound, -bound)));
                }
                let out: usize = modules.iter().map(|m| m.out).sum();
                let rows = modules.len() * structure.rank;
                let name = |m: &str| format!("{}.{site}.{m}", first.layer);
                all.push(Variable { name: name("A"), values: a, rows, columns: first.inner });
                let zero = vec![0.0; out * structure.rank];
                all.push(Variable { name: name("B"), values: zero, rows: out, columns: structure.rank });
            }
        }
        Self { all, structure, config }
    }

    pub(crate) fn structure(&self) -> &Structure {
        &self.structure
    }

    /// The adapters as the decoder takes them, and the variables' nodes on this tape.
    pub(crate) fn lora(&self, tape: &mut Tape) -> Result<(Lora, Vec<Node>)> {
        let nodes = self.all.iter().map(|v| Ok(tape.variable(v.tensor()?)));
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        let mut rest = nodes.chunks_exact(2);
        let mut layers = Vec::new();
        for layer in self.structure.first..=self.structure.last {
            let mut next = |site: usize| {
                if self.structure.site(&self.config, layer, site).is_empty() {
                    return None;
                }
                let [a, b] = rest.next()? else { return None };
                Some(LoraTensors { a: a.clone(), b: b.clone(), ranks: self.structure.ranks(site) })
            };
            layers.push(LoraLayer { qkv: next(0), o: next(1), gate_up: next(2), down: next(3) });
        }
        Ok((Lora { first: self.structure.first, layers }, nodes))
    }

    /// The artefact of some values of the variables, packed matrices split.
    pub(crate) fn artefact(&self, values: &[Vec<f32>], step_chain: &[u8; 32]) -> Artefact {
        let rank = self.structure.rank;
        let mut saved = Vec::new();
        let mut rest = values.chunks_exact(2);
        for layer in self.structure.first..=self.structure.last {
            for site in 0..SITES.len() {
                let modules = self.structure.site(&self.config, layer, site);
                if modules.is_empty() {
                    continue;
                }
                let Some([a, b]) = rest.next() else { continue };
                let (mut a, mut b) = (&a[..], &b[..]);
                for module in modules {
                    let [key_a, key_b] = module.keys();
                    let (own_a, tail_a) = a.split_at(rank * module.inner);
                    let (own_b, tail_b) = b.split_at(rank * module.out);
                    (a, b) = (tail_a, tail_b);
                    saved.push(Saved { name: key_a, shape: [rank, module.inner], values: own_a.to_vec() });
                    saved.push(Saved { name: key_b, shape: [module.out, rank], values: own_b.to_vec() });
                }
            }
        }
        let metadata = BTreeMap::from([
            ("class", "portable".to_owned()),
            ("format", "pt".to_owned()),
            ("step_chain", hex(step_chain)),
        ]);
        Artefact { config: write_config(&self.structure), weights: safetensors(saved, &metadata) }
    }
}
