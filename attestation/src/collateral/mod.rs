//! Endorsements and revocation data that the verifier obtained beside the evidence.

use serde::{Deserialize, Serialize};

mod bundle;
mod digest;
mod draft;

pub use bundle::{
    BUNDLE_MAX_BYTES, Bundle, BundleError, CollateralReadError, ITEMS_MAX, Item, ItemKind, MANIFEST,
    Manifest, Provenance, SIGNATURE,
};
pub use draft::Fetched;

use crate::Base64Bytes;
use crate::checks::{CheckId, Code};
use crate::policy::{AppraisalPolicy, Level};
use crate::trace::{Judged, Trace};

const LOOSE: &str = "collateral was not given as a bundle";
const REFUSED: &str = "the bundle was refused";

/// Most revocation lists, answers or manifests of one kind in one collateral set.
pub const COLLATERAL_ITEMS_MAX: usize = 64;
/// Largest endorsement certificate, in bytes of DER.
pub const SNP_CERTIFICATE_MAX_BYTES: usize = 8 * 1024;
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
    /// Endorsement certificates of AMD chips and of their issuers, DER, any order: for reports that come without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snp_certificates: Vec<Base64Bytes>,
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
    /// Whether it came in a signed bundle; never part of what travels.
    #[serde(skip)]
    pub source: Source,
}

/// Where collateral came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// Item by item.
    #[default]
    Loose,
    /// From a signed bundle.
    Bundle(Provenance),
    /// From a bundle that was refused: there is no collateral.
    Refused(BundleError),
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

    /// The bundle by itself: signature and digests, its own time (COL-01, COL-04).
    pub(crate) fn judge(&self, policy: &AppraisalPolicy, now: u64, trace: &mut Trace) {
        const SIGNED: &str = "a signed bundle whose items have their digests";
        let (signed, timely) = match &self.source {
            Source::Loose => (Judged::not_applicable(LOOSE), Judged::not_applicable(LOOSE)),
            Source::Refused(error) => {
                let code = match error {
                    BundleError::Digest { .. } => Code::ItemDigest,
                    _ => Code::BundleSignature,
                };
                (Judged::fail(code, SIGNED, error), Judged::not_shown(REFUSED))
            }
            Source::Bundle(provenance) => (
                Judged::pass(SIGNED, format_args!("manifest {}", provenance.manifest)),
                provenance.timely(policy.level(), now),
            ),
        };
        trace.note(CheckId::Col01, signed);
        trace.note(CheckId::Col04, timely);
    }

    /// Whether the bundle held what the checks looked for, once they have run (COL-02).
    pub(crate) fn judge_complete(&self, trace: &mut Trace) {
        const EXPECTED: &str = "items for every part of the evidence";
        let judged = match (&self.source, trace.lacking()) {
            (Source::Loose, _) => Judged::not_applicable(LOOSE),
            (Source::Refused(_), _) => Judged::not_shown(REFUSED),
            (Source::Bundle(_), Some(lacking)) => {
                Judged::fail(Code::CollateralMissing, EXPECTED, format_args!("without {lacking}"))
            }
            (Source::Bundle(_), None) if trace.stopped() => Judged::not_shown("not every check was reached"),
            (Source::Bundle(_), None) => Judged::pass(EXPECTED, "complete"),
        };
        trace.note(CheckId::Col02, judged);
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
            ("endorsement certificates", ITEMS_MAX, self.snp_certificates.len()),
            ("endorsement certificate bytes", SNP_CERTIFICATE_MAX_BYTES, largest(&self.snp_certificates)),
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

impl Provenance {
    /// The bundle has not expired, and the clock is not behind what the vendors already issued (COL-04).
    fn timely(&self, level: Level, now: u64) -> Judged {
        let expected = format!("between {} and {}", self.newest.max(self.created_at), self.expires_at);
        let code = if now > self.expires_at {
            Code::CollateralStale
        } else if now < self.newest || now < self.created_at {
            Code::ClockBehind
        } else {
            return Judged::pass(expected, now);
        };
        match (level, code) {
            (Level::Lab, Code::CollateralStale) => Judged::warning(expected, now),
            _ => Judged::fail(code, expected, now),
        }
    }
}
