//! Evidence as it travels: one envelope, every vendor blob exactly as the hardware gave it.

use serde::{Deserialize, Serialize};

use crate::binding::PresentedKeys;
use crate::checks::Part;
use crate::trace::Submod;
use crate::{Base64Bytes, Hex};

/// Largest composite envelope, in bytes of JSON.
pub const EVIDENCE_MAX_BYTES: usize = 1024 * 1024;

/// Composite evidence of one guest: the CPU's quote covers all the rest through REPORT_DATA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Canonical bytes of [`crate::binding::Runtime`].
    pub runtime: Base64Bytes,
    /// Canonical bytes of [`crate::LaunchConfig`].
    pub config: Base64Bytes,
    pub keys: PresentedKeys,
    pub cpu: CpuEvidence,
    /// GPUs and switches; empty on a CPU-only guest.
    pub devices: Vec<DeviceEvidence>,
    /// Canonical bytes of [`crate::binding::BootDocument`]; a guest with devices must give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Base64Bytes>,
}

/// The CPU's own evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum CpuEvidence {
    /// AMD: the 1,184-byte report, and the certificate table that the platform handed to the guest.
    Snp { report: Base64Bytes, certificates: Vec<Base64Bytes> },
    /// Intel: the DCAP quote.
    Tdx { quote: Base64Bytes, event_log: Base64Bytes },
}

/// One GPU's or switch's evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceEvidence {
    pub kind: DeviceKind,
    pub index: u8,
    /// SPDM request and response.
    pub report: Base64Bytes,
    /// PEM, leaf first.
    pub chain: Base64Bytes,
}

/// Kind of an attested device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    Gpu,
    Switch,
}

impl DeviceKind {
    /// Its name in results.
    pub(crate) fn submod(self, index: u8) -> Submod {
        match self {
            Self::Gpu => Submod::Gpu(index),
            Self::Switch => Submod::Switch(index),
        }
    }

    /// What the checklist calls it.
    pub(crate) fn part(self) -> Part {
        match self {
            Self::Gpu => Part::Gpu,
            Self::Switch => Part::Switch,
        }
    }
}

impl Evidence {
    /// SHA-256 over the canonical envelope: a log key, never an identity.
    pub fn digest(&self) -> Hex<32> {
        Hex::sha256(&serde_jcs::to_vec(self).unwrap_or_default())
    }
}
