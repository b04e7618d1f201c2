//! NVIDIA GPUs and NVLink switches: signed SPDM measurements under device certificates (DMTF DSP0274 1.1, TCG DICE).
//!
//! [`Authority::authenticate`] proves who signed a report, [`DeviceDemands::judge`] holds one device's signed facts
//! against policy, and [`SetDemands::judge`] what all devices of a guest must be together.

mod authentic;
pub mod files;
mod identity;
mod judge;
mod pem;
mod report;
pub mod rim;
mod spdm;
mod topology;
mod version;

pub use authentic::{AuthenticDevice, Authority, Certificates};
pub use identity::{DiceError, Identity, ueid_decimal};
pub use judge::DeviceDemands;
pub(crate) use judge::device_revocation;
pub use pem::{PEM_MAX_BYTES, PemError};
pub use report::{
    Facts, Feature, GPU_LINKS, GpuFacts, Pdi, Report, ReportError, SWITCH_GPUS, Status, SwitchFacts, field,
};
pub use spdm::{
    Block, Exchange, OPAQUE_MAX_BYTES, REPORT_MAX_BYTES, REQUEST_LEN, SpdmError, VALUE_LEN, asked_nonce,
};
pub use topology::SetDemands;
pub(crate) use topology::note_count;
pub use version::{DriverVersion, VbiosVersion, VersionError};
