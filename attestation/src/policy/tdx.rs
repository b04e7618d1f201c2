//! Floors for Intel TDX.

use serde::{Deserialize, Serialize};

use super::Level;
use crate::Hex;

/// TDX floors of a charter; without them TDX evidence is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxFloor {
    /// Least `tcbEvaluationDataNumber` of TCB info and QE identity.
    pub tcb_evaluation: u32,
    /// One row per allowed major version of the TDX module; none means any that the collateral vouches for.
    pub modules: Vec<ModuleFloor>,
    /// PCK configuration flags that a platform may have.
    pub platform_flags: Vec<PlatformFlag>,
    /// Advisories (such as `INTEL-SA-00837`) that are refused even at an allowed status.
    pub refused_advisories: Vec<String>,
    /// Extended features that a TD may use, as an XFAM mask.
    pub xfam: u64,
}

/// Least version of one TDX module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleFloor {
    /// TEE_TCB_SVN byte 1: 0 for TDX 1.0, 1 for 1.5.
    pub major: u8,
    /// Least TEE_TCB_SVN byte 0.
    pub svn: u8,
    /// Allowed MRSEAM values; none means any.
    pub mrseam: Vec<Hex<48>>,
}

/// A platform configuration that a PCK certificate tells (extension 1.2.840.113741.1.13.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformFlag {
    DynamicPlatform,
    CachedKeys,
    SmtEnabled,
}

/// TCB status of a platform, its TDX module or its quoting enclave (PCS), best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TcbStatus {
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    /// The TD was launched on an out-of-date TCB that has been updated under it since; never in a document.
    TDRelaunchAdvised,
    TDRelaunchAdvisedConfigurationNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded,
    Revoked,
}

impl Level {
    /// Statuses that a level accepts; `Revoked` is accepted by none (ATTESTATION 2).
    pub(crate) fn accepts(self, status: TcbStatus) -> bool {
        match self {
            Self::Strict => status == TcbStatus::UpToDate,
            Self::Standard => matches!(status, TcbStatus::UpToDate | TcbStatus::SWHardeningNeeded),
            Self::Lab => status != TcbStatus::Revoked,
        }
    }
}
