//! GPUs on the bus and in the driver's words, with a script in the reader's place.

use std::fs;
use std::os::unix::fs::symlink;

use tiltyard_attestation::binding::{DeviceState, Switched};
use tiltyard_attestation::evidence::{DeviceEvidence, DeviceKind};
use tiltyard_attestation::{Base64Bytes, Hex};
use tiltyard_enclave::collect::{CollectError, Collector, GpuFacts};

use crate::kernel::{Machine, Script, report};

pub(crate) const NONCE: Hex<32> = Hex([0x77; 32]);
const NVIDIA: &str = "0x10de\n";
const CONTROLLER_3D: &str = "0x030200\n";

/// One function on the bus, as the kernel shows it: a link to the device's own folder.
pub(crate) fn plug(machine: &Machine, slot: &str, vendor: &str, class: &str) {
    let own = machine.at("devices").join(slot);
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("vendor"), vendor).unwrap();
    fs::write(own.join("class"), class).unwrap();
    fs::create_dir_all(machine.at("pci")).unwrap();
    symlink(own, machine.at("pci").join(slot)).unwrap();
}

fn machine_with(gpus: usize) -> Machine {
    let machine = Machine::new();
    for gpu in 0..gpus {
        plug(&machine, &format!("0000:{gpu:02x}:00.0"), NVIDIA, CONTROLLER_3D);
    }
    machine
}

pub(crate) fn collector(machine: &Machine) -> Collector {
    if !machine.at("tsm").exists() {
        machine.serves(vec![Script::snp(report(1), Vec::new())]);
    }
    Collector::find(machine.places()).unwrap()
}

fn facts(machine: &Machine) -> Result<GpuFacts, CollectError> {
    collector(machine).gpu_facts()
}

/// What a reader says of one GPU.
fn said(cc_mode: &str, devtools: &str, evidence: Option<(&[u8], &[u8])>) -> String {
    let base64 = |bytes: &[u8]| serde_json::to_string(&Base64Bytes(bytes.to_vec())).unwrap();
    let evidence = evidence.map_or("null".to_owned(), |(report, chain)| {
        format!(r#"{{"report":{},"chain":{}}}"#, base64(report), base64(chain))
    });
    format!(
        r#"{{"cc_mode":"{cc_mode}","protected_pcie":"off","devtools":"{devtools}","evidence":{evidence}}}"#
    )
}

fn says(machine: &Machine, gpus: &[String]) {
    machine.reader(&format!("echo '{{\"answer\":[{}]}}'", gpus.join(",")));
}

fn report_over(nonce: &Hex<32>, len: usize) -> Vec<u8> {
    let mut report = vec![0x11, 0xE0, 0x01, 0xFF];
    report.extend_from_slice(nonce.bytes());
    report.resize(len, 0x33);
    report
}

#[test]
fn a_guest_without_gpus_asks_nobody() {
    // No bus at all, an empty one, and one with other things on it; no reader is there to be asked.
    let none = machine_with(0);
    assert_eq!(facts(&none).unwrap().pci(), 0);
    fs::create_dir(none.at("pci")).unwrap();
    assert_eq!(facts(&none).unwrap().pci(), 0);
    plug(&none, "0000:00:00.0", "0x8086\n", "0x060000\n");
    plug(&none, "0000:00:01.0", "0x1af4\n", "0x030000\n");
    plug(&none, "0000:00:02.0", NVIDIA, "0x040300\n");
    plug(&none, "0000:00:03.0", NVIDIA, "0x068000\n");
    let facts = facts(&none).unwrap();
    assert_eq!((facts.pci(), facts.driver().len()), (0, 0), "sound and switches are no GPUs");
    assert_eq!(collector(&none).gpus(&facts, &NONCE).unwrap(), Vec::<DeviceEvidence>::new());
}

#[test]
fn modes_come_in_the_drivers_order() {
    let machine = machine_with(2);
    says(&machine, &[said("on", "off", None), said("off", "on", None)]);
    let facts = facts(&machine).unwrap();
    let state = |cc_mode, devtools| DeviceState { cc_mode, protected_pcie: Switched::Off, devtools };
    let expected = [state(Switched::On, Switched::Off), state(Switched::Off, Switched::On)];
    assert_eq!((facts.pci(), facts.driver()), (2, &expected[..]));
}

#[test]
fn bus_and_driver_must_count_the_same() {
    for (bus, driver) in [(1, 0), (2, 1), (1, 2), (8, 7)] {
        let machine = machine_with(bus);
        says(&machine, &vec![said("on", "off", None); driver]);
        let error = facts(&machine).unwrap_err();
        let CollectError::DeviceCount { pci, driver: named } = error else { panic!("{error}") };
        assert_eq!((pci, named), (bus, driver));
    }
    let machine = machine_with(2);
    says(&machine, &vec![said("on", "off", None); 2]);
    let (collector, facts) = (collector(&machine), facts(&machine).unwrap());
    says(&machine, &[said("on", "off", Some((&report_over(&NONCE, 64), b"pem")))]);
    let error = collector.gpus(&facts, &NONCE).unwrap_err();
    assert!(matches!(error, CollectError::DeviceCount { pci: 2, driver: 1 }), "one has gone since: {error}");
}

#[test]
fn more_gpus_than_a_guest_has_are_refused() {
    let error = facts(&machine_with(17)).unwrap_err();
    assert!(matches!(error, CollectError::TooLarge { what: "GPUs", limit: 16 }), "{error}");
}

#[test]
fn bus_attributes_that_are_not_the_kernels_are_refused() {
    for vendor in ["0x10de\0\n", "0x10de\n\n", "0x10 de\n"] {
        let machine = Machine::new();
        plug(&machine, "0000:00:00.0", vendor, CONTROLLER_3D);
        let error = facts(&machine).unwrap_err();
        assert!(matches!(error, CollectError::Format { what: "PCI vendor", .. }), "{vendor:?}: {error}");
    }
    let machine = Machine::new();
    plug(&machine, "0000:00:00.0", &"f".repeat(65), CONTROLLER_3D);
    assert!(matches!(facts(&machine), Err(CollectError::TooLarge { what: "PCI vendor", .. })));
    let machine = machine_with(1);
    fs::remove_file(machine.at("devices/0000:00:00.0/class")).unwrap();
    assert!(matches!(facts(&machine), Err(CollectError::Io { step: "PCI class", .. })));
}

#[test]
fn modes_that_are_neither_on_nor_off_are_no_answer() {
    for said in
        [said("On", "off", None), said("on", "", None), said("on", "unknown", None), "null".to_owned()]
    {
        let machine = machine_with(1);
        says(&machine, std::slice::from_ref(&said));
        let error = facts(&machine).unwrap_err();
        assert!(matches!(error, CollectError::Reader { device: "GPU", .. }), "{said}: {error}");
    }
}

fn evidence_of(report: &[u8], chain: &[u8]) -> Result<Vec<DeviceEvidence>, CollectError> {
    let machine = machine_with(1);
    says(&machine, &[said("on", "off", None)]);
    let (collector, facts) = (collector(&machine), facts(&machine).unwrap());
    says(&machine, &[said("on", "off", Some((report, chain)))]);
    collector.gpus(&facts, &NONCE)
}

#[test]
fn evidence_is_numbered_in_the_drivers_order() {
    let machine = machine_with(2);
    says(&machine, &vec![said("on", "off", None); 2]);
    let (collector, facts) = (collector(&machine), facts(&machine).unwrap());
    let reports = [report_over(&NONCE, 8192), report_over(&NONCE, 4117)];
    let gpus: Vec<_> =
        reports.iter().map(|report| said("on", "off", Some((report.as_slice(), b"pem")))).collect();
    says(&machine, &gpus);
    let devices = collector.gpus(&facts, &NONCE).unwrap();
    for (index, (device, report)) in devices.iter().zip(&reports).enumerate() {
        assert_eq!((device.kind, usize::from(device.index)), (DeviceKind::Gpu, index));
        assert_eq!((&device.report.0, &device.chain.0[..]), (report, &b"pem"[..]));
    }
    assert_eq!(devices.len(), 2);
}

#[test]
fn evidence_over_its_limits_or_over_another_nonce_is_refused() {
    let error = evidence_of(&report_over(&NONCE, 8193), b"pem").unwrap_err();
    assert!(matches!(error, CollectError::TooLarge { what: "GPU report", limit: 8192 }), "{error}");
    let error = evidence_of(&report_over(&NONCE, 64), &[b'-'; 16385]).unwrap_err();
    assert!(matches!(error, CollectError::TooLarge { what: "GPU certificates", limit: 16384 }), "{error}");
    assert!(matches!(evidence_of(b"", b"pem"), Err(CollectError::Format { what: "GPU report", .. })));
    let error = evidence_of(&report_over(&NONCE, 64), b"").unwrap_err();
    assert!(matches!(error, CollectError::Format { what: "GPU certificates", .. }), "{error}");
    let mut other = NONCE;
    other.0[31] ^= 1;
    assert!(matches!(evidence_of(&report_over(&other, 64), b"pem"), Err(CollectError::NotOurs { .. })));
    assert!(matches!(evidence_of(&report_over(&NONCE, 35), b"pem"), Err(CollectError::NotOurs { .. })));
}

#[test]
fn a_gpu_without_evidence_is_refused() {
    let machine = machine_with(1);
    says(&machine, &[said("on", "off", None)]);
    let (collector, facts) = (collector(&machine), facts(&machine).unwrap());
    let error = collector.gpus(&facts, &NONCE).unwrap_err();
    assert!(matches!(error, CollectError::Format { what: "GPU report", .. }), "{error}");
}

#[cfg(not(feature = "gpu"))]
#[test]
fn a_program_without_the_feature_says_so() {
    let machine = machine_with(1);
    machine.serves(vec![Script::snp(report(1), Vec::new())]);
    let mut places = machine.places();
    places.reader.program = env!("CARGO_BIN_EXE_tiltyard-enclave").into();
    let error = Collector::find(places).unwrap().gpu_facts().unwrap_err();
    assert!(matches!(error, CollectError::Device { device: "GPU", .. }), "{error}");
    assert!(error.to_string().contains("feature gpu"), "{error}");
}
