//! Differentiable operations of our own: candle's stock ones cut the graph silently, or store and compute
//! gradients of frozen weights (TRAINING 1 and 3).
//!
//! An operation captures frozen weights and tables; what its backward needs it stashes in a [`Stash`] that
//! can be taken once. All tensors are f32, row-major, [tokens, width].

pub(crate) mod attention;
pub(crate) mod ce;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod pick;
pub(crate) mod residual;
pub(crate) mod rope;
pub(crate) mod swiglu;
#[cfg(test)]
mod tests;

use crate::OpError;
use crate::gemm::threads;
use candle_core::{CpuStorage, Device, Error, Layout, Result, Shape, Storage, Tensor};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Fewest values that are worth another thread in a loop over elements.
const PARALLEL_FLOOR: usize = 1 << 15;

/// An intermediate kept from forward to backward, for one use.
pub(crate) struct Stash<T>(Mutex<Option<T>>);

impl<T> Stash<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn put(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    /// The stored value; a second take is an error, never a silent zero.
    pub(crate) fn take(&self, op: &'static str) -> Result<T> {
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(|| Error::wrap(OpError::Spent { op }))
    }
}

/// The contiguous values of an operation's input.
pub(crate) fn values<'a>(op: &'static str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&all[start..end]),
        None => Err(shape(op, "contiguous rows", layout.shape())),
    }
}

/// Rows and width of a matrix.
pub(crate) fn dims(op: &'static str, layout: &Layout, width: usize) -> Result<usize> {
    match layout.dims() {
        [rows, w] if *w == width => Ok(*rows),
        _ => Err(shape(op, &format!("[tokens, {width}]"), layout.shape())),
    }
}

pub(crate) fn shape(op: &'static str, expected: &str, got: &Shape) -> Error {
    Error::wrap(OpError::Shape { op, expected: expected.to_owned(), got: format!("{:?}", got.dims()) })
}

/// Calls `body` with the values of a tensor, made contiguous if they aren't.
pub(crate) fn with_values<R>(
    op: &'static str,
    tensor: &Tensor,
    body: impl FnOnce(&[f32]) -> Result<R>,
) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => body(values(op, cpu, layout)?),
        _ => Err(shape(op, "a tensor in main memory", layout.shape())),
    }
}

/// A tensor without history, in main memory.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// An operation's result.
pub(crate) fn output(values: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(values), shape.into()))
}

/// Runs `body(first row, rows)` over chunks of rows of `out`, on the pool's threads when it is worth it.
pub(crate) fn by_rows(out: &mut [f32], width: usize, body: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = out.len() / width.max(1);
    let threads = if out.len() < PARALLEL_FLOOR { 1 } else { threads() };
    if threads == 1 {
        body(0, out);
    } else {
        let chunk = rows.div_ceil(threads);
        out.par_chunks_mut(chunk * width).enumerate().for_each(|(i, out)| body(i * chunk, out));
    }
}
