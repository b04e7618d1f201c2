//! The signed record of a tournament, and where its parts stand in a bundle.

use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;
use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::result::Anchors;

use crate::release::{Lease, Receipt};
use crate::statement::{Signed, Statement};

/// The referee's closing statement: this log, at this size, is the tournament.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Always 1.
    pub v: u8,
    pub charter: Hex<32>,
    pub tournament: String,
    pub rulebook_sha256: Hex<32>,
    /// The referee's lease; its evidence is in the bundle.
    pub lease: Hex<16>,
    pub log_origin: String,
    pub log_size: u64,
    pub log_root: Hex<32>,
    /// The submission that holds the title now; none when a cancelled tournament had no defender.
    pub champion: Option<Hex<32>>,
    /// Whose roots vouch for the referee.
    pub anchors: Anchors,
    /// No external witness cosigned the log: only the owner's broker stops a rollback.
    pub unwitnessed: bool,
    pub time: u64,
}

impl Statement for Record {
    const KIND: &'static str = "record";
}

/// One guest as an auditor sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedGuest {
    pub lease: Signed<Lease>,
    pub receipt: Receipt,
    pub evidence: Evidence,
}

/// C2SP origin of a tournament's log, and the name under which its referee signs checkpoints.
pub fn log_origin(tenant: &str, tournament: &str) -> String {
    format!("{tenant}/tiltyard/{tournament}")
}

/// Member names of a bundle.
pub mod members {
    use tiltyard_attestation::Hex;

    /// DSSE envelope of the charter.
    pub const CHARTER: &str = "charter/charter.dsse.json";
    /// The rulebook whose digest the charter names.
    pub const RULEBOOK: &str = "charter/rulebook.toml";
    /// Canonical foreign anchor set, `lab` charters only.
    pub const ANCHORS: &str = "collateral/anchors.json";
    /// Signed note over the log.
    pub const CHECKPOINT: &str = "log/checkpoint";
    /// [`super::Record`], signed.
    pub const RECORD: &str = "record/record.json";

    /// [`super::AttestedGuest`] of one lease.
    pub fn guest(lease: &Hex<16>) -> String {
        format!("guests/{lease}.json")
    }

    /// `Signed<Order>` by the order's digest.
    pub fn order(order: &Hex<32>) -> String {
        format!("orders/{order}.json")
    }

    /// `Signed<TrainResult>` or `Signed<ScoreClaim>` by the order's digest.
    pub fn result(order: &Hex<32>) -> String {
        format!("results/{order}.json")
    }

    /// One roll entry, by its sequence number.
    pub fn roll(seq: u64) -> String {
        format!("roll/{seq:06}.json")
    }

    /// One leaf of the tournament's log.
    pub fn leaf(index: u64) -> String {
        format!("log/entries/{index:06}.json")
    }

    /// Inclusion proof of one leaf (`c2sp.org/tlog-proof@v1`).
    pub fn proof(index: u64) -> String {
        format!("log/proofs/{index:06}.tlog-proof")
    }
}
