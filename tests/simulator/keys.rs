//! The signing keys that a seed gives, and the file that spares making them again.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use p384::ecdsa::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::pss::SigningKey as PssKey;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

/// Modulus of ARK and ASK, in bits (VCEK specification 57230).
const RSA_BITS: usize = 4096;
/// Largest key cache file, in bytes: two RSA-4096 keys in PKCS#8.
const CACHE_MAX_BYTES: u64 = 16 * 1024;

/// Why the keys could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    #[error("RSA key: {0}")]
    Rsa(rsa::Error),
    #[error("signature: {0}")]
    Signature(rsa::signature::Error),
    #[error("key cache {path}: {source}")]
    Cache { path: PathBuf, source: std::io::Error },
    #[error("key cache {path} does not hold two RSA-4096 keys\n  delete it; it is made again from the seed")]
    CacheFormat { path: PathBuf },
    #[error("a key generation thread ended early")]
    Thread,
}

/// ARK and ASK, one pair for each seed.
pub struct AuthorityKeys {
    ark: PssKey<Sha384>,
    ask: PssKey<Sha384>,
}

/// Which authority signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    Ark,
    Ask,
}

impl AuthorityKeys {
    /// The pair that `seed` gives, read from `cache` when an earlier start left it there.
    pub fn from_seed(seed: &[u8; 32], cache: Option<&Path>) -> Result<Self, KeyError> {
        let Some(folder) = cache else {
            return Self::generate(seed);
        };
        let name = tagged(b"tiltyard/simulator/cache/1", seed);
        let hex: String = name[..10].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(format!("simulator-{hex}.keys"));
        let failed = |source| KeyError::Cache { path: path.clone(), source };
        match std::fs::File::open(&path) {
            Ok(file) => {
                let mut bytes = Zeroizing::new(Vec::new());
                file.take(CACHE_MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
                Self::from_cache(&bytes).ok_or(KeyError::CacheFormat { path })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let keys = Self::generate(seed)?;
                std::fs::create_dir_all(folder).map_err(failed)?;
                keys.write_cache(&path).map_err(failed)?;
                Ok(keys)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Searching primes takes seconds, so each key has its own thread.
    fn generate(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let make = |tag: &'static [u8]| {
            let mut rng = stream(tag, seed);
            std::thread::spawn(move || RsaPrivateKey::new(&mut rng, RSA_BITS))
        };
        let (ark, ask) = (make(b"tiltyard/simulator/ark/1"), make(b"tiltyard/simulator/ask/1"));
        let take = |thread: std::thread::JoinHandle<rsa::Result<RsaPrivateKey>>| {
            thread.join().map_err(|_| KeyError::Thread)?.map_err(KeyError::Rsa)
        };
        Ok(Self { ark: PssKey::new(take(ark)?), ask: PssKey::new(take(ask)?) })
    }

    /// Two PKCS#8 documents, each after its length (u32, little endian).
    fn from_cache(mut bytes: &[u8]) -> Option<Self> {
        let mut next = || {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (document, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            bytes = rest;
            RsaPrivateKey::from_pkcs8_der(document).ok().map(PssKey::new)
        };
        let keys = Self { ark: next()?, ask: next()? };
        bytes.is_empty().then_some(keys)
    }

    /// Written beside and renamed, so that two starts at once both find a whole file.
    fn write_cache(&self, path: &Path) -> std::io::Result<()> {
        let mut content = Zeroizing::new(Vec::new());
        for key in [&self.ark, &self.ask] {
            let document = key.to_pkcs8_der().map_err(std::io::Error::other)?;
            content.extend_from_slice(&(document.as_bytes().len() as u32).to_le_bytes());
            content.extend_from_slice(document.as_bytes());
        }
        let partial = path.with_extension(format!("{}.new", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(&content)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    }

    /// RSASSA-PSS, SHA-384, salt of 48 bytes drawn from the message, so that equal bytes get equal signatures.
    pub(crate) fn sign(&self, authority: Authority, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut salt = ChaCha20Rng::from_seed(tagged(b"tiltyard/simulator/salt/1", message));
        let signature = self.key(authority).try_sign_with_rng(&mut salt, message);
        Ok(signature.map_err(KeyError::Signature)?.to_vec())
    }

    /// Modulus (512 bytes) and public exponent, big endian.
    pub(crate) fn public(&self, authority: Authority) -> (Vec<u8>, Vec<u8>) {
        use rsa::signature::Keypair;
        use rsa::traits::PublicKeyParts;
        let key = rsa::RsaPublicKey::from(self.key(authority).verifying_key());
        (key.n_bytes().to_vec(), key.e_bytes().to_vec())
    }

    fn key(&self, authority: Authority) -> &PssKey<Sha384> {
        match authority {
            Authority::Ark => &self.ark,
            Authority::Ask => &self.ask,
        }
    }
}

/// The P-384 key of one chip at one security version, as firmware derives it from the chip's secret.
pub(crate) fn chip_key(seed: &[u8; 32], chip: u32, tcb: &[u8]) -> SigningKey {
    let context = [seed.as_slice(), &chip.to_le_bytes(), tcb].concat();
    let mut rng = ChaCha20Rng::from_seed(tagged(b"tiltyard/simulator/vcek/1", &context));
    loop {
        let mut scalar = Zeroizing::new([0; 48]);
        rng.fill_bytes(&mut *scalar);
        // Zero and values above the order are not keys; both are about 2^-190 likely.
        if let Ok(key) = SigningKey::from_slice(&*scalar) {
            return key;
        }
    }
}

/// Public identity of a chip: 64 bytes, or 8 and zeros as Turin has it.
pub(crate) fn chip_id(seed: &[u8; 32], chip: u32, len: usize) -> [u8; 64] {
    let context = [seed.as_slice(), &chip.to_le_bytes()].concat();
    let mut out = [0; 64];
    let len = len.min(out.len());
    ChaCha20Rng::from_seed(tagged(b"tiltyard/simulator/chip-id/1", &context)).fill_bytes(&mut out[..len]);
    out
}

fn stream(tag: &[u8], seed: &[u8; 32]) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(tagged(tag, seed))
}

/// SHA-256(tag || NUL || data).
fn tagged(tag: &[u8], data: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(tag);
    hash.update([0]);
    hash.update(data);
    hash.finalize().into()
}
