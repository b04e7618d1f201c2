//! Root-mean-square normalisation.

use super::{Stash, by_rows, dims, output, tensor, values, with_values};
use crate::simd::{dispatch, fold};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use std::sync::Arc;

const NAME: &str = "rms-norm";

/// y = x rho w with rho = (mean x^2 + eps)^-1/2; the weight is frozen.
pub(crate) struct RmsNorm {
    weight: Arc<[f32]>,
    eps: f64,
    rho: Stash<Vec<f32>>,
}

impl RmsNorm {
    pub(crate) fn new(weight: Arc<[f32]>, eps: f64) -> Self {
        Self { weight, eps, rho: Stash::new() }
    }
}

impl CustomOp1 for RmsNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = self.weight.len();
        let rows = dims(NAME, layout, width)?;
        let x = values(NAME, storage, layout)?;
        let mut rho = vec![0.0; rows];
        for (rho, x) in rho.iter_mut().zip(x.chunks_exact(width)) {
            let square = dispatch(
                #[inline(always)]
                || dot(x, x),
            );
            *rho = (1.0 / libm::sqrt(square / width as f64 + self.eps)) as f32;
        }
        let mut y = vec![0.0; x.len()];
        by_rows(&mut y, width, |row0, y| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, y) in y.chunks_exact_mut(width).enumerate() {
                        let (x, rho) = (&x[(row0 + i) * width..][..width], rho[row0 + i]);
                        for ((y, x), w) in y.iter_mut().zip(x).zip(&*self.weight) {
                            *y = x * rho * w;
                        }
                    }
                },
            );
        });
        self.rho.put(rho);
        output(y, (rows, width))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let width = self.weight.len();
        let rho = self.rho.take(NAME)?;
        let dx = with_values(NAME, x, |x| {
            with_values(NAME, g, |g| {
                let mut dx = vec![0.0; x.len()];
                by_rows(&mut dx, width, |row0, dx| {
                    dispatch(
                        #[inline(always)]
                        || self.backward_rows(&x[row0 * width..], &g[row0 * width..], &rho[row0..], dx),
                    );
                });
                Ok(dx)
            })
        })?;
        tensor(dx, (rho.len(), width)).map(Some)
    }
}

impl RmsNorm {
    /// dx = rho g w - x rho^3 mean(g w x).
    #[inline(always)]
    fn backward_rows(&self, x: &[f32], g: &[f32], rho: &[f32], dx: &mut [f32]) {
        let width = self.weight.len();
        for (i, dx) in dx.chunks_exact_mut(width).enumerate() {
            let (x, g, rho) = (&x[i * width..][..width], &g[i * width..][..width], rho[i]);
            for ((dx, g), w) in dx.iter_mut().zip(g).zip(&*self.weight) {
                *dx = g * w;
            }
            let mean = dot(dx, x) / width as f64;
            let pull = (f64::from(rho).powi(3) * mean) as f32;
            for (dx, x) in dx.iter_mut().zip(x) {
                *dx = dx.mul_add(rho, -x * pull);
            }
        }
    }
}

/// Dot product in f64 over eight fixed lanes.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let ((a8, at), (b8, bt)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a8.iter().zip(b8) {
        for i in 0..8 {
            lanes[i] = f64::from(a[i]).mul_add(f64::from(b[i]), lanes[i]);
        }
    }
    for (i, (a, b)) in at.iter().zip(bt).enumerate() {
        lanes[i] = f64::from(*a).mul_add(f64::from(*b), lanes[i]);
    }
    fold(&lanes)
}
