//! A tournament's record after somebody edited it: replay finds the place.

use serde_json::Value;
use tiltyard_provisioning::ledger::{LedgerError, MerkleLog, verify_consistency, verify_inclusion};
use tiltyard_tournament::{Divergence, replay};

use crate::sim::{CLEAN, finished, small_rules};

/// A whole tournament of six challengers and a champion.
fn record() -> (Vec<Vec<u8>>, Vec<u8>) {
    let leaves = finished(small_rules(), 6, CLEAN, 11).leaves;
    assert!(replay(&leaves, &small_rules()).is_ok(), "positive control");
    (leaves, small_rules())
}

fn divergence(leaves: &[Vec<u8>], rulebook: &[u8]) -> Divergence {
    replay(leaves, rulebook).unwrap_err()
}

fn value(leaf: &[u8]) -> Value {
    serde_json::from_slice(leaf).unwrap()
}

/// Places of the leaves of one type.
fn places(leaves: &[Vec<u8>], kind: &str) -> Vec<usize> {
    (0..leaves.len()).filter(|at| value(&leaves[*at])["type"] == kind).collect()
}

/// Numbers the leaves anew, as a forger who removes or moves some would.
fn renumbered(leaves: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let renumber = |(at, leaf): (usize, Vec<u8>)| {
        let mut value = value(&leaf);
        value["seq"] = at.into();
        serde_jcs::to_vec(&value).unwrap()
    };
    leaves.into_iter().enumerate().map(renumber).collect()
}

#[test]
fn edited_record() {
    let (leaves, rulebook) = record();
    // The verdict itself: another champion.
    let decided = places(&leaves, "decided")[0];
    let mut edited = leaves.clone();
    let mut verdict = value(&edited[decided]);
    let champion = verdict["body"]["holder"].clone();
    let rival = places(&leaves, "entry")
        .into_iter()
        .map(|at| value(&leaves[at])["body"]["submission"].clone())
        .find(|submission| *submission != champion)
        .unwrap();
    assert!(champion.is_string(), "the record names a champion");
    verdict["body"]["holder"] = rival.clone();
    edited[decided] = serde_jcs::to_vec(&verdict).unwrap();
    let found = divergence(&edited, &rulebook);
    assert_eq!((found.seq, found.field.as_str()), (decided as u64, "body.holder"));
    assert!(
        found.expected.contains(champion.as_str().unwrap()) && found.got.contains(rival.as_str().unwrap())
    );

    // A score: an input, so it shows at the next leaf that follows from it.
    let outcome = *places(&leaves, "outcome").last().unwrap();
    let mut edited = leaves.clone();
    let text = String::from_utf8(edited[outcome].clone()).unwrap();
    let at = text.find("\"score\":1").unwrap() + "\"score\":1".len();
    edited[outcome][at] ^= 1;
    let found = divergence(&edited, &rulebook).seq as usize;
    assert!(found > outcome && found <= decided, "leaf {found} for an edit of leaf {outcome}");
}

#[test]
fn removed_log_leaf() {
    let (leaves, rulebook) = record();
    for kind in ["entry", "order", "outcome", "round_settled"] {
        let at = places(&leaves, kind)[0];
        let mut removed = leaves.clone();
        removed.remove(at);
        let found = divergence(&removed, &rulebook);
        assert_eq!((found.seq, found.field.as_str()), (at as u64, "seq"), "{kind}");
        // Renumbered, so that no gap shows: what follows from it is missing, or the roots differ.
        let found = divergence(&renumbered(removed), &rulebook);
        assert!(found.seq >= at as u64 && found.field != "seq", "{kind}: {found}");
    }
    let cut = divergence(&leaves[..leaves.len() - 1], &rulebook);
    assert_eq!((cut.seq as usize, cut.expected.as_str()), (leaves.len() - 1, "draw_reveal"));
}

#[test]
fn removed_log_leaf_under_the_signed_root() {
    let (leaves, _) = record();
    let whole = MerkleLog::from_leaves(&leaves);
    let at = places(&leaves, "outcome")[0];
    let mut removed = leaves.clone();
    removed.remove(at);
    let forged = MerkleLog::from_leaves(&removed);
    let proof = forged.inclusion(at as u64, forged.size());
    let shown = verify_inclusion(&removed[at], at as u64, forged.size(), &proof, &whole.root());
    assert!(
        matches!(shown, Err(LedgerError::NotIncluded { .. } | LedgerError::ProofLength { .. })),
        "{shown:?}"
    );
    let rolled_back = verify_consistency(whole.size(), &whole.root(), forged.size(), &forged.root(), &[]);
    assert!(matches!(rolled_back, Err(LedgerError::LogRolledBack { .. })), "{rolled_back:?}");
}

#[test]
fn reordered_outcomes() {
    let (leaves, rulebook) = record();
    let outcomes = places(&leaves, "outcome");
    let (one, other) = (outcomes[0], outcomes[1]);
    let mut swapped = leaves.clone();
    swapped.swap(one, other);
    let found = divergence(&swapped, &rulebook);
    assert_eq!((found.seq, found.field.as_str()), (one as u64, "seq"));
    // Each in the other's place by number too: the next root is of another history.
    let found = divergence(&renumbered(swapped), &rulebook);
    assert!(found.seq >= one as u64 && found.field != "seq", "{found}");
}
