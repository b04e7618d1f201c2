//! Linear maps with frozen weights, and low-rank adapters on them.

use super::{Stash, dims, output, shape, tensor, values, with_values};
use crate::gemm::{Dense, Into, Lhs, gemm};
use crate::weights::frozen::Frozen;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor};
use std::sync::Arc;

const FROZEN: &str = "frozen-linear";
const LORA: &str = "lora-packed";

/// One or more frozen matrices with a common input; the outputs stand side by side.
pub(crate) struct Packed {
    pub(crate) parts: Vec<Arc<Frozen>>,
}

impl Packed {
    pub(crate) fn inner(&self) -> usize {
        self.parts.first().map_or(0, |p| p.inner())
    }

    pub(crate) fn out(&self) -> usize {
        self.parts.iter().map(|p| p.out()).sum()
    }

    /// (first column, part).
    fn columns(&self) -> impl Iterator<Item = (usize, &Frozen)> {
        self.parts.iter().scan(0, |at, part| {
            let start = *at;
            *at += part.out();
            Some((start, &**part))
        })
    }

    fn multiply(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let (inner, out) = (self.inner(), self.out());
        let mut y = vec![0.0; rows * out];
        for (at, part) in self.columns().filter(|_| rows > 0) {
            let size = (rows, part.out(), inner);
            gemm(size, Lhs::Rows(x, inner), &part.forward(), &mut y[at..], out, Into::Overwrite);
        }
        y
    }

    fn input_gradient(&self, g: &[f32], rows: usize) -> Vec<f32> {
        let (inner, out) = (self.inner(), self.out());
        let mut dx = vec![0.0; rows * inner];
        for (at, part) in self.columns().filter(|_| rows > 0) {
            let size = (rows, inner, part.out());
            gemm(size, Lhs::Rows(&g[at..], out), &part.backward(), &mut dx, inner, Into::Add);
        }
        dx
    }
}

/// y = x W^T; dx = g W, and no gradient of W.
pub(crate) struct FrozenLinear(pub(crate) Arc<Packed>);

impl CustomOp1 for FrozenLinear {
    fn name(&self) -> &'static str {
        FROZEN
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = dims(FROZEN, layout, self.0.inner())?;
        output(self.0.multiply(values(FROZEN, storage, layout)?, rows), (rows, self.0.out()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let rows = x.dim(0)?;
        let dx = with_values(FROZEN, g, |g| Ok(self.0.input_gradient(g, rows)))?;
        tensor(dx, x.shape().clone()).map(Some)
    }
}

/// Which parts of a [`Packed`] have an adapter, and of what rank and scale.
#[derive(Clone)]
pub(crate) struct Ranks {
    /// One flag a part.
    pub(crate) adapted: Vec<bool>,
    pub(crate) rank: usize,
    pub(crate) scale: f32,
}

/// y = x W^T + s (x A^T) B^T part by part, as one input gradient.
///
/// A is [sum of ranks, in], the parts' matrices stacked; B is [sum of adapted outs, rank], stacked alike.
/// t = s g B; dx = g W + t A; dA = t^T x; dB = s g^T (x A^T).
pub(crate) struct LoraPacked {
    pub(crate) base: Arc<Packed>,
    pub(crate) ranks: Ranks,
    /// Whether anything below needs the gradient of x.
    pub(crate) wants_dx: bool,
    pub(crate) xa: Stash<Vec<f32>>,
}

/// An adapted part: first column of y, first column of x A^T, first row of B, rows of B.
struct Span {
    column: usize,
    rank0: usize,
    row: usize,
    out: usize,
}

impl LoraPacked {
    fn spans(&self) -> (Vec<Span>, usize, usize) {
        let (mut spans, mut rank0, mut row) = (Vec::new(), 0, 0);
        for ((column, part), adapted) in self.base.columns().zip(&self.ranks.adapted) {
            if *adapted {
                spans.push(Span { column, rank0, row, out: part.out() });
                rank0 += self.ranks.rank;
                row += part.out();
            }
        }
        (spans, rank0, row)
    }
}

impl CustomOp3 for LoraPacked {
    fn name(&self) -> &'static str {
        LORA
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (inner, out, rank) = (self.base.inner(), self.base.out(), self.ranks.rank);
        let (spans, total, b_rows) = self.spans();
        let rows = dims(LORA, x_layout, inner)?;
        if a_layout.dims() != [total, inner] || b_layout.dims() != [b_rows, rank] {
            return Err(shape(LORA, &format!("B of [{b_rows}, {rank}]"), b_layout.shape()));
        }
        let x = values(LORA, x, x_layout)?;
        let (a, b) = (values(LORA, a, a_layout)?, values(LORA, b, b_layout)?);
        let mut y = self.base.multiply(x, rows);
        let mut xa = vec![0.0; rows * total];
        let a = Dense::Cols { data: a, stride: inner, n: total };
        gemm((rows, total, inner), Lhs::Rows(x, inner), &a, &mut xa, total, Into::Overwrite);
        xa.iter_mut().for_each(|v| *v *= self.ranks.scale);
        for span in spans.iter().filter(|_| rows > 0) {
            let b = Dense::Cols { data: &b[span.row * rank..], stride: rank, n: span.out };
            let left = Lhs::Rows(&xa[span.rank0..], total);
            gemm((rows, span.out, rank), left, &b, &mut y[span.column..], out, Into::Add);
        }
        self.xa.put(xa);
        output(y, (rows, out))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (inner, out, rank) = (self.base.inner(), self.base.out(), self.ranks.rank);
        let (spans, total, b_rows) = self.spans();
        let rows = x.dim(0)?;
        let xa = self.xa.take(LORA)?;
        let mut t = vec![0.0; rows * total];
        let mut db = vec![0.0; b_rows * rank];
        let mut dx = None;
        with_values(LORA, g, |g| {
            with_values(LORA, b, |b| {
                for span in spans.iter().filter(|_| rows > 0) {
                    let g = &g[span.column..];
                    let b = Dense::Rows { data: &b[span.row * rank..], stride: rank, n: rank };
                    let size = (rows, rank, span.out);
                    gemm(size, Lhs::Rows(g, out), &b, &mut t[span.rank0..], total, Into::Overwrite);
                    // Made as B^T, whose rows are few and long, then turned.
                    let mut turned = vec![0.0; rank * span.out];
                    let right = Dense::Rows { data: g, stride: out, n: span.out };
                    let left = Lhs::Cols(&xa[span.rank0..], total);
                    gemm((rank, span.out, rows), left, &right, &mut turned, span.out, Into::Overwrite);
                    for (i, row) in db[span.row * rank..].chunks_exact_mut(rank).take(span.out).enumerate() {
                        row.iter_mut().enumerate().for_each(|(r, v)| *v = turned[r * span.out + i]);
                    }
                }
                Ok(())
            })?;
            t.iter_mut().for_each(|v| *v *= self.ranks.scale);
            if self.wants_dx {
                dx = Some(self.base.input_gradient(g, rows));
            }
            Ok(())
        })?;
        if let Some(dx) = dx.as_mut() {
            with_values(LORA, a, |a| {
                let a = Dense::Rows { data: a, stride: inner, n: inner };
                gemm((rows, inner, total), Lhs::Rows(&t, total), &a, dx, inner, Into::Add);
                Ok(())
            })?;
        }
        let mut da = vec![0.0; total * inner];
        with_values(LORA, x, |x| {
            let x = Dense::Rows { data: x, stride: inner, n: inner };
            gemm((total, inner, rows), Lhs::Cols(&t, total), &x, &mut da, inner, Into::Overwrite);
            Ok(())
        })?;
        let dx = dx.map(|dx| tensor(dx, x.shape().clone())).transpose()?;
        Ok((dx, Some(tensor(da, (total, inner))?), Some(tensor(db, (b_rows, rank))?)))
    }
}
