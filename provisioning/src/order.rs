//! Orders and results: what the referee asks for, and what comes back.

use serde::{Deserialize, Serialize};
use tiltyard_attestation::binding::HpkePublicKey;
use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::{Base64Bytes, Hex, Role};

use crate::release::{Lease, Receipt};
use crate::statement::{Signed, Statement};

/// The referee's signed request: train one submission on one task, or evaluate one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Always 1.
    pub v: u8,
    pub charter: Hex<32>,
    pub tournament: String,
    /// The task's id in the record.
    pub task: String,
    pub work: Work,
    /// 1 for the first attempt; each attempt is a new order.
    pub attempt: u32,
    pub dataset_id: String,
    /// Names the randomness of this task: initialisation and data order.
    pub seed: Hex<32>,
    pub referee: RefereeKeys,
    /// Unix seconds by the referee's broker time.
    pub issued_at: u64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Work {
    Train {
        submission: Hex<32>,
    },
    /// Ascending by submission.
    Evaluate {
        artefacts: Vec<ArtefactRef>,
    },
}

/// One artefact to score: sealed under `artefact/<train_order>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtefactRef {
    pub submission: Hex<32>,
    pub train_order: Hex<32>,
    pub object: ObjectRef,
}

/// A sealed object by its ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectRef {
    /// 16 random bytes.
    pub name: Hex<16>,
    /// Salt and commitment of the container.
    pub header: Hex<56>,
    pub sha256: Hex<32>,
    pub len_bytes: u64,
}

/// The keys that an order's results go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefereeKeys {
    pub lease: Hex<16>,
    pub signing: Hex<32>,
    pub hpke: HpkePublicKey,
}

impl Work {
    /// The role that fulfils it.
    pub fn role(&self) -> Role {
        match self {
            Self::Train { .. } => Role::Trainer,
            Self::Evaluate { .. } => Role::Evaluator,
        }
    }
}

impl Statement for Order {
    const KIND: &'static str = "order";
}

/// One row of the operator's roll: an entrant's admitted submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollRow {
    pub entrant: Hex<32>,
    /// A name to show; public.
    pub label: String,
    pub submission: Hex<32>,
    pub seq: u64,
    /// Minor units paid.
    pub buy_in: u64,
    pub stake: u64,
    pub completed_entries: u32,
    pub log_permitted: bool,
    /// The champion that defends the title, at most one in a roll.
    pub champion: bool,
}

impl Statement for RollRow {
    const KIND: &'static str = "roll";
}

/// An entrant's submission, signed by the entrant; its id is the digest of the signed bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Always 1.
    pub v: u8,
    pub kind: SubmissionKind,
    /// SHA-256 of the entrant's Ed25519 public key.
    pub entrant: Hex<32>,
    pub tournament: String,
    /// The sealed content; its key is `submission/<id>`.
    pub content: ObjectRef,
    /// SHA-256 of the content after normalisation (TOURNAMENT 6): finds copies.
    pub normalised_sha256: Hex<32>,
    pub licence: String,
    /// Name of the base model.
    pub base: String,
}

impl Statement for Submission {
    const KIND: &'static str = "submission";
}

/// Form of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubmissionKind {
    /// A declarative recipe, run by the built-in trainer.
    Recipe,
}

/// What a trainer's or evaluator's work came to. The one closed list that may leave (PROVISIONING 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Done,
    TimedOut,
    Failed,
    ResourceLimit,
    IntakeRefused,
    ArtefactRefused,
    NotFineTuned,
    Infrastructure,
}

/// A trainer's result, signed by its attested key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainResult {
    /// Digest of the order.
    pub order: Hex<32>,
    pub submission: Hex<32>,
    pub status: Status,
    /// Present for `done` and `timed_out`.
    pub artefact: Option<ObjectRef>,
    pub log: Option<ObjectRef>,
    /// Wall time in 15-minute buckets.
    pub duration_bucket: u32,
}

impl Statement for TrainResult {
    const KIND: &'static str = "result";
}

/// What an evaluator claims in public: disclosed scores and roots, never item losses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreClaim {
    pub order: Hex<32>,
    /// What was measured with what (PROVISIONING 13); equal fingerprints are comparable.
    pub fingerprint: Hex<32>,
    /// Held-out items scored.
    pub items: u32,
    /// The untouched base model on the same items.
    pub base: BaseScore,
    /// One per artefact of the order, in its order.
    pub scores: Vec<ArtefactScore>,
    /// The owner's sealed copy of the item losses; its key is `log/<order>`.
    pub losses: ObjectRef,
}

impl Statement for ScoreClaim {
    const KIND: &'static str = "claim";
}

/// The base model's own loss on a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseScore {
    /// Mean loss per label in 1e-4 nat, rounded half to even; none when an item was not finite.
    pub score: Option<i32>,
    pub root: Hex<32>,
}

/// One artefact's evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtefactScore {
    pub submission: Hex<32>,
    /// `done` when it was scored.
    pub status: Status,
    /// Mean loss per label in 1e-4 nat.
    pub score: Option<i32>,
    /// Root over the salted item losses.
    pub root: Option<Hex<32>>,
    /// SHA-256 of the opened artefact: equal artefacts are duplicates.
    pub artefact_sha256: Option<Hex<32>>,
}

/// Losses of one model over the task's held-out items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemLosses {
    /// Ascending by item id.
    pub items: Vec<ItemLoss>,
    /// RFC 6962 root over the salted leaves of the items.
    pub root: Hex<32>,
}

/// One held-out item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemLoss {
    /// HMAC of the canonical row under the split seed.
    pub item: Hex<32>,
    /// Sum of cross entropy over the labels, in 1e-6 nat; none when the value was not finite.
    pub loss_micro: Option<i64>,
    pub labels: u32,
    pub salt: Hex<16>,
}

/// What a trainer or evaluator guest sends to the referee, HPKE-sealed, through the host.
///
/// info = `tiltyard-result-v1 NUL || p`, aad = the order's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultEnvelope {
    pub order: Hex<32>,
    pub enc: Base64Bytes,
    pub ct: Base64Bytes,
}

/// The opened content of a [`ResultEnvelope`]: the result and what shows who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestReport {
    pub lease: Signed<Lease>,
    pub receipt: Receipt,
    /// As appraised by the owner's broker.
    pub evidence: Evidence,
    pub result: GuestResult,
}

/// One of the two kinds of result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum GuestResult {
    Trained(Signed<TrainResult>),
    Evaluated(Evaluated),
}

/// An evaluator's claim and, sealed beside it, the item losses under its roots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluated {
    pub claim: Signed<ScoreClaim>,
    pub vectors: ItemVectors,
}

/// Item losses of one evaluation: for the referee until the tournament is decided, and for the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemVectors {
    pub base: ItemLosses,
    /// As the claim's `scores`; none where nothing was scored.
    pub artefacts: Vec<Option<ItemLosses>>,
}
