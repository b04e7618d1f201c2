//! The table of attacks itself: complete, distinct, and signed by whoever holds the key.

use std::collections::BTreeSet;

use tiltyard_attestation::Code;
use tiltyard_simulator::nvidia::EvidenceSet;
use tiltyard_simulator::nvidia::hostile::{ACCEPTED, Base, variants};

use crate::lab;
use crate::reports::signed_by_leaf;

/// Names that the table of attacks in THREATS gives, for what is shown in evidence.
const NAMED: &[&str] = &[
    "gpu-unlisted-ueid",
    "gpu-in-two-leases",
    "gpu-stale-nonce",
    "cc-off",
    "devtools-on",
    "gpu-evidence-absent",
    "gpu-n-minus-1",
    "uuid-only",
    "same-device-4x",
    "swap-gpu-evidence",
    "rim-forged",
    "rim-expired",
    "rim-version",
    "rim-index-conflict",
    "rim-duplicate-index",
    "rim-two-signatures",
    "rim-digest",
    "fwid-wrong",
    "fwid-absent",
    "fwid-last-48-bytes",
    "cert-hold",
    "ocsp-stale",
    "ppcie-7-of-8",
    "pdi-differs",
];

/// Everything that a verifier is given.
fn given(set: &EvidenceSet) -> String {
    let EvidenceSet { evidence, covered, rims, answers, boot, expected, .. } = set;
    format!("{evidence:?}{covered:?}{rims:?}{answers:?}{boot:?}{expected:?}")
}

#[test]
fn names_are_distinct_and_every_named_attack_is_there() {
    let names: BTreeSet<&str> = variants().map(|variant| variant.name).collect();
    assert_eq!(names.len(), variants().count());
    for name in NAMED {
        assert!(names.contains(name), "{name}");
    }
    for variant in variants() {
        assert!(!variant.attack.is_empty() && !variant.how.is_empty(), "{}", variant.name);
    }
}

#[test]
fn every_code_is_one_that_its_check_reports() {
    for variant in variants() {
        let also = variant.also.iter().chain(variant.also_above_lab);
        for (check, code) in also.chain([&(variant.check, variant.code)]) {
            assert!(check.row().error.contains(code), "{}: {check} {code}", variant.name);
        }
    }
}

#[test]
fn every_attack_changes_what_the_verifier_is_given() {
    let of = |base: Base| given(&base.draft(lab()).issue());
    let bases = [Base::Spt, Base::Mpt, Base::Ppcie].map(|base| (base, of(base)));
    for variant in variants() {
        let set = variant.set(lab());
        let base = bases.iter().find(|(base, _)| *base == variant.base).map(|(_, given)| given);
        assert_ne!(Some(&given(&set)), base, "{}", variant.name);
    }
}

#[test]
fn reports_are_signed_again_unless_the_signature_is_the_attack() {
    const EDITED: &[&str] = &["spare-byte", "report-cut", "chain-root-only", "opaque-length"];
    for variant in variants().filter(|variant| !EDITED.contains(&variant.name)) {
        let set = variant.set(lab());
        let good = set.evidence.iter().all(signed_by_leaf);
        assert_eq!(good, variant.code != Code::ReportSignature, "{}", variant.name);
    }
}

#[test]
fn accepted_sets_are_signed() {
    for accepted in ACCEPTED {
        assert!(accepted.set(lab()).evidence.iter().all(signed_by_leaf), "{}", accepted.name);
    }
}
