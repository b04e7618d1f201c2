//! The result token beside a ledger entry: what a relying party reads of a guest that a real broker appraised.

use tiltyard_attestation::Hex;
use tiltyard_attestation::token::{self, Demands, Holder, Tier};
use tiltyard_provisioning::charter::BrokerOwner;
use tiltyard_provisioning::keyid::Split;
use tiltyard_provisioning::ledger::{NoteKey, TlogProof};
use tiltyard_provisioning::release::{AttestAnswer, ledger_origin, token_audience};

use crate::guest::{Guest, public_of};
use crate::parties::{TENANT, parties};
use crate::yard::{Yard, key_of};

fn demands<'a>(
    audience: &'a str,
    key: &'a [Hex<32>],
    answer: &AttestAnswer,
    guest: &'a Hex<32>,
) -> Demands<'a> {
    Demands { keys: key, audience, now: answer.issued_at, holder: Holder::Signing(guest) }
}

#[test]
fn the_token_of_a_lease_says_what_the_broker_found() {
    let yard = Yard::open();
    let referee = yard.referee();
    let trainer = referee.launches_trainer("t1");
    let answer = yard.attest(&trainer, &[key_of(Split::Train)]).unwrap();
    let text = yard.token(&trainer);
    let (key, guest) = ([parties().owner.broker_key], public_of(&trainer.signing));
    let audience = token_audience(&parties().p());
    let read = token::verify(&text, &demands(&audience, &key, &answer, &guest), |_, _| true).unwrap();

    let claims = read.claims();
    let lease = answer.lease.verify(&key[0]).unwrap();
    assert_eq!(
        (claims.iss.as_str(), claims.exp),
        (ledger_origin(TENANT, BrokerOwner::Owner).as_str(), lease.not_after)
    );
    assert_eq!((claims.tiltyard_lease.lease, claims.tiltyard_lease.order), (lease.lease, lease.order));
    assert_eq!(claims.tiltyard_keys, lease.keys);
    // Simulated evidence is never affirmed, and named for what it is.
    assert_eq!(claims.ear_status, Tier::Warning);
    assert!(claims.tiltyard_anchors.to_string().starts_with("NOT A VENDOR ROOT"));
    assert_eq!(claims.submods.keys().collect::<Vec<_>>(), ["cpu0"]);

    // Its proof is of the very entry that the receipt holds.
    let proof = TlogProof::from_text(claims.tiltyard_log_proof.as_deref().unwrap()).unwrap();
    let origin = ledger_origin(TENANT, BrokerOwner::Owner);
    let note = NoteKey { name: origin.clone(), public: key[0] };
    proof.verify(&answer.receipt.leaf.0, &note, &origin).unwrap();
    assert_eq!(proof.index, answer.receipt.index);

    // A token of another guest of the same broker is not this one's.
    let other = public_of(&referee.signing);
    assert!(token::verify(&text, &demands(&audience, &key, &answer, &other), |_, _| true).is_err());
    assert!(
        token::verify(&yard.token(&referee), &demands(&audience, &key, &answer, &other), |_, _| true).is_ok()
    );
}

#[test]
fn a_lease_that_was_never_granted_has_no_token() {
    let yard = Yard::open();
    yard.referee();
    assert_eq!(yard.try_token(&Guest::referee()).refusal(), (Some(3), "E_NO_TOKEN".to_owned()));
}
