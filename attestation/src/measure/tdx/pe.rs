//! The Authenticode digest of an EFI program (PE/COFF specification, appendix A; edk2
//! `SecurityPkg/Tcg/Tcg2Dxe/MeasureBootPeCoff.c`).

use ring::digest::{Context, SHA384};

use crate::Hex;
use crate::measure::MeasureError;
use crate::measure::firmware::u32_at;
use crate::measure::hash::finish;

/// Size of the COFF header with the signature before it, in bytes.
const COFF_LEN: usize = 24;
const MAGIC_PE32_PLUS: usize = 0x20b;
/// Offsets in the optional header of PE32+.
const SIZE_OF_HEADERS_AT: usize = 60;
const CHECKSUM_AT: usize = 64;
const DIRECTORY_COUNT_AT: usize = 108;
const DIRECTORIES_AT: usize = 112;
/// Index of the certificate table among the directories, each of which is 8 bytes.
const CERTIFICATE_TABLE: usize = 4;
const DIRECTORY_LEN: usize = 8;
/// Size of a section header; the raw size and offset inside it.
const SECTION_LEN: usize = 40;
const RAW_SIZE_AT: usize = 16;
const RAW_OFFSET_AT: usize = 20;
/// Most sections, as the Windows loader has it.
const SECTIONS_MAX: usize = 96;

/// SHA-384 over an x86-64 image without its checksum, its certificate-table entry and its certificates.
///
/// An image whose sections leave gaps, whose length is not a multiple of 8 or whose certificates don't end
/// it is refused: firmware and calculators differ in what they hash of one.
pub fn authenticode_sha384(image: &[u8]) -> Result<Hex<48>, MeasureError> {
    let layout = Layout::read(image).map_err(MeasureError::KernelFormat)?;
    let mut context = Context::new(&SHA384);
    for range in &layout.hashed {
        context.update(image.get(range.clone()).unwrap_or_default());
    }
    Ok(Hex(finish(context)))
}

/// What is hashed, in order; every range lies in the image.
struct Layout {
    hashed: Vec<std::ops::Range<usize>>,
}

impl Layout {
    fn read(image: &[u8]) -> Result<Self, &'static str> {
        if !image.len().is_multiple_of(8) {
            return Err("length not a multiple of 8");
        }
        if !image.starts_with(b"MZ") {
            return Err("no DOS header");
        }
        let pe = word(image, 0x3c)? as usize;
        let coff = slice(image, pe, COFF_LEN)?;
        if !coff.starts_with(b"PE\0\0") {
            return Err("no PE signature");
        }
        let (section_count, optional_len) = (half(coff, 6), half(coff, 20));
        let optional_at = pe + COFF_LEN;
        let optional = slice(image, optional_at, optional_len)?;
        if optional_len < DIRECTORIES_AT || half(optional, 0) != MAGIC_PE32_PLUS {
            return Err("not PE32+");
        }
        let headers = u32_at(optional, SIZE_OF_HEADERS_AT) as usize;
        let sections_at = optional_at + optional_len;
        if section_count > SECTIONS_MAX || headers > image.len() {
            return Err("headers too large");
        }
        if sections_at + section_count * SECTION_LEN > headers {
            return Err("section headers outside the headers");
        }
        let certificates = Self::certificate_len(image, optional, headers)?;
        let end_of_sections = Self::sections_end(image, sections_at, section_count, headers)?;
        let end = image.len() - certificates;
        if end_of_sections > end {
            return Err("sections run into the certificates");
        }
        let checksum = optional_at + CHECKSUM_AT;
        let entry = optional_at + DIRECTORIES_AT + CERTIFICATE_TABLE * DIRECTORY_LEN;
        let has_entry = u32_at(optional, DIRECTORY_COUNT_AT) as usize > CERTIFICATE_TABLE;
        // The sections are contiguous from the end of the headers, so they and what follows are one range.
        let hashed = if has_entry {
            vec![0..checksum, checksum + 4..entry, entry + DIRECTORY_LEN..end]
        } else {
            vec![0..checksum, checksum + 4..end]
        };
        Ok(Self { hashed })
    }

    /// Bytes of the certificates, which must end the image.
    fn certificate_len(image: &[u8], optional: &[u8], headers: usize) -> Result<usize, &'static str> {
        let count = u32_at(optional, DIRECTORY_COUNT_AT) as usize;
        if count <= CERTIFICATE_TABLE {
            return Ok(0);
        }
        let at = DIRECTORIES_AT + CERTIFICATE_TABLE * DIRECTORY_LEN;
        let entry = slice(optional, at, DIRECTORY_LEN)?;
        let (offset, len) = (u32_at(entry, 0) as usize, u32_at(entry, 4) as usize);
        if len == 0 && offset == 0 {
            return Ok(0);
        }
        if len == 0 || offset < headers || offset.checked_add(len) != Some(image.len()) {
            return Err("certificates not at the end");
        }
        Ok(len)
    }

    /// Where the last section ends; they must follow the headers and each other without a gap.
    fn sections_end(image: &[u8], at: usize, count: usize, headers: usize) -> Result<usize, &'static str> {
        let rows = slice(image, at, count * SECTION_LEN)?.chunks_exact(SECTION_LEN);
        let mut sections: Vec<(usize, usize)> = rows
            .map(|row| (u32_at(row, RAW_OFFSET_AT) as usize, u32_at(row, RAW_SIZE_AT) as usize))
            .filter(|(_, len)| *len > 0)
            .collect();
        sections.sort_unstable();
        sections.into_iter().try_fold(headers, |end, (start, len)| {
            if start != end {
                return Err("sections with a gap or an overlap");
            }
            start.checked_add(len).filter(|end| *end <= image.len()).ok_or("section outside the file")
        })
    }
}

/// Two bytes at `at`, little endian; zero where the caller proved no length.
fn half(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |half| u16::from_le_bytes(*half).into())
}

fn word(bytes: &[u8], at: usize) -> Result<u32, &'static str> {
    slice(bytes, at, 4).map(|word| u32_at(word, 0))
}

fn slice(bytes: &[u8], at: usize, len: usize) -> Result<&[u8], &'static str> {
    at.checked_add(len).and_then(|end| bytes.get(at..end)).ok_or("headers outside the file")
}
