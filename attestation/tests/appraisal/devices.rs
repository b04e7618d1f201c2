//! BND-05, BND-10: devices beside the CPU's report, before anything in them is read.

use tiltyard_attestation::binding::{BootDocument, DeviceDigest};
use tiltyard_attestation::evidence::{DeviceEvidence, DeviceKind, Evidence};
use tiltyard_attestation::{CheckId, Code, DEVICES_LIFETIME_S, EarlierDevices, Hex};

use crate::minted::{Guest, NOW, Setup, findings};

/// A device that was asked with a nonce of these bytes; nothing else of it is looked at before the CPU's signature.
fn device(index: u8, nonce: u8) -> DeviceEvidence {
    let report = [vec![0; 4], vec![nonce; 32], vec![0; 1]].concat();
    DeviceEvidence { kind: DeviceKind::Gpu, index, report: report.into(), chain: Vec::new().into() }
}

fn boot() -> BootDocument {
    BootDocument { v: 1, random: Hex([7; 32]), pci_gpus: 2, gpus: Vec::new() }
}

fn evidence(devices: Vec<DeviceEvidence>, boot: Option<Vec<u8>>, named: Hex<32>) -> Evidence {
    let mut guest = Guest::turin();
    guest.runtime.profile.boot = named;
    guest.runtime.additional_evidence = devices
        .iter()
        .map(|device| DeviceDigest { kind: device.kind, index: device.index, digest: device.digest() })
        .collect();
    Evidence { devices, boot: boot.map(Into::into), ..guest.evidence() }
}

#[test]
fn bnd_05_devices_that_were_asked_with_different_nonces() {
    let devices = vec![device(0, 1), device(1, 2)];
    let mixed = evidence(devices, Some(boot().to_bytes()), boot().digest());
    assert_eq!(Setup::lab().refused(&mixed), [(CheckId::Bnd05, Code::CompositeBinding)]);
}

/// Facts of the second GPU would never be read if both were the first.
#[test]
fn bnd_06_devices_that_are_not_numbered_by_their_place() {
    let switch = |index| DeviceEvidence { kind: DeviceKind::Switch, ..device(index, 1) };
    let other = [(CheckId::Bnd06, Code::CompositeBinding)];
    let cases = [
        vec![device(0, 1), device(0, 1)],
        vec![device(1, 1), device(0, 1)],
        vec![device(1, 1)],
        vec![device(0, 1), switch(1)],
        vec![switch(0), device(0, 1), switch(0)],
    ];
    for devices in cases {
        let given = evidence(devices, Some(boot().to_bytes()), boot().digest());
        assert_eq!(Setup::lab().refused(&given), other);
    }
    // In their places, and of two kinds in turn, they are looked at.
    let given = evidence(vec![switch(0), device(0, 1), switch(1)], Some(boot().to_bytes()), boot().digest());
    let found = Setup::lab().refused(&given);
    assert!(found.iter().all(|(check, _)| *check != CheckId::Bnd06), "{found:?}");
}

#[test]
fn bnd_10_devices_without_the_boot_document_or_with_another() {
    let devices = || vec![device(0, 1)];
    let stale = (CheckId::Bnd10, Code::GpuEvidenceStale);
    let other = (CheckId::Bnd10, Code::CompositeBinding);
    let without = evidence(devices(), None, boot().digest());
    assert_eq!(Setup::lab().refused(&without), [stale]);
    let unnamed = evidence(devices(), Some(boot().to_bytes()), Hex([8; 32]));
    assert_eq!(Setup::lab().refused(&unnamed), [other]);
    let spaced = [b" ", boot().to_bytes().as_slice()].concat();
    let named = Hex::sha256(&spaced);
    assert_eq!(Setup::lab().refused(&evidence(devices(), Some(spaced), named)), [other]);
}

#[test]
fn bnd_10_a_renewal_rests_on_an_appraisal_of_this_boot_for_an_hour() {
    let renewal = evidence(Vec::new(), None, boot().digest());
    let at = |boot, appraised_at| {
        let earlier = EarlierDevices { boot, appraised_at, gpus: 0, switches: 0 };
        Setup::lab().appraise_as(&renewal, |challenge| challenge.with_devices(earlier))
    };
    let with = |boot, age_s| at(boot, NOW - age_s);
    assert!(with(boot().digest(), DEVICES_LIFETIME_S).is_ok());
    let stale = [(CheckId::Bnd10, Code::GpuEvidenceStale)];
    assert_eq!(findings(with(boot().digest(), DEVICES_LIFETIME_S + 1)), stale);
    assert_eq!(findings(with(Hex([9; 32]), 0)), stale);
    assert!(at(boot().digest(), NOW).is_ok());
    assert_eq!(findings(at(boot().digest(), NOW + 1)), stale, "a clock that went back");
}
