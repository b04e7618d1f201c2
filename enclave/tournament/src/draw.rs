//! Seeded draws: nobody can grind them, anybody can redo them (TOURNAMENT 1, PROVISIONING 13).
//!
//! The commitment to the seed is in the record before the last entry, and the entries' root goes
//! into the draw key, so neither the referee nor an entrant chooses an outcome.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::Digest;

const COMMIT_TAG: &[u8] = b"tiltyard/draw-commit/v1\0";
const KEY_TAG: &[u8] = b"tiltyard/draw/v1\0";
const BLOCK_TAG: &[u8] = b"tiltyard/draw-block/v1\0";

/// The referee's secret until the end of the tournament.
pub struct DrawSeed([u8; 32]);

impl DrawSeed {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// `C`, which is published before entries close.
    pub fn commitment(&self) -> DrawCommitment {
        DrawCommitment(Digest::of_parts(&[COMMIT_TAG, &self.0]))
    }

    /// The seed itself, for the final leaf alone.
    pub(crate) fn reveal(&self) -> Digest {
        Digest(self.0)
    }

    /// A second copy for the state that outlives the caller's.
    pub(crate) fn copy(&self) -> Self {
        Self(self.0)
    }
}

impl Drop for DrawSeed {
    fn drop(&mut self) {
        self.0 = [0; 32];
        // Keeps the store above from being removed as dead; the crate has no volatile write.
        std::hint::black_box(&self.0);
    }
}

/// SHA-256 over the tagged seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DrawCommitment(pub Digest);

/// `K`: binds seed, rulebook and entries.
#[derive(Clone, PartialEq, Eq)]
pub struct DrawKey([u8; 32]);

impl DrawKey {
    /// `K` from the seed, the rulebook's digest and the root over the entry leaves.
    pub fn derive(seed: &DrawSeed, rulebook: &Digest, entries_root: &Digest) -> Self {
        Self(Digest::of_parts(&[KEY_TAG, &seed.0, rulebook.bytes(), entries_root.bytes()]).0)
    }

    /// The stream of one label.
    pub fn stream(&self, label: &str) -> Stream {
        Stream { key: self.0, label: label.as_bytes().to_vec(), block: 0, words: [0; 4], used: 4 }
    }
}

/// Numbers drawn for one label: SHA-256 blocks of four big-endian u64.
pub struct Stream {
    key: [u8; 32],
    label: Vec<u8>,
    block: u64,
    words: [u64; 4],
    used: usize,
}

impl Stream {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        if self.used == self.words.len() {
            self.fill();
        }
        let word = self.words.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        word
    }

    /// Uniform below `n`, by rejection: a remainder alone would favour small values.
    pub fn below(&mut self, n: NonZeroU64) -> u64 {
        let n = u128::from(n.get());
        let limit = (1_u128 << 64) / n * n;
        loop {
            let x = u128::from(self.next_u64());
            if x < limit {
                // The remainder is below a u64.
                return u64::try_from(x % n).unwrap_or_default();
            }
        }
    }

    /// One of `items`, or none of an empty list.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let n = NonZeroU64::new(u64::try_from(items.len()).ok()?)?;
        items.get(usize::try_from(self.below(n)).ok()?)
    }

    /// Fisher-Yates from the last place down.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let Some(n) = u64::try_from(i).ok().and_then(|i| NonZeroU64::new(i + 1)) else { return };
            items.swap(i, usize::try_from(self.below(n)).unwrap_or(i));
        }
    }

    /// 32 bytes: the next four words.
    pub fn bytes32(&mut self) -> Digest {
        let mut out = [0; 32];
        for chunk in out.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_be_bytes());
        }
        Digest(out)
    }

    fn fill(&mut self) {
        let len = u16::try_from(self.label.len()).unwrap_or(u16::MAX);
        let mut hash = Sha256::new();
        hash.update(BLOCK_TAG);
        hash.update(self.key);
        hash.update(len.to_be_bytes());
        hash.update(&self.label);
        hash.update(self.block.to_be_bytes());
        let block: [u8; 32] = hash.finalize().into();
        for (word, bytes) in self.words.iter_mut().zip(block.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        self.block += 1;
        self.used = 0;
    }
}
