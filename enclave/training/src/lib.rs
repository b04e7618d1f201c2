//! Fine-tune and evaluate inside the guest: (base model, opened items, recipe, seed, deadline) to an
//! artefact, and (model, items) to per-item losses.
//!
//! Bytes come in and bytes go out: no network, no keys, no clock, no ambient randomness. Equal inputs give
//! equal bytes at any number of threads.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
extern crate self as tiltyard_training;

mod adapter;
mod data;
mod error;
mod evaluate;
mod event;
mod gemm;
mod model;
mod ops;
mod recipe;
mod rng;
mod run;
mod simd;
mod tape;
#[cfg(test)]
#[path = "../tests/tiny/mod.rs"]
mod tiny;
mod tokenize;
mod weights;

pub use adapter::{Adapter, Artefact};
pub use data::Item;
pub use error::{
    ArtefactError, EvaluateError, GradientCheck, ItemError, ModelError, OpError, RecipeError, RecipeErrors,
    TrainError,
};
pub use evaluate::{Evaluation, ItemValue, evaluate};
pub use event::{Clock, Event, Stop};
pub use model::BaseModel;
pub use recipe::Recipe;
pub use run::{Loss, Slope, TrainJob, Trained, Want, gradient_self_check, train};

/// Name of the instruction set that the kernels run on here; it changes speed and no result.
#[must_use]
pub fn instruction_set() -> &'static str {
    simd::Isa::detect().name()
}
