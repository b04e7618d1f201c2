//! Items, and the tokens that a model learns from them.

use crate::ItemError;
use crate::tokenize::Tokenizer;
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Most bytes of one row.
const MAX_ROW: usize = 1 << 20;

/// One example; its text is wiped when it is dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
#[non_exhaustive]
pub enum Item {
    /// An instruction and the answer to learn.
    Instruct {
        /// What stands before the conversation.
        system: Option<String>,
        /// What is asked.
        instruction: String,
        /// What it is asked about; follows the instruction after an empty line.
        input: Option<String>,
        /// The answer.
        output: String,
        /// SHA-256 of the row, for the step chain.
        row_sha256: [u8; 32],
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInstruct {
    instruction: String,
    output: String,
    #[serde(default)]
    input: Option<String>,
    #[serde(default)]
    system: Option<String>,
}

impl Item {
    /// Parses one canonical JSON row: `{"instruction", "output", "input"?, "system"?}`.
    ///
    /// # Errors
    /// [`ItemError`], which never repeats the row.
    pub fn from_row(canonical_json_row: &[u8]) -> Result<Self, ItemError> {
        if canonical_json_row.len() > MAX_ROW {
            return Err(ItemError::TooLong { limit: MAX_ROW, got: canonical_json_row.len() });
        }
        let raw: RawInstruct = serde_json::from_slice(canonical_json_row).map_err(|_| ItemError::Fields)?;
        let RawInstruct { instruction, output, input, system } = raw;
        let row_sha256 = crate::rng::sha256(canonical_json_row);
        Ok(Self::Instruct { system, instruction, input, output, row_sha256 })
    }

    pub(crate) fn row_sha256(&self) -> &[u8; 32] {
        let Self::Instruct { row_sha256, .. } = self;
        row_sha256
    }
}

/// Which tokens of an item the loss is taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LossOn {
    /// The answer and the token that ends it.
    Completion,
    /// Every token but the first.
    All,
}

/// Tokens of an item; those from `first_label` on are learned.
pub(crate) struct Encoded {
    pub(crate) tokens: Zeroizing<Vec<u32>>,
    pub(crate) first_label: usize,
}

impl Encoded {
    /// Rows that the model runs on: the last token predicts nothing.
    pub(crate) fn rows(&self) -> usize {
        self.tokens.len() - 1
    }

    pub(crate) fn labels(&self) -> usize {
        self.tokens.len() - self.first_label
    }
}

/// Tokenises an item and keeps its first `max_len` tokens; `None` when no label is left.
pub(crate) fn encode(item: &Item, tokenizer: &Tokenizer, max_len: usize, loss_on: LossOn) -> Option<Encoded> {
    let Item::Instruct { system, instruction, input, output, .. } = item;
    let user = match input.as_deref() {
        None | Some("") => Zeroizing::new(instruction.clone()),
        Some(input) => Zeroizing::new(format!("{instruction}\n\n{input}")),
    };
    if output.is_empty() {
        return None;
    }
    let mut tokens = Zeroizing::new(tokenizer.prompt(system.as_deref(), &user));
    let first_label = match loss_on {
        LossOn::Completion => tokens.len(),
        LossOn::All => 1,
    };
    tokens.extend_from_slice(&Zeroizing::new(tokenizer.completion(output)));
    tokens.truncate(max_len);
    (first_label < tokens.len()).then_some(Encoded { tokens, first_label })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_objects_with_exactly_the_fields_of_the_kind() {
        assert!(Item::from_row(br#"{"instruction":"a","output":"b"}"#).is_ok());
        assert!(Item::from_row(br#"{"input":"i","instruction":"a","output":"b","system":"s"}"#).is_ok());
        for bad in [
            &br#"{"instruction":"a"}"#[..],
            br#"{"instruction":"a","output":"b","label":"c"}"#,
            br#"{"instruction":"a","output":"b","output":"c"}"#,
            br#"{"instruction":1,"output":"b"}"#,
            br#"{"instruction":"a","output":"b"} x"#,
            b"[]",
            b"",
            b"\xff",
        ] {
            assert_eq!(Item::from_row(bad).err(), Some(ItemError::Fields));
        }
        let long = vec![b' '; MAX_ROW + 1];
        assert!(matches!(Item::from_row(&long), Err(ItemError::TooLong { .. })));
    }
}
