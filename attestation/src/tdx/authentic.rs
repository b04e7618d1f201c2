//! Who signed a quote: PCK, quoting enclave, attestation key (TDX-03..TDX-05, and the chain of TDX-07).

use ring::digest::{Context, SHA256};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use super::pck::{Pck, PckError};
use super::quote::Quote;
use crate::Hex;
use crate::chain::ec::{Certificate, EcChain, Form};
use crate::chain::{ChainError, Links, TrustAnchors};
use crate::checks::{CheckId, Code};
use crate::trace::{Judged, Stopped, Trace};

/// Names that Intel gives PCK certificates and their two authorities.
const PCK: &str = "Intel SGX PCK Certificate";
const AUTHORITIES: [&str; 2] = ["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"];

/// A quote that a chain to a pinned root vouches for; only [`authenticate`] makes it.
pub struct AuthenticQuote<'a> {
    pub(super) quote: &'a Quote<'a>,
    pub(super) pck: Pck,
    pub(super) chain: EcChain<'a>,
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

/// Proves that a pinned root vouches for the platform, the platform for the quoting enclave, that enclave for the
/// attestation key, and that key for the received header and body.
///
/// It stops at the first failure, which `trace` then holds. Revocation is judged later, with the collateral.
pub fn authenticate<'a>(
    quote: &'a Quote<'a>,
    anchors: &'a TrustAnchors,
    links: &Links,
    now: u64,
    trace: &mut Trace,
) -> Result<AuthenticQuote<'a>, Stopped> {
    trace.gate(CheckId::Tdx03, chain_encoding(quote, anchors))?;
    let certificates = quote.certificates.as_deref().map_err(|_| Stopped)?;
    let (chain, pck) = match pck_chain(certificates, anchors, links, now) {
        Ok(proven) => proven,
        Err(error) => {
            pck_verdict(trace, Judged::fail(error.code(), "a PCK chain to a pinned root", error));
            return Err(Stopped);
        }
    };
    trace.gate(CheckId::Tdx05, quoting_enclave(quote, chain.leaf(), links))?;
    // Each quote is signed once: there is nothing to remember about it.
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, quote.attestation_point());
    let verified = key.verify(quote.signed, quote.signature).is_ok();
    trace.gate(
        CheckId::Tdx04,
        Judged::require(
            verified,
            Code::QuoteSignature,
            "a signature by the attestation key",
            if verified { "verified" } else { "another signature or other bytes" },
        ),
    )?;
    Ok(AuthenticQuote { quote, pck, chain })
}

impl<'a> AuthenticQuote<'a> {
    /// The quote, whose header and body are now believed.
    pub fn quote(&self) -> &'a Quote<'a> {
        self.quote
    }

    /// Family, model and stepping of the platform: which collateral is about it.
    pub fn fmspc(&self) -> Hex<6> {
        self.pck.fmspc
    }
}

/// TDX-07, from the chain when that fails, else with what is known about revocation.
pub(super) fn pck_verdict(trace: &mut Trace, judged: Judged) {
    trace.note(CheckId::Tdx07, judged);
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

fn pck_chain<'a>(
    certificates: &'a [Vec<u8>],
    anchors: &'a TrustAnchors,
    links: &Links,
    now: u64,
) -> Result<(EcChain<'a>, Pck), PckChainError> {
    let given: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    let chain = EcChain::verify(&given, anchors.intel(), links)?;
    chain.valid_at(now)?;
    let name = |certificate: Option<&Certificate<'a>>| -> Option<String> {
        certificate.and_then(Certificate::common_name).map(str::to_owned)
    };
    let [leaf, authority] = [0, 1].map(|place| name(chain.certificates().get(place)));
    if leaf.as_deref() != Some(PCK) {
        return Err(PckChainError::Name { expected: PCK });
    }
    if !authority.is_some_and(|name| AUTHORITIES.contains(&name.as_str())) {
        return Err(PckChainError::Name { expected: "one of Intel's two PCK authorities" });
    }
    let pck = Pck::read(chain.leaf())?;
    Ok((chain, pck))
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
