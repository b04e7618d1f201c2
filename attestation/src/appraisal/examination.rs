//! Evidence looked at by itself: the same checks as an appraisal, without a charter, a challenge or attested keys.
//!
//! An examination releases nothing: it gives no [`crate::AttestationResult`], and what it can't know it says.

use serde::Serialize;

use super::envelope::{self, GPUS_MAX, SWITCHES_MAX};
use super::{Verifier, judge_backend};
use crate::checks::{CheckOutcome, Code, Finding, Part, Verdict};
use crate::collateral::{Collateral, Source};
use crate::evidence::DeviceKind;
use crate::nvidia::{self, rim};
use crate::policy::{Architecture, Level};
use crate::result::{Anchors, DeviceFacts, SnpFacts, TdxFacts};
use crate::snp::{self, Report};
use crate::tdx;
use crate::trace::{Judged, Stopped, Submod, Trace, Vendor};
use crate::{Base64Bytes, Hex};

/// What is laid before the verifier, in the vendors' own formats.
#[derive(Debug, Default)]
pub struct Exhibits {
    pub cpu: Option<CpuExhibit>,
    pub devices: Vec<DeviceExhibit>,
    /// What the evidence was asked with; none shows no freshness.
    pub nonce: Option<Nonce>,
    /// What devices were asked with, where that is not `nonce`: a guest with a CPU's evidence derives it
    /// ([`crate::binding::Runtime::device_nonce`]).
    pub device_nonce: Option<Hex<32>>,
}

/// A CPU's evidence, or the endorsement of one.
#[derive(Debug)]
pub enum CpuExhibit {
    /// A report with its certificates, DER, any order; without a report only the chain is looked at.
    Snp { report: Option<Vec<u8>>, certificates: Vec<Base64Bytes> },
    /// A quote, and the event log of the same boot.
    Tdx { quote: Vec<u8>, event_log: Option<Vec<u8>> },
}

impl CpuExhibit {
    /// Whether it holds a statement of a CPU, and if so whether that is a quote.
    fn statement(&self) -> Option<bool> {
        match self {
            Self::Snp { report, .. } => report.as_ref().map(|_| false),
            Self::Tdx { .. } => Some(true),
        }
    }
}

/// A device's evidence, or the certificates of one.
#[derive(Debug)]
pub struct DeviceExhibit {
    pub kind: DeviceKind,
    /// SPDM request and response; without it only the chain is looked at.
    pub report: Option<Vec<u8>>,
    /// What its file says that it was asked with, where it says so.
    pub nonce: Option<Hex<32>>,
    /// What its file says that it is, where it says so.
    pub architecture: Option<Architecture>,
    pub certificates: nvidia::Certificates,
}

/// What the evidence was asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonce {
    /// A device's nonce; on a CPU the first half of REPORT_DATA, the other half zero.
    Half(Hex<32>),
    /// The whole of a CPU's REPORT_DATA.
    Whole(Hex<64>),
}

/// What was found: every check that had an object, and the facts that were shown.
#[derive(Debug, Serialize)]
pub struct Examination {
    pub conclusion: Conclusion,
    pub level: Level,
    pub anchors: Anchors,
    /// Unix seconds as of which everything was held.
    pub at: u64,
    pub facts: Facts,
    pub findings: Vec<Finding>,
    pub checks: Vec<CheckOutcome>,
}

/// What an examination comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// No check failed. Whether a charter would accept the evidence is another question: see what was not shown.
    NothingContradicted,
    Refused,
}

/// Facts of what was authentic.
#[derive(Debug, Default, Serialize)]
pub struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snp: Option<SnpFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tdx: Option<TdxFacts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceFacts>,
}

impl Examination {
    /// Checks with this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|row| row.verdict == verdict).count()
    }
}

impl Verifier {
    /// Looks at evidence by itself, as of `now` (Unix seconds): each part up to its first failed gate, and then on to
    /// the next part.
    pub fn examine(&self, exhibits: &Exhibits, collateral: &Collateral, now: u64) -> Examination {
        let mut trace = Trace::new();
        let mut facts = Facts::default();
        let of_kind = |kind| exhibits.devices.iter().filter(|exhibit| exhibit.kind == kind).count();
        let devices = [
            ("GPUs", GPUS_MAX, of_kind(DeviceKind::Gpu)),
            ("switches", SWITCHES_MAX, of_kind(DeviceKind::Switch)),
        ];
        let over = collateral.sizes().into_iter().chain(devices).find(|&(_, limit, got)| got > limit);
        let sound = trace.within_limits(match over {
            Some((what, limit, got)) => {
                Judged::fail(Code::TooLarge, format_args!("{what} at most {limit}"), got)
            }
            None => Judged::pass("devices and collateral within their limits", "within them"),
        });
        if sound.is_ok() {
            self.judge_anchors(&mut trace);
            collateral.judge(&self.policy, now, &mut trace);
            let device_nonce = exhibits.device_nonce.or(match exhibits.nonce {
                Some(Nonce::Half(nonce)) => Some(nonce),
                Some(Nonce::Whole(_)) | None => None,
            });
            let desk = Desk { verifier: self, collateral, nonce: exhibits.nonce, device_nonce, now };
            if let Some(cpu) = &exhibits.cpu {
                // A part that stopped has its finding; the others are looked at all the same.
                let _ = desk.cpu(cpu, &mut facts, &mut trace);
                if let Some(quote) = cpu.statement() {
                    judge_backend(self.kind_allowed(quote), &mut trace);
                }
            }
            desk.devices(exhibits, &mut facts, &mut trace);
            collateral.judge_complete(&mut trace);
            trace.close_stopped();
        }
        let (checks, findings) = trace.into_parts();
        let conclusion = match findings.is_empty() {
            true => Conclusion::NothingContradicted,
            false => Conclusion::Refused,
        };
        let (level, anchors) = (self.policy.level(), self.anchors.label());
        Examination { conclusion, level, anchors, at: now, facts, findings, checks }
    }
}

/// One examination under way.
struct Desk<'v> {
    verifier: &'v Verifier,
    collateral: &'v Collateral,
    nonce: Option<Nonce>,
    device_nonce: Option<Hex<32>>,
    now: u64,
}

impl Desk<'_> {
    fn cpu(&self, exhibit: &CpuExhibit, facts: &mut Facts, trace: &mut Trace) -> Result<(), Stopped> {
        let Verifier { anchors, policy, links, .. } = self.verifier;
        let (reference, now) = (self.verifier.reference.as_ref(), self.now);
        match exhibit {
            CpuExhibit::Snp { report: None, certificates } => {
                trace.turn_to(Submod::Cpu);
                let (chain, _) = snp::endorse(certificates, anchors, links, now, trace)?;
                let revocation = chain.revocation(&self.collateral.snp_crls, now, links);
                trace.revocation(Vendor::Amd, revocation, policy, now);
                Ok(())
            }
            CpuExhibit::Snp { report: Some(report), certificates } => {
                trace.begin(Submod::Cpu, Part::Snp);
                let report = Report::parse(report, trace)?;
                let known;
                let certificates = if certificates.is_empty() {
                    known = snp::chain_of(&report, &self.collateral.snp_certificates, now, trace);
                    &known
                } else {
                    certificates
                };
                let authentic = snp::authenticate(report, certificates, anchors, links, now, trace)?;
                self.same_report_data(report.report_data(), trace);
                let collateral = self.collateral;
                let demands = snp::Demands { policy, reference, config: None, links, collateral, now };
                facts.snp = Some(demands.judge(&authentic, trace));
                Ok(())
            }
            CpuExhibit::Tdx { quote, event_log } => {
                trace.begin(Submod::Cpu, Part::Tdx);
                let quote = tdx::Quote::parse(quote, trace)?;
                let report_data = quote.report_data();
                let authority = tdx::Authority { anchors, policy, links, collateral: self.collateral, now };
                let authentic = authority.authenticate(quote, trace)?;
                self.same_report_data(report_data, trace);
                let event_log = event_log.as_deref();
                let demands =
                    tdx::Demands { policy, reference, config: None, event_log, accepted_evaluation: 0, now };
                facts.tdx = Some(demands.judge(&authentic, trace));
                Ok(())
            }
        }
    }

    /// A CPU's report data is what it was asked with, to the last byte.
    fn same_report_data(&self, got: Hex<64>, trace: &mut Trace) {
        let judged = match self.nonce {
            Some(Nonce::Whole(expected)) => Judged::equal(Code::NonceMismatch, expected, got),
            Some(Nonce::Half(nonce)) => {
                let mut expected = [0; 64];
                expected[..32].copy_from_slice(nonce.bytes());
                Judged::equal(Code::NonceMismatch, Hex(expected), got)
            }
            None => self.no_nonce(),
        };
        // The finding stands in the trace; the remaining checks run all the same.
        let _ = trace.gate_nonce(judged);
    }

    fn no_nonce(&self) -> Judged {
        self.verifier.policy.absent(Code::NonceMismatch, "the nonce asked with", "no nonce was given")
    }

    fn devices(&self, exhibits: &Exhibits, facts: &mut Facts, trace: &mut Trace) {
        let Verifier { anchors, policy, links, .. } = self.verifier;
        let (collateral, now) = (self.collateral, self.now);
        let library = rim::Library::open(collateral, anchors, links, now);
        let Exhibits { cpu, devices: exhibits, .. } = exhibits;
        if exhibits.is_empty() {
            // A bundle holds manifests of devices that this evidence has nothing to do with.
            if cpu.is_none() || matches!(collateral.source, Source::Loose) {
                library.alone(policy, now, trace);
            }
            self.no_devices(cpu.as_ref(), trace);
            return;
        }
        if exhibits.iter().all(|exhibit| exhibit.report.is_none()) {
            // Certificates are no device.
            self.no_devices(cpu.as_ref(), trace);
        }
        self.tie(cpu.as_ref(), exhibits, trace);
        let nonce = self.device_nonce;
        // A CPU that nobody gave a nonce for has said it already. One whose report data was given says nothing of
        // devices, which were asked with something else.
        let said = self.nonce.is_none() && trace.outcomes().iter().any(|row| row.check == "BND-01");
        if nonce.is_none() && !said {
            let _ = trace.gate_nonce(match self.nonce {
                Some(_) => {
                    let (expected, got) =
                        ("the nonce that devices were asked with", "no nonce of devices was given");
                    policy.absent(Code::NonceMismatch, expected, got)
                }
                None => self.no_nonce(),
            });
        }
        let mut authentic = Vec::new();
        let (mut gpus, mut switches) = (0u8, 0u8);
        for exhibit in exhibits {
            let count = match exhibit.kind {
                DeviceKind::Gpu => &mut gpus,
                DeviceKind::Switch => &mut switches,
            };
            let index = *count;
            *count = count.saturating_add(1);
            // What a file says that it was asked with must be true; that it is new, only the caller's nonce shows.
            let authority = nvidia::Authority { anchors, policy, links, nonce: nonce.or(exhibit.nonce), now };
            let Some(report) = &exhibit.report else {
                trace.turn_to(exhibit.kind.submod(index));
                // What failed stands in the trace.
                if let Ok((chain, _)) = authority.endorse(&exhibit.certificates, trace) {
                    let revocation = nvidia::device_revocation(&chain, collateral, links, now);
                    trace.revocation(Vendor::Nvidia, revocation, policy, now);
                }
                continue;
            };
            trace.begin(exhibit.kind.submod(index), exhibit.kind.part());
            if let Ok(device) = authority.authenticate(exhibit.kind, report, &exhibit.certificates, trace) {
                let demands = nvidia::DeviceDemands {
                    named: exhibit.architecture,
                    policy,
                    index,
                    state: None,
                    library: &library,
                    collateral,
                    links,
                    now,
                };
                facts.devices.extend(demands.judge(&device, trace));
                authentic.push(device);
            }
        }
        if matches!(collateral.source, Source::Loose) {
            library.left_over(trace);
        }
        // A device that was refused has its finding; it is not missing too.
        if !authentic.is_empty() {
            self.set(&authentic, trace);
        }
    }

    /// What ties parts together: the devices to one nonce, and the CPU's statement to the devices.
    fn tie(&self, cpu: Option<&CpuExhibit>, exhibits: &[DeviceExhibit], trace: &mut Trace) {
        let reports: Vec<&[u8]> = exhibits.iter().filter_map(|exhibit| exhibit.report.as_deref()).collect();
        // The findings stand in the trace; each part is looked at all the same.
        if reports.len() > 1 {
            let _ = envelope::asked_alike(reports.iter().copied(), trace);
        }
        if cpu.and_then(CpuExhibit::statement).is_some() && !reports.is_empty() {
            let (expected, got) = (
                "the CPU's statement over the evidence of its devices",
                "files without the runtime document that would tie them together",
            );
            let _ =
                envelope::covered(self.verifier.policy.absent(Code::CompositeBinding, expected, got), trace);
        }
    }

    /// Devices that the policy wants of a guest and that were all withheld are missed like a few of them.
    fn no_devices(&self, cpu: Option<&CpuExhibit>, trace: &mut Trace) {
        let guest = cpu.and_then(CpuExhibit::statement).is_some();
        let wanted = self.verifier.policy.examined_count().filter(|&counts| counts != (0, 0));
        if let Some((gpus, switches)) = wanted.filter(|_| guest) {
            let expected = format_args!("{gpus} GPUs and {switches} switches");
            let judged = Judged::fail(Code::TopologyMismatch, expected, "no device was given");
            nvidia::note_count(judged, trace);
        }
    }

    fn set(&self, authentic: &[nvidia::AuthenticDevice<'_>], trace: &mut Trace) {
        let policy = &self.verifier.policy;
        let counts = policy.examined_count();
        let (launched, boot, earlier) = (None, None, None);
        let set = nvidia::SetDemands { policy, counts, launched, boot, earlier, fleet: &[] };
        set.judge(authentic, trace);
    }
}
