//! JSON that somebody signed, read in one way only: no member twice, bounded depth, hex of exact length, dates
//! of one form.

use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::Hex;
use crate::chain::der::unix_seconds;
use crate::json::{Form, Name, Numbers, StrictError};

/// Intel's documents nest to nine levels and hold fewer than thirty members in an object.
const FORM: Form = Form { depth: 16, members: 256, numbers: Numbers::Any };

/// Why a text is not the document that was asked for; what serde says of it, which names members and places only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {what}, found {got}")]
pub struct JsonError {
    what: &'static str,
    got: String,
}

/// Reads a whole text; members that `T` does not know must be there once too.
pub(super) fn read<T: DeserializeOwned>(text: &[u8], what: &'static str) -> Result<T, JsonError> {
    FORM.check(text).map_err(|error| JsonError { what, got: described(&error) })?;
    serde_json::from_slice(text).map_err(|error| JsonError { what, got: placed(&error) })
}

/// What a text is that has no strict form, without a word of it: an attacker may have written it.
fn described(error: &StrictError) -> String {
    match error {
        StrictError::Duplicate { .. } => "a member that stands twice".to_owned(),
        StrictError::Depth { expected } => format!("more than {expected} levels"),
        StrictError::Members { expected } => format!("more than {expected} members in an object"),
        StrictError::Number => "another number".to_owned(),
        StrictError::Syntax(error) => placed(error),
    }
}

/// Kind and place of an error. Its own text may quote the document.
fn placed(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => "no JSON",
        serde_json::error::Category::Data | serde_json::error::Category::Io => "another structure",
    };
    format!("{kind} at line {} column {}", error.line(), error.column())
}

/// `N` bytes as `2 * N` hex digits of either case, as Intel writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HexText<const N: usize>(pub(super) Hex<N>);

impl<'de, const N: usize> Deserialize<'de> for HexText<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Name(text) = Name::deserialize(deserializer)?;
        text.to_ascii_lowercase().parse().map(Self).map_err(D::Error::custom)
    }
}

/// Unix seconds, written `YYYY-MM-DDThh:mm:ssZ` (RFC 3339 without fractions or offsets).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Date(pub(super) u64);

impl Date {
    fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
        if bytes.len() != 20 || separators.iter().any(|&(at, byte)| bytes.get(at) != Some(&byte)) {
            return None;
        }
        // What is left must be the fourteen digits and the Z, or the number of bytes is another.
        let compact: Vec<u8> = bytes.iter().copied().filter(|byte| !b"-T:".contains(byte)).collect();
        unix_seconds(&compact).map(Self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("expected YYYY-MM-DDThh:mm:ssZ"))
    }
}

/// The bytes of one member's value as they stand in an object, untouched.
///
/// Nobody may serialise them again: a signature covers them as received.
pub(super) fn raw_members(text: &[u8]) -> Result<Vec<(String, Vec<u8>)>, JsonError> {
    const WHAT: &str = "a JSON object";
    FORM.check(text).map_err(|error| JsonError { what: WHAT, got: described(&error) })?;
    let other = || JsonError { what: WHAT, got: "another structure".to_owned() };
    let mut rest = text.trim_ascii_start().strip_prefix(b"{").ok_or_else(other)?.trim_ascii_start();
    let mut members = Vec::new();
    while !rest.starts_with(b"}") {
        let (name, after) = value::<String>(rest).ok_or_else(other)?;
        let after = after.trim_ascii_start().strip_prefix(b":").ok_or_else(other)?.trim_ascii_start();
        let (IgnoredAny, behind) = value(after).ok_or_else(other)?;
        let raw = after.get(..after.len() - behind.len()).ok_or_else(other)?;
        members.push((name, raw.trim_ascii_end().to_vec()));
        rest = behind.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
    }
    Ok(members)
}

/// The value that `text` begins with, and what follows it.
fn value<T: DeserializeOwned>(text: &[u8]) -> Option<(T, &[u8])> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<T>();
    let value = values.next()?.ok()?;
    let after = text.get(values.byte_offset()..)?;
    Some((value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Document {
        at: Date,
        id: HexText<2>,
    }

    fn document(text: &str) -> Option<Document> {
        read(text.as_bytes(), "a document").ok()
    }

    #[test]
    fn members_stand_once_known_or_not() {
        let good = r#"{"at":"2025-06-19T10:16:03Z","id":"00Ff","more":{"a":[1,{"b":null}]}}"#;
        assert_eq!(document(good), Some(Document { at: Date(1_750_328_163), id: HexText(Hex([0, 255])) }));
        for bad in [
            r#"{"at":"2025-06-19T10:16:03Z","id":"00ff","id":"00ff"}"#,
            r#"{"at":"2025-06-19T10:16:03Z","id":"00ff","x":1,"x":1}"#,
            r#"{"at":"2025-06-19T10:16:03Z","id":"00ff","x":{"y":1,"\u0079":2}}"#,
            r#"{"at":"2025-06-19T10:16:03Z","id":"00ff","x":{"a":1,"b":1,"c":1,"d":1,"e":1,"e":1}}"#,
            r#"{"at":"2025-06-19T10:16:03Z","id":"00ff","x":{"a":1,"b":1,"c":1,"d":1,"e":1,"a":1}}"#,
            r#"{"at":"2025-06-19T10:16:03Z","id":"00ff"} {}"#,
            r#"{"at":"2025-06-19T10:16:03Z","id":"00f"}"#,
            r#"{"at":"2025-06-19T10:16:03.0Z","id":"00ff"}"#,
            r#"{"at":"2025-06-31T10:16:03Z","id":"00ff"}"#,
            r#"{"at":"2025-06-19 10:16:03Z","id":"00ff"}"#,
            r#"{"at":"2025-06-19T10:16:-3Z","id":"00ff"}"#,
        ] {
            assert_eq!(document(bad), None, "{bad}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| {
            let inner = "[".repeat(depth) + &"]".repeat(depth);
            format!(r#"{{"at":"2025-06-19T10:16:03Z","id":"00ff","x":{inner}}}"#)
        };
        assert!(document(&nested(FORM.depth - 1)).is_some());
        assert!(document(&nested(FORM.depth)).is_none());
        assert!(document(&nested(100_000)).is_none());
    }

    #[test]
    fn members_are_bounded() {
        let of = |count: usize| {
            let members: Vec<String> = (0..count).map(|at| format!(r#""{at}":0"#)).collect();
            raw_members(format!("{{{}}}", members.join(",")).as_bytes()).map(|members| members.len())
        };
        assert_eq!(of(FORM.members), Ok(FORM.members));
        assert!(of(FORM.members + 1).is_err());
    }

    #[test]
    fn errors_do_not_quote_the_text() {
        let error =
            read::<Document>(br#"{"at":"<script>","id":"00ff"}"#, "a document").map_err(|e| e.to_string());
        assert_eq!(error, Err("expected a document, found another structure at line 1 column 16".to_owned()));
    }

    #[test]
    fn raw_members_are_the_received_bytes() {
        let text = b" {\"a\" : {\"b\": [1,  2]} ,\"c\":\"d\\u0065\", \"n\":1 }";
        let expected = [("a", &b"{\"b\": [1,  2]}"[..]), ("c", b"\"d\\u0065\""), ("n", b"1")];
        let members = raw_members(text).unwrap_or_default();
        let members: Vec<(&str, &[u8])> = members.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        assert_eq!(members, expected);
        assert_eq!(raw_members(b"{}"), Ok(vec![]));
        for bad in [&b"[1]"[..], b"{\"a\":1,\"a\":1}", b"{\"a\":1", b"{\"a\":1}x", b"{\"a\":1,}", b""] {
            assert!(raw_members(bad).is_err(), "{bad:?}");
        }
    }
}
