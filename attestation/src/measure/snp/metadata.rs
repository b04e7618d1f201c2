//! The SEV tables of an OVMF image: which pages a launch adds, where the kernel's hashes go, where the
//! secondary processors start (edk2 `OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm`).

use crate::measure::PAGE;
use crate::measure::error::{Entry, MeasureError, Part, Table};
use crate::measure::firmware::{FooterTable, Guid, Range, disjoint, guid, u32_at};

use super::hashes::{KernelHashes, TABLE_LEN};

const RESET_BLOCK: Guid = guid(0x00f771de, 0x1a7e, 0x4fcb, [0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e]);
const HASH_TABLE: Guid = guid(0x7255371f, 0x3a3b, 0x4b04, [0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54]);
const METADATA: Guid = guid(0xdc886566, 0x984a, 0x4798, [0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc]);

const TABLE: Table = Table::SevMetadata;
/// Address, size and type of a section, u32 each.
const SECTION_LEN: usize = 12;
const PAGE_MASK: u32 = PAGE as u32 - 1;

/// OVMF_SECTION_TYPE_*
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SectionType {
    SecureMemory = 0x1,
    Secrets = 0x2,
    Cpuid = 0x3,
    /// The calling area of an SVSM.
    CallingArea = 0x4,
    KernelHashes = 0x10,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    pub(super) kind: SectionType,
    pub(super) range: Range,
}

/// What the firmware says about its launch.
#[derive(Debug)]
pub(super) struct SnpMetadata {
    /// In the order of the table, which is the order of measurement.
    pub(super) sections: Vec<Section>,
    /// Where secondary processors start; not zero.
    pub(super) reset_vector: u32,
    /// Address and size; absent or both zero on firmware that can't check a kernel.
    hash_table: Option<(u32, u32)>,
}

/// The page of the firmware that takes the kernel's hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelHashPage {
    /// Guest address of the page.
    pub page: u32,
    /// Guest address of the table inside it.
    pub base: u32,
    /// Bytes that the firmware sets aside for the table, at least 176.
    pub size: u32,
}

impl SnpMetadata {
    /// Reads `file`, a whole firmware at `place`, or its end.
    pub(super) fn read(file: &[u8], place: Option<Range>) -> Result<Self, MeasureError> {
        let footer = FooterTable::read(Part::SnpFirmware, file)?;
        let reset_vector = u32::from_le_bytes(footer.require(RESET_BLOCK, Entry::ResetBlock)?);
        if reset_vector == 0 {
            return Err(MeasureError::ResetVectorZero);
        }
        let hash_table = footer
            .find::<8>(HASH_TABLE, Entry::HashTable)?
            .map(|entry| (u32_at(&entry, 0), u32_at(&entry, 4)));
        let offset = u32::from_le_bytes(footer.require(METADATA, Entry::SevMetadata)?);
        let rows = footer.metadata(TABLE, b"ASEV", offset, SECTION_LEN)?;
        let sections =
            rows.enumerate().map(|(index, row)| Section::read(index, row)).collect::<Result<Vec<_>, _>>()?;
        for kind in [SectionType::Secrets, SectionType::Cpuid, SectionType::KernelHashes] {
            if sections.iter().filter(|section| section.kind == kind).count() > 1 {
                return Err(MeasureError::SectionTwice { table: TABLE, got: kind as u32 });
            }
        }
        let ranges: Vec<Range> = sections.iter().map(|section| section.range).collect();
        disjoint(TABLE, &ranges, place)?;
        Ok(Self { sections, reset_vector, hash_table })
    }

    /// The page for the kernel's hashes: a section of type 0x10 over a table of non-zero base and size.
    ///
    /// Debian's OVMF has the table's entry with base and size 0 and no such section, so presence of the
    /// entry alone says nothing.
    pub(super) fn kernel_hash_page(&self) -> Result<KernelHashPage, MeasureError> {
        let section = self.sections.iter().find(|section| section.kind == SectionType::KernelHashes);
        let (Some(section), Some((base, size))) = (section, self.hash_table) else {
            return Err(MeasureError::NoKernelHashes);
        };
        if base == 0 || size == 0 {
            return Err(MeasureError::NoKernelHashes);
        }
        let page = base & !PAGE_MASK;
        let end = u64::from(base) + u64::from(size);
        let covered = u64::from(page) == section.range.address && end <= u64::from(page) + section.range.size;
        if !covered || (size as usize) < TABLE_LEN {
            return Err(MeasureError::HashTableArea { base, size });
        }
        Ok(KernelHashPage { page, base, size })
    }
}

impl Section {
    /// Reads one row of [`SECTION_LEN`] bytes.
    fn read(index: usize, row: &[u8]) -> Result<Self, MeasureError> {
        let (address, size) = (u64::from(u32_at(row, 0)), u64::from(u32_at(row, 4)));
        let kind = match u32_at(row, 8) {
            0x1 => SectionType::SecureMemory,
            0x2 => SectionType::Secrets,
            0x3 => SectionType::Cpuid,
            0x4 => SectionType::CallingArea,
            0x10 => SectionType::KernelHashes,
            got => return Err(MeasureError::SectionType { table: TABLE, index, got }),
        };
        let range = Range::new(TABLE, index, address, size)?;
        // Calculators measure one page of these whatever their size; the VMM measures them all.
        let one_page = matches!(kind, SectionType::Secrets | SectionType::Cpuid | SectionType::KernelHashes);
        if one_page && size != PAGE as u64 {
            return Err(MeasureError::SectionRange { table: TABLE, index, address, size });
        }
        Ok(Self { kind, range })
    }
}

impl KernelHashPage {
    /// The page as QEMU fills it: zeros but for the table.
    pub(super) fn fill(&self, hashes: &KernelHashes) -> Box<[u8; PAGE]> {
        let mut page = Box::new([0; PAGE]);
        let start = (self.base & PAGE_MASK) as usize;
        // `kernel_hash_page` has shown that the table ends inside the page.
        if let Some(place) = page.get_mut(start..start + TABLE_LEN) {
            place.copy_from_slice(&hashes.table());
        }
        page
    }
}
