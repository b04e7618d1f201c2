//! Endorsements and revocation data that the verifier obtained beside the evidence.

use serde::{Deserialize, Serialize};

use crate::Base64Bytes;

/// Most revocation lists, answers or manifests of one kind in one collateral set.
pub const COLLATERAL_ITEMS_MAX: usize = 64;
/// Largest revocation list, in bytes of DER.
pub const CRL_MAX_BYTES: usize = 1024 * 1024;
/// Largest OCSP answer, in bytes of DER.
pub const OCSP_MAX_BYTES: usize = 16 * 1024;
/// Largest reference integrity manifest, in bytes of XML.
pub const RIM_MAX_BYTES: usize = 1024 * 1024;
/// Largest document or list of Intel's collateral, in bytes.
pub const TDX_ITEM_MAX_BYTES: usize = 1024 * 1024;

/// One set of collateral, for any mix of evidence. Everything in it is verified to its vendor's root.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collateral {
    /// AMD revocation lists, DER, any product, any order.
    pub snp_crls: Vec<Base64Bytes>,
    /// Intel collateral, one set a platform family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tdx: Vec<TdxCollateral>,
    /// NVIDIA reference integrity manifests, XML.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rims: Vec<Base64Bytes>,
    /// OCSP answers about NVIDIA's certificates, DER.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ocsp: Vec<Base64Bytes>,
    /// Revocation lists of NVIDIA's authorities, DER.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nvidia_crls: Vec<Base64Bytes>,
}

/// Intel's collateral for one FMSPC, as the Provisioning Certification Service (PCS, v4) gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxCollateral {
    /// The signed JSON text of `tcbInfo`, byte for byte.
    pub tcb_info: Base64Bytes,
    /// ECDSA P-256 over it, r then s.
    pub tcb_info_signature: Base64Bytes,
    /// The signed JSON text of `enclaveIdentity`, byte for byte.
    pub qe_identity: Base64Bytes,
    pub qe_identity_signature: Base64Bytes,
    /// PEM: TCB signing certificate, then the root.
    pub tcb_info_issuer_chain: Base64Bytes,
    pub qe_identity_issuer_chain: Base64Bytes,
    /// PEM: the PCK certificates' authority, then the root.
    pub pck_crl_issuer_chain: Base64Bytes,
    /// DER.
    pub pck_crl: Base64Bytes,
    /// DER.
    pub root_ca_crl: Base64Bytes,
}

impl Collateral {
    /// No collateral at all: revocation is then unknown, which only `lab` accepts.
    pub fn none() -> Self {
        Self::default()
    }

    /// What is counted or measured against a limit: name, limit, found.
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize, usize)> {
        let largest = |parts: &[Base64Bytes]| parts.iter().map(|part| part.0.len()).max().unwrap_or(0);
        let intel = self.tdx.iter().flat_map(|set| {
            [
                &set.tcb_info,
                &set.tcb_info_signature,
                &set.qe_identity,
                &set.qe_identity_signature,
                &set.tcb_info_issuer_chain,
                &set.qe_identity_issuer_chain,
                &set.pck_crl_issuer_chain,
                &set.pck_crl,
                &set.root_ca_crl,
            ]
        });
        vec![
            ("revocation lists", COLLATERAL_ITEMS_MAX, self.snp_crls.len().max(self.nvidia_crls.len())),
            ("revocation list bytes", CRL_MAX_BYTES, largest(&self.snp_crls).max(largest(&self.nvidia_crls))),
            ("TDX collateral sets", COLLATERAL_ITEMS_MAX, self.tdx.len()),
            ("TDX collateral bytes", TDX_ITEM_MAX_BYTES, intel.map(|item| item.0.len()).max().unwrap_or(0)),
            ("reference manifests", COLLATERAL_ITEMS_MAX, self.rims.len()),
            ("reference manifest bytes", RIM_MAX_BYTES, largest(&self.rims)),
            ("OCSP answers", COLLATERAL_ITEMS_MAX, self.ocsp.len()),
            ("OCSP answer bytes", OCSP_MAX_BYTES, largest(&self.ocsp)),
        ]
    }
}
