//! Whose manifest it is: one that a chain to the pinned root signed (RIM-01 to RIM-04).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::swid::Manifest;
use super::text::Text;
use super::xmldsig::Signature;
use super::{RimError, tree};
use crate::Hex;
use crate::chain::ec::EcChain;
use crate::chain::{Links, Revocation, TrustAnchors, chain_revocation};
use crate::checks::{CheckId, Code};
use crate::collateral::Collateral;
use crate::trace::{Judged, Trace};

/// Rules that a manifest goes through, each resting on the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Form,
    Algorithms,
    Signature,
    Chain,
}

const STEPS: [(Step, CheckId, &str); 4] = [
    (Step::Form, CheckId::Rim01, "one SWID document, each measurement once"),
    (Step::Algorithms, CheckId::Rim02, "one enveloped signature, C14N 1.1, SHA-384, ECDSA P-384"),
    (Step::Signature, CheckId::Rim03, "digest and signature of the tree that is read"),
    (Step::Chain, CheckId::Rim04, "a signer whose chain is valid and ends in the pinned root"),
];

/// A manifest that a chain to the pinned root vouches for; only [`AuthenticRim::open`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticRim {
    manifest: Arc<Manifest>,
    signer_sha256: Hex<32>,
    revocation: Revocation,
}

/// One document of the collateral: read as far as it goes, once, for all devices.
#[derive(Debug)]
pub(super) struct Opened {
    /// What it says, whoever says it; none when it can't be read.
    pub(super) claimed: Option<Arc<Manifest>>,
    pub(super) authentic: Result<AuthenticRim, RimError>,
    /// Whether a device was compared with it.
    pub(super) used: AtomicBool,
}

/// A document whose digest and signature hold under the certificates that it carries: what follows from its bytes
/// alone. Whose certificates those are, and whether they are valid now, is asked anew each time.
#[derive(Debug)]
pub(crate) struct Signed {
    manifest: Arc<Manifest>,
    /// The signer's first, DER.
    certificates: Vec<Vec<u8>>,
}

impl Signed {
    /// Or why not, with what the document says if it can be read.
    fn read(bytes: &[u8], links: &Links) -> Result<Self, (Option<Arc<Manifest>>, RimError)> {
        let unread = |error| (None, error);
        let text = Text::read(bytes).map_err(unread)?;
        let tree = tree::parse(&text).map_err(unread)?;
        let manifest = Arc::new(Manifest::read(&tree).map_err(unread)?);
        match Signature::read(&tree).and_then(|signature| signature.verify(&tree, links)) {
            Ok(certificates) => Ok(Self { manifest, certificates }),
            Err(error) => Err((Some(manifest), error)),
        }
    }
}

impl AuthenticRim {
    /// Reads a document and proves form, digest, signature, chain and dates at `now` (Unix seconds).
    ///
    /// Revocation is only looked up: what is unknown about it is for a policy to judge.
    pub fn open(
        bytes: &[u8],
        anchors: &TrustAnchors,
        collateral: &Collateral,
        links: &Links,
        now: u64,
    ) -> Result<Self, RimError> {
        Opened::read(bytes, anchors, collateral, links, now).authentic
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the signer's certificate.
    pub fn signer(&self) -> Hex<32> {
        self.signer_sha256
    }

    /// What is known about the revocation of signer and intermediates.
    pub fn revocation(&self) -> Revocation {
        self.revocation
    }
}

impl Opened {
    pub(super) fn read(
        bytes: &[u8],
        anchors: &TrustAnchors,
        collateral: &Collateral,
        links: &Links,
        now: u64,
    ) -> Self {
        let used = AtomicBool::new(false);
        match links.manifest(bytes, || Signed::read(bytes, links)) {
            Ok(signed) => Self {
                claimed: Some(Arc::clone(&signed.manifest)),
                authentic: endorse(&signed, anchors, collateral, links, now),
                used,
            },
            Err((claimed, error)) => Self { claimed, authentic: Err(error), used },
        }
    }

    /// Genuine once, or not yet in force.
    pub(super) fn out_of_time(&self) -> bool {
        let code = self.authentic.as_ref().err().map(RimError::code);
        matches!(code, Some(Code::CertNotYetValid | Code::CertExpired))
    }
}

/// The certificates that verified the signature lead to the pinned root (RFC 5280 6.1).
fn endorse(
    signed: &Signed,
    anchors: &TrustAnchors,
    collateral: &Collateral,
    links: &Links,
    now: u64,
) -> Result<AuthenticRim, RimError> {
    let given: Vec<&[u8]> = signed.certificates.iter().map(Vec::as_slice).collect();
    let chain = EcChain::verify(&given, anchors.nvidia_rim(), links).map_err(RimError::Chain)?;
    chain.valid_at(now).map_err(RimError::Chain)?;
    Ok(AuthenticRim {
        manifest: Arc::clone(&signed.manifest),
        signer_sha256: Hex::sha256(chain.leaf().der()),
        revocation: chain_revocation(&chain, 0, &collateral.ocsp, &collateral.nvidia_crls, now, links),
    })
}

/// Records the four rules for the manifests of one device, each rule once: the first failure of any of
/// them, and nothing about the rules after it.
pub(super) fn note<'o>(chosen: impl Iterator<Item = &'o Opened> + Clone, trace: &mut Trace) {
    let mut failed: Option<&RimError> = None;
    for error in chosen.clone().filter_map(|opened| opened.authentic.as_ref().err()) {
        if failed.is_none_or(|first| error.step() < first.step()) {
            failed = Some(error);
        }
    }
    let count = chosen.count();
    for (step, check, expected) in STEPS {
        let judged = match failed {
            _ if count == 0 => Judged::not_shown("no manifest"),
            Some(error) if error.step() == step => Judged::fail(error.code(), expected, error),
            Some(error) if error.step() < step => Judged::not_shown("an earlier rule failed"),
            _ => Judged::pass(expected, format_args!("{count} manifest(s)")),
        };
        trace.note(check, judged);
    }
}

impl RimError {
    /// The stable name of this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Encoding { .. }
            | Self::DocumentType
            | Self::Syntax { .. }
            | Self::Namespace
            | Self::Form { .. }
            | Self::Measurement { .. }
            | Self::SignatureForm { .. } => Code::RimFormat,
            Self::DuplicateIndex { .. } => Code::DuplicateRimIndex,
            Self::Algorithm { .. } => Code::RimAlgorithm,
            Self::DigestMismatch { .. } => Code::RimDigestMismatch,
            Self::SignerKey { .. } | Self::Signature { .. } => Code::RimSignature,
            Self::Chain(error) => match error.code() {
                date @ (Code::CertNotYetValid | Code::CertExpired) => date,
                _ => Code::RimCertChain,
            },
        }
    }

    fn step(&self) -> Step {
        match self {
            Self::TooLarge { .. }
            | Self::Encoding { .. }
            | Self::DocumentType
            | Self::Syntax { .. }
            | Self::Namespace
            | Self::Form { .. }
            | Self::Measurement { .. }
            | Self::DuplicateIndex { .. } => Step::Form,
            Self::SignatureForm { .. } | Self::Algorithm { .. } => Step::Algorithms,
            Self::DigestMismatch { .. } | Self::SignerKey { .. } | Self::Signature { .. } => Step::Signature,
            Self::Chain(_) => Step::Chain,
        }
    }
}
