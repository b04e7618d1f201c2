//! From rows to items, from items to tokens, from tokens to packed batches.

mod item;
mod pack;

pub use item::Item;
pub(crate) use item::{Encoded, LossOn, encode};
pub(crate) use pack::pack;
