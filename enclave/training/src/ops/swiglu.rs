//! The gated unit of the feed-forward block.

use super::{by_rows, dims, output, tensor, values, with_values};
use crate::simd::{dispatch, exp};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

const NAME: &str = "swiglu";

/// silu(gate) up, of rows gate|up; `width` is that of one half.
pub(crate) struct SwiGlu {
    pub(crate) width: usize,
}

impl CustomOp1 for SwiGlu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = self.width;
        let rows = dims(NAME, layout, 2 * width)?;
        let x = values(NAME, storage, layout)?;
        let mut y = vec![0.0; rows * width];
        by_rows(&mut y, width, |row0, y| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, y) in y.chunks_exact_mut(width).enumerate() {
                        let (gate, up) = x[(row0 + i) * 2 * width..][..2 * width].split_at(width);
                        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                            *y = gate * sigmoid(*gate) * up;
                        }
                    }
                },
            );
        });
        output(y, (rows, width))
    }

    /// du = g silu(gate); dgate = g up (s + silu(gate)(1 - s)).
    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let width = self.width;
        let dx = with_values(NAME, x, |x| {
            with_values(NAME, g, |g| {
                let mut dx = vec![0.0; x.len()];
                by_rows(&mut dx, 2 * width, |row0, dx| {
                    dispatch(
                        #[inline(always)]
                        || {
                            for (i, dx) in dx.chunks_exact_mut(2 * width).enumerate() {
                                let row = row0 + i;
                                let (gate, up) = x[row * 2 * width..][..2 * width].split_at(width);
                                let g = &g[row * width..][..width];
                                let (dgate, dup) = dx.split_at_mut(width);
                                for j in 0..width {
                                    let s = sigmoid(gate[j]);
                                    let silu = gate[j] * s;
                                    dup[j] = g[j] * silu;
                                    dgate[j] = g[j] * up[j] * silu.mul_add(1.0 - s, s);
                                }
                            }
                        },
                    );
                });
                Ok(dx)
            })
        })?;
        tensor(dx, x.shape().clone()).map(Some)
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}
