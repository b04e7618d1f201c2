//! The tokenizer of a GGUF file, and the ChatML prompt of its instruct models.
//!
//! Text of data is plain text: no special token can be written in it, so an item can't forge a role.

use crate::ModelError;
use crate::weights::gguf::{Header, inconsistent};
use std::collections::HashMap;
use tokenizers::Tokenizer as Engine;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::{
    PreTokenizerWrapper, byte_level::ByteLevel, digits::Digits, sequence::Sequence,
};

/// SmolLM2's own system prompt, which its template adds when a conversation has none.
const SMOLLM_SYSTEM: &str = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
/// The part of SmolLM2's template that adds it.
const SMOLLM_MARK: &str = "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>";

/// Byte-level BPE of a base model.
pub(crate) struct Tokenizer {
    engine: Engine,
    start: u32,
    end: u32,
    default_system: Option<&'static str>,
    sha256: [u8; 32],
}

impl Tokenizer {
    /// From the metadata of a GGUF file. Only pre-tokenizers of our own table are read: a silent fallback
    /// would give other tokens (TRAINING 7).
    pub(crate) fn from_gguf(header: &Header<'_>) -> Result<Self, ModelError> {
        let model = header.text("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(unsupported("tokenizer.ggml.model", model));
        }
        let pre = match header.text("tokenizer.ggml.pre")? {
            "smollm" => PreTokenizerWrapper::Sequence(Sequence::new(vec![
                PreTokenizerWrapper::Digits(Digits::new(true)),
                PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
            ])),
            "gpt-2" => PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
            other => return Err(unsupported("tokenizer.ggml.pre", other)),
        };
        let tokens = header.texts("tokenizer.ggml.tokens")?;
        let mut vocab = HashMap::with_capacity(tokens.len());
        for (id, token) in (0_u32..).zip(tokens) {
            if vocab.insert((*token).to_owned(), id).is_some() {
                return Err(inconsistent("tokenizer.ggml.tokens", "every token once", "a token twice"));
            }
        }
        let kinds = header.integers("tokenizer.ggml.token_type")?;
        let control = |name: &str| {
            let id = vocab.get(name).copied();
            // 3 is a control token: it stands for itself and is no text.
            id.filter(|id| kinds.get(*id as usize) == Some(&3)).ok_or_else(|| {
                inconsistent("tokenizer.ggml.tokens", &format!("the control token {name}"), "none")
            })
        };
        let (start, end) = (control("<|im_start|>")?, control("<|im_end|>")?);
        let merges = header.texts("tokenizer.ggml.merges")?;
        let merges = merges.iter().map(|merge| match merge.split_once(' ') {
            Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
            None => Err(inconsistent("tokenizer.ggml.merges", "two parts", "one")),
        });
        let merges = merges.collect::<Result<Vec<_>, _>>()?;
        let bpe = BPE::builder().vocab_and_merges(vocab.into_iter().collect::<Vocab>(), merges).build();
        let bpe =
            bpe.map_err(|_| inconsistent("tokenizer.ggml.merges", "parts that are tokens", "others"))?;
        let mut engine = Engine::new(bpe);
        engine.with_pre_tokenizer(Some(pre));
        let default_system = match header.has("tokenizer.chat_template") {
            true if header.text("tokenizer.chat_template")?.contains(SMOLLM_MARK) => Some(SMOLLM_SYSTEM),
            _ => None,
        };
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        header.tokenizer.iter().for_each(|entry| digest.update(entry));
        Ok(Self { engine, start, end, default_system, sha256: crate::rng::bytes32(digest.finish()) })
    }

    /// SHA-256 of the file's `tokenizer.*` metadata entries, as they stand in it.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Tokens of plain text.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        // Byte-level BPE without an unknown token covers every text; an error could only be a broken model.
        self.engine.encode_fast(text, false).map(|e| e.get_ids().to_vec()).unwrap_or_default()
    }

    /// Text of tokens, bytes that aren't UTF-8 replaced.
    #[cfg(test)]
    pub(crate) fn decode(&self, ids: &[u32]) -> String {
        let pieces: Vec<String> = ids.iter().filter_map(|id| self.engine.id_to_token(*id)).collect();
        use tokenizers::Decoder;
        ByteLevel::new(false, true, true).decode(pieces).unwrap_or_default()
    }

    /// The tokens of a prompt, up to where the assistant speaks.
    pub(crate) fn prompt(&self, system: Option<&str>, user: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        if let Some(system) = system.or(self.default_system) {
            self.message(&mut ids, "system\n", system);
        }
        self.message(&mut ids, "user\n", user);
        ids.push(self.start);
        ids.extend(self.encode("assistant\n"));
        ids
    }

    /// The tokens of an answer and the token that ends it.
    pub(crate) fn completion(&self, text: &str) -> Vec<u32> {
        let mut ids = self.encode(text);
        ids.push(self.end);
        ids
    }

    /// The token that ends a message.
    #[cfg(test)]
    pub(crate) fn end(&self) -> u32 {
        self.end
    }

    fn message(&self, ids: &mut Vec<u32>, role: &str, text: &str) {
        ids.push(self.start);
        // Role and text are one run of text in the template, so they're tokenised as one.
        ids.extend(self.encode(&zeroize::Zeroizing::new(format!("{role}{text}"))));
        ids.push(self.end);
        ids.extend(self.encode("\n"));
    }
}

fn unsupported(field: &str, got: &str) -> ModelError {
    ModelError::Unsupported { field: field.to_owned(), got: got.chars().take(64).collect() }
}
