//! The management library, played by one of our own that is compiled for each case.

use std::path::Path;
use std::process::Command;

use tiltyard_attestation::binding::{DeviceState, Switched};
use tiltyard_enclave::collect::{CollectError, Collector, GpuFacts, ReaderEnd};

use crate::gpus::{NONCE, plug};
use crate::kernel::{Machine, Script, report};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/collect/nvml.c");

/// A machine with `gpus` on its bus, and a library built with these definitions.
fn machine(gpus: usize, definitions: &[&str]) -> Machine {
    let machine = Machine::new();
    for gpu in 0..gpus {
        plug(&machine, &format!("0000:{gpu:02x}:00.0"), "0x10de\n", "0x030200\n");
    }
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(machine.at("libnvidia-ml.so.1"))
        .args(definitions.iter().map(|definition| format!("-D{definition}")))
        .arg(SOURCE)
        .status()
        .unwrap();
    assert!(built.success());
    machine.serves(vec![Script::snp(report(1), Vec::new())]);
    machine
}

fn collector(machine: &Machine) -> Collector {
    let mut places = machine.places();
    places.reader.program = env!("CARGO_BIN_EXE_tiltyard-enclave").into();
    Collector::find(places).unwrap()
}

fn facts(gpus: usize, definitions: &[&str]) -> Result<GpuFacts, CollectError> {
    collector(&machine(gpus, definitions)).gpu_facts()
}

/// The failure of collecting evidence where the state could be read.
fn evidence_refused(definitions: &[&str]) -> CollectError {
    let machine = machine(1, definitions);
    let collector = collector(&machine);
    let facts = collector.gpu_facts().unwrap();
    collector.gpus(&facts, &NONCE).unwrap_err()
}

#[test]
fn reports_and_chains_are_as_long_as_the_driver_says() {
    let machine = machine(2, &["GPUS=2", "REPORT_LEN=4117", "CHAIN_LEN=4096"]);
    let collector = collector(&machine);
    let facts = collector.gpu_facts().unwrap();
    let devices = collector.gpus(&facts, &NONCE).unwrap();
    assert_eq!(devices.len(), 2);
    for device in &devices {
        assert_eq!((device.report.0.len(), device.chain.0.len()), (4117, 4096));
        assert_eq!(device.report.0[4..36], *NONCE.bytes());
    }
}

#[test]
fn modes_are_read_from_the_settings() {
    let (on, off) = (Switched::On, Switched::Off);
    for (definitions, cc_mode, protected_pcie, devtools) in [
        (["CC=1", "DEVTOOLS=0", "MULTIGPU=0"], on, off, off),
        (["CC=0", "DEVTOOLS=0", "MULTIGPU=0"], off, off, off),
        (["CC=0", "DEVTOOLS=0", "MULTIGPU=1"], off, on, off),
        (["CC=1", "DEVTOOLS=1", "MULTIGPU=0"], on, off, on),
        (["CC=1", "DEVTOOLS=0", "MULTIGPU=2"], on, off, off),
        // A feature value that nobody knows is not on.
        (["CC=2", "DEVTOOLS=0", "MULTIGPU=0"], off, off, off),
    ] {
        let facts = facts(1, &definitions).unwrap();
        assert_eq!(facts.driver(), [DeviceState { cc_mode, protected_pcie, devtools }], "{definitions:?}");
    }
}

#[test]
fn sizes_beyond_the_buffers_end_the_reader_and_nothing_else() {
    for definitions in
        [["REPORT_LEN=8193"], ["REPORT_LEN=4294967295u"], ["CHAIN_LEN=5121"], ["CHAIN_LEN=4294967295u"]]
    {
        let error = evidence_refused(&definitions);
        let CollectError::Reader { device: "GPU", why: ReaderEnd::Code(101) } = error else {
            panic!("{definitions:?}: {error}");
        };
    }
    let error = evidence_refused(&["REPORT_LEN=0"]);
    assert!(matches!(error, CollectError::Format { what: "GPU report", .. }), "{error}");
}

#[test]
fn a_library_that_crashes_takes_its_reader_along_only() {
    let error = facts(1, &["CRASH"]).unwrap_err();
    assert!(matches!(error, CollectError::Reader { why: ReaderEnd::Signal(_), .. }), "{error}");
}

#[test]
fn each_step_that_the_driver_refuses_is_named_with_its_code() {
    for (definition, expected) in [
        ("INIT=9", "GPU: opening it failed with code 9"),
        ("COUNT=999", "GPU: counting failed with code 999"),
        ("SETTINGS=3", "GPU: reading its mode failed with code 3"),
        ("GPUS=17", "GPU: counting failed with code -1"),
    ] {
        assert_eq!(facts(1, &[definition]).unwrap_err().to_string(), expected);
    }
    assert_eq!(evidence_refused(&["REPORT=3"]).to_string(), "GPU: the report failed with code 3");
    assert_eq!(evidence_refused(&["CHAIN=15"]).to_string(), "GPU: the certificates failed with code 15");
}

#[test]
fn a_driver_that_names_fewer_gpus_than_the_bus_is_refused() {
    let error = facts(2, &["GPUS=1"]).unwrap_err();
    assert!(matches!(error, CollectError::DeviceCount { pci: 2, driver: 1 }), "{error}");
}

#[test]
fn a_guest_without_the_library_says_so() {
    let machine = machine(1, &[]);
    std::fs::remove_file(machine.at("libnvidia-ml.so.1")).unwrap();
    assert!(!Path::new(&machine.at("libnvidia-ml.so.1")).exists());
    let error = collector(&machine).gpu_facts().unwrap_err();
    assert_eq!(error.to_string(), "GPU: opening it failed with code 12");
}
