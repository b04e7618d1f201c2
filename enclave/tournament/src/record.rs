//! The record: canonical leaves of an append-only log (TOURNAMENT 10).

use serde::{Deserialize, Serialize};

use crate::boss::{BossCount, Standing};
use crate::entries::{Entry, EntryRefused, Selected};
use crate::ids::{Digest, EntrantId, SubmissionId};
use crate::rounds::RoundResult;
use crate::units::{Disclosed, UnixSeconds, wide};

/// Largest leaf, in bytes.
pub const LEAF_MAX_BYTES: usize = 16_384;

/// The closed set of leaf types that this crate writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeafType {
    Rulebook,
    DrawCommit,
    Boot,
    Entry,
    EntryRefused,
    Closed,
    Fixture,
    Order,
    Outcome,
    ConflictingOutcome,
    Decision,
    RoundSettled,
    Decided,
    Shares,
    Archive,
    DrawReveal,
}

/// A leaf as it is parsed: the body's shape follows from the type.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLeaf {
    pub v: u8,
    #[serde(rename = "type")]
    pub kind: LeafType,
    #[serde(with = "wide")]
    pub seq: u64,
    pub tournament: String,
    pub time: UnixSeconds,
    pub body: serde_json::Value,
}

#[derive(Serialize)]
struct Leaf<'a, B> {
    v: u8,
    #[serde(rename = "type")]
    kind: LeafType,
    #[serde(with = "wide")]
    seq: u64,
    tournament: &'a str,
    time: UnixSeconds,
    body: &'a B,
}

/// A leaf could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    #[error("leaf {kind:?}: expected at most {LEAF_MAX_BYTES} bytes, found {got}")]
    TooLarge { kind: LeafType, got: usize },
    #[error("leaf {kind:?}: has no canonical form")]
    Form { kind: LeafType },
}

/// Leaves as they are made: hashes of all, bytes of those not yet taken.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    tournament: String,
    hashes: Vec<Digest>,
    entries: Vec<Digest>,
    time: UnixSeconds,
    pub pending: Vec<Vec<u8>>,
}

impl Log {
    pub fn new(tournament: String) -> Self {
        let (hashes, entries, pending) = (Vec::new(), Vec::new(), Vec::new());
        Self { tournament, hashes, entries, time: UnixSeconds(0), pending }
    }

    pub fn tournament(&self) -> &str {
        &self.tournament
    }

    pub fn len(&self) -> u64 {
        u64::try_from(self.hashes.len()).unwrap_or(u64::MAX)
    }

    /// Brokers' clocks differ by a little; the record's time never goes back.
    pub fn now(&self, time: UnixSeconds) -> UnixSeconds {
        time.max(self.time)
    }

    /// Root over all leaves so far.
    pub fn root(&self) -> Digest {
        merkle_root(&self.hashes)
    }

    /// Root over the `entry` leaves so far.
    pub fn entries_root(&self) -> Digest {
        merkle_root(&self.entries)
    }

    pub fn push<B: Serialize>(
        &mut self,
        time: UnixSeconds,
        kind: LeafType,
        body: &B,
    ) -> Result<(), LeafError> {
        let time = self.now(time);
        let leaf = Leaf { v: 1, kind, seq: self.len(), tournament: &self.tournament, time, body };
        let bytes = serde_jcs::to_vec(&leaf).map_err(|_| LeafError::Form { kind })?;
        if bytes.len() > LEAF_MAX_BYTES {
            return Err(LeafError::TooLarge { kind, got: bytes.len() });
        }
        let hash = leaf_hash(&bytes);
        self.hashes.push(hash);
        if kind == LeafType::Entry {
            self.entries.push(hash);
        }
        self.time = time;
        self.pending.push(bytes);
        Ok(())
    }
}

/// RFC 6962 leaf hash.
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], bytes])
}

/// RFC 6962 root over leaf hashes.
pub fn merkle_root(hashes: &[Digest]) -> Digest {
    match hashes {
        [] => Digest::sha256(b""),
        [one] => *one,
        many => {
            // The largest power of two below the length.
            let split = many.len().next_power_of_two() / 2;
            let (left, right) = many.split_at(split);
            let (left, right) = (merkle_root(left), merkle_root(right));
            Digest::of_parts(&[&[1], left.bytes(), right.bytes()])
        }
    }
}

/// 16 bytes in hex: a guest's lease.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LeaseId(String);

/// Text that is not 32 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lease: expected 32 lower-case hex digits")]
pub struct LeaseIdError;

impl TryFrom<String> for LeaseId {
    type Error = LeaseIdError;

    fn try_from(text: String) -> Result<Self, LeaseIdError> {
        let hex = text.len() == 32 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        if hex { Ok(Self(text)) } else { Err(LeaseIdError) }
    }
}

impl From<LeaseId> for String {
    fn from(lease: LeaseId) -> Self {
        lease.0
    }
}

impl From<[u8; 16]> for LeaseId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl LeaseId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `rulebook`: what the tournament is held under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulebookBody {
    pub rulebook_sha256: Digest,
    pub len_bytes: u64,
    pub charter: Digest,
    pub datasets: Vec<String>,
    /// Bits that the record may disclose about one dataset.
    pub cap_bits: u32,
}

/// `draw_commit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawCommitBody {
    pub commitment: Digest,
}

/// `boot`: introduces the attested keys of one boot of the referee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootBody {
    pub charter: Digest,
    pub lease: LeaseId,
    /// SHA-256 of the TLS certificate's SubjectPublicKeyInfo.
    pub tls_spki_sha256: Digest,
    /// SHA-256(u16be KEM id || public key).
    pub hpke_sha256: Digest,
    /// The Ed25519 public key itself: it signs checkpoints from here on.
    pub signing_key: Digest,
}

/// `entry_refused`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryRefusedBody {
    pub entry: Entry,
    pub reason: EntryRefused,
}

/// What the close opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpensWith {
    Group,
    Knockout,
    Boss,
    Cancelled,
}

/// `closed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedBody {
    pub accepted: u32,
    /// RFC 6962 root over the `entry` leaves; goes into the draw key.
    pub entries_root: Digest,
    /// Challengers, by boosted stake.
    pub selected: Vec<Selected>,
    pub champion: Option<SubmissionId>,
    pub opens: OpensWith,
    /// RFC 6962 root over all leaves before this one.
    pub record_root: Digest,
}

/// Which guest an order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderRole {
    Train,
    Evaluate,
}

/// `order`: a signed order, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderBody {
    /// SHA-256 of the order's signed bytes.
    pub order: Digest,
    pub task: String,
    pub role: OrderRole,
    /// Of a train order.
    pub submission: Option<SubmissionId>,
    /// From 1.
    pub attempt: u32,
}

/// What a guest's work came to: the one closed list that may leave (PROVISIONING 8).
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

impl Status {
    /// A training with this status left an artefact; running out of time keeps it.
    pub fn trained(self) -> bool {
        matches!(self, Self::Done | Self::TimedOut)
    }

    /// Another attempt may end otherwise.
    pub fn may_retry(self) -> bool {
        matches!(self, Self::Failed | Self::ResourceLimit | Self::Infrastructure)
    }

    /// The evaluator found that the artefact is no fine-tuning of the base.
    pub fn refuses_artefact(self) -> bool {
        matches!(self, Self::IntakeRefused | Self::ArtefactRefused | Self::NotFineTuned)
    }
}

/// A training's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainOutcome {
    pub task: String,
    pub submission: SubmissionId,
    pub order: Digest,
    pub status: Status,
    /// Wall time in 15-minute buckets.
    pub duration_bucket: u32,
}

/// An evaluation's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateOutcome {
    pub task: String,
    pub order: Digest,
    pub fingerprint: Digest,
    pub base: BaseScore,
    /// Ascending by submission in the record, whatever order they came in.
    pub scores: Vec<ScoreRow>,
}

/// The untouched base model on the task's items: the loss before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseScore {
    /// `None` when the evaluation did not get so far.
    pub score: Option<Disclosed>,
    /// RFC 6962 root over the salted item losses.
    pub losses_root: Option<Digest>,
}

/// One artefact's line: the loss after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreRow {
    pub submission: SubmissionId,
    pub status: Status,
    /// Only with `done`; `None` where an item's loss was not finite.
    pub score: Option<Disclosed>,
    pub losses_root: Option<Digest>,
    pub artefact_sha256: Option<Digest>,
    /// Another artefact of the task with an equal item vector. The roots do not show it: their salts
    /// differ by submission.
    pub same_losses_as: Option<SubmissionId>,
}

/// `outcome`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum OutcomeBody {
    Train(TrainOutcome),
    Evaluate(EvaluateOutcome),
}

/// `conflicting_outcome`: a second, differing one; its values are not said, since that would cost again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConflictingBody {
    pub order: Digest,
    pub task: String,
    pub role: OrderRole,
}

/// `decision`: the operator lets a task's many failures stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    pub task: String,
    /// SHA-256 of the operator's signed statement.
    pub statement: Digest,
}

/// `round_settled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundSettledBody {
    pub result: RoundResult,
    /// Tasks that stayed without a full result because it would have passed the bit cap.
    pub withheld: Vec<String>,
    /// RFC 6962 root over all leaves before this one.
    pub record_root: Digest,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Kept,
    Taken,
    Cancelled,
}

/// `decided`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecidedBody {
    pub ending: Ending,
    pub defender: Option<SubmissionId>,
    pub holder: Option<SubmissionId>,
    pub holder_entrant: Option<EntrantId>,
    /// The holder's consecutive titles.
    pub titles: u32,
    pub boss: BossCount,
    pub standings: Vec<Standing>,
    /// RFC 6962 root over all leaves before this one.
    pub record_root: Digest,
}

/// `draw_reveal`: the last leaf of the tournament.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawRevealBody {
    pub seed: Digest,
    pub commitment: Digest,
}
