//! The structure of a DCAP quote, versions 4 and 5, little endian (Intel TDX DCAP Quoting Library API, appendix
//! "Quote format"; `sgx_quote_4.h`, `sgx_quote_5.h`).

use super::body::{Body, BodyKind};
use super::pem::{self, PemError};
use super::qe::QeReport;
use crate::Hex;
use crate::checks::{CheckId, Code};
use crate::cursor::Cursor;
use crate::trace::{Judged, Stopped, Trace};

/// Largest quote, in bytes.
pub const QUOTE_MAX_BYTES: usize = 16 * 1024;

const HEADER_LEN: usize = 48;
/// Version 5 says after the header of which type and size the body is.
const BODY_DESCRIPTOR_LEN: usize = 6;
const KEY_TYPE_ECDSA_P256: u16 = 2;
const TEE_TDX: u32 = 0x81;
const VENDOR_INTEL: Hex<16> =
    Hex([0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07]);
/// Certification data: a quoting enclave's report, and what certifies that enclave.
const CERTIFIED_QE_REPORT: u16 = 6;
/// Certification data: the PCK certificate chain, PEM.
const CERTIFIED_PCK_CHAIN: u16 = 5;

/// A quote whose structure is sound; nothing in it is believed yet.
#[derive(Debug, Clone)]
pub struct Quote<'a> {
    version: Version,
    body: Body<'a>,
    /// Header and body, as received.
    pub(super) signed: &'a [u8],
    /// By the attestation key over `signed`: r then s.
    pub(super) signature: &'a [u8; 64],
    /// Affine coordinates of the attestation key: x then y.
    pub(super) attestation_key: &'a [u8; 64],
    pub(super) qe_report: QeReport<'a>,
    /// By the PCK over the QE report: r then s.
    pub(super) qe_signature: &'a [u8; 64],
    /// What the quoting enclave binds beside the attestation key.
    pub(super) qe_auth: &'a [u8],
    /// DER, leaf first, when the PEM text stands in its one form.
    pub(super) certificates: Result<Vec<Vec<u8>>, PemError>,
}

/// Versions that TDX quotes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V5,
}

/// Why bytes are not a TDX quote. Lengths in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuoteError {
    #[error("expected {expected} bytes of {what}, found {got}")]
    TooShort { what: &'static str, expected: usize, got: usize },
    #[error("expected at most {limit} bytes, found {got}")]
    TooLarge { limit: usize, got: usize },
    #[error("expected TEE type 0x81 (TDX), found {got:#x}\n  an SGX quote shows no trust domain")]
    WrongTee { got: u32 },
    #[error("expected quote version 4 or 5, found {got}")]
    Version { got: u16 },
    #[error("expected attestation key type 2 (ECDSA P-256), found {got}")]
    KeyType { got: u16 },
    #[error("expected quoting enclave vendor {VENDOR_INTEL}, found {got}")]
    Vendor { got: Hex<16> },
    #[error("expected a quote of {expected} bytes, found {got}")]
    Truncated { expected: usize, got: usize },
    #[error(
        "expected a quote of {expected} bytes, found {got}\n  trim the buffer to the length that the quote declares"
    )]
    TrailingBytes { expected: usize, got: usize },
    #[error("expected a TD report body (type 2, 3 or 4), found type {got}")]
    BodyType { got: u16 },
    #[error("expected a body of {expected} bytes, found {got}")]
    BodySize { expected: usize, got: usize },
    #[error("expected certification data of type {expected}, found {got}")]
    CertificationType { expected: u16, got: u16 },
    #[error("expected {what} to end with the quote, found {got} bytes after it")]
    InnerTrailing { what: &'static str, got: usize },
}

impl QuoteError {
    /// The stable name of this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::WrongTee { .. } => Code::WrongTee,
            Self::Version { .. } => Code::QuoteVersion,
            Self::TooLarge { .. } | Self::Truncated { .. } => Code::ReportLength,
            Self::TrailingBytes { .. } | Self::InnerTrailing { .. } => Code::TrailingBytes,
            Self::TooShort { .. }
            | Self::KeyType { .. }
            | Self::Vendor { .. }
            | Self::BodyType { .. }
            | Self::BodySize { .. }
            | Self::CertificationType { .. } => Code::QuoteFormat,
        }
    }
}

/// Length of the quote that `bytes` begin with, as its own length fields say: what a collector trims to.
///
/// A verifier never trims: it compares.
pub fn declared_len(bytes: &[u8]) -> Result<usize, QuoteError> {
    let body_end = body_end(header(bytes)?, bytes)?;
    let mut after = Cursor::new(bytes.get(body_end..).unwrap_or_default());
    let truncated = QuoteError::Truncated { expected: body_end + 4, got: bytes.len() };
    let signature_data = after.u32().ok_or(truncated)?;
    Ok(body_end.saturating_add(4).saturating_add(signature_data as usize))
}

impl<'a> Quote<'a> {
    /// Reads the structure: header, lengths, types (TDX-01, BND-09, TDX-02).
    pub fn parse(bytes: &'a [u8], trace: &mut Trace) -> Result<Self, Stopped> {
        let version = header(bytes);
        trace.gate(
            CheckId::Tdx01,
            match &version {
                Ok(version) => Judged::pass("version 4 or 5, TEE type 0x81", version.number()),
                Err(error) => Judged::fail(error.code(), "version 4 or 5, TEE type 0x81", error),
            },
        )?;
        let version = version.map_err(|_| Stopped)?;
        trace.exact_length(match exact_length(bytes) {
            Ok(()) => Judged::pass(format_args!("{} bytes", bytes.len()), "the same"),
            Err(error) => Judged::fail(error.code(), "the length that the quote declares", error),
        })?;
        let quote = Self::split(version, bytes);
        trace.gate(
            CheckId::Tdx02,
            match &quote {
                Ok(quote) => Judged::pass("a TD report body, certification data 6 and 5", quote.body.kind()),
                Err(error) => {
                    Judged::fail(error.code(), "a TD report body, certification data 6 and 5", error)
                }
            },
        )?;
        quote.map_err(|_| Stopped)
    }

    /// Takes the quote apart, to its last byte.
    fn split(version: Version, bytes: &'a [u8]) -> Result<Self, QuoteError> {
        let mut cursor = Cursor::new(bytes);
        take(&mut cursor, HEADER_LEN, "header")?;
        let kind = match version {
            Version::V4 => BodyKind::Td10,
            Version::V5 => body_descriptor(&mut cursor)?,
        };
        let bytes_of_body = take(&mut cursor, kind.len(), "TD report body")?;
        let wrong_size = QuoteError::BodySize { expected: kind.len(), got: bytes_of_body.len() };
        let body = Body::read(kind, bytes_of_body).ok_or(wrong_size)?;
        let (signed, _) = bytes.split_at(bytes.len() - cursor.rest().len());
        let mut data = Cursor::new(sized(&mut cursor, "signature data")?);
        let signature = array(&mut data, "signature")?;
        let attestation_key = array(&mut data, "attestation key")?;
        certification_type(&mut data, CERTIFIED_QE_REPORT)?;
        let mut certified = Cursor::new(sized(&mut data, "certification data")?);
        let qe_report = QeReport(array(&mut certified, "QE report")?);
        let qe_signature = array(&mut certified, "QE report signature")?;
        let auth_len = certified.u16().ok_or(short("QE authentication data", 2, &certified))?;
        let qe_auth = take(&mut certified, auth_len.into(), "QE authentication data")?;
        certification_type(&mut certified, CERTIFIED_PCK_CHAIN)?;
        let chain = sized(&mut certified, "PCK chain")?;
        Ok(Self {
            version,
            body,
            signed,
            signature,
            attestation_key,
            qe_report,
            qe_signature,
            qe_auth,
            certificates: pem::certificates(chain),
        })
    }

    /// 4 or 5.
    pub(crate) fn version(&self) -> u16 {
        self.version.number()
    }

    /// REPORT_DATA of the TD report.
    pub(crate) fn report_data(&self) -> Hex<64> {
        self.body.report_data()
    }

    /// MRCONFIGID of the TD report.
    pub(crate) fn mrconfigid(&self) -> Hex<48> {
        self.body.mrconfigid()
    }

    /// The TD report within.
    pub(crate) fn body(&self) -> &Body<'a> {
        &self.body
    }

    /// The attestation key as an uncompressed point.
    pub(super) fn attestation_point(&self) -> [u8; 65] {
        let mut point = [4; 65];
        if let Some(coordinates) = point.get_mut(1..) {
            coordinates.copy_from_slice(self.attestation_key);
        }
        point
    }
}

impl Version {
    fn number(self) -> u16 {
        match self {
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }
}

/// Version, key type, TEE type and vendor. The TEE type goes first: an SGX quote is named for what it is.
fn header(bytes: &[u8]) -> Result<Version, QuoteError> {
    let too_short = QuoteError::TooShort { what: "header", expected: HEADER_LEN, got: bytes.len() };
    let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(too_short.clone())?;
    let mut cursor = Cursor::new(header);
    let version = cursor.u16().ok_or(too_short.clone())?;
    let key_type = cursor.u16().ok_or(too_short.clone())?;
    let tee = cursor.u32().ok_or(too_short.clone())?;
    // Versions of the quoting and provisioning enclaves: their certified values are elsewhere.
    let _svns = cursor.u32();
    let vendor = Hex(*cursor.array().ok_or(too_short)?);
    // Version 3 quotes have zero here, which is SGX.
    if tee != TEE_TDX {
        return Err(QuoteError::WrongTee { got: tee });
    }
    let version = match version {
        4 => Version::V4,
        5 => Version::V5,
        got => return Err(QuoteError::Version { got }),
    };
    if key_type != KEY_TYPE_ECDSA_P256 {
        return Err(QuoteError::KeyType { got: key_type });
    }
    if vendor != VENDOR_INTEL {
        return Err(QuoteError::Vendor { got: vendor });
    }
    Ok(version)
}

fn exact_length(bytes: &[u8]) -> Result<(), QuoteError> {
    let (expected, got) = (declared_len(bytes)?, bytes.len());
    if got > QUOTE_MAX_BYTES {
        return Err(QuoteError::TooLarge { limit: QUOTE_MAX_BYTES, got });
    }
    match got.cmp(&expected) {
        std::cmp::Ordering::Less => Err(QuoteError::Truncated { expected, got }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(QuoteError::TrailingBytes { expected, got }),
    }
}

/// Offset of the signature data. A body of a known type has that type's size, whatever version 5 says of it.
fn body_end(version: Version, bytes: &[u8]) -> Result<usize, QuoteError> {
    if version == Version::V4 {
        return Ok(HEADER_LEN + BodyKind::Td10.len());
    }
    let start = HEADER_LEN + BODY_DESCRIPTOR_LEN;
    let truncated = QuoteError::Truncated { expected: start, got: bytes.len() };
    let mut cursor = Cursor::new(bytes.get(HEADER_LEN..).ok_or(truncated.clone())?);
    let kind = cursor.u16().ok_or(truncated.clone())?;
    let stated = cursor.u32().ok_or(truncated)? as usize;
    Ok(start.saturating_add(BodyKind::of(kind).map_or(stated, BodyKind::len)))
}

fn body_descriptor(cursor: &mut Cursor<'_>) -> Result<BodyKind, QuoteError> {
    let too_short = short("body descriptor", BODY_DESCRIPTOR_LEN, cursor);
    let kind = cursor.u16().ok_or(too_short.clone())?;
    let got = cursor.u32().ok_or(too_short)? as usize;
    let kind = BodyKind::of(kind).ok_or(QuoteError::BodyType { got: kind })?;
    if got == kind.len() { Ok(kind) } else { Err(QuoteError::BodySize { expected: kind.len(), got }) }
}

fn certification_type(cursor: &mut Cursor<'_>, expected: u16) -> Result<(), QuoteError> {
    let got = cursor.u16().ok_or(short("certification data type", 2, cursor))?;
    if got == expected { Ok(()) } else { Err(QuoteError::CertificationType { expected, got }) }
}

/// A part behind a length of four bytes, which must reach exactly to the end of what holds it.
fn sized<'a>(cursor: &mut Cursor<'a>, what: &'static str) -> Result<&'a [u8], QuoteError> {
    let len = cursor.u32().ok_or(short(what, 4, cursor))?;
    let part = take(cursor, len as usize, what)?;
    match cursor.rest().len() {
        0 => Ok(part),
        got => Err(QuoteError::InnerTrailing { what, got }),
    }
}

fn take<'a>(cursor: &mut Cursor<'a>, len: usize, what: &'static str) -> Result<&'a [u8], QuoteError> {
    cursor.take(len).ok_or(short(what, len, cursor))
}

fn array<'a, const N: usize>(cursor: &mut Cursor<'a>, what: &'static str) -> Result<&'a [u8; N], QuoteError> {
    cursor.array().ok_or(short(what, N, cursor))
}

fn short(what: &'static str, expected: usize, cursor: &Cursor<'_>) -> QuoteError {
    QuoteError::TooShort { what, expected, got: cursor.rest().len() }
}
