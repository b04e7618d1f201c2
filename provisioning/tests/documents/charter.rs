//! Charters: two signatures over the same bytes, every static rule, and what a new version changes.

use ring::signature::Ed25519KeyPair;
use serde_json::Value;
use tiltyard_attestation::binding::KEM_X25519;
use tiltyard_attestation::policy::{Level, Product};
use tiltyard_attestation::{Backend, Hex};
use tiltyard_provisioning::charter::{
    BrokerOwner, CHARTER_PAYLOAD_TYPE, CHARTER_WINDOW_MAX_S, Change, ChangeKind, Charter, CharterError,
    KemFloor, OpenCharter, diff, read_payload, sign, unverified_payload,
};
use tiltyard_provisioning::dsse::{Envelope, PAYLOAD_MAX_BYTES};
use tiltyard_provisioning::keyid::Split;

use crate::fixture::{
    NOT_AFTER, NOT_BEFORE, charter, floor, image, key, operator, owner, platform, public, strict_charter,
};

fn payload(charter: &Charter) -> Vec<u8> {
    serde_json::to_vec_pretty(charter).unwrap()
}

/// Signed by these keys without any check: what an adversary can always make.
fn forced(payload: Vec<u8>, keys: &[Ed25519KeyPair]) -> Vec<u8> {
    let mut envelope = Envelope::sign(CHARTER_PAYLOAD_TYPE, payload, &keys[0]);
    keys[1..].iter().for_each(|key| envelope.add_signature(key));
    envelope.to_bytes()
}

fn both(payload: Vec<u8>) -> Vec<u8> {
    forced(payload, &[owner(), operator()])
}

fn refused(envelope: &[u8]) -> CharterError {
    match OpenCharter::open(envelope) {
        Ok(charter) => panic!("opened {}", charter.p()),
        Err(error) => error,
    }
}

/// The code for a charter after `edit`, signed by both parties.
fn code_after(edit: impl FnOnce(&mut Charter)) -> &'static str {
    let mut edited = charter();
    edit(&mut edited);
    refused(&both(payload(&edited))).code()
}

fn code_of_json(edit: impl FnOnce(&mut Value)) -> &'static str {
    let mut value = serde_json::to_value(charter()).unwrap();
    edit(&mut value);
    refused(&both(value.to_string().into_bytes())).code()
}

fn open(charter: &Charter) -> OpenCharter {
    OpenCharter::open(&both(payload(charter))).unwrap()
}

#[test]
fn both_parties_sign_the_same_bytes_in_either_order() {
    let bytes = payload(&charter());
    let by_owner = sign(&bytes, None, &owner()).unwrap();
    assert_eq!(refused(&by_owner).code(), "E_CHARTER_SIGNERS");
    let owner_first = sign(&unverified_payload(&by_owner).unwrap(), Some(&by_owner), &operator()).unwrap();
    let by_operator = sign(&bytes, None, &operator()).unwrap();
    let operator_first = sign(&bytes, Some(&by_operator), &owner()).unwrap();
    assert_eq!(owner_first, operator_first);

    let open = OpenCharter::open(&owner_first).unwrap();
    assert_eq!(open.p(), Hex::sha256(&bytes));
    assert_eq!(open.payload(), bytes);
    assert_eq!(*open, charter());
    assert_eq!(open.policy().level(), Level::Lab);
    assert!(OpenCharter::open(&both(payload(&strict_charter()))).is_ok());
}

#[test]
fn a_party_does_not_sign_twice_for_others_or_beside_other_bytes() {
    let bytes = payload(&charter());
    let by_owner = sign(&bytes, None, &owner()).unwrap();
    let code = |payload: &[u8], existing: &[u8], key: &Ed25519KeyPair| {
        sign(payload, Some(existing), key).unwrap_err().code()
    };
    assert_eq!(code(&bytes, &by_owner, &owner()), "E_CHARTER_SIGNERS");
    assert_eq!(sign(&bytes, None, &key(9)).unwrap_err().code(), "E_CHARTER_SIG");
    let mut other = charter();
    other.limits.max_releases += 1;
    assert_eq!(code(&payload(&other), &by_owner, &operator()), "E_CHARTER_SIG");
    let mut broken = Envelope::parse(&by_owner).unwrap();
    broken.signatures[0].sig.0[0] ^= 1;
    assert_eq!(code(&bytes, &broken.to_bytes(), &operator()), "E_CHARTER_SIG");
    let mut bad = charter();
    bad.backends.clear();
    assert_eq!(sign(&payload(&bad), None, &owner()).unwrap_err().code(), "E_CHARTER_GRAPH");
}

#[test]
fn signers() {
    let bytes = payload(&charter());
    for only in [owner(), operator()] {
        let error = refused(&forced(bytes.clone(), &[only]));
        assert!(matches!(error, CharterError::SignerMissing { .. }), "{error}");
        assert_eq!(error.code(), "E_CHARTER_SIGNERS");
    }
    // The operator signs for both.
    let code = code_after(|charter| charter.signers.owner = charter.signers.operator);
    assert_eq!(code, "E_CHARTER_SIGNERS");
    // One party's signature twice in place of two.
    let mut twice = Envelope::parse(&forced(bytes.clone(), &[owner()])).unwrap();
    twice.signatures.push(twice.signatures[0].clone());
    assert_eq!(refused(&twice.to_bytes()).code(), "E_CHARTER_SIGNERS");
    // Somebody else in the place of a party, or beside both.
    assert_eq!(refused(&forced(bytes.clone(), &[owner(), key(9)])).code(), "E_CHARTER_SIG");
    assert_eq!(refused(&forced(bytes.clone(), &[owner(), operator(), key(9)])).code(), "E_CHARTER_SIG");
    // A reader who knows the owner is not led to another one's charter.
    let open = open(&charter());
    assert!(open.signed_by(BrokerOwner::Owner, &public(&owner())).is_ok());
    let error = open.signed_by(BrokerOwner::Owner, &public(&operator())).unwrap_err();
    assert_eq!(error.code(), "E_CHARTER_SIGNERS");
}

#[test]
fn signatures_cover_every_byte_and_the_payload_type() {
    let envelope = Envelope::parse(&both(payload(&charter()))).unwrap();
    for at in 0..2 {
        let mut changed = envelope.clone();
        changed.signatures[at].sig.0[63] ^= 1;
        assert_eq!(refused(&changed.to_bytes()).code(), "E_CHARTER_SIG");
    }
    let mut spaced = envelope.clone();
    spaced.payload.0.push(b'\n');
    assert_eq!(refused(&spaced.to_bytes()).code(), "E_CHARTER_SIG");
    let mut retyped = Envelope::sign("application/vnd.in-toto+json", envelope.payload.0.clone(), &owner());
    retyped.add_signature(&operator());
    assert_eq!(refused(&retyped.to_bytes()).code(), "E_CHARTER_SIG");
    let mut unsigned = envelope;
    unsigned.signatures.clear();
    assert_eq!(refused(&unsigned.to_bytes()).code(), "E_CHARTER_SIG");
}

#[test]
fn window() {
    let open = open(&charter());
    for now in [NOT_BEFORE, NOT_AFTER] {
        let in_force = open.at(now).unwrap();
        assert_eq!((in_force.p(), in_force.at()), (open.p(), now));
    }
    for now in [0, NOT_BEFORE - 1, NOT_AFTER + 1, u64::MAX] {
        assert_eq!(open.at(now).unwrap_err().code(), "E_CHARTER_WINDOW", "{now}");
    }
    let with = |length: u64| {
        let mut charter = charter();
        charter.not_after = charter.not_before + length;
        OpenCharter::open(&both(payload(&charter))).map_err(|error| error.code())
    };
    assert!(with(CHARTER_WINDOW_MAX_S).is_ok());
    assert_eq!(with(CHARTER_WINDOW_MAX_S + 1), Err("E_CHARTER_WINDOW"));
    assert_eq!(code_after(|charter| charter.not_after = charter.not_before - 1), "E_CHARTER_WINDOW");
}

#[test]
fn chain() {
    assert_eq!(code_after(|charter| charter.version = 0), "E_CHARTER_CHAIN");
    assert_eq!(code_after(|charter| charter.prev = Some(Hex([1; 32]))), "E_CHARTER_CHAIN");
    assert_eq!(code_after(|charter| charter.version = 2), "E_CHARTER_CHAIN");

    let first = open(&charter());
    let next = |edit: &dyn Fn(&mut Charter)| {
        let mut charter = charter();
        (charter.version, charter.prev) = (2, Some(first.p()));
        edit(&mut charter);
        open(&charter).follows(&first).map_err(|error| error.code())
    };
    let follows = next(&|_| {}).unwrap();
    assert_eq!(follows.prev(), first.p());
    assert_eq!(next(&|charter| charter.version = 3), Err("E_CHARTER_CHAIN"));
    assert_eq!(next(&|charter| charter.prev = Some(Hex([1; 32]))), Err("E_CHARTER_CHAIN"));
    assert_eq!(next(&|charter| charter.charter_id = "other".into()), Err("E_CHARTER_CHAIN"));
    assert_eq!(next(&|charter| charter.tenant = "other".into()), Err("E_CHARTER_CHAIN"));
}

#[test]
fn syntax() {
    assert_eq!(code_of_json(|value| value["surprise"] = 1.into()), "E_SYNTAX");
    assert_eq!(code_of_json(|value| value["limits"]["surprise"] = 1.into()), "E_SYNTAX");
    assert_eq!(code_of_json(|value| value["limits"]["lease_s"] = 450.0.into()), "E_SYNTAX");
    assert_eq!(code_of_json(|value| value["not_after"] = (1_u64 << 53).into()), "E_SYNTAX");
    assert_eq!(code_of_json(|value| value["not_before"] = (-1).into()), "E_SYNTAX");
    assert_eq!(code_of_json(|value| value["level"] = "none".into()), "E_SYNTAX");
    assert_eq!(code_of_json(|value| drop(value.as_object_mut().unwrap().remove("limits"))), "E_SYNTAX");

    let text = String::from_utf8(payload(&charter())).unwrap();
    let duplicate = text.replacen("\"v\": 1,", "\"v\": 1, \"v\": 1,", 1);
    assert_ne!(text, duplicate);
    assert_eq!(refused(&both(duplicate.into_bytes())).code(), "E_SYNTAX");
    let escaped = text.replacen("\"lease_s\"", "\"lease_s\": 900, \"lease\\u005fs\"", 1);
    assert_ne!(text, escaped);
    assert_eq!(refused(&both(escaped.into_bytes())).code(), "E_SYNTAX");
    let mut not_utf8 = text.clone().into_bytes();
    let at = text.find("SmolLM2").unwrap();
    not_utf8[at] = 0xff;
    assert_eq!(refused(&both(not_utf8)).code(), "E_SYNTAX");

    let mut oversized = text.into_bytes();
    oversized.resize(PAYLOAD_MAX_BYTES + 1, b' ');
    assert_eq!(refused(&both(oversized.clone())).code(), "E_SYNTAX");
    assert_eq!(read_payload(&oversized).unwrap_err().code(), "E_SYNTAX");
    assert_eq!(refused(b"").code(), "E_SYNTAX");
    assert_eq!(refused(&vec![b'['; 3 << 20]).code(), "E_SYNTAX");
}

/// One edit of a charter that keeps every rule.
type Edit = fn(&mut Charter);

#[test]
fn every_static_rule_refuses() {
    let edits: &[(&str, Edit)] = &[
        ("other document version", |c| c.v = 2),
        ("id with a slash", |c| c.charter_id = "a/b".into()),
        ("tournament without a name", |c| c.tournament.id = String::new()),
        ("tenant in capitals", |c| c.tenant = "Insurer".into()),
        ("no backend", |c| c.backends.clear()),
        ("backend twice", |c| c.backends.push(Backend::Process)),
        ("backend without evidence", |c| {
            c.backends.push(Backend::Vtpm);
            c.reference_values.images.push(image(Backend::Vtpm, 1));
        }),
        ("backend without an image", |c| c.backends.push(Backend::Kvm)),
        ("image of another backend", |c| c.reference_values.images.push(image(Backend::Tcg, 1))),
        ("image twice", |c| c.reference_values.images.push(image(Backend::Process, 7))),
        ("product twice", |c| c.tee_floor.snp.push(floor(Product::Turin))),
        ("platform twice", |c| c.platforms.push(platform(9))),
        ("no dataset", |c| c.datasets.clear()),
        ("train without test", |c| c.datasets.truncate(1)),
        ("split twice", |c| c.datasets.push(c.datasets[0].clone())),
        ("dataset id with a path", |c| c.datasets[0].dataset_id = "../claims".into()),
        ("dataset version 0", |c| c.datasets[0].min_version = 0),
        ("role without a stage", |c| c.stages.truncate(2)),
        ("role with two stages", |c| c.stages.push(c.stages[0].clone())),
        ("trainer given the test split", |c| c.stages[1].keys.push("dataset/claims/test".parse().unwrap())),
        ("evaluator given submissions", |c| c.stages[2].keys.push("submission/*".parse().unwrap())),
        ("referee given a data key", |c| c.stages[0].keys.push("dataset/claims/train".parse().unwrap())),
        ("stage over a dataset that isn't there", |c| {
            c.stages[1].keys.push("dataset/payroll/train".parse().unwrap());
        }),
        ("key twice in a stage", |c| c.stages[1].keys.push("submission/*".parse().unwrap())),
        ("datasets without a broker", |c| c.brokers.retain(|b| b.owner != BrokerOwner::Owner)),
        ("submissions without a broker", |c| c.brokers.retain(|b| b.owner != BrokerOwner::Operator)),
        ("two brokers of one party", |c| c.brokers.push(c.brokers[0].clone())),
        ("one broker key for both parties", |c| c.brokers[0].key = c.brokers[1].key),
        ("address without a port", |c| c.brokers[0].address = "broker.example".into()),
        ("address with port 0", |c| c.brokers[0].address = "broker.example:0".into()),
        ("address with a path", |c| c.brokers[0].address = "broker.example/x:443".into()),
        ("address that breaks a line", |c| c.brokers[0].address = "a\r\nb:443".into()),
        ("lease of no time", |c| c.limits.lease_s = 0),
        ("lease above 900 s", |c| c.limits.lease_s = 901),
        ("no release", |c| c.limits.max_releases = 0),
        ("no test item", |c| c.tournament.budget.test_items = 0),
        ("no time to train", |c| c.tournament.budget.train_wall_s = 0),
        ("no bit", |c| c.output.cap_bits = 0),
        ("no artefact", |c| c.output.artefact_max_bytes = 0),
        ("recipient below the floor", |c| {
            c.output.owner_recipient.kem = KEM_X25519;
            c.output.owner_recipient.public = vec![5; 32].into();
        }),
        ("recipient of another length", |c| c.output.owner_recipient.public = vec![5; 1215].into()),
        ("recipient of no KEM", |c| {
            c.kem_floor = KemFloor::Classic;
            c.output.owner_recipient.kem = 0x10;
        }),
        ("text that moves the cursor", |c| c.platforms[0].custody = "rack\u{1b}[2K4".into()),
        ("text that turns the line", |c| c.base.name = "model\u{202e}gpj".into()),
        ("text without end", |c| c.base.name = "m".repeat(257)),
    ];
    for (name, edit) in edits {
        let mut charter = charter();
        edit(&mut charter);
        let error = refused(&both(payload(&charter)));
        assert_eq!(error.code(), "E_CHARTER_GRAPH", "{name}: {error}");
    }
}

#[test]
fn above_lab_is_hardware_under_vendor_roots_only() {
    let edits: &[(&str, Edit)] = &[
        ("process backend", |c| {
            c.backends.push(Backend::Process);
            c.reference_values.images.push(image(Backend::Process, 1));
        }),
        ("plain virtual machine", |c| {
            c.backends = vec![Backend::Kvm];
            c.reference_values.images = vec![image(Backend::Kvm, 1)];
        }),
        ("foreign anchors", |c| c.reference_values.foreign_anchors = Some(Hex([8; 32]))),
        ("no platform", |c| c.platforms.clear()),
        ("a chip whose keys leak", |c| c.tee_floor.snp.push(floor(Product::Milan))),
    ];
    for level in [Level::Standard, Level::Strict] {
        for (name, edit) in edits {
            let mut charter = strict_charter();
            charter.level = level;
            edit(&mut charter);
            assert_eq!(refused(&both(payload(&charter))).code(), "E_CHARTER_GRAPH", "{name} at {level:?}");
        }
    }
}

/// The one change that `edit` makes.
fn change(edit: impl FnOnce(&mut Charter)) -> Change {
    let (old, mut new) = (charter(), charter());
    edit(&mut new);
    let mut changes = diff(Some(&old), &new);
    assert_eq!(changes.len(), 1, "{changes:?}");
    changes.remove(0)
}

#[test]
fn what_widens() {
    let widening: &[(&str, ChangeKind, Edit)] = &[
        ("not_after", ChangeKind::Changed, |c| c.not_after += 1),
        ("not_before", ChangeKind::Changed, |c| c.not_before -= 1),
        ("limits.max_releases", ChangeKind::Changed, |c| c.limits.max_releases += 1),
        ("limits.lease_s", ChangeKind::Changed, |c| c.limits.lease_s += 1),
        ("output.cap_bits", ChangeKind::Changed, |c| c.output.cap_bits += 1),
        ("output.owner_recipient.public", ChangeKind::Changed, |c| c.output.owner_recipient.public.0[9] = 1),
        ("tournament.budget.test_items", ChangeKind::Changed, |c| c.tournament.budget.test_items += 1),
        ("tournament.rulebook_sha256", ChangeKind::Changed, |c| c.tournament.rulebook_sha256.0[0] = 1),
        ("tee_floor.snp[turin].tcb.snp", ChangeKind::Changed, |c| c.tee_floor.snp[0].tcb.snp -= 1),
        ("tee_floor.snp[genoa]", ChangeKind::Added, |c| c.tee_floor.snp.push(floor(Product::Genoa))),
        ("kem_floor", ChangeKind::Changed, |c| c.kem_floor = KemFloor::Classic),
        ("backends[kvm]", ChangeKind::Added, |c| c.backends.push(Backend::Kvm)),
        ("reference_values.images[guest/process/0101010101010101]", ChangeKind::Added, |c| {
            c.reference_values.images.push(image(Backend::Process, 1));
        }),
        ("platforms[0101010101010101]", ChangeKind::Added, |c| c.platforms.push(platform(1))),
        ("datasets[claims/test].manifest_sha256", ChangeKind::Changed, |c| {
            c.datasets[1].manifest_sha256.0[0] = 1;
        }),
        ("brokers[owner].key", ChangeKind::Changed, |c| c.brokers[0].key.0[0] ^= 1),
        ("signers.owner", ChangeKind::Changed, |c| c.signers.owner.0[0] ^= 1),
    ];
    for (path, kind, edit) in widening {
        let change = change(edit);
        assert_eq!((change.path.as_str(), change.kind, change.widens), (*path, *kind, true), "{change:?}");
    }
    let narrowing: &[(&str, ChangeKind, Edit)] = &[
        ("version", ChangeKind::Changed, |c| c.version = 2),
        ("not_after", ChangeKind::Changed, |c| c.not_after -= 1),
        ("limits.max_releases", ChangeKind::Changed, |c| c.limits.max_releases -= 1),
        ("level", ChangeKind::Changed, |c| c.level = Level::Strict),
        ("gpu_floor.count", ChangeKind::Changed, |c| c.gpu_floor.count = 1),
        ("tee_floor.snp[turin].guest_svn", ChangeKind::Changed, |c| c.tee_floor.snp[0].guest_svn += 1),
        ("tee_floor.snp[turin]", ChangeKind::Removed, |c| c.tee_floor.snp.clear()),
        ("platforms[0909090909090909].revoked_at", ChangeKind::Added, |c| {
            c.platforms[0].revoked_at = Some(NOT_BEFORE);
        }),
        ("platforms[0909090909090909]", ChangeKind::Removed, |c| c.platforms.clear()),
        ("datasets[claims/train].min_version", ChangeKind::Changed, |c| c.datasets[0].min_version += 1),
        ("reference_values.foreign_anchors", ChangeKind::Removed, |c| {
            c.reference_values.foreign_anchors = None;
        }),
    ];
    for (path, kind, edit) in narrowing {
        let change = change(edit);
        assert_eq!((change.path.as_str(), change.kind, change.widens), (*path, *kind, false), "{change:?}");
    }
}

#[test]
fn a_lifted_revocation_widens() {
    let mut revoked = charter();
    revoked.platforms[0].revoked_at = Some(NOT_BEFORE);
    let changes = diff(Some(&revoked), &charter());
    assert_eq!(changes.len(), 1);
    assert!(changes[0].widens && changes[0].kind == ChangeKind::Removed, "{changes:?}");
    let changes = diff(Some(&strict_charter()), &charter());
    assert!(changes.iter().any(|change| change.path == "level" && change.widens));
}

#[test]
fn widening_changes_come_first_and_order_of_lists_is_no_change() {
    let (old, mut new) = (charter(), charter());
    new.datasets.reverse();
    new.brokers.reverse();
    assert_eq!(diff(Some(&old), &new), []);
    new.limits.lease_s -= 1;
    new.base.len_bytes += 1;
    new.limits.max_releases += 1;
    let paths: Vec<_> =
        diff(Some(&old), &new).into_iter().map(|change| (change.path, change.widens)).collect();
    let expected = [("base.len_bytes", true), ("limits.max_releases", true), ("limits.lease_s", false)];
    assert_eq!(paths, expected.map(|(path, widens)| (path.to_owned(), widens)));
}

#[test]
fn a_first_charter_shows_every_field() {
    let changes = diff(None, &charter());
    assert!(changes.iter().all(|change| change.kind == ChangeKind::Added && change.old.is_none()));
    for path in ["limits.lease_s", "datasets[claims/train]", "brokers[operator]", "signers.owner", "level"] {
        assert!(changes.iter().any(|change| change.path == path), "{path} is not shown");
    }
    let train = changes.iter().find(|change| change.path == "datasets[claims/train]").unwrap();
    assert!(train.new.as_ref().unwrap().contains(&Hex::<32>([12; 32]).to_string()));
    assert_eq!(charter().datasets[0].split, Split::Train);
}
