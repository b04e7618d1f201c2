//! Pinned roots, X.509 chains and revocation lists of AMD (specification 57230, RFC 5280).

use serde::{Deserialize, Serialize};

use crate::policy::Product;
use crate::result::Anchors;
use crate::{Base64Bytes, Hex};

/// The roots that evidence is verified to.
#[derive(Debug, Clone)]
pub struct TrustAnchors {
    label: Anchors,
}

/// A set of roots that is not the vendors': the simulator's. A JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignAnchors {
    pub snp: Vec<ForeignArk>,
}

/// One root of AMD's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignArk {
    pub product: Product,
    /// Self-signed certificate, DER.
    pub ark_der: Base64Bytes,
}

/// Why a set of roots was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    #[error("foreign anchors: {0}")]
    Syntax(String),
}

impl ForeignAnchors {
    /// The canonical bytes (RFC 8785).
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and lists only, which always serialise.
        serde_jcs::to_vec(self).unwrap_or_default()
    }

    /// SHA-256 of the canonical bytes: what a lab charter names.
    pub fn digest(&self) -> Hex<32> {
        Hex::sha256(&self.to_bytes())
    }
}

impl TrustAnchors {
    /// The compiled-in AMD roots for Milan, Genoa and Turin.
    pub fn vendor() -> Self {
        Self { label: Anchors::Vendor }
    }

    /// Another set: its label taints everything that it vouches for.
    pub fn foreign(set: ForeignAnchors) -> Result<Self, ChainError> {
        Ok(Self { label: Anchors::NotVendor(set.digest()) })
    }

    /// Whose roots these are.
    pub fn label(&self) -> Anchors {
        self.label
    }
}
