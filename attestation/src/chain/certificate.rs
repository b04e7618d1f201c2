//! VEK <- ASK or ASVK <- pinned ARK: parsing, links, dates (SNP-06, SNP-07).

use std::fmt;

use ring::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use x509_parser::prelude::*;
use x509_parser::public_key::PublicKey;

use super::anchors::{Ark, TrustAnchors};
use super::frame::{certificate_algorithm, is_framed};
use super::revocation::{ListIssuer, by_lists};
use super::{ChainError, Links, Revocation, basic_constraints, is_oid};
use crate::policy::Product;
use crate::{Base64Bytes, Hex};

/// Most certificates beside one report.
pub const CERTIFICATES_MAX: usize = 8;
/// Largest total of the certificates beside one report, in bytes.
pub const CHAIN_MAX_BYTES: usize = 16 * 1024;

const RSA_BITS: usize = 4096;
const SERIAL_MAX_BYTES: usize = 20;
pub(super) const OID_RSASSA_PSS: &str = "1.2.840.113549.1.1.10";
const OID_RSA: &str = "1.2.840.113549.1.1.1";

/// Place of a certificate in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Endorsement key of the chip or of the cloud provider.
    Vek,
    /// AMD's signing key for VCEKs (ASK) or VLEKs (ASVK).
    Ask,
    /// AMD root key.
    Ark,
    /// Place in a chain of ECDSA certificates, leaf first.
    Place(usize),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vek => f.write_str("VEK"),
            Self::Ask => f.write_str("ASK"),
            Self::Ark => f.write_str("ARK"),
            Self::Place(0) => f.write_str("leaf certificate"),
            Self::Place(place) => write!(f, "certificate {place} above the leaf"),
        }
    }
}

/// A chain whose links verified up to a pinned root; dates are checked apart.
pub(crate) struct Chain<'a> {
    pub(crate) vek: X509Certificate<'a>,
    pub(crate) ask: X509Certificate<'a>,
    pub(crate) ark: X509Certificate<'a>,
    /// Product of the pinned root.
    pub(crate) product: Product,
}

impl<'a> Chain<'a> {
    /// Orders and verifies the certificates beside a report; any order, root optional, nothing extra.
    pub(crate) fn verify(
        certificates: &'a [Base64Bytes],
        anchors: &'a TrustAnchors,
        links: &Links,
    ) -> Result<Self, ChainError> {
        let mut given = Vec::with_capacity(certificates.len().min(CERTIFICATES_MAX));
        let mut pinned = None;
        for der in certificates {
            let der = der.as_ref();
            if let Some(ark) = anchors.arks().iter().find(|ark| ark.der == der) {
                if pinned.replace(ark).is_some() {
                    return Err(shape("two root certificates"));
                }
                continue;
            }
            let certificate = parse(der, Link::Vek)?;
            if certificate.subject().as_raw() == certificate.issuer().as_raw() {
                return Err(ChainError::UntrustedRoot { sha256: Hex::sha256(der) });
            }
            given.push(certificate);
        }
        let (vek, ask) = order(given)?;
        let (anchor, ark) = issuing_root(&ask, pinned, anchors)?;
        may_issue(&ark, Link::Ark)?;
        may_issue(&ask, Link::Ask)?;
        if basic_constraints(&vek).is_some_and(|constraints| constraints.ca) {
            return Err(shape("a VEK that is itself an issuer"));
        }
        signed_by(&ark, Link::Ark, &ark, links)?;
        signed_by(&ask, Link::Ask, &ark, links)?;
        signed_by(&vek, Link::Vek, &ask, links)?;
        Ok(Self { vek, ask, ark, product: anchor.product })
    }

    /// Every certificate is valid at `now` (Unix seconds), both ends included (RFC 5280 4.1.2.5).
    pub(crate) fn valid_at(&self, now: u64) -> Result<(), ChainError> {
        let links = [(Link::Vek, &self.vek), (Link::Ask, &self.ask), (Link::Ark, &self.ark)];
        for (link, certificate) in links {
            let not_before = certificate.validity().not_before.timestamp();
            let not_after = certificate.validity().not_after.timestamp();
            let at = i64::try_from(now).unwrap_or(i64::MAX);
            if at < not_before {
                return Err(ChainError::CertNotYetValid { link, not_before, now });
            }
            if at > not_after {
                return Err(ChainError::CertExpired { link, not_after, now });
            }
        }
        Ok(())
    }

    /// Whether the root's revocation lists name the chain.
    pub(crate) fn revocation(&self, lists: &[Base64Bytes], now: u64, links: &Links) -> Revocation {
        let verify = |message: &[u8], signature: &[u8]| {
            rsa_pss(self.ark.public_key(), message, signature, links).is_some()
        };
        let issuer =
            ListIssuer { subject: self.ark.subject().as_raw(), algorithm: OID_RSASSA_PSS, verify: &verify };
        // A VEK's serial is looked up too, though the ASK issued it: a list may be indirect, and a false hit
        // refuses.
        let serials = [("ASK", self.ask.raw_serial()), ("VEK", self.vek.raw_serial())];
        by_lists(&issuer, &serials, lists, now)
    }
}

/// A self-signed RSA-4096 CA certificate: what a root must be.
pub(super) fn check_root(der: &[u8]) -> Result<(), ChainError> {
    let root = parse(der, Link::Ark)?;
    if root.subject().as_raw() != root.issuer().as_raw() {
        return Err(ChainError::IssuerMismatch { link: Link::Ark, sha256: Hex::sha256(der) });
    }
    may_issue(&root, Link::Ark)?;
    signed_by(&root, Link::Ark, &root, &Links::new())
}

/// Reads one certificate: whole input, version 3, one RSASSA-PSS algorithm named twice alike, no
/// extension twice, no critical extension that nobody here understands.
fn parse(der: &[u8], link: Link) -> Result<X509Certificate<'_>, ChainError> {
    let format = |expected, got: &dyn fmt::Display| ChainError::Format {
        link,
        sha256: Hex::sha256(der),
        expected,
        got: got.to_string(),
    };
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| format("a DER certificate", &"something else"))?;
    if !rest.is_empty() {
        return Err(format("no trailing byte", &rest.len()));
    }
    let tbs = &certificate.tbs_certificate;
    if tbs.version != X509Version::V3 {
        return Err(format("version 3", &tbs.version.0));
    }
    if certificate.raw_serial().len() > SERIAL_MAX_BYTES + 1 {
        return Err(format("a serial number of at most 20 bytes", &certificate.raw_serial().len()));
    }
    let signed = tbs.as_ref();
    let framed = certificate_algorithm(signed, certificate.raw_serial())
        .is_some_and(|algorithm| is_framed(der, signed, algorithm, &certificate.signature_value.data));
    if !framed {
        return Err(format("the signed part in its one frame", &"another frame"));
    }
    if !is_oid(&tbs.signature.algorithm, OID_RSASSA_PSS) {
        return Err(format("RSASSA-PSS", &tbs.signature.algorithm.to_id_string()));
    }
    super::extensions_understood(&certificate)
        .map_err(|oid| format("extensions once, critical ones known", &oid))?;
    Ok(certificate)
}

/// The VEK and its issuer among exactly two certificates.
fn order<'a>(
    given: Vec<X509Certificate<'a>>,
) -> Result<(X509Certificate<'a>, X509Certificate<'a>), ChainError> {
    let got = given.len();
    let [a, b]: [X509Certificate<'a>; 2] = given.try_into().map_err(|_| ChainError::Shape {
        expected: "one VEK and its ASK or ASVK, with or without the ARK",
        got: format!("{got} certificates beside the root"),
    })?;
    let issued = |child: &X509Certificate<'_>, parent: &X509Certificate<'_>| {
        child.issuer().as_raw() == parent.subject().as_raw()
    };
    match (issued(&a, &b), issued(&b, &a)) {
        (true, false) => Ok((a, b)),
        (false, true) => Ok((b, a)),
        _ => {
            let vek = if basic_constraints(&a).is_some() { b } else { a };
            Err(ChainError::IssuerMismatch { link: Link::Vek, sha256: Hex::sha256(vek.as_raw()) })
        }
    }
}

/// The pinned root that issued the ASK; a root that was given must be that one.
fn issuing_root<'a>(
    ask: &X509Certificate<'_>,
    given: Option<&'a Ark>,
    anchors: &'a TrustAnchors,
) -> Result<(&'a Ark, X509Certificate<'a>), ChainError> {
    let mismatch = || ChainError::IssuerMismatch { link: Link::Ask, sha256: Hex::sha256(ask.as_raw()) };
    let candidates = match given {
        Some(ark) => std::slice::from_ref(ark),
        None => anchors.arks(),
    };
    for ark in candidates {
        let root = parse(&ark.der, Link::Ark)?;
        if root.subject().as_raw() == ask.issuer().as_raw() {
            return Ok((ark, root));
        }
    }
    Err(match given {
        Some(_) => mismatch(),
        None => ChainError::UntrustedRoot { sha256: Hex::sha256(ask.issuer().as_raw()) },
    })
}

/// RFC 5280 6.1.4 (k)-(n): CA flag, path length, certificate signing.
fn may_issue(certificate: &X509Certificate<'_>, link: Link) -> Result<(), ChainError> {
    let refuse = |why| ChainError::IssuerNotCa { link, sha256: Hex::sha256(certificate.as_raw()), why };
    let constraints = basic_constraints(certificate).ok_or_else(|| refuse("no basic constraints"))?;
    if !constraints.ca {
        return Err(refuse("the CA flag is false"));
    }
    // One certificate, the ASK, stands between the root and the VEK.
    if link == Link::Ark && constraints.path_len_constraint == Some(0) {
        return Err(refuse("its path length allows no intermediate"));
    }
    if super::signs_certificates(certificate) {
        Ok(())
    } else {
        Err(refuse("its key usage lacks certificate signing"))
    }
}

/// RSA-PSS 4096 SHA-384 over the received TBS bytes.
fn signed_by(
    certificate: &X509Certificate<'_>,
    link: Link,
    issuer: &X509Certificate<'_>,
    links: &Links,
) -> Result<(), ChainError> {
    let failed = || ChainError::CertSignature { link, sha256: Hex::sha256(certificate.as_raw()) };
    rsa_pss(
        issuer.public_key(),
        certificate.tbs_certificate.as_ref(),
        &certificate.signature_value.data,
        links,
    )
    .ok_or_else(failed)
}

/// Whether the holder of this RSA-4096 key made this RSASSA-PSS SHA-384 signature.
pub(crate) fn rsa_pss(
    key: &SubjectPublicKeyInfo<'_>,
    message: &[u8],
    signature: &[u8],
    links: &Links,
) -> Option<()> {
    if !is_oid(&key.algorithm.algorithm, OID_RSA) || key.subject_public_key.unused_bits != 0 {
        return None;
    }
    let Ok(PublicKey::RSA(rsa)) = key.parsed() else { return None };
    if rsa.key_size() != RSA_BITS {
        return None;
    }
    let modulus = &key.subject_public_key.data;
    let verified = links.holds("rsa-pss-sha384", modulus, message, signature, || {
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, modulus).verify(message, signature).is_ok()
    });
    verified.then_some(())
}

fn shape(got: &str) -> ChainError {
    ChainError::Shape {
        expected: "one VEK and its ASK or ASVK, with or without the ARK",
        got: got.to_owned(),
    }
}
