//! An honest bundle that somebody without any key has changed, with a new index over it.

use std::path::Path;

use serde_json::Value;
use tiltyard_attestation::Hex;
use tiltyard_attestation::policy::Product;
use tiltyard_audit::Pins;
use tiltyard_provisioning::bundle::Bundle;
use tiltyard_provisioning::channel::RollEntry;
use tiltyard_provisioning::dsse::Envelope;
use tiltyard_provisioning::order::Order;
use tiltyard_provisioning::record::{AttestedGuest, Record, members};
use tiltyard_provisioning::statement::Signed;
use tiltyard_simulator::SimulatedPlatform;

use crate::bundle::{Members, failures, found};
use crate::play::{REFEREE, honest, key};

/// Everything that hangs on the log as a whole.
const LOG: [&str; 4] = ["LOG-1", "LOG-2", "REC-2", "TRN-1"];

fn guest(label: u8) -> String {
    members::guest(&Hex([label; 16]))
}

fn changed(edit: impl FnOnce(&mut Members)) -> Members {
    honest().with(edit)
}

fn sorted(ids: &[&'static str]) -> Vec<&'static str> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

#[test]
fn bdl_1_a_flipped_byte() {
    let mut tar = honest().tar();
    let bundle = Bundle::read(tar.clone()).unwrap();
    let record = bundle.get(members::RECORD).unwrap();
    let at = tar.windows(record.len()).position(|window| window == record).unwrap();
    tar[at + 40] ^= 1;
    let audit = tiltyard_audit::verify(&tar, &Pins::default());
    assert_eq!(failures(&audit), ["BDL-1"]);
    assert!(found(&audit, "BDL-1").contains("record/record.json"));
}

#[test]
fn bdl_2_an_extra_member() {
    for name in [
        "notes/readme.md",
        "log/entries/999999.json",
        "guests/x.txt",
        "results/00.json",
        "charter/other.json",
    ] {
        let members = changed(|members| {
            members.0.insert(name.to_owned(), b"{}".to_vec());
        });
        assert_eq!(members.failures(), ["BDL-2"], "{name}");
    }
}

#[test]
fn bdl_2_a_duplicate_or_unknown_field() {
    let name = members::RECORD;
    let members = changed(|members| members.edit(name, |record| record["more"] = Value::from(1)));
    assert_eq!(members.failures(), ["BDL-2", "REC-1"]);
    let members = changed(|members| {
        let text = String::from_utf8(members.0[name].clone()).unwrap();
        members.0.insert(name.to_owned(), text.replacen('{', "{\"key\":\"00\",", 1).into_bytes());
    });
    assert_eq!(members.failures(), ["BDL-2", "REC-1"]);
}

#[test]
fn rec_1_an_edited_record() {
    let members = changed(|members| {
        let mut record: Signed<Record> = members.read(members::RECORD);
        let text = String::from_utf8(record.payload.0.clone()).unwrap();
        record.payload = text.replace("\"unwitnessed\":true", "\"unwitnessed\":false").into_bytes().into();
        members.put(members::RECORD, &record);
    });
    assert_eq!(members.failures(), ["REC-1"]);
    assert!(found(&members.audit(), "REC-1").contains("signature"));
}

#[test]
fn rec_1_a_record_by_an_unattested_key() {
    let members = changed(|members| {
        let record: Signed<Record> = members.read(members::RECORD);
        let record: Record = serde_json::from_slice(&record.payload.0).unwrap();
        members.put(members::RECORD, &Signed::sign(&record, &key(0x77)));
    });
    assert_eq!(members.failures(), ["REC-1"]);
}

#[test]
fn log_a_removed_leaf() {
    let name = honest().leaf("outcome", 1);
    let members = changed(|members| {
        let mut leaves: Vec<_> = members.under("log/entries/");
        let kept: Vec<_> =
            leaves.iter().filter(|other| **other != name).map(|name| members.0[name].clone()).collect();
        members.remove(&leaves.pop().unwrap());
        members.remove(&members.under("log/proofs/").pop().unwrap().clone());
        for (at, leaf) in (0..).zip(kept) {
            members.0.insert(members::leaf(at), leaf);
        }
    });
    // The guest's signed result has lost its leaf.
    assert_eq!(members.failures(), sorted(&[&LOG[..], &["RES-2"]].concat()));
}

#[test]
fn log_reordered_outcomes() {
    let (first, second) = (honest().leaf("outcome", 1), honest().leaf("outcome", 2));
    let members = changed(|members| {
        let (a, b) = (members.0[&first].clone(), members.0[&second].clone());
        members.0.insert(first.clone(), b);
        members.0.insert(second.clone(), a);
    });
    assert_eq!(members.failures(), sorted(&LOG));
}

#[test]
fn log_an_edited_score() {
    let name = last_outcome();
    let members = changed(|members| {
        members.edit(&name, |leaf| {
            let score = leaf["body"]["scores"][0]["score"].as_i64().unwrap();
            leaf["body"]["scores"][0]["score"] = Value::from(score - 1);
        });
    });
    assert_eq!(members.failures(), sorted(&[&LOG[..], &["RES-2"]].concat()));
    assert!(found(&members.audit(), "RES-2").contains("score"));
}

fn last_outcome() -> String {
    let evaluated = |name: &String| honest().read::<Value>(name)["body"]["role"] == "evaluate";
    honest().under("log/entries/").into_iter().rev().find(evaluated).unwrap()
}

#[test]
fn log_cut_before_the_end() {
    let members = changed(|members| {
        for folder in ["log/entries/", "log/proofs/"] {
            let last = members.under(folder).pop().unwrap();
            members.remove(&last);
        }
    });
    // The other proofs still lead to the signed root, of a longer log.
    assert_eq!(members.failures(), ["DRW-1", "LOG-1", "REC-2", "TRN-1"]);
}

#[test]
fn log_1_a_checkpoint_by_another_key() {
    let members = changed(|members| {
        let note = String::from_utf8(members.0[members::CHECKPOINT].clone()).unwrap();
        let (text, _) = note.split_once("\n\n").unwrap();
        members.0.insert(members::CHECKPOINT.to_owned(), format!("{text}\n").into_bytes());
    });
    // The proofs carry the signed note; the bundle's own copy is not that.
    assert_eq!(members.failures(), ["LOG-1", "LOG-2"]);
}

#[test]
fn log_2_a_proof_of_another_leaf() {
    let members = changed(|members| {
        let (a, b) = (members::proof(3), members::proof(4));
        let (first, second) = (members.0[&a].clone(), members.0[&b].clone());
        members.0.insert(a, second);
        members.0.insert(b, first);
    });
    assert_eq!(members.failures(), ["LOG-2"]);
}

#[test]
fn drw_1_a_reveal_that_was_not_committed_to() {
    let name = honest().leaf("draw_commit", 0);
    let members = changed(|members| {
        members.edit(&name, |leaf| leaf["body"]["commitment"] = Value::from("00".repeat(32)));
    });
    assert_eq!(members.failures(), sorted(&[&LOG[..], &["DRW-1"]].concat()));
}

#[test]
fn rcp_2_swapped_evidence() {
    let members = changed(|members| {
        let (mut a, mut b): (AttestedGuest, AttestedGuest) =
            (members.read(&guest(0x20)), members.read(&guest(0x21)));
        std::mem::swap(&mut a.evidence, &mut b.evidence);
        members.put(&guest(0x20), &a);
        members.put(&guest(0x21), &b);
    });
    // Neither guest is shown any more, so their results are nobody's, nor is what was scored.
    assert_eq!(members.failures(), ["ORD-3", "RCP-2", "RES-1", "RES-2"]);
}

#[test]
fn lse_2_a_guest_under_another_lease() {
    let members = changed(|members| {
        let other: AttestedGuest = members.read(&guest(0x20));
        members.put(&guest(0x21), &other);
    });
    let failed = members.failures();
    assert!(
        failed.contains(&"LSE-2") && failed.contains(&"EVD-2") && failed.contains(&"RCP-4"),
        "{failed:?}"
    );
}

#[test]
fn rcp_1_a_receipt_with_a_wrong_proof() {
    let members = changed(|members| {
        let mut referee: AttestedGuest = members.read(&guest(REFEREE));
        referee.receipt.inclusion[0].0[0] ^= 1;
        members.put(&guest(REFEREE), &referee);
    });
    let failed = members.failures();
    // Without its referee a bundle is nothing.
    for id in ["LOG-3", "ORD-1", "RCP-1", "REC-1"] {
        assert!(failed.contains(&id), "{id}: {failed:?}");
    }
    let audit = members.audit();
    assert!(found(&audit, "RCP-1").contains("inclusion proof"), "{}", found(&audit, "RCP-1"));
}

#[test]
fn evd_1_no_evidence_at_all() {
    let members = changed(|members| {
        members.under("guests/").iter().for_each(|name| members.remove(name));
    });
    let failed = members.failures();
    for id in ["EVD-1", "LOG-3", "ORD-1", "REC-1", "RES-1"] {
        assert!(failed.contains(&id), "{id}: {failed:?}");
    }
}

#[test]
fn lse_1_a_lease_by_another_broker() {
    let members = changed(|members| {
        let mut trainer: AttestedGuest = members.read(&guest(0x20));
        let lease = serde_json::from_slice(&trainer.lease.payload.0).unwrap();
        trainer.lease = Signed::sign(&lease, &key(4));
        members.put(&guest(0x20), &trainer);
    });
    assert_eq!(members.failures(), ["LSE-1", "ORD-3", "RES-1", "RES-2"]);
}

#[test]
fn cht_1_a_charter_with_one_signature() {
    let members = changed(|members| {
        let mut envelope = Envelope::parse(&members.0[members::CHARTER]).unwrap();
        envelope.signatures.pop();
        members.0.insert(members::CHARTER.to_owned(), envelope.to_bytes());
    });
    let audit = members.audit();
    assert_eq!(failures(&audit), ["CHT-1"]);
    assert!(found(&audit, "CHT-1").contains("Operator"));
    assert!(audit.promises.is_empty() && audit.guests.is_empty());
}

#[test]
fn cht_1_no_charter() {
    assert_eq!(changed(|members| members.remove(members::CHARTER)).failures(), ["CHT-1"]);
}

#[test]
fn anc_1_other_anchors() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let stranger = SimulatedPlatform::from_seed(&[0x5b; 32], Product::Genoa, Some(cache)).unwrap();
    let other = stranger.anchors().to_bytes();
    let members = changed(|members| {
        members.0.insert(members::ANCHORS.to_owned(), other.clone());
    });
    assert!(members.failures().contains(&"ANC-1"));
    assert!(members.audit().guests.is_empty());
    // The auditor's own copy goes before the bundle's, and is held to the charter too.
    let pins = Pins { anchors: Some(other), ..Pins::default() };
    assert!(failures(&honest().audit_with(&pins)).contains(&"ANC-1"));
    let none = changed(|members| members.remove(members::ANCHORS));
    assert!(none.failures().contains(&"ANC-1"));
}

#[test]
fn rul_1_another_rulebook() {
    let members = changed(|members| {
        let text = String::from_utf8(members.0[members::RULEBOOK].clone()).unwrap();
        members.0.insert(members::RULEBOOK.to_owned(), text.replace("best = 3", "best = 4").into_bytes());
    });
    assert_eq!(members.failures(), ["RUL-1", "TRN-1"]);
}

#[test]
fn ord_1_an_order_by_an_unattested_key() {
    let name = honest().under("orders/")[0].clone();
    let members = changed(|members| {
        let order: Signed<Order> = members.read(&name);
        let order: Order = serde_json::from_slice(&order.payload.0).unwrap();
        members.put(&name, &Signed::sign(&order, &key(0x77)));
    });
    let failed = members.failures();
    assert!(failed.contains(&"ORD-1") && failed.contains(&"ORD-2"), "{failed:?}");
}

#[test]
fn ord_2_an_order_is_missing_or_too_many() {
    let name = honest().under("orders/")[0].clone();
    let failed = changed(|members| members.remove(&name)).failures();
    assert!(failed.contains(&"ORD-2"), "{failed:?}");
    // One more, rightly signed, that the log does not know.
    let members = changed(|members| {
        let order: Signed<Order> = members.read(&name);
        let mut order: Order = serde_json::from_slice(&order.payload.0).unwrap();
        order.attempt = 9;
        let signed = Signed::sign(&order, &key(REFEREE));
        members.put(&members::order(&signed.digest()), &signed);
    });
    assert_eq!(members.failures(), ["ORD-2"]);
}

#[test]
fn res_2_a_result_is_missing() {
    let evaluated = last_outcome();
    let order = honest().read::<Value>(&evaluated)["body"]["order"].as_str().unwrap().to_owned();
    let members = changed(|members| members.remove(&format!("results/{order}.json")));
    assert_eq!(members.failures(), ["RES-2"]);
}

#[test]
fn rol_the_roll_is_edited_or_short() {
    let name = members::roll(1);
    let members = changed(|members| {
        let mut entry: RollEntry = members.read(&name);
        let text = String::from_utf8(entry.row.payload.0.clone()).unwrap();
        entry.row.payload = text.replace("\"stake\":1", "\"stake\":9").into_bytes().into();
        members.put(&name, &entry);
    });
    assert_eq!(members.failures(), ["ROL-1", "ROL-2"]);
    assert_eq!(changed(|members| members.remove(&name)).failures(), ["ROL-2"]);
    // Another entrant's submission beside the operator's row.
    let members = changed(|members| {
        let (mut entry, other): (RollEntry, RollEntry) =
            (members.read(&name), members.read(&members::roll(2)));
        entry.submission = other.submission;
        members.put(&name, &entry);
    });
    assert_eq!(members.failures(), ["ROL-1", "ROL-2"]);
}

#[test]
fn no_single_member_can_be_left_out() {
    for name in honest().0.keys() {
        let failed = changed(|members| members.remove(name)).failures();
        assert!(!failed.is_empty(), "{name}");
    }
}
