//! The vendors' own file formats: report as hex, chain as PEM, the collector's JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Spelled;
use super::draft::{DeviceEvidence, EvidenceSet};

/// Characters of one line of base64 in PEM and in manifests.
const LINE: usize = 64;

/// A report file: lower-case hex, no line end.
pub fn report_txt(evidence: &DeviceEvidence) -> String {
    hex(&evidence.report)
}

/// A chain file: PEM, leaf first, no line end after the last.
pub fn chain_txt(chain: &[Vec<u8>]) -> String {
    let blocks: Vec<String> = chain
        .iter()
        .map(|der| format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----", base64_lines(der)))
        .collect();
    blocks.join("\n")
}

/// The collector's evidence file: one object a device, members in alphabetical order.
pub fn evidence_json(evidence: &[DeviceEvidence]) -> String {
    let rows: Vec<Value> = (evidence.iter())
        .map(|one| {
            json!({
                "arch": one.device.architecture.evidence_name(),
                "certificate": STANDARD.encode(chain_txt(&one.chain) + "\n"),
                "evidence": STANDARD.encode(&one.report),
                "nonce": hex(&one.nonce),
            })
        })
        .collect();
    format!("{:#}\n", Value::Array(rows))
}

/// Every file of a set, by name: reports, chains, evidence, manifests, OCSP answers, the two roots.
pub fn files(set: &EvidenceSet) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (place, one) in set.evidence.iter().enumerate() {
        let name = format!("{}{place}", one.device.architecture.evidence_name().to_lowercase());
        files.push((format!("{name}AttestationReport.txt"), report_txt(one).into_bytes()));
        files.push((format!("{name}CertChain.txt"), chain_txt(&one.chain).into_bytes()));
    }
    let (switches, gpus): (Vec<_>, Vec<_>) =
        set.evidence.iter().cloned().partition(|one| one.device.architecture.is_switch());
    for (name, part) in [("gpu_evidence.json", gpus), ("switch_evidence.json", switches)] {
        if !part.is_empty() {
            files.push((name.to_owned(), evidence_json(&part).into_bytes()));
        }
    }
    files.extend(set.rims.iter().map(|rim| (format!("{}.xml", rim.id), rim.xml.clone().into_bytes())));
    for answer in &set.answers {
        files.push((format!("ocsp-{}.der", hex(&answer.serial)), answer.der.clone()));
    }
    for (name, root) in [("device_root.pem", &set.device_root), ("rim_root.pem", &set.rim_root)] {
        files.push((name.to_owned(), (chain_txt(std::slice::from_ref(root)) + "\n").into_bytes()));
    }
    files
}

/// Base64 in lines of 64 characters, each with its line end.
pub(crate) fn base64_lines(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (at, character) in STANDARD.encode(bytes).chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            out.push('\n');
        }
        out.push(character);
    }
    out.push('\n');
    out
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
