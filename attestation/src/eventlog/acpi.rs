//! The ACPI table that says where the log lies (ACPI 6.5 section 5.2.34, CCEL).

use crate::cursor::Cursor;

/// Exact size of a table, in bytes.
pub const CCEL_TABLE_LEN: usize = 56;

const SIGNATURE: &[u8; 4] = b"CCEL";
const REVISION: u8 = 1;
/// Kind of confidential computing: Intel TDX.
const TDX: u8 = 2;

/// Where the host says that the log lies. Host input: it may point a reader anywhere, and proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CcelTable {
    /// Size of the area, in bytes.
    pub len_bytes: u64,
    /// Guest physical address of the area.
    pub address: u64,
}

/// Why bytes are no CCEL table of a TD.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CcelTableError {
    #[error("expected a table of {CCEL_TABLE_LEN} bytes, found {got}")]
    Length { got: usize },
    #[error("expected another {what} in the table")]
    Field { what: &'static str },
    #[error("expected bytes that add up to 0, found {got}")]
    Checksum { got: u8 },
    #[error("expected an area of at most {limit} bytes, found {got}")]
    Area { limit: usize, got: u64 },
}

impl CcelTable {
    /// Reads a whole table.
    pub fn parse(bytes: &[u8]) -> Result<Self, CcelTableError> {
        let length = CcelTableError::Length { got: bytes.len() };
        let table: &[u8; CCEL_TABLE_LEN] = bytes.try_into().map_err(|_| length.clone())?;
        let checksum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let field = |what| CcelTableError::Field { what };
        let mut cursor = Cursor::new(table);
        if cursor.array() != Some(SIGNATURE) {
            return Err(field("signature"));
        }
        if cursor.u32().map(|len| len as usize) != Some(CCEL_TABLE_LEN) {
            return Err(field("length"));
        }
        if cursor.u8() != Some(REVISION) {
            return Err(field("revision"));
        }
        if checksum != 0 {
            return Err(CcelTableError::Checksum { got: checksum });
        }
        // The checksum itself, then the names and revisions of maker and tool.
        cursor.array::<27>().ok_or(length.clone())?;
        if cursor.u8() != Some(TDX) {
            return Err(field("kind than TDX"));
        }
        // Subtype and reserved bytes say nothing about TDX.
        cursor.array::<3>().ok_or(length.clone())?;
        let len_bytes = cursor.u64().ok_or(length.clone())?;
        let address = cursor.u64().ok_or(length)?;
        if len_bytes > super::EVENT_LOG_MAX_BYTES as u64 {
            return Err(CcelTableError::Area { limit: super::EVENT_LOG_MAX_BYTES, got: len_bytes });
        }
        Ok(Self { len_bytes, address })
    }
}
