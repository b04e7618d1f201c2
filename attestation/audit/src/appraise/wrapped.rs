//! What collectors and services put around the vendors' own bytes: taken off aloud, since nothing of it is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tiltyard_attestation::snp::{self, REPORT_LEN};

use super::form::{base64, hex, pem_blocks};
use super::read::{FileError, Input};

/// Azure's paravisor puts its header before the report, and its own runtime data behind it.
const HCL_MAGIC: &[u8] = b"HCLA";
const HCL_HEADER_LEN: usize = 32;

/// The SNP report in a file: itself, or within Azure's report.
pub(super) fn snp_report(content: Vec<u8>, notes: &mut Vec<String>) -> Vec<u8> {
    let within = content.get(HCL_HEADER_LEN..HCL_HEADER_LEN + REPORT_LEN);
    match within {
        Some(report) if content.starts_with(HCL_MAGIC) => {
            notes.push("the SNP report was taken out of a report of Azure's paravisor, whose runtime data was not looked at".to_owned());
            report.to_vec()
        }
        _ => content,
    }
}

/// Certificates, leaf first: DER, PEM, hex or base64, the table that a hypervisor hands to its guest, or the answer of
/// Azure's certificate service.
pub(super) fn certificates(input: &Input) -> Result<Vec<Vec<u8>>, FileError> {
    /// First bytes of its first row: the GUID of a VCEK or VLEK.
    const TABLE_BEGINS: [&[u8]; 2] =
        [b"\x63\xda\x75\x8d\xe6\x64\x45\x64", b"\xa8\x07\x4b\xc2\xa2\x5a\x48\x3e"];
    let is_table = |content: &[u8]| TABLE_BEGINS.iter().any(|guid| content.starts_with(guid));
    if input.starts_with(b'{') {
        return of_service(input);
    }
    match input.content() {
        Ok(content) if is_table(&content) => {
            snp::certificates_of_table(&content).map_err(|error| input.form("a certificate table", error))
        }
        _ => input.der(),
    }
}

fn of_service(input: &Input) -> Result<Vec<Vec<u8>>, FileError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        vcek_cert: String,
        certificate_chain: String,
    }
    const EXPECTED: &str = "certificates, or JSON with PEM in members vcekCert and certificateChain";
    let answer: Answer = serde_json::from_slice(input.text()).map_err(|error| input.form(EXPECTED, error))?;
    let mut all = pem_blocks(&answer.vcek_cert).map_err(|got| input.form(EXPECTED, got))?;
    all.extend(pem_blocks(&answer.certificate_chain).map_err(|got| input.form(EXPECTED, got))?);
    Ok(all)
}

/// The quote in a JSON answer of a guest's agent, where the file is one: member `quote` or `intel_quote`, in hex or
/// base64. What stands beside it is not looked at.
pub(super) fn quote(input: &Input, notes: &mut Vec<String>) -> Result<Option<Vec<u8>>, FileError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(alias = "intel_quote")]
        quote: String,
    }
    if !input.starts_with(b'{') {
        return Ok(None);
    }
    const EXPECTED: &str = "a quote, or JSON with one as hex or base64 in member quote";
    let answer: Answer = serde_json::from_slice(input.text()).map_err(|error| input.form(EXPECTED, error))?;
    let text = answer.quote.as_bytes();
    let bytes =
        hex(text).or_else(|| base64(text)).ok_or_else(|| input.form(EXPECTED, "another text there"))?;
    notes
        .push("the quote was taken out of a JSON answer; what stands beside it was not looked at".to_owned());
    Ok(Some(bytes))
}

/// The manifest in base64, where the file has it so: by itself, or as member `rim` of an answer of NVIDIA's service.
pub(super) fn manifest(input: &Input) -> Result<Option<Vec<u8>>, FileError> {
    #[derive(Deserialize)]
    struct Answer {
        rim: String,
    }
    if !input.starts_with(b'{') {
        return Ok(base64(input.text()));
    }
    const EXPECTED: &str = "a manifest, or an answer of NVIDIA's service with one as base64 in member rim";
    let answer: Answer = serde_json::from_slice(input.text()).map_err(|error| input.form(EXPECTED, error))?;
    let xml = STANDARD.decode(answer.rim.trim()).map_err(|_| input.form(EXPECTED, "another text there"))?;
    Ok(Some(xml))
}
