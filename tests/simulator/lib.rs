//! Plays the CPU's firmware and its hypervisor for guests that run without TEE hardware: NOT A VENDOR ROOT.
//!
//! A seed gives roots of its own with everything under them in the vendors' layouts. The production verifier reads
//! what they sign unmodified, with foreign anchors such as [`SimulatedPlatform::anchors`], and marks every result with
//! [`tiltyard_attestation::result::Anchors::NotVendor`]. Nothing outside this package may link it.
//!
//! - [`amd`]: SEV-SNP reports V2 to V5 of Milan, Genoa and Turin, under VCEK or VLEK.
//! - [`intel`]: TDX quotes v4 and v5 with their whole collateral and event logs.
//! - [`nvidia`]: GPUs and switches with their manifests and revocation answers.
//! - [`hostile`]: named attacks on CPU evidence, each with the one check and code that must refuse it.
//! - [`mint`]: a whole [`tiltyard_attestation::evidence::Evidence`] value for tests.
//! - [`files`]: the same evidence as files for `tiltyard-audit appraise`.
//! - [`tsm`] and [`control`]: the directory in the shape of configfs-tsm that a guest asks, and the launcher's socket.

pub mod amd;
pub mod control;
mod der;
pub mod files;
pub mod hostile;
pub mod intel;
pub mod mint;
pub mod nvidia;
pub mod tsm;
pub mod x509;

pub use amd::platform::{PlatformError, SimulatedPlatform};
pub use amd::report::ReportFields;
pub use amd::{certificates, certs_table, keys, platform, report};

/// Printed with everything that this program says.
pub const NOTICE: &str = "NOT A VENDOR ROOT";
