//! The referee's desk: what is asked for, what came back, what has been written down.
//!
//! Nothing is acted upon before its leaf is durable: entries before fixtures, orders before guests, outcomes
//! before the next round.

mod entries;
mod opening;
mod outcomes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tiltyard_attestation::Hex;
use tiltyard_attestation::result::Anchors;
use tiltyard_provisioning::channel::{Ack, OrderMessage, OrderOutcome, Service};
use tiltyard_provisioning::order::{ArtefactRef, Order, RefereeKeys, Work};
use tiltyard_provisioning::record::{Record, members};
use tiltyard_provisioning::statement::Signed;
use tiltyard_tournament::fixtures::Task;
use tiltyard_tournament::{
    Conductor, Digest, Disclosed, OrderBody, OrderRole, Progress, SubmissionId, TaskWork, UnixSeconds,
};
use tokio::sync::RwLock;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::api::{StandingRow, View};
use super::archive::Archive;
use super::log::TournamentLog;
use super::{BrokerClock, Happening, reports};
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

    pub(super) async fn handle(&mut self, happening: Happening) -> Result<Ack, GuestError> {
        match happening {
            Happening::Entries(entries) => self.enter(entries).await,
            Happening::Outcome(OrderOutcome::Report(envelope)) => {
                let Some(pending) = self.pending.get(&envelope.order) else {
                    return Ok(refused("OrderSpent"));
                };
                match reports::open(&self.guest, &self.broker_key, &pending.work, &envelope) {
                    Ok(report) => self.settle(envelope.order, report).await,
                    Err(_) => {
                        // Its guest has nothing more to say: the attempt is lost, and the tournament goes on.
                        self.lost(envelope.order).await?;
                        Ok(refused("OrderRefused"))
                    }
                }
            }
            Happening::Outcome(OrderOutcome::Lost { order, .. }) => self.lost(order).await,
        }
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
