//! Charters that a broker does not serve, and that a guest does not open.

use ring::signature::Ed25519KeyPair;
use tempfile::TempDir;
use tiltyard_attestation::Hex;
use tiltyard_broker::{Channel, Code};
use tiltyard_provisioning::charter::{self, CHARTER_PAYLOAD_TYPE, Charter, OpenCharter};
use tiltyard_provisioning::dsse::Envelope;

use crate::guest::{Guest, ed25519, public_of};
use crate::nonces::in_process;
use crate::parties::{parties, sign, signed_by_both, try_sign};
use crate::yard::{core, ledger_size, serve};

/// Copies of both homes.
fn homes() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    parties().copy_homes(dir.path());
    dir
}

/// What the owner's broker says to an envelope: it must not serve.
fn refusal(dir: &TempDir, envelope: &[u8]) -> (Option<i32>, String) {
    match serve(dir.path(), envelope) {
        Ok(_) => panic!("the broker serves a charter that it must refuse"),
        Err(finished) => finished.refusal(),
    }
}

fn verification_refused(code: &str) -> (Option<i32>, String) {
    (Some(3), code.to_owned())
}

/// What a guest or an auditor says to an envelope.
fn opened(envelope: &[u8]) -> Option<&'static str> {
    OpenCharter::open(envelope).err().map(|error| error.code())
}

fn changed(change: impl FnOnce(&mut Charter)) -> Charter {
    let mut charter = parties().charter.clone();
    change(&mut charter);
    charter
}

#[test]
fn expired_charter() {
    let dir = homes();
    let past = changed(|charter| (charter.not_before, charter.not_after) = (1_700_000_000, 1_700_003_600));
    let envelope = signed_by_both(dir.path(), &past);
    assert_eq!(refusal(&dir, &envelope), verification_refused("E_CHARTER_WINDOW"));
    let early = changed(|charter| charter.not_before = charter.not_after - 1);
    let envelope = signed_by_both(dir.path(), &early);
    assert_eq!(refusal(&dir, &envelope), verification_refused("E_CHARTER_WINDOW"));
}

#[test]
fn charter_that_expires_between_challenge_and_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let core = core(dir.path(), tiltyard_broker::now());
    let end = parties().charter.not_after;
    let at = |now: u64| {
        let referee = Guest::referee();
        let nonce = core.challenge(&referee.challenge(), end - 5).unwrap().nonce;
        core.attest(&in_process(&referee, nonce), Channel::InProcess, now).map_err(|denial| denial.code)
    };
    let entries = || core.ledger_checkpoint().unwrap().map_or(0, |note| ledger_size(&note));
    assert!(at(end).is_ok());
    assert_eq!(entries(), 1);
    assert_eq!(at(end + 1).unwrap_err(), Code::CharterWindow);
    assert_eq!(entries(), 1);
}

#[test]
fn unsigned_charter() {
    let dir = homes();
    let mut envelope = Envelope::parse(&parties().envelope).unwrap();
    envelope.signatures.clear();
    let envelope = envelope.to_bytes();
    assert_eq!(opened(&envelope), Some("E_CHARTER_SIG"));
    assert_eq!(refusal(&dir, &envelope), verification_refused("E_CHARTER_SIG"));
}

#[test]
fn charter_signed_by_one_party() {
    let dir = homes();
    for party in ["owner", "operator"] {
        let half = sign(dir.path(), party, &parties().charter, None);
        assert_eq!(opened(&half), Some("E_CHARTER_SIGNERS"), "{party}");
        assert_eq!(refusal(&dir, &half), verification_refused("E_CHARTER_SIGNERS"), "{party}");
    }
}

#[test]
fn operator_signing_as_owner() {
    let dir = homes();
    let half = sign(dir.path(), "operator", &parties().charter, None);
    // Twice under its own name.
    let mut twice = Envelope::parse(&half).unwrap();
    twice.signatures.push(twice.signatures[0].clone());
    assert_eq!(refusal(&dir, &twice.to_bytes()), verification_refused("E_CHARTER_SIGNERS"));
    // Once under the owner's.
    let mut posing = Envelope::parse(&half).unwrap();
    posing.signatures.push(posing.signatures[0].clone());
    posing.signatures[0].keyid = parties().owner.signing_key;
    assert_eq!(refusal(&dir, &posing.to_bytes()), verification_refused("E_CHARTER_SIG"));
    // As both parties: its own program does not sign that, and nobody opens it.
    let operator = parties().operator.signing_key;
    let alone = changed(|charter| charter.signers.owner = operator);
    assert_eq!(
        try_sign(dir.path(), "operator", &alone, None).refusal(),
        verification_refused("E_CHARTER_SIGNERS")
    );
}

#[test]
fn wrong_owner_key() {
    let dir = homes();
    // Complete and well signed, by somebody who calls himself the owner.
    let (stranger, accomplice) = (ed25519(), ed25519());
    let foreign = changed(|charter| charter.signers.owner = public_of(&stranger));
    let half = by(&foreign, &stranger);
    let complete = sign_beside(&dir, &foreign, &half);
    assert_eq!(opened(&complete), None, "every signature verifies");
    assert_eq!(refusal(&dir, &complete), verification_refused("E_CHARTER_SIGNERS"));
    // The owner's name, a stranger's signature.
    let mut forged = Envelope::parse(&parties().envelope).unwrap();
    let own = forged.signatures.iter_mut().find(|s| s.keyid == parties().owner.signing_key).unwrap();
    own.sig.0[0] ^= 1;
    assert_eq!(refusal(&dir, &forged.to_bytes()), verification_refused("E_CHARTER_SIG"));
    // A third signer beside the two.
    let mut third = Envelope::parse(&parties().envelope).unwrap();
    third.add_signature(&accomplice);
    assert_eq!(refusal(&dir, &third.to_bytes()), verification_refused("E_CHARTER_SIG"));
    // The owner's own program signs for nobody else.
    assert_eq!(
        try_sign(dir.path(), "owner", &foreign, None).refusal(),
        verification_refused("E_CHARTER_SIG")
    );
}

#[test]
fn charter_changed_after_it_was_signed() {
    let dir = homes();
    let mut envelope = Envelope::parse(&parties().envelope).unwrap();
    envelope.payload =
        serde_json::to_vec(&changed(|charter| charter.limits.max_releases = 99)).unwrap().into();
    assert_eq!(refusal(&dir, &envelope.to_bytes()), verification_refused("E_CHARTER_SIG"));
}

#[test]
fn charter_of_another_broker() {
    let dir = homes();
    let other = changed(|charter| charter.brokers[0].key = Hex([1; 32]));
    let envelope = signed_by_both(dir.path(), &other);
    assert_eq!(refusal(&dir, &envelope), verification_refused("E_CHARTER_GRAPH"));
}

fn by(charter: &Charter, key: &Ed25519KeyPair) -> Vec<u8> {
    let payload = serde_json::to_vec_pretty(charter).unwrap();
    let half = Envelope::sign(CHARTER_PAYLOAD_TYPE, payload.clone(), key).to_bytes();
    assert_eq!(charter::unverified_payload(&half).unwrap(), payload);
    half
}

fn sign_beside(dir: &TempDir, charter: &Charter, half: &[u8]) -> Vec<u8> {
    sign(dir.path(), "operator", charter, Some(half))
}
