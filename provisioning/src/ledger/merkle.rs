//! RFC 6962 trees: roots, proofs, and verifying proofs (RFC 6962, 2.1; RFC 9162, 2.1.3 and 2.1.4).

use ring::digest::{Context, SHA256};
use tiltyard_attestation::Hex;

use super::LedgerError;

/// Most hashes of one proof: a path has at most one a bit of the size, a consistency proof one more.
pub const PROOF_MAX_HASHES: usize = 65;

/// An RFC 6962 tree in memory, append only.
///
/// Holds every hash of every complete subtree: 64 bytes an entry.
#[derive(Debug, Clone, Default)]
pub struct MerkleLog {
    /// `levels[l][i]` is the hash over the entries `i * 2^l .. (i + 1) * 2^l`.
    levels: Vec<Vec<Hex<32>>>,
}

/// An entry that stands in a log; made by [`verify_inclusion`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Included {
    index: u64,
    size: u64,
    root: Hex<32>,
}

/// A log that extends an older one; made by [`verify_consistency`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consistent {
    old_size: u64,
    new_size: u64,
}

impl MerkleLog {
    /// The empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The log of these entries, in their order.
    pub fn from_leaves<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Self {
        let mut log = Self::new();
        for leaf in leaves {
            log.append(leaf.as_ref());
        }
        log
    }

    /// Appends one entry; the answer is its index.
    pub fn append(&mut self, leaf: &[u8]) -> u64 {
        let index = self.size();
        let mut hash = leaf_hash(leaf);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let row = &mut self.levels[level];
            row.push(hash);
            let [.., left, right] = row.as_slice() else { break };
            if row.len() % 2 == 1 {
                break;
            }
            hash = node_hash(left, right);
        }
        index
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Root over all entries.
    pub fn root(&self) -> Hex<32> {
        self.range(0, self.size())
    }

    /// Root over the first `size` entries; `None` when the log is shorter.
    pub fn root_at(&self, size: u64) -> Option<Hex<32>> {
        (size <= self.size()).then(|| self.range(0, size))
    }

    /// PATH(index, D[0..size]) of RFC 6962, 2.1.1.
    ///
    /// Empty for an index or size beyond the log: [`verify_inclusion`] refuses that.
    pub fn inclusion(&self, index: u64, size: u64) -> Vec<Hex<32>> {
        let mut path = Vec::new();
        if index >= size || size > self.size() {
            return path;
        }
        let (mut low, mut high) = (0, size);
        while high - low > 1 {
            let middle = low + split(high - low);
            if index < middle {
                path.push(self.range(middle, high));
                high = middle;
            } else {
                path.push(self.range(low, middle));
                low = middle;
            }
        }
        path.reverse();
        path
    }

    /// PROOF(old, D[0..new]) of RFC 6962, 2.1.2; empty from size 0 and between equal sizes.
    ///
    /// Empty also for sizes beyond the log or in the wrong order: [`verify_consistency`] refuses that.
    pub fn consistency(&self, old: u64, new: u64) -> Vec<Hex<32>> {
        let mut proof = Vec::new();
        if old == 0 || old >= new || new > self.size() {
            return proof;
        }
        let (mut low, mut high) = (0, new);
        while high != old {
            let middle = low + split(high - low);
            if old <= middle {
                proof.push(self.range(middle, high));
                high = middle;
            } else {
                proof.push(self.range(low, middle));
                low = middle;
            }
        }
        // The old tree itself is known to the verifier; a part of it is not.
        if low != 0 {
            proof.push(self.range(low, high));
        }
        proof.reverse();
        proof
    }

    /// Hash of one complete subtree of `2^level` entries.
    pub(super) fn complete(&self, level: usize, index: u64) -> Option<Hex<32>> {
        self.levels.get(level)?.get(usize::try_from(index).ok()?).copied()
    }

    /// MTH over the entries `low..high`, where `low` is where a subtree of that length begins.
    fn range(&self, low: u64, high: u64) -> Hex<32> {
        let len = high - low;
        if len == 0 {
            return empty_root();
        }
        if len.is_power_of_two() {
            let level = len.trailing_zeros() as usize;
            if let Some(hash) = self.complete(level, low >> level) {
                return hash;
            }
        }
        let middle = low + split(len);
        node_hash(&self.range(low, middle), &self.range(middle, high))
    }
}

impl Included {
    /// Where the entry stands.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Size of the log under [`Included::root`].
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root that the proof led to.
    pub fn root(&self) -> Hex<32> {
        self.root
    }
}

impl Consistent {
    /// Size of the older log.
    pub fn old_size(&self) -> u64 {
        self.old_size
    }

    /// Size of the log that extends it.
    pub fn new_size(&self) -> u64 {
        self.new_size
    }
}

/// Root of the empty log: SHA-256 of nothing.
pub fn empty_root() -> Hex<32> {
    Hex::sha256(&[])
}

/// SHA-256(00 || entry).
pub fn leaf_hash(leaf: &[u8]) -> Hex<32> {
    hash(&[&[0], leaf])
}

/// SHA-256(01 || left || right).
pub fn node_hash(left: &Hex<32>, right: &Hex<32>) -> Hex<32> {
    hash(&[&[1], left.bytes(), right.bytes()])
}

/// Root over any leaves, without keeping the tree: roots of vectors, `parts_root`.
pub fn merkle_root<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Hex<32> {
    // Complete subtrees from left to right, each smaller than the one before.
    let mut stack: Vec<(u32, Hex<32>)> = Vec::new();
    for leaf in leaves {
        let (mut level, mut hash) = (0, leaf_hash(leaf.as_ref()));
        while let Some((_, left)) = stack.pop_if(|(top, _)| *top == level) {
            hash = node_hash(&left, &hash);
            level += 1;
        }
        stack.push((level, hash));
    }
    stack
        .into_iter()
        .map(|(_, hash)| hash)
        .rev()
        .reduce(|right, left| node_hash(&left, &right))
        .unwrap_or_else(empty_root)
}

/// Checks that `leaf` is entry `index` of the log of `size` entries under `root` (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(
    leaf: &[u8],
    index: u64,
    size: u64,
    proof: &[Hex<32>],
    root: &Hex<32>,
) -> Result<Included, LedgerError> {
    if index >= size {
        return Err(LedgerError::IndexOutOfRange { index, size });
    }
    let expected = path_len(index, size);
    if proof.len() != expected {
        return Err(LedgerError::ProofLength { expected, got: proof.len() });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf_hash(leaf);
    for sibling in proof {
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // No right sibling on these levels: the hash goes up as it is.
            while node % 2 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if hash != *root {
        return Err(LedgerError::NotIncluded { index, expected: *root, got: hash });
    }
    Ok(Included { index, size, root: *root })
}

/// Checks that the log of `new_size` entries under `new_root` begins with the log of `old_size` entries
/// under `old_root` (RFC 9162, 2.1.4.2).
///
/// From size 0, and between equal sizes, the proof is empty and the roots alone decide.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hex<32>,
    new_size: u64,
    new_root: &Hex<32>,
    proof: &[Hex<32>],
) -> Result<Consistent, LedgerError> {
    let consistent = Consistent { old_size, new_size };
    if new_size < old_size {
        return Err(LedgerError::LogRolledBack { old: old_size, new: new_size });
    }
    for (size, root) in [(old_size, old_root), (new_size, new_root)] {
        if size == 0 && *root != empty_root() {
            return Err(LedgerError::LogForked { size, expected: empty_root(), got: *root });
        }
    }
    let expected = consistency_len(old_size, new_size);
    if proof.len() != expected {
        return Err(LedgerError::ProofLength { expected, got: proof.len() });
    }
    if old_size == new_size {
        return if old_root == new_root {
            Ok(consistent)
        } else {
            Err(LedgerError::LogForked { size: old_size, expected: *old_root, got: *new_root })
        };
    }
    if old_size == 0 {
        return Ok(consistent);
    }
    let (old, new) = fold_consistency(old_size, old_root, new_size, proof);
    let wrong = |which| LedgerError::Inconsistent { old: old_size, new: new_size, which };
    if old != *old_root {
        return Err(wrong("old"));
    }
    if new != *new_root {
        return Err(wrong("new"));
    }
    Ok(consistent)
}

/// The two roots that a consistency proof of the right length leads to; `0 < old_size < new_size`.
fn fold_consistency(
    old_size: u64,
    old_root: &Hex<32>,
    new_size: u64,
    proof: &[Hex<32>],
) -> (Hex<32>, Hex<32>) {
    // Step 3 of RFC 9162, 2.1.4.2: an old tree that is complete is its own first hash.
    let (start, rest) = match proof.split_first() {
        Some((first, rest)) if !old_size.is_power_of_two() => (*first, rest),
        _ => (*old_root, proof),
    };
    let trailing = (old_size - 1).trailing_ones();
    let (mut node, mut last) = ((old_size - 1) >> trailing, (new_size - 1) >> trailing);
    let (mut old, mut new) = (start, start);
    for hash in rest {
        if node % 2 == 1 || node == last {
            old = node_hash(hash, &old);
            new = node_hash(hash, &new);
            while node % 2 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    (old, new)
}

/// Number of hashes on the path of `index < size`.
fn path_len(index: u64, size: u64) -> usize {
    // Levels below where the index parts from the last entry have a sibling each; above, one for each
    // complete subtree on the left.
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let border = index.checked_shr(inner).unwrap_or(0).count_ones();
    (inner + border) as usize
}

/// Number of hashes of a consistency proof.
fn consistency_len(old: u64, new: u64) -> usize {
    if old == 0 || old == new {
        return 0;
    }
    // The path of the last complete subtree of the old tree, seen from the new one; its own hash is
    // named too unless it is the whole old tree.
    let level = old.trailing_zeros();
    let path = path_len((old - 1) >> level, ((new - 1) >> level) + 1);
    path + usize::from(!old.is_power_of_two())
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: u64) -> u64 {
    1 << (u64::BITS - 1 - (len - 1).leading_zeros())
}

fn hash(parts: &[&[u8]]) -> Hex<32> {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Hex(out)
}
