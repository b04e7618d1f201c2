//! A policy as a file: one preset, narrowed by floors and lists, for whoever appraises without a charter.

use serde::{Deserialize, Serialize};

use super::{AppraisalPolicy, GpuFloor, Level, POLICY_ROWS_MAX, Platform, PolicyError, SnpFloor, TdxFloor};
use crate::Backend;
use crate::json::by_name;
use crate::reference::ReferenceValues;

/// Largest policy document, in bytes.
pub const POLICY_MAX_BYTES: usize = 4 * 1024 * 1024;

/// `{v, preset, ..}`: what is left out narrows nothing, and nothing in it can widen the preset.
///
/// Debug, foreign roots above `lab` and missing evidence have no member here: no document can waive them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// Always 1.
    pub v: u8,
    pub preset: Level,
    /// Backends that are accepted; left out, all that the preset allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
    /// Floors by AMD product; left out, every product that the preset allows, without a floor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snp: Vec<SnpFloor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tdx: Option<TdxFloor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuFloor>,
    /// Bits of the SNP mitigation vectors that must be set (SNP-24).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigations: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
    /// What the guest image must measure to; left out, the measurement is not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<ReferenceValues>,
}

impl PolicyDocument {
    /// Reads a document: size, syntax, closed members.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > POLICY_MAX_BYTES {
            return Err(PolicyError::TooLarge { limit: POLICY_MAX_BYTES, got: bytes.len() });
        }
        let document: Self = by_name(bytes).map_err(PolicyError::Syntax)?;
        if document.v != 1 {
            return Err(PolicyError::Version { got: document.v });
        }
        Ok(document)
    }

    /// The document of a preset by itself.
    pub fn preset(level: Level) -> Self {
        Self {
            v: 1,
            preset: level,
            backends: Vec::new(),
            snp: Vec::new(),
            tdx: None,
            gpu: None,
            mitigations: None,
            platforms: Vec::new(),
            reference: None,
        }
    }

    /// The policy that it states.
    pub fn policy(&self) -> Result<AppraisalPolicy, PolicyError> {
        let preset = AppraisalPolicy::preset(self.preset);
        if let Some(&backend) = self.backends.iter().find(|backend| !backend.satisfies(self.preset)) {
            return Err(PolicyError::BackendBelowCharter { backend, level: self.preset });
        }
        let images = self.reference.as_ref().map_or(0, |reference| reference.images.len());
        if images > POLICY_ROWS_MAX {
            return Err(PolicyError::TooLarge { limit: POLICY_ROWS_MAX, got: images });
        }
        AppraisalPolicy {
            backends: if self.backends.is_empty() { preset.backends.clone() } else { self.backends.clone() },
            snp: self.snp.clone(),
            tdx: self.tdx.clone(),
            gpu: self.gpu.clone().unwrap_or_else(GpuFloor::none),
            platforms: self.platforms.clone(),
            mitigations: self.mitigations.unwrap_or(0),
            ..preset
        }
        .checked()
    }
}
