//! Why a guest stopped. The host hears the code and nothing more.

use tiltyard_attestation::Hex;

use crate::collect::{CollectError, LaunchDigest};

/// A guest's failure; [`GuestError::code`] is all that leaves the guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// The host's stream broke or said something that is not in the protocol.
    #[error("channel to the host: {0}")]
    Channel(String),
    /// The configuration document isn't the one in this guest's own report.
    #[error("launch configuration: expected digest {expected} as in the report, found {got}")]
    ConfigMismatch { expected: LaunchDigest, got: LaunchDigest },
    /// A boot document (configuration, charter, order) is not well-formed or contradicts another.
    #[error("boot document {what}: {why}")]
    BootDocument { what: &'static str, why: String },
    /// The platform gave no usable evidence.
    #[error("evidence: {0}")]
    Collect(#[from] CollectError),
    /// An input is absent or differs from its digest.
    #[error("input {digest}: {why}")]
    Input { digest: Hex<32>, why: &'static str },
    /// A broker refused: its stable code and, of a refused log, the size that it remembers.
    #[error("broker refused: {code}")]
    Refused { code: String, remembered: Option<u64> },
    /// A broker's answer does not verify.
    #[error("broker's answer: {0}")]
    BrokerAnswer(String),
    /// A sealed input did not open.
    #[error("sealed input: {0}")]
    Sealed(String),
    /// Key generation, signing or sealing failed.
    #[error("cryptography: {0}")]
    Crypto(&'static str),
    /// The lease was not renewed in time.
    #[error("the lease has lapsed")]
    LeaseLapsed,
    /// The stored log is not a continuation of what the owner's broker remembers.
    #[error("stored log: {0}")]
    Log(String),
    /// The tournament's rules refused a step.
    #[error("tournament: {0}")]
    Tournament(String),
}

impl GuestError {
    /// A refusal that names nothing but its code.
    pub(crate) fn refused(code: &str) -> Self {
        Self::Refused { code: code.to_owned(), remembered: None }
    }

    /// A stable name without any content.
    pub fn code(&self) -> String {
        match self {
            Self::Channel(_) => "E_CHANNEL",
            Self::ConfigMismatch { .. } => "ConfigMismatch",
            Self::BootDocument { .. } => "E_BOOT_DOCUMENT",
            Self::Collect(_) => "E_COLLECT",
            Self::Input { .. } => "DiskMismatch",
            Self::Refused { code, .. } => code,
            Self::BrokerAnswer(_) => "E_BROKER_SIG",
            Self::Sealed(_) => "E_SEALED",
            Self::Crypto(_) => "E_CRYPTO",
            Self::LeaseLapsed => "LeaseLapsed",
            Self::Log(_) => "StateRolledBack",
            Self::Tournament(_) => "E_TOURNAMENT",
        }
        .to_owned()
    }
}
