//! The stream between a host and its guest: services and messages (HOST 5).
//!
//! One carrier, one multiplexer. Everything here is ciphertext or public; every byte from the host is
//! hostile input to the guest, and every byte from the guest is hostile input to the host.

use serde::{Deserialize, Serialize};
use tiltyard_attestation::{Base64Bytes, Hex};

use crate::charter::BrokerOwner;
use crate::order::{Order, ResultEnvelope, RollRow, Submission};
use crate::statement::Signed;

#[cfg(feature = "channel")]
mod mux;

#[cfg(feature = "channel")]
pub use mux::{
    ChannelError, End, HALF_OPEN_MAX, Incoming, PREAMBLE, PREAMBLE_DISCARD_MAX_BYTES, STREAMS_MAX, Stream,
    StreamOpener, mux, read_message, read_message_or_end, write_message,
};

/// Largest framed message, in bytes.
pub const MESSAGE_MAX_BYTES: u32 = 16 * 1024 * 1024;
/// Length of the service name that opens a stream, zero-padded ASCII.
pub const SERVICE_NAME_BYTES: usize = 32;

/// What a stream is for; its name is the first 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Host to guest, first: one [`Boot`].
    Config,
    /// Guest to host: one [`GuestState`] each time the guest's state changes.
    State,
    /// Guest to host: raw bytes to and from that broker's address in the charter.
    Broker(BrokerOwner),
    /// Host to referee: one [`Entries`].
    Entries,
    /// Referee to host: one [`OrderMessage`], answered by [`Ack`].
    Order,
    /// Guest to host: one [`crate::order::ObjectRef`], then its `len_bytes` of ciphertext; answered by [`Ack`] once durable.
    Object,
    /// Trainer or evaluator to host: one [`ResultEnvelope`], answered by [`Ack`].
    Report,
    /// Host to referee: one [`OrderOutcome`], answered by [`Ack`].
    Result,
    /// Referee to host: any number of [`LogAppend`], each answered by [`Ack`] once durable.
    Log,
    /// Host to referee: raw TLS bytes of one client of the attested API.
    Api,
}

/// The host's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// Canonical bytes of the launch configuration.
    pub config: Base64Bytes,
    /// The charter's DSSE envelope.
    pub charter: Base64Bytes,
    /// The order, for a trainer or evaluator.
    pub order: Option<Signed<Order>>,
    /// Leaves of this tournament's log so far, when a referee restarts; with their last checkpoint.
    pub log: Option<StoredLog>,
}

/// A log as the host kept it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredLog {
    pub leaves: Vec<Base64Bytes>,
    pub checkpoint: String,
    pub documents: Vec<Document>,
}

/// A signed, public document of the tournament, kept for the bundle: a referee has no disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Member name in the bundle ([`crate::record::members`]).
    pub name: String,
    pub bytes: Base64Bytes,
}

/// Where a guest stands. Enums only: nothing that a guest has read can leave here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GuestState {
    /// The configuration equals the one in its own report; the guest is up.
    Ready,
    /// A broker granted the lease.
    Leased,
    /// The work has begun.
    Running,
    /// A referee: tournament decided, record signed, bundle offered at `/v1/bundle`.
    Decided,
    /// Done; the guest ends now.
    Finished,
    /// Stopped before finishing, with the reason's stable code (`E_...` or a refusal name).
    Failed { code: String },
}

/// The roll, as the operator signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    pub entries: Vec<RollEntry>,
}

/// One admitted submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollEntry {
    pub row: Signed<RollRow>,
    pub submission: Signed<Submission>,
}

/// An order on its way to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderMessage {
    pub order: Signed<Order>,
}

/// What became of an order: the guest's sealed report, or the host's word that there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OrderOutcome {
    Report(ResultEnvelope),
    /// The guest ended without a report: killed, crashed, out of memory, never started.
    Lost {
        order: Hex<32>,
        code: String,
    },
}

/// New leaves of the tournament's log with the checkpoint over them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogAppend {
    /// Index of the first leaf.
    pub first: u64,
    pub leaves: Vec<Base64Bytes>,
    /// Signed note.
    pub checkpoint: String,
    /// Documents that the leaves refer to; durable before the leaves. A later one of the same name replaces it.
    pub documents: Vec<Document>,
}

/// Done, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ack {
    Done,
    Refused { code: String },
}

impl Service {
    /// Every service, for tables and tests.
    pub const ALL: [Self; 11] = [
        Self::Config,
        Self::State,
        Self::Broker(BrokerOwner::Owner),
        Self::Broker(BrokerOwner::Operator),
        Self::Entries,
        Self::Order,
        Self::Object,
        Self::Report,
        Self::Result,
        Self::Log,
        Self::Api,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::State => "state",
            Self::Broker(BrokerOwner::Owner) => "broker.owner",
            Self::Broker(BrokerOwner::Operator) => "broker.operator",
            Self::Entries => "entries",
            Self::Order => "order",
            Self::Object => "object",
            Self::Report => "report",
            Self::Result => "result",
            Self::Log => "log",
            Self::Api => "api",
        }
    }

    /// The 32 bytes that open a stream.
    pub fn to_bytes(self) -> [u8; SERVICE_NAME_BYTES] {
        let mut out = [0; SERVICE_NAME_BYTES];
        out[..self.name().len()].copy_from_slice(self.name().as_bytes());
        out
    }

    /// Reads the 32 bytes that open a stream; `None` for an unknown service.
    pub fn from_bytes(bytes: &[u8; SERVICE_NAME_BYTES]) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.to_bytes() == *bytes)
    }
}
