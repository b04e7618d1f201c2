//! The production verifier's device checks over every set: what must pass passes, and each attack gets exactly its
//! check and code.

use std::collections::BTreeSet;

use tiltyard_attestation::checks::Part;
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::rim::Library;
use tiltyard_attestation::nvidia::{Authority, Certificates, DeviceDemands, SetDemands};
use tiltyard_attestation::policy::{Level, TeeFloor};
use tiltyard_attestation::{
    AppraisalPolicy, Backend, CheckId, Code, Hex, Links, Submod, Trace, TrustAnchors,
};
use tiltyard_simulator::nvidia::EvidenceSet;
use tiltyard_simulator::nvidia::hostile::{ACCEPTED, variants};

use crate::lab;

/// What the device checks find at this level, each pair once.
fn findings(set: &EvidenceSet, level: Level) -> BTreeSet<(CheckId, Code)> {
    let expected = &set.expected;
    let anchors = TrustAnchors::foreign(set.anchors()).expect("anchors");
    let backend = if level == Level::Lab { Backend::Process } else { Backend::Snp };
    let tee = TeeFloor { snp: Vec::new(), tdx: None };
    let policy = AppraisalPolicy::from_floors(level, &[backend], &tee, &expected.floor, &expected.platforms)
        .expect("policy");
    let (links, collateral) = (Links::new(), set.collateral());
    let library = Library::open(&collateral, &anchors, &links, expected.now);
    let nonce = Some(Hex(expected.nonce));
    let authority = Authority { anchors: &anchors, policy: &policy, links: &links, nonce, now: expected.now };

    let envelope = set.envelope();
    let chains: Vec<Certificates> = envelope.iter().map(|one| Certificates::from_pem(&one.chain.0)).collect();
    let mut trace = Trace::new();
    let mut devices = Vec::new();
    for (one, chain) in envelope.iter().zip(&chains) {
        begin(&mut trace, one.kind, one.index);
        if let Ok(device) = authority.authenticate(one.kind, &one.report.0, chain, &mut trace) {
            devices.push((one.index, device));
        }
    }
    // As an appraisal, it goes on only when every signature holds.
    if devices.len() == envelope.len() {
        for (index, device) in &devices {
            begin(&mut trace, device.kind(), *index);
            let state = match device.kind() {
                DeviceKind::Gpu => set.boot.gpus.get(usize::from(*index)),
                DeviceKind::Switch => None,
            };
            let demands = DeviceDemands {
                named: None,
                policy: &policy,
                index: *index,
                state,
                library: &library,
                collateral: &collateral,
                links: &links,
                now: expected.now,
            };
            demands.judge(device, &mut trace);
        }
        let devices: Vec<_> = devices.into_iter().map(|(_, device)| device).collect();
        let switches = expected.floor.devices.as_ref().map_or(0, |floor| floor.switches);
        SetDemands {
            policy: &policy,
            earlier: None,
            launched: Some(expected.floor.count.into()),
            counts: Some((expected.floor.count.into(), switches.into())),
            boot: Some(&set.boot),
            fleet: &expected.fleet,
        }
        .judge(&devices, &mut trace);
    }
    trace.findings().iter().map(|finding| (finding.check, finding.code)).collect()
}

fn begin(trace: &mut Trace, kind: DeviceKind, index: u8) {
    match kind {
        DeviceKind::Gpu => trace.begin(Submod::Gpu(index), Part::Gpu),
        DeviceKind::Switch => trace.begin(Submod::Switch(index), Part::Switch),
    }
}

#[test]
fn every_accepted_set_passes_at_every_level() {
    for accepted in ACCEPTED {
        for level in [Level::Lab, Level::Standard, Level::Strict] {
            let found = findings(&accepted.set(lab()), level);
            assert!(found.is_empty(), "{} at {level:?}, though {}: {found:?}", accepted.name, accepted.why);
        }
    }
}

#[test]
fn every_attack_gets_its_check_and_code_and_no_other() {
    let mut wrong = Vec::new();
    // What the CPU's quote covers is the envelope's to compare, not a device's.
    for variant in variants().filter(|variant| variant.check != CheckId::Bnd06) {
        let set = variant.set(lab());
        for level in [Level::Lab, Level::Standard, Level::Strict] {
            let mut expected = BTreeSet::new();
            if level >= variant.level {
                expected.insert((variant.check, variant.code));
                expected.extend(variant.also);
            }
            if level > Level::Lab {
                expected.extend(variant.also_above_lab);
            }
            let found = findings(&set, level);
            if found != expected {
                wrong.push(format!("{} at {level:?}: expected {expected:?}, found {found:?}", variant.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_swapped_evidence_is_not_what_the_quote_covers() {
    for variant in variants() {
        let set = variant.set(lab());
        let digests = |devices: Vec<tiltyard_attestation::evidence::DeviceEvidence>| -> Vec<Hex<48>> {
            devices.iter().map(|device| device.digest()).collect()
        };
        let same = digests(set.envelope()) == digests(set.covered_envelope());
        assert_eq!(same, variant.check != CheckId::Bnd06, "{}", variant.name);
    }
}
