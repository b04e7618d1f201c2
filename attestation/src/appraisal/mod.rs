//! The verifier: evidence, collateral, policy, reference values and time in; a result or a refusal out.

mod composite;
mod envelope;
mod examination;

use std::fmt;

use serde::Serialize;

pub use self::envelope::{GPUS_MAX, SWITCHES_MAX};
pub use self::examination::{Conclusion, CpuExhibit, DeviceExhibit, Examination, Exhibits, Facts, Nonce};

use self::composite::{Judge, Statement};
use self::envelope::{Bound, DEVICES_MAX};
use crate::Backend;
use crate::chain::{Links, TrustAnchors};
use crate::challenge::Challenge;
use crate::checks::{CheckId, CheckOutcome, Code, Finding, Part};
use crate::collateral::Collateral;
use crate::evidence::{CpuEvidence, Evidence};
use crate::nvidia::{Certificates, SetDemands};
use crate::policy::{AppraisalPolicy, Level, PolicyDocument, PolicyError};
use crate::reference::ReferenceValues;
use crate::result::{Anchors, AttestationResult, AttestedKeys, CpuFacts, DeviceFacts};
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
    /// None only when evidence is examined without reference values; an appraisal then refuses.
    reference: Option<ReferenceValues>,
    links: Links,
}

impl Verifier {
    /// A verifier; `TrustAnchors::vendor()` is the only set that a charter above `lab` accepts.
    pub fn new(anchors: TrustAnchors, policy: AppraisalPolicy, reference: ReferenceValues) -> Self {
        Self { anchors, policy, reference: Some(reference), links: Links::new() }
    }

    /// What it appraises under.
    pub fn policy(&self) -> &AppraisalPolicy {
        &self.policy
    }

    /// A verifier for looking at evidence by itself, as a policy document says ([`Verifier::examine`]).
    pub fn for_examination(anchors: TrustAnchors, document: &PolicyDocument) -> Result<Self, PolicyError> {
        let (policy, reference) = (document.policy()?, document.reference.clone());
        Ok(Self { anchors, policy, reference, links: Links::new() })
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
        collateral.judge_complete(&mut trace);
        match bound {
            Ok(_) => trace.close_finished(),
            Err(Stopped) => trace.close_stopped(),
        }
        let anchors = self.anchors.label();
        let (trace, findings) = trace.into_parts();
        match bound {
            Ok(Shown { bound: Bound { runtime, config, .. }, cpu, devices }) if findings.is_empty() => {
                Ok(AttestationResult {
                    keys: AttestedKeys::new(evidence.keys.clone()),
                    config,
                    runtime,
                    anchors,
                    level: self.policy.level(),
                    cpu,
                    devices,
                    evidence: evidence.digest(),
                    appraised_at: now,
                    trace,
                })
            }
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
    ) -> Result<Shown, Stopped> {
        announce(evidence, trace);
        collateral.judge(&self.policy, now, trace);
        envelope::within_limits(evidence, collateral, trace)?;
        trace.turn_to(Submod::Cpu);
        let statement = Statement::parse(&evidence.cpu, trace)?;
        let known_chain = statement.known_chain(collateral, now, trace);
        let statement = statement.or_chain(&known_chain);
        let bound = envelope::bind(challenge, evidence, &statement, now, trace)?;
        let judge = Judge { verifier: self, collateral, challenge, bound: &bound, now };
        let authentic = judge.authenticate(statement, trace)?;
        let certificates: Vec<Certificates> =
            evidence.devices.iter().map(|device| Certificates::from_pem(&device.chain.0)).collect();
        let devices = judge.authenticate_devices(&evidence.devices, &certificates, trace)?;
        let quote = matches!(evidence.cpu, CpuEvidence::Tdx { .. });
        judge_backend(self.backend_allowed(bound.config.backend, quote), trace);
        self.judge_anchors(trace);
        trace.turn_to(Submod::Cpu);
        let cpu = judge.cpu(&authentic, trace);
        let device_facts = judge.devices(&evidence.devices, &devices, trace);
        let set = SetDemands {
            policy: &self.policy,
            counts: Some(self.policy.device_count(challenge.role)),
            launched: Some(bound.config.distinct_gpus()),
            boot: bound.boot.as_ref(),
            earlier: challenge.devices.as_ref(),
            fleet: &challenge.fleet,
        };
        set.judge(&devices, trace);
        Ok(Shown { bound, cpu, devices: device_facts })
    }

    /// The kind of evidence by itself is one of a listed backend: a backend without a confidential machine stands for
    /// either kind.
    fn kind_allowed(&self, quote: bool) -> Judged {
        let (own, got) = if quote { (Backend::Tdx, "a TDX quote") } else { (Backend::Snp, "an SNP report") };
        let holds =
            [own, Backend::Process, Backend::Tcg, Backend::Kvm].iter().any(|&one| self.policy.lists(one));
        let expected = format!("evidence of one of {:?}", self.policy.backends());
        let stands_for =
            if holds && !self.policy.lists(own) { ", as a stand-in for one of them" } else { "" };
        Judged::require(holds, Code::BackendNotListed, expected, format_args!("{got}{stands_for}"))
    }

    /// POL-02, for appraisals and examinations alike.
    fn judge_anchors(&self, trace: &mut Trace) {
        trace.note(CheckId::Pol02, self.anchors_allowed());
    }

    /// A charter that has no floor for TDX accepts no quote, whatever backend it stands in for.
    fn backend_allowed(&self, backend: Backend, quote: bool) -> Judged {
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
        .and_then(|| {
            Judged::require(
                !quote || self.policy.allows_tdx(),
                Code::BackendNotListed,
                "a charter with a floor for TDX",
                "a TDX quote",
            )
        })
    }

    /// Foreign roots only in `lab`, and only the one set that the charter names; whoever examines evidence names it by
    /// giving it.
    fn anchors_allowed(&self) -> Judged {
        let label = self.anchors.label();
        let named = self.reference.as_ref().and_then(|reference| reference.foreign_anchors);
        let (holds, expected) = match (self.policy.level(), named) {
            (Level::Lab, None) if self.policy.is_examination() => (true, "any set of roots".to_owned()),
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

/// What an appraisal that did not stop has shown.
struct Shown {
    bound: Bound,
    cpu: CpuFacts,
    devices: Vec<DeviceFacts>,
}

/// POL-01, for appraisals and examinations alike.
fn judge_backend(judged: Judged, trace: &mut Trace) {
    trace.note(CheckId::Pol01, judged);
}

/// Every part of the evidence, so that no check of any part can be left out unseen.
fn announce(evidence: &Evidence, trace: &mut Trace) {
    trace.begin(Submod::Envelope, Part::Envelope);
    for device in evidence.devices.iter().take(DEVICES_MAX) {
        trace.begin(device.kind.submod(device.index), device.kind.part());
    }
    let part = match &evidence.cpu {
        CpuEvidence::Snp { .. } => Part::Snp,
        CpuEvidence::Tdx { .. } => Part::Tdx,
    };
    trace.begin(Submod::Cpu, part);
}
