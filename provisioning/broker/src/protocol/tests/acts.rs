//! Deposits and ends: signed by the lease's key, done once.

use tiltyard_provisioning::hpke::{deposit_aad, deposit_info, seal_to};
use tiltyard_provisioning::release::{Deposit, End};

use super::*;

/// Seals a secret to the broker as a guest does.
fn sealed(yard: &Yard, guest: &Guest, key_id: &KeyId, secret: &[u8]) -> Signed<Deposit> {
    let p = yard.core.charter().p();
    let Attested { lease, order, .. } = &guest.attested;
    let aad = deposit_aad(lease, key_id, &p, order.as_ref());
    let rng = SystemRandom::new();
    let (enc, ct) = seal_to(&yard.core.seal_key(), &deposit_info(&p), &aad, secret, &rng).unwrap();
    let deposit = Deposit { lease: *lease, key_id: key_id.clone(), enc: enc.into(), ct: ct.into() };
    Signed::sign(&deposit, &guest.signing)
}

/// A yard with a trainer that holds a lease.
fn training() -> (Yard, Guest, Guest, Hex<32>) {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let (trainer, order) = yard.trainer(&referee, 2, "t1");
    yard.grant(&trainer, &asks(&[], Some(&order))).unwrap();
    (yard, referee, trainer, order.digest())
}

#[test]
fn an_artefact_key_goes_to_the_evaluator_whose_order_names_it() {
    let (yard, referee, trainer, train_order) = training();
    let artefact = KeyId::Artefact(train_order);
    yard.core.deposit(&sealed(&yard, &trainer, &artefact, &[0x5a; 32]), NOW).unwrap();
    yard.core.end(&Signed::sign(&End::Lease(Hex([2; 16])), &trainer.signing), NOW).unwrap();

    let never_deposited = Hex([0x77; 32]);
    let (evaluator, order) = yard.evaluator(&referee, 3, "t1", &[train_order, never_deposited]);
    let wanted = [split(Split::Test), artefact.clone(), KeyId::Artefact(never_deposited)];
    let answer = yard.grant(&evaluator, &asks(&wanted, Some(&order))).unwrap();
    assert_eq!(evaluator.opens(&yard, &answer, &artefact), Some(vec![0x5a; 32]));
    assert_eq!(answer.keys.len(), 2, "what was not deposited is absent, not refused");

    let (other, order) = yard.evaluator(&referee, 4, "t2", &[never_deposited]);
    assert_eq!(code(yard.grant(&other, &asks(&[artefact], Some(&order)))), Some(Code::RoleDeny));
}

#[test]
fn the_draw_seed_outlives_the_referee_that_drew_it_and_is_drawn_once() {
    let yard = Yard::new();
    let draw = KeyId::Draw("cup".into());
    let first = yard.referee(1);
    yard.core.deposit(&sealed(&yard, &first, &draw, &[0x11; 32]), NOW).unwrap();
    let next = Guest::new(Role::Referee, 2, None, NOW);
    let answer = yard.grant(&next, &asks(std::slice::from_ref(&draw), None)).unwrap();
    assert_eq!(next.opens(&yard, &answer, &draw), Some(vec![0x11; 32]));
    let again = sealed(&yard, &next, &draw, &[0x22; 32]);
    assert_eq!(code(yard.core.deposit(&again, NOW)), Some(Code::DepositConflict));
    let other = sealed(&yard, &next, &KeyId::Draw("other".into()), &[0x22; 32]);
    assert_eq!(code(yard.core.deposit(&other, NOW)), Some(Code::DepositDenied));
}

#[test]
fn the_same_deposit_again_gets_the_same_answer_and_another_key_none() {
    let (yard, _, trainer, order) = training();
    let artefact = KeyId::Artefact(order);
    let request = sealed(&yard, &trainer, &artefact, &[1; 32]);
    let answer = yard.core.deposit(&request, NOW).unwrap();
    assert_eq!(answer.verify(&yard.broker_key()).unwrap().request, request.digest());
    assert_eq!(yard.core.deposit(&request, NOW + 9).unwrap(), answer);

    let resealed = sealed(&yard, &trainer, &artefact, &[1; 32]);
    assert!(yard.core.deposit(&resealed, NOW).is_ok(), "the same key under another encapsulation");
    let other = sealed(&yard, &trainer, &artefact, &[2; 32]);
    assert_eq!(code(yard.core.deposit(&other, NOW)), Some(Code::DepositConflict));

    let long_after = NOW + 10 * LEASE_S;
    assert_eq!(yard.core.deposit(&request, long_after).unwrap(), answer, "a re-send changes nothing");
    let late = sealed(&yard, &trainer, &KeyId::Log(order), &[3; 32]);
    assert_eq!(code(yard.core.deposit(&late, long_after)), Some(Code::LeaseLapsed));
}

#[test]
fn hostile_deposits() {
    let (yard, referee, trainer, order) = training();
    let artefact = KeyId::Artefact(order);
    let good = sealed(&yard, &trainer, &artefact, &[1; 32]);
    let deposit: Deposit = serde_json::from_slice(&good.payload.0).unwrap();
    let resigned = |change: &dyn Fn(&mut Deposit), key: &Ed25519KeyPair| {
        let mut changed = deposit.clone();
        change(&mut changed);
        code(yard.core.deposit(&Signed::sign(&changed, key), NOW))
    };
    assert_eq!(resigned(&|_| {}, &referee.signing), Some(Code::MessageSig), "the referee's key");
    assert_eq!(resigned(&|d| d.lease = Hex([9; 16]), &trainer.signing), Some(Code::MessageSig), "no lease");
    let foreign = KeyId::Artefact(Hex([0; 32]));
    assert_eq!(resigned(&|d| d.key_id = foreign.clone(), &trainer.signing), Some(Code::DepositDenied));
    assert_eq!(resigned(&|d| d.key_id = split(Split::Train), &trainer.signing), Some(Code::DepositDenied));
    // Sealed as the artefact's key, offered as the log's: the associated data differs.
    assert_eq!(resigned(&|d| d.key_id = KeyId::Log(order), &trainer.signing), Some(Code::ReleaseOpen));
    assert_eq!(resigned(&|d| d.ct.0[0] ^= 1, &trainer.signing), Some(Code::ReleaseOpen));
    assert_eq!(resigned(&|d| d.enc.0.truncate(7), &trainer.signing), Some(Code::ReleaseOpen));
    let short = sealed(&yard, &trainer, &artefact, &[1; 31]);
    assert_eq!(code(yard.core.deposit(&short, NOW)), Some(Code::BadKey));
    let mut flipped = good.clone();
    flipped.signature.0[5] ^= 1;
    assert_eq!(code(yard.core.deposit(&flipped, NOW)), Some(Code::MessageSig));
    let mut garbage = good;
    garbage.payload.0.truncate(5);
    assert_eq!(code(yard.core.deposit(&garbage, NOW)), Some(Code::Syntax));
}

#[test]
fn only_the_lease_s_own_key_or_a_referee_ends_it() {
    let (yard, referee, trainer, _) = training();
    let lease = |lease: u8, key: &Ed25519KeyPair| Signed::sign(&End::Lease(Hex([lease; 16])), key);
    let order = |order: Hex<32>, key: &Ed25519KeyPair| Signed::sign(&End::Order(order), key);
    let trained = trainer.attested.order.unwrap();
    for stranger in [
        lease(1, &trainer.signing),
        lease(2, &referee.signing),
        lease(7, &trainer.signing),
        order(trained, &trainer.signing),
        order(Hex([9; 32]), &trainer.signing),
    ] {
        assert_eq!(code(yard.core.end(&stranger, NOW)), Some(Code::MessageSig));
    }
    let answer = yard.core.end(&order(trained, &referee.signing), NOW).unwrap();
    assert_eq!(yard.core.end(&order(trained, &referee.signing), NOW + 5).unwrap(), answer);
    assert_eq!(code(yard.core.end(&lease(2, &trainer.signing), NOW + 5)), Some(Code::LeaseLapsed));
    let late = sealed(&yard, &trainer, &KeyId::Artefact(trained), &[1; 32]);
    assert_eq!(code(yard.core.deposit(&late, NOW)), Some(Code::LeaseLapsed));
}

#[test]
fn an_order_that_its_referee_gave_up_is_served_to_nobody() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let (late, order) = yard.trainer(&referee, 2, "t1");
    let end = Signed::sign(&End::Order(order.digest()), &referee.signing);
    assert!(yard.core.end(&end, NOW).is_ok());
    assert_eq!(code(yard.grant(&late, &asks(&[], Some(&order)))), Some(Code::OrderSpent));
}

#[test]
fn a_tournament_has_one_referee_at_a_time() {
    let yard = Yard::new();
    let first = yard.referee(1);
    let (trainer, order) = yard.trainer(&first, 2, "t1");
    yard.referee(8);
    assert_eq!(code(yard.grant(&trainer, &asks(&[], Some(&order)))), Some(Code::OrderRefused));
    assert_eq!(code(yard.grant(&first, &asks(&[], None))), Some(Code::LeaseLapsed));
}

#[test]
fn the_next_boot_s_referee_ends_what_the_one_before_ordered() {
    let (yard, _, trainer, _) = training();
    let next = yard.referee(8);
    let end = Signed::sign(&End::Order(trainer.attested.order.unwrap()), &next.signing);
    assert_eq!(code(yard.core.end(&end, NOW + 100_000)), Some(Code::MessageSig), "its own lease has lapsed");
    assert!(yard.core.end(&end, NOW).is_ok());
}
