//! The parts of composite evidence, each through its own module, under what the envelope bound.

use super::Verifier;
use super::envelope::Bound;
use crate::binding::Runtime;
use crate::challenge::Challenge;
use crate::checks::Code;
use crate::collateral::Collateral;
use crate::config::LaunchConfig;
use crate::evidence::{CpuEvidence, DeviceEvidence, DeviceKind};
use crate::nvidia::{AuthenticDevice, Authority, Certificates, DeviceDemands, rim};
use crate::result::{CpuFacts, DeviceFacts};
use crate::snp::{self, AuthenticReport, Report};
use crate::tdx::{self, AuthenticQuote, Quote};
use crate::trace::{Judged, Stopped, Trace};
use crate::{Base64Bytes, Hex};

/// The CPU's evidence whose structure is sound; nothing in it is believed yet.
pub(super) enum Statement<'a> {
    Snp { report: Report<'a>, certificates: &'a [Base64Bytes] },
    Tdx { quote: Quote<'a>, event_log: &'a [u8] },
}

/// The CPU's evidence once a pinned root vouches for it.
pub(super) enum AuthenticStatement<'a> {
    Snp(Box<AuthenticReport<'a>>),
    Tdx { quote: Box<AuthenticQuote<'a>>, event_log: &'a [u8] },
}

impl<'a> Statement<'a> {
    pub(super) fn parse(cpu: &'a CpuEvidence, trace: &mut Trace) -> Result<Self, Stopped> {
        Ok(match cpu {
            CpuEvidence::Snp { report, certificates } => {
                Self::Snp { report: Report::parse(&report.0, trace)?, certificates }
            }
            CpuEvidence::Tdx { quote, event_log } => {
                Self::Tdx { quote: Quote::parse(&quote.0, trace)?, event_log: &event_log.0 }
            }
        })
    }

    /// The chain that the verifier has of its own, for a report that came without one; else empty.
    pub(super) fn known_chain(
        &self,
        collateral: &Collateral,
        now: u64,
        trace: &mut Trace,
    ) -> Vec<Base64Bytes> {
        match self {
            Self::Snp { report, certificates: [] } => {
                snp::chain_of(report, &collateral.snp_certificates, now, trace)
            }
            Self::Snp { .. } | Self::Tdx { .. } => Vec::new(),
        }
    }

    /// Takes the place of a chain that did not come.
    pub(super) fn or_chain(self, known: &'a [Base64Bytes]) -> Self {
        match self {
            Self::Snp { report, certificates: [] } => Self::Snp { report, certificates: known },
            other => other,
        }
    }

    pub(super) fn report_data(&self) -> Hex<64> {
        match self {
            Self::Snp { report, .. } => report.report_data(),
            Self::Tdx { quote, .. } => quote.report_data(),
        }
    }

    /// HOST_DATA or MRCONFIGID is the digest of this launch configuration (BND-08).
    pub(super) fn names(&self, config: &[u8]) -> Judged {
        match self {
            Self::Snp { report, .. } => {
                Judged::equal(Code::HostDataMismatch, LaunchConfig::d256(config), report.host_data())
            }
            Self::Tdx { quote, .. } => {
                Judged::equal(Code::ConfigIdMismatch, LaunchConfig::d384(config), quote.mrconfigid())
            }
        }
    }

    /// Kind of evidence, as backends name it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Snp { .. } => "an SNP report",
            Self::Tdx { .. } => "a TDX quote",
        }
    }
}

/// One composite appraisal past its binding.
pub(super) struct Judge<'v> {
    pub(super) verifier: &'v Verifier,
    pub(super) collateral: &'v Collateral,
    pub(super) challenge: &'v Challenge,
    pub(super) bound: &'v Bound,
    /// Unix seconds.
    pub(super) now: u64,
}

impl<'v> Judge<'v> {
    pub(super) fn authenticate<'a>(
        &self,
        statement: Statement<'a>,
        trace: &mut Trace,
    ) -> Result<AuthenticStatement<'a>, Stopped>
    where
        'v: 'a,
    {
        let Verifier { anchors, policy, links, .. } = self.verifier;
        Ok(match statement {
            Statement::Snp { report, certificates } => AuthenticStatement::Snp(Box::new(snp::authenticate(
                report,
                certificates,
                anchors,
                links,
                self.now,
                trace,
            )?)),
            Statement::Tdx { quote, event_log } => {
                let authority =
                    tdx::Authority { anchors, policy, links, collateral: self.collateral, now: self.now };
                AuthenticStatement::Tdx { quote: Box::new(authority.authenticate(quote, trace)?), event_log }
            }
        })
    }

    pub(super) fn cpu(&self, authentic: &AuthenticStatement<'_>, trace: &mut Trace) -> CpuFacts {
        let Verifier { policy, links, .. } = self.verifier;
        let (reference, config) = (self.verifier.reference.as_ref(), Some(&self.bound.config));
        let now = self.now;
        match authentic {
            AuthenticStatement::Snp(report) => {
                let collateral = self.collateral;
                let demands = snp::Demands { policy, reference, config, links, collateral, now };
                CpuFacts::Snp(Box::new(demands.judge(report, trace)))
            }
            AuthenticStatement::Tdx { quote, event_log } => {
                let demands = tdx::Demands {
                    policy,
                    reference,
                    config,
                    event_log: Some(event_log),
                    accepted_evaluation: self.challenge.tcb_evaluation,
                    now,
                };
                CpuFacts::Tdx(Box::new(demands.judge(quote, trace)))
            }
        }
    }

    /// Every device answers the nonce that follows from the challenge (GPU-01 to GPU-05).
    pub(super) fn authenticate_devices<'a>(
        &self,
        devices: &'a [DeviceEvidence],
        certificates: &'a [Certificates],
        trace: &mut Trace,
    ) -> Result<Vec<AuthenticDevice<'a>>, Stopped>
    where
        'v: 'a,
    {
        let Verifier { anchors, policy, links, .. } = self.verifier;
        let Runtime { nonce, tee_pubkey, .. } = &self.bound.runtime;
        let nonce = Some(Runtime::device_nonce(nonce, tee_pubkey));
        let authority = Authority { anchors, policy, links, nonce, now: self.now };
        let pairs = devices.iter().zip(certificates);
        pairs
            .map(|(device, certificates)| {
                trace.turn_to(device.kind.submod(device.index));
                authority.authenticate(device.kind, &device.report.0, certificates, trace)
            })
            .collect()
    }

    pub(super) fn devices(
        &self,
        evidence: &[DeviceEvidence],
        devices: &[AuthenticDevice<'_>],
        trace: &mut Trace,
    ) -> Vec<DeviceFacts> {
        if devices.is_empty() {
            return Vec::new();
        }
        let Verifier { anchors, policy, links, .. } = self.verifier;
        let (collateral, now) = (self.collateral, self.now);
        let library = rim::Library::open(collateral, anchors, links, now);
        let states = self.bound.boot.as_ref().map_or(&[][..], |boot| &boot.gpus);
        let judged = evidence.iter().zip(devices).map(|(device, authentic)| {
            trace.turn_to(device.kind.submod(device.index));
            let state = match device.kind {
                DeviceKind::Gpu => states.get(usize::from(device.index)),
                DeviceKind::Switch => None,
            };
            let demands = DeviceDemands {
                named: None,
                policy,
                index: device.index,
                state,
                library: &library,
                collateral,
                links,
                now,
            };
            demands.judge(authentic, trace)
        });
        // A device without facts has its finding, and there is no result.
        judged.collect::<Vec<_>>().into_iter().flatten().collect()
    }
}
