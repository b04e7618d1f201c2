//! The base model: weights that stay as they are stored, a tokenizer, and the decoder's forward pass.

pub(crate) mod decoder;
mod load;
#[cfg(test)]
mod oracle;

use crate::ModelError;
use crate::ops::attention::Heads;
use crate::ops::linear::Packed;
use crate::tokenize::Tokenizer;
use crate::weights::frozen::Frozen;
use std::sync::Arc;

/// Shape of a Llama-like decoder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecoderConfig {
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) heads: Heads,
    pub(crate) vocabulary: usize,
    pub(crate) context: usize,
    pub(crate) rope_theta: f64,
    pub(crate) norm_eps: f64,
}

/// Weights of one block.
pub(crate) struct Layer {
    pub(crate) attention_norm: Arc<[f32]>,
    /// q|k|v.
    pub(crate) qkv: Arc<Packed>,
    pub(crate) o: Arc<Packed>,
    pub(crate) feed_forward_norm: Arc<[f32]>,
    /// gate|up.
    pub(crate) gate_up: Arc<Packed>,
    pub(crate) down: Arc<Packed>,
}

pub(crate) struct Model {
    pub(crate) config: DecoderConfig,
    pub(crate) embedding: Arc<Frozen>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Arc<[f32]>,
    pub(crate) head: Arc<Frozen>,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) parameters: u64,
    pub(crate) sha256: [u8; 32],
}

/// A base model, shared by every job on it.
#[derive(Clone)]
pub struct BaseModel(pub(crate) Arc<Model>);

impl BaseModel {
    /// Reads a GGUF v3 file of architecture `llama`; quantised weights stay quantised.
    ///
    /// # Errors
    /// [`ModelError`], for anything that isn't a whole, finite model within the limits of TRAINING 7.
    pub fn from_gguf(bytes: &[u8]) -> Result<Self, ModelError> {
        load::from_gguf(bytes).map(|model| Self(Arc::new(model)))
    }

    /// Number of weights, tied ones once.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.0.parameters
    }

    /// SHA-256 of the file's `tokenizer.*` metadata entries, as they stand in it.
    #[must_use]
    pub fn tokenizer_sha256(&self) -> [u8; 32] {
        self.0.tokenizer.sha256()
    }

    /// SHA-256 of the whole file.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.0.sha256
    }

    /// Longest sequence that the model was made for, in tokens.
    #[must_use]
    pub fn context(&self) -> usize {
        self.0.config.context
    }
}
