//! HPKE in base mode: released keys, deposits and results, sealed to one attested key (PROVISIONING 6, 13).
//!
//! X-Wing (0x647a) or DHKEM(X25519) (0x0020), HKDF-SHA256, AES-256-GCM; one message a context (RFC 9180, 6.1).

use std::convert::Infallible;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::{X25519HkdfSha256, XWing};
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use ring::rand::SecureRandom;
use serde::Serialize;
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{HpkePublicKey, KEM_X25519, KEM_XWING};
use zeroize::Zeroizing;

use crate::keyid::KeyId;

/// Length of a private key, of either KEM, in bytes.
pub const SEED_BYTES: usize = 32;
/// Largest plaintext that is sealed in one message, in bytes.
pub const PLAINTEXT_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Length of the AES-256-GCM tag, in bytes.
pub const TAG_BYTES: usize = 16;

/// A private HPKE key; wiped when dropped, never printed, copied or serialised.
pub struct HpkeSecret {
    suite: Suite,
    seed: Zeroizing<[u8; SEED_BYTES]>,
    public: HpkePublicKey,
}

/// Why a message could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HpkeError {
    #[error("HPKE: expected KEM {KEM_XWING:#06x} or {KEM_X25519:#06x}, found {got:#06x}")]
    UnknownKem { got: u16 },
    #[error("HPKE: not a usable key for KEM {kem:#06x}: expected {expected} bytes, found {got}")]
    BadKey { kem: u16, expected: usize, got: usize },
    /// One error for a wrong key, info, aad, encapsulation or ciphertext: it is no oracle.
    #[error("HPKE: the message does not open under this key, info and associated data")]
    Open,
    #[error("HPKE: expected at most {PLAINTEXT_MAX_BYTES} bytes of plaintext, found {got}")]
    TooLarge { got: usize },
    #[error("HPKE: the random source failed")]
    Random,
    #[error("HPKE: sealing failed")]
    Seal,
}

impl HpkeError {
    /// The stable code of PROVISIONING 9.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownKem { .. } | Self::BadKey { .. } => "BadKey",
            Self::Open => "E_RELEASE_OPEN",
            Self::TooLarge { .. } => "E_TOO_LARGE",
            Self::Random | Self::Seal => "E_RELEASE_SEAL",
        }
    }
}

impl HpkeSecret {
    /// Draws a private key for `kem` from `rng`.
    pub fn generate(kem: u16, rng: &dyn SecureRandom) -> Result<Self, HpkeError> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        rng.fill(&mut seed[..]).map_err(|_| HpkeError::Random)?;
        Self::from_seed(kem, seed)
    }

    /// Takes a stored private key: the X-Wing seed, or the X25519 scalar.
    pub fn from_seed(kem: u16, seed: Zeroizing<[u8; SEED_BYTES]>) -> Result<Self, HpkeError> {
        let suite = Suite::of(kem)?;
        let public = match suite {
            Suite::XWing => public_of::<XWing>(&seed),
            Suite::X25519 => public_of::<X25519HkdfSha256>(&seed),
        }?;
        Ok(Self { suite, seed, public: HpkePublicKey { kem, public: public.into() } })
    }

    /// The private key's bytes, to be stored wrapped and never otherwise.
    pub fn seed(&self) -> &Zeroizing<[u8; SEED_BYTES]> {
        &self.seed
    }

    /// The public key with its KEM id.
    pub fn public(&self) -> HpkePublicKey {
        self.public.clone()
    }

    /// Opens one message. Any difference in key, `enc`, `ct`, `info` or `aad` is [`HpkeError::Open`].
    pub fn open(
        &self,
        enc: &[u8],
        ct: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
        if ct.len() > PLAINTEXT_MAX_BYTES + TAG_BYTES {
            return Err(HpkeError::TooLarge { got: ct.len() });
        }
        match self.suite {
            Suite::XWing => open_with::<XWing>(&self.seed, enc, ct, info, aad),
            Suite::X25519 => open_with::<X25519HkdfSha256>(&self.seed, enc, ct, info, aad),
        }
    }
}

/// Seals `plaintext` to one public key; the answer is (encapsulated key, ciphertext with tag).
pub fn seal_to(
    to: &HpkePublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &dyn SecureRandom,
) -> Result<(Vec<u8>, Vec<u8>), HpkeError> {
    if plaintext.len() > PLAINTEXT_MAX_BYTES {
        return Err(HpkeError::TooLarge { got: plaintext.len() });
    }
    match Suite::of(to.kem)? {
        Suite::XWing => seal_with::<XWing>(to, info, aad, plaintext, rng),
        Suite::X25519 => seal_with::<X25519HkdfSha256>(to, info, aad, plaintext, rng),
    }
}

/// Length of a public key of `kem`, in bytes; `None` for a KEM that we do not speak.
pub fn public_key_len(kem: u16) -> Option<usize> {
    match Suite::of(kem) {
        Ok(Suite::XWing) => Some(<XWing as Kem>::PublicKey::size()),
        Ok(Suite::X25519) => Some(<X25519HkdfSha256 as Kem>::PublicKey::size()),
        Err(_) => None,
    }
}

/// `info` of a released key: `tiltyard-release-v1 NUL || p`.
pub fn release_info(p: &Hex<32>) -> Vec<u8> {
    tagged("tiltyard-release-v1", p)
}

/// `aad` of a released key: JCS{lease, key_id, key_version, p, order}.
pub fn release_aad(
    lease: &Hex<16>,
    key_id: &KeyId,
    version: u64,
    p: &Hex<32>,
    order: Option<&Hex<32>>,
) -> Vec<u8> {
    canonical(&ReleaseAad { lease, key_id, key_version: version, p, order })
}

/// `info` of a deposit: `tiltyard-deposit-v1 NUL || p`.
pub fn deposit_info(p: &Hex<32>) -> Vec<u8> {
    tagged("tiltyard-deposit-v1", p)
}

/// `aad` of a deposit: JCS{lease, key_id, p, order}.
pub fn deposit_aad(lease: &Hex<16>, key_id: &KeyId, p: &Hex<32>, order: Option<&Hex<32>>) -> Vec<u8> {
    canonical(&DepositAad { lease, key_id, p, order })
}

/// `info` of a guest's report to the referee: `tiltyard-result-v1 NUL || p`.
pub fn result_info(p: &Hex<32>) -> Vec<u8> {
    tagged("tiltyard-result-v1", p)
}

/// `aad` of a guest's report: the order's digest.
pub fn result_aad(order: &Hex<32>) -> Vec<u8> {
    order.bytes().to_vec()
}

#[derive(Serialize)]
struct ReleaseAad<'a> {
    lease: &'a Hex<16>,
    key_id: &'a KeyId,
    key_version: u64,
    p: &'a Hex<32>,
    order: Option<&'a Hex<32>>,
}

#[derive(Serialize)]
struct DepositAad<'a> {
    lease: &'a Hex<16>,
    key_id: &'a KeyId,
    p: &'a Hex<32>,
    order: Option<&'a Hex<32>>,
}

fn canonical(value: &impl Serialize) -> Vec<u8> {
    // Strings, one integer and null only, which always serialise.
    serde_jcs::to_vec(value).unwrap_or_default()
}

fn tagged(tag: &str, p: &Hex<32>) -> Vec<u8> {
    let mut info = Vec::with_capacity(tag.len() + 1 + p.bytes().len());
    info.extend_from_slice(tag.as_bytes());
    info.push(0);
    info.extend_from_slice(p.bytes());
    info
}

#[derive(Clone, Copy)]
enum Suite {
    XWing,
    X25519,
}

impl Suite {
    fn of(kem: u16) -> Result<Self, HpkeError> {
        match kem {
            KEM_XWING => Ok(Self::XWing),
            KEM_X25519 => Ok(Self::X25519),
            got => Err(HpkeError::UnknownKem { got }),
        }
    }
}

fn private_of<K: Kem>(seed: &[u8; SEED_BYTES]) -> Result<K::PrivateKey, HpkeError> {
    K::PrivateKey::from_bytes(seed).map_err(|_| HpkeError::BadKey {
        kem: K::KEM_ID,
        expected: K::PrivateKey::size(),
        got: seed.len(),
    })
}

fn public_of<K: Kem>(seed: &[u8; SEED_BYTES]) -> Result<Vec<u8>, HpkeError> {
    Ok(K::sk_to_pk(&private_of::<K>(seed)?).to_bytes().to_vec())
}

fn seal_with<K: Kem>(
    to: &HpkePublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &dyn SecureRandom,
) -> Result<(Vec<u8>, Vec<u8>), HpkeError> {
    let bad_key =
        || HpkeError::BadKey { kem: K::KEM_ID, expected: K::PublicKey::size(), got: to.public.0.len() };
    let public = K::PublicKey::from_bytes(&to.public.0).map_err(|_| bad_key())?;
    let mut source = Source { rng, failed: false };
    // An encapsulation fails only for a key of small order: the all-zero result of RFC 9180, 7.1.4.
    let set_up =
        setup_sender_with_rng::<AesGcm256, HkdfSha256, K>(&OpModeS::Base, &public, info, &mut source);
    if source.failed {
        return Err(HpkeError::Random);
    }
    let (enc, mut context) = set_up.map_err(|_| bad_key())?;
    let ct = context.seal(plaintext, aad).map_err(|_| HpkeError::Seal)?;
    Ok((enc.to_bytes().to_vec(), ct))
}

fn open_with<K: Kem>(
    seed: &[u8; SEED_BYTES],
    enc: &[u8],
    ct: &[u8],
    info: &[u8],
    aad: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
    let enc = K::EncappedKey::from_bytes(enc).map_err(|_| HpkeError::Open)?;
    let mut context =
        setup_receiver::<AesGcm256, HkdfSha256, K>(&OpModeR::Base, &private_of::<K>(seed)?, &enc, info)
            .map_err(|_| HpkeError::Open)?;
    context.open(ct, aad).map(Zeroizing::new).map_err(|_| HpkeError::Open)
}

/// The caller's random source in the shape that the HPKE crate asks for, which cannot fail: a failure is
/// remembered, and whatever was made of the zeros is thrown away.
struct Source<'a> {
    rng: &'a dyn SecureRandom,
    failed: bool,
}

impl TryRng for Source<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        if self.rng.fill(out).is_err() {
            out.fill(0);
            self.failed = true;
        }
        Ok(())
    }
}

impl TryCryptoRng for Source<'_> {}
