//! The sealed container: Cobblestone-256 of C2SP chunked-encryption, and no format of our own (PROVISIONING 1).
//!
//! `salt[24] || commitment[32] || chunk_0 .. chunk_n`; a chunk is AES-256-GCM over at most 16384 bytes and
//! a 16-byte tag. The last chunk is shorter than 16384 bytes and may be empty, so there is one valid
//! chunking per length and a cut at a chunk's border shows. The commitment is compared before any chunk is
//! opened; it holds key, salt and [`ObjectContext`], so an object of another tenant, dataset, version or
//! split never opens at all.
//!
//! The salt is drawn by the sealer and never an argument: no caller can seal twice under one salt.

mod cipher;
mod context;
mod opener;
mod parallel;
mod sealer;

#[cfg(test)]
mod vectors;

use std::io;

use ring::rand::SecureRandom;
use tiltyard_attestation::Hex;
use zeroize::Zeroizing;

use crate::dek::Dek;
use cipher::ChunkCipher;

pub use context::{Context, ObjectContext, ObjectKind};
pub use opener::{Opener, ReadAt, WriteAt};
pub use parallel::{open_between, seal_between};
pub use sealer::{Sealed, Sealer};

/// Salt and commitment, in bytes.
pub const HEADER_BYTES: usize = SALT_BYTES + COMMITMENT_BYTES;
/// Plaintext of every chunk but the last, in bytes.
pub const CHUNK_BYTES: usize = 16_384;
/// A whole chunk with its tag, in bytes.
pub const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
/// Largest object, sealed, in bytes: 1 TiB.
pub const OBJECT_MAX_BYTES: u64 = 1 << 40;

const SALT_BYTES: usize = 24;
const COMMITMENT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// Why an object was refused, or could not be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    #[error("E_HEADER_SHORT: expected at least {HEADER_BYTES} bytes, found {got}")]
    HeaderShort { got: u64 },
    #[error(
        "E_HEADER_MISMATCH: expected an object that begins with {expected}, found {got}\nThis is another object than the one that was named."
    )]
    HeaderMismatch { expected: Box<Hex<56>>, got: Box<Hex<56>> },
    #[error("E_TRUNCATED: {len_bytes} bytes are no length of a sealed object\nIt was cut; fetch it again.")]
    Truncated { len_bytes: u64 },
    #[error("E_COMMITMENT: the key, the header or what the object is for differs")]
    Commitment,
    #[error("E_CHUNK_AUTH: chunk {index} was changed, moved or cut\nFetch the object again.")]
    ChunkAuth { index: u64 },
    #[error("E_CHUNK_RANGE: expected a chunk below {count}, asked for {got}")]
    ChunkRange { count: u64, got: u64 },
    #[error("E_TOO_LARGE: expected at most {expected} bytes, found {got}")]
    TooLarge { expected: u64, got: u64 },
    #[error("E_SOURCE_CHANGED: the source was written to while it was sealed\nSeal it again once it rests.")]
    SourceChanged,
    #[error("E_RANDOM: the random source gave no bytes")]
    Random,
    #[error("E_IO: {0}")]
    Io(#[from] io::Error),
}

impl ContainerError {
    /// The stable name of this refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::HeaderShort { .. } => "E_HEADER_SHORT",
            Self::HeaderMismatch { .. } => "E_HEADER_MISMATCH",
            Self::Truncated { .. } => "E_TRUNCATED",
            Self::Commitment => "E_COMMITMENT",
            Self::ChunkAuth { .. } => "E_CHUNK_AUTH",
            Self::ChunkRange { .. } => "E_CHUNK_RANGE",
            Self::TooLarge { .. } => "E_TOO_LARGE",
            Self::SourceChanged => "E_SOURCE_CHANGED",
            Self::Random => "E_RANDOM",
            Self::Io(_) => "E_IO",
        }
    }
}

/// Seals `plaintext` under a fresh salt.
pub fn seal(
    dek: &Dek,
    context: &ObjectContext,
    plaintext: &[u8],
    rng: &dyn SecureRandom,
) -> Result<Vec<u8>, ContainerError> {
    seal_in_context(dek, &context.digest(), plaintext, rng)
}

/// Opens a whole object; nothing of it is returned unless all of it verified.
pub fn open(dek: &Dek, context: &ObjectContext, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, ContainerError> {
    open_in_context(dek, &context.digest(), bytes)
}

/// [`open`], for an object whose header is already known from a signed document.
pub fn open_expected(
    dek: &Dek,
    context: &ObjectContext,
    header: &Hex<56>,
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ContainerError> {
    let got = header_of(bytes)?;
    if got != *header {
        return Err(ContainerError::HeaderMismatch { expected: Box::new(*header), got: Box::new(got) });
    }
    open(dek, context, bytes)
}

/// Salt and commitment of a sealed object, as manifests and references hold them.
pub fn header_of(bytes: &[u8]) -> Result<Hex<56>, ContainerError> {
    bytes
        .first_chunk::<HEADER_BYTES>()
        .map(|header| Hex(*header))
        .ok_or(ContainerError::HeaderShort { got: bytes.len() as u64 })
}

/// A fresh pseudonym for an object: 16 random bytes.
pub fn random_name(rng: &dyn SecureRandom) -> Result<Hex<16>, ContainerError> {
    let mut name = [0; 16];
    rng.fill(&mut name).map_err(|_| ContainerError::Random)?;
    Ok(Hex(name))
}

/// Length of the object that seals `plaintext_len` bytes.
pub const fn sealed_len(plaintext_len: u64) -> u64 {
    let chunks = plaintext_len / CHUNK_BYTES as u64 + 1;
    HEADER_BYTES as u64 + plaintext_len + chunks * TAG_BYTES as u64
}

/// Length of the plaintext in an object of `sealed` bytes; true only once its last chunk has opened.
///
/// Errors: `E_HEADER_SHORT`, `E_TRUNCATED` (the last chunk must hold a tag and less than 16384 bytes),
/// `E_TOO_LARGE`.
pub fn plaintext_len(sealed: u64) -> Result<u64, ContainerError> {
    let Some(body) = sealed.checked_sub(HEADER_BYTES as u64) else {
        return Err(ContainerError::HeaderShort { got: sealed });
    };
    if sealed > OBJECT_MAX_BYTES {
        return Err(ContainerError::TooLarge { expected: OBJECT_MAX_BYTES, got: sealed });
    }
    let whole = body / SEALED_CHUNK_BYTES as u64;
    match (body % SEALED_CHUNK_BYTES as u64).checked_sub(TAG_BYTES as u64) {
        Some(last) => Ok(whole * CHUNK_BYTES as u64 + last),
        None => Err(ContainerError::Truncated { len_bytes: sealed }),
    }
}

pub(crate) fn seal_in_context(
    dek: &Dek,
    context: &[u8],
    plaintext: &[u8],
    rng: &dyn SecureRandom,
) -> Result<Vec<u8>, ContainerError> {
    let len = sealed_len(plaintext.len() as u64);
    if len > OBJECT_MAX_BYTES {
        return Err(ContainerError::TooLarge { expected: OBJECT_MAX_BYTES, got: len });
    }
    let (cipher, header) = ChunkCipher::for_sealing(dek, context, rng)?;
    let mut out = Vec::with_capacity(len as usize);
    out.extend_from_slice(&header);
    // `chunks` leaves out the empty last chunk of a multiple of 16384; it is always there.
    let last = plaintext.len() / CHUNK_BYTES;
    for index in 0..=last {
        let from = index * CHUNK_BYTES;
        let to = plaintext.len().min(from + CHUNK_BYTES);
        cipher.seal_onto(index as u64, &plaintext[from..to], &mut out)?;
    }
    Ok(out)
}

pub(crate) fn open_in_context(
    dek: &Dek,
    context: &[u8],
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ContainerError> {
    let opener = Opener::in_context(dek, context, bytes, bytes.len() as u64)?;
    opener.read_all()
}
