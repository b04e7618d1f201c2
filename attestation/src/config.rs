//! The launch configuration: what one guest is for, hashed into its evidence (HOST 1).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Hex;

/// Largest launch configuration document, in bytes.
pub const CONFIG_MAX_BYTES: usize = 16 * 1024;
/// Domain of the digests that a platform binds.
const DIGEST_TAG: &str = "tiltyard/launch-config/1";

/// What one guest is for. A lease binds a guest to exactly one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs the tournament; is given no dataset key.
    Referee,
    /// Trains one submission on one task's training split.
    Trainer,
    /// Scores the artefacts of one task on its test split.
    Evaluator,
}

/// How a guest is isolated. Only `Snp` and `Tdx` can satisfy a charter above `lab`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A sandboxed child process: development only.
    Process,
    /// An emulated virtual machine.
    Tcg,
    /// A virtual machine without confidential computing.
    Kvm,
    /// Measured boot, no evidence.
    Vtpm,
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
}

/// The canonical document `{v, role, charter, order, lease, backend, image, ...}` of one launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchConfig {
    /// Always 1.
    pub v: u8,
    pub role: Role,
    /// `p`, the digest of the charter's payload.
    pub charter: Hex<32>,
    /// SHA-256 of the order's payload bytes; none for a referee, required for the other roles.
    pub order: Option<Hex<32>>,
    /// 16 random bytes drawn by the launcher, fresh for each launch.
    pub lease: Hex<16>,
    pub backend: Backend,
    /// SHA-256 of the guest image (for `Process`: of the `tiltyard-enclave` binary).
    pub image: Hex<32>,
    pub vcpus: u32,
    pub memory_mib: u32,
    /// PCI addresses of the GPUs passed through.
    pub gpus: Vec<String>,
    /// Read-only inputs, in order.
    pub disks: Vec<Disk>,
}

/// One read-only input of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// First 20 hex digits of `sha256`; also the file's name under the guest's input folder.
    pub serial: String,
    pub sha256: Hex<32>,
    pub len_bytes: u64,
}

/// Why a launch configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("launch configuration: expected at most {CONFIG_MAX_BYTES} bytes, found {got}")]
    TooLarge { got: usize },
    #[error("launch configuration: {0}")]
    Syntax(String),
    #[error(
        "launch configuration is not in canonical form (RFC 8785)\n  write it with LaunchConfig::to_bytes"
    )]
    NotCanonical,
    #[error("launch configuration: expected version 1, found {got}")]
    Version { got: u8 },
    #[error("launch configuration: {role:?} needs an order, found none")]
    OrderMissing { role: Role },
    #[error("launch configuration: a referee takes no order, found one")]
    OrderUnexpected,
}

impl LaunchConfig {
    /// Reads a received document: size, syntax, closed members, canonical form, version, role and order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > CONFIG_MAX_BYTES {
            return Err(ConfigError::TooLarge { got: bytes.len() });
        }
        let config: Self =
            serde_json::from_slice(bytes).map_err(|error| ConfigError::Syntax(error.to_string()))?;
        if config.to_bytes() != bytes {
            return Err(ConfigError::NotCanonical);
        }
        if config.v != 1 {
            return Err(ConfigError::Version { got: config.v });
        }
        match (config.role, config.order) {
            (Role::Referee, Some(_)) => Err(ConfigError::OrderUnexpected),
            (Role::Trainer | Role::Evaluator, None) => Err(ConfigError::OrderMissing { role: config.role }),
            (Role::Referee, None) | (Role::Trainer | Role::Evaluator, Some(_)) => Ok(config),
        }
    }

    /// The canonical bytes (RFC 8785).
    pub fn to_bytes(&self) -> Vec<u8> {
        // Every member is a string, an integer or a list of them, which always serialise.
        serde_jcs::to_vec(self).unwrap_or_default()
    }

    /// GPUs passed through; an address that stands twice is one.
    pub(crate) fn distinct_gpus(&self) -> usize {
        self.gpus.iter().collect::<BTreeSet<_>>().len()
    }

    /// `d256`: goes into HOST_DATA of an SNP report.
    pub fn d256(document: &[u8]) -> Hex<32> {
        Hex::tagged(DIGEST_TAG, document)
    }

    /// `d384`: goes into MRCONFIGID of a TD.
    pub fn d384(document: &[u8]) -> Hex<48> {
        Hex::tagged_sha384(DIGEST_TAG, document)
    }
}
