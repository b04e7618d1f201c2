//! Pinned roots, X.509 chains and revocation: AMD's RSA chains (specification 57230), Intel's and NVIDIA's ECDSA
//! chains (RFC 5280).

mod anchors;
mod certificate;
pub(crate) mod der;
pub(crate) mod ec;
mod frame;
mod links;
mod list;
mod ocsp;
pub(crate) mod period;
mod revocation;
mod status;

pub use anchors::{ForeignAnchors, ForeignArk, TrustAnchors};
pub use certificate::{CERTIFICATES_MAX, CHAIN_MAX_BYTES, Link};
pub use links::Links;
pub use revocation::{Gap, Reason, Revocation};

pub(crate) use certificate::Chain;
#[cfg(test)]
pub(crate) use certificate::rsa_pss;
pub(crate) use status::chain_revocation;

use x509_parser::asn1_rs::Oid;
use x509_parser::prelude::*;

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

/// Whether an object identifier is this dotted one. Nothing is written out: every certificate is asked a dozen times.
pub(crate) fn is_oid(oid: &Oid<'_>, dotted: &str) -> bool {
    oid.iter().is_some_and(|arcs| arcs.map(Some).eq(dotted.split('.').map(|arc| arc.parse::<u64>().ok())))
}

/// The dotted id of an extension that stands twice, or is critical and means nothing here (RFC 5280 4.2).
fn extensions_understood(certificate: &X509Certificate<'_>) -> Result<(), String> {
    let extensions = certificate.extensions();
    for (at, extension) in extensions.iter().enumerate() {
        let twice = extensions[..at].iter().any(|earlier| earlier.oid == extension.oid);
        let known = matches!(
            extension.parsed_extension(),
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
        );
        if twice || (extension.critical && !known) {
            return Err(extension.oid.to_id_string());
        }
    }
    Ok(())
}

fn basic_constraints<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a BasicConstraints> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(constraints) => Some(constraints),
        _ => None,
    })
}

/// Whether the key usage names certificate signing (RFC 5280 4.2.1.3).
fn signs_certificates(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().any(|extension| {
        matches!(extension.parsed_extension(), ParsedExtension::KeyUsage(usage) if usage.key_cert_sign())
    })
}
