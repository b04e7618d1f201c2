//! What is asked, what is answered, and why there is no attested connection.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tiltyard_attestation::evidence::{EVIDENCE_MAX_BYTES, Evidence};
use tiltyard_attestation::{
    AttestationResult, Challenge, Collateral, ConfigError, Hex, LaunchConfig, Refusal, Role, Verifier,
};
use tiltyard_provisioning::channel::ChannelError;

use crate::error::GuestError;

/// Longest that a handshake and its exchange may take together: as long as a challenge lives.
pub const EXCHANGE_MAX: Duration = Duration::from_secs(tiltyard_attestation::CHALLENGE_LIFETIME_S);
/// Largest question, in bytes.
pub(super) const ASK_MAX_BYTES: u32 = 256;
/// Largest answer, in bytes: the evidence and its wrapping.
pub(super) const ANSWER_MAX_BYTES: u32 = EVIDENCE_MAX_BYTES as u32 + 1024;

/// What the peer's evidence must show.
#[derive(Clone, Copy)]
pub struct Demand<'a> {
    pub verifier: &'a Verifier,
    pub collateral: &'a Collateral,
    /// Fresh from the caller's random source, used once.
    pub nonce: Hex<32>,
    pub role: Role,
    pub charter: Hex<32>,
    pub order: Option<Hex<32>>,
    pub lease: Lease,
    /// Unix seconds; read when the nonce is sent and when the evidence is there.
    pub clock: fn() -> u64,
}

/// Which lease the peer must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    This(Hex<16>),
    /// The one in the launch configuration that the peer shows, which its report binds: for whoever was told none.
    AsShown,
}

/// What this end's evidence must answer: the peer's nonce and the exporter of the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    pub nonce: Hex<32>,
    pub channel: Hex<32>,
}

/// Why there is no attested connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The peer, or somebody between, broke the handshake.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The peer took too long.
    #[error("expected handshake and evidence within {} ms", wait.as_millis())]
    Late { wait: Duration },
    /// The peer showed no certificate to hold evidence against.
    #[error("expected a certificate, found none")]
    NoCertificate,
    /// The peer's message is too large, cut short, or another document.
    #[error("exchange: {0}")]
    Message(#[from] ChannelError),
    /// The peer's launch configuration is none.
    #[error("evidence: {0}")]
    Config(#[from] ConfigError),
    /// The peer's evidence did not pass.
    #[error("{0}")]
    Refused(#[from] Box<Refusal>),
    /// This guest has no evidence to give.
    #[error("own evidence: {0}")]
    Own(#[from] GuestError),
    /// The library gave no exporter.
    #[error("exporter: {0}")]
    Exporter(rustls::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    pub(super) nonce: Hex<32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) evidence: Evidence,
}

impl Demand<'_> {
    /// Appraises evidence that came over the channel with this exporter, from the holder of `peer_spki`.
    pub(super) fn appraise(
        &self,
        issued_at: u64,
        channel: Hex<32>,
        peer_spki: Vec<u8>,
        evidence: &Evidence,
    ) -> Result<AttestationResult, AttestError> {
        let lease = match self.lease {
            Lease::This(lease) => lease,
            Lease::AsShown => LaunchConfig::from_bytes(&evidence.config.0)?.lease,
        };
        let challenge = Challenge::new(self.nonce, self.role, self.charter, self.order, lease, issued_at)
            .with_channel(channel)
            .with_peer(peer_spki);
        let now = (self.clock)();
        Ok(self.verifier.appraise(challenge, evidence, self.collateral, now).map_err(Box::new)?)
    }
}
