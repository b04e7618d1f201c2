//! The TDVF metadata of a firmware: which memory a TDX launch adds and what of it is measured (TDX Virtual
//! Firmware Design Guide 344991, 11.1 and 11.2; checks of QEMU `hw/i386/tdvf.c`).

use crate::measure::error::{Entry, MeasureError, Part, Table};
use crate::measure::firmware::{FooterTable, Guid, Range, disjoint, guid, u32_at, u64_at, whole_pages};

const METADATA: Guid = guid(0xe47a6535, 0x984a, 0x4798, [0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2]);
const TABLE: Table = Table::TdvfMetadata;
/// Data offset u32, data size u32, address u64, memory size u64, type u32, attributes u32.
const SECTION_LEN: usize = 32;
/// Section attribute bit 0: the content counts, not only the address.
const MR_EXTEND: u32 = 1;

/// TDVF_SECTION_TYPE_*
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SectionType {
    /// Boot firmware volume.
    Bfv,
    /// Configuration firmware volume.
    Cfv,
    TdHob,
    TempMem,
}

/// One section, as it is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) range: Range,
    /// The content, as long as the range, where it counts.
    pub(super) extended: Option<&'a [u8]>,
}

/// The sections of `firmware`, in the order of the table, which is the order of measurement.
pub(super) fn sections(firmware: &[u8]) -> Result<Vec<Section<'_>>, MeasureError> {
    whole_pages(Part::TdxFirmware, firmware)?;
    let footer = FooterTable::read(Part::TdxFirmware, firmware)?;
    let offset = u32::from_le_bytes(footer.require(METADATA, Entry::TdvfMetadata)?);
    let rows = footer.metadata(TABLE, b"TDVF", offset, SECTION_LEN)?;
    let sections =
        rows.enumerate().map(|(index, row)| section(firmware, index, row)).collect::<Result<Vec<_>, _>>()?;
    if sections.iter().all(|section| section.extended.is_none()) {
        return Err(MeasureError::FirmwareUnmeasured);
    }
    let ranges: Vec<Range> = sections.iter().map(|section| section.range).collect();
    disjoint(TABLE, &ranges, None)?;
    Ok(sections)
}

/// Reads one row of [`SECTION_LEN`] bytes.
///
/// Refused, since calculators differ: content shorter than its memory (padded or left out), PAGE.AUG (added
/// or not), content that counts in a section without data.
fn section<'a>(firmware: &'a [u8], index: usize, row: &[u8]) -> Result<Section<'a>, MeasureError> {
    let (offset, size) = (u32_at(row, 0), u32_at(row, 4));
    let (address, memory) = (u64_at(row, 8), u64_at(row, 16));
    let kind = match u32_at(row, 24) {
        0 => SectionType::Bfv,
        1 => SectionType::Cfv,
        2 => SectionType::TdHob,
        3 => SectionType::TempMem,
        got => return Err(MeasureError::SectionType { table: TABLE, index, got }),
    };
    let range = Range::new(TABLE, index, address, memory)?;
    let wrong_data = MeasureError::SectionData { table: TABLE, index, offset, size, memory };
    let content = match kind {
        SectionType::Bfv | SectionType::Cfv => {
            if u64::from(size) != memory {
                return Err(wrong_data);
            }
            let start = offset as usize;
            let end = start.checked_add(size as usize).ok_or(wrong_data.clone())?;
            Some(firmware.get(start..end).ok_or(wrong_data)?)
        }
        SectionType::TdHob | SectionType::TempMem if size == 0 => None,
        SectionType::TdHob | SectionType::TempMem => return Err(wrong_data),
    };
    let attributes = u32_at(row, 28);
    let extended = match (attributes, content) {
        (0, _) => None,
        (MR_EXTEND, Some(content)) => Some(content),
        _ => return Err(MeasureError::SectionAttributes { table: TABLE, index, got: attributes }),
    };
    Ok(Section { range, extended })
}
