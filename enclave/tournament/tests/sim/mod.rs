//! A whole tournament from a small deterministic generator: the test's entrants, hosts and guests.
#![allow(dead_code)]

use tiltyard_tournament::conductor::Conductor;
use tiltyard_tournament::record::{BaseScore, DecisionBody, LeaseId};
use tiltyard_tournament::*;

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

pub const START: UnixSeconds = UnixSeconds(1_700_000_000);

/// The seed preset without its pauses, with small brackets.
pub fn small_rules() -> Vec<u8> {
    rules(&[("skip_at = 8", "skip_at = 4"), ("advance = 8", "advance = 4")])
}

/// The seed preset without its pauses, with replacements that must each hit.
pub fn rules(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::from_utf8(preset("seed").unwrap().to_vec()).unwrap();
    for (from, to) in changes.iter().chain(&[("break_s = 86400", "break_s = 0")]) {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    text.into_bytes()
}

pub fn seed() -> DrawSeed {
    DrawSeed::new([42; 32])
}

pub fn setup(rulebook: Vec<u8>) -> Setup {
    Setup {
        tournament: "spring".into(),
        rulebook,
        datasets: vec!["claims".into(), "tickets".into()],
        charter: [9; 32],
        cap_bits: 16_384,
    }
}

pub fn entry(n: u64) -> Entry {
    let id = |what: &str| Digest::sha256(format!("{what} {n}").as_bytes());
    Entry {
        entrant: EntrantId(id("entrant")),
        submission: SubmissionId(id("submission")),
        normalised_sha256: id("content"),
        label: Label::new(&format!("entrant {n}")).unwrap(),
        seq: n,
        buy_in: Minor(8000),
        stake: (n * 7919) % 1000,
        completed_entries: u32::try_from(n % 7).unwrap(),
        champion: None,
    }
}

pub fn champion() -> Entry {
    Entry { champion: Some(Title::first()), buy_in: Minor(0), ..entry(1_000_000) }
}

pub fn boot(n: u8) -> BootBody {
    BootBody {
        charter: Digest([9; 32]),
        lease: LeaseId::from([n; 16]),
        tls_spki_sha256: Digest([n; 32]),
        hpke_sha256: Digest([n.wrapping_add(1); 32]),
        signing_key: Digest([n.wrapping_add(2); 32]),
    }
}

/// How the guests of a run behave, in percent.
#[derive(Clone, Copy)]
pub struct Odds {
    pub train_fails: u64,
    pub evaluation_fails: u64,
    pub row_fails: u64,
    pub copies: u64,
}

pub const MIXED: Odds = Odds { train_fails: 25, evaluation_fails: 15, row_fails: 15, copies: 5 };
pub const CLEAN: Odds = Odds { train_fails: 0, evaluation_fails: 0, row_fails: 0, copies: 0 };

pub struct Sim {
    pub conductor: Conductor,
    pub leaves: Vec<Vec<u8>>,
    pub rng: Rng,
    pub odds: Odds,
    pub clock: u64,
    orders: u64,
}

impl Sim {
    pub fn open(rulebook: Vec<u8>, challengers: u64, odds: Odds, rng: u64) -> Self {
        let conductor = Conductor::open(setup(rulebook), START, seed().commitment()).unwrap();
        let (leaves, rng) = (Vec::new(), Rng(rng));
        let mut sim = Self { conductor, leaves, rng, odds, clock: START.0, orders: 0 };
        sim.conductor.boot(START, boot(1)).unwrap();
        for n in 0..challengers {
            let now = sim.now();
            sim.conductor.enter(now, entry(n)).unwrap();
        }
        let now = sim.now();
        sim.conductor.enter(now, champion()).unwrap();
        sim.take();
        sim
    }

    pub fn now(&mut self) -> UnixSeconds {
        self.clock += 1 + self.rng.below(60);
        UnixSeconds(self.clock)
    }

    pub fn take(&mut self) {
        self.leaves.extend(self.conductor.take_leaves());
    }

    /// A fresh order digest; it must not depend on what came before a restart.
    fn order_id(&mut self) -> Digest {
        self.orders += 1;
        Digest::sha256(format!("order {} {}", self.orders, self.rng.below(1 << 40)).as_bytes())
    }

    pub fn close(&mut self) {
        let now = self.now();
        self.conductor.close(now, &seed()).unwrap();
        self.take();
    }

    /// Plays to the end, at most so many rounds as there can be.
    pub fn play(&mut self) {
        for _ in 0..10_000 {
            let now = self.now();
            if self.conductor.advance(now).unwrap() == Progress::Decided {
                let now = self.now();
                self.conductor.reveal(now).unwrap();
                self.take();
                return;
            }
            self.take();
            self.work();
        }
        panic!("the tournament does not end");
    }

    /// One attempt of everything that is missing.
    pub fn work(&mut self) {
        for work in self.conductor.open_tasks() {
            if work.untrained.is_empty() {
                self.evaluate(&work);
            } else {
                work.untrained.iter().for_each(|id| self.train(&work, *id));
            }
        }
        self.take();
    }

    pub fn train(&mut self, work: &TaskWork, submission: SubmissionId) {
        let task = work.task.id.clone();
        let Some(attempt) = self.conductor.next_attempt(&task, Some(&submission)) else { return };
        let order = self.order_id();
        let (role, now) = (OrderRole::Train, self.now());
        let body = OrderBody { order, task: task.clone(), role, submission: Some(submission), attempt };
        self.conductor.ordered(now, body).unwrap();
        let failing = [Status::Failed, Status::IntakeRefused, Status::ResourceLimit, Status::Infrastructure];
        let status = if self.rng.below(100) < self.odds.train_fails {
            failing[self.rng.below(4) as usize]
        } else if self.rng.below(10) == 0 {
            Status::TimedOut
        } else {
            Status::Done
        };
        let duration_bucket = self.rng.below(64) as u32;
        let outcome = TrainOutcome { task, submission, order, status, duration_bucket };
        let now = self.now();
        self.conductor.trained(now, outcome).unwrap();
    }

    pub fn evaluate(&mut self, work: &TaskWork) {
        let task = work.task.id.clone();
        let Some(attempt) = self.conductor.next_attempt(&task, None) else { return };
        let order = self.order_id();
        let (role, now) = (OrderRole::Evaluate, self.now());
        let body = OrderBody { order, task: task.clone(), role, submission: None, attempt };
        self.conductor.ordered(now, body).unwrap();
        let outcome = self.evaluation(work, order);
        let now = self.now();
        self.conductor.evaluated(now, outcome).unwrap();
    }

    pub fn evaluation(&mut self, work: &TaskWork, order: Digest) -> EvaluateOutcome {
        let broken = self.rng.below(100) < self.odds.evaluation_fails;
        let mut scores: Vec<ScoreRow> = Vec::new();
        for (submission, _) in &work.trained {
            let copied = self.rng.below(100) < self.odds.copies;
            let artefact = match scores.last().and_then(|row| row.artefact_sha256) {
                Some(before) if copied => before,
                _ => Digest::sha256(&self.rng.next().to_be_bytes()),
            };
            let refused = [Status::NotFineTuned, Status::ArtefactRefused, Status::TimedOut];
            let status = if broken {
                Status::Infrastructure
            } else if self.rng.below(100) < self.odds.row_fails {
                refused[self.rng.below(3) as usize]
            } else {
                Status::Done
            };
            let done = status == Status::Done;
            let score = Disclosed::clamped(15_000 + i128::from(self.rng.below(4_000)));
            scores.push(ScoreRow {
                submission: *submission,
                status,
                score: done.then_some(score),
                losses_root: done.then(|| Digest::sha256(&self.rng.next().to_be_bytes())),
                artefact_sha256: done.then_some(artefact),
                same_losses_as: None,
            });
        }
        let base = BaseScore {
            score: (!broken).then(|| Disclosed::clamped(21_000)),
            losses_root: (!broken).then_some(Digest([3; 32])),
        };
        let fingerprint = Digest::sha256(work.task.id.as_bytes());
        EvaluateOutcome { task: work.task.id.clone(), order, fingerprint, base, scores }
    }
}

pub fn decision(task: &str) -> DecisionBody {
    DecisionBody { task: task.into(), statement: Digest([5; 32]) }
}

/// A finished record.
pub fn finished(rulebook: Vec<u8>, challengers: u64, odds: Odds, rng: u64) -> Sim {
    let mut sim = Sim::open(rulebook, challengers, odds, rng);
    sim.close();
    sim.play();
    sim
}
