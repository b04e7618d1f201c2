//! Some rows of a matrix.

use super::{dims, output, shape, tensor, values, with_values};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

const NAME: &str = "pick-rows";

/// The rows named, in that order; backward puts them back and leaves the others zero.
pub(crate) struct PickRows {
    pub(crate) rows: Vec<u32>,
    pub(crate) width: usize,
}

impl CustomOp1 for PickRows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let count = dims(NAME, layout, self.width)?;
        if self.rows.iter().any(|row| *row as usize >= count) {
            return Err(shape(NAME, "every row that is picked", layout.shape()));
        }
        let x = values(NAME, storage, layout)?;
        let mut picked = Vec::with_capacity(self.rows.len() * self.width);
        self.rows
            .iter()
            .for_each(|row| picked.extend_from_slice(&x[*row as usize * self.width..][..self.width]));
        output(picked, (self.rows.len(), self.width))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = vec![0.0; x.elem_count()];
        with_values(NAME, g, |g| {
            for (row, g) in self.rows.iter().zip(g.chunks_exact(self.width)) {
                let dx = &mut dx[*row as usize * self.width..][..self.width];
                dx.iter_mut().zip(g).for_each(|(dx, g)| *dx += g);
            }
            Ok(())
        })?;
        tensor(dx, x.shape().clone()).map(Some)
    }
}
