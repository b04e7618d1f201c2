//! A nonce is used once, before anything else is looked at.

use std::sync::Barrier;

use tiltyard_attestation::Hex;
use tiltyard_broker::{Channel, Code};
use tiltyard_provisioning::keyid::Split;
use tiltyard_provisioning::release::{AttestRequest, NONCE_LIFE_S};

use crate::guest::Guest;
use crate::yard::{Yard, attest, challenge, core, key_of, ledger_size, request};

#[test]
fn replayed_nonce() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    let mut line = yard.line();
    let nonce = challenge(&mut line, &trainer).unwrap();
    let granted = request(&trainer, &line, nonce, &[key_of(Split::Train)], |_| {});
    attest(&mut line, &granted).unwrap();
    yard.refuses("NonceUsed", || attest(&mut line, &granted));
    // Fresh evidence for the old nonce, over a channel of its own.
    yard.refuses("NonceUsed", || {
        let mut line = yard.line();
        let request = request(&trainer, &line, nonce, &[key_of(Split::Train)], |_| {});
        attest(&mut line, &request)
    });
}

#[test]
fn replayed_nonce_sixteen_at_once_and_exactly_one_wins() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    let nonce = challenge(&mut yard.line(), &trainer).unwrap();
    let before = yard.ledger();
    // Each request is good by itself: its evidence is bound to its own channel.
    let lines: Vec<_> = (0..16).map(|_| yard.line()).collect();
    let armed: Vec<_> = lines
        .into_iter()
        .map(|line| (request(&trainer, &line, nonce, &[key_of(Split::Train)], |_| {}), line))
        .collect();
    let start = Barrier::new(armed.len());
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let race = |(request, mut line)| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                attest(&mut line, &request)
            })
        };
        let racers: Vec<_> = armed.into_iter().map(race).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let losers: Vec<_> = outcomes.into_iter().filter_map(Result::err).map(|problem| problem.code).collect();
    assert_eq!(losers, vec![Box::from("NonceUsed"); 15]);
    assert_eq!(yard.ledger(), before + 1);
}

#[test]
fn unknown_nonce() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    yard.refuses("NonceMismatch", || {
        let mut line = yard.line();
        let request = request(&trainer, &line, Hex([0x11; 32]), &[key_of(Split::Train)], |_| {});
        attest(&mut line, &request)
    });
}

#[test]
fn nonce_of_another_guest_s_challenge() {
    let yard = Yard::open();
    let referee = yard.referee();
    let (one, other) = (referee.launches_trainer("t1"), referee.launches_trainer("t1"));
    let problem = yard.refuses("CharterBinding", || {
        let mut line = yard.line();
        let nonce = challenge(&mut line, &one)?;
        let request = request(&other, &line, nonce, &[key_of(Split::Train)], |_| {});
        attest(&mut line, &request)
    });
    assert_eq!(problem.reason.as_deref(), Some("OrderMismatch"));
}

#[test]
fn bad_evidence_spends_the_nonce_before_it_is_looked_at() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    let mut line = yard.line();
    let nonce = challenge(&mut line, &trainer).unwrap();
    let good = request(&trainer, &line, nonce, &[key_of(Split::Train)], |_| {});
    let bad =
        request(&trainer, &line, nonce, &[key_of(Split::Train)], |draft| draft.report.policy |= 1 << 19);
    yard.refuses("PolicyDeny", || attest(&mut line, &bad));
    yard.refuses("NonceUsed", || attest(&mut line, &good));
}

#[test]
fn stale_nonce() {
    let dir = tempfile::tempdir().unwrap();
    let issued = tiltyard_broker::now();
    let core = core(dir.path(), issued);
    let entries = || core.ledger_checkpoint().unwrap().map_or(0, |note| ledger_size(&note));
    let answer_after = |issued: u64, age_s: u64| {
        let referee = Guest::referee();
        let nonce = core.challenge(&referee.challenge(), issued).unwrap().nonce;
        let request = in_process(&referee, nonce);
        core.attest(&request, Channel::InProcess, issued + age_s).map_err(|denial| denial.code)
    };
    assert!(answer_after(issued, NONCE_LIFE_S).is_ok());
    assert_eq!(entries(), 1);
    // Issued later: the broker's time never goes back.
    let late = answer_after(issued + NONCE_LIFE_S, NONCE_LIFE_S + 1);
    assert_eq!(late.unwrap_err(), Code::NonceExpired);
    assert_eq!(entries(), 1);
}

/// A referee's request without a channel, as a call inside one process has none.
pub(crate) fn in_process(referee: &Guest, nonce: Hex<32>) -> AttestRequest {
    AttestRequest {
        evidence: referee.evidence(nonce, None, |_| {}),
        key_ids: Vec::new(),
        order: None,
        checkpoint: None,
        consistency: Vec::new(),
    }
}
