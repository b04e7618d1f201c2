//! One object by several threads: each takes ranges of chunks in order, and reads, seals or opens them at their own
//! places. Memory is one range a thread, whatever the object's length.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::rand::SecureRandom;
use tiltyard_attestation::Hex;
use zeroize::Zeroizing;

use super::cipher::ChunkCipher;
use super::{
    CHUNK_BYTES, ContainerError, Context, HEADER_BYTES, OBJECT_MAX_BYTES, Opener, ReadAt, SEALED_CHUNK_BYTES,
    WriteAt, sealed_len,
};
use crate::dek::Dek;

/// Chunks that a thread takes at once: plaintext, ciphertext and what the kernel copies between stay in a core's own cache.
const RANGE_CHUNKS: u64 = 4;
/// Most threads on one object.
const THREADS_MAX: usize = 64;

/// Seals `len` bytes of `source` into `out` under a fresh salt; returns the object's header.
///
/// `out` holds no object until this returns. Errors: `E_TOO_LARGE`, `E_RANDOM`, `E_IO` (also where `source` has fewer
/// bytes).
pub fn seal_between(
    dek: &Dek,
    context: &Context,
    (source, len): (&(impl ReadAt + Sync), u64),
    out: &(impl WriteAt + Sync),
    threads: usize,
    rng: &dyn SecureRandom,
) -> Result<Hex<56>, ContainerError> {
    if len > OBJECT_MAX_BYTES || sealed_len(len) > OBJECT_MAX_BYTES {
        return Err(ContainerError::TooLarge { expected: OBJECT_MAX_BYTES, got: len });
    }
    let (cipher, header) = ChunkCipher::for_sealing(dek, context.bytes(), rng)?;
    out.write_all_at(&header, 0)?;
    let chunks = len / CHUNK_BYTES as u64 + 1;
    in_ranges(chunks, threads, |first, count, Buffers { read, made }| {
        let from = first * CHUNK_BYTES as u64;
        let range_len = (len - from).min(count * CHUNK_BYTES as u64) as usize;
        // One system call for the range, not one for each chunk.
        let read = &mut read[..range_len];
        source.read_exact_at(read, from)?;
        made.clear();
        for (index, at) in (first..first + count).zip((0..).step_by(CHUNK_BYTES)) {
            cipher.seal_onto(index, &read[at..range_len.min(at + CHUNK_BYTES)], made)?;
        }
        Ok(out.write_all_at(made, HEADER_BYTES as u64 + first * SEALED_CHUNK_BYTES as u64)?)
    })?;
    Ok(Hex(header))
}

/// Opens a whole object into `out`, which holds its plaintext only once this returns its length.
///
/// Of several bad chunks the first is named, whatever the threads did.
pub fn open_between<R: ReadAt + Sync>(
    opener: &Opener<R>,
    out: &(impl WriteAt + Sync),
    threads: usize,
) -> Result<u64, ContainerError> {
    in_ranges(opener.chunks(), threads, |first, count, Buffers { read, made }| {
        made.clear();
        opener.open_range(first, count, read, made)?;
        Ok(out.write_all_at(made, first * CHUNK_BYTES as u64)?)
    })?;
    opener.plaintext_len()
}

/// A thread's own memory, wiped at its end.
struct Buffers {
    /// As long as a range can be, sealed.
    read: Zeroizing<Vec<u8>>,
    made: Zeroizing<Vec<u8>>,
}

impl Buffers {
    const LEN: usize = RANGE_CHUNKS as usize * SEALED_CHUNK_BYTES;

    fn new() -> Self {
        let (read, made) = (vec![0; Self::LEN], Vec::with_capacity(Self::LEN));
        Self { read: Zeroizing::new(read), made: Zeroizing::new(made) }
    }
}

/// Runs `work` on ranges of `0..chunks`, each once, by `threads` at most: first chunk, count, and memory of the thread's
/// own. Ranges begin in order, so every range below one that failed has ended too, and the error of the lowest is the one
/// that is returned.
fn in_ranges(
    chunks: u64,
    threads: usize,
    work: impl Fn(u64, u64, &mut Buffers) -> Result<(), ContainerError> + Sync,
) -> Result<(), ContainerError> {
    let ranges = chunks.div_ceil(RANGE_CHUNKS);
    let next = AtomicU64::new(0);
    let failed: Mutex<Option<(u64, ContainerError)>> = Mutex::new(None);
    let run = || {
        let mut buffers = Buffers::new();
        loop {
            let range = next.fetch_add(1, Ordering::Relaxed);
            if range >= ranges {
                return;
            }
            let first = range * RANGE_CHUNKS;
            if let Err(error) = work(first, (chunks - first).min(RANGE_CHUNKS), &mut buffers) {
                // Nobody begins another range.
                next.store(ranges, Ordering::Relaxed);
                let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(lowest, _)| range < *lowest) {
                    *failed = Some((range, error));
                }
                return;
            }
        }
    };
    let threads = threads.clamp(1, THREADS_MAX).min(usize::try_from(ranges).unwrap_or(THREADS_MAX));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_runs_once_and_the_lowest_failure_counts() {
        for threads in [1, 2, 7] {
            let seen = Mutex::new(Vec::new());
            let chunks = 5 * RANGE_CHUNKS + 3;
            in_ranges(chunks, threads, |first, count, _| {
                seen.lock().expect("no panic").extend(first..first + count);
                Ok(())
            })
            .expect("every range");
            let mut seen = seen.into_inner().expect("no panic");
            seen.sort_unstable();
            assert_eq!(seen, (0..chunks).collect::<Vec<_>>());
            for _ in 0..50 {
                let failed = in_ranges(chunks, threads, |first, _, _| match first / RANGE_CHUNKS {
                    0 => Ok(()),
                    index => Err(ContainerError::ChunkAuth { index }),
                });
                assert!(matches!(failed, Err(ContainerError::ChunkAuth { index: 1 })), "{failed:?}");
            }
        }
    }
}
