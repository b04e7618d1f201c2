//! The audit bundle: one deterministic tar with an exact index (THREATS 8).
//!
//! The index proves transport only: each member carries its own signature.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;
use tiltyard_attestation::archive::{self, ArchiveError, Limits};

use crate::json::{self, JsonError};

/// Largest bundle, in bytes.
pub const BUNDLE_MAX_BYTES: usize = 1 << 30;
/// Most members, the index included.
pub const MEMBERS_MAX: usize = 100_000;
/// The member that lists all others.
pub const INDEX: &str = "index.json";

const LIMITS: Limits = Limits { bytes: BUNDLE_MAX_BYTES, members: MEMBERS_MAX };
/// What the index's own member and the end of the archive take.
const RESERVED_BYTES: usize = 4 * 512;
/// Bounds what one index row needs beside its name.
const INDEX_ROW_BYTES: usize = 128;

/// Why a bundle was refused, or a member not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    #[error("bundle: {0}")]
    Archive(#[from] ArchiveError),
    #[error("bundle: no member {INDEX}")]
    IndexMissing,
    #[error("bundle: {INDEX}: {0}")]
    IndexSyntax(JsonError),
    #[error("bundle: {INDEX} is not canonical (RFC 8785) and sorted")]
    IndexForm,
    #[error("bundle: {name} is not in {INDEX}")]
    NotInIndex { name: String },
    #[error("bundle: {INDEX} lists {name}, which is missing")]
    MemberMissing { name: String },
    #[error(
        "bundle: {name}: expected {expected_len} bytes with SHA-256 {expected}, found {got_len} with {got}"
    )]
    Changed { name: String, expected: Hex<32>, expected_len: u64, got: Hex<32>, got_len: u64 },
}

/// A bundle being made.
#[derive(Debug, Default)]
pub struct BundleWriter {
    members: BTreeMap<String, Vec<u8>>,
    len: usize,
}

/// A bundle that was read: every member agrees with the index, and the index with the members.
#[derive(Debug, Clone)]
pub struct Bundle {
    bytes: Vec<u8>,
    /// Sorted by name.
    members: Vec<(String, Range<usize>)>,
}

/// One row of `index.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexRow {
    pub name: String,
    pub len_bytes: u64,
    pub sha256: Hex<32>,
}

impl BundleWriter {
    /// An empty bundle.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one member; its name must be new.
    pub fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Result<(), BundleError> {
        let bytes = bytes.into();
        archive::check_name(name)?;
        if name == INDEX || self.members.contains_key(name) {
            return Err(ArchiveError::Duplicate { name: name.into() }.into());
        }
        if self.members.len() + 2 > MEMBERS_MAX {
            return Err(ArchiveError::TooManyMembers { limit: MEMBERS_MAX }.into());
        }
        let member = archive::stored_len(bytes.len()) + name.len() + INDEX_ROW_BYTES;
        let got = self.len.saturating_add(member);
        if got > BUNDLE_MAX_BYTES - RESERVED_BYTES {
            return Err(ArchiveError::TooLarge { limit: BUNDLE_MAX_BYTES, got }.into());
        }
        self.len = got;
        self.members.insert(name.into(), bytes);
        Ok(())
    }

    /// Adds the index and writes the archive.
    pub fn finish(mut self) -> Vec<u8> {
        let rows: Vec<_> = self.members.iter().map(|(name, bytes)| row(name, bytes)).collect();
        self.members.insert(INDEX.into(), index_bytes(&rows));
        archive::write(&self.members)
    }
}

impl Bundle {
    /// Reads a whole bundle; the first thing that is not as a [`BundleWriter`] leaves it is refused.
    pub fn read(bytes: impl Into<Vec<u8>>) -> Result<Self, BundleError> {
        let bytes = bytes.into();
        let members = archive::members(&bytes, LIMITS)?;
        let bundle = Self { bytes, members };
        bundle.check_index()?;
        Ok(bundle)
    }

    /// The content of one member.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let at = self.members.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()?;
        self.bytes.get(self.members[at].1.clone())
    }

    /// Names of all members, sorted, the index among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    /// SHA-256 of the whole file.
    pub fn digest(&self) -> Hex<32> {
        Hex::sha256(&self.bytes)
    }

    fn check_index(&self) -> Result<(), BundleError> {
        let index = self.get(INDEX).ok_or(BundleError::IndexMissing)?;
        let listed: Vec<IndexRow> = json::read(index, BUNDLE_MAX_BYTES).map_err(BundleError::IndexSyntax)?;
        let found: Vec<IndexRow> = self
            .members
            .iter()
            .filter(|(name, _)| name != INDEX)
            .map(|(name, range)| row(name, &self.bytes[range.clone()]))
            .collect();
        let named =
            |rows: &[IndexRow], name: &str| rows.binary_search_by(|row| row.name.as_str().cmp(name)).ok();
        if !listed.is_sorted_by(|a, b| a.name < b.name) || index_bytes(&listed) != index {
            return Err(BundleError::IndexForm);
        }
        for row in &found {
            let at = named(&listed, &row.name)
                .ok_or_else(|| BundleError::NotInIndex { name: row.name.clone() })?;
            let expected = &listed[at];
            if expected != row {
                return Err(BundleError::Changed {
                    name: row.name.clone(),
                    expected: expected.sha256,
                    expected_len: expected.len_bytes,
                    got: row.sha256,
                    got_len: row.len_bytes,
                });
            }
        }
        match listed.into_iter().find(|row| named(&found, &row.name).is_none()) {
            Some(row) => Err(BundleError::MemberMissing { name: row.name }),
            None => Ok(()),
        }
    }
}

fn row(name: &str, bytes: &[u8]) -> IndexRow {
    IndexRow { name: name.into(), len_bytes: bytes.len() as u64, sha256: Hex::sha256(bytes) }
}

fn index_bytes(rows: &[IndexRow]) -> Vec<u8> {
    // Strings and integers only, which always serialise.
    serde_jcs::to_vec(rows).unwrap_or_default()
}
