//! Signed statements: Ed25519 over `tiltyard-<kind>-v1 NUL` and the payload's bytes (PROVISIONING 13).

use std::marker::PhantomData;

use ring::signature::{self, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tiltyard_attestation::{Base64Bytes, Hex};

/// Largest statement payload, in bytes.
pub const STATEMENT_MAX_BYTES: usize = 2 * 1024 * 1024;

/// A document that is signed under its own domain tag.
pub trait Statement: Serialize + DeserializeOwned {
    /// `kind` of the tag `tiltyard-<kind>-v1`.
    const KIND: &'static str;
}

/// A statement as it travels: the payload's own bytes, the signer's key, the signature.
///
/// Nothing in it may be read before [`Signed::verify`] has held it against a key that the reader
/// already trusts; `key` only says which key the signer claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "")]
pub struct Signed<T> {
    pub payload: Base64Bytes,
    pub key: Hex<32>,
    pub signature: Hex<64>,
    #[serde(skip)]
    kind: PhantomData<T>,
}

/// A statement whose signature was checked, with the digest of the bytes that were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    digest: Hex<32>,
    key: Hex<32>,
}

/// Why a statement was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    #[error("{kind}: expected a signature by key {expected}, found one by {got}")]
    WrongKey { kind: &'static str, expected: Hex<32>, got: Hex<32> },
    #[error("{kind}: the signature does not verify under key {key}")]
    Signature { kind: &'static str, key: Hex<32> },
    #[error("{kind}: expected at most {STATEMENT_MAX_BYTES} bytes, found {got}")]
    TooLarge { kind: &'static str, got: usize },
    #[error("{kind}: {what}")]
    Syntax { kind: &'static str, what: String },
}

impl<T: Statement> Signed<T> {
    /// Signs the canonical form (RFC 8785) of `value`.
    pub fn sign(value: &T, key: &Ed25519KeyPair) -> Self {
        // Statements hold strings, integers and lists only, which always serialise.
        let payload = serde_jcs::to_vec(value).unwrap_or_default();
        let signature = key.sign(&tagged(T::KIND, &payload));
        let mut bytes = [0; 64];
        bytes.copy_from_slice(signature.as_ref());
        let mut public = [0; 32];
        public.copy_from_slice(key.public_key().as_ref());
        Self { payload: payload.into(), key: Hex(public), signature: Hex(bytes), kind: PhantomData }
    }

    /// SHA-256 of the payload bytes: how other documents refer to this one.
    pub fn digest(&self) -> Hex<32> {
        Hex::sha256(&self.payload.0)
    }

    /// Checks the signature under `expected`, then reads the payload.
    pub fn verify(&self, expected: &Hex<32>) -> Result<Verified<T>, StatementError> {
        let kind = T::KIND;
        if self.payload.0.len() > STATEMENT_MAX_BYTES {
            return Err(StatementError::TooLarge { kind, got: self.payload.0.len() });
        }
        if self.key != *expected {
            return Err(StatementError::WrongKey { kind, expected: *expected, got: self.key });
        }
        UnparsedPublicKey::new(&signature::ED25519, expected.bytes())
            .verify(&tagged(kind, &self.payload.0), self.signature.bytes())
            .map_err(|_| StatementError::Signature { kind, key: *expected })?;
        let value = serde_json::from_slice(&self.payload.0)
            .map_err(|error| StatementError::Syntax { kind, what: error.to_string() })?;
        Ok(Verified { value, digest: self.digest(), key: *expected })
    }
}

impl<T> Verified<T> {
    /// SHA-256 of the signed payload bytes.
    pub fn digest(&self) -> Hex<32> {
        self.digest
    }

    /// The key that signed.
    pub fn key(&self) -> Hex<32> {
        self.key
    }

    /// The statement, without its proof.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

fn tagged(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("tiltyard-{kind}-v1\0").into_bytes();
    message.extend_from_slice(payload);
    message
}
