//! Who is given which key, when, and what is durable by then.

use std::sync::Barrier;

use tiltyard_attestation::binding::{Profile, Runtime};
use tiltyard_provisioning::ledger::{Checkpoint, NoteKey, verify_inclusion};
use tiltyard_provisioning::release::{End, KeyRelease};
use tiltyard_provisioning::stage::LAPSE_GRACE_S;

use super::*;

#[test]
fn a_referee_is_given_a_lease_a_receipt_and_no_key() {
    let yard = Yard::new();
    let referee = Guest::new(Role::Referee, 1, None, NOW);
    let answer = yard.grant(&referee, &asks(&[KeyId::Draw("cup".into())], None)).unwrap();
    assert!(answer.keys.is_empty(), "the draw seed has not been deposited yet");

    let lease = answer.lease.verify(&yard.broker_key()).unwrap();
    assert_eq!((lease.lease, lease.role, lease.order), (Hex([1; 16]), Role::Referee, None));
    assert_eq!((lease.issued_at, lease.not_after, answer.issued_at), (NOW, NOW + LEASE_S, NOW));

    let key = NoteKey { name: "acme/tiltyard/ledger/owner".into(), public: yard.broker_key() };
    let checkpoint = Checkpoint::open(&answer.receipt.checkpoint, &key).unwrap();
    let receipt = &answer.receipt;
    verify_inclusion(&receipt.leaf.0, receipt.index, checkpoint.size, &receipt.inclusion, &checkpoint.root)
        .unwrap();
    let leaf: KeyRelease = serde_json::from_slice(&receipt.leaf.0).unwrap();
    assert_eq!((leaf.evidence_sha256, leaf.time), (referee.attested.evidence, NOW));
    assert_eq!(yard.core.ledger_checkpoint().unwrap().as_deref(), Some(receipt.checkpoint.as_str()));
}

#[test]
fn a_trainer_is_given_the_train_key_and_only_its_own_hpke_key_opens_it() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let (trainer, order) = yard.trainer(&referee, 2, "t1");
    let answer = yard.grant(&trainer, &asks(&[split(Split::Train)], Some(&order))).unwrap();
    assert_eq!(trainer.opens(&yard, &answer, &split(Split::Train)), Some(yard.train_dek.clone()));
    assert_eq!(referee.opens(&yard, &answer, &split(Split::Train)), None);
}

#[test]
fn one_key_that_the_role_may_not_have_refuses_the_whole_request() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let (trainer, order) = yard.trainer(&referee, 2, "t1");
    let before = yard.durable_leaves();
    let own_log = KeyId::Log(order.digest());
    for denied in [split(Split::Test), KeyId::Draw("cup".into()), own_log, KeyId::Submission(Hex([2; 32]))] {
        let request = asks(&[split(Split::Train), denied.clone()], Some(&order));
        assert_eq!(code(yard.grant(&trainer, &request)), Some(Code::RoleDeny), "{denied}");
    }
    let other = KeyId::Dataset { id: "other".into(), split: Split::Train };
    assert_eq!(code(yard.grant(&trainer, &asks(&[other], Some(&order)))), Some(Code::RoleDeny));
    let referee = Guest::new(Role::Referee, 3, None, NOW);
    assert_eq!(code(yard.grant(&referee, &asks(&[split(Split::Train)], None))), Some(Code::RoleDeny));
    assert_eq!(yard.durable_leaves(), before);
    // Nothing was claimed by the refused requests: the trainer can still do it right.
    assert!(yard.grant(&trainer, &asks(&[split(Split::Train)], Some(&order))).is_ok());
}

#[test]
fn an_order_counts_only_if_a_live_attested_referee_of_this_broker_signed_it() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let train = |lease: u8| Work::Train { submission: Hex([lease; 32]) };
    let outcome = |order: Option<&Signed<Order>>, digest: Hex<32>, at: u64| {
        let trainer = Guest::new(Role::Trainer, 2, Some(digest), at);
        code(yard.grant(&trainer, &asks(&[split(Split::Train)], order)))
    };
    let refused = Some(Code::OrderRefused);

    let stranger = Guest::new(Role::Referee, 9, None, NOW);
    let order = yard.order(&stranger, "t1", train(2));
    assert_eq!(outcome(Some(&order), order.digest(), NOW), refused, "no lease");

    let document = yard.order_document(&referee, "t1", train(2));
    let order = Signed::sign(&document, &stranger.signing);
    assert_eq!(outcome(Some(&order), order.digest(), NOW), refused, "another key than the lease's");

    let order = yard.order(&referee, "t1", train(2));
    assert_eq!(outcome(None, order.digest(), NOW), refused, "order withheld");
    assert_eq!(outcome(Some(&order), Hex([0; 32]), NOW), refused, "not the launch configuration's");
    let mut forged = order.clone();
    forged.signature.0[0] ^= 1;
    assert_eq!(outcome(Some(&forged), order.digest(), NOW), refused, "signature");
    for change in [
        (|order: &mut Order| order.charter = Hex([0; 32])) as fn(&mut Order),
        |order| order.tournament = "other".into(),
        |order| order.work = Work::Evaluate { artefacts: Vec::new() },
        |order| order.referee.signing = Hex([0; 32]),
        |order| order.v = 2,
    ] {
        let mut document = yard.order_document(&referee, "t1", train(2));
        change(&mut document);
        let order = Signed::sign(&document, &referee.signing);
        assert_eq!(outcome(Some(&order), order.digest(), NOW), refused);
    }
    assert_eq!(
        outcome(Some(&order), order.digest(), NOW + LEASE_S + 1),
        refused,
        "the referee's lease lapsed"
    );
}

#[test]
fn an_order_serves_one_lease_and_a_lease_one_boot() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let (trainer, order) = yard.trainer(&referee, 2, "t1");
    let request = asks(&[split(Split::Train)], Some(&order));
    yard.grant(&trainer, &request).unwrap();

    let other_lease = Guest::new(Role::Trainer, 3, Some(order.digest()), NOW);
    assert_eq!(code(yard.grant(&other_lease, &request)), Some(Code::OrderSpent));
    let other_boot = Guest::new(Role::Trainer, 2, Some(order.digest()), NOW);
    assert_eq!(code(yard.grant(&other_boot, &request)), Some(Code::LeaseHeld));

    let renewed = yard.grant(&trainer.at(NOW + LEASE_S), &request).unwrap();
    assert_eq!(renewed.lease.verify(&yard.broker_key()).unwrap().not_after, NOW + 2 * LEASE_S);
}

#[test]
fn a_lease_that_lapsed_or_ended_is_over() {
    let yard = Yard::new();
    let late = yard.referee(1).at(NOW + LEASE_S + 1);
    assert_eq!(code(yard.grant(&late, &asks(&[], None))), Some(Code::LeaseLapsed));

    let yard = Yard::new();
    let referee = yard.referee(1);
    let end = Signed::sign(&End::Lease(Hex([1; 16])), &referee.signing);
    yard.core.end(&end, NOW + 1).unwrap();
    assert_eq!(code(yard.grant(&referee.at(NOW + 2), &asks(&[], None))), Some(Code::LeaseLapsed));
}

#[test]
fn an_evaluator_waits_for_every_trainer_of_its_task() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let mut lost = None;
    for (lease, task) in [(2, "t1"), (3, "t1"), (4, "t2")] {
        let (trainer, order) = yard.trainer(&referee, lease, task);
        if lease == 3 {
            lost = Some(order.digest());
        }
        yard.grant(&trainer, &asks(&[], Some(&order))).unwrap();
        if lease == 2 {
            yard.core.end(&Signed::sign(&End::Lease(Hex([2; 16])), &trainer.signing), NOW).unwrap();
        }
    }
    let (evaluator, order) = yard.evaluator(&referee, 5, "t1", &[]);
    let request = asks(&[split(Split::Test)], Some(&order));
    assert_eq!(code(yard.grant(&evaluator, &request)), Some(Code::StageNotReached));

    // The one that is left was lost: its referee ends it. That of the other task is none of its business.
    yard.core.end(&Signed::sign(&End::Order(lost.unwrap()), &referee.signing), NOW).unwrap();
    assert_eq!(yard.grant(&evaluator, &request).unwrap().keys.len(), 1);
}

#[test]
fn a_trainer_that_never_ends_holds_an_evaluator_up_until_its_lease_lapsed_a_minute_ago() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let (trainer, order) = yard.trainer(&referee, 2, "t1");
    yard.grant(&trainer, &asks(&[], Some(&order))).unwrap();
    let free = NOW + LEASE_S + LAPSE_GRACE_S + 1;
    let referee = referee.at(NOW + LEASE_S - 1);
    yard.grant(&referee, &asks(&[], None)).unwrap();

    let (evaluator, order) = yard.evaluator(&referee, 3, "t1", &[]);
    let request = asks(&[split(Split::Test)], Some(&order));
    let evaluator = evaluator.at(free - 1);
    assert_eq!(code(yard.grant(&evaluator, &request)), Some(Code::StageNotReached));
    assert!(yard.grant(&evaluator.at(free), &request).is_ok());
}

#[test]
fn releases_are_counted_by_lease() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let ask = |lease: u8| {
        let (trainer, order) = yard.trainer(&referee, lease, "t1");
        let request = asks(&[split(Split::Train)], Some(&order));
        let first = yard.grant(&trainer, &request);
        first.and_then(|_| yard.grant(&trainer.at(NOW + 1), &request))
    };
    assert!(ask(2).is_ok(), "a renewal is no second release");
    assert!(ask(3).is_ok());
    assert_eq!(code(ask(4)), Some(Code::QuotaSpent));
}

#[test]
fn a_dataset_version_below_the_charter_or_one_already_released_is_not_released() {
    let yard = Yard::with(|charter| charter.datasets[0].min_version = 2);
    let referee = yard.referee(1);
    let (trainer, order) = yard.trainer(&referee, 2, "t1");
    let request = asks(&[split(Split::Train)], Some(&order));
    assert_eq!(code(yard.grant(&trainer, &request)), Some(Code::Rollback));

    let yard = Yard::new();
    let count = |c: &rusqlite::Connection| {
        deks::count_release(c, &Hex([0; 32]), &split(Split::Train), &Hex([9; 16]), 2)
    };
    yard.core.state().store.write::<_, StoreError>(count).unwrap();
    let referee = yard.referee(1);
    let (trainer, order) = yard.trainer(&referee, 2, "t1");
    let request = asks(&[split(Split::Train)], Some(&order));
    assert_eq!(code(yard.grant(&trainer, &request)), Some(Code::Rollback));
}

#[test]
fn a_charter_that_ran_out_releases_nothing_and_bounds_its_last_lease() {
    let yard = Yard::with(|charter| charter.not_after = NOW + 100);
    let referee = Guest::new(Role::Referee, 1, None, NOW);
    let answer = yard.grant(&referee, &asks(&[], None)).unwrap();
    assert_eq!(answer.lease.verify(&yard.broker_key()).unwrap().not_after, NOW + 100);
    assert_eq!(code(yard.grant(&referee.at(NOW + 101), &asks(&[], None))), Some(Code::CharterWindow));
}

#[test]
fn what_is_answered_is_durable_and_what_cannot_be_logged_is_not_released() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    assert_eq!(yard.durable_leaves(), 1);
    let (trainer, order) = yard.trainer(&referee, 2, "t1");
    let request = asks(&[split(Split::Train)], Some(&order));

    // The ledger refuses the next entry; everything before it in the transaction worked.
    let fail = "CREATE TRIGGER broken BEFORE INSERT ON leaves BEGIN SELECT raise(ABORT, 'disk full'); END";
    yard.durable().read().execute_batch(fail).unwrap();
    assert_eq!(code(yard.grant(&trainer, &request)), Some(Code::LedgerUnavailable));
    let store = yard.durable();
    assert_eq!(yard.durable_leaves(), 1);
    assert_eq!(crate::store::leases::find(store.read(), &Hex([2; 16])).unwrap(), None);
    assert_eq!(deks::high_water(store.read(), &split(Split::Train)).unwrap(), 0);

    store.read().execute_batch("DROP TRIGGER broken").unwrap();
    let answer = yard.grant(&trainer, &request).unwrap();
    assert_eq!((answer.receipt.index, yard.durable_leaves()), (1, 2));
    let key = NoteKey { name: "acme/tiltyard/ledger/owner".into(), public: yard.broker_key() };
    let checkpoint = Checkpoint::open(&answer.receipt.checkpoint, &key).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (2, ledger::tree(store.read()).unwrap().root()));
}

#[test]
fn time_in_answers_never_goes_back() {
    let yard = Yard::new();
    let later = Guest::new(Role::Referee, 1, None, NOW + 50);
    assert_eq!(yard.grant(&later, &asks(&[], None)).unwrap().issued_at, NOW + 50);
    let earlier = Guest::new(Role::Referee, 2, None, NOW);
    assert_eq!(yard.grant(&earlier, &asks(&[], None)).unwrap().issued_at, NOW + 50);
    let request = ChallengeRequest {
        role: Role::Referee,
        charter: yard.core.charter().p(),
        order: None,
        lease: Hex([3; 16]),
    };
    assert_eq!(yard.core.challenge(&request, NOW - 5).unwrap().issued_at, NOW + 50);
}

#[test]
fn of_sixteen_attests_on_one_nonce_one_is_appraised_and_bad_evidence_spends_it_too() {
    let yard = Yard::new();
    let request = ChallengeRequest {
        role: Role::Referee,
        charter: yard.core.charter().p(),
        order: None,
        lease: Hex([1; 16]),
    };
    let nonce = yard.core.challenge(&request, NOW).unwrap().nonce;
    let mut attest = asks(&[], None);
    attest.evidence.runtime = runtime(nonce).to_bytes().into();
    let start = Barrier::new(16);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let race = || {
            start.wait();
            code(yard.core.attest(&attest, Channel::InProcess, NOW + 1)).unwrap()
        };
        let racers: Vec<_> = (0..16).map(|_| scope.spawn(race)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|code| **code == Code::NonceUsed).count(), 15);
    // The winner's evidence is empty, and no empty evidence passes.
    assert_eq!(code(yard.core.attest(&attest, Channel::InProcess, NOW + 2)), Some(Code::NonceUsed));
    assert_eq!(yard.durable_leaves(), 0);

    attest.evidence.runtime = runtime(Hex([0; 32])).to_bytes().into();
    assert_eq!(code(yard.core.attest(&attest, Channel::InProcess, NOW)), Some(Code::NonceMismatch));
    attest.evidence.runtime = b"{}".to_vec().into();
    assert_eq!(code(yard.core.attest(&attest, Channel::InProcess, NOW)), Some(Code::Syntax));
}

#[test]
fn a_request_beyond_its_limits_spends_no_nonce() {
    let yard = Yard::new();
    let twice = asks(&[split(Split::Train), split(Split::Train)], None);
    assert_eq!(code(yard.core.attest(&twice, Channel::InProcess, NOW)), Some(Code::Syntax));
    let many: Vec<_> = (0..300_u32).map(|i| KeyId::Artefact(Hex::sha256(&i.to_be_bytes()))).collect();
    assert_eq!(code(yard.core.attest(&asks(&many, None), Channel::InProcess, NOW)), Some(Code::Syntax));
    let mut long = asks(&[], None);
    long.consistency = vec![Hex([0; 32]); 66];
    assert_eq!(code(yard.core.attest(&long, Channel::InProcess, NOW)), Some(Code::Syntax));
}

#[test]
fn a_challenge_is_for_this_charter_and_a_role_with_its_order() {
    let yard = Yard::new();
    let ask = |role, charter, order| {
        code(yard.core.challenge(&ChallengeRequest { role, charter, order, lease: Hex([1; 16]) }, NOW))
    };
    let p = yard.core.charter().p();
    assert_eq!(ask(Role::Referee, p, None), None);
    assert_eq!(ask(Role::Referee, Hex([0; 32]), None), Some(Code::CharterBinding));
    assert_eq!(ask(Role::Referee, p, Some(Hex([0; 32]))), Some(Code::Syntax));
    assert_eq!(ask(Role::Trainer, p, None), Some(Code::Syntax));
}

fn runtime(nonce: Hex<32>) -> Runtime {
    let keys = asks(&[], None).evidence.keys.digests();
    Runtime {
        nonce,
        tee_pubkey: Hex([4; 65]),
        additional_evidence: Vec::new(),
        profile: Profile {
            charter: Hex([0; 32]),
            role: Role::Referee,
            order: None,
            lease: Hex([1; 16]),
            keys,
            channel: None,
            boot: Hex([0; 32]),
        },
    }
}
