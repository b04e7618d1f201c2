use std::io::Write;

use ring::rand::SecureRandom;
use tiltyard_attestation::Hex;
use zeroize::Zeroizing;

use super::cipher::ChunkCipher;
use super::{
    CHUNK_BYTES, ContainerError, HEADER_BYTES, OBJECT_MAX_BYTES, ObjectContext, SEALED_CHUNK_BYTES,
    sealed_len,
};
use crate::dek::Dek;

/// Chunks that are sealed before they are written together.
const BATCH_CHUNKS: usize = 16;

/// Seals a stream into `W`. Without [`Sealer::finish`] the object is cut, and no reader takes it.
pub struct Sealer<W> {
    cipher: ChunkCipher,
    header: [u8; HEADER_BYTES],
    inner: W,
    /// Sealed chunks, then the plaintext of the next one.
    batch: Zeroizing<Vec<u8>>,
    /// Where the plaintext of the next chunk begins in `batch`.
    open_from: usize,
    next_index: u64,
    plaintext_len: u64,
}

/// A finished object.
#[derive(Debug)]
pub struct Sealed<W> {
    pub inner: W,
    pub header: Hex<56>,
    /// Length of the object.
    pub len_bytes: u64,
}

impl<W: Write> Sealer<W> {
    /// Draws a salt and writes the header.
    pub fn new(
        dek: &Dek,
        context: &ObjectContext,
        mut inner: W,
        rng: &dyn SecureRandom,
    ) -> Result<Self, ContainerError> {
        let (cipher, header) = ChunkCipher::for_sealing(dek, &context.digest(), rng)?;
        inner.write_all(&header)?;
        let batch = Zeroizing::new(Vec::with_capacity(BATCH_CHUNKS * SEALED_CHUNK_BYTES));
        Ok(Self { cipher, header, inner, batch, open_from: 0, next_index: 0, plaintext_len: 0 })
    }

    /// Takes the next bytes of plaintext.
    pub fn write(&mut self, mut plaintext: &[u8]) -> Result<(), ContainerError> {
        let total = self.plaintext_len.saturating_add(plaintext.len() as u64);
        if total > OBJECT_MAX_BYTES || sealed_len(total) > OBJECT_MAX_BYTES {
            return Err(ContainerError::TooLarge { expected: OBJECT_MAX_BYTES, got: total });
        }
        self.plaintext_len = total;
        while !plaintext.is_empty() {
            let room = CHUNK_BYTES - (self.batch.len() - self.open_from);
            let (now, later) = plaintext.split_at(room.min(plaintext.len()));
            self.batch.extend_from_slice(now);
            plaintext = later;
            if now.len() == room {
                self.close_chunk()?;
            }
        }
        Ok(())
    }

    /// Seals the last chunk, which may be empty, and flushes.
    pub fn finish(mut self) -> Result<Sealed<W>, ContainerError> {
        self.close_chunk()?;
        self.inner.write_all(&self.batch)?;
        self.inner.flush()?;
        Ok(Sealed { inner: self.inner, header: Hex(self.header), len_bytes: sealed_len(self.plaintext_len) })
    }

    fn close_chunk(&mut self) -> Result<(), ContainerError> {
        let tag = self.cipher.seal_in_place(self.next_index, &mut self.batch[self.open_from..])?;
        self.batch.extend_from_slice(&tag);
        self.next_index += 1;
        self.open_from = self.batch.len();
        if self.batch.len() == BATCH_CHUNKS * SEALED_CHUNK_BYTES {
            self.inner.write_all(&self.batch)?;
            self.batch.clear();
            self.open_from = 0;
        }
        Ok(())
    }
}
