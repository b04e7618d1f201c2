//! Who signed a quote: PCK, quoting enclave, attestation key; and what Intel's collateral says of them (TDX-03 to
//! TDX-08).

use ring::digest::{Context, SHA256};

use super::endorsed::{Basis, Endorsed};
use super::pck::{Pck, PckError};
use super::qe::QeReport;
use super::quote::Quote;
use crate::chain::ec::{Certificate, Curve, EcChain, Form};
use crate::chain::{ChainError, Gap, Links, Revocation, TrustAnchors};
use crate::checks::{CheckId, Code};
use crate::collateral::{Collateral, TdxCollateral};
use crate::policy::AppraisalPolicy;
use crate::trace::{Judged, Stopped, Trace};
use crate::{Base64Bytes, Hex};

/// What stands in a verdict that needs collateral where there is none.
pub(super) const NO_COLLATERAL: &str = "no collateral was given";

/// Names that Intel gives PCK certificates and their two authorities.
const PCK: &str = "Intel SGX PCK Certificate";
const AUTHORITIES: [&str; 2] = ["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"];

/// A quote that a chain to a pinned root vouches for, with what the collateral says of its platform; only
/// [`Authority::authenticate`] makes it.
pub struct AuthenticQuote<'a> {
    pub(super) quote: Quote<'a>,
    pub(super) pck: Pck,
    /// None when no collateral was given.
    pub(super) endorsed: Option<Endorsed>,
    pub(super) revocation: Revocation,
}

/// Who may vouch for a quote, and what is known of them.
pub struct Authority<'a> {
    pub anchors: &'a TrustAnchors,
    pub policy: &'a AppraisalPolicy,
    pub links: &'a Links,
    pub collateral: &'a Collateral,
    /// Unix seconds.
    pub now: u64,
}

/// Why a chain is not a PCK certificate's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PckChainError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("expected {expected}, found another name")]
    Name { expected: &'static str },
    #[error(transparent)]
    Extension(#[from] PckError),
}

impl PckChainError {
    /// The stable name of this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::Chain(error) => error.code(),
            Self::Name { .. } | Self::Extension(_) => Code::PckChain,
        }
    }
}

impl Authority<'_> {
    /// Proves that a pinned root vouches for the platform, the platform for the quoting enclave, that enclave for the
    /// attestation key, and that key for the received header and body.
    ///
    /// Up to the last of these it stops at the first failure, which `trace` then holds. What the collateral says is
    /// recorded whatever it says.
    pub fn authenticate<'a>(
        &self,
        quote: Quote<'a>,
        trace: &mut Trace,
    ) -> Result<AuthenticQuote<'a>, Stopped> {
        trace.gate(CheckId::Tdx03, chain_encoding(&quote, self.anchors))?;
        let certificates = quote.certificates.as_deref().map_err(|_| Stopped)?;
        let proven = self.platform(certificates);
        let judged = match &proven {
            Ok(platform) => self.not_revoked(platform.revocation),
            Err(error) => Judged::fail(error.code(), "a PCK chain to a pinned root", error),
        };
        trace.note(CheckId::Tdx07, judged);
        let Platform { chain, pck, endorsed, revocation } = proven.map_err(|_| Stopped)?;
        if revocation == (Revocation::Unknown { why: Gap::NoList }) {
            trace.lacks("revocation lists of Intel");
        }
        if endorsed.as_ref().is_none_or(|endorsed| !endorsed.of_family) {
            trace.lacks(format_args!("TCB info and QE identity of Intel for FMSPC {}", pck.fmspc));
        }
        trace.gate(CheckId::Tdx05, quoting_enclave(&quote, chain.leaf(), self.links))?;
        // Each quote is signed once: there is nothing to remember about it.
        let point = quote.attestation_point();
        let verified = Curve::P256.verifies_once(&point, quote.signed, quote.signature, Form::Fixed);
        let got = if verified { "verified" } else { "another signature or other bytes" };
        trace.gate(
            CheckId::Tdx04,
            Judged::require(verified, Code::QuoteSignature, "a signature by the attestation key", got),
        )?;
        trace.note(CheckId::Tdx06, self.qe_identity(&quote.qe_report, endorsed.as_ref()));
        trace.note(CheckId::Tdx08, self.tcb_info(endorsed.as_ref()));
        Ok(AuthenticQuote { quote, pck, endorsed, revocation })
    }

    /// Chain and names of the platform's certificate, its facts, and what the collateral says of it.
    fn platform<'c>(&'c self, certificates: &'c [Vec<u8>]) -> Result<Platform<'c>, PckChainError> {
        let given: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
        let chain = EcChain::verify(&given, self.anchors.intel(), self.links)?;
        chain.valid_at(self.now)?;
        let [leaf, authority, _root] = chain.certificates() else {
            return Err(PckChainError::Name { expected: "PCK certificate, authority, root" });
        };
        if leaf.common_name() != Some(PCK) {
            return Err(PckChainError::Name { expected: PCK });
        }
        if !authority.common_name().is_some_and(|name| AUTHORITIES.contains(&name)) {
            return Err(PckChainError::Name { expected: "one of Intel's two PCK authorities" });
        }
        let pck = Pck::read(leaf)?;
        let basis = Basis { anchors: self.anchors, links: self.links, now: self.now };
        let endorsed = Endorsed::of(self.collateral, &pck, basis);
        let revocation = self.revocation(&chain, endorsed.as_ref());
        Ok(Platform { chain, pck, endorsed, revocation })
    }

    /// What the authorities say of the PCK, of the PCK's authority and of the documents' signers.
    ///
    /// Lists are believed by the very certificates that issued what they are about, so their own issuer chains
    /// need no second look.
    fn revocation(&self, chain: &EcChain<'_>, endorsed: Option<&Endorsed>) -> Revocation {
        let [pck, authority, root] = chain.certificates() else {
            return Revocation::Unknown { why: Gap::NoList };
        };
        let of_pck = self.by_all_lists(authority, &[("PCK", pck.serial())], |set| &set.pck_crl);
        let mut by_root = vec![("PCK authority", authority.serial())];
        let signers = endorsed.map(|endorsed| endorsed.signers.as_slice()).unwrap_or_default();
        by_root.extend(signers.iter().map(|serial| ("TCB signer", serial.as_slice())));
        let of_others = self.by_all_lists(root, &by_root, |set| &set.root_ca_crl);
        match (of_pck, of_others) {
            // The root's list is reissued once a year, and its next update alone bounds it: the age of what is
            // known is that of the PCK's list.
            (Revocation::Good { .. }, Revocation::Good { .. }) => of_pck,
            _ => of_pck.and(of_others),
        }
    }

    fn by_all_lists(
        &self,
        issuer: &Certificate<'_>,
        serials: &[(&'static str, &[u8])],
        list: impl Fn(&TdxCollateral) -> &Base64Bytes,
    ) -> Revocation {
        let lists = self.collateral.tdx.iter().map(list);
        lists
            .map(|list| issuer.revocation(serials, std::slice::from_ref(list), self.now, self.links))
            .fold(Revocation::Unknown { why: Gap::NoList }, Revocation::or)
    }

    /// A list that was given and cannot be used is refused at every level; none at all, above `lab`.
    fn not_revoked(&self, revocation: Revocation) -> Judged {
        const EXPECTED: &str = "no certificate revoked, by lists that are not past their next update";
        match revocation {
            Revocation::Unknown { why: Gap::NoList } => self.policy.revocation(revocation),
            Revocation::Unknown { why: Gap::Expired } => {
                Judged::fail(Code::CollateralStale, EXPECTED, revocation)
            }
            Revocation::Unknown { .. } => Judged::fail(Code::RevocationUnknown, EXPECTED, revocation),
            Revocation::Good { .. } | Revocation::Revoked { .. } => self.policy.revocation(revocation),
        }
    }

    /// PCS, "Get TD QE identity": signer and product exactly, attributes and MISCSELECT where the mask is set, a
    /// version that some level knows.
    fn qe_identity(&self, report: &QeReport<'_>, endorsed: Option<&Endorsed>) -> Judged {
        const EXPECTED: &str = "Intel's quoting enclave for TDs, by its signed identity";
        let identity = match endorsed.map(|endorsed| &endorsed.identity) {
            None => return self.policy.absent(Code::QeIdentity, EXPECTED, NO_COLLATERAL),
            Some(Err(error)) => return Judged::fail(Code::QeIdentity, EXPECTED, error),
            Some(Ok(identity)) => identity,
        };
        match identity.differing(report) {
            None => Judged::pass(EXPECTED, format_args!("version {}", report.svn())),
            Some(what) => Judged::fail(Code::QeIdentity, EXPECTED, format_args!("another {what}")),
        }
    }

    fn tcb_info(&self, endorsed: Option<&Endorsed>) -> Judged {
        const EXPECTED: &str = "signed TCB info of this FMSPC and PCE-ID, and a QE identity, in their time";
        let Some(endorsed) = endorsed else {
            return self.policy.absent(Code::CollateralMissing, EXPECTED, NO_COLLATERAL);
        };
        let info = match &endorsed.info {
            Ok(info) => info,
            Err(error) => return Judged::fail(error.code(), EXPECTED, error),
        };
        match endorsed.in_time(self.now) {
            Ok(()) => Judged::pass(EXPECTED, format_args!("FMSPC {}", info.fmspc.0)),
            Err(error) => Judged::fail(error.code(), EXPECTED, error),
        }
    }
}

/// What a proven chain says of its platform.
struct Platform<'c> {
    chain: EcChain<'c>,
    pck: Pck,
    endorsed: Option<Endorsed>,
    revocation: Revocation,
}

impl<'a> AuthenticQuote<'a> {
    /// The quote, whose header and body are now believed.
    pub fn quote(&self) -> &Quote<'a> {
        &self.quote
    }

    /// Family, model and stepping of the platform: which collateral is about it.
    pub fn fmspc(&self) -> Hex<6> {
        self.pck.fmspc
    }
}

/// Three certificates in their one text, the last of them a pinned root.
fn chain_encoding(quote: &Quote<'_>, anchors: &TrustAnchors) -> Judged {
    const EXPECTED: &str = "three certificates in canonical PEM, the last one a pinned root";
    let certificates = match &quote.certificates {
        Ok(certificates) => certificates,
        Err(error) => return Judged::fail(Code::PckChainEncoding, EXPECTED, error),
    };
    let [_pck, _authority, root] = certificates.as_slice() else {
        let got = format!("{} certificates", certificates.len());
        return Judged::fail(Code::PckChainEncoding, EXPECTED, got);
    };
    let pinned = anchors.intel().contains(root);
    Judged::require(pinned, Code::PckChainEncoding, EXPECTED, format_args!("root {}", Hex::sha256(root)))
}

/// The PCK signed the quoting enclave's report, which names attestation key and authentication data.
fn quoting_enclave(quote: &Quote<'_>, pck: &Certificate<'_>, links: &Links) -> Judged {
    // One report serves all quotes of an enclave's life, so this signature is worth remembering.
    let signed = pck.verifies(quote.qe_report.0, quote.qe_signature, Form::Fixed, links);
    let got = if signed { "verified" } else { "another signature or other bytes" };
    Judged::require(signed, Code::QeReportSignature, "a QE report signed by the PCK", got).and_then(|| {
        let mut context = Context::new(&SHA256);
        context.update(quote.attestation_key);
        context.update(quote.qe_auth);
        let mut expected = [0; 64];
        for (byte, digest) in expected.iter_mut().zip(context.finish().as_ref()) {
            *byte = *digest;
        }
        Judged::equal(Code::QeBinding, Hex(expected), quote.qe_report.report_data())
    })
}
