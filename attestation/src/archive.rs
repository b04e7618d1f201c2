//! The one archive form of the product: POSIX ustar, names sorted, time and owners 0, mode 0444, regular files only.
//!
//! Equal members give equal bytes, and a reader takes no other form: whatever a tar reader would have to interpret
//! (links, long names, owners, a second member of one name) is refused.

use std::collections::BTreeMap;
use std::ops::Range;

/// Longest member name, in bytes.
pub const NAME_MAX_BYTES: usize = 100;

const BLOCK: usize = 512;
/// Two zero blocks end an archive.
const END: usize = 2 * BLOCK;

/// Bounds of one use of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub bytes: usize,
    pub members: usize,
}

/// Why an archive was refused, or a member not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    #[error("expected at most {limit} bytes, found {got}")]
    TooLarge { limit: usize, got: usize },
    #[error("expected at most {limit} members")]
    TooManyMembers { limit: usize },
    #[error(
        "member name {got:?}: expected 1 to {NAME_MAX_BYTES} of a-z, 0-9, '.', '_', '-' and '/', no empty part, no '.' or '..'"
    )]
    Name { got: String },
    #[error("member {name} stands twice")]
    Duplicate { name: String },
    #[error("member {name} stands after {after}\n  members are sorted by name")]
    Unsorted { name: String, after: String },
    #[error("expected regular files only, found tar type {kind:?} at byte {at}")]
    NotAFile { kind: char, at: usize },
    #[error("the header at byte {at} is not the one form of an archive\n  write it with this program")]
    Header { at: usize },
    #[error("it ends inside the member at byte {at}")]
    Truncated { at: usize },
    #[error("bytes other than zero after the content of {name}")]
    Padding { name: String },
    #[error("{got} bytes after the end of the archive")]
    Trailing { got: usize },
}

/// Members sorted by name, as one archive.
pub fn write(members: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(members.values().map(|bytes| stored_len(bytes.len())).sum::<usize>() + END);
    for (name, bytes) in members {
        out.extend_from_slice(&header(name, bytes.len()));
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + END, 0);
    out
}

/// What a member of this length takes in an archive, header included.
pub fn stored_len(len: usize) -> usize {
    BLOCK + len.next_multiple_of(BLOCK)
}

/// Splits an archive into its members, sorted: (name, where its content stands).
pub fn members(bytes: &[u8], limits: Limits) -> Result<Vec<(String, Range<usize>)>, ArchiveError> {
    if bytes.len() > limits.bytes {
        return Err(ArchiveError::TooLarge { limit: limits.bytes, got: bytes.len() });
    }
    let mut members: Vec<(String, Range<usize>)> = Vec::new();
    let mut at = 0;
    loop {
        let block = bytes.get(at..at + BLOCK).ok_or(ArchiveError::Truncated { at })?;
        if block.iter().all(|byte| *byte == 0) {
            let rest = &bytes[at..];
            if rest.len() < END {
                return Err(ArchiveError::Truncated { at });
            }
            if rest[..END].iter().any(|byte| *byte != 0) {
                return Err(ArchiveError::Trailing { got: rest.len() - BLOCK });
            }
            return match rest.len() - END {
                0 => Ok(members),
                got => Err(ArchiveError::Trailing { got }),
            };
        }
        if members.len() == limits.members {
            return Err(ArchiveError::TooManyMembers { limit: limits.members });
        }
        let (name, len) = parse_header(block, at, limits.bytes)?;
        match members.last() {
            Some((before, _)) if *before == name => return Err(ArchiveError::Duplicate { name }),
            Some((before, _)) if *before > name => {
                return Err(ArchiveError::Unsorted { name, after: before.clone() });
            }
            _ => {}
        }
        let start = at + BLOCK;
        // A header's length has 33 bits: no overflow in 64.
        let end = start + len;
        let next = end.next_multiple_of(BLOCK);
        let padding = bytes.get(end..next).ok_or(ArchiveError::Truncated { at })?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(ArchiveError::Padding { name });
        }
        members.push((name, start..end));
        at = next;
    }
}

/// Name and length from a header that is, byte for byte, the one that we would write.
fn parse_header(block: &[u8], at: usize, most: usize) -> Result<(String, usize), ArchiveError> {
    let wrong = || ArchiveError::Header { at };
    let field = |range: Range<usize>| {
        block[range].split(|byte| *byte == 0).next().and_then(|text| std::str::from_utf8(text).ok())
    };
    if block[156] != b'0' {
        return Err(ArchiveError::NotAFile { kind: block[156].into(), at });
    }
    let name = field(0..NAME_MAX_BYTES).ok_or_else(wrong)?;
    check_name(name)?;
    let len = field(124..136).and_then(|digits| usize::from_str_radix(digits, 8).ok()).ok_or_else(wrong)?;
    if len > most {
        return Err(ArchiveError::Truncated { at });
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

/// Refuses a name that is no relative path of plain parts.
pub fn check_name(name: &str) -> Result<(), ArchiveError> {
    let fits = (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.split('/').all(|part| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        });
    if fits { Ok(()) } else { Err(ArchiveError::Name { got: name.chars().take(NAME_MAX_BYTES).collect() }) }
}
