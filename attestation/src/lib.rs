//! Appraises hardware evidence: bytes in, verdict out.
//!
//! Evidence, endorsements, reference values, policy and time go in; one [`AttestationResult`] or one
//! [`Refusal`] comes out. The crate has no socket, file, environment, clock or random source, so the
//! broker, the host, the guest and the offline auditor all reach the same verdict from the same bytes.
//! Words are those of RFC 9334.
//!
//! A refusal names every check that failed, with what was expected and what was found:
//!
//! ```
//! use tiltyard_attestation::binding::{HpkePublicKey, KEM_X25519, PresentedKeys};
//! use tiltyard_attestation::evidence::{CpuEvidence, Evidence};
//! use tiltyard_attestation::policy::{GpuFloor, Level, TeeFloor};
//! use tiltyard_attestation::reference::ReferenceValues;
//! use tiltyard_attestation::{
//!     AppraisalPolicy, Backend, Challenge, Collateral, Hex, Role, TrustAnchors, Verifier,
//! };
//!
//! let (tee, gpu) = (TeeFloor { snp: vec![], tdx: None }, GpuFloor::none());
//! let policy = AppraisalPolicy::from_floors(Level::Lab, &[Backend::Snp], &tee, &gpu, &[])?;
//! let reference = ReferenceValues { images: vec![], foreign_anchors: None };
//! let verifier = Verifier::new(TrustAnchors::vendor(), policy, reference);
//!
//! let evidence = Evidence {
//!     runtime: vec![].into(),
//!     config: vec![].into(),
//!     keys: PresentedKeys {
//!         tls_spki: vec![].into(),
//!         hpke: HpkePublicKey { kem: KEM_X25519, public: vec![0; 32].into() },
//!         signing: Hex([0; 32]),
//!     },
//!     cpu: CpuEvidence::Snp { report: vec![0; 1183].into(), certificates: vec![] },
//!     devices: vec![],
//!     boot: None,
//! };
//! let now = 1_795_371_000;
//! let challenge = Challenge::new(Hex([1; 32]), Role::Referee, Hex([2; 32]), None, Hex([3; 16]), now);
//! let refusal = verifier.appraise(challenge, &evidence, &Collateral::none(), now).unwrap_err();
//! assert_eq!(refusal.findings[0].check, "BND-09");
//! assert_eq!(refusal.findings[0].code, "ReportLength");
//! # Ok::<(), tiltyard_attestation::PolicyError>(())
//! ```

mod appraisal;
pub mod archive;
mod bytes;
pub mod chain;
mod challenge;
mod config;
mod cursor;
mod ed25519;
mod trace;
#[cfg(test)]
mod wycheproof;

pub mod binding;
pub mod checks;
pub mod cmw;
pub mod collateral;
pub mod eventlog;
pub mod evidence;
pub mod json;
pub mod measure;
pub mod nvidia;
pub mod policy;
pub mod printable;
pub mod reference;
pub mod result;
pub mod snp;
pub mod tdx;
pub mod token;

pub use appraisal::{
    Conclusion, CpuExhibit, DeviceExhibit, Examination, Exhibits, Facts, GPUS_MAX, Nonce, Refusal,
    SWITCHES_MAX, Verifier,
};
pub use bytes::{Base64Bytes, BytesError, Hex};
pub use chain::{ChainError, ForeignAnchors, ForeignArk, Links, TrustAnchors};
pub use challenge::{CHALLENGE_LIFETIME_S, Challenge, DEVICES_LIFETIME_S, EarlierDevices};
pub use checks::{CheckId, CheckOutcome, Code, Finding, Verdict};
pub use collateral::{Collateral, TdxCollateral};
pub use config::{Backend, ConfigError, Disk, LaunchConfig, Role};
pub use policy::{AppraisalPolicy, PolicyError};
pub use result::{AttestationResult, AttestedKeys};
pub use trace::{Stopped, Submod, Trace};
