//! Fine-tune and evaluate inside the guest: (base model, opened items, recipe, seed, deadline) to an
//! artefact, and (model, items) to per-item losses.
//!
//! Bytes come in and bytes go out: no network, no keys, no clock, no ambient randomness. Equal inputs give
//! equal bytes at any number of threads.

mod error;
mod event;
mod stub;

pub use error::{
    ArtefactError, EvaluateError, GradientCheck, ItemError, ModelError, OpError, RecipeError, RecipeErrors,
    TrainError,
};
pub use event::{Clock, Event, Stop};
pub use stub::{Adapter, Artefact, BaseModel, Item, ItemValue, Recipe, TrainJob, Trained, evaluate, train};
