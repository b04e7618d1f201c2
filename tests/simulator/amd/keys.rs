//! The signing keys that a seed gives, and the files that spare making them again.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use p384::ecdsa::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::pss::SigningKey as PssKey;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

/// Modulus of every authority, in bits (VCEK specification 57230).
const RSA_BITS: usize = 4096;
/// Largest key cache file, in bytes: one RSA-4096 key in PKCS#8.
const CACHE_MAX_BYTES: u64 = 8 * 1024;

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
    #[error("key cache {path} does not hold an RSA-4096 key\n  delete it; it is made again from the seed")]
    CacheFormat { path: PathBuf },
    #[error("a key generation thread ended early")]
    Thread,
}

/// Which authority signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Authority {
    /// The root.
    Ark,
    /// Issues VCEK certificates.
    Ask,
    /// Issues VLEK certificates.
    Asvk,
}

/// Who signs, and SHA-256 of what.
type SignedMessage = (Authority, [u8; 32]);

/// ARK, ASK and ASVK, one set for each seed.
pub struct AuthorityKeys {
    source: Source,
    ark: PssKey<Sha384>,
    ask: PssKey<Sha384>,
    /// Made when a VLEK is first asked for: searching its primes takes seconds, and most machines have none.
    asvk: OnceLock<PssKey<Sha384>>,
    /// Most of a chain is signed as it was in the chain before.
    signed: Mutex<BTreeMap<SignedMessage, Vec<u8>>>,
}

/// Where keys come from.
#[derive(Clone)]
struct Source {
    seed: Zeroizing<[u8; 32]>,
    /// Folder with the keys that an earlier start made.
    cache: Option<PathBuf>,
}

impl AuthorityKeys {
    /// The set that `seed` gives, read from `cache` where an earlier start left it there.
    pub fn from_seed(seed: &[u8; 32], cache: Option<&Path>) -> Result<Self, KeyError> {
        let source = Source { seed: Zeroizing::new(*seed), cache: cache.map(Path::to_owned) };
        // Searching primes takes seconds, so each key has its own thread.
        let make = |authority| {
            let source = source.clone();
            std::thread::spawn(move || source.key(authority))
        };
        let (ark, ask) = (make(Authority::Ark), make(Authority::Ask));
        let take = |thread: std::thread::JoinHandle<Result<PssKey<Sha384>, KeyError>>| {
            thread.join().map_err(|_| KeyError::Thread)?
        };
        let (ark, ask) = (take(ark)?, take(ask)?);
        Ok(Self { ark, ask, asvk: OnceLock::new(), source, signed: Mutex::default() })
    }

    /// RSASSA-PSS, SHA-384, salt of 48 bytes drawn from the message, so that equal bytes get equal signatures.
    pub(crate) fn sign(&self, authority: Authority, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let place = (authority, Sha256::digest(message).into());
        let signed = || self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signature) = signed().get(&place) {
            return Ok(signature.clone());
        }
        let mut salt = ChaCha20Rng::from_seed(tagged(b"tiltyard/simulator/salt/1", message));
        let signature = self.key(authority)?.try_sign_with_rng(&mut salt, message);
        let signature = signature.map_err(KeyError::Signature)?.to_vec();
        signed().insert(place, signature.clone());
        Ok(signature)
    }

    /// Modulus (512 bytes) and public exponent, big endian.
    pub(crate) fn public(&self, authority: Authority) -> Result<(Vec<u8>, Vec<u8>), KeyError> {
        use rsa::signature::Keypair;
        use rsa::traits::PublicKeyParts;
        let key = rsa::RsaPublicKey::from(self.key(authority)?.verifying_key());
        Ok((key.n_bytes().to_vec(), key.e_bytes().to_vec()))
    }

    fn key(&self, authority: Authority) -> Result<&PssKey<Sha384>, KeyError> {
        match authority {
            Authority::Ark => Ok(&self.ark),
            Authority::Ask => Ok(&self.ask),
            Authority::Asvk => match self.asvk.get() {
                Some(key) => Ok(key),
                None => {
                    let key = self.source.key(authority)?;
                    Ok(self.asvk.get_or_init(|| key))
                }
            },
        }
    }
}

impl Source {
    fn key(&self, authority: Authority) -> Result<PssKey<Sha384>, KeyError> {
        let Some(folder) = &self.cache else {
            return self.generate(authority);
        };
        let path = folder.join(self.file_name(authority));
        let failed = |source| KeyError::Cache { path: path.clone(), source };
        match std::fs::File::open(&path) {
            Ok(file) => {
                let mut document = Zeroizing::new(Vec::new());
                file.take(CACHE_MAX_BYTES).read_to_end(&mut document).map_err(failed)?;
                let key = RsaPrivateKey::from_pkcs8_der(&document);
                key.map(PssKey::new).map_err(|_| KeyError::CacheFormat { path })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = self.generate(authority)?;
                std::fs::create_dir_all(folder).map_err(failed)?;
                write_cache(&key, &path).map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn generate(&self, authority: Authority) -> Result<PssKey<Sha384>, KeyError> {
        let tag: &[u8] = match authority {
            Authority::Ark => b"tiltyard/simulator/ark/1",
            Authority::Ask => b"tiltyard/simulator/ask/1",
            Authority::Asvk => b"tiltyard/simulator/asvk/1",
        };
        let mut rng = ChaCha20Rng::from_seed(tagged(tag, &*self.seed));
        RsaPrivateKey::new(&mut rng, RSA_BITS).map(PssKey::new).map_err(KeyError::Rsa)
    }

    /// Tells neither seed nor key.
    fn file_name(&self, authority: Authority) -> String {
        let name = tagged(b"tiltyard/simulator/cache/2", &*self.seed);
        let hex: String = name[..10].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("simulator-{hex}-{authority:?}.key").to_lowercase()
    }
}

/// PKCS#8, written beside and renamed, so that two starts at once both find a whole file.
fn write_cache(key: &PssKey<Sha384>, path: &Path) -> std::io::Result<()> {
    let document = key.to_pkcs8_der().map_err(std::io::Error::other)?;
    let partial = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(document.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}

/// The P-384 key of one chip at one security version, as firmware derives it from the chip's secret.
pub(super) fn chip_key(seed: &[u8; 32], chip: u32, tcb: &[u8]) -> SigningKey {
    derived_key(b"tiltyard/simulator/vcek/1", &[seed.as_slice(), &chip.to_le_bytes(), tcb].concat())
}

/// The P-384 key that AMD derives for one provider at one security version, the same on all of its machines.
pub(super) fn provider_key(seed: &[u8; 32], csp_id: &str, tcb: &[u8]) -> SigningKey {
    derived_key(b"tiltyard/simulator/vlek/1", &[seed.as_slice(), tcb, csp_id.as_bytes()].concat())
}

fn derived_key(tag: &[u8], context: &[u8]) -> SigningKey {
    let mut rng = ChaCha20Rng::from_seed(tagged(tag, context));
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
pub(super) fn chip_id(seed: &[u8; 32], chip: u32, len: usize) -> [u8; 64] {
    let context = [seed.as_slice(), &chip.to_le_bytes()].concat();
    let mut out = [0; 64];
    let len = len.min(out.len());
    ChaCha20Rng::from_seed(tagged(b"tiltyard/simulator/chip-id/1", &context)).fill_bytes(&mut out[..len]);
    out
}

/// SHA-256(tag || NUL || data).
fn tagged(tag: &[u8], data: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(tag);
    hash.update([0]);
    hash.update(data);
    hash.finalize().into()
}
