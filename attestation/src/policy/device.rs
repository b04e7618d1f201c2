//! Floors for NVIDIA GPUs and switches.

use serde::{Deserialize, Serialize};

use super::PolicyError;
use crate::nvidia::{DriverVersion, VbiosVersion};

/// GPU floors of a charter: how many devices a trainer or evaluator must show, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuFloor {
    pub count: u8,
    /// What each device must be; required when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<DeviceFloor>,
}

/// What each GPU, and the fabric between them, must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFloor {
    pub architectures: Vec<Architecture>,
    pub mode: GpuMode,
    /// Least driver version, as in `550.90.07`.
    pub driver: String,
    /// Least VBIOS version, as in `96.00.9F.00.01`.
    pub vbios: String,
    /// NVLink switches that must be attested beside the GPUs: 4 on a Hopper board in mode `ppcie`.
    pub switches: u8,
}

/// Generation of an NVIDIA device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    Hopper,
    Blackwell,
    /// The NVLink switch of Hopper boards.
    Ls10,
}

/// How GPUs are used together (feature flag of the report, opaque field 36).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GpuMode {
    /// One GPU by itself.
    Spt,
    /// Several Blackwell GPUs, NVLink encrypted.
    Mpt,
    /// Eight Hopper GPUs and their switches, NVLink in clear within the one tenant.
    Ppcie,
}

impl DeviceFloor {
    /// Refuses a floor that no device can be held to.
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        let refused = |member, expected: &dyn ToString, got: &dyn ToString| {
            Err(PolicyError::Floor { member, expected: expected.to_string(), got: got.to_string() })
        };
        if self.architectures.is_empty() {
            return refused("devices.architectures", &"one or more", &"none");
        }
        let has_mode = |listed: &Architecture| match self.mode {
            GpuMode::Spt => true,
            GpuMode::Mpt => *listed == Architecture::Blackwell,
            GpuMode::Ppcie => *listed == Architecture::Hopper,
        };
        if !self.architectures.iter().any(has_mode) {
            let expected = format!("a generation that has the mode {:?}", self.mode);
            return refused("devices.architectures", &expected, &format!("{:?}", self.architectures));
        }
        if let Err(error) = self.driver.parse::<DriverVersion>() {
            return refused("devices.driver", &error.expected, &self.driver);
        }
        if let Err(error) = self.vbios.parse::<VbiosVersion>() {
            return refused("devices.vbios", &error.expected, &self.vbios);
        }
        Ok(())
    }
}

impl GpuFloor {
    /// No device at all.
    pub fn none() -> Self {
        Self { count: 0, devices: None }
    }
}
