//! Chains of ECDSA certificates: Intel's (P-256) and NVIDIA's (P-384), to a pinned root (RFC 5280).

use std::fmt;

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED,
    UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::prelude::*;

use super::frame::{certificate_algorithm, is_framed};
use super::revocation::{ListIssuer, by_lists};
use super::{ChainError, Link, Links, Revocation, is_oid};
use crate::{Base64Bytes, Hex};

/// Most certificates of one chain.
pub const CERTIFICATES_MAX: usize = 8;
/// Largest total of one chain, in bytes of DER.
pub const CHAIN_MAX_BYTES: usize = 16 * 1024;
const SERIAL_MAX_BYTES: usize = 20;

const OID_EC: &str = "1.2.840.10045.2.1";
const OID_ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
const OID_ECDSA_SHA384: &str = "1.2.840.10045.4.3.3";
const OID_P256: &str = "1.2.840.10045.3.1.7";
const OID_P384: &str = "1.3.132.0.34";

/// Curve of a key, with the digest that its signatures use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    /// With SHA-256.
    P256,
    /// With SHA-384.
    P384,
}

/// Encoding of an ECDSA signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// DER, as in certificates.
    Der,
    /// r then s, big endian, as in quotes, reports and XML.
    Fixed,
}

/// One certificate whose form is sound; nothing in it is believed yet.
#[derive(Debug, Clone)]
pub(crate) struct Certificate<'a> {
    der: &'a [u8],
    x509: X509Certificate<'a>,
    curve: Curve,
}

impl<'a> Certificate<'a> {
    /// Reads one certificate: whole input, version 3, one frame, ECDSA with the curve's own digest, no extension
    /// twice, no critical extension that nobody here understands. `place` is only for the error.
    pub(crate) fn parse(der: &'a [u8], place: usize) -> Result<Self, ChainError> {
        let format = |expected, got: &dyn fmt::Display| ChainError::Format {
            link: Link::Place(place),
            sha256: Hex::sha256(der),
            expected,
            got: got.to_string(),
        };
        if der.len() > CHAIN_MAX_BYTES {
            return Err(format("at most 16 KiB", &der.len()));
        }
        let (rest, x509) =
            X509Certificate::from_der(der).map_err(|_| format("a DER certificate", &"something else"))?;
        if !rest.is_empty() {
            return Err(format("no trailing byte", &rest.len()));
        }
        if x509.tbs_certificate.version != X509Version::V3 {
            return Err(format("version 3", &x509.tbs_certificate.version.0));
        }
        if x509.raw_serial().len() > SERIAL_MAX_BYTES + 1 {
            return Err(format("a serial number of at most 20 bytes", &x509.raw_serial().len()));
        }
        let tbs = x509.tbs_certificate.as_ref();
        let framed = certificate_algorithm(tbs, x509.raw_serial())
            .is_some_and(|algorithm| is_framed(der, tbs, algorithm, &x509.signature_value.data));
        if !framed {
            return Err(format("the signed part in its one frame", &"another frame"));
        }
        super::extensions_understood(&x509)
            .map_err(|oid| format("extensions once, critical ones known", &oid))?;
        let algorithm = &x509.public_key().algorithm;
        let named = algorithm.parameters.as_ref().and_then(|any| any.clone().oid().ok());
        let curve = match named.filter(|_| is_oid(&algorithm.algorithm, OID_EC)) {
            Some(named) if is_oid(&named, OID_P256) => Curve::P256,
            Some(named) if is_oid(&named, OID_P384) => Curve::P384,
            _ => return Err(format("an ECDSA P-256 or P-384 key", &"another key")),
        };
        if x509.public_key().subject_public_key.unused_bits != 0
            || x509.public_key().subject_public_key.data.len() != curve.point_len()
        {
            return Err(format("an uncompressed point of the curve", &"another encoding"));
        }
        Ok(Self { der, x509, curve })
    }

    /// The bytes as received.
    pub(crate) fn der(&self) -> &'a [u8] {
        self.der
    }

    /// Content of the serial number, big endian; a leading zero byte where the top bit is set.
    pub(crate) fn serial(&self) -> &'a [u8] {
        self.x509.raw_serial()
    }

    /// Distinguished name, DER.
    pub(crate) fn subject(&self) -> &[u8] {
        self.x509.subject().as_raw()
    }

    /// Distinguished name, DER.
    pub(crate) fn issuer(&self) -> &[u8] {
        self.x509.issuer().as_raw()
    }

    /// The subject's only common name.
    pub(crate) fn common_name(&self) -> Option<&str> {
        let mut names = self.x509.subject().iter_common_name();
        match (names.next(), names.next()) {
            (Some(name), None) => name.as_str().ok(),
            _ => None,
        }
    }

    pub(crate) fn curve(&self) -> Curve {
        self.curve
    }

    /// Uncompressed public point: 65 or 97 bytes.
    pub(crate) fn point(&self) -> &[u8] {
        &self.x509.public_key().subject_public_key.data
    }

    /// SubjectPublicKeyInfo, DER.
    pub(crate) fn spki(&self) -> &[u8] {
        self.x509.public_key().raw
    }

    /// Raw value of the only extension with this dotted id.
    pub(crate) fn extension(&self, oid: &str) -> Option<&'a [u8]> {
        let mut all = self.x509.extensions().iter();
        all.find(|extension| is_oid(&extension.oid, oid)).map(|extension| extension.value)
    }

    /// Whether the certificate names this purpose (RFC 5280 4.2.1.12), by dotted id.
    pub(crate) fn has_purpose(&self, oid: &str) -> bool {
        self.x509.extensions().iter().any(|extension| match extension.parsed_extension() {
            ParsedExtension::ExtendedKeyUsage(usage) => match oid {
                OID_OCSP_SIGNING => usage.ocsp_signing,
                _ => usage.other.iter().any(|other| is_oid(other, oid)),
            },
            _ => false,
        })
    }

    /// First and last second of validity.
    pub(crate) fn validity(&self) -> (i64, i64) {
        let validity = self.x509.validity();
        (validity.not_before.timestamp(), validity.not_after.timestamp())
    }

    pub(crate) fn x509(&self) -> &X509Certificate<'a> {
        &self.x509
    }

    /// Whether this certificate's key made `signature` over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8], form: Form, links: &Links) -> bool {
        self.curve.verifies(self.point(), message, signature, form, links)
    }

    /// `self` was issued by `issuer`: names, CA flag, path length, key usage, signature (RFC 5280 6.1.3, 6.1.4).
    /// `below` counts the intermediates between the issuer and the leaf.
    pub(crate) fn issued_by(
        &self,
        issuer: &Certificate<'_>,
        place: usize,
        below: usize,
        links: &Links,
    ) -> Result<(), ChainError> {
        // Only an error names the certificate by its digest.
        let (link, sha256) = (Link::Place(place), || Hex::sha256(self.der));
        if self.issuer() != issuer.subject() {
            return Err(ChainError::IssuerMismatch { link, sha256: sha256() });
        }
        issuer.may_issue(place + 1, below)?;
        let fits = is_oid(&self.x509.signature_algorithm.algorithm, issuer.curve.signature_algorithm());
        let signature = &self.x509.signature_value.data;
        if fits && issuer.verifies(self.x509.tbs_certificate.as_ref(), signature, Form::Der, links) {
            Ok(())
        } else {
            Err(ChainError::CertSignature { link, sha256: sha256() })
        }
    }

    /// What revocation lists of this authority say about certificates (name, serial number) that it issued.
    pub(crate) fn revocation(
        &self,
        serials: &[(&'static str, &[u8])],
        lists: &[Base64Bytes],
        now: u64,
        links: &Links,
    ) -> Revocation {
        let verify = |message: &[u8], signature: &[u8]| self.verifies(message, signature, Form::Der, links);
        let algorithm = self.curve.signature_algorithm();
        by_lists(&ListIssuer { subject: self.subject(), algorithm, verify: &verify }, serials, lists, now)
    }

    fn may_issue(&self, place: usize, below: usize) -> Result<(), ChainError> {
        let refuse =
            |why| ChainError::IssuerNotCa { link: Link::Place(place), sha256: Hex::sha256(self.der), why };
        let constraints =
            super::basic_constraints(&self.x509).ok_or_else(|| refuse("no basic constraints"))?;
        if !constraints.ca {
            return Err(refuse("the CA flag is false"));
        }
        if constraints.path_len_constraint.is_some_and(|most| below > most as usize) {
            return Err(refuse("its path length allows no further intermediate"));
        }
        if super::signs_certificates(&self.x509) {
            Ok(())
        } else {
            Err(refuse("its key usage lacks certificate signing"))
        }
    }
}

const OID_OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";

impl Curve {
    /// By dotted id: the curve's own digest.
    const fn signature_algorithm(self) -> &'static str {
        match self {
            Self::P256 => OID_ECDSA_SHA256,
            Self::P384 => OID_ECDSA_SHA384,
        }
    }

    /// Length of an uncompressed point.
    pub(crate) const fn point_len(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::P384 => 97,
        }
    }

    /// Whether the key at `point` made `signature` over `message`, with the curve's own digest.
    pub(crate) fn verifies(
        self,
        point: &[u8],
        message: &[u8],
        signature: &[u8],
        form: Form,
        links: &Links,
    ) -> bool {
        let (name, _) = self.scheme(form);
        links.holds(name, point, message, signature, || self.verifies_once(point, message, signature, form))
    }

    /// The same with nothing remembered: for what is signed once.
    pub(crate) fn verifies_once(self, point: &[u8], message: &[u8], signature: &[u8], form: Form) -> bool {
        let (_, scheme) = self.scheme(form);
        UnparsedPublicKey::new(scheme, point).verify(message, signature).is_ok()
    }

    fn scheme(self, form: Form) -> (&'static str, &'static dyn VerificationAlgorithm) {
        match (self, form) {
            (Self::P256, Form::Der) => ("p256-der", &ECDSA_P256_SHA256_ASN1),
            (Self::P256, Form::Fixed) => ("p256-fixed", &ECDSA_P256_SHA256_FIXED),
            (Self::P384, Form::Der) => ("p384-der", &ECDSA_P384_SHA384_ASN1),
            (Self::P384, Form::Fixed) => ("p384-fixed", &ECDSA_P384_SHA384_FIXED),
        }
    }
}

/// A chain whose links verified up to a pinned root; dates are checked apart.
#[derive(Debug, Clone)]
pub(crate) struct EcChain<'a> {
    /// Leaf first; the last one is the pinned root.
    certificates: Vec<Certificate<'a>>,
}

impl<'a> EcChain<'a> {
    /// Verifies certificates in the order leaf to root against one of `roots` (DER). The root itself may be left
    /// out; a root that is given must be a pinned one, byte for byte.
    pub(crate) fn verify(
        given: &[&'a [u8]],
        roots: &'a [Vec<u8>],
        links: &Links,
    ) -> Result<Self, ChainError> {
        let total: usize = given.iter().map(|der| der.len()).sum();
        if given.is_empty() || given.len() > CERTIFICATES_MAX || total > CHAIN_MAX_BYTES {
            return Err(ChainError::Shape {
                expected: "1 to 8 certificates of at most 16 KiB in all",
                got: format!("{} of {total} bytes", given.len()),
            });
        }
        let mut certificates = Vec::with_capacity(given.len() + 1);
        for (place, der) in given.iter().enumerate() {
            certificates.push(Certificate::parse(der, place)?);
        }
        let pinned = |der: &[u8]| roots.iter().any(|root| root == der);
        if pinned(certificates[0].der) {
            return Err(ChainError::Shape {
                expected: "a leaf before the root",
                got: "the root alone".to_owned(),
            });
        }
        let last = &certificates[certificates.len() - 1];
        if !pinned(last.der) {
            if last.subject() == last.issuer() {
                return Err(ChainError::UntrustedRoot { sha256: Hex::sha256(last.der) });
            }
            let root = roots.iter().find_map(|der| {
                let root = Certificate::parse(der, certificates.len()).ok()?;
                (root.subject() == last.issuer()).then_some(root)
            });
            let name = Hex::sha256(last.issuer());
            certificates.push(root.ok_or(ChainError::UntrustedRoot { sha256: name })?);
        }
        // A root issues itself, so a link from it to its copy, or to one with the other form of its signature, holds.
        if let [before @ .., root] = certificates.as_slice()
            && let Some(place) = before.iter().position(|above| above.spki() == root.spki())
        {
            return Err(ChainError::Shape {
                expected: "the root's key in the last certificate only",
                got: format!("it also in certificate {place}"),
            });
        }
        for (place, pair) in certificates.windows(2).enumerate() {
            if let [child, issuer] = pair {
                // Intermediates between this issuer and the leaf: all after the leaf, up to the child.
                child.issued_by(issuer, place, place, links)?;
            }
        }
        if super::basic_constraints(&certificates[0].x509).is_some_and(|constraints| constraints.ca) {
            return Err(ChainError::Shape {
                expected: "a leaf that issues nothing",
                got: "a leaf with the CA flag".to_owned(),
            });
        }
        Ok(Self { certificates })
    }

    pub(crate) fn leaf(&self) -> &Certificate<'a> {
        &self.certificates[0]
    }

    /// Leaf first, pinned root last.
    pub(crate) fn certificates(&self) -> &[Certificate<'a>] {
        &self.certificates
    }

    /// Every certificate is valid at `now` (Unix seconds), both ends included (RFC 5280 4.1.2.5).
    pub(crate) fn valid_at(&self, now: u64) -> Result<(), ChainError> {
        let at = i64::try_from(now).unwrap_or(i64::MAX);
        for (place, certificate) in self.certificates.iter().enumerate() {
            let (link, (not_before, not_after)) = (Link::Place(place), certificate.validity());
            if at < not_before {
                return Err(ChainError::CertNotYetValid { link, not_before, now });
            }
            if at > not_after {
                return Err(ChainError::CertExpired { link, not_after, now });
            }
        }
        Ok(())
    }
}
