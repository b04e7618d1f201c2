//! NVIDIA's own file formats: reports in hex or binary, and the JSON that its tools collect evidence in.
//!
//! Bytes come from the caller; nothing here opens a file. What a file says beside report and certificates (driver,
//! VBIOS, architecture) is not evidence: it chooses how a report is read, and the certificate decides.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::error::Category;

use super::pem::{self, PemError};
use super::report::field;
use super::spdm::{Exchange, REPORT_MAX_BYTES};
use crate::Hex;
use crate::evidence::{DeviceKind, EVIDENCE_MAX_BYTES};
use crate::policy::Architecture;

/// Most devices in one file: 16 GPUs, or 8 switches and more.
pub const FILE_DEVICES_MAX: usize = 16;
/// Only version of one entry that is known; older files have none.
const ENTRY_VERSION: &str = "1.0";

/// Why bytes are not evidence in one of NVIDIA's formats.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    #[error("{what}: expected at most {limit}, found {got}")]
    TooLarge { what: &'static str, limit: usize, got: usize },
    #[error("report: expected SPDM bytes or hex digits, found another byte at {at}")]
    ReportText { at: usize },
    #[error("report: expected an even number of hex digits, found {got}")]
    ReportDigits { got: usize },
    /// Not JSON, or not one of the known shapes: a list of entries, or a request with `evidence_list`.
    #[error("evidence: line {line}, column {column}: expected {expected}")]
    Shape { line: usize, column: usize, expected: &'static str },
    #[error("evidence {at}: {member}: expected {expected}")]
    Member { at: usize, member: &'static str, expected: &'static str },
    #[error("evidence {at}: {source}")]
    Certificates { at: usize, source: PemError },
    #[error("evidence: expected at least one device, found none")]
    NoDevice,
}

/// Evidence of one device, as a file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFile {
    /// As the file says; the certificate must say the same.
    pub architecture: Architecture,
    /// As the file says, where it does; the report must carry the same.
    pub nonce: Option<Hex<32>>,
    pub report: Vec<u8>,
    /// DER, leaf first.
    pub certificates: Vec<Vec<u8>>,
}

impl DeviceFile {
    pub fn kind(&self) -> DeviceKind {
        self.architecture.kind()
    }
}

/// A report as it is, or written in hex: digits of either case, white space only at the end.
pub fn report(bytes: &[u8]) -> Result<Vec<u8>, FileError> {
    /// First byte of every report; no hex digit.
    const SPDM_1_1: u8 = 0x11;
    let limit = 2 * REPORT_MAX_BYTES + 2;
    if bytes.len() > limit {
        return Err(FileError::TooLarge { what: "report bytes", limit, got: bytes.len() });
    }
    if bytes.first() == Some(&SPDM_1_1) {
        return Ok(bytes.to_vec());
    }
    let digits = bytes.trim_ascii_end();
    let nibbles: Vec<u8> = digits
        .iter()
        .enumerate()
        .map(|(at, &byte)| {
            let digit = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            digit.ok_or(FileError::ReportText { at })
        })
        .collect::<Result<_, _>>()?;
    let (pairs, rest) = nibbles.as_chunks::<2>();
    match rest {
        [] if !pairs.is_empty() => Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect()),
        _ => Err(FileError::ReportDigits { got: nibbles.len() }),
    }
}

/// Kind of device by what a report holds: only a GPU's names a driver. The certificate must say the same.
pub fn kind_of(report: &[u8]) -> DeviceKind {
    match Exchange::read(report) {
        Ok(exchange) if exchange.opaque(field::DRIVER).is_none() => DeviceKind::Switch,
        _ => DeviceKind::Gpu,
    }
}

/// The devices of an evidence file: a list of entries, or a request to NVIDIA's remote service.
pub fn evidence(json: &[u8]) -> Result<Vec<DeviceFile>, FileError> {
    let got = json.len();
    if got > EVIDENCE_MAX_BYTES {
        return Err(FileError::TooLarge { what: "evidence bytes", limit: EVIDENCE_MAX_BYTES, got });
    }
    let shape = |error: serde_json::Error| FileError::Shape {
        line: error.line(),
        column: error.column(),
        expected: match error.classify() {
            // The message would repeat what the file says, so the place must do.
            Category::Data => "the known members, each once and of its type",
            Category::Syntax | Category::Eof | Category::Io => "JSON",
        },
    };
    let entries: Vec<Entry> = match json.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice(json).map_err(shape)?,
        Some(b'{') => serde_json::from_slice::<Request>(json).map_err(shape)?.entries()?,
        _ => {
            let expected = "a list of entries, or a request with evidence_list";
            return Err(FileError::Shape { line: 1, column: 1, expected });
        }
    };
    within_devices(entries.len())?;
    if entries.is_empty() {
        return Err(FileError::NoDevice);
    }
    entries.into_iter().enumerate().map(|(at, entry)| entry.read(at)).collect()
}

fn within_devices(got: usize) -> Result<(), FileError> {
    let limit = FILE_DEVICES_MAX;
    if got <= limit { Ok(()) } else { Err(FileError::TooLarge { what: "devices", limit, got }) }
}

/// One device, as NVIDIA's collectors write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    arch: String,
    nonce: Option<String>,
    /// Report, base64.
    evidence: String,
    /// PEM, base64.
    certificate: String,
    version: Option<String>,
    /// As the driver's library told the collector; the report is what counts.
    #[serde(rename = "driver_version")]
    _driver_version: Option<String>,
    #[serde(rename = "vbios_version")]
    _vbios_version: Option<String>,
}

/// A request to the remote attestation service: one nonce and architecture for all devices.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    arch: String,
    nonce: String,
    evidence_list: Vec<Evidence>,
    #[serde(rename = "claims_version")]
    _claims_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    evidence: String,
    certificate: String,
    /// That of the request again.
    arch: Option<String>,
}

impl Request {
    /// One entry a device. They are counted first: each gets a copy of the nonce, which may be as long as the file.
    fn entries(self) -> Result<Vec<Entry>, FileError> {
        let Self { arch, nonce, evidence_list, .. } = self;
        within_devices(evidence_list.len())?;
        let other = |evidence: &Evidence| evidence.arch.as_ref().is_some_and(|own| *own != arch);
        if let Some(at) = evidence_list.iter().position(other) {
            return Err(FileError::Member { at, member: "arch", expected: "that of the request" });
        }
        let entry = |Evidence { evidence, certificate, .. }| Entry {
            arch: arch.clone(),
            nonce: Some(nonce.clone()),
            evidence,
            certificate,
            version: None,
            _driver_version: None,
            _vbios_version: None,
        };
        Ok(evidence_list.into_iter().map(entry).collect())
    }
}

impl Entry {
    fn read(self, at: usize) -> Result<DeviceFile, FileError> {
        let member = |member, expected| FileError::Member { at, member, expected };
        if self.version.is_some_and(|version| version != ENTRY_VERSION) {
            return Err(member("version", ENTRY_VERSION));
        }
        let architecture = match self.arch.as_str() {
            "HOPPER" => Architecture::Hopper,
            "BLACKWELL" => Architecture::Blackwell,
            "LS10" => Architecture::Ls10,
            _ => return Err(member("arch", "HOPPER, BLACKWELL or LS10")),
        };
        let nonce = self.nonce.map(|nonce| nonce.to_ascii_lowercase().parse()).transpose();
        let decode =
            |name, text: &str| STANDARD.decode(text).map_err(|_| member(name, "padded standard base64"));
        let report = decode("evidence", &self.evidence)?;
        let pem = decode("certificate", &self.certificate)?;
        Ok(DeviceFile {
            architecture,
            nonce: nonce.map_err(|_| member("nonce", "64 hex digits"))?,
            report,
            certificates: pem::certificates(&pem).map_err(|source| FileError::Certificates { at, source })?,
        })
    }
}
