//! Reference values: what the guest image must measure to.

use serde::{Deserialize, Serialize};

use crate::{Backend, Hex};

/// The images that a charter allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceValues {
    pub images: Vec<ReferenceImage>,
    /// Digest of the only foreign anchor set allowed, `lab` charters only; none means vendor roots.
    pub foreign_anchors: Option<Hex<32>>,
}

/// One measured image for one backend, vCPU count and model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceImage {
    pub name: String,
    pub backend: Backend,
    /// SHA-256 of the image file; equals the launch configuration's `image`.
    pub image: Hex<32>,
    /// MEASUREMENT of an SNP report, or MRTD of a TDX quote.
    pub measurement: Hex<48>,
    /// What else a TDX quote must hold; without it, no register and no owner field is accepted but all zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tdx: Option<TdxReference>,
}

/// Reference values of a TDX guest beside MRTD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxReference {
    /// Digests (SHA-384) of the events that may stand in the guest's log, any register, any order.
    pub events: Vec<Hex<48>>,
    /// RTMR1 and RTMR2 where the image determines them: kernel; command line and initrd.
    pub rtmr1: Option<Hex<48>>,
    pub rtmr2: Option<Hex<48>>,
    pub mrowner: Hex<48>,
    pub mrownerconfig: Hex<48>,
}
