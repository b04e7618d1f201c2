use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use zeroize::Zeroizing;

use super::cipher::ChunkCipher;
use super::{
    CHUNK_BYTES, ContainerError, Context, HEADER_BYTES, ObjectContext, SEALED_CHUNK_BYTES, TAG_BYTES,
    plaintext_len,
};
use crate::dek::Dek;

/// Bytes that can be read at any position, by several threads at once.
pub trait ReadAt {
    /// Fills `buf` from `offset`; an error when there are fewer bytes.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Bytes that can be written at any position, by several threads at once.
pub trait WriteAt {
    /// Writes all of `buf` at `offset`.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
}

/// A sealed object whose commitment matched: it belongs to this key and context.
///
/// A chunk reaches the caller only after its tag verified. Its length is a claim until the last chunk has
/// opened, so everything that counts from the end opens that one first.
pub struct Opener<R> {
    cipher: ChunkCipher,
    inner: R,
    len_bytes: u64,
    claimed_len: u64,
    shown_len: OnceLock<u64>,
}

impl<R: ReadAt> Opener<R> {
    /// Reads the header of an object of `len_bytes` bytes and compares the commitment.
    ///
    /// Errors: `E_HEADER_SHORT`, `E_TRUNCATED`, `E_TOO_LARGE`, `E_COMMITMENT`, `E_IO`.
    pub fn new(dek: &Dek, context: &ObjectContext, inner: R, len_bytes: u64) -> Result<Self, ContainerError> {
        Self::in_context(dek, &context.digest(), inner, len_bytes)
    }

    /// [`Opener::new`], for a container of any context.
    pub fn of(dek: &Dek, context: &Context, inner: R, len_bytes: u64) -> Result<Self, ContainerError> {
        Self::in_context(dek, context.bytes(), inner, len_bytes)
    }

    pub(super) fn in_context(
        dek: &Dek,
        context: &[u8],
        inner: R,
        len_bytes: u64,
    ) -> Result<Self, ContainerError> {
        let claimed_len = plaintext_len(len_bytes)?;
        let mut header = [0; HEADER_BYTES];
        inner.read_exact_at(&mut header, 0)?;
        let cipher = ChunkCipher::for_opening(dek, context, &header)?;
        Ok(Self { cipher, inner, len_bytes, claimed_len, shown_len: OnceLock::new() })
    }

    /// Number of chunks, at least one.
    pub fn chunks(&self) -> u64 {
        self.claimed_len / CHUNK_BYTES as u64 + 1
    }

    /// Length of the plaintext, once the last chunk has opened.
    pub fn plaintext_len(&self) -> Result<u64, ContainerError> {
        if let Some(len) = self.shown_len.get() {
            return Ok(*len);
        }
        self.chunk(self.chunks() - 1)?;
        Ok(*self.shown_len.get_or_init(|| self.claimed_len))
    }

    /// Plaintext of chunk `index`.
    pub fn chunk(&self, index: u64) -> Result<Zeroizing<Vec<u8>>, ContainerError> {
        let mut chunk = Zeroizing::new(Vec::with_capacity(SEALED_CHUNK_BYTES));
        self.open_onto(index, &mut chunk)?;
        Ok(chunk)
    }

    /// Fills `buf` with plaintext from `offset`; returns how much there was before the end.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, ContainerError> {
        if offset.saturating_add(buf.len() as u64) > self.claimed_len {
            self.plaintext_len()?;
        }
        let there = self.claimed_len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut filled = 0;
        while filled < there {
            let at = offset + filled as u64;
            let chunk = self.chunk(at / CHUNK_BYTES as u64)?;
            let within = (at % CHUNK_BYTES as u64) as usize;
            let len = (there - filled).min(chunk.len() - within);
            buf[filled..filled + len].copy_from_slice(&chunk[within..within + len]);
            filled += len;
        }
        Ok(there)
    }

    /// Writes the whole plaintext; whoever reads `out` may use it only if this returns its length.
    pub fn copy_to(&self, mut out: impl Write) -> Result<u64, ContainerError> {
        for index in 0..self.chunks() {
            out.write_all(&self.chunk(index)?)?;
        }
        out.flush()?;
        Ok(*self.shown_len.get_or_init(|| self.claimed_len))
    }

    /// The whole plaintext.
    pub fn read_all(&self) -> Result<Zeroizing<Vec<u8>>, ContainerError> {
        // The length is bounded by that of bytes which are there; a reader that lies about them fails at the
        // first missing one, so the memory follows what was read.
        let reserve = self.claimed_len.min(READ_ALL_RESERVE_BYTES) as usize + SEALED_CHUNK_BYTES;
        let mut out = Zeroizing::new(Vec::with_capacity(reserve));
        for index in 0..self.chunks() {
            if out.capacity() - out.len() < SEALED_CHUNK_BYTES {
                out = grown(&out);
            }
            self.open_onto(index, &mut out)?;
        }
        self.shown_len.get_or_init(|| self.claimed_len);
        Ok(out)
    }

    /// Appends the plaintext of `count` chunks from `first` on, which must be there. `read` is memory for them, sealed.
    pub(super) fn open_range(
        &self,
        first: u64,
        count: u64,
        read: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ContainerError> {
        let from = HEADER_BYTES as u64 + first * SEALED_CHUNK_BYTES as u64;
        let len = (self.len_bytes - from).min(count * SEALED_CHUNK_BYTES as u64) as usize;
        let read = &mut read[..len];
        self.inner.read_exact_at(read, from)?;
        for (index, chunk) in (first..first + count).zip(read.chunks_mut(SEALED_CHUNK_BYTES)) {
            let plaintext_len = self.cipher.open_in_place(index, chunk)?;
            out.extend_from_slice(&chunk[..plaintext_len]);
        }
        Ok(())
    }

    fn open_onto(&self, index: u64, out: &mut Vec<u8>) -> Result<(), ContainerError> {
        let count = self.chunks();
        if index >= count {
            return Err(ContainerError::ChunkRange { count, got: index });
        }
        let from = HEADER_BYTES as u64 + index * SEALED_CHUNK_BYTES as u64;
        let len = (self.len_bytes - from).min(SEALED_CHUNK_BYTES as u64) as usize;
        debug_assert!(len >= TAG_BYTES);
        let start = out.len();
        out.resize(start + len, 0);
        let opened = self
            .inner
            .read_exact_at(&mut out[start..], from)
            .map_err(ContainerError::from)
            .and_then(|()| self.cipher.open_in_place(index, &mut out[start..]));
        out.truncate(start + *opened.as_ref().unwrap_or(&0));
        opened.map(|_| ())
    }
}

/// Memory that is taken at once for a whole plaintext, in bytes.
const READ_ALL_RESERVE_BYTES: u64 = 1 << 30;

/// A copy with twice the room; the old one is wiped by its owner, which `Vec` growth would not do.
fn grown(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(2 * bytes.len() + SEALED_CHUNK_BYTES));
    out.extend_from_slice(bytes);
    out
}

impl ReadAt for File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }
}

impl ReadAt for &File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(*self, buf, offset)
    }
}

impl WriteAt for File {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, buf, offset)
    }
}

impl ReadAt for &[u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let to = from.checked_add(buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(self.get(from..to).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
