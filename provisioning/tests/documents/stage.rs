//! The stage graph, exhaustively: every role, broker and kind of key.

use tiltyard_attestation::binding::{HpkePublicKey, KEM_XWING};
use tiltyard_attestation::{Hex, Role};
use tiltyard_provisioning::charter::BrokerOwner;
use tiltyard_provisioning::keyid::KeyId;
use tiltyard_provisioning::order::{ArtefactRef, ObjectRef, Order, RefereeKeys, Work};
use tiltyard_provisioning::stage::{
    Closed, LAPSE_GRACE_S, TrainerLease, allowed, deposit_allowed, trainers_ended,
};

use crate::fixture::charter;

const ROLES: [Role; 3] = [Role::Referee, Role::Trainer, Role::Evaluator];
const OWNERS: [BrokerOwner; 2] = [BrokerOwner::Owner, BrokerOwner::Operator];
const SUBMISSION: Hex<32> = Hex([0x51; 32]);
const TRAIN_ORDER: Hex<32> = Hex([0x52; 32]);
const OTHER: Hex<32> = Hex([0x5f; 32]);

fn order(work: Work) -> Order {
    Order {
        v: 1,
        charter: Hex([1; 32]),
        tournament: "cup-1".into(),
        task: "task-1".into(),
        work,
        attempt: 1,
        dataset_id: "claims".into(),
        seed: Hex([2; 32]),
        referee: RefereeKeys {
            lease: Hex([3; 16]),
            signing: Hex([4; 32]),
            hpke: HpkePublicKey { kem: KEM_XWING, public: vec![5; 1216].into() },
        },
        issued_at: 0,
    }
}

fn train() -> Order {
    order(Work::Train { submission: SUBMISSION })
}

fn evaluate() -> Order {
    let object = ObjectRef { name: Hex([6; 16]), header: Hex([7; 56]), sha256: Hex([8; 32]), len_bytes: 1 };
    let artefact = ArtefactRef { submission: SUBMISSION, train_order: TRAIN_ORDER, object };
    order(Work::Evaluate { artefacts: vec![artefact] })
}

fn order_of(role: Role) -> Option<Order> {
    match role {
        Role::Referee => None,
        Role::Trainer => Some(train()),
        Role::Evaluator => Some(evaluate()),
    }
}

fn key(text: &str) -> KeyId {
    text.parse().unwrap()
}

/// Every kind of key, right for the orders above, and its neighbours that are not.
fn keys() -> Vec<KeyId> {
    let mut keys: Vec<KeyId> = [
        "dataset/claims/train",
        "dataset/claims/test",
        "dataset/payroll/train",
        "dataset/payroll/test",
        "draw/cup-1",
        "draw/cup-2",
    ]
    .into_iter()
    .map(key)
    .collect();
    for id in [SUBMISSION, TRAIN_ORDER, OTHER] {
        keys.extend([KeyId::Submission(id), KeyId::Artefact(id), KeyId::Log(id)]);
    }
    keys
}

#[test]
fn the_whole_table() {
    let given = [
        (Role::Referee, BrokerOwner::Owner, key("draw/cup-1")),
        (Role::Trainer, BrokerOwner::Owner, key("dataset/claims/train")),
        (Role::Trainer, BrokerOwner::Operator, KeyId::Submission(SUBMISSION)),
        (Role::Evaluator, BrokerOwner::Owner, key("dataset/claims/test")),
        (Role::Evaluator, BrokerOwner::Owner, KeyId::Artefact(TRAIN_ORDER)),
    ];
    let mut seen = 0;
    for role in ROLES {
        for owner in OWNERS {
            for key in keys() {
                let answer = allowed(&charter(), owner, role, order_of(role).as_ref(), &key);
                let row = (role, owner, key);
                match answer {
                    Ok(allowed) => {
                        assert!(given.contains(&row), "{row:?} was given");
                        assert_eq!(*allowed.key(), row.2);
                        seen += 1;
                    }
                    Err(error) => {
                        assert!(!given.contains(&row), "{row:?}: {error}");
                        assert_eq!(error.code(), "RoleDeny", "{row:?}");
                    }
                }
            }
        }
    }
    assert_eq!(seen, given.len());
}

fn code(role: Role, order: Option<&Order>, key: &KeyId) -> &'static str {
    let owner = match key {
        KeyId::Submission(_) => BrokerOwner::Operator,
        _ => BrokerOwner::Owner,
    };
    allowed(&charter(), owner, role, order, key).map_or_else(|error| error.code(), |_| "given")
}

#[test]
fn an_order_is_needed_and_must_be_the_roles_own() {
    let train_key = key("dataset/claims/train");
    let test_key = key("dataset/claims/test");
    assert_eq!(code(Role::Trainer, None, &train_key), "StageNotReached");
    assert_eq!(code(Role::Evaluator, None, &test_key), "StageNotReached");
    assert_eq!(code(Role::Trainer, Some(&evaluate()), &train_key), "StageNotReached");
    assert_eq!(code(Role::Evaluator, Some(&train()), &test_key), "StageNotReached");
    // A referee gets no more by showing an order.
    assert_eq!(code(Role::Referee, Some(&train()), &train_key), "RoleDeny");
    assert_eq!(code(Role::Referee, Some(&evaluate()), &test_key), "RoleDeny");
    // No order opens what the role is not for.
    assert_eq!(code(Role::Trainer, Some(&train()), &test_key), "RoleDeny");
    assert_eq!(code(Role::Evaluator, Some(&evaluate()), &train_key), "RoleDeny");
}

#[test]
fn the_order_and_the_charter_name_the_key() {
    let mut other_data = train();
    other_data.dataset_id = "payroll".into();
    assert_eq!(code(Role::Trainer, Some(&other_data), &key("dataset/claims/train")), "RoleDeny");
    // The order names it, the charter does not.
    assert_eq!(code(Role::Trainer, Some(&other_data), &key("dataset/payroll/train")), "RoleDeny");
    let mut other_cup = train();
    other_cup.tournament = "cup-2".into();
    assert_eq!(code(Role::Trainer, Some(&other_cup), &key("dataset/claims/train")), "RoleDeny");
    assert_eq!(code(Role::Trainer, Some(&other_cup), &KeyId::Submission(SUBMISSION)), "RoleDeny");
    let nothing = order(Work::Evaluate { artefacts: Vec::new() });
    assert_eq!(code(Role::Evaluator, Some(&nothing), &KeyId::Artefact(TRAIN_ORDER)), "RoleDeny");
    let mut no_test = charter();
    let test = key("dataset/claims/test");
    no_test.stages[2].keys.retain(|pattern| !pattern.names(&test));
    assert!(allowed(&no_test, BrokerOwner::Owner, Role::Evaluator, Some(&evaluate()), &test).is_err());
}

#[test]
fn deposits() {
    let taken = [
        (Role::Referee, BrokerOwner::Owner, key("draw/cup-1")),
        (Role::Trainer, BrokerOwner::Owner, KeyId::Artefact(TRAIN_ORDER)),
        (Role::Trainer, BrokerOwner::Owner, KeyId::Log(TRAIN_ORDER)),
        // The owner's copy of the item losses.
        (Role::Evaluator, BrokerOwner::Owner, KeyId::Log(TRAIN_ORDER)),
    ];
    let mut seen = 0;
    for role in ROLES {
        for owner in OWNERS {
            for key in keys() {
                let order = (role != Role::Referee).then_some(&TRAIN_ORDER);
                let answer = deposit_allowed(&charter(), owner, role, order, &key);
                let row = (role, owner, key);
                assert_eq!(answer.is_ok(), taken.contains(&row), "{row:?}");
                match answer {
                    Ok(deposit) => assert_eq!(*deposit.key(), row.2),
                    Err(error) => assert_eq!(error.code(), "DepositDenied"),
                }
                seen += usize::from(taken.contains(&row));
            }
        }
    }
    assert_eq!(seen, taken.len());
    let without =
        deposit_allowed(&charter(), BrokerOwner::Owner, Role::Trainer, None, &KeyId::Log(TRAIN_ORDER));
    assert!(without.is_err());
}

#[test]
fn an_evaluator_waits_for_every_trainer() {
    let lease = |seed, closed| TrainerLease { lease: Hex([seed; 16]), not_after: 1000, closed };
    let code = |leases: &[TrainerLease], now| {
        trainers_ended(leases, now).map_or_else(|error| error.code(), |_| "ended")
    };
    assert_eq!(code(&[], 0), "ended");
    let ended = lease(1, Closed::BySignedEnd);
    let open = lease(2, Closed::No);
    assert_eq!(code(&[ended], 0), "ended");
    assert_eq!(code(&[ended, open], 1000), "StageNotReached");
    assert_eq!(code(&[ended, open], 1000 + LAPSE_GRACE_S), "StageNotReached");
    assert_eq!(code(&[ended, open], 1001 + LAPSE_GRACE_S), "ended");
    let endless = TrainerLease { not_after: u64::MAX, ..open };
    assert_eq!(code(&[endless], u64::MAX), "StageNotReached");
}
