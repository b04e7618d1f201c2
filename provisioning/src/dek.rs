//! Secret keys: the data encryption key of one object family, and the key that wraps it (PROVISIONING 5).
//!
//! Both are wiped when dropped, and have no `Debug`, `Clone` or `Serialize`. The host never names this
//! module.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::SecureRandom;
use serde::Serialize;
use tiltyard_attestation::Hex;
use zeroize::Zeroizing;

/// Length of every key here, in bytes.
pub const KEY_BYTES: usize = 32;
/// Bytes that wrapping adds: nonce in front, tag behind.
pub const WRAP_OVERHEAD_BYTES: usize = NONCE_LEN + TAG_BYTES;
/// Longest secret that is wrapped, in bytes: keys and seeds, never data.
pub const WRAPPED_SECRET_MAX_BYTES: usize = 4096;
/// Name of the wrapping algorithm in manifests.
pub const WRAP_ALGORITHM: &str = "A256GCM";

const TAG_BYTES: usize = 16;
const KEK_ID_TAG: &[u8] = b"tiltyard-kek-id-v1\0";

/// Data encryption key: opens the sealed objects of one dataset version and split, one submission or one output.
pub struct Dek(Zeroizing<[u8; KEY_BYTES]>);

/// Key encryption key: wraps other keys and never touches data.
pub struct Kek(Zeroizing<[u8; KEY_BYTES]>);

/// What a wrapped key belongs to; authenticated, so that it can't be moved to another row of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrapAad {
    /// Text of the [`crate::keyid::KeyId`], or the name under which a broker keeps a key of its own.
    pub key_id: String,
    /// [`Kek::id`] of the wrapping key.
    pub kek_id: Hex<16>,
    pub version: u64,
    pub kind: WrapKind,
}

/// What the wrapped bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WrapKind {
    /// A [`Dek`].
    Dek,
    /// A referee's draw seed.
    Seed,
    /// A private key of the broker itself: signing, HPKE, TLS.
    Identity,
}

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    #[error("E_KEY_LEN: expected a key of {KEY_BYTES} bytes, found {got}")]
    Length { got: usize },
    #[error("E_KEY_WRAP: expected at most {expected} bytes to wrap or unwrap, found {got}")]
    TooLarge { expected: usize, got: usize },
    #[error("E_KEY_WRAP: expected at least {WRAP_OVERHEAD_BYTES} bytes of a wrapped key, found {got}")]
    Short { got: usize },
    #[error(
        "E_KEY_WRAP: expected a key wrapped by {expected}, found one by {got}\nUse the key file under which it was sealed."
    )]
    OtherKek { expected: Hex<16>, got: Hex<16> },
    #[error(
        "E_KEY_WRAP: the wrapped key does not open as {key_id}, version {version}\nIt was changed, or belongs to another row."
    )]
    Unwrap { key_id: String, version: u64 },
    #[error("E_RANDOM: the random source gave no bytes")]
    Random,
}

impl Dek {
    /// A fresh random key.
    pub fn generate(rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        random_key(rng).map(Self)
    }

    /// A key from its bytes, which are wiped; `E_KEY_LEN` unless there are 32.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        key_from(&bytes).map(Self)
    }

    /// The key's bytes, to be wrapped or sealed to an attested key, and for nothing else.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl Kek {
    /// A fresh random key.
    pub fn generate(rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        random_key(rng).map(Self)
    }

    /// A key from its bytes, which are wiped; `E_KEY_LEN` unless there are 32.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        key_from(&bytes).map(Self)
    }

    /// Public name of this key: 16 bytes of HMAC-SHA-256(key, `tiltyard-kek-id-v1 NUL`).
    pub fn id(&self) -> Hex<16> {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0[..]), KEK_ID_TAG);
        let mut id = [0; 16];
        id.copy_from_slice(&tag.as_ref()[..16]);
        Hex(id)
    }

    /// `nonce[12] || ciphertext || tag[16]`: AES-256-GCM under a random nonce, AAD = JCS of `aad`.
    pub fn wrap(&self, secret: &[u8], aad: &WrapAad, rng: &dyn SecureRandom) -> Result<Vec<u8>, KeyError> {
        self.own(aad)?;
        if secret.len() > WRAPPED_SECRET_MAX_BYTES {
            return Err(KeyError::TooLarge { expected: WRAPPED_SECRET_MAX_BYTES, got: secret.len() });
        }
        let mut nonce = [0; NONCE_LEN];
        rng.fill(&mut nonce).map_err(|_| KeyError::Random)?;
        let mut out = Vec::with_capacity(secret.len() + WRAP_OVERHEAD_BYTES);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(secret);
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad.canonical()),
                &mut out[NONCE_LEN..],
            )
            .map_err(|_| KeyError::TooLarge { expected: WRAPPED_SECRET_MAX_BYTES, got: secret.len() })?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// The secret that [`Kek::wrap`] wrapped under the same `aad`.
    pub fn unwrap(&self, wrapped: &[u8], aad: &WrapAad) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.own(aad)?;
        let expected = WRAPPED_SECRET_MAX_BYTES + WRAP_OVERHEAD_BYTES;
        if wrapped.len() > expected {
            return Err(KeyError::TooLarge { expected, got: wrapped.len() });
        }
        let Some((nonce, body)) = wrapped.split_first_chunk::<NONCE_LEN>() else {
            return Err(KeyError::Short { got: wrapped.len() });
        };
        if body.len() < TAG_BYTES {
            return Err(KeyError::Short { got: wrapped.len() });
        }
        let mut secret = Zeroizing::new(body.to_vec());
        let len = self
            .cipher()?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad.canonical()), &mut secret)
            .map_err(|_| KeyError::Unwrap { key_id: aad.key_id.clone(), version: aad.version })?
            .len();
        secret.truncate(len);
        Ok(secret)
    }

    /// The key's bytes, for the key file.
    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    fn cipher(&self) -> Result<LessSafeKey, KeyError> {
        UnboundKey::new(&AES_256_GCM, &self.0[..])
            .map(LessSafeKey::new)
            .map_err(|_| KeyError::Length { got: self.0.len() })
    }

    fn own(&self, aad: &WrapAad) -> Result<(), KeyError> {
        let expected = self.id();
        if aad.kek_id == expected { Ok(()) } else { Err(KeyError::OtherKek { expected, got: aad.kek_id }) }
    }
}

impl WrapAad {
    fn canonical(&self) -> Vec<u8> {
        // Strings and integers only, which always serialise.
        serde_jcs::to_vec(self).unwrap_or_default()
    }
}

fn random_key(rng: &dyn SecureRandom) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rng.fill(&mut key[..]).map_err(|_| KeyError::Random)?;
    Ok(key)
}

fn key_from(bytes: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    if bytes.len() != KEY_BYTES {
        return Err(KeyError::Length { got: bytes.len() });
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    key.copy_from_slice(bytes);
    Ok(key)
}
