//! The verifier: evidence, collateral, policy, reference values and time in; a result or a refusal out.

mod envelope;

use std::fmt;

use serde::Serialize;

use self::envelope::Bound;
use crate::Backend;
use crate::chain::{Links, TrustAnchors};
use crate::challenge::Challenge;
use crate::checks::{CheckId, CheckOutcome, Code, Finding, Part};
use crate::collateral::Collateral;
use crate::evidence::Evidence;
use crate::nvidia::SetDemands;
use crate::policy::{AppraisalPolicy, Level};
use crate::reference::ReferenceValues;
use crate::result::{Anchors, AttestationResult, AttestedKeys, CpuFacts, SnpFacts};
use crate::snp::{self, Demands, Report};
use crate::trace::{Judged, Stopped, Submod, Trace};

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
    links: Links,
}

impl Verifier {
    /// A verifier; `TrustAnchors::vendor()` is the only set that a charter above `lab` accepts.
    pub fn new(anchors: TrustAnchors, policy: AppraisalPolicy, reference: ReferenceValues) -> Self {
        Self { anchors, policy, reference, links: Links::new() }
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
        let mut trace = Trace::new();
        let bound = self.run(&challenge, evidence, collateral, now, &mut trace);
        match bound {
            Ok(_) => trace.close_finished(),
            Err(Stopped) => trace.close_stopped(),
        }
        let anchors = self.anchors.label();
        let (trace, findings) = trace.into_parts();
        match bound {
            Ok((Bound { runtime, config }, cpu)) if findings.is_empty() => Ok(AttestationResult {
                keys: AttestedKeys::new(evidence.keys.clone()),
                config,
                runtime,
                anchors,
                level: self.policy.level(),
                cpu: CpuFacts::Snp(cpu),
                devices: Vec::new(),
                evidence: evidence.digest(),
                appraised_at: now,
                trace,
            }),
            _ => Err(Refusal { findings, anchors, trace }),
        }
    }

    fn run(
        &self,
        challenge: &Challenge,
        evidence: &Evidence,
        collateral: &Collateral,
        now: u64,
        trace: &mut Trace,
    ) -> Result<(Bound, SnpFacts), Stopped> {
        trace.begin(Submod::Envelope, Part::Envelope);
        trace.begin(Submod::Cpu, Part::Snp);
        for check in [CheckId::Col01, CheckId::Col02, CheckId::Col04] {
            trace.note(check, Judged::not_applicable("collateral was not given as a bundle"));
        }
        let snp = envelope::within_limits(evidence, collateral, trace)?;
        let report = Report::parse(snp.report, trace)?;
        let bound = envelope::bind(challenge, evidence, &report, now, trace)?;
        let authentic = snp::authenticate(report, snp.certificates, &self.anchors, &self.links, now, trace)?;
        trace.note(CheckId::Pol01, self.backend_allowed(bound.config.backend));
        trace.note(CheckId::Pol02, self.anchors_allowed());
        let set = SetDemands {
            policy: &self.policy,
            counts: Some(self.policy.device_count(challenge.role)),
            boot: None,
            earlier: challenge.devices.as_ref(),
            fleet: &[],
        };
        set.judge(&[], trace);
        let demands = Demands {
            links: &self.links,
            policy: &self.policy,
            reference: Some(&self.reference),
            config: Some(&bound.config),
            collateral,
            now,
        };
        let cpu = demands.judge(&authentic, trace);
        Ok((bound, cpu))
    }

    fn backend_allowed(&self, backend: Backend) -> Judged {
        let level = self.policy.level();
        Judged::require(
            backend.satisfies(level),
            Code::BackendBelowCharter,
            format_args!("a backend that a {level:?} charter accepts"),
            format_args!("{backend:?}"),
        )
        .and_then(|| {
            Judged::require(
                self.policy.lists(backend),
                Code::BackendNotListed,
                format_args!("one of {:?}", self.policy.backends()),
                format_args!("{backend:?}"),
            )
        })
    }

    /// Foreign roots only in `lab`, and only the one set that the charter names.
    fn anchors_allowed(&self) -> Judged {
        let label = self.anchors.label();
        let named = self.reference.foreign_anchors;
        let (holds, expected) = match (self.policy.level(), named) {
            (Level::Lab, Some(digest)) => (
                matches!(label, Anchors::Vendor) || label == Anchors::NotVendor(digest),
                format!("vendor roots or anchor set {digest}"),
            ),
            (Level::Lab, None) => (label == Anchors::Vendor, "vendor roots".to_owned()),
            (Level::Standard | Level::Strict, _) => (
                label == Anchors::Vendor && named.is_none(),
                "vendor roots and no other set named".to_owned(),
            ),
        };
        Judged::require(holds, Code::AnchorsNotVendor, expected, label)
    }
}
