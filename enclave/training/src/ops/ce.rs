//! Cross-entropy of a linear map's rows, without ever holding all logits.

use super::{Stash, dims, output, shape, tensor, values, with_values};
use crate::gemm::{Into, Lhs, gemm, threads};
use crate::simd::{dispatch, exp, fold};
use crate::weights::frozen::Frozen;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::Arc;

const NAME: &str = "linear-ce";
/// Rows whose logits are held at once.
const CHUNK: usize = 96;

/// -ln softmax(x W^T)[target] of each row, in f64, in the order of the rows.
pub(crate) fn losses(head: &Frozen, x: &[f32], targets: &[u32]) -> Vec<f64> {
    let mut out = vec![0.0; targets.len()];
    each_chunk(head, x, targets, &mut out, |_, _| {});
    out
}

/// Sum of the rows' cross-entropies times `scale`; loss and gradient are made together in forward.
pub(crate) struct LinearCe {
    pub(crate) head: Arc<Frozen>,
    pub(crate) targets: Vec<u32>,
    /// One over the number of labels of the whole window.
    pub(crate) scale: f32,
    /// Whether a backward will come.
    pub(crate) wants_dx: bool,
    pub(crate) dx: Stash<Vec<f32>>,
    /// The unscaled losses of the rows, for exact reports.
    pub(crate) losses: Arc<Stash<Vec<f64>>>,
}

impl CustomOp1 for LinearCe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let inner = self.head.inner();
        let rows = dims(NAME, layout, inner)?;
        let in_range = self.targets.iter().all(|t| (*t as usize) < self.head.out());
        if rows != self.targets.len() || !in_range {
            return Err(shape(NAME, &format!("[{}, {inner}]", self.targets.len()), layout.shape()));
        }
        let x = values(NAME, storage, layout)?;
        let mut losses = vec![0.0; rows];
        let mut dx = vec![0.0; if self.wants_dx { x.len() } else { 0 }];
        each_chunk(&self.head, x, &self.targets, &mut losses, |row0, p| {
            if self.wants_dx {
                let count = p.len() / self.head.out();
                for (p, target) in p.chunks_exact_mut(self.head.out()).zip(&self.targets[row0..]) {
                    p[*target as usize] -= 1.0;
                }
                let dx = &mut dx[row0 * inner..(row0 + count) * inner];
                let size = (count, inner, self.head.out());
                let left = Lhs::Rows(p, self.head.out());
                gemm(size, left, &self.head.backward(), dx, inner, Into::Overwrite);
            }
        });
        dx.iter_mut().for_each(|v| *v *= self.scale);
        let sum: f64 = losses.iter().sum();
        self.losses.put(losses);
        self.dx.put(dx);
        output(vec![(sum * f64::from(self.scale)) as f32], ())
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = self.dx.take(NAME)?;
        with_values(NAME, g, |g| {
            let up = g.first().copied().unwrap_or(0.0);
            dx.iter_mut().for_each(|v| *v *= up);
            Ok(())
        })?;
        tensor(dx, x.shape().clone()).map(Some)
    }
}

/// Makes the logits of some rows, writes their losses, and hands on e^(z - lse), their softmax.
fn each_chunk(
    head: &Frozen,
    x: &[f32],
    targets: &[u32],
    losses: &mut [f64],
    mut then: impl FnMut(usize, &mut [f32]),
) {
    let (inner, out) = (head.inner(), head.out());
    let mut logits = vec![0.0; CHUNK.min(targets.len()) * out];
    for (chunk, (targets, losses)) in targets.chunks(CHUNK).zip(losses.chunks_mut(CHUNK)).enumerate() {
        let row0 = chunk * CHUNK;
        let z = &mut logits[..targets.len() * out];
        let left = Lhs::Rows(&x[row0 * inner..], inner);
        gemm((targets.len(), out, inner), left, &head.forward(), z, out, Into::Overwrite);
        let row = |z: &mut [f32], (loss, target): (&mut f64, &u32)| {
            let picked = f64::from(z[*target as usize]);
            *loss = dispatch(
                #[inline(always)]
                || softmax(z),
            ) - picked;
        };
        if threads() == 1 {
            z.chunks_exact_mut(out).zip(losses.iter_mut().zip(targets)).for_each(|(z, lt)| row(z, lt));
        } else {
            let labels = losses.par_iter_mut().zip(targets);
            z.par_chunks_exact_mut(out).zip(labels).for_each(|(z, lt)| row(z, lt));
        }
        then(row0, z);
    }
}

/// Turns logits into probabilities; returns ln of the sum of e^z.
#[inline(always)]
fn softmax(z: &mut [f32]) -> f64 {
    let top = max(z);
    let mut lanes = [0.0_f64; 8];
    let (chunks, tail) = z.as_chunks_mut::<8>();
    for chunk in chunks {
        for i in 0..8 {
            chunk[i] = exp(chunk[i] - top);
            lanes[i] += f64::from(chunk[i]);
        }
    }
    for (i, v) in tail.iter_mut().enumerate() {
        *v = exp(*v - top);
        lanes[i] += f64::from(*v);
    }
    let sum = fold(&lanes);
    let inverse = (1.0 / sum) as f32;
    for v in z.iter_mut() {
        *v *= inverse;
    }
    f64::from(top) + libm::log(sum)
}

/// Largest value; a NaN anywhere makes the sum after it NaN, so it needs no care here.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, tail) = values.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    let best = |a: f32, b: f32| if b > a { b } else { a };
    lanes.into_iter().chain(tail.iter().copied()).fold(f32::NEG_INFINITY, best)
}
