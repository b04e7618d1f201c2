//! The charter: the run's whole policy, one readable document signed by owner and operator (PROVISIONING 4).

mod diff;
mod open;
mod rules;

pub use diff::{Change, ChangeKind, diff};
pub use open::{
    CharterError, Follows, InForce, OpenCharter, SignedBy, read_payload, sign, unverified_payload,
};

use serde::{Deserialize, Serialize};
use tiltyard_attestation::policy::{GpuFloor, Level, Platform, TeeFloor};
use tiltyard_attestation::reference::ReferenceValues;
use tiltyard_attestation::{Backend, Hex, Role};

use crate::keyid::{KeyId, KeyPattern, Split};

/// DSSE payload type of a charter.
pub const CHARTER_PAYLOAD_TYPE: &str = "application/vnd.tiltyard.charter.v1+json";
/// Longest validity of a charter, in seconds.
pub const CHARTER_WINDOW_MAX_S: u64 = 90 * 86_400;
/// Longest lease, in seconds.
pub const LEASE_MAX_S: u64 = 900;
/// Longest free text, in bytes.
pub const TEXT_MAX_BYTES: usize = 256;

/// The charter's payload. `p` is the SHA-256 of its bytes as signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charter {
    /// Always 1.
    pub v: u8,
    pub charter_id: String,
    pub tenant: String,
    /// Rises by one; 1 has no `prev`.
    pub version: u64,
    /// `p` of the version before.
    pub prev: Option<Hex<32>>,
    pub signers: Signers,
    /// Unix seconds, inclusive.
    pub not_before: u64,
    /// Unix seconds, inclusive.
    pub not_after: u64,
    pub level: Level,
    /// Launch backends that this charter names; above `lab` only `snp` and `tdx`.
    pub backends: Vec<Backend>,
    pub reference_values: ReferenceValues,
    pub tee_floor: TeeFloor,
    pub gpu_floor: GpuFloor,
    pub platforms: Vec<Platform>,
    pub tournament: TournamentTerms,
    pub base: BaseModel,
    pub datasets: Vec<Dataset>,
    /// What each role may be given; what is not listed is refused.
    pub stages: Vec<Stage>,
    pub brokers: Vec<Broker>,
    pub limits: Limits,
    pub output: Output,
    pub kem_floor: KemFloor,
}

/// The two Ed25519 keys that must both sign this charter. Different by rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signers {
    pub owner: Hex<32>,
    pub operator: Hex<32>,
}

/// The tournament under this charter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TournamentTerms {
    pub id: String,
    /// SHA-256 of the rulebook's bytes.
    pub rulebook_sha256: Hex<32>,
    /// The operator's key that signs roll rows.
    pub roll_key: Hex<32>,
    pub budget: Budget,
}

/// What one training may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Wall time of one training, from opened data to published artefact.
    pub train_wall_s: u32,
    /// Wall time of one evaluation.
    pub evaluate_wall_s: u32,
    pub memory_mib: u32,
    pub vcpus: u32,
    /// Held-out items scored per task; the first of the ascending item ids.
    pub test_items: u32,
}

/// The base model, public, checked by digest inside the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseModel {
    pub name: String,
    pub sha256: Hex<32>,
    pub len_bytes: u64,
}

/// One sealed split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    pub dataset_id: String,
    pub split: Split,
    /// SHA-256 of the manifest's DSSE payload bytes.
    pub manifest_sha256: Hex<32>,
    pub min_version: u64,
}

/// The keys of one role. A charter can name fewer than the stage graph allows, never others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub role: Role,
    pub keys: Vec<KeyPattern>,
}

impl Stage {
    /// All that the stage graph allows over these datasets and this tournament.
    pub fn all(datasets: &[Dataset], tournament: &str) -> Vec<Self> {
        let of = |split: Split| {
            datasets.iter().filter(move |dataset| dataset.split == split).map(|dataset| {
                KeyPattern::One(KeyId::Dataset { id: dataset.dataset_id.clone(), split: dataset.split })
            })
        };
        vec![
            Self { role: Role::Referee, keys: vec![KeyPattern::One(KeyId::Draw(tournament.to_owned()))] },
            Self { role: Role::Trainer, keys: of(Split::Train).chain([KeyPattern::Submissions]).collect() },
            Self { role: Role::Evaluator, keys: of(Split::Test).chain([KeyPattern::Artefacts]).collect() },
        ]
    }
}

/// Whose keys a broker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BrokerOwner {
    /// Datasets, draw seed, artefact and log deposits.
    Owner,
    /// Submissions in escrow.
    Operator,
}

/// One broker: its key signs every answer of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    pub owner: BrokerOwner,
    /// `host:port`; TLS 1.3.
    pub address: String,
    /// SHA-256 of the TLS certificate's SubjectPublicKeyInfo.
    pub tls_spki_sha256: Hex<32>,
    /// Ed25519.
    pub key: Hex<32>,
}

/// Caps on what the brokers do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Releases of one key id.
    pub max_releases: u32,
    /// Lease window; at most [`LEASE_MAX_S`].
    pub lease_s: u64,
}

/// Where results may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The owner's HPKE key, to which the champion's artefact and the item losses are sealed.
    pub owner_recipient: tiltyard_attestation::binding::HpkePublicKey,
    /// Bits that the record may disclose about one dataset.
    pub cap_bits: u32,
    /// Largest trainer log, in bytes.
    pub log_max_bytes: u32,
    /// Largest artefact, in bytes.
    pub artefact_max_bytes: u64,
}

/// Least key encapsulation of a guest's HPKE key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KemFloor {
    /// X-Wing.
    Hybrid,
    /// X25519 accepted too.
    Classic,
}
