//! Rotary position embedding, half rotation.

use super::{by_rows, dims, output, shape, tensor, values, with_values};
use crate::simd::dispatch;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use std::sync::Arc;

const NAME: &str = "rope";

/// Cosines and sines of the positions of a batch's rows, [rows, head / 2] each.
pub(crate) struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Angles {
    /// One row per position; angles in f64, by `libm`.
    pub(crate) fn new(positions: &[u32], head: usize, theta: f64) -> Self {
        let half = head / 2;
        let longest = positions.iter().max().map_or(0, |p| *p as usize + 1);
        let rates: Vec<f64> = (0..half).map(|i| libm::pow(theta, -2.0 * i as f64 / head as f64)).collect();
        let table: Vec<(f32, f32)> = (0..longest)
            .flat_map(|p| rates.iter().map(move |r| p as f64 * r))
            .map(|angle| (libm::cos(angle) as f32, libm::sin(angle) as f32))
            .collect();
        let rows = positions.iter().flat_map(|p| &table[*p as usize * half..][..half]);
        let (cos, sin) = rows.copied().unzip();
        Self { cos, sin, half }
    }
}

/// Rotates the first `heads` heads of each row and leaves the rest: (a, b) -> (a cos - b sin, b cos + a sin).
pub(crate) struct Rope {
    pub(crate) angles: Arc<Angles>,
    pub(crate) heads: usize,
    pub(crate) width: usize,
}

impl Rope {
    fn rotate(&self, x: &[f32], sign: f32) -> Vec<f32> {
        let mut y = x.to_vec();
        let half = self.angles.half;
        by_rows(&mut y, self.width, |row0, y| {
            dispatch(
                #[inline(always)]
                || {
                    for (i, y) in y.chunks_exact_mut(self.width).enumerate() {
                        let cos = &self.angles.cos[(row0 + i) * half..][..half];
                        let sin = &self.angles.sin[(row0 + i) * half..][..half];
                        for head in y.chunks_exact_mut(2 * half).take(self.heads) {
                            let (a, b) = head.split_at_mut(half);
                            for (((a, b), cos), sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                                let sin = sin * sign;
                                (*a, *b) = (a.mul_add(*cos, -*b * sin), b.mul_add(*cos, *a * sin));
                            }
                        }
                    }
                },
            );
        });
        y
    }
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = dims(NAME, layout, self.width)?;
        if rows * self.angles.half != self.angles.cos.len() || 2 * self.angles.half * self.heads > self.width
        {
            return Err(shape(NAME, "a row per position and its heads", layout.shape()));
        }
        output(self.rotate(values(NAME, storage, layout)?, 1.0), (rows, self.width))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_values(NAME, g, |g| Ok(self.rotate(g, -1.0)))?;
        tensor(dx, x.shape().clone()).map(Some)
    }
}
