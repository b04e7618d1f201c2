//! The owner's key file: one [`Kek`] sealed under a passphrase (PROVISIONING 5, source `file`).
//!
//! `"TYKEK\0" || version u16 || m_kib u32 || t u32 || p u32 || salt[32]`, big-endian, then one
//! Cobblestone-256 object that holds the 32 bytes of the key.

use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::SecureRandom;
use tiltyard_attestation::Hex;
use zeroize::Zeroizing;

use crate::container::{self, ContainerError, sealed_len};
use crate::dek::{Dek, KEY_BYTES, Kek, KeyError};

/// Length of a key file, in bytes.
pub const KEY_FILE_BYTES: usize = HEADER_BYTES + sealed_len(KEY_BYTES as u64) as usize;
/// Shortest passphrase that a new key file takes, in bytes.
pub const PASSPHRASE_MIN_BYTES: usize = 8;
/// Longest passphrase, in bytes.
pub const PASSPHRASE_MAX_BYTES: usize = 1024;
/// Least and most memory of argon2id, in KiB.
pub const MEMORY_KIB: std::ops::RangeInclusive<u32> = 64 * 1024..=1024 * 1024;
/// Least and most passes of argon2id.
pub const PASSES: std::ops::RangeInclusive<u32> = 1..=16;
/// Least and most lanes of argon2id.
pub const LANES: std::ops::RangeInclusive<u32> = 1..=4;

const MAGIC: &[u8; 6] = b"TYKEK\0";
const VERSION: u16 = 1;
const SALT_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + 2 + 4 + 4 + 4 + SALT_BYTES;
const CONTEXT_TAG: &str = "tiltyard-kek-file-v1";

/// Cost of one guess at the passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB, within [`MEMORY_KIB`].
    pub memory_kib: u32,
    /// Passes over it, within [`PASSES`].
    pub passes: u32,
    /// Lanes, within [`LANES`].
    pub lanes: u32,
}

/// Why a key file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    #[error("E_KEK_HEADER: expected a key file of {KEY_FILE_BYTES} bytes, found {got}")]
    Length { got: usize },
    #[error("E_KEK_HEADER: expected a Tiltyard key file, version {VERSION}; found other leading bytes")]
    Header,
    #[error("E_KEK_PARAMS: argon2id {name}: expected {least} to {most}, found {got}")]
    Params { name: &'static str, least: u32, most: u32, got: u32 },
    #[error(
        "E_KEK_PASSPHRASE: expected a passphrase of {PASSPHRASE_MIN_BYTES} to {PASSPHRASE_MAX_BYTES} bytes, found {got}"
    )]
    Passphrase { got: usize },
    #[error("E_COMMITMENT: the passphrase is wrong, or the key file was changed")]
    Sealed,
    #[error("E_KEK_MEMORY: argon2id found no {memory_kib} KiB of memory")]
    Memory { memory_kib: u32 },
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Default for Cost {
    fn default() -> Self {
        Self { memory_kib: 256 * 1024, passes: 3, lanes: 1 }
    }
}

/// A new key file that holds `kek`.
pub fn create(
    passphrase: &[u8],
    kek: &Kek,
    cost: Cost,
    rng: &dyn SecureRandom,
) -> Result<Vec<u8>, KeyFileError> {
    if passphrase.len() < PASSPHRASE_MIN_BYTES {
        return Err(KeyFileError::Passphrase { got: passphrase.len() });
    }
    let mut salt = [0; SALT_BYTES];
    rng.fill(&mut salt).map_err(|_| KeyError::Random)?;
    let header = header(cost, &salt);
    let dek = stretch(passphrase, cost, &salt)?;
    let sealed = container::seal_in_context(&dek, context(&header).bytes(), kek.expose(), rng)
        .map_err(|_| KeyError::Random)?;
    Ok([&header[..], &sealed].concat())
}

/// The key that `bytes` hold; argon2id runs only once its parameters are known to be within bounds.
pub fn open(bytes: &[u8], passphrase: &[u8]) -> Result<Kek, KeyFileError> {
    if bytes.len() != KEY_FILE_BYTES {
        return Err(KeyFileError::Length { got: bytes.len() });
    }
    let (header, sealed) = bytes.split_at(HEADER_BYTES);
    let (magic, fields) = header.split_at(MAGIC.len() + 2);
    if magic != [&MAGIC[..], &VERSION.to_be_bytes()].concat() {
        return Err(KeyFileError::Header);
    }
    let word = |at: usize| u32::from_be_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]]);
    let cost = Cost { memory_kib: word(0), passes: word(4), lanes: word(8) };
    let dek = stretch(passphrase, cost, &fields[12..])?;
    match container::open_in_context(&dek, context(header).bytes(), sealed) {
        Ok(key) => Ok(Kek::from_bytes(key)?),
        Err(ContainerError::Random) => Err(KeyError::Random.into()),
        Err(_) => Err(KeyFileError::Sealed),
    }
}

fn header(cost: Cost, salt: &[u8; SALT_BYTES]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    for field in [cost.memory_kib, cost.passes, cost.lanes] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(salt);
    out
}

fn context(header: &[u8]) -> Hex<32> {
    Hex::tagged(CONTEXT_TAG, header)
}

/// argon2id, version 0x13, 32 bytes out (RFC 9106).
fn stretch(passphrase: &[u8], cost: Cost, salt: &[u8]) -> Result<Dek, KeyFileError> {
    for (name, bounds, got) in [
        ("memory_kib", MEMORY_KIB, cost.memory_kib),
        ("passes", PASSES, cost.passes),
        ("lanes", LANES, cost.lanes),
    ] {
        if !bounds.contains(&got) {
            return Err(KeyFileError::Params { name, least: *bounds.start(), most: *bounds.end(), got });
        }
    }
    if passphrase.len() > PASSPHRASE_MAX_BYTES {
        return Err(KeyFileError::Passphrase { got: passphrase.len() });
    }
    let no_memory = |_| KeyFileError::Memory { memory_kib: cost.memory_kib };
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_BYTES)).map_err(no_memory)?;
    let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut key)
        .map_err(no_memory)?;
    Ok(Dek::from_bytes(key)?)
}
