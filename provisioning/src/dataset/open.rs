use std::io;

use tiltyard_attestation::Hex;
use zeroize::Zeroizing;

use super::index::Index;
use super::shard::{FrameError, read_shard};
use super::split::SplitSeed;
use crate::container::{self, ContainerError};
use crate::dek::Dek;
use crate::keyid::Split;
use crate::manifest::{Manifest, ManifestObject};

/// Most ciphertext of one split that is opened into memory, in bytes.
pub const OPEN_MAX_BYTES: u64 = 8 << 30;

/// An opened split. Its rows are wiped when dropped.
pub struct OpenedSplit {
    /// Canonical rows in the split's own order.
    pub rows: Vec<Zeroizing<Vec<u8>>>,
    /// Fields that rows may have.
    pub fields: Vec<String>,
    /// Root over the rows under the split seed; kept for a later dispute about one of them.
    pub rows_root: Hex<32>,
    /// Present in a test split, where it opened the manifest's commitment; never in a training split.
    pub split_seed: Option<SplitSeed>,
}

/// Why a split could not be opened. Nothing of its content is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error("E_TOO_LARGE: expected at most {OPEN_MAX_BYTES} bytes of objects, found {got}")]
    TooLarge { got: u64 },
    #[error("E_IO: object {name}: {source}")]
    Fetch { name: Hex<16>, source: io::Error },
    #[error("E_DIGEST: object {name}: expected {expected} bytes, found {got}")]
    Length { name: Hex<16>, expected: u64, got: u64 },
    #[error("object {name}: {source}")]
    Object { name: Hex<16>, source: ContainerError },
    #[error("object {name}: {source}")]
    Frames { name: Hex<16>, source: FrameError },
    #[error("E_INDEX: {what}")]
    Index { what: &'static str },
    #[error("E_SPLIT_COMMITMENT: the seed in the index does not open the manifest's commitment")]
    Commitment,
}

impl OpenError {
    /// The stable name of this refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "E_TOO_LARGE",
            Self::Fetch { .. } => "E_IO",
            Self::Length { .. } => "E_DIGEST",
            Self::Object { source, .. } => source.code(),
            Self::Frames { .. } => "E_FRAMES",
            Self::Index { .. } => "E_INDEX",
            Self::Commitment => "E_SPLIT_COMMITMENT",
        }
    }
}

/// Opens every object of a split, in the manifest's order.
///
/// `fetch` gives an object's ciphertext. A test split also shows that its seed opens the commitment and
/// that its rows are the ones that were indexed.
pub fn open_split(
    manifest: &Manifest,
    dek: &Dek,
    fetch: &mut dyn FnMut(&ManifestObject) -> io::Result<Vec<u8>>,
) -> Result<OpenedSplit, OpenError> {
    let total = manifest.objects.iter().fold(0, |sum: u64, object| sum.saturating_add(object.len));
    if total > OPEN_MAX_BYTES {
        return Err(OpenError::TooLarge { got: total });
    }
    let wrong = |what| OpenError::Index { what };
    let (last, shards) = manifest.objects.split_last().ok_or(wrong("expected an index object"))?;
    let index = open_object(manifest, last, dek, fetch)?;
    let index = Index::from_plaintext(&index).ok_or(wrong("expected an index of version 1"))?;
    if index.split != manifest.split || index.shards.len() != shards.len() {
        return Err(wrong("expected the manifest's split and its number of shards"));
    }
    let mut rows = Vec::new();
    for (shard, listed) in shards.iter().zip(&index.shards) {
        let plaintext = open_object(manifest, shard, dek, fetch)?;
        let frames =
            read_shard(&plaintext).map_err(|source| OpenError::Frames { name: shard.name, source })?;
        if shard.name != listed.name || frames.len() as u64 != listed.rows {
            return Err(wrong("expected the shards and row counts of the manifest's objects"));
        }
        rows.extend(frames);
    }
    if rows.len() as u64 != index.rows {
        return Err(wrong("expected the sum of the shards' rows"));
    }
    let split_seed = shown_seed(manifest, &index, &rows)?;
    Ok(OpenedSplit { rows, fields: index.fields, rows_root: index.rows_root, split_seed })
}

fn shown_seed(
    manifest: &Manifest,
    index: &Index,
    rows: &[Zeroizing<Vec<u8>>],
) -> Result<Option<SplitSeed>, OpenError> {
    let drawn = match (manifest.split, &index.drawn) {
        (Split::Train, None) => return Ok(None),
        (Split::Test, Some(drawn)) => drawn,
        _ => {
            return Err(OpenError::Index { what: "expected the split seed in a test split, and only there" });
        }
    };
    let seed = SplitSeed::from_bytes(drawn.seed.0.clone());
    if seed.commitment(&drawn.terms) != manifest.split_commitment {
        return Err(OpenError::Commitment);
    }
    if seed.rows_root(rows) != index.rows_root {
        return Err(OpenError::Index { what: "expected the root over the split's rows" });
    }
    Ok(Some(seed))
}

fn open_object(
    manifest: &Manifest,
    object: &ManifestObject,
    dek: &Dek,
    fetch: &mut dyn FnMut(&ManifestObject) -> io::Result<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let name = object.name;
    let bytes = fetch(object).map_err(|source| OpenError::Fetch { name, source })?;
    let got = bytes.len() as u64;
    if got != object.len {
        return Err(OpenError::Length { name, expected: object.len, got });
    }
    container::open_expected(dek, &manifest.context(object), &object.header, &bytes)
        .map_err(|source| OpenError::Object { name, source })
}
