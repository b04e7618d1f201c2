//! The broker protocol: two exchanges, challenge and attest; then deposit and end (PROVISIONING 6).

use serde::{Deserialize, Serialize};
use tiltyard_attestation::binding::{HpkePublicKey, KeyDigests};
use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{Base64Bytes, Hex, Role};

use crate::charter::BrokerOwner;
use crate::keyid::KeyId;
use crate::order::Order;
use crate::statement::{Signed, Statement};

/// The paths, all POST.
pub const CHALLENGE_PATH: &str = "/tiltyard/v1/challenge";
pub const ATTEST_PATH: &str = "/tiltyard/v1/attest";
pub const DEPOSIT_PATH: &str = "/tiltyard/v1/deposit";
pub const END_PATH: &str = "/tiltyard/v1/end";
/// Largest request body that a broker reads, in bytes.
pub const REQUEST_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Lifetime of a nonce, in seconds.
pub const NONCE_LIFE_S: u64 = 60;
/// Open nonces that a broker keeps.
pub const NONCES_OPEN_MAX: u32 = 1024;

/// `POST /tiltyard/v1/challenge`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    pub role: Role,
    pub charter: Hex<32>,
    pub order: Option<Hex<32>>,
    pub lease: Hex<16>,
}

/// Answer to a challenge request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeAnswer {
    pub nonce: Hex<32>,
    /// Unix seconds.
    pub issued_at: u64,
}

/// `POST /tiltyard/v1/attest`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestRequest {
    pub evidence: Evidence,
    pub key_ids: Vec<KeyId>,
    /// The order that the launch configuration names; none for a referee.
    pub order: Option<Signed<Order>>,
    /// A referee's current checkpoint (signed note), once it has a log.
    pub checkpoint: Option<String>,
    /// Consistency proof from the checkpoint that this broker remembers.
    pub consistency: Vec<Hex<32>>,
}

/// The broker's signed answer to an attest request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestAnswer {
    pub lease: Signed<Lease>,
    pub receipt: Receipt,
    pub keys: Vec<ReleasedKey>,
    /// The broker's HPKE key for deposits.
    pub seal_key: HpkePublicKey,
    /// Unix seconds; never goes back.
    pub issued_at: u64,
}

impl Statement for AttestAnswer {
    const KIND: &'static str = "answer";
}

/// Answer to a deposit or an end: what was signed has become durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActReceipt {
    /// All zero for an order that was given up before any lease.
    pub lease: Hex<16>,
    /// SHA-256 of the request's signed payload.
    pub request: Hex<32>,
    /// Unix seconds; never goes back.
    pub issued_at: u64,
}

impl Statement for ActReceipt {
    const KIND: &'static str = "receipt";
}

/// Origin of a broker's ledger, and the name under which its key signs checkpoints.
pub fn ledger_origin(tenant: &str, owner: BrokerOwner) -> String {
    let owner = match owner {
        BrokerOwner::Owner => "owner",
        BrokerOwner::Operator => "operator",
    };
    format!("{tenant}/tiltyard/ledger/{owner}")
}

/// Audience of the result tokens under a charter: whoever knows its digest `p`.
pub fn token_audience(p: &Hex<32>) -> String {
    format!("urn:tiltyard:charter:{p}")
}

/// One guest's right to its role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    pub lease: Hex<16>,
    pub charter: Hex<32>,
    pub role: Role,
    pub order: Option<Hex<32>>,
    pub keys: KeyDigests,
    pub anchors: Anchors,
    pub issued_at: u64,
    pub not_after: u64,
}

impl Statement for Lease {
    const KIND: &'static str = "lease";
}

/// A leaf of the broker's ledger with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Canonical bytes of a [`KeyRelease`].
    pub leaf: Base64Bytes,
    pub index: u64,
    /// Signed note: origin, size, root.
    pub checkpoint: String,
    pub inclusion: Vec<Hex<32>>,
}

/// The ledger leaf of one release: who was given what, on which evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRelease {
    /// Always 1.
    pub v: u8,
    /// Always `key_release`.
    pub r#type: String,
    /// [`Evidence::digest`].
    pub evidence_sha256: Hex<32>,
    pub nonce: Hex<32>,
    pub charter: Hex<32>,
    pub role: Role,
    pub order: Option<Hex<32>>,
    pub lease: Hex<16>,
    pub keys: KeyDigests,
    pub anchors: Anchors,
    /// Key ids released by this answer.
    pub released: Vec<KeyId>,
    /// Unix seconds; the appraisal's `now`.
    pub time: u64,
}

/// One key, sealed to the attested HPKE key.
///
/// info = `tiltyard-release-v1 NUL || p`, aad = JCS{lease, key_id, key_version, p, order}.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasedKey {
    pub key_id: KeyId,
    pub version: u64,
    pub enc: Base64Bytes,
    pub ct: Base64Bytes,
}

/// `POST /tiltyard/v1/deposit`: a key that a guest made, sealed to the broker. Signed by the lease's key.
///
/// info = `tiltyard-deposit-v1 NUL || p`, aad = JCS{lease, key_id, p, order}.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deposit {
    pub lease: Hex<16>,
    pub key_id: KeyId,
    pub enc: Base64Bytes,
    pub ct: Base64Bytes,
}

impl Statement for Deposit {
    const KIND: &'static str = "deposit";
}

/// `POST /tiltyard/v1/end`: closes a lease for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum End {
    /// The signer's own lease.
    Lease(Hex<16>),
    /// The lease of a lost guest, by its order; none is granted for the order any more. Signed by the referee whose key signed the order, or by the
    /// present referee under the same charter.
    Order(Hex<32>),
}

impl Statement for End {
    const KIND: &'static str = "end";
}
