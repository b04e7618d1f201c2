//! How a boot begins: a new tournament, or a stored one taken up again.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::rand::SystemRandom;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::channel::Document;
use tiltyard_provisioning::charter::BrokerOwner;
use tiltyard_provisioning::keyid::KeyId;
use tiltyard_provisioning::order::Work;
use tiltyard_tournament::{BootBody, Conductor, Digest, DrawSeed, Setup, UnixSeconds};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{Desk, Pending, rules};
use crate::attester::random;
use crate::broker::{BrokerClient, Grant, LogProof};
use crate::error::GuestError;
use crate::referee::BrokerClock;
use crate::referee::archive::{Archive, Logged, rulebook};
use crate::referee::log::TournamentLog;
use crate::session::Guest;

impl Desk {
    /// Attests to the owner's broker, and begins the tournament or takes up a stored one.
    pub(in crate::referee) async fn open(guest: &Arc<Guest>) -> Result<Self, GuestError> {
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

    /// Documents of the boots before, and the artefacts that they name.
    pub(super) fn recall(&mut self, documents: Vec<Document>) {
        let logged = Logged::read(self.log.leaves());
        let charter = &self.guest.charter;
        for (order, result) in self.archive.restore(documents, charter, &self.broker_key, &logged) {
            self.remember(order.task, &result);
        }
    }

    /// What the boot before had asked for died with its keys: its guests are ended, and the orders count as
    /// attempts that failed for no fault of the entrants.
    pub(super) async fn abandon_outstanding(&mut self) -> Result<(), GuestError> {
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
    pub(super) async fn introduce(&mut self) -> Result<(), GuestError> {
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
