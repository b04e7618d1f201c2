//! A token's JSON: of the one strict form (TOK-03), and no error with a word of it.

use serde::de::DeserializeOwned;

use super::TokenError;
use crate::json::{Form, Numbers, StrictError};

/// Deepest nesting of lists and objects (ATTESTATION 1).
pub const DEPTH_MAX: usize = 16;

/// Members are as many as a token may be long.
const FORM: Form = Form { depth: DEPTH_MAX, members: usize::MAX, numbers: Numbers::Whole };

/// Whether the text is JSON of the one strict form.
pub(super) fn check(bytes: &[u8]) -> Result<(), TokenError> {
    FORM.check(bytes).map_err(|error| match error {
        StrictError::Duplicate { .. } => TokenError::form("every member once", "one twice"),
        StrictError::Depth { expected } => {
            TokenError::form(format_args!("at most {expected} levels"), "one more")
        }
        StrictError::Members { expected } => {
            TokenError::form(format_args!("at most {expected} members"), "one more")
        }
        StrictError::Number => TokenError::form("integers of at most 2^53 - 1", "another number"),
        StrictError::Syntax(error) => TokenError::form("JSON", place(&error)),
    })
}

/// Reads a text that was checked; a member of another type is refused.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], expected: &str) -> Result<T, TokenError> {
    serde_json::from_slice(bytes).map_err(|error| TokenError::form(expected, place(&error)))
}

/// Where a reader stopped: its message would quote the text.
fn place(error: &serde_json::Error) -> String {
    format!("something else at line {}, column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_nothing_of_the_text() {
        let nested = "[".repeat(DEPTH_MAX + 1);
        for (text, found) in [
            (r#"{"secret":1,"secret":1}"#, "one twice"),
            (r#"{"secret":1.5}"#, "another number"),
            ("{\"secret\": nul}", "something else at line 1, column"),
            (nested.as_str(), "one more"),
        ] {
            let refusal = check(text.as_bytes()).map_or_else(|error| error.to_string(), |()| "taken".into());
            assert!(refusal.contains(found) && !refusal.contains("secret"), "{refusal}");
        }
    }
}
