//! Appraises hardware evidence: bytes in, verdict out.
//!
//! Evidence, endorsements, reference values, policy and time go in; one [`AttestationResult`] or one
//! [`Refusal`] comes out. The crate has no socket, file, environment, clock or random source, so the
//! broker, the host, the guest and the offline auditor all reach the same verdict from the same bytes.
//! Words are those of RFC 9334.

mod appraisal;
mod bytes;
pub mod chain;
mod challenge;
mod config;
mod trace;

pub mod binding;
pub mod checks;
pub mod evidence;
pub mod measure;
pub mod policy;
pub mod reference;
pub mod result;
pub mod snp;

pub use appraisal::{CRL_MAX_BYTES, CRLS_MAX, Collateral, Refusal, Verifier};
pub use bytes::{Base64Bytes, BytesError, Hex};
pub use chain::{ChainError, ForeignAnchors, ForeignArk, TrustAnchors};
pub use challenge::{CHALLENGE_LIFETIME_S, Challenge};
pub use checks::{CheckId, CheckOutcome, Code, Finding, Verdict};
pub use config::{Backend, ConfigError, Disk, LaunchConfig, Role};
pub use policy::{AppraisalPolicy, PolicyError};
pub use result::{AttestationResult, AttestedKeys};
pub use trace::{Stopped, Trace};
