//! Byte strings as they stand in JSON: fixed ones in lower-case hex, free ones in standard base64.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `N` bytes, written as exactly `2 * N` lower-case hex digits.
///
/// Digests, nonces, public keys and ids. Not for secrets: it is `Copy` and prints itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// Bytes of free length, written as padded standard base64.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Base64Bytes(pub Vec<u8>);

/// Why a text is not the byte string that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BytesError {
    /// The text has another length.
    #[error("expected {expected} lower-case hex digits, found {got} characters")]
    Length { expected: usize, got: usize },
    /// The text holds something other than `0-9a-f`.
    #[error("expected lower-case hex digits only, found another character at {at}")]
    Digit { at: usize },
}

impl<const N: usize> Hex<N> {
    /// The bytes themselves.
    pub fn bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// `N` bytes from a slice; `None` when its length differs.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl Hex<32> {
    /// SHA-256 of `data`.
    pub fn sha256(data: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, data);
        let mut out = [0; 32];
        out.copy_from_slice(digest.as_ref());
        Self(out)
    }

    /// SHA-256 of a domain tag, one NUL byte and `data`.
    pub fn tagged(tag: &str, data: &[u8]) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(tag.as_bytes());
        context.update(&[0]);
        context.update(data);
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        Self(out)
    }
}

impl Hex<48> {
    /// SHA-384 of a domain tag, one NUL byte and `data`.
    pub fn tagged_sha384(tag: &str, data: &[u8]) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA384);
        context.update(tag.as_bytes());
        context.update(&[0]);
        context.update(data);
        let mut out = [0; 48];
        out.copy_from_slice(context.finish().as_ref());
        Self(out)
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> FromStr for Hex<N> {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        if text.len() != 2 * N {
            return Err(BytesError::Length { expected: 2 * N, got: text.len() });
        }
        let nibble = |at: usize| match text.as_bytes()[at] {
            digit @ b'0'..=b'9' => Ok(digit - b'0'),
            digit @ b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(BytesError::Digit { at }),
        };
        let mut out = [0; N];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = nibble(2 * i)? << 4 | nibble(2 * i + 1)?;
        }
        Ok(Self(out))
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Debug for Base64Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl From<Vec<u8>> for Base64Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Base64Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Base64Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|_| D::Error::custom("expected padded standard base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_reads_what_it_writes_and_nothing_else() {
        let value = Hex([0x00, 0xab, 0xff]);
        assert_eq!("00abff".parse::<Hex<3>>(), Ok(value));
        assert_eq!(value.to_string(), "00abff");
        assert_eq!("00ABff".parse::<Hex<3>>(), Err(BytesError::Digit { at: 2 }));
        assert_eq!("00abf".parse::<Hex<3>>(), Err(BytesError::Length { expected: 6, got: 5 }));
    }
}
