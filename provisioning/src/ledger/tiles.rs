//! Tiles (C2SP tlog-tiles v0.1.0): a log as static files, 256 hashes or entries wide.

use super::{ENTRY_MAX_BYTES, LedgerError, MerkleLog};

/// Hashes or entries of a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Height of a tile in tree levels.
const TILE_HEIGHT: u32 = 8;

/// The files that a log of `new_size` entries has and one of `old_size` had not: (path, content).
///
/// `leaves` are all entries from 0. Paths are `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`; a
/// partial tile is a new file each time it grows. Entries come first, so that a writer who stops halfway
/// leaves no hash without its entry.
pub fn tiles<L: AsRef<[u8]>>(
    leaves: &[L],
    old_size: u64,
    new_size: u64,
) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
    if new_size < old_size {
        return Err(LedgerError::LogRolledBack { old: old_size, new: new_size });
    }
    let all = usize::try_from(new_size)
        .ok()
        .and_then(|size| leaves.get(..size))
        .ok_or(LedgerError::EntriesMissing { expected: new_size, got: leaves.len() as u64 })?;
    for (index, leaf) in all.iter().enumerate() {
        let got = leaf.as_ref().len();
        if got > ENTRY_MAX_BYTES {
            return Err(LedgerError::EntryTooLarge { index: index as u64, got });
        }
    }
    let mut files = Vec::new();
    for (tile, width) in changed(old_size, new_size) {
        let first = (tile * TILE_WIDTH) as usize;
        files.push((entries_path(tile, width), entries(&all[first..first + width as usize])));
    }
    let log = MerkleLog::from_leaves(all);
    for level in 0..u64::BITS / TILE_HEIGHT {
        let height = level * TILE_HEIGHT;
        for (tile, width) in changed(old_size >> height, new_size >> height) {
            let first = tile * TILE_WIDTH;
            let content = (first..first + width)
                .filter_map(|index| log.complete(height as usize, index))
                .flat_map(|hash| hash.0)
                .collect();
            files.push((tile_path(level, tile, width), content));
        }
    }
    Ok(files)
}

/// `tile/<L>/<N>[.p/<W>]`; `width` below [`TILE_WIDTH`] is a partial tile.
pub fn tile_path(level: u32, tile: u64, width: u64) -> String {
    format!("tile/{level}/{}", suffix(tile, width))
}

/// `tile/entries/<N>[.p/<W>]`.
pub fn entries_path(tile: u64, width: u64) -> String {
    format!("tile/entries/{}", suffix(tile, width))
}

/// Tiles of one row that differ between two lengths of it: (number, width).
fn changed(old: u64, new: u64) -> impl Iterator<Item = (u64, u64)> {
    let tiles = if old == new { 0..0 } else { old / TILE_WIDTH..new.div_ceil(TILE_WIDTH) };
    tiles.map(move |tile| (tile, (new - tile * TILE_WIDTH).min(TILE_WIDTH)))
}

/// Each entry after its length as u16 BE.
fn entries<L: AsRef<[u8]>>(leaves: &[L]) -> Vec<u8> {
    let mut out = Vec::new();
    for leaf in leaves {
        let leaf = leaf.as_ref();
        out.extend_from_slice(&(leaf.len() as u16).to_be_bytes());
        out.extend_from_slice(leaf);
    }
    out
}

/// Tlog-tiles, "Merkle Tree": groups of three digits, all but the last with an `x`; then the width.
fn suffix(tile: u64, width: u64) -> String {
    let mut path = format!("{:03}", tile % 1000);
    let mut rest = tile / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH { format!("{path}.p/{width}") } else { path }
}
