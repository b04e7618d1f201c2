//! OCSP answers about one certificate (RFC 6960), for ECDSA authorities.
//!
//! An answer is read whole and strictly, then matched, then verified, then dated. It is offline collateral,
//! so a nonce proves nothing to this reader: it may be there and is not compared.

use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, digest};
use x509_parser::prelude::ParsedExtension;

use super::Links;
use super::der::{Malformed, Reader, tag};
use super::ec::{Certificate, Curve, Form};
use super::revocation::{Gap, Reason, Revocation};
use crate::Base64Bytes;
use crate::collateral::OCSP_MAX_BYTES;

/// Most certificates in one answer.
const CERTIFICATES_MAX: usize = 4;
/// Most certificates that one answer is about.
const SINGLES_MAX: usize = 16;
/// Most extensions in one place.
const EXTENSIONS_MAX: usize = 8;

const OID_OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
const OID_NO_CHECK: &str = "1.3.6.1.5.5.7.48.1.5";
/// id-pkix-ocsp-basic.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
/// AlgorithmIdentifiers as they stand, without parameters (RFC 5758 3.2).
const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const SHA1_OID: &[u8] = &[0x2b, 14, 3, 2, 26];
const SHA256_OID: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384_OID: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];

/// A certificate and the authority that issued it, which has been verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a, 'c> {
    pub(crate) subject: &'a Certificate<'c>,
    pub(crate) issuer: &'a Certificate<'c>,
    /// How the subject is named in a result.
    pub(crate) name: &'static str,
}

/// The strongest answer that the given ones support on this certificate.
pub(crate) fn by_answers(
    asked: Asked<'_, '_>,
    answers: &[Base64Bytes],
    now: u64,
    links: &Links,
) -> Revocation {
    answers
        .iter()
        .map(|answer| one_answer(asked, answer.as_ref(), now, links))
        .fold(Revocation::Unknown { why: Gap::NoList }, Revocation::or)
}

/// What the first row of an answer says of its own time.
pub(super) fn period(der: &[u8]) -> Option<super::period::Period> {
    let basic = Basic::read(der).ok().flatten()?;
    basic.singles.first().map(|single| (single.this_update, single.next_update))
}

fn one_answer(asked: Asked<'_, '_>, der: &[u8], now: u64, links: &Links) -> Revocation {
    let unknown = |why| Revocation::Unknown { why };
    let basic = match Basic::read(der) {
        Ok(Some(basic)) => basic,
        // A responder that only says why it does not answer, unsigned.
        Ok(None) => return unknown(Gap::NoList),
        Err(Malformed) => return unknown(Gap::Format),
    };
    let mut about = basic.singles.iter().filter(|single| single.is_about(asked));
    let single = match (about.next(), about.next()) {
        (Some(single), None) => single,
        (None, _) => return unknown(Gap::NoList),
        (Some(_), Some(_)) => return unknown(Gap::Format),
    };
    if !basic.is_signed_for(asked.issuer, now, links) {
        return unknown(Gap::Signature);
    }
    if single.this_update > now || basic.produced_at > now {
        return unknown(Gap::NotYetIssued);
    }
    let current = single.next_update.is_some_and(|next| next >= now);
    match single.status {
        // A past answer still revokes.
        Status::Revoked(reason) => Revocation::Revoked { link: asked.name, reason },
        _ if !current => unknown(Gap::Expired),
        Status::Good => Revocation::Good { as_of: single.this_update },
        Status::Unknown => unknown(Gap::Undecided),
    }
}

/// BasicOCSPResponse (4.2.1).
struct Basic<'a> {
    /// ResponseData with its header: what is signed.
    signed: &'a [u8],
    responder: Responder<'a>,
    produced_at: u64,
    singles: Vec<Single<'a>>,
    /// AlgorithmIdentifier with its header.
    algorithm: &'a [u8],
    signature: &'a [u8],
    certificates: Vec<&'a [u8]>,
}

enum Responder<'a> {
    /// Name, DER.
    Name(&'a [u8]),
    /// SHA-1 of the public key's bits.
    KeyHash(&'a [u8]),
}

/// SingleResponse (4.2.1).
struct Single<'a> {
    hash: Option<&'static Algorithm>,
    issuer_name_hash: &'a [u8],
    issuer_key_hash: &'a [u8],
    serial: &'a [u8],
    status: Status,
    this_update: u64,
    next_update: Option<u64>,
}

enum Status {
    Good,
    Revoked(Reason),
    Unknown,
}

impl<'a> Basic<'a> {
    /// Reads an OCSPResponse; none when its status is another than successful.
    fn read(der: &'a [u8]) -> Result<Option<Self>, Malformed> {
        const SUCCESSFUL: &[u8] = &[0];
        if der.len() > OCSP_MAX_BYTES {
            return Err(Malformed);
        }
        let mut response = Reader::only(der, tag::SEQUENCE)?;
        if response.content(tag::ENUMERATED)? != SUCCESSFUL {
            return response.end().map(|()| None);
        }
        let mut explicit = response.enter(tag::explicit(0))?;
        response.end()?;
        let mut bytes = explicit.enter(tag::SEQUENCE)?;
        explicit.end()?;
        if bytes.content(tag::OID)? != BASIC {
            return Err(Malformed);
        }
        let basic = bytes.content(tag::OCTET_STRING)?;
        bytes.end()?;
        Self::read_basic(basic).map(Some)
    }

    fn read_basic(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut basic = Reader::only(der, tag::SEQUENCE)?;
        let signed = basic.any()?;
        let algorithm = basic.any()?;
        let signature = basic.bits()?;
        let mut certificates = Vec::new();
        if let Some(mut explicit) = basic.optional(tag::explicit(0))? {
            let mut list = explicit.enter(tag::SEQUENCE)?;
            explicit.end()?;
            while !list.is_empty() {
                if certificates.len() == CERTIFICATES_MAX {
                    return Err(Malformed);
                }
                certificates.push(list.any()?.raw);
            }
        }
        basic.end()?;
        let mut data = Reader::only(signed.raw, tag::SEQUENCE)?;
        // A version stands only where it is not the default one, and there is no other.
        let responder = data.any()?;
        let responder = match (responder.tag, Reader::new(responder.content)) {
            (tag, mut name) if tag == tag::explicit(1) => {
                let element = name.any()?;
                name.end()?;
                Responder::Name(element.raw)
            }
            (tag, mut hash) if tag == tag::explicit(2) => {
                let content = hash.content(tag::OCTET_STRING)?;
                hash.end()?;
                Responder::KeyHash(content)
            }
            _ => return Err(Malformed),
        };
        let produced_at = data.time()?;
        let mut list = data.enter(tag::SEQUENCE)?;
        let mut singles = Vec::new();
        while !list.is_empty() {
            if singles.len() == SINGLES_MAX {
                return Err(Malformed);
            }
            singles.push(Single::read(list.enter(tag::SEQUENCE)?)?);
        }
        extensions(data.optional(tag::explicit(1))?)?;
        data.end()?;
        Ok(Self {
            signed: signed.raw,
            responder,
            produced_at,
            singles,
            algorithm: algorithm.raw,
            signature,
            certificates,
        })
    }

    /// The issuer signed this answer, or a responder that the issuer appointed (4.2.2.2).
    ///
    /// Every certificate in the answer must be the issuer's own or issued by it, since nobody signs the list.
    fn is_signed_for(&self, issuer: &Certificate<'_>, now: u64, links: &Links) -> bool {
        let mut signer = self.responder.is(issuer).then(|| issuer.clone());
        for &der in &self.certificates {
            if der == issuer.der() {
                continue;
            }
            let Ok(certificate) = Certificate::parse(der, 0) else { return false };
            if certificate.issued_by(issuer, 0, 0, links).is_err() {
                return false;
            }
            if signer.is_none() && self.responder.is(&certificate) && may_answer(&certificate, now) {
                signer = Some(certificate);
            }
        }
        signer.is_some_and(|signer| {
            let expected = match signer.curve() {
                Curve::P256 => ECDSA_SHA256,
                Curve::P384 => ECDSA_SHA384,
            };
            self.algorithm == expected && signer.verifies(self.signed, self.signature, Form::Der, links)
        })
    }
}

impl Responder<'_> {
    fn is(&self, certificate: &Certificate<'_>) -> bool {
        match self {
            Self::Name(name) => *name == certificate.subject(),
            Self::KeyHash(hash) => *hash == digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate.point()).as_ref(),
        }
    }
}

impl<'a> Single<'a> {
    fn read(mut single: Reader<'a>) -> Result<Self, Malformed> {
        let mut id = single.enter(tag::SEQUENCE)?;
        let hash = hash(id.enter(tag::SEQUENCE)?)?;
        let issuer_name_hash = id.content(tag::OCTET_STRING)?;
        let issuer_key_hash = id.content(tag::OCTET_STRING)?;
        let serial = id.unsigned()?;
        id.end()?;
        let status = status(&mut single)?;
        let this_update = single.time()?;
        let next_update = match single.optional(tag::explicit(0))? {
            None => None,
            Some(mut explicit) => {
                let time = explicit.time()?;
                explicit.end()?;
                Some(time)
            }
        };
        extensions(single.optional(tag::explicit(1))?)?;
        single.end()?;
        Ok(Self { hash, issuer_name_hash, issuer_key_hash, serial, status, this_update, next_update })
    }

    /// The CertID is that of the certificate asked about (4.1.1).
    fn is_about(&self, asked: Asked<'_, '_>) -> bool {
        self.hash.is_some_and(|hash| {
            self.serial == asked.subject.serial()
                && digest(hash, asked.issuer.subject()).as_ref() == self.issuer_name_hash
                && digest(hash, asked.issuer.point()).as_ref() == self.issuer_key_hash
        })
    }
}

/// A digest of the CertID; none when it is not known here, which is then about no certificate.
fn hash(mut algorithm: Reader<'_>) -> Result<Option<&'static Algorithm>, Malformed> {
    let oid = algorithm.content(tag::OID)?;
    if let Some(parameters) = algorithm.optional(tag::NULL)? {
        parameters.end()?;
    }
    algorithm.end()?;
    Ok(match oid {
        SHA1_OID => Some(&SHA1_FOR_LEGACY_USE_ONLY),
        SHA256_OID => Some(&SHA256),
        SHA384_OID => Some(&SHA384),
        _ => None,
    })
}

fn status(single: &mut Reader<'_>) -> Result<Status, Malformed> {
    let element = single.any()?;
    let mut content = Reader::new(element.content);
    match element.tag {
        good if good == tag::context(0) => content.end().map(|()| Status::Good),
        unknown if unknown == tag::context(2) => content.end().map(|()| Status::Unknown),
        revoked if revoked == tag::explicit(1) => {
            content.time()?;
            let reason = match content.optional(tag::explicit(0))? {
                None => Reason::Unspecified,
                Some(mut explicit) => {
                    let [code] = explicit.content(tag::ENUMERATED)? else { return Err(Malformed) };
                    explicit.end()?;
                    Reason::from_code(*code)
                }
            };
            content.end().map(|()| Status::Revoked(reason))
        }
        _ => Err(Malformed),
    }
}

/// Extensions of which none is critical: the nonce is not, and nothing else is understood here (4.4).
fn extensions(explicit: Option<Reader<'_>>) -> Result<(), Malformed> {
    let Some(mut explicit) = explicit else { return Ok(()) };
    let mut list = explicit.enter(tag::SEQUENCE)?;
    explicit.end()?;
    let mut count = 0;
    while !list.is_empty() {
        count += 1;
        let mut extension = list.enter(tag::SEQUENCE)?;
        extension.content(tag::OID)?;
        // FALSE is the default, so that only a critical one says anything.
        if count > EXTENSIONS_MAX || extension.optional(tag::BOOLEAN)?.is_some() {
            return Err(Malformed);
        }
        extension.content(tag::OCTET_STRING)?;
        extension.end()?;
    }
    Ok(())
}

/// Whether a certificate that the issuer signed appoints its holder to answer now (4.2.2.2, 4.2.2.2.1).
///
/// Its own revocation can't be asked offline, so that it must carry the issuer's word that nobody need ask.
fn may_answer(certificate: &Certificate<'_>, now: u64) -> bool {
    let at = i64::try_from(now).unwrap_or(i64::MAX);
    let (not_before, not_after) = certificate.validity();
    let may_sign =
        certificate.x509().extensions().iter().all(|extension| match extension.parsed_extension() {
            ParsedExtension::KeyUsage(usage) => usage.digital_signature(),
            ParsedExtension::BasicConstraints(constraints) => !constraints.ca,
            _ => true,
        });
    (not_before..=not_after).contains(&at)
        && certificate.has_purpose(OID_OCSP_SIGNING)
        && certificate.extension(OID_NO_CHECK).is_some()
        && may_sign
}
