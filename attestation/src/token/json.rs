//! JSON that no two readers take differently: no member twice at any depth, whole numbers only, bounded depth.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::TokenError;

/// Deepest nesting of lists and objects (ATTESTATION 1).
pub const DEPTH_MAX: usize = 16;
/// Largest integer that every reader of JSON keeps exactly: 2^53 - 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// What is wrong with a text, without a word of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Duplicate,
    Depth,
    Number,
}

/// Whether the text is JSON of the one strict form (TOK-03).
pub(super) fn check(bytes: &[u8]) -> Result<(), TokenError> {
    let fault = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let walked = Walk { depth: 0, fault: &fault }.deserialize(&mut reader).and_then(|()| reader.end());
    match (walked, fault.get()) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(Fault::Duplicate)) => Err(TokenError::form("every member once", "one twice")),
        (Err(_), Some(Fault::Depth)) => {
            Err(TokenError::form(format_args!("at most {DEPTH_MAX} levels"), "one more"))
        }
        (Err(_), Some(Fault::Number)) => {
            Err(TokenError::form("integers of at most 2^53 - 1", "another number"))
        }
        (Err(error), None) => Err(TokenError::form("JSON", place(&error))),
    }
}

/// Reads a text that was checked; a member of another type is refused as TOK-03.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], expected: &str) -> Result<T, TokenError> {
    serde_json::from_slice(bytes).map_err(|error| TokenError::form(expected, place(&error)))
}

/// Where a reader stopped: its message would quote the text.
fn place(error: &serde_json::Error) -> String {
    format!("something else at line {}, column {}", error.line(), error.column())
}

/// Walks one value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Walk<'f> {
    depth: usize,
    fault: &'f Cell<Option<Fault>>,
}

impl Walk<'_> {
    fn stop<E: Error>(self, fault: Fault) -> E {
        self.fault.set(Some(fault));
        E::custom("refused")
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth {
            DEPTH_MAX.. => Err(self.stop(Fault::Depth)),
            depth => Ok(Self { depth: depth + 1, ..self }),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        if value > INTEGER_MAX { Err(self.stop(Fault::Number)) } else { Ok(()) }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_u64(value.unsigned_abs())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Err(self.stop(Fault::Number))
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
            if !names.insert(name) {
                return Err(self.stop(Fault::Duplicate));
            }
            object.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        check(text.as_bytes()).map_or_else(|error| error.to_string(), |()| panic!("{text} was taken"))
    }

    #[test]
    fn plain_texts_are_taken() {
        for text in ["{}", r#"{"a":[1,-1,true,null,"\u00e9"],"b":{"a":9007199254740991}}"#, " [ ] "] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_readers_take_differently_is_refused() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"b":1,"\u0062":2}]}"#] {
            assert!(refusal(text).contains("one twice"), "{text}");
        }
        for text in ["1.0", "1e2", "-0", "9007199254740992", "-9007199254740992", "99999999999999999999"] {
            assert!(refusal(text).contains("another number"), "{text}");
        }
        for text in ["", "{", "{}{}", "nul", "\u{feff}{}", "{\"a\":01}", "[1,]", "\"\\ud800\"", "{'a':1}"] {
            assert!(refusal(text).contains("something else"), "{text}");
        }
        assert!(check(b"\"\xff\"").is_err());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(check(nested(DEPTH_MAX).as_bytes()), Ok(()));
        assert!(refusal(&nested(DEPTH_MAX + 1)).contains("16 levels"));
        assert!(refusal(&"[".repeat(1 << 16)).contains("16 levels"));
    }
}
