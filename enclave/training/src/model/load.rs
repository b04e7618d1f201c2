//! From a GGUF file to a [`Model`].

use super::{DecoderConfig, Layer, Model};
use crate::ModelError;
use crate::ops::attention::Heads;
use crate::ops::linear::Packed;
use crate::tokenize::Tokenizer;
use crate::weights::frozen::{Frozen, Q4_1_BYTES, Q8_0_BYTES};
use crate::weights::gguf::{Format, Header, TensorInfo, inconsistent};
use std::sync::Arc;
use std::thread;

/// Most blocks.
const MAX_LAYERS: usize = 256;
/// Widest row.
const MAX_WIDTH: usize = 1 << 17;
/// Most tokens of a vocabulary.
const MAX_VOCABULARY: usize = 1 << 19;
/// Longest context.
const MAX_CONTEXT: usize = 1 << 20;

pub(super) fn from_gguf(bytes: &[u8]) -> Result<Model, ModelError> {
    let header = Header::parse(bytes)?;
    let config = config(&header)?;
    let file = File { bytes, header: &header };
    // Three things that take about as long as each other: the digest, the tokenizer, the weights.
    thread::scope(|scope| {
        let sha256 = scope.spawn(|| crate::rng::sha256(bytes));
        let tokenizer = scope.spawn(|| Tokenizer::from_gguf(&header));
        let middle = config.layers / 2;
        let (lower_file, lower_config) = (&file, &config);
        let lower = scope.spawn(move || lower_file.layers(lower_config, 0..middle));
        let upper = file.layers(&config, middle..config.layers);
        let hidden = config.hidden;
        let embedding = file.matrix("token_embd.weight", config.vocabulary, hidden, 0);
        let mut layers = join(lower)??;
        layers.extend(upper?);
        let embedding = Arc::new(embedding?);
        let head = if header.tensors.contains_key("output.weight") {
            Arc::new(file.matrix("output.weight", config.vocabulary, hidden, 0)?)
        } else {
            embedding.clone()
        };
        let norm = file.vector("output_norm.weight", hidden)?;
        file.no_others(&config)?;
        let parameters = header.tensors.values().map(|t| t.shape.iter().product::<u64>()).sum();
        let tokenizer = join(tokenizer)??;
        Ok(Model { config, embedding, layers, norm, head, tokenizer, parameters, sha256: join(sha256)? })
    })
}

fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> Result<T, ModelError> {
    handle.join().map_err(|_| inconsistent("the file", "a readable model", "a failure while reading"))
}

fn config(header: &Header<'_>) -> Result<DecoderConfig, ModelError> {
    let architecture = header.text("general.architecture")?;
    if architecture != "llama" {
        return Err(unsupported("general.architecture", architecture));
    }
    if header.has("llama.expert_count") {
        return Err(unsupported("llama.expert_count", "a mixture of experts"));
    }
    if header.has("llama.rope.scaling.type") && header.text("llama.rope.scaling.type")? != "none" {
        return Err(unsupported("llama.rope.scaling.type", header.text("llama.rope.scaling.type")?));
    }
    let hidden = header.integer("llama.embedding_length", 32..MAX_WIDTH)?;
    let query = header.integer("llama.attention.head_count", 1..1025)?;
    let key = header.integer("llama.attention.head_count_kv", 1..1025)?;
    let vocabulary = header.texts("tokenizer.ggml.tokens")?.len();
    let dim = hidden / query;
    let heads = Heads { query, key, dim };
    if hidden % query != 0 || query % key != 0 || dim % 2 != 0 || !(1..MAX_VOCABULARY).contains(&vocabulary) {
        let got = format!("{query} of {hidden}, {key} for keys");
        return Err(inconsistent("llama.attention.head_count", "heads that share the width evenly", &got));
    }
    if header.has("llama.rope.dimension_count") {
        header.integer("llama.rope.dimension_count", dim..dim + 1)?;
    }
    let norm_eps = header.float("llama.attention.layer_norm_rms_epsilon")?;
    let rope_theta =
        if header.has("llama.rope.freq_base") { header.float("llama.rope.freq_base")? } else { 10_000.0 };
    if !(0.0..0.1).contains(&norm_eps) || rope_theta < 1.0 {
        return Err(inconsistent("llama.rope.freq_base", "at least 1, and an epsilon below 0.1", "others"));
    }
    Ok(DecoderConfig {
        layers: header.integer("llama.block_count", 1..MAX_LAYERS + 1)?,
        hidden,
        feed_forward: header.integer("llama.feed_forward_length", 1..MAX_WIDTH)?,
        heads,
        vocabulary,
        context: header.integer("llama.context_length", 16..MAX_CONTEXT)?,
        rope_theta,
        norm_eps,
    })
}

struct File<'a> {
    bytes: &'a [u8],
    header: &'a Header<'a>,
}

impl File<'_> {
    fn layers(
        &self,
        config: &DecoderConfig,
        range: std::ops::Range<usize>,
    ) -> Result<Vec<Layer>, ModelError> {
        range.map(|index| self.layer(config, index)).collect()
    }

    fn layer(&self, config: &DecoderConfig, index: usize) -> Result<Layer, ModelError> {
        let Heads { query, key, dim } = config.heads;
        let (hidden, wide) = (config.hidden, config.feed_forward);
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let matrix =
            |part: &str, out, inner, heads| self.matrix(&name(part), out, inner, heads).map(Arc::new);
        let packed = |parts| Arc::new(Packed { parts });
        Ok(Layer {
            attention_norm: self.vector(&name("attn_norm"), hidden)?,
            qkv: packed(vec![
                matrix("attn_q", query * dim, hidden, query)?,
                matrix("attn_k", key * dim, hidden, key)?,
                matrix("attn_v", key * dim, hidden, 0)?,
            ]),
            o: packed(vec![matrix("attn_output", hidden, query * dim, 0)?]),
            feed_forward_norm: self.vector(&name("ffn_norm"), hidden)?,
            gate_up: packed(vec![matrix("ffn_gate", wide, hidden, 0)?, matrix("ffn_up", wide, hidden, 0)?]),
            down: packed(vec![matrix("ffn_down", hidden, wide, 0)?]),
        })
    }

    fn find(&self, name: &str, shape: &[u64]) -> Result<&TensorInfo, ModelError> {
        let info = self.header.tensors.get(name);
        let info = info.ok_or_else(|| inconsistent(name, &format!("{shape:?}"), "nothing"))?;
        if info.shape != shape {
            return Err(inconsistent(name, &format!("{shape:?}"), &format!("{:?}", info.shape)));
        }
        Ok(info)
    }

    fn vector(&self, name: &str, len: usize) -> Result<Arc<[f32]>, ModelError> {
        let info = self.find(name, &[len as u64])?;
        if info.format != Format::F32 {
            return Err(unsupported(name, "a quantised vector"));
        }
        floats(name, &self.bytes[info.bytes.clone()]).map(Arc::from)
    }

    /// A matrix [out, in]; `permuted` heads are turned back (TRAINING 7, rope trap), 0 for none.
    fn matrix(&self, name: &str, out: usize, inner: usize, permuted: usize) -> Result<Frozen, ModelError> {
        let info = self.find(name, &[out as u64, inner as u64])?;
        let bytes = &self.bytes[info.bytes.clone()];
        let order = row_order(out, permuted);
        let frozen = match info.format {
            Format::F32 => Frozen::from_f32(out, inner, rows(&floats(name, bytes)?, &order, inner)),
            Format::Q4_1 => {
                Frozen::from_q4_1(out, inner, rows(bytes.as_chunks::<Q4_1_BYTES>().0, &order, inner / 32))
            }
            Format::Q8_0 => {
                Frozen::from_q8_0(out, inner, rows(bytes.as_chunks::<Q8_0_BYTES>().0, &order, inner / 32))
            }
        };
        frozen.ok_or_else(|| ModelError::NotFinite { tensor: name.to_owned() })
    }

    /// A tensor that no part of the model reads would change nothing, so the file isn't what it seems.
    fn no_others(&self, config: &DecoderConfig) -> Result<(), ModelError> {
        let tied = usize::from(self.header.tensors.contains_key("output.weight"));
        let expected = config.layers * 9 + 2 + tied;
        if self.header.tensors.len() == expected {
            return Ok(());
        }
        Err(inconsistent("tensors", &expected.to_string(), &self.header.tensors.len().to_string()))
    }
}

/// Where each row of the model stands in the file: rows [heads, dim / 2, 2] become [heads, 2, dim / 2].
fn row_order(out: usize, permuted: usize) -> Vec<usize> {
    if permuted == 0 {
        return (0..out).collect();
    }
    let dim = out / permuted;
    (0..out).map(|row| row / dim * dim + row % dim % (dim / 2) * 2 + row % dim / (dim / 2)).collect()
}

fn rows<T: Copy>(all: &[T], order: &[usize], width: usize) -> Vec<T> {
    order.iter().flat_map(|row| &all[row * width..(row + 1) * width]).copied().collect()
}

fn floats(name: &str, bytes: &[u8]) -> Result<Vec<f32>, ModelError> {
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    if values.iter().all(|v| v.is_finite()) {
        Ok(values)
    } else {
        Err(ModelError::NotFinite { tensor: name.to_owned() })
    }
}

fn unsupported(field: &str, got: &str) -> ModelError {
    ModelError::Unsupported { field: field.to_owned(), got: got.chars().take(64).collect() }
}

#[cfg(test)]
mod tests {
    use super::row_order;

    #[test]
    fn rows_of_interleaved_rope_are_turned_back_head_by_head() {
        assert_eq!(row_order(8, 2), [0, 2, 1, 3, 4, 6, 5, 7]);
        assert_eq!(row_order(6, 1), [0, 2, 4, 1, 3, 5]);
        assert_eq!(row_order(3, 0), [0, 1, 2]);
    }
}
