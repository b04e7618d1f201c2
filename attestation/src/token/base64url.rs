//! Base64url without padding, in its one form: no spare bit, no white space (RFC 7515, 2).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes; `None` for any text that [`encode`] does not give.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Members of fixed length that JOSE and EAT write so.
pub(super) mod fixed {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Hex;

    pub(in crate::token) fn serialize<const N: usize, S: Serializer>(
        bytes: &Hex<N>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::encode(bytes.bytes()))
    }

    pub(in crate::token) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Hex<N>, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::decode(&text)
            .and_then(|bytes| Hex::from_slice(&bytes))
            .ok_or_else(|| D::Error::custom("expected base64url of a fixed length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_is_read() {
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
        assert_eq!(decode("-_8"), Some(vec![0xfb, 0xff]));
        // Padding, the other alphabet, a spare bit, white space, an impossible length.
        for text in ["-_8=", "+/8", "-_9", "-_8\n", " -_8", "-", "-_8-_"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
