//! Rows as tokens, by the tokenizer library itself and the model's chat template: what the peer reads.

use candle_core::quantized::gguf_file::Content;
use serde::Deserialize;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{Error, Tokenizer};

const SYSTEM: &str = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
const START: u32 = 1;
const END: u32 = 2;

/// Tokens of an item; those from `first_label` on are learned.
pub(crate) struct Document {
    pub(crate) tokens: Vec<u32>,
    pub(crate) first_label: usize,
}

#[derive(Deserialize)]
struct Row {
    instruction: String,
    output: String,
}

/// Tokenises rows of instruction and output.
pub(crate) fn documents(content: &Content, rows: &[&str]) -> Result<Vec<Document>, Error> {
    let tokenizer = tokenizer(content)?;
    let encode = |text: &str| -> Result<Vec<u32>, Error> {
        Ok(tokenizer.encode_fast(text, false)?.get_ids().to_vec())
    };
    let mut documents = Vec::with_capacity(rows.len());
    for row in rows {
        let Row { instruction, output } = serde_json::from_str(row)?;
        let mut tokens = Vec::new();
        for message in [format!("system\n{SYSTEM}"), format!("user\n{instruction}")] {
            tokens.push(START);
            tokens.extend(encode(&message)?);
            tokens.push(END);
            tokens.extend(encode("\n")?);
        }
        tokens.push(START);
        tokens.extend(encode("assistant\n")?);
        let first_label = tokens.len();
        tokens.extend(encode(&output)?);
        tokens.push(END);
        documents.push(Document { tokens, first_label });
    }
    Ok(documents)
}

fn tokenizer(content: &Content) -> Result<Tokenizer, Error> {
    let texts = |key: &str| -> Result<Vec<String>, Error> {
        let value = content.metadata.get(key).ok_or_else(|| format!("no {key} in the model"))?;
        value.to_vec()?.iter().map(|text| Ok(text.to_string()?.clone())).collect()
    };
    let vocabulary = texts("tokenizer.ggml.tokens")?.into_iter().zip(0_u32..).collect::<Vec<_>>();
    let merges = texts("tokenizer.ggml.merges")?;
    let merges = merges.iter().filter_map(|merge| merge.split_once(' '));
    let merges = merges.map(|(left, right)| (left.to_owned(), right.to_owned())).collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary.into_iter().collect::<tokenizers::models::bpe::Vocab>(), merges)
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(Sequence::new(vec![
        PreTokenizerWrapper::Digits(Digits::new(true)),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
    ]))));
    Ok(tokenizer)
}
