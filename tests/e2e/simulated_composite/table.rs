//! The table itself: distinct names, codes that the checklist knows, and an attack for every check of the whole.

use std::collections::BTreeSet;

use tiltyard_attestation::CheckId;
use tiltyard_attestation::checks::{CHECKS, Part};
use tiltyard_simulator::hostile::composite::{Board, Cpu, variants};
use tiltyard_simulator::hostile::{snp, tdx};

use crate::{draft, issue, lab};

/// Checks of the whole that no attack here ends in, and where their negative tests stand.
const ELSEWHERE: &[(CheckId, &str)] = &[
    (CheckId::Bnd04, "no guest here speaks the plain KBS form: attestation, binding::bnd_04_plain_kbs_form"),
    (CheckId::Chn02, "needs a channel: attestation, binding::chn_02_a_channel_whose_key_is_not_attested"),
    (CheckId::Col01, "needs a bundle: attestation, bundle::col_01_another_key_and_another_item"),
    (CheckId::Col02, "needs a bundle: attestation, bundle::col_02_a_bundle_without_what_the_evidence_needs"),
    (CheckId::Col04, "needs a bundle: attestation, bundle::col_04_a_bundle_that_expired_or_is_of_the_future"),
];

#[test]
fn every_check_of_the_whole_has_an_attack_here_or_a_reason() {
    let attacked: BTreeSet<CheckId> = variants().map(|variant| variant.check).collect();
    for check in CHECKS.iter().filter(|row| row.id.covers(Part::Envelope)) {
        let listed = ELSEWHERE.iter().any(|(id, _)| *id == check.id);
        assert_ne!(attacked.contains(&check.id), listed, "{}", check.id);
    }
    // Each reason names a test that is there.
    let sources = ["binding", "bundle"].map(|name| {
        let path = format!("{}/../attestation/tests/appraisal/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        (name, std::fs::read_to_string(path).expect("source"))
    });
    for (id, reason) in ELSEWHERE {
        let (file, test) =
            reason.rsplit_once(' ').and_then(|(_, test)| test.split_once("::")).expect("a test");
        let text = sources.iter().find(|(name, _)| *name == file).map(|(_, text)| text.as_str());
        assert!(text.is_some_and(|text| text.contains(&format!("fn {test}("))), "{id}: {reason}");
    }
}

#[test]
fn names_are_distinct_and_every_code_is_one_that_its_check_reports() {
    let names: BTreeSet<&str> = variants().map(|variant| variant.name).collect();
    assert_eq!(names.len(), variants().count());
    let of_cpus: BTreeSet<&str> = snp::variants()
        .map(|variant| variant.name)
        .chain(tdx::variants().map(|variant| variant.name))
        .collect();
    assert_eq!(names.intersection(&of_cpus).count(), 0, "`mint --attack` must not mean two things");
    for variant in variants() {
        assert!(!variant.attack.is_empty() && !variant.how.is_empty(), "{}", variant.name);
        let also = variant.also.iter().map(|(_, check, code)| (*check, *code));
        for (check, code) in also.chain([(variant.check, variant.code)]) {
            assert!(check.row().error.contains(&code), "{}: {check} {code}", variant.name);
        }
    }
}

/// An attack that changed nothing would be refused for something else, or not at all.
#[test]
fn every_attack_changes_what_the_verifier_is_given() {
    for cpu in [Cpu::Turin, Cpu::TdxV5] {
        let bases = Board::ALL.map(|board| (board, issue(&draft(cpu, board))));
        for variant in variants() {
            let set = variant.set(lab(), cpu).expect("signed");
            let same = bases.iter().any(|(board, base)| {
                *board == variant.base
                    && base.evidence == set.evidence
                    && base.collateral == set.collateral
                    && format!("{:?}", base.expected) == format!("{:?}", set.expected)
            });
            assert!(!same, "{} on {cpu:?}", variant.name);
        }
    }
}
