//! Causal attention over documents packed side by side, with grouped queries.

use super::ce::max;
use super::{Stash, dims, output, shape, tensor, values, with_values};
use crate::gemm::threads;
use crate::ops::norm::dot;
use crate::simd::{dispatch, exp, fold};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

const NAME: &str = "attention";

/// A document, or the part of one that it doesn't share with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its rows in the batch.
    pub(crate) rows: Range<usize>,
    /// Rows that stand before it: a beginning that several documents have in common, computed once.
    pub(crate) prefix: Range<usize>,
}

/// Which rows see which: a row sees its segment's prefix, and its own segment up to itself.
///
/// Segments stand in the order of their rows, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Documents(pub(crate) Vec<Segment>);

impl Documents {
    fn rows(&self) -> usize {
        self.0.last().map_or(0, |s| s.rows.end)
    }
}

/// Heads of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    pub(crate) key: usize,
    /// Width of one head.
    pub(crate) dim: usize,
}

impl Heads {
    /// Width of a row q|k|v.
    pub(crate) fn packed(self) -> usize {
        (self.query + 2 * self.key) * self.dim
    }

    fn group(self) -> usize {
        self.query / self.key
    }
}

/// Attention of rows q|k|v, already rotated: P = exp(S - lse), S = q k^T / sqrt(dim), y = P v.
pub(crate) struct Attention {
    documents: Arc<Documents>,
    heads: Heads,
    scale: f32,
    /// ln of the sum of e^S, [rows, query heads].
    lse: Stash<Vec<f32>>,
}

/// Keys and values of one segment and key head: [dim, keys], [keys, dim].
struct Seen {
    keys: Vec<f32>,
    turned: Vec<f32>,
    values: Vec<f32>,
    turned_values: Vec<f32>,
    len: usize,
}

impl Attention {
    pub(crate) fn new(documents: Arc<Documents>, heads: Heads) -> Self {
        let scale = (1.0 / libm::sqrt(heads.dim as f64)) as f32;
        Self { documents, heads, scale, lse: Stash::new() }
    }

    fn seen(&self, x: &[f32], segment: &Segment, head: usize) -> Seen {
        let Heads { query, key, dim } = self.heads;
        let width = self.heads.packed();
        let len = segment.prefix.len() + segment.rows.len();
        let rows = || segment.prefix.clone().chain(segment.rows.clone());
        let column = |at: usize| -> Vec<f32> {
            let mut out = Vec::with_capacity(len * dim);
            rows().for_each(|row| out.extend_from_slice(&x[row * width + at..][..dim]));
            out
        };
        let turn = |m: &[f32]| {
            let mut out = vec![0.0; m.len()];
            for (j, row) in m.chunks_exact(dim).enumerate() {
                row.iter().enumerate().for_each(|(d, v)| out[d * len + j] = *v);
            }
            out
        };
        let keys = column((query + head) * dim);
        let values = column((query + key + head) * dim);
        Seen { turned: turn(&keys), turned_values: turn(&values), keys, values, len }
    }

    /// One segment: y and lse of its rows.
    #[inline(always)]
    fn forward_segment(&self, x: &[f32], segment: &Segment, y: &mut [f32], lse: &mut [f32]) {
        let Heads { query, key, dim } = self.heads;
        let width = self.heads.packed();
        for kv in 0..key {
            let seen = self.seen(x, segment, kv);
            let mut p = vec![0.0; seen.len];
            for head in kv * self.heads.group()..(kv + 1) * self.heads.group() {
                for (i, row) in segment.rows.clone().enumerate() {
                    let count = segment.prefix.len() + i + 1;
                    let q = &x[row * width + head * dim..][..dim];
                    let p = &mut p[..count];
                    combine(q, &seen.turned, seen.len, self.scale, p);
                    let top = max(p);
                    let sum = exp_sum(p, top);
                    let inverse = (1.0 / sum) as f32;
                    for p in p.iter_mut() {
                        *p *= inverse;
                    }
                    let y = &mut y[(i * query + head) * dim..][..dim];
                    y.fill(0.0);
                    for (p, v) in p.iter().zip(seen.values.chunks_exact(dim)) {
                        axpy(*p, v, y);
                    }
                    lse[i * query + head] = top + libm::log(sum) as f32;
                }
            }
        }
    }

    /// One segment: gradient of its own rows, and of its prefix's rows' keys and values.
    #[inline(always)]
    fn backward_segment(
        &self,
        x: &[f32],
        y: &[f32],
        g: &[f32],
        lse: &[f32],
        segment: &Segment,
        dx: &mut [f32],
    ) -> Vec<f32> {
        let Heads { query, key, dim } = self.heads;
        let width = self.heads.packed();
        let shared = segment.prefix.len();
        let mut prefix = vec![0.0; shared * 2 * key * dim];
        for kv in 0..key {
            let seen = self.seen(x, segment, kv);
            let (mut p, mut ds) = (vec![0.0; seen.len], vec![0.0; seen.len]);
            let (mut dk, mut dv) = (vec![0.0; seen.len * dim], vec![0.0; seen.len * dim]);
            for head in kv * self.heads.group()..(kv + 1) * self.heads.group() {
                for (i, row) in segment.rows.clone().enumerate() {
                    let count = shared + i + 1;
                    let q = &x[row * width + head * dim..][..dim];
                    let at = (row * query + head) * dim;
                    let (y, g) = (&y[at..][..dim], &g[at..][..dim]);
                    let (p, ds) = (&mut p[..count], &mut ds[..count]);
                    combine(q, &seen.turned, seen.len, self.scale, p);
                    let lse = lse[row * query + head];
                    for p in p.iter_mut() {
                        *p = exp(*p - lse);
                    }
                    combine(g, &seen.turned_values, seen.len, 1.0, ds);
                    let delta = dot(g, y) as f32;
                    for (ds, p) in ds.iter_mut().zip(p.iter()) {
                        *ds = *p * (*ds - delta) * self.scale;
                    }
                    let dq = &mut dx[i * width + head * dim..][..dim];
                    for j in 0..count {
                        axpy(ds[j], &seen.keys[j * dim..][..dim], dq);
                        axpy(ds[j], q, &mut dk[j * dim..][..dim]);
                        axpy(p[j], g, &mut dv[j * dim..][..dim]);
                    }
                }
            }
            for (at, d) in [(kv, dk), (key + kv, dv)] {
                for (j, d) in d.chunks_exact(dim).enumerate() {
                    match j.checked_sub(shared) {
                        Some(i) => dx[i * width + (query + at) * dim..][..dim].copy_from_slice(d),
                        None => prefix[(j * 2 * key + at) * dim..][..dim].copy_from_slice(d),
                    }
                }
            }
        }
        prefix
    }
}

/// out_j = scale sum_d q_d m[d][j]: one chain over d for each j, whatever else is in the batch.
#[inline(always)]
fn combine(q: &[f32], m: &[f32], len: usize, scale: f32, out: &mut [f32]) {
    out.fill(0.0);
    for (q, m) in q.iter().zip(m.chunks_exact(len)) {
        axpy(q * scale, m, out);
    }
}

#[inline(always)]
fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = a.mul_add(*x, *y);
    }
}

/// Replaces each value by e^(v - top); the sum in f64 over eight fixed lanes.
#[inline(always)]
fn exp_sum(values: &mut [f32], top: f32) -> f64 {
    let mut lanes = [0.0_f64; 8];
    for chunk in values.chunks_mut(8) {
        for (v, lane) in chunk.iter_mut().zip(&mut lanes) {
            *v = exp(*v - top);
            *lane += f64::from(*v);
        }
    }
    fold(&lanes)
}

/// Cuts rows of a buffer at the documents' ends.
fn split<'a>(documents: &Documents, mut rest: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(documents.0.len());
    for segment in &documents.0 {
        let (part, tail) = rest.split_at_mut(segment.rows.len() * width);
        parts.push(part);
        rest = tail;
    }
    parts
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = dims(NAME, layout, self.heads.packed())?;
        if rows != self.documents.rows() || !self.heads.query.is_multiple_of(self.heads.key) {
            return Err(shape(NAME, "a row for each of the documents' tokens", layout.shape()));
        }
        let x = values(NAME, storage, layout)?;
        let out = self.heads.query * self.heads.dim;
        let (mut y, mut lse) = (vec![0.0; rows * out], vec![0.0; rows * self.heads.query]);
        let ys = split(&self.documents, &mut y, out);
        let lses = split(&self.documents, &mut lse, self.heads.query);
        let work = |(segment, (y, lse)): (&Segment, (&mut [f32], &mut [f32]))| {
            dispatch(
                #[inline(always)]
                || self.forward_segment(x, segment, y, lse),
            );
        };
        if threads() == 1 {
            self.documents.0.iter().zip(ys.into_iter().zip(lses)).for_each(work);
        } else {
            self.documents.0.par_iter().zip(ys.into_par_iter().zip(lses)).for_each(work);
        }
        self.lse.put(lse);
        output(y, (rows, out))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let lse = self.lse.take(NAME)?;
        let dx = with_values(NAME, x, |x| {
            with_values(NAME, y, |y| with_values(NAME, g, |g| Ok(self.backward(x, y, g, &lse))))
        })?;
        tensor(dx, x.shape().clone()).map(Some)
    }
}

impl Attention {
    fn backward(&self, x: &[f32], y: &[f32], g: &[f32], lse: &[f32]) -> Vec<f32> {
        let Heads { query, key, dim } = self.heads;
        let width = self.heads.packed();
        let mut dx = vec![0.0; x.len()];
        let parts = split(&self.documents, &mut dx, width);
        let work = |(segment, dx): (&Segment, &mut [f32])| {
            dispatch(
                #[inline(always)]
                || self.backward_segment(x, y, g, lse, segment, dx),
            )
        };
        let prefixes: Vec<Vec<f32>> = if threads() == 1 {
            self.documents.0.iter().zip(parts).map(work).collect()
        } else {
            self.documents.0.par_iter().zip(parts).map(work).collect()
        };
        // Several segments see one prefix: their shares are added in the segments' order.
        for (segment, share) in self.documents.0.iter().zip(&prefixes) {
            for (row, share) in segment.prefix.clone().zip(share.chunks_exact(2 * key * dim)) {
                axpy(1.0, share, &mut dx[row * width + query * dim..(row + 1) * width]);
            }
        }
        dx
    }
}
