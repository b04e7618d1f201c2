//! Reference integrity manifests: golden measurements in a signed SWID tag (RIM-01 to RIM-04).
//!
//! A manifest is one XML document that is bounded as text, parsed once, digested in canonical form and
//! read from the very tree that was digested, so that no second reading can see other values than those
//! that are signed.

mod authentic;
mod c14n;
mod library;
mod matching;
mod naming;
mod swid;
mod text;
mod tree;
mod xmldsig;

pub use authentic::AuthenticRim;
pub(crate) use authentic::Signed;
pub use library::{Compared, Library, Reported, Software};
pub use matching::{Comparison, Decoder, Mismatch, NVDEC0_INDEX, NVDEC0_OFF, Source, compare};
pub use naming::{Board, RimId};
pub use swid::{ENTRIES_MAX, GOLDEN_LEN, Golden, Manifest, NAME_MAX_LEN};
pub use text::{ATTRIBUTES_MAX, DEPTH_MAX, ELEMENTS_MAX, MARKUP_MAX, NAMESPACES_MAX};

use crate::Hex;
use crate::chain::ChainError;

/// Why a document is no manifest that the pinned root vouches for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RimError {
    #[error("{what}: expected at most {limit}, found {got}")]
    TooLarge { what: &'static str, limit: usize, got: usize },
    #[error("expected UTF-8, found another byte at {at}")]
    Encoding { at: usize },
    #[error("expected no document type, found one")]
    DocumentType,
    #[error("expected well-formed XML, found an error in line {line}")]
    Syntax { line: u32 },
    #[error("expected absolute namespace names, each prefix declared once an element")]
    Namespace,
    #[error("expected {expected}, found {got}")]
    Form { expected: &'static str, got: usize },
    #[error("measurement {index}: expected {expected}")]
    Measurement { index: u8, expected: &'static str },
    #[error("expected each index once, found {index} twice")]
    DuplicateIndex { index: u8 },
    #[error("signature: expected {expected}, found {got}")]
    SignatureForm { expected: &'static str, got: usize },
    #[error("{role}: expected {expected}, found another")]
    Algorithm { role: &'static str, expected: &'static str },
    #[error("expected the digest {expected}, found {got}")]
    DigestMismatch { expected: Hex<48>, got: Hex<48> },
    #[error("expected an ECDSA P-384 key in certificate {signer_sha256}, found another")]
    SignerKey { signer_sha256: Hex<32> },
    #[error("signature by certificate {signer_sha256} does not verify")]
    Signature { signer_sha256: Hex<32> },
    #[error("signer: {0}")]
    Chain(#[source] ChainError),
}
