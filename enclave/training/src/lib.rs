//! Fine-tune and evaluate inside the guest: (base model, opened items, recipe, seed, deadline) to an
//! artefact, and (model, items) to per-item losses.
//!
//! Bytes come in and bytes go out: no network, no keys, no clock, no ambient randomness. Equal inputs give
//! equal bytes at any number of threads.

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
mod tokenize;
mod weights;

pub use adapter::{Adapter, Artefact};
pub use data::Item;
pub use error::{
    ArtefactError, EvaluateError, GradientCheck, ItemError, ModelError, OpError, RecipeError, RecipeErrors,
    TrainError,
};
pub use evaluate::{ItemValue, evaluate};
pub use event::{Clock, Event, Stop};
pub use model::BaseModel;
pub use recipe::Recipe;
pub use run::{Slope, TrainJob, Trained, Want, gradient_self_check, train};
