//! Genuine buffers of clouds, as their kernels handed them out, brought to what a verifier takes.

use std::fs;
use std::path::{Path, PathBuf};

use tiltyard_attestation::Hex;
use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_enclave::collect::Collector;

use crate::kernel::{Machine, Script};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/tdx");

/// The collection, or nothing with a word about it.
fn vectors() -> Option<PathBuf> {
    let folder = Path::new(VECTORS);
    if folder.is_dir() {
        return Some(folder.to_owned());
    }
    eprintln!("SKIPPED: the shared vector collection is absent");
    None
}

#[test]
fn cloud_quotes_are_trimmed_to_their_own_length() {
    let Some(folder) = vectors() else { return };
    // Name, bytes in the buffer, bytes of the quote, where its report data is.
    let quotes = [
        ("gotdx_cos-113-tdx-quote.dat", 8000, 4935, 568),
        ("gotdx_tdx_prod_quote_SPR_E4.dat", 4974, 4935, 568),
        ("dcapqvl_tdx_quote", 5006, 4936, 568),
        ("trustee_tdx_quote_4.dat", 4936, 4936, 568),
        ("trustee_tdx_quote_5.dat", 5006, 5006, 574),
    ];
    for (name, buffer_len, quote_len, at) in quotes {
        let buffer = fs::read(folder.join(name)).unwrap();
        assert_eq!(buffer.len(), buffer_len, "{name}");
        let machine = Machine::new();
        machine.serves(vec![Script::tdx(buffer.clone())]);
        fs::copy(folder.join("gotdx_ccel_table.dat"), machine.at("CCEL")).unwrap();
        fs::copy(folder.join("gotdx_ccel_data.dat"), machine.at("CCEL-data")).unwrap();
        let asked = Hex::from_slice(&buffer[at..at + 64]).unwrap();
        let collected = Collector::find(machine.places()).unwrap().cpu("entry", &asked).unwrap();
        let CpuEvidence::Tdx { quote, event_log } = collected.into_evidence() else { panic!("SNP") };
        assert_eq!(quote.0, buffer[..quote_len], "{name}");
        let memory = fs::read(folder.join("gotdx_ccel_data.dat")).unwrap();
        assert_eq!(event_log.0, memory[..18101], "43 events, and the rest is unused");
        assert!(memory[18101..].iter().all(|&byte| byte == 0xFF));
    }
}

#[test]
fn a_genuine_report_is_collected_as_it_is() {
    let Some(folder) = vectors() else { return };
    let report = fs::read(folder.join("../snp/gosev_milan_v2_report.bin")).unwrap();
    let machine = Machine::new();
    machine.serves(vec![Script::snp(report.clone(), Vec::new())]);
    let asked = Hex::from_slice(&report[0x50..0x90]).unwrap();
    let collected = Collector::find(machine.places()).unwrap().cpu("entry", &asked).unwrap();
    let CpuEvidence::Snp { report: collected, .. } = collected.into_evidence() else { panic!("TDX") };
    assert_eq!(collected.0, report);
}
