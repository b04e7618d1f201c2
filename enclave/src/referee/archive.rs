//! What the bundle will hold: signed documents only, kept as they came.

use std::collections::BTreeMap;

use tiltyard_attestation::Hex;
use tiltyard_provisioning::bundle::BundleWriter;
use tiltyard_provisioning::channel::RollEntry;
use tiltyard_provisioning::order::Order;
use tiltyard_provisioning::record::{AttestedGuest, Record, members};
use tiltyard_provisioning::statement::Signed;

use super::log::TournamentLog;
use crate::error::GuestError;
use crate::session::Guest;

const RULEBOOK_MAX_BYTES: u64 = 64 * 1024;
const ANCHORS_MAX_BYTES: u64 = 1024 * 1024;

/// Documents of one tournament, by what they are about.
#[derive(Default)]
pub(crate) struct Archive {
    pub(crate) guests: BTreeMap<Hex<16>, AttestedGuest>,
    pub(crate) orders: BTreeMap<Hex<32>, Signed<Order>>,
    /// `Signed<TrainResult>` or `Signed<ScoreClaim>` as JSON, by order.
    pub(crate) results: BTreeMap<Hex<32>, Vec<u8>>,
    pub(crate) roll: BTreeMap<u64, RollEntry>,
}

impl Archive {
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
        for (seq, entry) in &self.roll {
            add(&members::roll(*seq), canonical(entry)?)?;
        }
        for (lease, attested) in &self.guests {
            add(&members::guest(lease), canonical(attested)?)?;
        }
        for (digest, order) in &self.orders {
            add(&members::order(digest), canonical(order)?)?;
        }
        for (digest, result) in &self.results {
            add(&members::result(digest), result.clone())?;
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

pub(crate) fn canonical<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, GuestError> {
    serde_jcs::to_vec(value).map_err(|_| GuestError::Crypto("writing a document"))
}
