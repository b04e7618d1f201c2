//! Key schedule and chunks of Cobblestone-256 (C2SP chunked-encryption, "Key derivation" and "Chunks").

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::SecureRandom;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    CHUNK_BYTES, COMMITMENT_BYTES, ContainerError, HEADER_BYTES, SALT_BYTES, SEALED_CHUNK_BYTES, TAG_BYTES,
};
use crate::dek::{Dek, KEY_BYTES};

/// Chunks of one object, at most (the format's own bound).
pub(super) const CHUNKS_MAX: u64 = 1 << 38;

const INFO_PREFIX: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";
const DERIVED_BYTES: usize = KEY_BYTES + NONCE_LEN + COMMITMENT_BYTES;

/// The keys of one object.
pub(super) struct ChunkCipher {
    key: LessSafeKey,
    base_nonce: [u8; NONCE_LEN],
}

impl ChunkCipher {
    /// Keys under a fresh salt, and the header that goes in front.
    pub(super) fn for_sealing(
        dek: &Dek,
        context: &[u8],
        rng: &dyn SecureRandom,
    ) -> Result<(Self, [u8; HEADER_BYTES]), ContainerError> {
        let mut salt = [0; SALT_BYTES];
        rng.fill(&mut salt).map_err(|_| ContainerError::Random)?;
        Self::with_salt(dek, context, &salt)
    }

    /// Keys of the object with this header; `E_COMMITMENT` unless key, salt and context are its own.
    pub(super) fn for_opening(
        dek: &Dek,
        context: &[u8],
        header: &[u8; HEADER_BYTES],
    ) -> Result<Self, ContainerError> {
        let (salt, commitment) = header.split_at(SALT_BYTES);
        let mut own_salt = [0; SALT_BYTES];
        own_salt.copy_from_slice(salt);
        let (cipher, own) = Self::with_salt(dek, context, &own_salt)?;
        if bool::from(own[SALT_BYTES..].ct_eq(commitment)) {
            Ok(cipher)
        } else {
            Err(ContainerError::Commitment)
        }
    }

    pub(super) fn with_salt(
        dek: &Dek,
        context: &[u8],
        salt: &[u8; SALT_BYTES],
    ) -> Result<(Self, [u8; HEADER_BYTES]), ContainerError> {
        let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
        // Expand only: the data key is already uniform. 76 bytes are far below HKDF's bound.
        hkdf::Prk::new_less_safe(hkdf::HKDF_SHA512, dek.expose())
            .expand(&[INFO_PREFIX, salt, context], Derived)
            .and_then(|okm| okm.fill(&mut derived[..]))
            .map_err(|_| ContainerError::Commitment)?;
        let (key, rest) = derived.split_at(KEY_BYTES);
        let (nonce, commitment) = rest.split_at(NONCE_LEN);
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| ContainerError::Commitment)?;
        let mut base_nonce = [0; NONCE_LEN];
        base_nonce.copy_from_slice(nonce);
        let mut header = [0; HEADER_BYTES];
        header[..SALT_BYTES].copy_from_slice(salt);
        header[SALT_BYTES..].copy_from_slice(commitment);
        Ok((Self { key: LessSafeKey::new(key), base_nonce }, header))
    }

    /// Appends the sealed form of chunk `index`.
    pub(super) fn seal_onto(
        &self,
        index: u64,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ContainerError> {
        debug_assert!(plaintext.len() <= CHUNK_BYTES);
        let from = out.len();
        out.extend_from_slice(plaintext);
        let tag = self.seal_in_place(index, &mut out[from..])?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Seals chunk `index` where it lies, and returns its tag.
    pub(super) fn seal_in_place(
        &self,
        index: u64,
        chunk: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], ContainerError> {
        let mut out = [0; TAG_BYTES];
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(index)?, Aad::empty(), chunk)
            .map_err(|_| ContainerError::ChunkAuth { index })?;
        out.copy_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Opens chunk `index`, ciphertext and tag, where it lies; returns the length of its plaintext.
    pub(super) fn open_in_place(&self, index: u64, chunk: &mut [u8]) -> Result<usize, ContainerError> {
        debug_assert!(chunk.len() <= SEALED_CHUNK_BYTES);
        self.key
            .open_in_place(self.nonce(index)?, Aad::empty(), chunk)
            .map(|plaintext| plaintext.len())
            .map_err(|_| ContainerError::ChunkAuth { index })
    }

    /// nonce_k = base nonce XOR k, big-endian.
    fn nonce(&self, index: u64) -> Result<Nonce, ContainerError> {
        if index >= CHUNKS_MAX {
            return Err(ContainerError::ChunkRange { count: CHUNKS_MAX, got: index });
        }
        let mut nonce = self.base_nonce;
        for (byte, counter) in nonce[NONCE_LEN - 8..].iter_mut().zip(index.to_be_bytes()) {
            *byte ^= counter;
        }
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

struct Derived;

impl hkdf::KeyType for Derived {
    fn len(&self) -> usize {
        DERIVED_BYTES
    }
}
