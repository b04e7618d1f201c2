//! The verifier's single-use nonce and what it is bound to.

use crate::policy::PlatformId;
use crate::{Hex, Role};

/// Longest life of a challenge, in seconds (BND-02).
pub const CHALLENGE_LIFETIME_S: u64 = 60;
/// Longest time that an appraisal of devices holds, in seconds (BND-10).
pub const DEVICES_LIFETIME_S: u64 = 3_600;

/// One issued nonce, made by the party that issued it and consumed by one appraisal.
///
/// Single use across appraisals is the issuer's store: it moves the nonce from issued to used before
/// it builds this value.
#[derive(Debug)]
pub struct Challenge {
    pub(crate) nonce: Hex<32>,
    pub(crate) role: Role,
    pub(crate) charter: Hex<32>,
    pub(crate) order: Option<Hex<32>>,
    pub(crate) lease: Hex<16>,
    pub(crate) issued_at: u64,
    pub(crate) channel: Option<Hex<32>>,
    pub(crate) peer: Option<Vec<u8>>,
    pub(crate) devices: Option<EarlierDevices>,
    pub(crate) fleet: Vec<PlatformId>,
    pub(crate) tcb_evaluation: u32,
}

/// The last full appraisal of this guest's devices; a renewal rests on it for an hour (BND-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierDevices {
    /// `profile.boot` of the evidence that was appraised.
    pub boot: Hex<32>,
    /// Unix seconds.
    pub appraised_at: u64,
    pub gpus: u8,
    pub switches: u8,
}

impl Challenge {
    /// A challenge for one role, charter, order and lease; `issued_at` in Unix seconds.
    pub fn new(
        nonce: Hex<32>,
        role: Role,
        charter: Hex<32>,
        order: Option<Hex<32>>,
        lease: Hex<16>,
        issued_at: u64,
    ) -> Self {
        Self {
            nonce,
            role,
            charter,
            order,
            lease,
            issued_at,
            channel: None,
            peer: None,
            devices: None,
            fleet: Vec::new(),
            tcb_evaluation: 0,
        }
    }

    /// Demands evidence bound to this TLS 1.3 exporter (CHN-01).
    pub fn with_channel(self, exporter: Hex<32>) -> Self {
        Self { channel: Some(exporter), ..self }
    }

    /// Demands that the channel's peer, whose certificate has this SubjectPublicKeyInfo (DER), is the attested one
    /// (CHN-02).
    pub fn with_peer(self, spki: Vec<u8>) -> Self {
        Self { peer: Some(spki), ..self }
    }

    /// Accepts evidence without devices for as long as this earlier appraisal of them holds (BND-10).
    pub fn with_devices(self, earlier: EarlierDevices) -> Self {
        Self { devices: Some(earlier), ..self }
    }

    /// Demands Intel's collateral of at least this evaluation number: the highest that the caller ever accepted
    /// (TDX-10).
    pub fn with_tcb_evaluation(self, number: u32) -> Self {
        Self { tcb_evaluation: number, ..self }
    }

    /// Refuses devices that other guests hold at this time, each by UEID and by device key, which outlives a change of
    /// firmware (GPU-15).
    pub fn with_fleet(self, fleet: Vec<PlatformId>) -> Self {
        Self { fleet, ..self }
    }

    /// Whether `got` is this nonce, in constant time over all 32 bytes (BND-01).
    pub(crate) fn nonce_is(&self, got: &Hex<32>) -> bool {
        let difference = self.nonce.bytes().iter().zip(got.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}
