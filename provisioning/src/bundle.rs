//! The audit bundle: one deterministic tar with an exact index (THREATS 8).
//!
//! POSIX ustar, names sorted, time and owners 0, mode 0444, regular files only. Equal members give equal
//! bytes, and a reader takes no other form. The index proves transport only: each member carries its own
//! signature.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;

use crate::json::{self, JsonError};

/// Largest bundle, in bytes.
pub const BUNDLE_MAX_BYTES: usize = 1 << 30;
/// Most members, the index included.
pub const MEMBERS_MAX: usize = 100_000;
/// Longest member name, in bytes.
pub const NAME_MAX_BYTES: usize = 100;
/// The member that lists all others.
pub const INDEX: &str = "index.json";

const BLOCK: usize = 512;
/// Two zero blocks end an archive.
const END: usize = 2 * BLOCK;
/// Bounds what one index row needs beside its name.
const INDEX_ROW_BYTES: usize = 128;

/// Why a bundle was refused, or a member not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    #[error("bundle: expected at most {BUNDLE_MAX_BYTES} bytes, found {got}")]
    TooLarge { got: usize },
    #[error("bundle: expected at most {MEMBERS_MAX} members")]
    TooManyMembers,
    #[error(
        "bundle: member name {got:?}: expected 1 to {NAME_MAX_BYTES} of a-z, 0-9, '.', '_', '-' and '/', no empty part, no '.' or '..'"
    )]
    Name { got: String },
    #[error("bundle: member {name} stands twice")]
    Duplicate { name: String },
    #[error("bundle: member {name} stands after {after}\n  members are sorted by name")]
    Unsorted { name: String, after: String },
    #[error("bundle: expected regular files only, found tar type {kind:?} at byte {at}")]
    NotAFile { kind: char, at: usize },
    #[error("bundle: the header at byte {at} is not the one form of a bundle\n  write it with BundleWriter")]
    Header { at: usize },
    #[error("bundle: it ends inside the member at byte {at}")]
    Truncated { at: usize },
    #[error("bundle: bytes other than zero after the content of {name}")]
    Padding { name: String },
    #[error("bundle: {got} bytes after the end of the archive")]
    Trailing { got: usize },
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
        check_name(name)?;
        if name == INDEX || self.members.contains_key(name) {
            return Err(BundleError::Duplicate { name: name.into() });
        }
        if self.members.len() + 2 > MEMBERS_MAX {
            return Err(BundleError::TooManyMembers);
        }
        let member = BLOCK + bytes.len().next_multiple_of(BLOCK) + name.len() + INDEX_ROW_BYTES;
        let got = self.len.saturating_add(member);
        if got > BUNDLE_MAX_BYTES - 2 * BLOCK - END {
            return Err(BundleError::TooLarge { got });
        }
        self.len = got;
        self.members.insert(name.into(), bytes);
        Ok(())
    }

    /// Adds the index and writes the archive.
    pub fn finish(mut self) -> Vec<u8> {
        let rows: Vec<_> = self.members.iter().map(|(name, bytes)| row(name, bytes)).collect();
        self.members.insert(INDEX.into(), index_bytes(&rows));
        let mut out = Vec::with_capacity(self.len + 2 * BLOCK + END);
        for (name, bytes) in &self.members {
            out.extend_from_slice(&header(name, bytes.len()));
            out.extend_from_slice(bytes);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
        out.resize(out.len() + END, 0);
        out
    }
}

impl Bundle {
    /// Reads a whole bundle; the first thing that is not as a [`BundleWriter`] leaves it is refused.
    pub fn read(bytes: impl Into<Vec<u8>>) -> Result<Self, BundleError> {
        let bytes = bytes.into();
        if bytes.len() > BUNDLE_MAX_BYTES {
            return Err(BundleError::TooLarge { got: bytes.len() });
        }
        let members = members(&bytes)?;
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

/// Splits an archive into its members: (name, where its content stands).
fn members(bytes: &[u8]) -> Result<Vec<(String, Range<usize>)>, BundleError> {
    let mut members: Vec<(String, Range<usize>)> = Vec::new();
    let mut at = 0;
    loop {
        let block = bytes.get(at..at + BLOCK).ok_or(BundleError::Truncated { at })?;
        if block.iter().all(|byte| *byte == 0) {
            let rest = &bytes[at..];
            if rest.len() < END {
                return Err(BundleError::Truncated { at });
            }
            let used = rest[..END].iter().all(|byte| *byte == 0);
            return if used && rest.len() == END {
                Ok(members)
            } else {
                Err(BundleError::Trailing { got: rest.len() - BLOCK })
            };
        }
        if members.len() == MEMBERS_MAX {
            return Err(BundleError::TooManyMembers);
        }
        let (name, len) = parse_header(block, at)?;
        match members.last() {
            Some((before, _)) if *before == name => return Err(BundleError::Duplicate { name }),
            Some((before, _)) if *before > name => {
                return Err(BundleError::Unsorted { name, after: before.clone() });
            }
            _ => {}
        }
        let start = at + BLOCK;
        // A header's length has 33 bits: no overflow in 64.
        let end = start + len;
        let next = end.next_multiple_of(BLOCK);
        let padding = bytes.get(end..next).ok_or(BundleError::Truncated { at })?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(BundleError::Padding { name });
        }
        members.push((name, start..end));
        at = next;
    }
}

/// Name and length from a header that is, byte for byte, the one that we would write.
fn parse_header(block: &[u8], at: usize) -> Result<(String, usize), BundleError> {
    let wrong = || BundleError::Header { at };
    let field = |range: Range<usize>| {
        block[range].split(|byte| *byte == 0).next().and_then(|text| std::str::from_utf8(text).ok())
    };
    if block[156] != b'0' {
        return Err(BundleError::NotAFile { kind: block[156].into(), at });
    }
    let name = field(0..NAME_MAX_BYTES).ok_or_else(wrong)?;
    check_name(name)?;
    let len = field(124..136).and_then(|digits| usize::from_str_radix(digits, 8).ok()).ok_or_else(wrong)?;
    if len > BUNDLE_MAX_BYTES {
        return Err(BundleError::Truncated { at });
    }
    if header(name, len) != *block {
        return Err(wrong());
    }
    Ok((name.to_owned(), len))
}

/// The ustar header of one regular file (POSIX.1-1988): mode 0444, owners 0, time 0.
fn header(name: &str, len: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000444\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{len:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    // The checksum counts its own field as spaces.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn check_name(name: &str) -> Result<(), BundleError> {
    let fits = (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.split('/').all(|part| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        });
    if fits { Ok(()) } else { Err(BundleError::Name { got: name.chars().take(NAME_MAX_BYTES).collect() }) }
}
