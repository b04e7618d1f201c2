//! The roots: AMD's, compiled in, or another set, which taints.

use serde::{Deserialize, Serialize};

use super::ChainError;
use super::certificate::check_root;
use crate::policy::Product;
use crate::result::Anchors;
use crate::{Base64Bytes, Hex};

const ARK_MILAN: &[u8] = include_bytes!("../../anchors/amd/ark_milan.der");
const ARK_GENOA: &[u8] = include_bytes!("../../anchors/amd/ark_genoa.der");
const ARK_TURIN: &[u8] = include_bytes!("../../anchors/amd/ark_turin.der");

/// Most roots in a foreign set: one a product.
const FOREIGN_ARKS_MAX: usize = 3;
/// Largest foreign anchor document, in bytes.
const FOREIGN_MAX_BYTES: usize = 64 * 1024;

/// The roots that evidence is verified to.
#[derive(Debug, Clone)]
pub struct TrustAnchors {
    arks: Vec<Ark>,
    label: Anchors,
}

/// One pinned AMD root key certificate.
#[derive(Debug, Clone)]
pub(crate) struct Ark {
    pub(crate) product: Product,
    pub(crate) der: Vec<u8>,
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

impl ForeignAnchors {
    /// Reads a document; any layout of the same JSON gives the same digest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ChainError> {
        if bytes.len() > FOREIGN_MAX_BYTES {
            let text = format!("expected at most {FOREIGN_MAX_BYTES} bytes, found {}", bytes.len());
            return Err(ChainError::Syntax(text));
        }
        serde_json::from_slice(bytes).map_err(|error| ChainError::Syntax(error.to_string()))
    }

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
        let ark = |product, der: &[u8]| Ark { product, der: der.to_vec() };
        let arks = vec![
            ark(Product::Milan, ARK_MILAN),
            ark(Product::Genoa, ARK_GENOA),
            ark(Product::Turin, ARK_TURIN),
        ];
        Self { arks, label: Anchors::Vendor }
    }

    /// Another set: its label taints everything that it vouches for.
    ///
    /// Refused: no root or more than one a product, and a root that is no self-signed RSA-4096 CA.
    pub fn foreign(set: ForeignAnchors) -> Result<Self, ChainError> {
        if set.snp.is_empty() || set.snp.len() > FOREIGN_ARKS_MAX {
            return Err(ChainError::Shape { expected: "1 to 3 roots", got: set.snp.len().to_string() });
        }
        let label = Anchors::NotVendor(set.digest());
        let mut arks: Vec<Ark> = Vec::with_capacity(set.snp.len());
        for ForeignArk { product, ark_der } in set.snp {
            if arks.iter().any(|ark| ark.product == product) {
                return Err(ChainError::DuplicateProduct { product });
            }
            check_root(&ark_der.0)?;
            arks.push(Ark { product, der: ark_der.0 });
        }
        Ok(Self { arks, label })
    }

    /// Whose roots these are.
    pub fn label(&self) -> Anchors {
        self.label
    }

    pub(crate) fn arks(&self) -> &[Ark] {
        &self.arks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of the DER bytes of each AMD root key certificate.
    #[test]
    fn vendor_roots_are_the_pinned_certificates() {
        let pinned = [
            (Product::Milan, "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"),
            (Product::Genoa, "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1"),
            (Product::Turin, "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a"),
        ];
        let anchors = TrustAnchors::vendor();
        assert_eq!(anchors.arks().len(), pinned.len());
        for (ark, (product, sha256)) in anchors.arks().iter().zip(pinned) {
            assert_eq!(ark.product, product);
            assert_eq!(Hex::sha256(&ark.der).to_string(), sha256);
            assert!(check_root(&ark.der).is_ok(), "{product:?}: self-signature");
        }
    }
}
