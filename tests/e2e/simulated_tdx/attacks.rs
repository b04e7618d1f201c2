//! Every named attack on TDX evidence before the production verifier: the base passes at every level, and each attack
//! gets its check and code and what follows from it, and nothing else. One test a check, named for its id.

use std::collections::BTreeSet;

use tiltyard_attestation::policy::{Level, TcbStatus};
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{CheckId, Code, Verdict};
use tiltyard_simulator::hostile::Set;
use tiltyard_simulator::hostile::tdx::{Base, Lab, variants};
use tiltyard_simulator::intel::EVALUATION;

const LEVELS: [Level; 3] = [Level::Lab, Level::Standard, Level::Strict];

fn lab() -> Lab {
    // 2026-11-22, within every certificate.
    Lab::from_seed(&[0x5d; 32], 1_795_371_000)
}

/// What refuses the set besides its foreign roots, which only `lab` accepts.
fn findings(set: &Set, level: Level) -> BTreeSet<(CheckId, Code)> {
    let mut found = set.findings(level).expect("policy");
    let anchors = found.remove(&(CheckId::Pol02, Code::AnchorsNotVendor));
    assert!(!anchors || level > Level::Lab);
    // An appraisal that stopped at a signature has not come to the roots.
    assert!(anchors || level == Level::Lab || !found.is_empty(), "foreign roots accepted at {level:?}");
    found
}

/// Every attack that this check must refuse first.
fn refused_by(check: CheckId) {
    let lab = lab();
    let rows: Vec<_> = variants().filter(|variant| variant.check == check).collect();
    assert!(!rows.is_empty(), "{check}: no attack");
    let mut wrong = Vec::new();
    for variant in rows {
        let set = variant.set(&lab);
        for level in LEVELS {
            let (expected, found) = (variant.findings(level), findings(&set, level));
            if found != expected {
                wrong.push(format!("{} at {level:?}: expected {expected:?}, found {found:?}", variant.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_base_passes_at_every_level() {
    let lab = lab();
    for base in Base::ALL {
        let set = lab.issue(&base.draft(&lab));
        for level in LEVELS {
            assert_eq!(findings(&set, level), BTreeSet::new(), "{base:?} at {level:?}");
        }
    }
}

#[test]
fn a_base_is_told_for_what_it_is() {
    let lab = lab();
    for base in Base::ALL {
        let draft = base.draft(&lab);
        let set = lab.issue(&draft);
        let accepted = set.appraise(Level::Lab).expect("policy");
        let accepted = accepted.unwrap_or_else(|refusal| panic!("{base:?}: {refusal}"));
        assert_eq!(accepted.anchors(), Anchors::NotVendor(set.expected.anchors.digest()));
        assert!(accepted.trace().iter().all(|row| row.verdict != Verdict::Fail));
        let facts = accepted.cpu().tdx().expect("TDX");
        let version = if base == Base::V4 { 4 } else { 5 };
        assert_eq!((facts.quote_version, facts.tcb_status), (version, Some(TcbStatus::UpToDate)));
        assert_eq!((facts.ppid.0, facts.tcb_evaluation), (draft.td.ppid(), Some(EVALUATION)));
        assert_eq!(facts.events, Some(draft.td.log.events.len()));
        assert_eq!(facts.rtmr.map(|register| register.0), draft.td.log.replay());
    }
}

#[test]
fn tdx_01_header() {
    refused_by(CheckId::Tdx01);
}

#[test]
fn tdx_02_lengths_and_types() {
    refused_by(CheckId::Tdx02);
}

#[test]
fn tdx_03_chain_encoding() {
    refused_by(CheckId::Tdx03);
}

#[test]
fn tdx_04_quote_signature() {
    refused_by(CheckId::Tdx04);
}

#[test]
fn tdx_05_quoting_enclave() {
    refused_by(CheckId::Tdx05);
}

#[test]
fn tdx_06_quoting_enclave_identity() {
    refused_by(CheckId::Tdx06);
}

#[test]
fn tdx_07_chain_and_revocation() {
    refused_by(CheckId::Tdx07);
}

#[test]
fn tdx_08_tcb_info() {
    refused_by(CheckId::Tdx08);
}

#[test]
fn tdx_09_tcb_status() {
    refused_by(CheckId::Tdx09);
}

#[test]
fn tdx_10_evaluation_number() {
    refused_by(CheckId::Tdx10);
}

#[test]
fn tdx_11_platform_flags() {
    refused_by(CheckId::Tdx11);
}

#[test]
fn tdx_12_module() {
    refused_by(CheckId::Tdx12);
}

#[test]
fn tdx_13_debug_and_migration() {
    refused_by(CheckId::Tdx13);
}

#[test]
fn tdx_14_attributes() {
    refused_by(CheckId::Tdx14);
}

#[test]
fn tdx_15_extended_features() {
    refused_by(CheckId::Tdx15);
}

#[test]
fn tdx_16_service_td() {
    refused_by(CheckId::Tdx16);
}

#[test]
fn tdx_17_measurement_and_owner() {
    refused_by(CheckId::Tdx17);
}

#[test]
fn tdx_18_event_log() {
    refused_by(CheckId::Tdx18);
}

#[test]
fn tdx_19_platform() {
    refused_by(CheckId::Tdx19);
}

/// Nonce, runtime document, launch configuration, lengths, and the age of collateral: checks of other families.
#[test]
fn attacks_on_what_surrounds_the_quote() {
    const OWN: &str = include_str!("attacks.rs");
    let checks: BTreeSet<CheckId> = variants().map(|variant| variant.check).collect();
    let (of_quotes, others): (Vec<CheckId>, Vec<CheckId>) =
        checks.into_iter().partition(|check| check.as_str().starts_with("TDX-"));
    for check in of_quotes {
        assert!(OWN.contains(&format!("    refused_by(CheckId::{check:?});")), "{check}: no test of its own");
    }
    assert!(!others.is_empty());
    others.into_iter().for_each(refused_by);
}
