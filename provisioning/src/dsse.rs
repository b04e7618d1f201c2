//! DSSE envelopes: signatures over a payload's own bytes, of manifests and charters (DSSE v1.0.2).

use ring::signature::{self, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use tiltyard_attestation::{Base64Bytes, Hex};

use crate::json::{self, JsonError};

/// Largest payload, in bytes.
pub const PAYLOAD_MAX_BYTES: usize = 1024 * 1024;
/// Largest envelope, in bytes: the payload in base64 and its signatures.
pub const ENVELOPE_MAX_BYTES: usize = 2 * PAYLOAD_MAX_BYTES;
/// Most signatures of one envelope.
pub const SIGNATURES_MAX: usize = 16;

/// A payload with signatures over its bytes.
///
/// Nothing in the payload may be used before [`Envelope::verify`] has returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope {
    /// Media type; part of what is signed.
    pub payload_type: String,
    pub payload: Base64Bytes,
    pub signatures: Vec<EnvelopeSignature>,
}

/// One Ed25519 signature of an [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// The signer's Ed25519 public key. A claim, until a reader holds it against a key that it trusts.
    pub keyid: Hex<32>,
    pub sig: Base64Bytes,
}

/// Why an envelope was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    #[error("envelope: expected at most {expected} bytes, found {got}")]
    TooLarge { expected: usize, got: usize },
    #[error("envelope: not a DSSE document: {what}")]
    Syntax { what: String },
    #[error("envelope: expected payload type {expected}, found {got}")]
    PayloadType { expected: String, got: String },
    #[error(
        "envelope: expected 1 to {SIGNATURES_MAX} signatures by different keys, found {got}, {distinct} different"
    )]
    Signatures { got: usize, distinct: usize },
    #[error("envelope: no signature by key {expected}")]
    Unsigned { expected: Hex<32> },
    #[error("envelope: the signature by key {key} does not verify")]
    Signature { key: Hex<32> },
}

impl Envelope {
    /// An envelope around `payload` with a first signature.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &Ed25519KeyPair) -> Self {
        let mut envelope =
            Self { payload_type: payload_type.into(), payload: payload.into(), signatures: Vec::new() };
        envelope.add_signature(key);
        envelope
    }

    /// Adds a signature over the same bytes, in place of an earlier one by the same key.
    pub fn add_signature(&mut self, key: &Ed25519KeyPair) {
        let mut public = [0; 32];
        public.copy_from_slice(key.public_key().as_ref());
        let keyid = Hex(public);
        let sig = key.sign(&pre_authentication_encoding(&self.payload_type, &self.payload.0));
        self.signatures.retain(|signature| signature.keyid != keyid);
        self.signatures.push(EnvelopeSignature { keyid, sig: sig.as_ref().to_vec().into() });
    }

    /// Reads an envelope; its signatures are not checked yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let envelope: Self = json::read(bytes, ENVELOPE_MAX_BYTES).map_err(|error| match error {
            JsonError::TooLarge { expected, got } => EnvelopeError::TooLarge { expected, got },
            JsonError::Syntax { what } => EnvelopeError::Syntax { what },
        })?;
        within(PAYLOAD_MAX_BYTES, envelope.payload.0.len())?;
        let mut keys: Vec<_> = envelope.signatures.iter().map(|signature| signature.keyid).collect();
        keys.sort_unstable();
        keys.dedup();
        let got = envelope.signatures.len();
        if !(1..=SIGNATURES_MAX).contains(&got) || keys.len() != got {
            return Err(EnvelopeError::Signatures { got, distinct: keys.len() });
        }
        Ok(envelope)
    }

    /// The envelope as canonical JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and lists only, which always serialise.
        serde_jcs::to_vec(self).unwrap_or_default()
    }

    /// The payload's bytes, once a signature by `key` over them and `payload_type` was checked.
    pub fn verify(&self, payload_type: &str, key: &Hex<32>) -> Result<&[u8], EnvelopeError> {
        if self.payload_type != payload_type {
            return Err(EnvelopeError::PayloadType {
                expected: payload_type.into(),
                got: self.payload_type.clone(),
            });
        }
        let signature = self
            .signatures
            .iter()
            .find(|signature| signature.keyid == *key)
            .ok_or(EnvelopeError::Unsigned { expected: *key })?;
        UnparsedPublicKey::new(&signature::ED25519, key.bytes())
            .verify(&pre_authentication_encoding(payload_type, &self.payload.0), &signature.sig.0)
            .map_err(|_| EnvelopeError::Signature { key: *key })?;
        Ok(&self.payload.0)
    }
}

/// `"DSSEv1" SP len(type) SP type SP len(payload) SP payload`: what is signed (DSSE, protocol, PAE).
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

fn within(expected: usize, got: usize) -> Result<(), EnvelopeError> {
    if got > expected { Err(EnvelopeError::TooLarge { expected, got }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pre_authentication_encoding_is_the_one_of_the_specification() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
