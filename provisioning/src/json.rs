//! The JSON that a document of ours may be: checked at the border, before its type is read.
//!
//! No name twice in one object, no floating point, integers within 2^53 - 1, at most [`DEPTH_MAX`] levels
//! (PROVISIONING 9, `E_SYNTAX`). Types refuse unknown members themselves.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of arrays and objects.
pub const DEPTH_MAX: u32 = 32;
/// Largest integer that every reader of JSON keeps exactly: 2^53 - 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

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
    let syntax = |error: serde_json::Error| JsonError::Syntax { what: error.to_string() };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Plain { depth: 0 }.deserialize(&mut reader).and_then(|()| reader.end()).map_err(syntax)?;
    serde_json::from_slice(bytes).map_err(syntax)
}

/// Walks one value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Plain {
    depth: u32,
}

impl Plain {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format_args!("expected at most {DEPTH_MAX} levels of nesting")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Plain {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, an integer, a boolean, null, a list or an object")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        if value > INTEGER_MAX {
            return Err(E::custom("expected an integer of at most 2^53 - 1"));
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_u64(value.unsigned_abs())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Err(E::custom("expected an integer of at most 2^53 - 1, found a floating point number"))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = BTreeSet::new();
        while let Some(name) = object.next_key::<String>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            names.insert(name);
            object.next_value_seed(inner)?;
        }
        Ok(())
    }
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
    fn plain_documents_are_read() {
        for text in ["{}", r#"{"a":[1,-1,true,null,"\u00e9"],"b":{"a":9007199254740991}}"#, "[[[]]]"] {
            assert!(read::<serde_json::Value>(text.as_bytes(), 4096).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_other_readers_could_take_differently_is_refused() {
        assert!(refusal(r#"{"a":1,"a":1}"#).contains("duplicate field `a`"));
        assert!(refusal(r#"{"a":[{"b":1,"\u0062":2}]}"#).contains("duplicate field `b`"));
        for number in ["1.0", "1e2", "-0", "9007199254740992", "-9007199254740992", "99999999999999999999"] {
            assert!(refusal(number).contains("integer"), "{number}");
        }
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
