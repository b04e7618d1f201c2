//! The tamper matrix: each leaf type x (drop, swap, edit a digit, duplicate, truncate).
#![allow(clippy::unwrap_used)]

mod sim;

use std::collections::BTreeMap;

use sim::*;
use tiltyard_tournament::*;

/// A record in which every leaf type occurs.
fn record() -> (Vec<Vec<u8>>, Vec<u8>) {
    let rulebook = rules(&[
        ("skip_at = 8", "skip_at = 4"),
        ("advance = 8", "advance = 4"),
        ("too_many = \"off\"", "too_many = \"stop\""),
    ]);
    let mut sim = Sim::open(rulebook.clone(), 6, Odds { copies: 0, ..MIXED }, 21);
    let now = sim.now();
    sim.conductor.enter(now, Entry { buy_in: Minor(1), ..entry(77) }).unwrap_err();
    sim.conductor.refuse(now, entry(78), EntryRefused::Licence).unwrap();
    sim.close();
    // A decision ahead of need, and a conflict.
    let now = sim.now();
    sim.conductor.decide(now, decision("r1-g1")).unwrap();
    let work = sim.conductor.open_tasks().remove(0);
    let (task, submission) = (work.task.id.clone(), work.untrained[0]);
    let order = Digest([200; 32]);
    let (role, attempt) = (OrderRole::Train, 1);
    let body = OrderBody { order, task: task.clone(), role, submission: Some(submission), attempt };
    sim.conductor.ordered(now, body).unwrap();
    let outcome = TrainOutcome { task, submission, order, status: Status::Done, duration_bucket: 0 };
    sim.conductor.trained(now, outcome.clone()).unwrap();
    sim.conductor.trained(now, TrainOutcome { status: Status::Failed, ..outcome }).unwrap();
    sim.take();
    for _ in 0..1000 {
        let now = sim.now();
        match sim.conductor.advance(now) {
            Ok(Progress::Decided) => break,
            Ok(_) => {}
            Err(_) => {
                for task in sim.conductor.state().rounds.last().unwrap().tasks.clone() {
                    sim.conductor.decide(now, decision(&task.task)).unwrap();
                }
            }
        }
        sim.take();
        sim.work();
    }
    let now = sim.now();
    sim.conductor.reveal(now).unwrap();
    sim.take();
    replay(&sim.leaves, &rulebook).unwrap();
    (sim.leaves, rulebook)
}

fn kind(leaf: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(leaf).unwrap();
    value["type"].as_str().unwrap().to_owned()
}

fn by_kind(leaves: &[Vec<u8>]) -> BTreeMap<String, Vec<usize>> {
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, leaf) in leaves.iter().enumerate() {
        kinds.entry(kind(leaf)).or_default().push(at);
    }
    kinds
}

const ALL: [&str; 16] = [
    "archive",
    "boot",
    "closed",
    "conflicting_outcome",
    "decided",
    "decision",
    "draw_commit",
    "draw_reveal",
    "entry",
    "entry_refused",
    "fixture",
    "order",
    "outcome",
    "round_settled",
    "rulebook",
    "shares",
];

/// Leaves that follow wholly from others: any edit shows at their own place.
const DERIVED: [&str; 8] =
    ["archive", "closed", "decided", "draw_commit", "draw_reveal", "fixture", "round_settled", "shares"];

#[test]
fn every_leaf_type_is_covered() {
    let (leaves, _) = record();
    assert_eq!(by_kind(&leaves).keys().map(String::as_str).collect::<Vec<_>>(), ALL);
}

#[test]
fn drop_swap_duplicate_and_truncate_show_at_their_place() {
    let (leaves, rulebook) = record();
    let last = leaves.len() - 1;
    for (name, places) in by_kind(&leaves) {
        for at in [places[0], places[places.len() - 1]] {
            let seq = at as u64;
            let mut dropped = leaves.clone();
            dropped.remove(at);
            let got = replay(&dropped, &rulebook).unwrap_err().seq;
            assert_eq!(got, seq, "drop {name}");

            let mut swapped = leaves.clone();
            let other = if at == last { at - 1 } else { at + 1 };
            swapped.swap(at, other);
            let got = replay(&swapped, &rulebook).unwrap_err().seq;
            assert_eq!(got, at.min(other) as u64, "swap {name}");

            let mut doubled = leaves.clone();
            doubled.insert(at, leaves[at].clone());
            let got = replay(&doubled, &rulebook).unwrap_err().seq;
            assert_eq!(got, seq + 1, "duplicate {name}");

            let cut = &leaves[..at];
            let got = replay(cut, &rulebook).unwrap_err().seq;
            assert_eq!(got, seq, "truncate before {name}");

            let mut clipped = leaves.clone();
            clipped[at].pop();
            let got = replay(&clipped, &rulebook).unwrap_err().seq;
            assert_eq!(got, seq, "clip {name}");
        }
    }
}

#[test]
fn every_edited_digit_shows_at_the_leaf_or_at_the_next_that_follows_from_it() {
    let (leaves, rulebook) = record();
    let rooted = |at: usize| {
        let roots = ["closed", "round_settled", "decided"];
        (at..leaves.len()).find(|i| roots.contains(&kind(&leaves[*i]).as_str())).unwrap_or(leaves.len() - 1)
    };
    for (name, places) in by_kind(&leaves) {
        for at in [places[0], places[places.len() - 1]] {
            let digits: Vec<_> = (0..leaves[at].len()).filter(|i| leaves[at][*i].is_ascii_digit()).collect();
            // All digits of small leaves, some hundred of large ones.
            for place in digits.iter().step_by(digits.len() / 120 + 1) {
                let mut edited = leaves.clone();
                let digit = &mut edited[at][*place];
                *digit = if *digit == b'9' { b'8' } else { *digit + 1 };
                let found = replay(&edited, &rulebook).unwrap_err();
                let seq = usize::try_from(found.seq).unwrap();
                if DERIVED.contains(&name.as_str()) && !time_of(&leaves[at], *place) {
                    assert_eq!(seq, at, "{name}: {found}");
                } else {
                    assert!((at..=rooted(at + 1)).contains(&seq), "{name}: {found}");
                }
            }
        }
    }
}

/// The time of an event's first leaf is an input; a later one shows at the event's next leaf.
fn time_of(leaf: &[u8], place: usize) -> bool {
    let text = String::from_utf8_lossy(leaf);
    let start = text.find("\"time\":").unwrap();
    let end = start + text[start..].find(',').unwrap();
    (start..end).contains(&place)
}

#[test]
fn another_rulebook_or_seed_is_found() {
    let (leaves, rulebook) = record();
    let found = replay(&leaves, preset("seed").unwrap()).unwrap_err();
    assert_eq!((found.seq, found.field.as_str()), (0, "body.rulebook_sha256"));
    let found = resume(&leaves, &rulebook, &DrawSeed::new([1; 32])).err().unwrap();
    assert_eq!((found.seq, found.field.as_str()), (1, "body.commitment"));
    assert_eq!(replay(&[], &rulebook).unwrap_err().seq, 0);
}

#[test]
fn hostile_bytes_are_refused_not_panicked_on() {
    let (leaves, rulebook) = record();
    let replaced = |at: usize, bytes: &[u8]| {
        let mut leaves = leaves.clone();
        leaves[at] = bytes.to_vec();
        replay(&leaves, &rulebook).unwrap_err().seq
    };
    let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
    for at in [0, 1, 3, leaves.len() / 2] {
        for bytes in [&b""[..], b"null", b"{}", &[0xff; 40], &deep[..9000], &vec![b' '; 20_000]] {
            assert_eq!(replaced(at, bytes), at as u64);
        }
        // Equal as JSON, other bytes.
        let spaced = [b" ".to_vec(), leaves[at].clone()].concat();
        assert_eq!(replaced(at, &spaced), at as u64);
    }
}
