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
    /// MEASUREMENT of an SNP report.
    pub measurement: Hex<48>,
}
