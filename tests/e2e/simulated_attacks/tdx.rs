//! TDX.

use std::collections::BTreeSet;

use tiltyard_attestation::Verdict;
use tiltyard_attestation::policy::{Level, TcbStatus};
use tiltyard_attestation::result::Anchors;
use tiltyard_simulator::hostile::tdx::{Base, Lab, variants};
use tiltyard_simulator::intel::EVALUATION;

use crate::table::{LEVELS, NOW, findings};

fn lab() -> Lab {
    Lab::from_seed(&[0x7d; 32], NOW)
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
fn every_attack_gets_its_check_and_code_and_no_other() {
    let (lab, mut wrong) = (lab(), Vec::new());
    for variant in variants() {
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
