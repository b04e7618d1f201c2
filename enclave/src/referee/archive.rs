//! What the bundle will hold: signed documents only, kept as they came.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tiltyard_attestation::{Base64Bytes, Hex};
use tiltyard_provisioning::bundle::BundleWriter;
use tiltyard_provisioning::channel::{Document, RollEntry};
use tiltyard_provisioning::charter::OpenCharter;
use tiltyard_provisioning::order::{Order, ScoreClaim, TrainResult, Work};
use tiltyard_provisioning::record::{AttestedGuest, Record, members};
use tiltyard_provisioning::release::KeyRelease;
use tiltyard_provisioning::statement::{Signed, Statement};

use super::log::TournamentLog;
use crate::error::GuestError;
use crate::session::Guest;

const RULEBOOK_MAX_BYTES: u64 = 64 * 1024;
const ANCHORS_MAX_BYTES: u64 = 1024 * 1024;

/// Documents of one tournament, by their member names: signed statements only, kept as canonical JSON.
#[derive(Default)]
pub(crate) struct Archive {
    documents: BTreeMap<String, Vec<u8>>,
    /// Not yet handed to the host, who keeps them for the next boot.
    fresh: Vec<Document>,
}

/// Orders of a log, and those of them whose outcome stands in it.
#[derive(Default)]
pub(crate) struct Logged {
    pub(crate) orders: BTreeSet<Hex<32>>,
    pub(crate) outcomes: BTreeSet<Hex<32>>,
}

impl Logged {
    pub(crate) fn read(leaves: &[Vec<u8>]) -> Self {
        let mut logged = Self::default();
        for leaf in leaves {
            let leaf: serde_json::Value = serde_json::from_slice(leaf).unwrap_or_default();
            let Some(order) = leaf["body"]["order"].as_str().and_then(|order| order.parse().ok()) else {
                continue;
            };
            match leaf["type"].as_str() {
                Some("order") => logged.orders.insert(order),
                Some("outcome") => logged.outcomes.insert(order),
                _ => continue,
            };
        }
        logged
    }
}

impl Archive {
    /// Takes a document; a later one of the same name replaces it.
    pub(crate) fn add<T: Serialize>(&mut self, name: String, document: &T) -> Result<(), GuestError> {
        let bytes = canonical(document)?;
        self.fresh.push(Document { name: name.clone(), bytes: bytes.clone().into() });
        self.documents.insert(name, bytes);
        Ok(())
    }

    pub(crate) fn holds(&self, name: &str) -> bool {
        self.documents.contains_key(name)
    }

    /// What the host does not have yet.
    pub(crate) fn take_fresh(&mut self) -> Vec<Document> {
        std::mem::take(&mut self.fresh)
    }

    /// Takes back what the host kept of an earlier boot, as far as it proves itself against the log: guests by their
    /// lease's signature, orders by their digest in the log, results by the key that was leased for their order.
    pub(crate) fn restore(
        &mut self,
        kept: Vec<Document>,
        charter: &OpenCharter,
        broker: &Hex<32>,
        logged: &Logged,
    ) -> Vec<(Order, TrainResult)> {
        let mut leased = BTreeMap::new();
        let mut asked = BTreeMap::new();
        for Document { name, bytes } in &kept {
            let believed = match name.split_once('/').map_or("", |(folder, _)| folder) {
                "guests" => read::<AttestedGuest>(bytes).and_then(|guest| {
                    let lease = guest.lease.verify(broker).ok()?;
                    let release: KeyRelease = read(&guest.receipt.leaf)?;
                    let own = lease.charter == charter.p()
                        && *name == members::guest(&lease.lease)
                        && release.evidence_sha256 == guest.evidence.digest();
                    own.then(|| leased.insert(lease.order, lease.keys.signing))
                }),
                "orders" => read::<Signed<Order>>(bytes).and_then(|signed| {
                    let digest = signed.digest();
                    let order = signed.verify(&signed.key).ok()?.into_value();
                    let own = logged.orders.contains(&digest) && *name == members::order(&digest);
                    own.then(|| asked.insert(digest, order)).map(|_| None)
                }),
                "roll" => read::<RollEntry>(bytes).and_then(|entry| {
                    let row = entry.row.verify(&charter.tournament.roll_key).ok()?;
                    entry.submission.verify(&entry.submission.key).ok()?;
                    (*name == members::roll(row.seq)).then_some(None)
                }),
                _ => None,
            };
            if believed.is_some() {
                self.documents.insert(name.clone(), bytes.0.clone());
            }
        }
        let mut trained = Vec::new();
        for Document { name, bytes } in kept {
            let Some((digest, order)) = asked.iter().find(|(digest, _)| name == members::result(digest))
            else {
                continue;
            };
            // A result whose outcome the log lacks was cut off with it: its order is abandoned.
            let Some(key) = leased.get(&Some(*digest)).filter(|_| logged.outcomes.contains(digest)) else {
                continue;
            };
            match order.work {
                Work::Train { .. } => {
                    let Some(result) = by_key::<TrainResult>(&bytes, key) else { continue };
                    if result.order == *digest {
                        trained.push((order.clone(), result));
                        self.documents.insert(name, bytes.0);
                    }
                }
                Work::Evaluate { .. } => {
                    if by_key::<ScoreClaim>(&bytes, key).is_some_and(|claim| claim.order == *digest) {
                        self.documents.insert(name, bytes.0);
                    }
                }
            }
        }
        trained
    }

    /// The bundle: the same documents always give the same bytes.
    pub(crate) fn bundle(
        &self,
        guest: &Guest,
        log: &TournamentLog,
        record: &Signed<Record>,
    ) -> Result<Vec<u8>, GuestError> {
        let mut bundle = BundleWriter::new();
        let mut add = |name: &str, bytes: Vec<u8>| {
            bundle.add(name, bytes).map_err(|error| GuestError::Log(error.to_string()))
        };
        add(members::CHARTER, guest.charter_envelope.clone())?;
        add(members::RULEBOOK, rulebook(guest)?)?;
        if let Some(digest) = &guest.charter.reference_values.foreign_anchors {
            add(members::ANCHORS, guest.inputs.read(digest, ANCHORS_MAX_BYTES)?)?;
        }
        for (name, document) in &self.documents {
            add(name, document.clone())?;
        }
        for (index, leaf) in (0u64..).zip(log.leaves()) {
            add(&members::leaf(index), leaf.clone())?;
            add(&members::proof(index), log.inclusion(index).into_bytes())?;
        }
        add(members::CHECKPOINT, log.checkpoint().as_bytes().to_vec())?;
        add(members::RECORD, canonical(record)?)?;
        Ok(bundle.finish())
    }
}

/// The rulebook that the charter names.
pub(crate) fn rulebook(guest: &Guest) -> Result<Vec<u8>, GuestError> {
    guest.inputs.read(&guest.charter.tournament.rulebook_sha256, RULEBOOK_MAX_BYTES)
}

fn read<T: DeserializeOwned>(bytes: &Base64Bytes) -> Option<T> {
    serde_json::from_slice(&bytes.0).ok()
}

/// A statement under the key with this digest.
fn by_key<T: Statement>(bytes: &Base64Bytes, key: &Hex<32>) -> Option<T> {
    let signed: Signed<T> = read(bytes)?;
    if Hex::sha256(signed.key.bytes()) != *key {
        return None;
    }
    Some(signed.verify(&signed.key).ok()?.into_value())
}

pub(crate) fn canonical<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, GuestError> {
    serde_jcs::to_vec(value).map_err(|_| GuestError::Crypto("writing a document"))
}
