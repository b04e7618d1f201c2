//! Pinned roots, X.509 chains and revocation lists of AMD (specification 57230, RFC 5280).

mod anchors;
mod certificate;
mod revocation;

pub use anchors::{ForeignAnchors, ForeignArk, TrustAnchors};
pub use certificate::{CERTIFICATES_MAX, CHAIN_MAX_BYTES, Link};
pub use revocation::Revocation;

pub(crate) use certificate::Chain;
pub(crate) use revocation::revocation;

use crate::Hex;
use crate::checks::Code;
use crate::policy::Product;

/// Why certificates are not a chain to a pinned root, or a set of roots is not one.
///
/// Certificates are named by their place and the SHA-256 of their DER bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    #[error("foreign anchors: {0}")]
    Syntax(String),
    #[error("foreign anchors: {product:?} is named twice")]
    DuplicateProduct { product: Product },
    #[error("{link} {sha256}: expected {expected}, found {got}")]
    Format { link: Link, sha256: Hex<32>, expected: &'static str, got: String },
    #[error("certificates: expected {expected}, found {got}")]
    Shape { expected: &'static str, got: String },
    #[error("root {sha256} is not pinned")]
    UntrustedRoot { sha256: Hex<32> },
    #[error(
        "{link} {sha256} was not issued by the next certificate\n  give the issuer of the same product and kind"
    )]
    IssuerMismatch { link: Link, sha256: Hex<32> },
    #[error("{link} {sha256} may not issue certificates: {why}")]
    IssuerNotCa { link: Link, sha256: Hex<32>, why: &'static str },
    #[error("signature on {link} {sha256} does not verify")]
    CertSignature { link: Link, sha256: Hex<32> },
    #[error("{link} is valid from {not_before}, now is {now}")]
    CertNotYetValid { link: Link, not_before: i64, now: u64 },
    #[error("{link} was valid until {not_after}, now is {now}")]
    CertExpired { link: Link, not_after: i64, now: u64 },
}

impl ChainError {
    /// The stable name of this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::Syntax(_) | Self::Format { .. } => Code::CertFormat,
            Self::DuplicateProduct { .. } | Self::Shape { .. } => Code::ChainShape,
            Self::UntrustedRoot { .. } => Code::UntrustedRoot,
            Self::IssuerMismatch { .. } => Code::IssuerMismatch,
            Self::IssuerNotCa { .. } => Code::IssuerNotCa,
            Self::CertSignature { .. } => Code::CertSignature,
            Self::CertNotYetValid { .. } => Code::CertNotYetValid,
            Self::CertExpired { .. } => Code::CertExpired,
        }
    }
}
