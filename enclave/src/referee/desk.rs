//! The referee's desk: what is asked for, what came back, what has been written down.
//!
//! Nothing is acted upon before its leaf is durable: entries before fixtures, orders before guests, outcomes
//! before the next round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::SystemRandom;
use tiltyard_attestation::Hex;
use tiltyard_attestation::result::Anchors;
use tiltyard_provisioning::channel::{
    Ack, Document, Entries, OrderMessage, OrderOutcome, RollEntry, Service,
};
use tiltyard_provisioning::charter::BrokerOwner;
use tiltyard_provisioning::keyid::KeyId;
use tiltyard_provisioning::order::{ArtefactRef, Order, RefereeKeys, ScoreClaim, TrainResult, Work};
use tiltyard_provisioning::record::{Record, members};
use tiltyard_provisioning::release::End;
use tiltyard_provisioning::statement::Signed;
use tiltyard_tournament::fixtures::Task;
use tiltyard_tournament::{
    BaseScore, BootBody, Conductor, Digest, Disclosed, DrawSeed, Entry, EvaluateOutcome, Label, Minor,
    OrderBody, OrderRole, Progress, ScoreRow, Setup, Status, SubmissionId, TaskWork, Title, TrainOutcome,
    UnixSeconds,
};
use tokio::sync::RwLock;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::api::{StandingRow, View};
use super::archive::{Archive, Logged, rulebook};
use super::log::TournamentLog;
use super::reports::{self, Checked, Report};
use super::{BrokerClock, Happening};
use crate::attester::random;
use crate::broker::{BrokerClient, Grant, LogProof};
use crate::error::GuestError;
use crate::session::Guest;

/// An order whose guest has not been heard of.
struct Pending {
    task: String,
    work: Work,
}

/// The tournament in progress.
pub(super) struct Desk {
    guest: Arc<Guest>,
    owner: BrokerClient,
    /// Holds the submissions' keys: it must know this referee before it honours its orders.
    operator: BrokerClient,
    broker_key: Hex<32>,
    clock: BrokerClock,
    renew_at: Instant,
    /// When the next round may be ordered, while it may not yet.
    opens_at: Option<UnixSeconds>,
    anchors: Anchors,
    conductor: Conductor,
    log: TournamentLog,
    archive: Archive,
    pending: BTreeMap<Hex<32>, Pending>,
    /// Sealed artefacts of settled trainings, by task and submission.
    artefacts: BTreeMap<(String, Hex<32>), ArtefactRef>,
    closed: bool,
    record: Option<Signed<Record>>,
    view: Arc<RwLock<View>>,
    /// Kept until the draw is revealed.
    seed: Zeroizing<[u8; 32]>,
}

impl Desk {
    /// Attests to the owner's broker, and begins the tournament or takes up a stored one.
    pub(super) async fn open(guest: &Arc<Guest>) -> Result<Self, GuestError> {
        let terms = &guest.charter.tournament;
        let owner = guest.broker(BrokerOwner::Owner)?;
        let draw = KeyId::Draw(terms.id.clone());
        let mut documents = Vec::new();
        let stored = match guest.log.clone().filter(|log| !log.leaves.is_empty()) {
            Some(mut stored) => {
                documents = std::mem::take(&mut stored.documents);
                let key = last_boot_key(&stored.leaves)?;
                let own = guest.attester.signing();
                Some(TournamentLog::restore(&guest.charter.tenant, &terms.id, stored, key, own)?)
            }
            None => None,
        };
        let mut stored = stored;
        let mut grant = first_grant(guest, &owner, &draw, stored.as_mut()).await?;
        let kept = grant.take(&draw).map(|key| Zeroizing::new(*key.expose()));
        let resumed = stored.is_some();
        let (seed, log) = match (kept, stored) {
            (Some(seed), Some(log)) => (seed, log),
            (None, Some(_)) => {
                return Err(GuestError::Log(
                    "there is a log, but the broker holds no draw seed for it".into(),
                ));
            }
            (kept, None) => {
                let seed = match kept {
                    Some(seed) => seed,
                    None => deposit_seed(guest, &owner, &grant, draw).await?,
                };
                (seed, TournamentLog::new(&guest.charter.tenant, &terms.id))
            }
        };
        let operator = guest.broker(BrokerOwner::Operator)?;
        operator.attest(&guest.attester, Vec::new(), None, LogProof::default()).await?;
        let clock = BrokerClock::new(grant.issued_at);
        let conductor = if resumed { resume(guest, &log, &seed)? } else { begin(guest, &clock, &seed)? };
        let closed = resumed && !conductor.state().rounds.is_empty();
        let broker_key = guest
            .charter
            .brokers
            .iter()
            .find(|broker| broker.owner == BrokerOwner::Owner)
            .map(|broker| broker.key)
            .ok_or(GuestError::Crypto("owner's broker"))?;
        let mut desk = Self {
            guest: Arc::clone(guest),
            owner,
            operator,
            broker_key,
            clock,
            renew_at: Instant::now(),
            opens_at: None,
            anchors: grant.lease.anchors,
            conductor,
            log,
            archive: Archive::default(),
            pending: BTreeMap::new(),
            artefacts: BTreeMap::new(),
            closed,
            record: None,
            view: Arc::default(),
            seed,
        };
        let shown = desk.log.size();
        desk.granted(grant, shown)?;
        desk.recall(documents);
        desk.introduce().await?;
        if resumed && !desk.closed && desk.conductor.entries().next().is_some() {
            // The roll is in the log already; another one would be another draw.
            desk.close().await?;
        }
        if desk.closed {
            desk.abandon_outstanding().await?;
            desk.go_on().await?;
        }
        Ok(desk)
    }

    pub(super) fn view(&self) -> Arc<RwLock<View>> {
        Arc::clone(&self.view)
    }

    pub(super) fn anchors(&self) -> Anchors {
        self.anchors
    }

    pub(super) fn decided(&self) -> bool {
        self.record.is_some()
    }

    /// When the desk wants to be woken: to renew its lease, or because a round opens.
    pub(super) fn wake_at(&self) -> Instant {
        let opening = self.opens_at.map(|at| {
            Instant::now() + Duration::from_secs(at.0.saturating_sub(self.clock.now()).saturating_add(1))
        });
        opening.map_or(self.renew_at, |opening| opening.min(self.renew_at))
    }

    /// Does what it wanted to be woken for.
    pub(super) async fn wake(&mut self) -> Result<(), GuestError> {
        if Instant::now() >= self.renew_at {
            self.renew().await?;
        }
        if self.closed { self.go_on().await } else { Ok(()) }
    }

    /// Fresh evidence, the same lease, and the log's checkpoint for the broker to remember.
    async fn renew(&mut self) -> Result<(), GuestError> {
        let (proof, size) = self.log.proof();
        self.operator.attest(&self.guest.attester, Vec::new(), None, LogProof::default()).await?;
        let grant = self.owner.attest(&self.guest.attester, Vec::new(), None, proof).await?;
        self.granted(grant, size)
    }

    fn granted(&mut self, grant: Grant, witnessed: u64) -> Result<(), GuestError> {
        let window_s = grant.lease.not_after.saturating_sub(grant.issued_at);
        self.renew_at = Instant::now() + Duration::from_secs(window_s * 2 / 3);
        self.clock = BrokerClock::new(grant.issued_at);
        self.log.witnessed(witnessed);
        // The first release is the one that names keys; renewals of the same lease show nothing more.
        let name = members::guest(&grant.lease.lease);
        if self.archive.holds(&name) { Ok(()) } else { self.archive.add(name, &grant.guest) }
    }

    /// Documents of the boots before, and the artefacts that they name.
    fn recall(&mut self, documents: Vec<Document>) {
        let logged = Logged::read(self.log.leaves());
        let charter = &self.guest.charter;
        for (order, result) in self.archive.restore(documents, charter, &self.broker_key, &logged) {
            self.remember(order.task, &result);
        }
    }

    /// What the boot before had asked for died with its keys: its guests are ended, and the orders count as
    /// attempts that failed for no fault of the entrants.
    async fn abandon_outstanding(&mut self) -> Result<(), GuestError> {
        for body in self.conductor.outstanding() {
            let work = match body.submission {
                Some(submission) => Work::Train { submission: Hex(*submission.bytes()) },
                None => Work::Evaluate { artefacts: self.artefacts_of(&body.task) },
            };
            self.abandon(Hex(*body.order.bytes()), Pending { task: body.task, work }).await?;
        }
        Ok(())
    }

    /// The leaf that ties this boot's keys to the log, and the broker's memory of it.
    async fn introduce(&mut self) -> Result<(), GuestError> {
        let keys = self.guest.attester.keys();
        let digests = keys.digests();
        let body = BootBody {
            charter: Digest(*self.guest.charter.p().bytes()),
            lease: (*self.guest.attester.config().lease.bytes()).into(),
            tls_spki_sha256: Digest(*digests.tls.bytes()),
            hpke_sha256: Digest(*digests.hpke.bytes()),
            signing_key: Digest(*keys.signing.bytes()),
        };
        self.conductor.boot(self.now(), body).map_err(rules)?;
        self.flush().await?;
        self.renew().await
    }

    pub(super) async fn handle(&mut self, happening: Happening) -> Result<Ack, GuestError> {
        match happening {
            Happening::Entries(entries) => self.enter(entries).await,
            Happening::Outcome(OrderOutcome::Report(envelope)) => {
                let Some(pending) = self.pending.get(&envelope.order) else {
                    return Ok(refused("OrderSpent"));
                };
                match reports::open(&self.guest, &self.broker_key, &pending.work, &envelope) {
                    Ok(report) => self.settle(envelope.order, report).await,
                    Err(_) => Ok(refused("OrderRefused")),
                }
            }
            Happening::Outcome(OrderOutcome::Lost { order, .. }) => self.lost(order).await,
        }
    }

    /// Admits the roll, closes it, and sends out the first round.
    async fn enter(&mut self, entries: Entries) -> Result<Ack, GuestError> {
        if self.closed {
            return Ok(refused("FieldClosed"));
        }
        let mut admitted: Vec<(Entry, RollEntry)> = Vec::new();
        for entry in entries.entries {
            // A row without both signatures is nobody's: the host made it up.
            if let Ok(body) = self.admit(&entry) {
                admitted.push((body, entry));
            }
        }
        // One order for one roll, whatever the host shuffles: the draw depends on it.
        admitted.sort_by_key(|(body, _)| (body.seq, body.submission));
        for (body, entry) in admitted {
            let name = members::roll(body.seq);
            // A refusal by the rules is a leaf of its own, with its reason.
            let taken = self.conductor.enter(self.now(), body).is_ok();
            if taken || !self.archive.holds(&name) {
                self.archive.add(name, &entry)?;
            }
        }
        // The broker has seen the entries before the draw that depends on them is made: a restart can't take others.
        self.flush().await?;
        self.renew().await?;
        self.close().await?;
        self.go_on().await?;
        Ok(Ack::Done)
    }

    async fn close(&mut self) -> Result<(), GuestError> {
        self.conductor.close(self.now(), &DrawSeed::new(*self.seed)).map_err(rules)?;
        self.closed = true;
        self.flush().await
    }

    /// A roll entry whose signatures hold: the operator's over the row, the entrant's over the submission.
    fn admit(&self, entry: &RollEntry) -> Result<Entry, GuestError> {
        let terms = &self.guest.charter.tournament;
        let row = entry.row.verify(&terms.roll_key).map_err(rules)?;
        let submission = entry.submission.verify(&entry.submission.key).map_err(rules)?;
        if submission.digest() != row.submission
            || submission.entrant != row.entrant
            || Hex::sha256(entry.submission.key.bytes()) != row.entrant
            || submission.tournament != terms.id
        {
            return Err(GuestError::Tournament("roll row and submission differ".to_owned()));
        }
        Ok(Entry {
            entrant: (*row.entrant.bytes()).into(),
            submission: (*row.submission.bytes()).into(),
            normalised_sha256: Digest(*submission.normalised_sha256.bytes()),
            label: Label::new(&row.label).map_err(rules)?,
            seq: row.seq,
            buy_in: Minor(row.buy_in),
            stake: row.stake,
            completed_entries: row.completed_entries,
            champion: row.champion.then(Title::first),
        })
    }

    async fn settle(&mut self, order: Hex<32>, report: Report) -> Result<Ack, GuestError> {
        let Some(pending) = self.pending.remove(&order) else { return Ok(refused("OrderSpent")) };
        self.archive.add(members::guest(&report.lease), &report.guest)?;
        self.archive.add(members::result(&order), &report.signed)?;
        match report.result {
            Checked::Trained(result) => self.trained(pending.task, result)?,
            Checked::Evaluated { claim, same } => self.evaluated(pending.task, claim, &same)?,
        }
        self.flush().await?;
        self.go_on().await?;
        Ok(Ack::Done)
    }

    fn remember(&mut self, task: String, result: &TrainResult) {
        if let Some(object) = &result.artefact {
            let artefact = ArtefactRef {
                submission: result.submission,
                train_order: result.order,
                object: object.clone(),
            };
            self.artefacts.insert((task, result.submission), artefact);
        }
    }

    /// Sealed artefacts of a task, ascending by submission.
    fn artefacts_of(&self, task: &str) -> Vec<ArtefactRef> {
        self.artefacts
            .iter()
            .filter(|((of, _), _)| of == task)
            .map(|(_, artefact)| artefact.clone())
            .collect()
    }

    fn trained(&mut self, task: String, result: TrainResult) -> Result<(), GuestError> {
        self.remember(task.clone(), &result);
        let outcome = TrainOutcome {
            task,
            submission: (*result.submission.bytes()).into(),
            order: Digest(*result.order.bytes()),
            status: status(result.status),
            duration_bucket: result.duration_bucket,
        };
        self.conductor.trained(self.now(), outcome).map(drop).map_err(rules)
    }

    fn evaluated(
        &mut self,
        task: String,
        claim: ScoreClaim,
        same: &[Option<Hex<32>>],
    ) -> Result<(), GuestError> {
        let disclosed = |score: Option<i32>| score.map(|steps| Disclosed::clamped(i128::from(steps)));
        let outcome = EvaluateOutcome {
            task,
            order: Digest(*claim.order.bytes()),
            fingerprint: Digest(*claim.fingerprint.bytes()),
            base: BaseScore {
                score: disclosed(claim.base.score),
                losses_root: Some(Digest(*claim.base.root.bytes())),
            },
            scores: claim
                .scores
                .into_iter()
                .zip(same)
                .map(|(score, same)| ScoreRow {
                    submission: (*score.submission.bytes()).into(),
                    status: status(score.status),
                    score: disclosed(score.score),
                    losses_root: score.root.map(|root| Digest(*root.bytes())),
                    artefact_sha256: score.artefact_sha256.map(|digest| Digest(*digest.bytes())),
                    same_losses_as: same.map(|id| (*id.bytes()).into()),
                })
                .collect(),
        };
        self.conductor.evaluated(self.now(), outcome).map(drop).map_err(rules)
    }

    /// The host says that a guest is gone. Its lease is ended, so that it can't speak any more, and the order counts
    /// as an attempt that failed for no fault of the entrant.
    async fn lost(&mut self, order: Hex<32>) -> Result<Ack, GuestError> {
        let Some(pending) = self.pending.remove(&order) else { return Ok(refused("OrderSpent")) };
        self.abandon(order, pending).await?;
        self.go_on().await?;
        Ok(Ack::Done)
    }

    async fn abandon(&mut self, order: Hex<32>, pending: Pending) -> Result<(), GuestError> {
        for broker in [&self.owner, &self.operator] {
            match broker.end(&self.guest.attester, End::Order(order)).await {
                Ok(()) => {}
                // It ended before it was lost.
                Err(GuestError::Refused { code, .. }) if code == "LeaseLapsed" => {}
                Err(error) => return Err(error),
            }
        }
        match pending.work {
            Work::Train { submission } => {
                let result = TrainResult {
                    order,
                    submission,
                    status: tiltyard_provisioning::order::Status::Infrastructure,
                    artefact: None,
                    log: None,
                    duration_bucket: 0,
                };
                self.trained(pending.task, result)?;
            }
            Work::Evaluate { artefacts } => self.unevaluated(pending.task, order, &artefacts)?,
        }
        self.flush().await
    }

    /// An evaluation that came to nothing, for no fault of anybody scored.
    fn unevaluated(
        &mut self,
        task: String,
        order: Hex<32>,
        artefacts: &[ArtefactRef],
    ) -> Result<(), GuestError> {
        let outcome = EvaluateOutcome {
            task,
            order: Digest(*order.bytes()),
            fingerprint: Digest([0; 32]),
            base: BaseScore { score: None, losses_root: None },
            scores: artefacts
                .iter()
                .map(|artefact| ScoreRow {
                    submission: (*artefact.submission.bytes()).into(),
                    status: Status::Infrastructure,
                    score: None,
                    losses_root: None,
                    artefact_sha256: None,
                    same_losses_as: None,
                })
                .collect(),
        };
        self.conductor.evaluated(self.now(), outcome).map(drop).map_err(rules)
    }

    /// Orders whatever can be ordered now; settles the round when nothing is left of it.
    async fn go_on(&mut self) -> Result<(), GuestError> {
        loop {
            let now = self.now();
            let open = self.conductor.open_tasks();
            self.opens_at = open.iter().map(|task| task.opens).filter(|opens| *opens > now).min();
            for task in open.iter().filter(|task| task.opens <= now) {
                self.order_task(task).await?;
            }
            match self.conductor.advance(self.now()).map_err(rules)? {
                Progress::Waiting => break,
                Progress::RoundSettled => self.flush().await?,
                Progress::Decided => {
                    self.finish().await?;
                    break;
                }
            }
        }
        self.publish().await;
        Ok(())
    }

    async fn order_task(&mut self, open: &TaskWork) -> Result<(), GuestError> {
        let id = &open.task.id;
        let asked: Vec<&Work> = self.pending.values().filter(|p| p.task == *id).map(|p| &p.work).collect();
        let mut works: Vec<Work> = open
            .untrained
            .iter()
            .map(|submission| Work::Train { submission: Hex(*submission.bytes()) })
            .filter(|work| !asked.contains(&work))
            .collect();
        if open.untrained.is_empty() && asked.is_empty() {
            let artefacts = self.artefacts_of(id);
            let known = artefacts.iter().map(|artefact| artefact.submission.bytes());
            if !known.eq(open.trained.iter().map(|(submission, _)| submission.bytes())) {
                return Err(GuestError::Log("the host withheld results that the log holds".to_owned()));
            }
            works.push(Work::Evaluate { artefacts });
        }
        for work in works {
            self.send_order(&open.task, work).await?;
        }
        Ok(())
    }

    async fn send_order(&mut self, task: &Task, work: Work) -> Result<(), GuestError> {
        let submission = match &work {
            Work::Train { submission } => Some(*submission),
            Work::Evaluate { .. } => None,
        };
        let role = if submission.is_some() { OrderRole::Train } else { OrderRole::Evaluate };
        let id = submission.map(|id| SubmissionId::from(*id.bytes()));
        // No attempt is left: the outcomes so far stand.
        let Some(attempt) = self.conductor.next_attempt(&task.id, id.as_ref()) else { return Ok(()) };
        let order = Order {
            v: 1,
            charter: self.guest.charter.p(),
            tournament: self.guest.charter.tournament.id.clone(),
            task: task.id.clone(),
            work: work.clone(),
            attempt,
            dataset_id: task.dataset.clone(),
            seed: Hex(*task.seed.bytes()),
            referee: RefereeKeys {
                lease: self.guest.attester.config().lease,
                signing: self.guest.attester.keys().signing,
                hpke: self.guest.attester.hpke_public(),
            },
            issued_at: self.clock.now(),
        };
        let signed = Signed::sign(&order, self.guest.attester.signing());
        let digest = signed.digest();
        let body = OrderBody {
            order: Digest(*digest.bytes()),
            task: task.id.clone(),
            role,
            submission: id,
            attempt,
        };
        self.conductor.ordered(self.now(), body).map_err(rules)?;
        self.archive.add(members::order(&digest), &signed)?;
        self.pending.insert(digest, Pending { task: task.id.clone(), work });
        self.flush().await?;
        self.guest.tell(Service::Order, &OrderMessage { order: signed }).await
    }

    /// Reveals the draw, signs the record over the whole log, makes the bundle.
    async fn finish(&mut self) -> Result<(), GuestError> {
        self.conductor.reveal(self.now()).map_err(rules)?;
        self.flush().await?;
        self.renew().await?;
        let charter = &self.guest.charter;
        let record = Record {
            v: 1,
            charter: charter.p(),
            tournament: charter.tournament.id.clone(),
            rulebook_sha256: charter.tournament.rulebook_sha256,
            lease: self.guest.attester.config().lease,
            log_origin: self.log.origin().to_owned(),
            log_size: self.log.size(),
            log_root: self.log.root(),
            champion: self.conductor.state().holder.map(|id| Hex(*id.bytes())),
            anchors: self.anchors,
            unwitnessed: true,
            time: self.clock.now(),
        };
        let record = Signed::sign(&record, self.guest.attester.signing());
        let bundle = self.archive.bundle(&self.guest, &self.log, &record)?;
        self.view.write().await.bundle = Some(bundle.into());
        self.record = Some(record);
        Ok(())
    }

    /// Appends what the conductor has made, and waits until it is durable.
    async fn flush(&mut self) -> Result<(), GuestError> {
        let leaves = self.conductor.take_leaves();
        let documents = self.archive.take_fresh();
        self.log.append(&self.guest, leaves, documents).await
    }

    async fn publish(&self) {
        let mut view = self.view.write().await;
        view.tournament = serde_json::to_value(self.conductor.state()).unwrap_or_default();
        view.standings = serde_json::to_value(self.conductor.standings()).unwrap_or_default();
        view.leaves = self.log.leaves().to_vec();
        view.checkpoint = self.log.checkpoint().to_owned();
        view.record = self.record.clone();
        view.rows = self.conductor.standings().rows.iter().map(standing_row).collect();
    }

    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.clock.now())
    }
}

/// The boot's first lease. A stored log is shown with it; a broker that remembers an earlier size of that log says so
/// in its refusal, and is then shown that the log goes on from there.
async fn first_grant(
    guest: &Guest,
    owner: &BrokerClient,
    draw: &KeyId,
    mut stored: Option<&mut TournamentLog>,
) -> Result<Grant, GuestError> {
    let proof = stored.as_ref().map(|log| log.proof().0).unwrap_or_default();
    match owner.attest(&guest.attester, vec![draw.clone()], None, proof).await {
        Err(GuestError::Refused { remembered: Some(size), code }) => {
            let Some(log) = stored.as_mut().filter(|log| size <= log.size()) else {
                return Err(GuestError::Refused { code, remembered: Some(size) });
            };
            log.witnessed(size);
            let (proof, _) = log.proof();
            owner.attest(&guest.attester, vec![draw.clone()], None, proof).await
        }
        done => done,
    }
}

/// A new draw seed, in the broker's keeping before its commitment stands in the log.
async fn deposit_seed(
    guest: &Guest,
    owner: &BrokerClient,
    grant: &Grant,
    draw: KeyId,
) -> Result<Zeroizing<[u8; 32]>, GuestError> {
    let seed = Zeroizing::new(random::<32>(&SystemRandom::new())?);
    owner.deposit(&guest.attester, &grant.seal_key, draw, &Zeroizing::new(seed.to_vec())).await?;
    Ok(seed)
}

fn setup(guest: &Guest) -> Result<Setup, GuestError> {
    let mut datasets: Vec<String> =
        guest.charter.datasets.iter().map(|dataset| dataset.dataset_id.clone()).collect();
    datasets.sort();
    datasets.dedup();
    Ok(Setup {
        tournament: guest.charter.tournament.id.clone(),
        rulebook: rulebook(guest)?,
        datasets,
        charter: *guest.charter.p().bytes(),
        cap_bits: guest.charter.output.cap_bits,
    })
}

fn begin(guest: &Guest, clock: &BrokerClock, seed: &[u8; 32]) -> Result<Conductor, GuestError> {
    let commitment = DrawSeed::new(*seed).commitment();
    Conductor::open(setup(guest)?, UnixSeconds(clock.now()), commitment).map_err(rules)
}

fn resume(guest: &Guest, log: &TournamentLog, seed: &[u8; 32]) -> Result<Conductor, GuestError> {
    tiltyard_tournament::resume(log.leaves(), &rulebook(guest)?, &DrawSeed::new(*seed)).map_err(rules)
}

/// The signing key that the last boot leaf introduces.
fn last_boot_key(leaves: &[tiltyard_attestation::Base64Bytes]) -> Result<Hex<32>, GuestError> {
    leaves
        .iter()
        .rev()
        .filter_map(|leaf| serde_json::from_slice::<serde_json::Value>(&leaf.0).ok())
        .find(|leaf| leaf["type"] == "boot")
        .and_then(|leaf| leaf["body"]["signing_key"].as_str()?.parse().ok())
        .ok_or_else(|| GuestError::Log("no boot leaf".to_owned()))
}

fn status(status: tiltyard_provisioning::order::Status) -> Status {
    use tiltyard_provisioning::order::Status as Wire;
    match status {
        Wire::Done => Status::Done,
        Wire::TimedOut => Status::TimedOut,
        Wire::Failed => Status::Failed,
        Wire::ResourceLimit => Status::ResourceLimit,
        Wire::IntakeRefused => Status::IntakeRefused,
        Wire::ArtefactRefused => Status::ArtefactRefused,
        Wire::NotFineTuned => Status::NotFineTuned,
        Wire::Infrastructure => Status::Infrastructure,
    }
}

fn standing_row(row: &tiltyard_tournament::conductor::StandingRow) -> StandingRow {
    let scores: Vec<String> = row
        .scores
        .iter()
        .map(|line| {
            let before = line.before.map_or_else(|| "?".to_owned(), Disclosed::decimal);
            format!("{}: {before} to {}", line.task, line.after.decimal())
        })
        .collect();
    StandingRow {
        place: row.place.map_or_else(String::new, |place| place.to_string()),
        label: row.label.as_str().to_owned(),
        submission: row.submission.to_string(),
        note: scores.join("; "),
    }
}

fn refused(code: &str) -> Ack {
    Ack::Refused { code: code.to_owned() }
}

fn rules(error: impl std::fmt::Display) -> GuestError {
    GuestError::Tournament(error.to_string())
}
