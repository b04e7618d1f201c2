//! What collectors and services put around the vendors' own bytes: taken off aloud, since nothing of it is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tiltyard_attestation::snp::{self, REPORT_LEN};

use super::form::{base64, hex, is_der, is_quote, pem_blocks};
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
pub(super) fn certificates(input: &Input, notes: &mut Vec<String>) -> Result<Vec<Vec<u8>>, FileError> {
    if input.starts_with(b'{') {
        notes.push("the certificates were taken out of a JSON answer of a certificate service".to_owned());
        return of_service(input);
    }
    match input.content() {
        Ok(content) if snp::is_certificate_table(&content) => {
            notes.push(
                "the certificates were taken out of a table that a hypervisor handed to its guest".to_owned(),
            );
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
    let blocks = |text: &str| match pem_blocks(text) {
        Ok(blocks) if blocks.iter().all(|block| is_der(block)) => Ok(blocks),
        Ok(_) => Err(input.form(EXPECTED, "PEM blocks that are not DER")),
        Err(got) => Err(input.form(EXPECTED, got)),
    };
    let (mut all, chain) = (blocks(&answer.vcek_cert)?, blocks(&answer.certificate_chain)?);
    if all.len() != 1 {
        return Err(input.form("one certificate in member vcekCert", all.len()));
    }
    all.extend(chain);
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
    let bytes = hex(text).or_else(|| base64(text)).filter(|bytes| is_quote(bytes));
    let bytes = bytes.ok_or_else(|| input.form(EXPECTED, "another text there"))?;
    notes
        .push("the quote was taken out of a JSON answer; what stands beside it was not looked at".to_owned());
    Ok(Some(bytes))
}

/// The manifest in base64, where the file has it so: by itself, or as member `rim` of an answer of NVIDIA's service.
pub(super) fn manifest(input: &Input, notes: &mut Vec<String>) -> Result<Option<Vec<u8>>, FileError> {
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
    notes.push("a manifest was taken out of a JSON answer of NVIDIA's service".to_owned());
    Ok(Some(xml))
}
