//! The broker remembers how far a referee's log had come.

use tiltyard_provisioning::ledger::MerkleLog;

use super::*;

const ORIGIN: &str = "acme/tiltyard/cup";

fn log(leaves: std::ops::Range<u8>) -> MerkleLog {
    MerkleLog::from_leaves(leaves.map(|leaf| [leaf]))
}

fn shows(log: &MerkleLog, since: u64, key: &Ed25519KeyPair) -> AttestRequest {
    AttestRequest {
        checkpoint: Some(Checkpoint::of(ORIGIN, log).sign(key, ORIGIN)),
        consistency: log.consistency(since, log.size()),
        ..asks(&[], None)
    }
}

use tiltyard_provisioning::ledger::Checkpoint;

#[test]
fn a_log_goes_on_over_renewals_and_over_the_next_boot() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    yard.grant(&referee, &shows(&log(0..3), 0, &referee.signing)).unwrap();
    yard.grant(&referee, &shows(&log(0..3), 3, &referee.signing)).unwrap();
    yard.grant(&referee, &shows(&log(0..5), 3, &referee.signing)).unwrap();
    // The next boot shows the last checkpoint of the boot before, then its own.
    let next = Guest::new(Role::Referee, 2, None, NOW);
    yard.grant(&next, &shows(&log(0..6), 5, &referee.signing)).unwrap();
    yard.grant(&next, &shows(&log(0..9), 6, &next.signing)).unwrap();
}

#[test]
fn a_log_that_shrank_forked_or_hides_is_refused_with_what_is_remembered() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    yard.grant(&referee, &shows(&log(0..5), 0, &referee.signing)).unwrap();
    let next = Guest::new(Role::Referee, 2, None, NOW);
    let before = yard.durable_leaves();
    let stranger = ed25519();
    let mut other_origin = shows(&log(0..6), 5, &next.signing);
    other_origin.checkpoint = Some(Checkpoint::of("other", &log(0..6)).sign(&next.signing, "other"));
    for (what, request) in [
        ("hidden", asks(&[], None)),
        ("shorter", shows(&log(0..4), 0, &next.signing)),
        ("another log of that size", shows(&log(1..6), 5, &next.signing)),
        ("another log that is longer", shows(&log(1..9), 5, &next.signing)),
        ("no proof", AttestRequest { consistency: Vec::new(), ..shows(&log(0..6), 5, &next.signing) }),
        ("another origin", other_origin),
    ] {
        let denial = yard.grant(&next, &request).unwrap_err();
        assert_eq!(denial.code, Code::StateRolledBack, "{what}");
        assert_eq!(denial.remembered, Some(LogState { size: 5, root: log(0..5).root() }), "{what}");
    }
    let denial = yard.grant(&next, &shows(&log(0..6), 5, &stranger)).unwrap_err();
    assert_eq!(denial.code, Code::StateRolledBack, "signed by a stranger");
    assert_eq!(yard.durable_leaves(), before);
}
