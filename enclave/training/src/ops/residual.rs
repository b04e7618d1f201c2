//! The sum of a block's input and what the block adds to it.

use super::{by_rows, dims, output, shape, values};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

const NAME: &str = "residual";

/// y = x + d.
pub(crate) struct Residual;

impl CustomOp2 for Residual {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        d: &CpuStorage,
        d_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = x_layout.dims().last().copied().unwrap_or(0);
        let rows = dims(NAME, x_layout, width)?;
        if d_layout.dims() != x_layout.dims() {
            return Err(shape(NAME, &format!("{:?}", x_layout.dims()), d_layout.shape()));
        }
        let d = values(NAME, d, d_layout)?;
        let mut y = values(NAME, x, x_layout)?.to_vec();
        by_rows(&mut y, width, |row0, y| {
            y.iter_mut().zip(&d[row0 * width..]).for_each(|(y, d)| *y += d);
        });
        output(y, (rows, width))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        _d: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(g.clone()), Some(g.clone())))
    }
}
