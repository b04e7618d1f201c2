//! SPDM 1.1 GET_MEASUREMENTS and MEASUREMENTS, as a driver hands them out: one after the other (DMTF DSP0274 1.1,
//! 10.11).
//!
//! All but the signature is signed, and every header byte is checked as well: nothing in a report is ignored.

use crate::Hex;
use crate::checks::Code;

/// Largest report, in bytes.
pub const REPORT_MAX_BYTES: usize = 8192;
/// Length of one measured value: SHA-384.
pub const VALUE_LEN: usize = 48;
/// Length of the request that the verifier's nonce stands in.
pub const REQUEST_LEN: usize = 37;
/// Most bytes of opaque data (DSP0274 1.1, MEASUREMENTS).
pub const OPAQUE_MAX_BYTES: usize = 1024;

const RESPONSE_HEAD_LEN: usize = 8;
const NONCE_LEN: usize = 32;
/// ECDSA P-384: r and s, big endian.
const SIGNATURE_LEN: usize = 96;
const VERSION_1_1: u8 = 0x11;
const GET_MEASUREMENTS: u8 = 0xE0;
const MEASUREMENTS: u8 = 0x60;
const SIGNATURE_REQUESTED: u8 = 0x01;
const ALL_MEASUREMENTS: u8 = 0xFF;
const SLOT_MAX: u8 = 7;
/// Last index of a measurement; those above are reserved or name other things (DSP0274 1.1, GET_MEASUREMENTS).
const INDEX_MAX: u8 = 0xEF;
/// MeasurementSpecification bit 0.
const DMTF: u8 = 1;
/// Immutable ROM, mutable firmware, hardware configuration, firmware configuration. Bit 7 would mean raw bytes.
const DIGEST_KIND_MAX: u8 = 3;
const VALUE_HEAD_LEN: usize = 3;
const BLOCK_LEN: usize = 4 + VALUE_HEAD_LEN + VALUE_LEN;
const FIELD_HEAD_LEN: usize = 4;

/// Why bytes are not a signed measurement report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpdmError {
    #[error("report: expected at most {limit} bytes, found {got}")]
    TooLarge { limit: usize, got: usize },
    #[error("report: expected {expected} bytes, as its lengths say, found {got}")]
    Length { expected: usize, got: usize },
    #[error("{field}: expected {expected:#04x}, found {got:#04x}")]
    Header { field: &'static str, expected: u8, got: u8 },
    #[error("measurement {place} in order: {field}: expected {expected}, found {got}")]
    Block { place: usize, field: &'static str, expected: usize, got: usize },
    #[error("measurement record: expected {expected} bytes in its blocks, found {got}")]
    Record { expected: usize, got: usize },
    #[error("opaque data: expected {expected} bytes, found {got}")]
    OpaqueLength { expected: usize, got: usize },
    #[error("measurement {index} stands twice")]
    DuplicateMeasurement { index: u8 },
    #[error("opaque field {kind} stands twice")]
    DuplicateOpaque { kind: u16 },
}

/// Which rule a report breaks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Total length (BND-09).
    Length,
    /// Headers, blocks, fields (GPU-01).
    Form,
    /// Nothing twice (GPU-02).
    Once,
}

impl SpdmError {
    /// The stable name of this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::ReportLength,
            Self::Length { expected, got } if got > expected => Code::TrailingBytes,
            Self::Length { .. } => Code::ReportLength,
            Self::Header { .. } | Self::Block { .. } | Self::Record { .. } => Code::SpdmFormat,
            Self::OpaqueLength { .. } => Code::OpaqueLength,
            Self::DuplicateMeasurement { .. } => Code::DuplicateMeasurement,
            Self::DuplicateOpaque { .. } => Code::DuplicateOpaque,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::TooLarge { .. } | Self::Length { .. } => Stage::Length,
            Self::DuplicateMeasurement { .. } | Self::DuplicateOpaque { .. } => Stage::Once,
            _ => Stage::Form,
        }
    }
}

/// A request and its response whose form is sound; nothing in them is believed yet.
#[derive(Debug, Clone)]
pub struct Exchange<'a> {
    signed: &'a [u8],
    signature: &'a [u8],
    nonce: Hex<32>,
    blocks: Vec<Block<'a>>,
    opaque: Vec<Field<'a>>,
}

/// One measured value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Counts from 1: index i of a reference manifest is block i + 1.
    pub index: u8,
    pub value: &'a [u8; VALUE_LEN],
}

/// One field of the opaque data: NVIDIA's `{type u16, size u16, data}`, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field<'a> {
    kind: u16,
    data: &'a [u8],
}

/// The nonce that a report's request carries, before anything is known of the report.
pub fn asked_nonce(report: &[u8]) -> Option<Hex<32>> {
    /// After version, code, attributes and index.
    const AT: usize = 4;
    Hex::from_slice(report.get(AT..AT + NONCE_LEN)?)
}

impl<'a> Exchange<'a> {
    /// Reads a report: exact total length, exact headers, exact inner lengths, nothing twice.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SpdmError> {
        let exchange = Self::read(bytes)?;
        exchange.each_once()?;
        Ok(exchange)
    }

    /// As [`Self::parse`], but for what stands twice.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, SpdmError> {
        let Frame { signed, record, opaque, signature } = Frame::measure(bytes)?;
        let mut head = Reader(signed);
        head.expect("request version", VERSION_1_1)?;
        head.expect("request code", GET_MEASUREMENTS)?;
        head.expect("request attributes", SIGNATURE_REQUESTED)?;
        head.expect("requested measurements", ALL_MEASUREMENTS)?;
        let nonce = Hex(head.array().unwrap_or_default());
        let slot = head.u8().unwrap_or_default();
        if slot > SLOT_MAX {
            return Err(SpdmError::Header { field: "request slot", expected: SLOT_MAX, got: slot });
        }
        head.expect("response version", VERSION_1_1)?;
        head.expect("response code", MEASUREMENTS)?;
        head.expect("response parameter 1", 0)?;
        head.expect("response slot", slot)?;
        let count = head.u8().unwrap_or_default();
        Ok(Self { signed, signature, nonce, blocks: blocks(record, count)?, opaque: fields(opaque)? })
    }

    /// No measurement index and no opaque type stands twice (GPU-02).
    pub(super) fn each_once(&self) -> Result<(), SpdmError> {
        for (at, block) in self.blocks.iter().enumerate() {
            if self.blocks.iter().take(at).any(|earlier| earlier.index == block.index) {
                return Err(SpdmError::DuplicateMeasurement { index: block.index });
            }
        }
        for (at, field) in self.opaque.iter().enumerate() {
            if self.opaque.iter().take(at).any(|earlier| earlier.kind == field.kind) {
                return Err(SpdmError::DuplicateOpaque { kind: field.kind });
            }
        }
        Ok(())
    }

    /// The bytes under the signature, as received: all but the last 96.
    pub fn signed(&self) -> &'a [u8] {
        self.signed
    }

    /// r then s, big endian, 48 bytes each.
    pub fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// The verifier's nonce, as the request carries it.
    pub fn nonce(&self) -> Hex<32> {
        self.nonce
    }

    /// Measured values in the order of the report.
    pub fn blocks(&self) -> &[Block<'a>] {
        &self.blocks
    }

    /// The value of the block with this index, which counts from 1.
    pub fn value(&self, index: u8) -> Option<&'a [u8; VALUE_LEN]> {
        self.blocks.iter().find(|block| block.index == index).map(|block| block.value)
    }

    /// Data of the opaque field of this type.
    pub fn opaque(&self, kind: u16) -> Option<&'a [u8]> {
        self.opaque.iter().find(|field| field.kind == kind).map(|field| field.data)
    }
}

/// A report by its lengths alone.
struct Frame<'a> {
    signed: &'a [u8],
    record: &'a [u8],
    opaque: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Request, response head, record, responder's nonce, opaque data, signature, and not one byte more.
    fn measure(bytes: &'a [u8]) -> Result<Self, SpdmError> {
        let got = bytes.len();
        if got > REPORT_MAX_BYTES {
            return Err(SpdmError::TooLarge { limit: REPORT_MAX_BYTES, got });
        }
        let short = |expected| SpdmError::Length { expected, got };
        let record_at = REQUEST_LEN + RESPONSE_HEAD_LEN;
        let empty_len = record_at + NONCE_LEN + 2 + SIGNATURE_LEN;
        let mut reader = Reader(bytes);
        reader.skip(record_at - 3).ok_or_else(|| short(empty_len))?;
        let record_len = reader.u24().ok_or_else(|| short(empty_len))?;
        let record = reader.take(record_len).ok_or_else(|| short(empty_len + record_len))?;
        reader.skip(NONCE_LEN).ok_or_else(|| short(empty_len + record_len))?;
        let opaque_len = usize::from(reader.u16().ok_or_else(|| short(empty_len + record_len))?);
        let expected = empty_len + record_len + opaque_len;
        let opaque = reader.take(opaque_len).ok_or_else(|| short(expected))?;
        let signature = reader.0;
        let (true, Some(signed)) = (got == expected, bytes.get(..expected - SIGNATURE_LEN)) else {
            return Err(short(expected));
        };
        Ok(Self { signed, record, opaque, signature })
    }
}

/// Measurement blocks: index u8, specification u8, size u16, value type u8, value size u16, value.
fn blocks(record: &[u8], count: u8) -> Result<Vec<Block<'_>>, SpdmError> {
    let mut reader = Reader(record);
    let mut blocks = Vec::with_capacity(usize::from(count));
    for place in 0..usize::from(count) {
        let cut = || SpdmError::Record { expected: BLOCK_LEN * usize::from(count), got: record.len() };
        let index = reader.u8().ok_or_else(cut)?;
        let specification = reader.u8().ok_or_else(cut)?;
        let size = usize::from(reader.u16().ok_or_else(cut)?);
        let kind = reader.u8().ok_or_else(cut)?;
        let value_size = usize::from(reader.u16().ok_or_else(cut)?);
        let value: &[u8; VALUE_LEN] =
            reader.take(VALUE_LEN).and_then(|v| v.try_into().ok()).ok_or_else(cut)?;
        let field = |field, expected, got: usize, holds: bool| {
            if holds { Ok(()) } else { Err(SpdmError::Block { place, field, expected, got }) }
        };
        let most = usize::from(INDEX_MAX);
        field("index, from 1", most, index.into(), (1..=INDEX_MAX).contains(&index))?;
        field("specification", DMTF.into(), specification.into(), specification == DMTF)?;
        field("size", VALUE_HEAD_LEN + VALUE_LEN, size, size == VALUE_HEAD_LEN + VALUE_LEN)?;
        field("digest type, at most", DIGEST_KIND_MAX.into(), kind.into(), kind <= DIGEST_KIND_MAX)?;
        field("value size", VALUE_LEN, value_size, value_size == VALUE_LEN)?;
        blocks.push(Block { index, value });
    }
    if reader.0.is_empty() {
        Ok(blocks)
    } else {
        Err(SpdmError::Record { expected: record.len() - reader.0.len(), got: record.len() })
    }
}

/// Opaque fields, which fill the opaque data exactly.
fn fields(opaque: &[u8]) -> Result<Vec<Field<'_>>, SpdmError> {
    if opaque.len() > OPAQUE_MAX_BYTES {
        return Err(SpdmError::OpaqueLength { expected: OPAQUE_MAX_BYTES, got: opaque.len() });
    }
    let mut reader = Reader(opaque);
    let mut fields = Vec::new();
    while !reader.0.is_empty() {
        let at = opaque.len() - reader.0.len();
        let cut =
            |len: usize| SpdmError::OpaqueLength { expected: at + FIELD_HEAD_LEN + len, got: opaque.len() };
        let kind = reader.u16().ok_or_else(|| cut(0))?;
        let len = usize::from(reader.u16().ok_or_else(|| cut(0))?);
        let data = reader.take(len).ok_or_else(|| cut(len))?;
        fields.push(Field { kind, data });
    }
    Ok(fields)
}

/// What is left to read; little endian.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u24(&mut self) -> Option<usize> {
        self.array()
            .map(|[low, mid, high]| usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low))
    }

    /// One byte that has one value.
    fn expect(&mut self, field: &'static str, expected: u8) -> Result<(), SpdmError> {
        let got = self.u8().unwrap_or(!expected);
        if got == expected { Ok(()) } else { Err(SpdmError::Header { field, expected, got }) }
    }
}
