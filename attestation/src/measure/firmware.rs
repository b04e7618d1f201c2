//! The GUID table at the end of an OVMF image, and the metadata that it points to.
//!
//! Layout: edk2 `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm`. The table ends 32 bytes before the end of
//! the file. It is read backwards: every entry is data, a little-endian u16 length of the whole entry, and
//! a GUID in its mixed-endian form; the last entry holds no data, and its length is that of the table.

use super::error::{Entry, MeasureError, Part, Table};
use super::{FOUR_GIB, PAGE};

/// Largest firmware, in bytes.
pub const FIRMWARE_MAX_BYTES: usize = 64 << 20;
/// Most sections of one metadata table.
pub const SECTIONS_MAX: usize = 64;
/// Most memory that the sections of one metadata table may name in all, in bytes.
pub const SECTIONS_MAX_BYTES: u64 = 128 << 20;

/// The reset vector after the table, in bytes.
const AFTER_TABLE: usize = 32;
const GUID_LEN: usize = 16;
/// Length and GUID of an entry.
const ENTRY_HEADER: usize = 2 + GUID_LEN;
/// Signature, length, version and count of a metadata table.
const METADATA_HEADER: usize = 16;
const METADATA_VERSION: u32 = 1;

pub(super) type Guid = [u8; GUID_LEN];

/// 96b582de-1fb2-45f7-baea-a366c55a082d
const FOOTER: Guid = guid(0x96b582de, 0x1fb2, 0x45f7, [0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d]);

/// The 16 bytes of a GUID as firmware stores them: the first three fields little endian.
pub(super) const fn guid(a: u32, b: u16, c: u16, d: [u8; 8]) -> Guid {
    let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// The GUID table of one firmware image, or of the end of one.
#[derive(Debug)]
pub(super) struct FooterTable<'a> {
    file: &'a [u8],
    entries: Vec<(Guid, &'a [u8])>,
}

/// The sections of a metadata table, undecoded, all of one length.
pub(super) type Rows<'a> = std::slice::ChunksExact<'a, u8>;

/// Refuses a firmware that is not of whole pages or too large.
pub(super) fn whole_pages(part: Part, file: &[u8]) -> Result<(), MeasureError> {
    if file.len() > FIRMWARE_MAX_BYTES {
        return Err(MeasureError::TooLarge { part, limit: FIRMWARE_MAX_BYTES, got: file.len() });
    }
    if file.is_empty() || !file.len().is_multiple_of(PAGE) {
        return Err(MeasureError::FirmwareLength { got: file.len() });
    }
    Ok(())
}

impl<'a> FooterTable<'a> {
    /// Walks the table of `file`, the image or its end; the entries must tile it exactly.
    pub(super) fn read(part: Part, file: &'a [u8]) -> Result<Self, MeasureError> {
        if file.len() > FIRMWARE_MAX_BYTES {
            return Err(MeasureError::TooLarge { part, limit: FIRMWARE_MAX_BYTES, got: file.len() });
        }
        let end = file.len().checked_sub(AFTER_TABLE).ok_or(MeasureError::FooterMissing)?;
        let (before, table_len, guid) = split_entry(&file[..end]).ok_or(MeasureError::FooterMissing)?;
        if guid != FOOTER {
            return Err(MeasureError::FooterMissing);
        }
        let mut rest = table_len
            .checked_sub(ENTRY_HEADER)
            .and_then(|len| before.len().checked_sub(len))
            .and_then(|start| before.get(start..))
            .ok_or(MeasureError::TableLength { table: Table::Footer, limit: before.len(), got: table_len })?;
        let mut entries: Vec<(Guid, &'a [u8])> = Vec::new();
        while !rest.is_empty() {
            let too_long = |got| MeasureError::TableLength { table: Table::Footer, limit: rest.len(), got };
            let (before, entry_len, guid) = split_entry(rest).ok_or(too_long(ENTRY_HEADER))?;
            let start = entry_len
                .checked_sub(ENTRY_HEADER)
                .and_then(|len| before.len().checked_sub(len))
                .ok_or(too_long(entry_len))?;
            let (next, data) = before.split_at(start);
            if entries.iter().any(|(other, _)| *other == guid) {
                return Err(MeasureError::EntryTwice);
            }
            entries.push((guid, data));
            rest = next;
        }
        Ok(Self { file, entries })
    }

    /// The data of `guid`; none when it is absent, an error when it is not `N` bytes.
    pub(super) fn find<const N: usize>(
        &self,
        guid: Guid,
        entry: Entry,
    ) -> Result<Option<[u8; N]>, MeasureError> {
        let Some((_, data)) = self.entries.iter().find(|(other, _)| *other == guid) else { return Ok(None) };
        let length = |_| MeasureError::EntryLength { entry, expected: N, got: data.len() };
        (*data).try_into().map(Some).map_err(length)
    }

    /// As [`find`](Self::find), where absence is an error too.
    pub(super) fn require<const N: usize>(&self, guid: Guid, entry: Entry) -> Result<[u8; N], MeasureError> {
        self.find(guid, entry)?.ok_or(MeasureError::EntryMissing { entry })
    }

    /// The metadata table that stands `offset` bytes before the end of the file.
    ///
    /// Its length must be exactly that of its header and `row`-byte sections, and it must end inside the
    /// file.
    pub(super) fn metadata(
        &self,
        table: Table,
        signature: &[u8; 4],
        offset: u32,
        row: usize,
    ) -> Result<Rows<'a>, MeasureError> {
        let wrong_offset = MeasureError::MetadataOffset { table, offset, len: self.file.len() };
        let start = (self.file.len().checked_sub(offset as usize)).ok_or(wrong_offset.clone())?;
        let bytes = &self.file[start..];
        let header = bytes.get(..METADATA_HEADER).ok_or(wrong_offset)?;
        let word = |index: usize| u32_at(header, 4 * index);
        if header[..4] != *signature {
            return Err(MeasureError::MetadataSignature { table });
        }
        let (len, version, count) = (word(1), word(2), word(3));
        if version != METADATA_VERSION {
            return Err(MeasureError::MetadataVersion { table, expected: METADATA_VERSION, got: version });
        }
        if count as usize > SECTIONS_MAX {
            return Err(MeasureError::SectionCount { table, limit: SECTIONS_MAX, got: count });
        }
        let expected = METADATA_HEADER + count as usize * row;
        let length = MeasureError::TableLength { table, limit: bytes.len(), got: len as usize };
        if len as usize != expected {
            return Err(length);
        }
        let rows = bytes.get(METADATA_HEADER..expected).ok_or(length)?;
        Ok(rows.chunks_exact(row))
    }
}

/// What precedes the entry that ends `bytes`, with the entry's length and GUID.
fn split_entry(bytes: &[u8]) -> Option<(&[u8], usize, Guid)> {
    let (before, header) = bytes.split_at_checked(bytes.len().checked_sub(ENTRY_HEADER)?)?;
    let (len, guid) = header.split_first_chunk::<2>()?;
    Some((before, usize::from(u16::from_le_bytes(*len)), guid.try_into().ok()?))
}

/// Four bytes at `at`, little endian; zero where the caller proved no length.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

/// Eight bytes at `at`, little endian; zero where the caller proved no length.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}

/// A range of guest memory, of whole pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) address: u64,
    pub(super) size: u64,
}

impl Range {
    /// At least one page, aligned, ending at or below 4 GiB, where firmware and its tables live.
    pub(super) fn new(table: Table, index: usize, address: u64, size: u64) -> Result<Self, MeasureError> {
        let page = PAGE as u64;
        let sound = size != 0 && address.is_multiple_of(page) && size.is_multiple_of(page);
        match address.checked_add(size) {
            Some(end) if sound && end <= FOUR_GIB => Ok(Self { address, size }),
            _ => Err(MeasureError::SectionRange { table, index, address, size }),
        }
    }

    /// The address of each page, ascending.
    pub(super) fn pages(self) -> impl Iterator<Item = u64> {
        (self.address..self.address + self.size).step_by(PAGE)
    }
}

/// Refuses ranges that meet, and more memory in all than the limit.
///
/// A page can be added to a guest only once: SNP_LAUNCH_UPDATE and TDH.MEM.PAGE.ADD fail the second time.
pub(super) fn disjoint(table: Table, ranges: &[Range], firmware: Option<Range>) -> Result<(), MeasureError> {
    let total = ranges.iter().fold(0u64, |total, range| total.saturating_add(range.size));
    if total > SECTIONS_MAX_BYTES {
        return Err(MeasureError::SectionTotal { table, limit: SECTIONS_MAX_BYTES });
    }
    let mut sorted: Vec<Range> = ranges.iter().copied().chain(firmware).collect();
    sorted.sort_by_key(|range| range.address);
    for pair in sorted.windows(2) {
        if let [low, high] = pair
            && low.address + low.size > high.address
        {
            return Err(MeasureError::SectionOverlap { table, address: high.address });
        }
    }
    Ok(())
}
