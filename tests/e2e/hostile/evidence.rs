//! Evidence that lies about one thing: the broker appraises it and refuses.

use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{KEM_X25519, Runtime};
use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_attestation::measure::process_measurement;
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::release::AttestAnswer;

use crate::guest::Guest;
use crate::parties::TOURNAMENT;
use crate::wire::Problem;
use crate::yard::{Yard, attest, challenge, key_of, request};

/// Guest policy, bit 19.
const POLICY_DEBUG: u64 = 1 << 19;

/// The code of a refusal, and the finding behind it.
fn refused(yard: &Yard, code: &str, attack: impl FnOnce() -> Result<AttestAnswer, Problem>) -> String {
    yard.refuses(code, attack).reason.unwrap_or_default().into()
}

/// What a trainer is honestly given; each attack below differs from it in one thing.
#[test]
fn positive_control_an_honest_trainer_is_given_the_training_key() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    let before = yard.ledger();
    let answer = yard.attest(&trainer, &[key_of(Split::Train)]).unwrap();
    assert_eq!(trainer.opens(&answer, &key_of(Split::Train)).unwrap().len(), 32);
    assert_eq!(trainer.booted_again().opens(&answer, &key_of(Split::Train)), None, "another guest's key");
    assert_eq!(yard.ledger(), before + 1);
}

#[test]
fn wrong_measurement() {
    let yard = Yard::open();
    let mut trainer = yard.referee().launches_trainer("t1");
    trainer.facts.measurement = process_measurement(b"another program");
    let attack = || yard.attest(&trainer, &[key_of(Split::Train)]);
    assert_eq!(refused(&yard, "PolicyDeny", attack), "MeasurementMismatch");
}

#[test]
fn debug_bit() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    let attack =
        || yard.attest_edited(&trainer, &[key_of(Split::Train)], |draft| draft.report.policy |= POLICY_DEBUG);
    assert_eq!(refused(&yard, "PolicyDeny", attack), "PolicyDebug");
}

#[test]
fn report_changed_after_it_was_signed() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    let attack = || {
        let mut line = yard.line();
        let nonce = challenge(&mut line, &trainer)?;
        let mut request = request(&trainer, &line, nonce, &[key_of(Split::Train)], |_| {});
        let CpuEvidence::Snp { report, .. } = &mut request.evidence.cpu else {
            panic!("expected SNP evidence");
        };
        // REPORT_ID: nothing but the signature covers it.
        report.0[0x140] ^= 1;
        attest(&mut line, &request)
    };
    assert_eq!(refused(&yard, "PolicyDeny", attack), "ReportSignature");
}

#[test]
fn other_charter() {
    let yard = Yard::open();
    let referee = yard.referee();
    let other = Hex::sha256(b"another charter");

    let mut openly = referee.launches_trainer("t1");
    openly.facts.config.charter = other;
    yard.refuses("CharterBinding", || yard.attest(&openly, &[key_of(Split::Train)]));

    // The challenge is for this charter; the guest was launched for the other.
    let trainer = referee.launches_trainer("t2");
    let mut secretly = trainer.booted_again();
    secretly.facts.config.charter = other;
    let attack = || {
        let mut line = yard.line();
        let nonce = challenge(&mut line, &trainer)?;
        let request = request(&secretly, &line, nonce, &[key_of(Split::Train)], |_| {});
        attest(&mut line, &request)
    };
    assert_eq!(refused(&yard, "CharterBinding", attack), "CharterMismatch");
}

#[test]
fn launch_configuration_other_than_the_one_in_host_data() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    let attack = || {
        yard.attest_edited(&trainer, &[key_of(Split::Train)], |draft| draft.host_data = Some(Hex([0; 32])))
    };
    assert_eq!(refused(&yard, "CharterBinding", attack), "HostDataMismatch");
}

#[test]
fn evidence_of_another_guest() {
    let yard = Yard::open();
    let referee = yard.referee();
    let victim = referee.launches_trainer("t1");
    // Same launch, keys of the host's own making: the report covers the victim's.
    let thief = victim.booted_again();

    let presented = || {
        yard.attest_edited(&victim, &[key_of(Split::Train)], |draft| draft.keys = thief.facts.keys.clone())
    };
    assert_eq!(refused(&yard, "BindingMismatch", presented), "KeyMismatch");

    // With the runtime document made to fit: now REPORT_DATA does not.
    let rewritten = || {
        yard.attest_edited(&victim, &[key_of(Split::Train)], |draft| {
            draft.report_data = Some(Runtime::report_data(&draft.runtime.to_bytes()));
            draft.keys = thief.facts.keys.clone();
            draft.runtime.profile.keys = thief.facts.keys.digests();
        })
    };
    assert_eq!(refused(&yard, "BindingMismatch", rewritten), "BindingMismatch");
}

#[test]
fn evidence_bound_to_another_channel() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    // The guest speaks to the broker over one channel, the host relays its evidence over another.
    let relayed = || {
        let (guests, mut hosts) = (yard.line(), yard.line());
        let nonce = challenge(&mut hosts, &trainer)?;
        let request = request(&trainer, &guests, nonce, &[key_of(Split::Train)], |_| {});
        attest(&mut hosts, &request)
    };
    assert_eq!(refused(&yard, "ChannelBinding", relayed), "ChannelBinding");

    let unbound = || {
        yard.attest_edited(&trainer, &[key_of(Split::Train)], |draft| draft.runtime.profile.channel = None)
    };
    assert_eq!(refused(&yard, "ChannelBinding", unbound), "ChannelBinding");
}

#[test]
fn guest_talked_down_to_a_classic_key() {
    let yard = Yard::open();
    let mut referee = Guest::referee();
    referee.facts.keys.hpke.kem = KEM_X25519;
    referee.facts.keys.hpke.public.0.truncate(32);
    let attack = || yard.attest(&referee, &[KeyId::Draw(TOURNAMENT.into())]);
    assert_eq!(refused(&yard, "PolicyDeny", attack), "KemBelowFloor");
}
