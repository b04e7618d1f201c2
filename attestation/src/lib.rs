//! Appraises hardware evidence: bytes in, verdict out.
//!
//! Evidence, endorsements, reference values, policy and time go in; one [`AttestationResult`] or one
//! [`Refusal`] comes out. The crate has no socket, file, environment, clock or random source, so the
//! broker, the host, the guest and the offline auditor all reach the same verdict from the same bytes.
//! Words are those of RFC 9334.

mod bytes;
mod config;

pub mod binding;
pub mod evidence;
pub mod policy;
pub mod reference;
pub mod result;

pub use bytes::{Base64Bytes, BytesError, Hex};
pub use config::{Backend, ConfigError, Disk, LaunchConfig, Role};
