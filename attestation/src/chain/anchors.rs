//! The roots: AMD's, compiled in, or another set, which taints.

use serde::{Deserialize, Serialize};

use super::certificate::check_root;
use super::ec::Certificate;
use super::{ChainError, Links};
use crate::json::by_name;
use crate::policy::Product;
use crate::result::Anchors;
use crate::{Base64Bytes, Hex};

const ARK_MILAN: &[u8] = include_bytes!("../../anchors/amd/ark_milan.der");
const ARK_GENOA: &[u8] = include_bytes!("../../anchors/amd/ark_genoa.der");
const ARK_TURIN: &[u8] = include_bytes!("../../anchors/amd/ark_turin.der");
/// Intel SGX Root CA: also of TDX.
const INTEL_ROOT: &[u8] = include_bytes!("../../anchors/intel/sgx_root_ca.der");
/// NVIDIA Device Identity CA: GPUs and switches.
const NVIDIA_DEVICE_ROOT: &[u8] = include_bytes!("../../anchors/nvidia/device_identity_ca.der");
/// NVIDIA CoRIM signing Root CA: reference integrity manifests.
const NVIDIA_RIM_ROOT: &[u8] = include_bytes!("../../anchors/nvidia/rim_root_ca.der");

/// Most roots in a foreign set: one a product.
const FOREIGN_ARKS_MAX: usize = 3;
/// Largest foreign anchor document, in bytes.
const FOREIGN_MAX_BYTES: usize = 64 * 1024;

/// The roots that evidence is verified to.
#[derive(Debug, Clone)]
pub struct TrustAnchors {
    arks: Vec<Ark>,
    intel: Vec<Vec<u8>>,
    nvidia_device: Vec<Vec<u8>>,
    nvidia_rim: Vec<Vec<u8>>,
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
    /// Root of PCK, TCB signing and revocation, self-signed, DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intel: Option<Base64Bytes>,
    /// Root of device identities, self-signed, DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvidia_device: Option<Base64Bytes>,
    /// Root of reference integrity manifests, self-signed, DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvidia_rim: Option<Base64Bytes>,
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
    /// Roots of AMD's shape only.
    pub fn of_snp(snp: Vec<ForeignArk>) -> Self {
        Self { snp, intel: None, nvidia_device: None, nvidia_rim: None }
    }

    /// Reads a document; any layout of the same JSON gives the same digest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ChainError> {
        if bytes.len() > FOREIGN_MAX_BYTES {
            let text = format!("expected at most {FOREIGN_MAX_BYTES} bytes, found {}", bytes.len());
            return Err(ChainError::Syntax(text));
        }
        by_name(bytes).map_err(ChainError::Syntax)
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
        Self {
            arks,
            intel: vec![INTEL_ROOT.to_vec()],
            nvidia_device: vec![NVIDIA_DEVICE_ROOT.to_vec()],
            nvidia_rim: vec![NVIDIA_RIM_ROOT.to_vec()],
            label: Anchors::Vendor,
        }
    }

    /// Another set: its label taints everything that it vouches for.
    ///
    /// Refused: no root, more than one a product, and a root that is no self-signed CA of its vendor's algorithm.
    pub fn foreign(set: ForeignAnchors) -> Result<Self, ChainError> {
        let ec = [&set.intel, &set.nvidia_device, &set.nvidia_rim];
        let count = set.snp.len() + ec.iter().filter(|root| root.is_some()).count();
        if count == 0 || set.snp.len() > FOREIGN_ARKS_MAX {
            return Err(ChainError::Shape {
                expected: "1 to 3 roots of AMD's shape, or others",
                got: count.to_string(),
            });
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
        let root = |der: Option<Base64Bytes>| -> Result<Vec<Vec<u8>>, ChainError> {
            der.into_iter()
                .map(|der| {
                    let root = Certificate::parse(&der.0, 0)?;
                    root.issued_by(&root, 0, 0, &Links::new())?;
                    Ok(der.0)
                })
                .collect()
        };
        Ok(Self {
            arks,
            intel: root(set.intel)?,
            nvidia_device: root(set.nvidia_device)?,
            nvidia_rim: root(set.nvidia_rim)?,
            label,
        })
    }

    /// Whose roots these are.
    pub fn label(&self) -> Anchors {
        self.label
    }

    pub(crate) fn arks(&self) -> &[Ark] {
        &self.arks
    }

    /// DER roots of Intel's shape.
    pub(crate) fn intel(&self) -> &[Vec<u8>] {
        &self.intel
    }

    /// DER roots of NVIDIA devices.
    pub(crate) fn nvidia_device(&self) -> &[Vec<u8>] {
        &self.nvidia_device
    }

    /// DER roots of NVIDIA's reference integrity manifests.
    pub(crate) fn nvidia_rim(&self) -> &[Vec<u8>] {
        &self.nvidia_rim
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
        let pinned = [
            (anchors.intel(), "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"),
            (anchors.nvidia_device(), "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"),
            (anchors.nvidia_rim(), "12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1"),
        ];
        for (roots, sha256) in pinned {
            let [root] = roots else { panic!("one root") };
            assert_eq!(Hex::sha256(root).to_string(), sha256);
            let root = Certificate::parse(root, 0).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(root.issued_by(&root, 0, 0, &Links::new()), Ok(()), "{sha256}: self-signature");
        }
    }
}
