//! Plays the CPU's firmware and its hypervisor for guests that run without TEE hardware: NOT A VENDOR ROOT.
//!
//! A seed gives an ARK, an ASK and one chip's VCEK with AMD's own certificate layout, and
//! [`SimulatedPlatform`] signs attestation reports in the genuine layouts (V2, V3 and V5) under them.
//! The production verifier reads them unmodified, with the foreign anchors of
//! [`SimulatedPlatform::anchors`], and marks every result with
//! [`tiltyard_attestation::result::Anchors::NotVendor`]. Nothing outside this package may link it.
//!
//! - [`report`]: the fields of one report, each settable, so that a test breaks exactly one rule and signs again.
//! - [`certificates`]: the same for the certificates and the revocation list.
//! - [`nvidia`]: the same for GPUs and switches, with their manifests and revocation answers.
//! - [`mint`]: a whole [`tiltyard_attestation::evidence::Evidence`] value for tests.
//! - [`tsm`] and [`control`]: the directory in the shape of configfs-tsm that a guest asks, and the launcher's socket.

pub mod certificates;
pub mod certs_table;
pub mod control;
mod der;
pub mod keys;
pub mod mint;
pub mod nvidia;
pub mod platform;
pub mod report;
pub mod tsm;

pub use platform::{PlatformError, SimulatedPlatform};
pub use report::ReportFields;

/// Printed with everything that this program says.
pub const NOTICE: &str = "NOT A VENDOR ROOT";
