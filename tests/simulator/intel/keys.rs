//! The P-256 keys of one seed.

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::der;

/// Whose key signs or is certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// SGX Root CA.
    Root,
    /// PCK Platform CA.
    PlatformCa,
    /// Signs TCB info and QE identity.
    TcbSigning,
    /// The platform's: signs the quoting enclave's report.
    Pck,
    /// The quoting enclave's: signs header and body of quotes.
    Attestation,
    /// Nobody's in the chain: what an attacker has.
    Stranger,
}

/// One key for each [`Key`]. Signatures are deterministic (RFC 6979), so equal drafts give equal bytes.
pub struct Keyring {
    seed: Zeroizing<[u8; 32]>,
    root: SigningKey,
    platform_ca: SigningKey,
    tcb_signing: SigningKey,
    pck: SigningKey,
    attestation: SigningKey,
    stranger: SigningKey,
}

impl Keyring {
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = |name: &str| derived(seed, name);
        Self {
            root: key("root"),
            platform_ca: key("platform-ca"),
            tcb_signing: key("tcb-signing"),
            pck: key("pck"),
            attestation: key("attestation"),
            stranger: key("stranger"),
            seed: Zeroizing::new(*seed),
        }
    }

    /// Public point, uncompressed, without the leading 4: x then y.
    pub fn public(&self, key: Key) -> [u8; 64] {
        let mut out = [0; 64];
        let point = self.key(key).verifying_key().to_sec1_bytes();
        out.iter_mut().zip(point.iter().skip(1)).for_each(|(to, from)| *to = *from);
        out
    }

    /// Key identifier: SHA-1 of the uncompressed point (RFC 5280 4.2.1.2, method 1).
    pub fn key_id(&self, key: Key) -> [u8; 20] {
        let point = [&[4], &self.public(key)[..]].concat();
        let mut out = [0; 20];
        out.copy_from_slice(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &point).as_ref());
        out
    }

    /// ECDSA with SHA-256: r then s, big endian.
    pub fn sign_raw(&self, key: Key, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.key(key).sign(message);
        signature.to_bytes().into()
    }

    /// The same as ECDSA-Sig-Value (RFC 3279 2.2.3).
    pub fn sign_der(&self, key: Key, message: &[u8]) -> Vec<u8> {
        let raw = self.sign_raw(key, message);
        let (r, s) = raw.split_at(32);
        der::sequence(&[&der::unsigned(r), &der::unsigned(s)])
    }

    /// Bytes that stand for something random of the real world: fuses, serial numbers, measurements.
    pub fn draw<const N: usize>(&self, name: &str) -> [u8; N] {
        let mut out = [0; N];
        stream(&self.seed, b"tiltyard/simulator/intel/draw/1", name).fill_bytes(&mut out);
        out
    }

    fn key(&self, key: Key) -> &SigningKey {
        match key {
            Key::Root => &self.root,
            Key::PlatformCa => &self.platform_ca,
            Key::TcbSigning => &self.tcb_signing,
            Key::Pck => &self.pck,
            Key::Attestation => &self.attestation,
            Key::Stranger => &self.stranger,
        }
    }
}

fn derived(seed: &[u8; 32], name: &str) -> SigningKey {
    let mut rng = stream(seed, b"tiltyard/simulator/intel/key/1", name);
    loop {
        let mut scalar = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *scalar);
        // Zero and values above the order are not keys; about 2^-32 likely.
        if let Ok(key) = SigningKey::from_slice(&*scalar) {
            return key;
        }
    }
}

fn stream(seed: &[u8; 32], tag: &[u8], name: &str) -> ChaCha20Rng {
    let mut hash = Sha256::new();
    hash.update(tag);
    hash.update([0]);
    hash.update(seed);
    hash.update(name.as_bytes());
    ChaCha20Rng::from_seed(hash.finalize().into())
}
