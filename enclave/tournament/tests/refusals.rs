//! What the conductor refuses, each with its reason.
#![allow(clippy::unwrap_used)]

mod sim;

use sim::*;
use tiltyard_tournament::conductor::{AdvanceError, CloseFailed, OrderRefused, OutcomeRefused, Recorded};
use tiltyard_tournament::entries::CloseError;
use tiltyard_tournament::rounds::SettleError;
use tiltyard_tournament::*;

fn opened() -> Conductor {
    Conductor::open(setup(rules(&[])), START, seed().commitment()).unwrap()
}

#[test]
fn entries_are_refused_with_the_reason_in_the_record() {
    let mut conductor = opened();
    conductor.enter(START, entry(5)).unwrap();
    conductor.enter(START, champion()).unwrap();
    let other = entry(6);
    let cases = [
        (Entry { entrant: entry(5).entrant, ..other.clone() }, EntryRefused::DuplicateEntrant),
        (Entry { submission: entry(5).submission, ..other.clone() }, EntryRefused::DuplicateSubmission),
        (Entry { seq: 5, ..other.clone() }, EntryRefused::DuplicateSequence { seq: 5 }),
        (
            Entry { normalised_sha256: entry(5).normalised_sha256, ..other.clone() },
            EntryRefused::DuplicateContent { of: entry(5).submission },
        ),
        (
            Entry { buy_in: Minor(7999), ..other.clone() },
            EntryRefused::BuyInMissing { expected: Minor(8000), got: Minor(7999) },
        ),
        (Entry { champion: Some(Title::first()), ..other.clone() }, EntryRefused::SecondChampion),
        (
            Entry { normalised_sha256: champion().normalised_sha256, seq: 1, ..other.clone() },
            EntryRefused::DuplicateContent { of: champion().submission },
        ),
    ];
    conductor.take_leaves();
    for (row, expected) in cases {
        assert_eq!(conductor.enter(START, row), Err(expected));
        let leaf = conductor.take_leaves().remove(0);
        assert!(String::from_utf8(leaf).unwrap().contains("\"type\":\"entry_refused\""));
    }
    conductor.refuse(START, other.clone(), EntryRefused::UnsignedSubmission).unwrap();
    assert_eq!(conductor.take_leaves().len(), 1);
    // Only what this crate cannot see is the caller's to refuse.
    assert!(conductor.refuse(START, other.clone(), EntryRefused::SecondChampion).is_err());
    conductor.enter(START, entry(5)).unwrap();
    assert!(conductor.take_leaves().is_empty(), "the same row again is no leaf");
    conductor.close(START, &seed()).unwrap();
    assert_eq!(conductor.enter(START, other), Err(EntryRefused::FieldClosed));
}

#[test]
fn an_earlier_copy_displaces_a_later_one() {
    let mut conductor = opened();
    conductor.enter(START, entry(5)).unwrap();
    conductor.take_leaves();
    conductor.enter(START, Entry { normalised_sha256: entry(5).normalised_sha256, ..entry(4) }).unwrap();
    assert_eq!(conductor.take_leaves().len(), 2);
    assert!(conductor.entry(&entry(5).submission).is_none());
    assert!(conductor.entry(&entry(4).submission).is_some());
}

#[test]
fn closing_too_early_with_another_seed_or_without_a_champion() {
    let early = rules(&[("entries_s = 0", "entries_s = 100")]);
    let mut conductor = Conductor::open(setup(early), START, seed().commitment()).unwrap();
    conductor.enter(START, entry(1)).unwrap();
    let (opens, now) = (UnixSeconds(START.0 + 100), UnixSeconds(START.0 + 99));
    let error = conductor.close(now, &seed()).unwrap_err();
    assert_eq!(error, CloseFailed::Refused(CloseError::TooEarly { opens, now }));
    let error = conductor.close(opens, &DrawSeed::new([1; 32])).unwrap_err();
    assert!(matches!(error, CloseFailed::Refused(CloseError::SeedNotCommitted { .. })));
    let error = conductor.close(opens, &seed()).unwrap_err();
    assert_eq!(error, CloseFailed::Refused(CloseError::TitleVacant));
    assert_eq!(conductor.advance(opens), Err(AdvanceError::EntriesOpen));
    conductor.enter(opens, champion()).unwrap();
    conductor.close(opens, &seed()).unwrap();
    assert!(conductor.close(opens, &seed()).is_err());
}

#[test]
fn fields_end_as_stated() {
    let stage = |n: u64, rulebook: Vec<u8>| {
        let mut sim = Sim::open(rulebook, n, CLEAN, 1);
        sim.close();
        sim.conductor.state().stage
    };
    for (n, expected) in [(0, "ended"), (1, "boss"), (2, "knockout"), (8, "knockout"), (9, "group")] {
        assert_eq!(stage(n, rules(&[])), expected, "{n}");
    }
    let min_8 = || rules(&[("min = 2", "min = 8")]);
    for (n, expected) in [(0, "ended"), (1, "ended"), (7, "ended"), (8, "knockout")] {
        assert_eq!(stage(n, min_8()), expected, "{n}");
    }
}

#[test]
fn selection_takes_the_best_boosted_stake() {
    let mut conductor = opened();
    for n in 0..40 {
        let entries = [0, 5, 9][(n % 3) as usize];
        let row = Entry { stake: 1000 + n, completed_entries: entries, ..entry(n) };
        conductor.enter(START, row).unwrap();
    }
    conductor.enter(START, champion()).unwrap();
    conductor.close(START, &seed()).unwrap();
    let leaves = conductor.take_leaves();
    let closed = leaves.iter().find(|l| String::from_utf8_lossy(l).contains("\"type\":\"closed\"")).unwrap();
    let closed: serde_json::Value = serde_json::from_slice(closed).unwrap();
    let rows = closed["body"]["selected"].as_array().unwrap();
    assert_eq!(rows.len(), 32);
    let boosted: Vec<u64> = rows.iter().map(|r| r["boosted"].as_str().unwrap().parse().unwrap()).collect();
    assert!(boosted.is_sorted_by(|a, b| a >= b));
    // 25 % at 5 and at 9 entries: stake 1038 with 9 is 1297, stake 1037 with 5 is 1296.
    assert_eq!(boosted[..2], [1297, 1296]);
    assert!(boosted.contains(&1039), "none at 0 entries");
}

fn running() -> (Sim, TaskWork) {
    let mut sim = Sim::open(rules(&[]), 2, CLEAN, 9);
    sim.close();
    let work = sim.conductor.open_tasks().remove(0);
    (sim, work)
}

fn train_order(work: &TaskWork, n: u8, attempt: u32) -> OrderBody {
    OrderBody {
        order: Digest([n; 32]),
        task: work.task.id.clone(),
        role: OrderRole::Train,
        submission: Some(work.untrained[0]),
        attempt,
    }
}

#[test]
fn orders_out_of_place_are_refused() {
    let (mut sim, work) = running();
    let good = train_order(&work, 1, 1);
    let cases = [
        (OrderBody { task: "r9-k1".into(), ..good.clone() }, "present round"),
        (OrderBody { submission: None, ..good.clone() }, "names one participant"),
        (OrderBody { submission: Some(champion().submission), ..good.clone() }, "names one participant"),
        (OrderBody { attempt: 2, ..good.clone() }, "expected attempt 1"),
        (OrderBody { role: OrderRole::Evaluate, submission: None, ..good.clone() }, "waits until"),
    ];
    for (order, text) in cases {
        let error = sim.conductor.ordered(START, order).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    sim.conductor.ordered(START, good.clone()).unwrap();
    assert_eq!(sim.conductor.ordered(START, good.clone()), Err(OrderRefused::Again { order: good.order }));
    sim.conductor.ordered(START, train_order(&work, 2, 2)).unwrap();
    let error = sim.conductor.ordered(START, train_order(&work, 3, 3)).unwrap_err();
    assert_eq!(error, OrderRefused::Attempt { expected: 3, max: 2, got: 3 });
    assert_eq!(sim.conductor.outstanding().len(), 2);
}

#[test]
fn the_break_between_rounds_is_kept() {
    let mut sim = Sim::open(preset("seed").unwrap().to_vec(), 2, CLEAN, 9);
    sim.close();
    sim.work();
    sim.work();
    let now = sim.now();
    assert_eq!(sim.conductor.advance(now).unwrap(), Progress::RoundSettled);
    let work = sim.conductor.open_tasks().remove(0);
    assert_eq!(work.opens, UnixSeconds(now.0 + 86_400));
    let error = sim.conductor.ordered(now, train_order(&work, 200, 1)).unwrap_err();
    assert!(matches!(error, OrderRefused::TooEarly { .. }));
    sim.conductor.ordered(work.opens, train_order(&work, 200, 1)).unwrap();
}

#[test]
fn the_first_outcome_of_an_order_wins() {
    let (mut sim, work) = running();
    sim.conductor.ordered(START, train_order(&work, 1, 1)).unwrap();
    sim.conductor.ordered(START, train_order(&work, 2, 2)).unwrap();
    let outcome = |n: u8, status| TrainOutcome {
        task: work.task.id.clone(),
        submission: work.untrained[0],
        order: Digest([n; 32]),
        status,
        duration_bucket: 1,
    };
    let unknown = OutcomeRefused::UnknownOrder { order: Digest([3; 32]) };
    assert_eq!(sim.conductor.trained(START, outcome(3, Status::Done)), Err(unknown));
    let other = TrainOutcome { submission: work.untrained[1], ..outcome(1, Status::Done) };
    assert!(matches!(sim.conductor.trained(START, other), Err(OutcomeRefused::OtherOrder { .. })));
    let long = TrainOutcome { duration_bucket: 64, ..outcome(1, Status::Done) };
    assert!(matches!(sim.conductor.trained(START, long), Err(OutcomeRefused::Duration { got: 64 })));
    sim.take();
    let mut record = |n, status| {
        let recorded = sim.conductor.trained(START, outcome(n, status)).unwrap();
        let leaves = sim.conductor.take_leaves();
        (recorded, leaves.len(), leaves.iter().any(|l| String::from_utf8_lossy(l).contains("conflicting")))
    };
    assert_eq!(record(1, Status::Done), (Recorded::Taken, 1, false));
    assert_eq!(record(1, Status::Done), (Recorded::Again, 0, false));
    assert_eq!(record(1, Status::Failed), (Recorded::Conflicting, 1, true));
    assert_eq!(record(1, Status::TimedOut), (Recorded::Again, 0, false));
    // Another attempt's answer, after the training has its outcome.
    assert_eq!(record(2, Status::Done), (Recorded::Conflicting, 1, true));
    let view = sim.conductor.state().rounds[0].tasks[0].trainings.clone();
    let row = view.iter().find(|row| row.submission == work.untrained[0]).unwrap();
    assert_eq!(row.status, Some(Status::Done));
}

#[test]
fn retries_are_bounded_and_intake_has_none() {
    let (mut sim, work) = running();
    let mut answer = |n: u8, attempt, status| {
        sim.conductor.ordered(START, train_order(&work, n, attempt)).unwrap();
        let outcome = TrainOutcome {
            task: work.task.id.clone(),
            submission: work.untrained[0],
            order: Digest([n; 32]),
            status,
            duration_bucket: 0,
        };
        sim.conductor.trained(START, outcome).unwrap();
        sim.conductor.next_attempt(&work.task.id, Some(&work.untrained[0]))
    };
    assert_eq!(answer(1, 1, Status::Failed), Some(2));
    assert_eq!(answer(2, 2, Status::Infrastructure), None);
    let (mut sim, work) = running();
    sim.conductor.ordered(START, train_order(&work, 1, 1)).unwrap();
    let (task, submission) = (work.task.id.clone(), work.untrained[0]);
    let order = Digest([1; 32]);
    let outcome = TrainOutcome { task, submission, order, status: Status::IntakeRefused, duration_bucket: 0 };
    sim.conductor.trained(START, outcome).unwrap();
    assert_eq!(sim.conductor.next_attempt(&work.task.id, Some(&submission)), None);
}

#[test]
fn an_evaluation_answers_for_exactly_its_artefacts() {
    let (mut sim, work) = running();
    work.untrained.iter().for_each(|id| sim.train(&work, *id));
    let work = sim.conductor.open_tasks().remove(0);
    let order = Digest([1; 32]);
    let (task, role) = (work.task.id.clone(), OrderRole::Evaluate);
    sim.conductor.ordered(START, OrderBody { order, task, role, submission: None, attempt: 1 }).unwrap();
    let good = sim.evaluation(&work, order);
    let mut short = good.clone();
    short.scores.pop();
    assert!(matches!(sim.conductor.evaluated(START, short), Err(OutcomeRefused::Rows { .. })));
    let mut foreign = good.clone();
    foreign.scores[0].submission = champion().submission;
    assert!(matches!(sim.conductor.evaluated(START, foreign), Err(OutcomeRefused::Rows { .. })));
    let mut unearned = good.clone();
    unearned.scores[0].status = Status::Failed;
    assert!(matches!(sim.conductor.evaluated(START, unearned), Err(OutcomeRefused::Row { .. })));
    let mut reversed = good.clone();
    reversed.scores.reverse();
    assert_eq!(sim.conductor.evaluated(START, reversed).unwrap(), Recorded::Taken);
    assert_eq!(sim.conductor.evaluated(START, good).unwrap(), Recorded::Again);
}

#[test]
fn copies_of_an_artefact_or_of_item_losses_lose_to_the_earlier() {
    for by_losses in [false, true] {
        let (mut sim, work) = running();
        work.untrained.iter().for_each(|id| sim.train(&work, *id));
        let work = sim.conductor.open_tasks().remove(0);
        let order = Digest([1; 32]);
        let (task, role) = (work.task.id.clone(), OrderRole::Evaluate);
        sim.conductor.ordered(START, OrderBody { order, task, role, submission: None, attempt: 1 }).unwrap();
        let mut outcome = sim.evaluation(&work, order);
        let (first, later) = (entry(0).submission, entry(1).submission);
        let digest = outcome.scores[0].artefact_sha256;
        for row in &mut outcome.scores {
            // The later one would win by its score.
            row.score = Some(Disclosed::clamped(if row.submission == later { 1 } else { 2 }));
            if by_losses {
                row.same_losses_as = (row.submission == first).then_some(later);
            } else {
                row.artefact_sha256 = digest;
            }
        }
        sim.conductor.evaluated(START, outcome).unwrap();
        sim.conductor.advance(START).unwrap();
        let result = sim.conductor.state().rounds[0].result.clone().unwrap();
        assert_eq!(result.advancing, vec![first]);
        let row = result.tasks[0].rows.iter().find(|row| row.submission == later).unwrap();
        assert_eq!(row.outcome, verdict::Outcome::DuplicateOf { submission: first });
    }
}

#[test]
fn too_many_failures_wait_for_the_operator() {
    let strict = rules(&[("too_many = \"off\"", "too_many = \"stop\"")]);
    let mut sim = Sim::open(strict.clone(), 2, Odds { train_fails: 100, ..CLEAN }, 3);
    sim.close();
    (0..4).for_each(|_| sim.work());
    let now = sim.now();
    let error = sim.conductor.advance(now).unwrap_err();
    let AdvanceError::Settle(SettleError::TooManyFailures { task, failed: 2, of: 2 }) = error else {
        panic!("{error}")
    };
    assert!(sim.conductor.decide(now, decision("r9-k1")).is_err());
    sim.conductor.decide(now, decision(&task)).unwrap();
    sim.conductor.advance(now).unwrap();
    sim.play();
    replay(&sim.leaves, &strict).unwrap();
}

#[test]
fn setups_out_of_range_are_refused() {
    let open = |facts: Setup| Conductor::open(facts, START, seed().commitment()).map(|_| ());
    let good = setup(rules(&[]));
    assert!(open(good.clone()).is_ok());
    assert!(open(Setup { tournament: "Spring".into(), ..good.clone() }).is_err());
    assert!(open(Setup { tournament: String::new(), ..good.clone() }).is_err());
    assert!(open(Setup { datasets: vec![], ..good.clone() }).is_err());
    assert!(open(Setup { datasets: vec!["b".into(), "a".into()], ..good.clone() }).is_err());
    assert!(open(Setup { datasets: vec!["a".into(), "a".into()], ..good.clone() }).is_err());
    assert!(open(Setup { rulebook: vec![0xff], ..good }).is_err());
}
