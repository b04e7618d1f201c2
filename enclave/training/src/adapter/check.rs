//! An artefact is untrusted bytes until it is an [`Adapter`].

use super::{Artefact, Module, SITES, Structure, config};
use crate::model::decoder::{Lora, LoraLayer, LoraTensors};
use crate::model::{BaseModel, Model};
use crate::ops::tensor;
use crate::tape::Node;
use crate::weights::frozen::Frozen;
use crate::{ArtefactError, OpError};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeSet;

/// Least relative change, by Frobenius norm, of at least one weight (TOURNAMENT 8).
const MIN_CHANGE: f64 = 1e-6;
/// Most characters of a foreign tensor's name that an error repeats.
const MAX_NAME: usize = 128;

/// An adapter that fits its base: every tensor there, of the right shape, finite, and not a copy of the base.
pub struct Adapter {
    pub(crate) lora: Lora,
}

impl Adapter {
    /// Checks an artefact against the base that it was trained on.
    ///
    /// # Errors
    /// [`ArtefactError`]; [`ArtefactError::NotFineTuned`] when every relative change is below 1e-6.
    pub fn check(artefact: &Artefact, base: &BaseModel, max_bytes: u64) -> Result<Self, ArtefactError> {
        let model = &*base.0;
        let got = artefact.config.len() as u64 + artefact.weights.len() as u64;
        if got > max_bytes {
            return Err(ArtefactError::TooLarge { limit: max_bytes, got });
        }
        let structure = config::read(&artefact.config, &model.config)?;
        let file = SafeTensors::deserialize(&artefact.weights).map_err(|e| ArtefactError::Malformed {
            expected: "one safetensors file without trailing bytes".to_owned(),
            got: e.to_string().chars().take(MAX_NAME).collect(),
        })?;
        let modules = structure.modules(&model.config);
        let expected: BTreeSet<String> = modules.iter().flat_map(Module::keys).collect();
        if let Some(extra) = file.names().iter().find(|name| !expected.contains(**name)) {
            let tensor = extra.chars().take(MAX_NAME).collect();
            return Err(ArtefactError::Tensor {
                tensor,
                expected: "no such tensor".into(),
                got: "one".into(),
            });
        }
        let lora = read(&file, &structure, model)?;
        if !changes(&lora, &structure, model)? {
            return Err(ArtefactError::NotFineTuned);
        }
        Ok(Self { lora })
    }
}

fn read(file: &SafeTensors<'_>, structure: &Structure, model: &Model) -> Result<Lora, ArtefactError> {
    let mut layers = Vec::new();
    for layer in structure.first..=structure.last {
        let mut sites = [None, None, None, None];
        for (site, slot) in sites.iter_mut().enumerate() {
            let modules = structure.site(&model.config, layer, site);
            let Some(first) = modules.first() else { continue };
            let (mut a, mut b) = (Vec::new(), Vec::new());
            for module in &modules {
                let [key_a, key_b] = module.keys();
                a.extend(values(file, &key_a, [structure.rank, module.inner])?);
                b.extend(values(file, &key_b, [module.out, structure.rank])?);
            }
            let (rows_a, rows_b) = (modules.len() * structure.rank, b.len() / structure.rank);
            let broken = |_| ArtefactError::Malformed { expected: "matrices".into(), got: "others".into() };
            *slot = Some(LoraTensors {
                a: tensor(a, (rows_a, first.inner)).map(Node::constant).map_err(broken)?,
                b: tensor(b, (rows_b, structure.rank)).map(Node::constant).map_err(broken)?,
                ranks: structure.ranks(site),
            });
        }
        let [qkv, o, gate_up, down] = sites;
        layers.push(LoraLayer { qkv, o, gate_up, down });
    }
    Ok(Lora { first: structure.first, layers })
}

fn values(file: &SafeTensors<'_>, name: &str, shape: [usize; 2]) -> Result<Vec<f32>, ArtefactError> {
    let refuse = |got: String| ArtefactError::Tensor {
        tensor: name.to_owned(),
        expected: format!("F32 {shape:?}"),
        got,
    };
    let view = file.tensor(name).map_err(|_| refuse("nothing".to_owned()))?;
    if view.dtype() != Dtype::F32 || view.shape() != shape {
        return Err(refuse(format!("{:?} {:?}", view.dtype(), view.shape())));
    }
    let values: Vec<f32> = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    if values.iter().all(|v| v.is_finite()) {
        Ok(values)
    } else {
        Err(ArtefactError::NotFinite { tensor: name.to_owned() })
    }
}

/// Whether some weight moved: |s B A| / |W| >= 1e-6.
fn changes(lora: &Lora, structure: &Structure, model: &Model) -> Result<bool, ArtefactError> {
    let fault = |e: candle_core::Error| ArtefactError::Malformed {
        expected: "readable matrices".into(),
        got: OpError::from(e).to_string().chars().take(MAX_NAME).collect(),
    };
    let rank = structure.rank;
    for (index, adapters) in lora.layers.iter().enumerate() {
        let layer = &model.layers[lora.first + index];
        let adapters = [&adapters.qkv, &adapters.o, &adapters.gate_up, &adapters.down];
        let bases = [&layer.qkv, &layer.o, &layer.gate_up, &layer.down];
        for (site, (adapter, base)) in adapters.into_iter().zip(bases).enumerate() {
            let Some(LoraTensors { a, b, .. }) = adapter else { continue };
            let a = a.value.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(fault)?;
            let b = b.value.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(fault)?;
            let parts = base.parts.iter().zip(SITES[site].clone()).filter(|(_, t)| structure.targets[*t]);
            let (mut rest_a, mut rest_b) = (&a[..], &b[..]);
            for (part, _) in parts {
                let (a, tail_a) = rest_a.split_at(rank * part.inner());
                let (b, tail_b) = rest_b.split_at(rank * part.out());
                (rest_a, rest_b) = (tail_a, tail_b);
                if relative_change(a, b, rank, f64::from(structure.scale()), part) >= MIN_CHANGE {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// |s B A| / |W|, from |B A|^2 = sum over i, j of (B^T B)_ij (A A^T)_ij.
fn relative_change(a: &[f32], b: &[f32], rank: usize, scale: f64, base: &Frozen) -> f64 {
    let inner = a.len() / rank;
    let mut square = 0.0;
    for i in 0..rank {
        for j in 0..rank {
            let rows = a[i * inner..][..inner].iter().zip(&a[j * inner..][..inner]);
            let of_a: f64 = rows.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            let of_b: f64 = b.chunks_exact(rank).map(|row| f64::from(row[i]) * f64::from(row[j])).sum();
            square += of_a * of_b;
        }
    }
    // Only zero is certain to be no change; the norm of the base is worth computing only otherwise.
    if square <= 0.0 { 0.0 } else { scale * libm::sqrt(square) / base.norm().max(f64::MIN_POSITIVE) }
}
