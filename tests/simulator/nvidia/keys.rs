//! P-384 keys by name, all from one seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::der;

/// Length of a raw signature, `r || s`, in bytes.
pub const SIGNATURE_BYTES: usize = 96;

/// Names one key of a [`Keyring`]; any text is a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

/// A key, and SHA-256 of what it signs.
type SignedMessage = (KeyName, [u8; 32]);

/// Every key that one seed gives. Signatures are deterministic (RFC 6979), so equal drafts give equal bytes.
pub struct Keyring {
    seed: Zeroizing<[u8; 32]>,
    made: Mutex<BTreeMap<KeyName, Arc<SigningKey>>>,
    /// Most of a set is signed as it was in the set before.
    signed: Mutex<BTreeMap<SignedMessage, [u8; SIGNATURE_BYTES]>>,
}

impl Keyring {
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed), made: Mutex::default(), signed: Mutex::default() }
    }

    /// Public point, uncompressed SEC1, 97 bytes.
    pub fn public(&self, name: &KeyName) -> Vec<u8> {
        self.key(name).verifying_key().to_sec1_bytes().into_vec()
    }

    /// Key identifier: SHA-1 of the public point (RFC 5280, 4.2.1.2, method 1), as in every genuine certificate.
    pub fn key_id(&self, name: &KeyName) -> [u8; 20] {
        sha1(&self.public(name))
    }

    /// ECDSA with SHA-384: `r || s`, big endian, 48 bytes each.
    pub fn sign_raw(&self, name: &KeyName, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        *signed.entry((name.clone(), Sha256::digest(message).into())).or_insert_with(|| {
            let signature: Signature = self.key(name).sign(message);
            signature.to_bytes().into()
        })
    }

    /// The same as ECDSA-Sig-Value (RFC 3279, 2.2.3).
    pub fn sign_der(&self, name: &KeyName, message: &[u8]) -> Vec<u8> {
        let raw = self.sign_raw(name, message);
        let (r, s) = raw.split_at(SIGNATURE_BYTES / 2);
        der::sequence(&[&der::unsigned(r), &der::unsigned(s)])
    }

    /// Bytes that stand for something random of the real world: serial numbers, fuses, responder nonces.
    pub fn draw<const N: usize>(&self, label: &str) -> [u8; N] {
        let mut out = [0; N];
        self.stream(b"tiltyard/simulator/nvidia/draw/1", label).fill_bytes(&mut out);
        out
    }

    fn key(&self, name: &KeyName) -> Arc<SigningKey> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(made.entry(name.clone()).or_insert_with(|| {
            let mut rng = self.stream(b"tiltyard/simulator/nvidia/key/1", &name.0);
            loop {
                let mut scalar = Zeroizing::new([0; 48]);
                rng.fill_bytes(&mut *scalar);
                // Zero and values above the order are not keys; both are about 2^-190 likely.
                if let Ok(key) = SigningKey::from_slice(&*scalar) {
                    return Arc::new(key);
                }
            }
        }))
    }

    fn stream(&self, tag: &[u8], label: &str) -> ChaCha20Rng {
        let mut hash = Sha256::new();
        hash.update(tag);
        hash.update([0]);
        hash.update(self.seed.as_slice());
        hash.update(label.as_bytes());
        ChaCha20Rng::from_seed(hash.finalize().into())
    }
}

/// SHA-1, for key identifiers only.
pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    out
}
