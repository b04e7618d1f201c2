//! The JSON that a document of ours may be: checked at the border, before its type is read.
//!
//! No name twice in one object, no floating point, integers within 2^53 - 1, at most [`DEPTH_MAX`] levels
//! (PROVISIONING 9, `E_SYNTAX`). Types refuse unknown members themselves.

use serde::de::DeserializeOwned;
pub use tiltyard_attestation::json::INTEGER_MAX;
use tiltyard_attestation::json::{Form, Numbers};

/// Deepest nesting of arrays and objects.
pub const DEPTH_MAX: usize = 32;
const FORM: Form = Form { depth: DEPTH_MAX, members: usize::MAX, numbers: Numbers::Whole };

/// Why a document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    #[error("document: expected at most {expected} bytes, found {got}")]
    TooLarge { expected: usize, got: usize },
    #[error("document: {what}")]
    Syntax { what: String },
}

/// Reads a document of at most `max_bytes`. The messages of its errors name members and may quote values,
/// so it is for documents that hold no secret.
pub fn read<T: DeserializeOwned>(bytes: &[u8], max_bytes: usize) -> Result<T, JsonError> {
    if bytes.len() > max_bytes {
        return Err(JsonError::TooLarge { expected: max_bytes, got: bytes.len() });
    }
    FORM.check(bytes).map_err(|error| JsonError::Syntax { what: error.to_string() })?;
    serde_json::from_slice(bytes).map_err(|error| JsonError::Syntax { what: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        match read::<serde_json::Value>(text.as_bytes(), 4096) {
            Ok(value) => panic!("{text} was read as {value}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_other_readers_could_take_differently_is_refused() {
        assert!(read::<serde_json::Value>(br#"{"a":[1,{}]}"#, 4096).is_ok());
        assert!(refusal(r#"{"a":1,"a":1}"#).contains("duplicate field `a`"));
        assert!(refusal("1.0").contains("integers of at most"));
        assert!(refusal("{} {}").contains("trailing"));
        assert!(refusal("[\"\\ud800\"]").contains("hex escape"));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read::<serde_json::Value>(nested(32).as_bytes(), 4096).is_ok());
        assert!(refusal(&nested(33)).contains("32 levels"));
        let error = read::<serde_json::Value>(&[b' '; 4097], 4096);
        assert_eq!(error, Err(JsonError::TooLarge { expected: 4096, got: 4097 }));
    }
}
