//! Who signed a device's report, over which nonce, with which firmware (GPU-01 to GPU-05).

use super::identity::Identity;
use super::pem::{self, PemError};
use super::report::{Report, ReportError};
use super::spdm::Stage;
use crate::Hex;
use crate::chain::ec::{Curve, EcChain, Form};
use crate::chain::{ChainError, Links, TrustAnchors};
use crate::checks::{CheckId, Code};
use crate::evidence::DeviceKind;
use crate::policy::AppraisalPolicy;
use crate::trace::{Judged, Stopped, Trace};

/// Certificates that came with a report, leaf first, or why they could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates(Result<Vec<Vec<u8>>, PemError>);

impl Certificates {
    /// Reads PEM, as drivers and evidence envelopes carry it.
    pub fn from_pem(pem: &[u8]) -> Self {
        Self(pem::certificates(pem))
    }

    /// Takes DER.
    pub fn from_der(certificates: Vec<Vec<u8>>) -> Self {
        Self(Ok(certificates))
    }
}

/// What every device of one appraisal is verified against.
pub struct Authority<'a> {
    pub anchors: &'a TrustAnchors,
    pub policy: &'a AppraisalPolicy,
    pub links: &'a Links,
    /// The nonce that all devices were asked over; none only when evidence is examined without one.
    pub nonce: Option<Hex<32>>,
    /// Unix seconds.
    pub now: u64,
}

/// A device's report that a chain to a pinned root vouches for; only [`Authority::authenticate`] makes it.
pub struct AuthenticDevice<'a> {
    pub(super) report: Report<'a>,
    pub(super) identity: Identity,
    chain: EcChain<'a>,
}

impl<'a> Authority<'a> {
    /// Proves that a pinned root vouches for the key that signed the received bytes, over the nonce asked for.
    ///
    /// Form, then chain and dates, then signature and nonce, then the firmware id; it stops at the first failure,
    /// which `trace` then holds for the part that it was last turned to.
    pub fn authenticate(
        &self,
        kind: DeviceKind,
        report: &'a [u8],
        certificates: &'a Certificates,
        trace: &mut Trace,
    ) -> Result<AuthenticDevice<'a>, Stopped> {
        let report = parse(report, kind, trace)?;
        let (chain, identity) = self.endorse(certificates, trace)?;
        trace.gate(CheckId::Gpu04, self.signed_over_nonce(&report, &chain))?;
        trace.gate(CheckId::Gpu05, same_firmware(&report, &identity, kind))?;
        Ok(AuthenticDevice { report, identity, chain })
    }

    /// Proves that a pinned root vouches for a device's certificate, with or without a report (GPU-03).
    pub(crate) fn endorse(
        &self,
        certificates: &'a Certificates,
        trace: &mut Trace,
    ) -> Result<(EcChain<'a>, Identity), Stopped> {
        let expected = format!("a chain to a pinned root, valid at {}", self.now);
        let verified = match &certificates.0 {
            Err(error) => Err((Code::CertFormat, error.to_string())),
            Ok(ders) => self.chain(ders).map_err(|error| (error.code(), error.to_string())),
        };
        trace.gate(
            CheckId::Gpu03,
            match &verified {
                Ok((chain, _)) => {
                    let count = chain.certificates().len();
                    Judged::pass(expected, format_args!("{count} certificates, {}", self.anchors.label()))
                }
                Err((code, error)) => Judged::fail(*code, expected, error),
            },
        )?;
        verified.map_err(|_| Stopped)
    }

    fn chain(&self, ders: &'a [Vec<u8>]) -> Result<(EcChain<'a>, Identity), ChainError> {
        let given: Vec<&[u8]> = ders.iter().map(Vec::as_slice).collect();
        let chain = EcChain::verify(&given, self.anchors.nvidia_device(), self.links)?;
        chain.valid_at(self.now)?;
        let identity = Identity::read(&chain)?;
        Ok((chain, identity))
    }

    /// P-384 with SHA-384 over all but the last 96 bytes, and the request's nonce (GPU-04).
    fn signed_over_nonce(&self, report: &Report<'_>, chain: &EcChain<'_>) -> Judged {
        let (exchange, leaf) = (report.exchange(), chain.leaf());
        let verified = leaf.curve() == Curve::P384
            // Each report is signed over a nonce of its own: there is nothing to remember about it.
            && leaf.curve().verifies_once(leaf.point(), exchange.signed(), exchange.signature(), Form::Fixed);
        let got = if verified { "verified" } else { "another signature or other bytes" };
        Judged::require(verified, Code::ReportSignature, "a signature by the leaf's P-384 key", got).and_then(
            || match self.nonce {
                Some(nonce) => Judged::equal(Code::NonceMismatch, nonce, exchange.nonce()),
                // An examination without a nonce says so under BND-01.
                None => Judged::pass("a signature by the leaf's P-384 key", "verified"),
            },
        )
    }
}

impl<'a> AuthenticDevice<'a> {
    pub fn report(&self) -> &Report<'a> {
        &self.report
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Leaf first, pinned root last: what revocation answers are about.
    pub(crate) fn chain(&self) -> &EcChain<'a> {
        &self.chain
    }

    /// Kind of device that the report was read as.
    pub fn kind(&self) -> DeviceKind {
        match self.report.facts() {
            super::report::Facts::Gpu(_) => DeviceKind::Gpu,
            super::report::Facts::Switch(_) => DeviceKind::Switch,
        }
    }
}

/// Total length, form, nothing twice (BND-09, GPU-01, GPU-02).
fn parse<'a>(bytes: &'a [u8], kind: DeviceKind, trace: &mut Trace) -> Result<Report<'a>, Stopped> {
    let parsed = Report::parse(bytes, kind);
    let judge = |stage, expected: &str, got: &dyn std::fmt::Display| match &parsed {
        Err(error) if error.stage() == stage => Judged::fail(error.code(), expected, error),
        _ => Judged::pass(expected, got),
    };
    let len = format!("{} bytes", bytes.len());
    trace.exact_length(judge(Stage::Length, "the length that the report states", &len))?;
    trace.gate(CheckId::Gpu01, judge(Stage::Form, "SPDM 1.1 measurements and fields of this kind", &"so"))?;
    trace.gate(CheckId::Gpu02, judge(Stage::Once, "no index and no type twice", &"none"))?;
    parsed.map_err(|_: ReportError| Stopped)
}

/// The report's firmware id is the leaf's (GPU-05); whether it must have one is GPU-06.
fn same_firmware(report: &Report<'_>, identity: &Identity, kind: DeviceKind) -> Judged {
    match (report.facts().fwid(), identity.fwid()) {
        (Some(got), Ok(Some(expected))) => Judged::equal(Code::FwidMismatch, expected, got),
        (Some(got), Ok(None)) => Judged::fail(Code::FwidMismatch, "a firmware id in the certificate", got),
        (_, Err(error)) => Judged::fail(Code::FwidMismatch, "a firmware id in the certificate", error),
        (None, Ok(_)) if kind == DeviceKind::Switch => {
            Judged::not_applicable("a switch report carries no firmware id")
        }
        (None, Ok(_)) => Judged::not_shown("the report carries no firmware id"),
    }
}
