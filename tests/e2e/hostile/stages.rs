//! Honest evidence, and a request for what the role, the order or the stage does not give.

use tiltyard_attestation::{Hex, Role};
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::ledger::{Checkpoint, MerkleLog};
use tiltyard_provisioning::order::Work;
use tiltyard_provisioning::record::log_origin;
use tiltyard_provisioning::release::{AttestAnswer, End};
use tiltyard_provisioning::statement::Signed;

use crate::guest::{Guest, ed25519, public_of};
use crate::parties::{DATASETS, TENANT, TOURNAMENT};
use crate::wire::Problem;
use crate::yard::{Yard, attest, challenge, key_of, request};

#[test]
fn trainer_asking_for_the_test_split() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    yard.refuses("RoleDeny", || yard.attest(&trainer, &[key_of(Split::Test)]));
    yard.refuses("RoleDeny", || yard.attest(&trainer, &[key_of(Split::Train), key_of(Split::Test)]));
    // The refused requests claimed nothing.
    assert!(yard.attest(&trainer, &[key_of(Split::Train)]).is_ok());
}

#[test]
fn trainer_asking_for_a_dataset_that_its_order_does_not_name() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    let other = KeyId::Dataset { id: DATASETS[1].into(), split: Split::Train };
    yard.refuses("RoleDeny", || yard.attest(&trainer, &[other]));
}

#[test]
fn referee_asking_for_a_data_key() {
    let yard = Yard::open();
    let referee = Guest::referee();
    for split in [Split::Train, Split::Test] {
        yard.refuses("RoleDeny", || yard.attest(&referee, &[key_of(split)]));
    }
}

#[test]
fn order_signed_by_a_key_that_is_no_attested_referee() {
    let yard = Yard::open();
    let referee = yard.referee();
    let key_ids = [key_of(Split::Train)];

    // The host's own referee, never attested.
    let own = Guest::referee().launches_trainer("t1");
    yard.refuses("OrderRefused", || yard.attest(&own, &key_ids));

    // The attested referee's order, signed by another key, with and without naming that key.
    let stranger = ed25519();
    let train = || Work::Train { submission: Hex([7; 32]) };
    let mut order = referee.order_for("t1", train());
    let forged = Guest::of_order(Signed::sign(&order, &stranger), Role::Trainer);
    yard.refuses("OrderRefused", || yard.attest(&forged, &key_ids));
    order.referee.signing = public_of(&stranger);
    let forged = Guest::of_order(Signed::sign(&order, &stranger), Role::Trainer);
    yard.refuses("OrderRefused", || yard.attest(&forged, &key_ids));

    // A trainer is attested too, but it is no referee.
    let trainer = referee.launches_trainer("t1");
    yard.attest(&trainer, &key_ids).unwrap();
    let by_trainer = trainer.launches_trainer("t1");
    yard.refuses("OrderRefused", || yard.attest(&by_trainer, &key_ids));

    // A referee that was, and is no more.
    let last = referee.launches_trainer("t2");
    yard.end(&referee);
    yard.refuses("OrderRefused", || yard.attest(&last, &key_ids));
}

#[test]
fn order_changed_or_withheld_by_the_host() {
    let yard = Yard::open();
    let referee = yard.referee();
    let mut trainer = referee.launches_trainer("t1");
    let other = referee.launches_trainer("t1").order;
    // Another good order than the one that the launch configuration names.
    let own = std::mem::replace(&mut trainer.order, other);
    yard.refuses("OrderRefused", || yard.attest(&trainer, &[key_of(Split::Train)]));
    trainer.order = None;
    yard.refuses("OrderRefused", || yard.attest(&trainer, &[key_of(Split::Train)]));
    trainer.order = own;
    assert!(yard.attest(&trainer, &[key_of(Split::Train)]).is_ok());
}

#[test]
fn order_served_to_a_second_lease() {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    yard.attest(&trainer, &[key_of(Split::Train)]).unwrap();
    let again = Guest::of_order(trainer.order.clone().unwrap(), Role::Trainer);
    yard.refuses("OrderSpent", || yard.attest(&again, &[key_of(Split::Train)]));
}

#[test]
fn evaluator_while_a_trainer_s_lease_is_open() {
    let yard = Yard::open();
    let referee = yard.referee();
    let trainer = referee.launches_trainer("t1");
    let answer = yard.attest(&trainer, &[key_of(Split::Train)]).unwrap();
    let train_order = trainer.order.as_ref().unwrap().digest();
    let artefact = KeyId::Artefact(train_order);
    yard.deposit(&trainer.deposit(&answer, &artefact, [0x5a; 32], &trainer.signing)).unwrap();

    let evaluator = referee.launches_evaluator("t1", &[train_order]);
    let key_ids = [key_of(Split::Test), artefact.clone()];
    yard.refuses("StageNotReached", || yard.attest(&evaluator, &key_ids));

    yard.end(&trainer);
    let answer = yard.attest(&evaluator, &key_ids).unwrap();
    assert_eq!(evaluator.opens(&answer, &artefact), Some(vec![0x5a; 32]));
    assert_eq!(evaluator.opens(&answer, &key_of(Split::Test)).unwrap().len(), 32);
    yard.refuses("LeaseLapsed", || yard.attest(&trainer, &[key_of(Split::Train)]));
}

#[test]
fn second_boot_claiming_the_same_lease() {
    let yard = Yard::open();
    let referee = yard.referee();
    let trainer = referee.launches_trainer("t1");
    yard.attest(&trainer, &[key_of(Split::Train)]).unwrap();
    yard.refuses("LeaseHeld", || yard.attest(&trainer.booted_again(), &[key_of(Split::Train)]));
    yard.refuses("LeaseHeld", || yard.attest(&referee.booted_again(), &[]));
    // The holder itself may come again.
    assert!(yard.attest(&trainer, &[key_of(Split::Train)]).is_ok());
}

#[test]
fn end_of_another_guest_s_lease() {
    let yard = Yard::open();
    let (referee, trainer, ..) = training(&yard);
    let rival = referee.launches_trainer("t1");
    yard.attest(&rival, &[]).unwrap();
    let (lease, order) = (trainer.facts.config.lease, trainer.order.as_ref().unwrap().digest());
    // A host in a hurry: the evaluator may run once the trainer's lease is over.
    for end in [End::Lease(lease), End::Order(order)] {
        for key in [&rival.signing, &ed25519()] {
            yard.refuses("MessageSig", || yard.send_end(&Signed::sign(&end, key)));
        }
    }
    yard.end(&rival);
    let evaluator = referee.launches_evaluator("t1", &[order]);
    yard.refuses("StageNotReached", || yard.attest(&evaluator, &[key_of(Split::Test)]));
}

/// A trainer that holds a lease, with what it was answered and the id of its artefact's key.
fn training(yard: &Yard) -> (Guest, Guest, AttestAnswer, KeyId) {
    let referee = yard.referee();
    let trainer = referee.launches_trainer("t1");
    let answer = yard.attest(&trainer, &[key_of(Split::Train)]).unwrap();
    let artefact = KeyId::Artefact(trainer.order.as_ref().unwrap().digest());
    (referee, trainer, answer, artefact)
}

/// What the evaluator of the trainer's task is given under the artefact's key id.
fn evaluated(yard: &Yard, referee: &Guest, trainer: &Guest, artefact: &KeyId) -> Option<Vec<u8>> {
    yard.end(trainer);
    let evaluator = referee.launches_evaluator("t1", &[trainer.order.as_ref().unwrap().digest()]);
    let answer = yard.attest(&evaluator, std::slice::from_ref(artefact)).unwrap();
    evaluator.opens(&answer, artefact)
}

#[test]
fn deposit_signed_by_another_guest_s_key() {
    let yard = Yard::open();
    let (referee, trainer, answer, artefact) = training(&yard);
    let rival = referee.launches_trainer("t1");
    yard.attest(&rival, &[]).unwrap();
    yard.end(&rival);
    for key in [&rival.signing, &referee.signing, &ed25519()] {
        let forged = trainer.deposit(&answer, &artefact, [0xbd; 32], key);
        yard.refuses("MessageSig", || yard.deposit(&forged));
    }
    assert_eq!(evaluated(&yard, &referee, &trainer, &artefact), None, "nothing was deposited");
}

#[test]
fn deposit_conflict() {
    let yard = Yard::open();
    let (referee, trainer, answer, artefact) = training(&yard);
    let first = trainer.deposit(&answer, &artefact, [0x5a; 32], &trainer.signing);
    let receipt = yard.deposit(&first).unwrap();
    assert_eq!(yard.deposit(&first).unwrap(), receipt, "the same again is the same answer");
    let second = trainer.deposit(&answer, &artefact, [0xbd; 32], &trainer.signing);
    yard.refuses("DepositConflict", || yard.deposit(&second));
    assert_eq!(evaluated(&yard, &referee, &trainer, &artefact), Some(vec![0x5a; 32]));
}

#[test]
fn deposit_of_what_the_role_does_not_make() {
    let yard = Yard::open();
    let (_, trainer, answer, _) = training(&yard);
    for key_id in [key_of(Split::Train), KeyId::Artefact(Hex([1; 32])), KeyId::Draw(TOURNAMENT.into())] {
        let deposit = trainer.deposit(&answer, &key_id, [0xbd; 32], &trainer.signing);
        yard.refuses("DepositDenied", || yard.deposit(&deposit));
    }
}

#[test]
fn referee_s_checkpoint_rolled_back() {
    let yard = Yard::open();
    let referee = yard.referee();
    assert!(shows(&yard, &referee, Some((&log_of(5), 0))).is_ok());

    let next = Guest::referee();
    for (what, log) in [
        ("the log hidden", None),
        ("an older state", Some((log_of(4), 0))),
        ("another log of that length", Some((MerkleLog::from_leaves((1..6_u8).map(|leaf| [leaf])), 5))),
        ("a longer one that does not go on from it", Some((MerkleLog::from_leaves([[9_u8]; 8]), 5))),
    ] {
        let log = log.as_ref().map(|(log, since)| (log, *since));
        let problem = yard.refuses("StateRolledBack", || shows(&yard, &next, log));
        let remembered = problem.remembered.unwrap();
        assert_eq!((remembered.size, remembered.root), (5, log_of(5).root()), "{what}");
    }
    assert!(shows(&yard, &next, Some((&log_of(6), 5))).is_ok(), "the log goes on over a restart");
}

fn log_of(leaves: u8) -> MerkleLog {
    MerkleLog::from_leaves((0..leaves).map(|leaf| [leaf]))
}

/// An attestation of a referee that shows its log, and a proof since some earlier size.
fn shows(yard: &Yard, referee: &Guest, log: Option<(&MerkleLog, u64)>) -> Result<AttestAnswer, Problem> {
    let mut line = yard.line();
    let nonce = challenge(&mut line, referee)?;
    let mut request = request(referee, &line, nonce, &[], |_| {});
    if let Some((log, since)) = log {
        let origin = log_origin(TENANT, TOURNAMENT);
        request.checkpoint = Some(Checkpoint::of(&origin, log).sign(&referee.signing, &origin));
        request.consistency = log.consistency(since, log.size());
    }
    attest(&mut line, &request)
}
