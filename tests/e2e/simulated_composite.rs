//! Whole guests before the production verifier: a CPU of either vendor with no GPU, one, or a board of them.
//!
//! What must pass passes with every fact of every part, and each attack on what binds the parts gets exactly its check
//! and code.

#[path = "simulated_composite/accepted.rs"]
mod accepted;
#[path = "simulated_composite/attacks.rs"]
mod attacks;
#[path = "simulated_composite/files.rs"]
mod files;
#[path = "simulated_composite/parts.rs"]
mod parts;
#[path = "simulated_composite/renewal.rs"]
mod renewal;
#[path = "simulated_composite/table.rs"]
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{AttestationResult, CheckId, Code, Verifier};
use tiltyard_simulator::hostile::composite::{Board, Cpu, Draft, Lab};
use tiltyard_simulator::hostile::{Expected, Set};

/// 2026-11-23, within every certificate's life; the attacks on devices are made for this time.
const NOW: u64 = tiltyard_simulator::nvidia::sets::NOW;

/// One site, made once: its RSA keys take seconds, and most of a set is signed as it was in the set before.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| {
        let cache = Path::new(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp"));
        Lab::from_seed(&[0x5a; 32], Some(cache), NOW).expect("keys")
    })
}

fn draft(cpu: Cpu, board: Board) -> Draft {
    lab().draft(cpu, board).expect("draft")
}

fn issue(draft: &Draft) -> Set {
    lab().issue(draft).expect("signed")
}

/// Whoever appraises has one verifier for its charter, which remembers the signatures that it verified.
fn verifier(expected: &Expected, level: Level) -> Arc<Verifier> {
    static VERIFIERS: Mutex<BTreeMap<String, Arc<Verifier>>> = Mutex::new(BTreeMap::new());
    let Expected { backends, tee, gpu, platforms, mitigations, anchors, reference, .. } = expected;
    let anchors = anchors.digest();
    let charter =
        format!("{level:?} {backends:?} {tee:?} {gpu:?} {platforms:?} {mitigations} {anchors} {reference:?}");
    let mut verifiers = VERIFIERS.lock().unwrap_or_else(PoisonError::into_inner);
    let made = || Arc::new(expected.verifier(level).expect("policy"));
    Arc::clone(verifiers.entry(charter).or_insert_with(made))
}

/// The verifier's answer at `lab`, the only level that accepts roots that are no vendor's.
fn accepted(set: &Set) -> AttestationResult {
    let answer = set.appraise_by(&verifier(&set.expected, Level::Lab));
    answer.unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// What refuses the set besides its foreign roots, which only `lab` accepts; each pair once.
fn findings(set: &Set, level: Level) -> BTreeSet<(CheckId, Code)> {
    let mut found = match set.appraise_by(&verifier(&set.expected, level)) {
        Ok(_) => BTreeSet::new(),
        Err(refusal) => refusal.findings.iter().map(|row| (row.check, row.code)).collect(),
    };
    if level > Level::Lab {
        let anchors = found.remove(&(CheckId::Pol02, Code::AnchorsNotVendor));
        // An appraisal that stopped at a signature has not come to the roots.
        assert!(anchors || !found.is_empty(), "foreign roots accepted at {level:?}");
    }
    found
}
