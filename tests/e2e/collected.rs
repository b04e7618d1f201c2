//! The guest's own collector over the simulator's report interface: two readers of one shape.

use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{path::Path, thread};

use tempfile::TempDir;
use tiltyard_attestation::Hex;
use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_attestation::policy::Product;
use tiltyard_enclave::collect::{Collector, Gpus, LaunchDigest, Places, Reader};
use tiltyard_simulator::SimulatedPlatform;
use tiltyard_simulator::tsm::{GuestIdentity, Served, serve};

fn platform() -> Arc<SimulatedPlatform> {
    static PLATFORM: OnceLock<Arc<SimulatedPlatform>> = OnceLock::new();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let made = || SimulatedPlatform::from_seed(&[0x5a; 32], Product::Genoa, Some(cache)).expect("platform");
    Arc::clone(PLATFORM.get_or_init(|| Arc::new(made())))
}

/// A guest's places, of which only the simulator's is there.
fn guest() -> (TempDir, Served, Collector) {
    let folder = TempDir::new().expect("folder");
    let identity =
        GuestIdentity { measurement: Hex([0x4d; 48]), host_data: Hex([0x48; 32]), report_version: 3 };
    let served = serve(platform(), identity, folder.path()).expect("served");
    let at = |name: &str| folder.path().join(name);
    let places = Places {
        tsm: vec![at("report")],
        sev_guest: at("sev-guest"),
        ccel_table: at("CCEL"),
        ccel_log: at("CCEL-data"),
        gpus: Gpus { pci: at("pci"), library: at("libnvidia-ml.so.1") },
        reader: Reader { program: at("reader"), deadline: Duration::from_secs(1) },
    };
    let collector = Collector::find(places).expect("an interface");
    (folder, served, collector)
}

#[test]
fn a_guest_collects_what_the_simulator_serves() {
    let (_folder, _served, collector) = guest();
    let collected = collector.cpu("first", &Hex([0x11; 64])).expect("collected");
    assert_eq!(collected.launch(), LaunchDigest::HostData(Hex([0x48; 32])));
    let CpuEvidence::Snp { report, certificates } = collected.into_evidence() else { panic!("SNP") };
    assert_eq!(report.0[0x50..0x90], [0x11; 64]);
    assert_eq!(report.0[0x90..0xC0], [0x4d; 48]);
    let certificates: Vec<_> = certificates.into_iter().map(|der| der.0).collect();
    assert_eq!(certificates[..2], platform().certificates(), "leaf first");
    assert_eq!(certificates[2..], [platform().ark()]);
    assert_eq!(collector.gpu_facts().expect("facts").pci(), 0);
}

#[test]
fn questions_at_the_same_time_get_each_its_own_answer() {
    let (_folder, _served, collector) = guest();
    thread::scope(|scope| {
        for asker in 0..4_u8 {
            let collector = &collector;
            scope.spawn(move || {
                for round in 0..10_u8 {
                    // The collector itself refuses a report over anybody else's data.
                    let asked = Hex([asker * 16 + round; 64]);
                    collector.cpu(&format!("asker-{asker}-{round}"), &asked).expect("collected");
                }
            });
        }
    });
}
