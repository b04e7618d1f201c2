//! Signatures ahead of their bodies.
#![allow(missing_docs, unused_variables, clippy::todo)]
use crate::{ArtefactError, Clock, EvaluateError, Event, ItemError, ModelError, RecipeErrors, Stop, TrainError};
use std::sync::Arc;

#[derive(Clone)]
pub struct BaseModel(Arc<()>);
impl BaseModel {
    pub fn from_gguf(bytes: &[u8]) -> Result<Self, ModelError> {
        todo!()
    }
    pub fn parameters(&self) -> u64 {
        todo!()
    }
    pub fn tokenizer_sha256(&self) -> [u8; 32] {
        todo!()
    }
}
pub struct Recipe(());
impl Recipe {
    pub fn parse(text: &[u8]) -> Result<Self, RecipeErrors> {
        todo!()
    }
}
pub enum Item {
    Instruct {},
}
impl Item {
    pub fn from_row(canonical_json_row: &[u8]) -> Result<Self, ItemError> {
        todo!()
    }
}
pub struct TrainJob<'a> {
    pub base: &'a BaseModel,
    pub recipe: &'a Recipe,
    pub items: Vec<Item>,
    pub seed: [u8; 32],
    pub deadline_ms: u64,
    pub reserve_ms: u64,
    pub threads: usize,
}
pub fn train(
    job: TrainJob<'_>,
    clock: &dyn Clock,
    events: &mut dyn FnMut(Event),
) -> Result<Trained, TrainError> {
    todo!()
}
pub struct Trained {
    pub artefact: Artefact,
    pub stop: Stop,
    pub steps: u32,
    pub step_chain: [u8; 32],
}
pub struct Artefact {
    pub config: Vec<u8>,
    pub weights: Vec<u8>,
}
impl Artefact {
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArtefactError> {
        todo!()
    }
}
pub struct Adapter(());
impl Adapter {
    pub fn check(artefact: &Artefact, base: &BaseModel, max_bytes: u64) -> Result<Self, ArtefactError> {
        todo!()
    }
}
pub struct ItemValue {
    pub loss_micro: Option<i64>,
    pub labels: u32,
}
pub fn evaluate(
    base: &BaseModel,
    adapter: Option<&Adapter>,
    items: &[Item],
    max_len: usize,
    threads: usize,
) -> Result<Vec<ItemValue>, EvaluateError> {
    todo!()
}
