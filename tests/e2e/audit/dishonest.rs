//! Bundles of parties who hold their keys and break a rule with them: everything is signed as it should be.

use tiltyard_attestation::Hex;
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::order::Work;
use tiltyard_tournament::{Digest, Disclosed};

use crate::bundle::{Members, failures, found};
use crate::play::{NOW, REFEREE, Script, play};

fn failed(script: Script) -> (Members, Vec<&'static str>) {
    let members = play(script);
    let failed = members.failures();
    (members, failed)
}

#[test]
fn res_2_a_referee_that_records_another_score() {
    let script = Script {
        outcome: |outcome| {
            let row = &mut outcome.scores[0];
            row.score = row.score.map(|score| Disclosed::clamped(i128::from(score.steps()) - 5));
        },
        ..Script::default()
    };
    let (members, failed) = failed(script);
    assert_eq!(failed, ["RES-2"]);
    assert!(found(&members.audit(), "RES-2").contains("score"));
}

#[test]
fn res_2_a_referee_that_records_another_artefact() {
    let script = Script {
        outcome: |outcome| outcome.scores[0].artefact_sha256 = Some(Digest([9; 32])),
        ..Script::default()
    };
    assert_eq!(failed(script).1, ["RES-2"]);
}

#[test]
fn res_1_a_result_by_another_guests_key() {
    let script = Script { result_key: |label| if label == 0x21 { 0x20 } else { label }, ..Script::default() };
    let (members, failed) = failed(script);
    assert_eq!(failed, ["ORD-3", "RES-1", "RES-2"]);
    assert!(found(&members.audit(), "RES-1").contains("was not attested for it"));
}

#[test]
fn evd_1_another_measurement() {
    let script = Script {
        evidence: |label, draft| {
            if label == 0x21 {
                draft.report.measurement = [0x66; 48];
            }
        },
        ..Script::default()
    };
    let (members, failed) = failed(script);
    assert_eq!(failed, ["EVD-1", "ORD-3", "RES-1", "RES-2"]);
    assert!(found(&members.audit(), "EVD-1").contains("SNP-22 MeasurementMismatch"));
}

#[test]
fn evd_1_a_debug_guest() {
    let script = Script {
        evidence: |label, draft| {
            if label == REFEREE {
                draft.report.policy |= 1 << 19;
            }
        },
        ..Script::default()
    };
    let (members, failed) = failed(script);
    for id in ["EVD-1", "LOG-3", "ORD-1", "REC-1"] {
        assert!(failed.contains(&id), "{id}: {failed:?}");
    }
    assert!(found(&members.audit(), "EVD-1").contains("SNP-18 PolicyDebug"));
}

#[test]
fn evd_2_a_nonce_twice() {
    let script = Script { nonce: |label| if label == 0x21 { 0x20 } else { label }, ..Script::default() };
    assert_eq!(failed(script).1, ["EVD-2"]);
}

#[test]
fn rcp_2_a_ledger_entry_for_other_keys() {
    let script = Script {
        release: |label, release| {
            if label == 0x21 {
                release.keys.hpke = Hex([1; 32]);
            }
        },
        ..Script::default()
    };
    assert_eq!(failed(script).1, ["ORD-3", "RCP-2", "RES-1", "RES-2"]);
}

#[test]
fn rcp_3_a_trainer_with_the_test_split() {
    let script = Script {
        release: |label, release| {
            if label == 0x21 {
                release.released.push(KeyId::Dataset { id: "claims".into(), split: Split::Test });
            }
        },
        ..Script::default()
    };
    let (members, failed) = failed(script);
    assert_eq!(failed, ["RCP-3"]);
    assert!(found(&members.audit(), "RCP-3").contains("dataset/claims/test"));
}

#[test]
fn rcp_3_a_referee_with_data() {
    let script = Script {
        release: |label, release| {
            if label == REFEREE {
                release.released.push(KeyId::Dataset { id: "claims".into(), split: Split::Train });
            }
        },
        ..Script::default()
    };
    assert_eq!(failed(script).1, ["RCP-3"]);
}

#[test]
fn rcp_4_a_ledger_whose_time_goes_back() {
    let script = Script {
        release: |label, release| {
            if label == 0x22 {
                release.time = NOW;
            }
        },
        ..Script::default()
    };
    assert_eq!(failed(script).1, ["RCP-4"]);
}

#[test]
fn cht_4_keys_after_the_charters_end() {
    let script = Script { charter: |charter| charter.not_after = NOW + 10, ..Script::default() };
    let (members, failed) = failed(script);
    assert_eq!(failed, ["CHT-4"]);
    let audit = members.audit();
    // Guests, orders, log and record, each by itself.
    let subjects = audit.claims.iter().filter(|claim| claim.id == "CHT-4" && claim.outcome.is_fail()).count();
    assert!(subjects > 4, "{subjects}");
}

#[test]
fn cht_4_keys_before_the_charters_start() {
    let script = Script { charter: |charter| charter.not_before = NOW + 2, ..Script::default() };
    assert_eq!(failed(script).1, ["CHT-4"]);
}

#[test]
fn ord_1_an_order_for_another_charter() {
    let script = Script { order: |order| order.charter = Hex([3; 32]), ..Script::default() };
    let (members, failed) = failed(script);
    assert!(failed.contains(&"ORD-1"), "{failed:?}");
    assert!(found(&members.audit(), "ORD-1").contains("charter"));
}

#[test]
fn ord_2_an_order_with_a_chosen_seed() {
    let script = Script { order: |order| order.seed = Hex([3; 32]), ..Script::default() };
    let (members, failed) = failed(script);
    assert_eq!(failed, ["ORD-2"]);
    assert!(found(&members.audit(), "ORD-2").contains("seed"));
}

#[test]
fn ord_3_an_artefact_that_nobody_trained() {
    let script = Script {
        order: |order| {
            if let Work::Evaluate { artefacts } = &mut order.work {
                artefacts[0].object.sha256 = Hex([3; 32]);
            }
        },
        ..Script::default()
    };
    assert_eq!(failed(script).1, ["ORD-3"]);
}

#[test]
fn rec_2_a_record_of_another_log() {
    let script = Script { record: |record| record.log_size += 1, ..Script::default() };
    assert_eq!(failed(script).1, ["REC-2"]);
}

#[test]
fn trn_2_a_record_of_another_champion() {
    let script = Script { record: |record| record.champion = Some(Hex([3; 32])), ..Script::default() };
    assert_eq!(failed(script).1, ["TRN-2"]);
}

#[test]
fn failures_never_hide_each_other() {
    let script = Script {
        record: |record| record.champion = None,
        nonce: |label| if label == 0x21 { 0x20 } else { label },
        outcome: |outcome| outcome.fingerprint = Digest([9; 32]),
        ..Script::default()
    };
    assert_eq!(failures(&play(script).audit()), ["EVD-2", "RES-2", "TRN-2"]);
}
