//! Whole tournaments with random outcomes: they end, their brackets hold, their records replay.
#![allow(clippy::unwrap_used)]

mod sim;

use std::collections::BTreeSet;

use sim::*;
use tiltyard_tournament::conductor::Standings;
use tiltyard_tournament::fixtures::RoundKind;
use tiltyard_tournament::record::{Ending, LEAF_MAX_BYTES, OutcomeBody};
use tiltyard_tournament::*;

fn check_brackets(sim: &Sim, challengers: u64, skip_at: usize, advance: usize) {
    let state = sim.conductor.state();
    let taken = usize::try_from(challengers.min(32)).unwrap();
    let champion = champion().submission;
    let mut alive = taken;
    for round in &state.rounds {
        let mut seen = BTreeSet::new();
        for task in &round.tasks {
            if round.stage == RoundKind::Boss {
                let both: BTreeSet<_> = task.trainings.iter().map(|t| t.submission).collect();
                assert!(both.contains(&champion) && both.len() == 2);
                continue;
            }
            for training in &task.trainings {
                assert!(seen.insert(training.submission), "twice in one round");
                assert_ne!(training.submission, champion, "the champion enters only in the boss round");
            }
        }
        let going_on = round.result.as_ref().unwrap().advancing.len();
        match round.stage {
            RoundKind::Group => {
                assert!(taken > skip_at && seen.len() == taken && round.tasks.len() == 1);
                assert!(going_on <= advance);
            }
            RoundKind::Knockout => {
                assert_eq!(seen.len() + usize::from(round.bye.is_some()), alive);
                assert_eq!(round.bye.is_some(), alive % 2 == 1);
                assert!(going_on <= alive.div_ceil(2));
            }
            RoundKind::Boss => assert!(alive == 1 && round.tasks.len() == 6 && going_on == 1),
        }
        alive = going_on;
    }
}

#[test]
fn every_field_size_ends_replays_and_conserves() {
    for n in 0..=40 {
        for (run, odds) in [(0, CLEAN), (1, MIXED), (2, Odds { train_fails: 70, ..MIXED })] {
            let (rulebook, skip, advance) = match run {
                1 => (small_rules(), 4, 4),
                _ => (rules(&[]), 8, 8),
            };
            let sim = finished(rulebook.clone(), n, odds, n * 1000 + run);
            assert!(sim.leaves.iter().all(|leaf| leaf.len() <= LEAF_MAX_BYTES));
            check_brackets(&sim, n, skip, advance);
            let replayed = replay(&sim.leaves, &rulebook).unwrap();
            assert_eq!(replayed.state, sim.conductor.state());
            assert_eq!(replayed.standings, sim.conductor.standings());
            assert_eq!(replayed.decided.ending == Ending::Cancelled, n == 0);
            assert!(replayed.decided.holder.is_some());
            if let Some(decided) = sim.conductor.decided() {
                let shares = decided.shares().unwrap();
                let sum: u32 = shares.rows.iter().map(|row| row.share_ppm).sum();
                assert_eq!(sum + shares.unspent_ppm, 1_000_000);
                assert_eq!(shares.rows.len() as u64, n.min(32) + 1);
                assert!(decided.archive().iter().all(|archived| archived.place <= 2));
            }
        }
    }
}

#[test]
fn all_trainings_fail_and_the_champion_keeps() {
    let nothing = Odds { train_fails: 100, ..MIXED };
    for n in [1, 2, 8, 9] {
        let sim = finished(rules(&[]), n, nothing, n);
        let decided = sim.conductor.decided().unwrap();
        assert_eq!(decided.holder(), champion().submission);
        assert_eq!(decided.titles(), 2);
    }
    let no_scores = Odds { evaluation_fails: 100, ..CLEAN };
    let sim = finished(rules(&[]), 9, no_scores, 3);
    assert_eq!(sim.conductor.decided().unwrap().holder(), champion().submission);
    // Four evaluations of the one task, then it is closed.
    assert_eq!(sim.conductor.state().rounds[0].tasks[0].evaluations, 4);
}

#[test]
fn same_seed_same_fixtures_other_entries_other_fixtures() {
    let fixtures = |n: u64, rng: u64| {
        let mut sim = Sim::open(small_rules(), n, CLEAN, rng);
        sim.close();
        let state = sim.conductor.state();
        state.rounds[0].tasks.iter().map(|t| (t.seed, t.dataset.clone())).collect::<Vec<_>>()
    };
    assert_eq!(fixtures(6, 1), fixtures(6, 1));
    // Other times make other entry leaves, whose root is in the draw key.
    assert_ne!(fixtures(6, 1), fixtures(6, 2));
}

#[test]
fn resume_at_every_leaf_ends_in_the_same_record() {
    let rulebook = small_rules();
    let whole = finished(rulebook.clone(), 6, MIXED, 77);
    for cut in 1..=whole.leaves.len() {
        let mut conductor = resume(&whole.leaves[..cut], &rulebook, &seed()).unwrap();
        let mut leaves = whole.leaves[..cut].to_vec();
        leaves.extend(conductor.take_leaves());
        assert_eq!(leaves[..], whole.leaves[..leaves.len()], "cut at {cut}");
        if leaves.len() == whole.leaves.len() {
            assert_eq!(conductor.state(), whole.conductor.state());
        }
        finish_like(conductor, leaves, &whole);
    }
}

/// Feeds a resumed conductor the inputs that the whole record still holds, and wants the same leaves.
fn finish_like(mut conductor: Conductor, mut leaves: Vec<Vec<u8>>, whole: &Sim) {
    while let Some(next) = whole.leaves.get(leaves.len()) {
        let leaf: serde_json::Value = serde_json::from_slice(next).unwrap();
        let (time, body) = (UnixSeconds(leaf["time"].as_u64().unwrap()), leaf["body"].clone());
        match leaf["type"].as_str().unwrap() {
            "draw_commit" | "fixture" => panic!("comes with its event"),
            "boot" => conductor.boot(time, serde_json::from_value(body).unwrap()).unwrap(),
            "entry" => conductor.enter(time, serde_json::from_value(body).unwrap()).unwrap(),
            "closed" => conductor.close(time, &seed()).unwrap(),
            "order" => conductor.ordered(time, serde_json::from_value(body).unwrap()).unwrap(),
            "outcome" => drop(match serde_json::from_value(body).unwrap() {
                OutcomeBody::Train(outcome) => conductor.trained(time, outcome).unwrap(),
                OutcomeBody::Evaluate(outcome) => conductor.evaluated(time, outcome).unwrap(),
            }),
            "round_settled" => drop(conductor.advance(time).unwrap()),
            "decided" => conductor.reveal(time).unwrap(),
            other => panic!("{other}"),
        }
        leaves.extend(conductor.take_leaves());
    }
    assert_eq!(leaves, whole.leaves);
}

#[test]
fn a_referee_that_restarts_after_every_step_makes_the_same_record() {
    let rulebook = small_rules();
    let whole = finished(rulebook.clone(), 7, MIXED, 5);
    let mut sim = Sim::open(rulebook.clone(), 7, MIXED, 5);
    sim.close();
    loop {
        sim.conductor = resume(&sim.leaves, &rulebook, &seed()).unwrap();
        let now = sim.now();
        if sim.conductor.advance(now).unwrap() == Progress::Decided {
            let now = sim.now();
            sim.conductor.reveal(now).unwrap();
            sim.take();
            break;
        }
        sim.take();
        sim.conductor = resume(&sim.leaves, &rulebook, &seed()).unwrap();
        sim.work();
    }
    assert_eq!(sim.leaves, whole.leaves);
}

#[test]
fn boots_may_follow_the_end_and_nothing_else_may() {
    let rulebook = small_rules();
    let mut sim = finished(rulebook.clone(), 3, CLEAN, 4);
    let now = sim.now();
    assert_eq!(sim.conductor.enter(now, entry(50)), Err(EntryRefused::FieldClosed));
    sim.conductor.reveal(now).unwrap();
    assert!(sim.conductor.take_leaves().is_empty());
    sim.conductor.boot(now, boot(7)).unwrap();
    sim.take();
    let replayed = replay(&sim.leaves, &rulebook).unwrap();
    assert_eq!(replayed.boots.len(), 2);
    assert_eq!(replayed.boots[0].0, 2);
    let other = BootBody { charter: Digest([8; 32]), ..boot(8) };
    assert!(sim.conductor.boot(now, other).is_err());
}

#[test]
fn views_are_json_and_show_losses_before_and_after() {
    let sim = finished(small_rules(), 6, CLEAN, 4);
    let standings = sim.conductor.standings();
    let text = serde_json::to_string(&standings).unwrap();
    assert_eq!(serde_json::from_str::<Standings>(&text).unwrap(), standings);
    assert!(standings.decided);
    assert_eq!(standings.rows[0].place, Some(1));
    for row in &standings.rows {
        assert!(!row.scores.is_empty());
        assert!(row.scores.iter().all(|s| s.before == Some(Disclosed::clamped(21_000))));
    }
    assert!(serde_json::to_string(&sim.conductor.state()).unwrap().contains("\"stage\":\"revealed\""));
}

#[test]
fn bits_of_a_clean_seed_tournament_are_those_of_the_rules() {
    let sim = finished(rules(&[]), 32, CLEAN, 11);
    let tasks: usize = sim.conductor.state().rounds.iter().map(|round| round.tasks.len()).sum();
    assert_eq!(tasks, 1 + 4 + 2 + 1 + 6);
    let spent: u64 = sim.conductor.state().budget.iter().map(|b| b.spent_bits).sum();
    // 58 outcomes of 28 bits (TOURNAMENT 8), and the base model's score once a task.
    assert_eq!(spent, 1_624 + 14 * 19);
}

#[test]
fn a_task_beyond_the_bit_cap_is_withheld_and_the_tournament_ends() {
    let rulebook = small_rules();
    let facts = Setup { cap_bits: 40, datasets: vec!["claims".into()], ..setup(rulebook.clone()) };
    let conductor = Conductor::open(facts, START, seed().commitment()).unwrap();
    let mut sim = Sim::open(rulebook.clone(), 0, CLEAN, 8);
    (sim.conductor, sim.leaves) = (conductor, Vec::new());
    for one in [entry(1), entry(2), champion()] {
        let now = sim.now();
        sim.conductor.enter(now, one).unwrap();
    }
    sim.close();
    let work = sim.conductor.open_tasks().remove(0);
    work.untrained.iter().for_each(|id| sim.train(&work, *id));
    // 18 of 40 bits are booked; an evaluation of two artefacts and the base asks 57.
    let body = OrderBody {
        order: Digest([1; 32]),
        task: work.task.id.clone(),
        role: OrderRole::Evaluate,
        submission: None,
        attempt: 1,
    };
    let refused = sim.conductor.ordered(UnixSeconds(sim.clock), body).unwrap_err();
    assert!(refused.to_string().contains("18 booked and 57 asked"), "{refused}");
    assert!(sim.conductor.open_tasks().is_empty());
    sim.play();
    assert_eq!(sim.conductor.decided().unwrap().holder(), champion().submission);
    let settled = sim.leaves.iter().find(|leaf| contains(leaf, "\"round_settled\"")).unwrap();
    assert!(contains(settled, "\"withheld\":[\"r1-k1\"]"));
    replay(&sim.leaves, &rulebook).unwrap();
}

fn contains(leaf: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(leaf).contains(text)
}
