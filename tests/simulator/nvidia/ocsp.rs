//! OCSP answers (RFC 6960) of responders that each authority delegates to.
//!
//! No answer of NVIDIA's service is public: names and extensions of the responder are a guess, the rest is the
//! standard's, with SHA-384 in the certificate id as NVIDIA's own verifiers ask for it.

use sha2::{Digest, Sha256, Sha384};

use super::certificate::{
    Attribute, CertificateFields, Extension, Name, SHA384, SIGNS_DATA, TimeForm, Validity, ecdsa_with_sha384,
    midnight,
};
use super::device::ca_serial;
use super::keys::{KeyName, Keyring, sha1};
use crate::der;

/// From one answer to the next, in seconds.
const LIFETIME_S: u64 = 7 * 86_400;
/// How long before the appraisal a genuine answer is made, in seconds.
const AGE_S: u64 = 3_600;

/// One answer about one certificate. Genuine by default; a test changes one member and signs again.
#[derive(Debug, Clone)]
pub struct AnswerFields {
    /// Serial number asked about.
    pub serial: Vec<u8>,
    pub issuer: Name,
    pub issuer_key: KeyName,
    pub hash: CertIdHash,
    pub status: Status,
    pub produced_at: u64,
    pub this_update: u64,
    pub next_update: Option<u64>,
    /// The responder's certificate, sent along.
    pub responder: CertificateFields,
    pub signer: KeyName,
    /// Lowest bit turned round in the finished answer: which byte, counted from the end.
    pub flipped: Option<usize>,
}

/// Hash of a certificate id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertIdHash {
    Sha1,
    Sha256,
    Sha384,
}

/// CertStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Good,
    /// Time in Unix seconds; CRLReason.
    Revoked {
        at: u64,
        reason: u8,
    },
    Unknown,
}

/// CRLReason `keyCompromise`.
pub const KEY_COMPROMISE: u8 = 1;
/// CRLReason `certificateHold`.
pub const CERTIFICATE_HOLD: u8 = 6;

impl AnswerFields {
    /// A fresh `good` for `subject`, which `issuer` issued, at `now` (Unix seconds).
    pub fn genuine(
        keys: &Keyring,
        subject: &CertificateFields,
        issuer: &CertificateFields,
        now: u64,
    ) -> Self {
        let responder = responder(keys, issuer);
        Self {
            serial: subject.serial.clone(),
            issuer: issuer.subject.clone(),
            issuer_key: issuer.key.clone(),
            hash: CertIdHash::Sha384,
            status: Status::Good,
            produced_at: now - AGE_S,
            this_update: now - AGE_S,
            next_update: Some(now - AGE_S + LIFETIME_S),
            signer: responder.key.clone(),
            responder,
            flipped: None,
        }
    }

    /// OCSPResponse, DER.
    pub fn issue(&self, keys: &Keyring) -> Vec<u8> {
        let responses = der::sequence(&[&self.single(keys)]);
        let body = der::sequence(&[
            &der::context(1, &self.responder.subject.encode()),
            &der::generalized_time(self.produced_at),
            &responses,
        ]);
        let basic = der::sequence(&[
            &body,
            &ecdsa_with_sha384(),
            &der::bit_string(&keys.sign_der(&self.signer, &body)),
            &der::context(0, &der::sequence(&[&self.responder.issue(keys)])),
        ]);
        let bytes = der::sequence(&[&der::oid(OCSP_BASIC), &der::tlv(der::OCTET_STRING, &basic)]);
        let mut answer =
            der::sequence(&[&der::tlv(der::ENUMERATED, &[SUCCESSFUL]), &der::context(0, &bytes)]);
        if let Some(from_end) = self.flipped {
            answer.iter_mut().rev().skip(from_end).take(1).for_each(|byte| *byte ^= 1);
        }
        answer
    }

    fn single(&self, keys: &Keyring) -> Vec<u8> {
        let status = match self.status {
            Status::Good => der::tlv(der::CONTEXT, &[]),
            Status::Revoked { at, reason } => {
                let reason = der::context(0, &der::tlv(der::ENUMERATED, &[reason]));
                der::context(1, &[der::generalized_time(at), reason].concat())
            }
            Status::Unknown => der::tlv(der::CONTEXT | 2, &[]),
        };
        let next = self.next_update.map(|at| der::context(0, &der::generalized_time(at))).unwrap_or_default();
        der::sequence(&[&self.certificate_id(keys), &status, &der::generalized_time(self.this_update), &next])
    }

    fn certificate_id(&self, keys: &Keyring) -> Vec<u8> {
        let algorithm = der::sequence(&[&der::oid(self.hash.oid()), &der::tlv(der::NULL, &[])]);
        let hashed = |bytes: &[u8]| der::tlv(der::OCTET_STRING, &self.hash.digest(bytes));
        der::sequence(&[
            &algorithm,
            &hashed(&self.issuer.encode()),
            &hashed(&keys.public(&self.issuer_key)),
            &der::unsigned(&self.serial),
        ])
    }
}

/// The certificate that lets a key answer for `issuer`.
fn responder(keys: &Keyring, issuer: &CertificateFields) -> CertificateFields {
    let authority: Vec<&str> = (issuer.subject.0.iter())
        .filter(|(attribute, _)| *attribute == Attribute::CommonName)
        .map(|(_, text)| text.as_str())
        .collect();
    let name = format!("{} OCSP Responder", authority.concat());
    CertificateFields {
        serial: ca_serial(keys, &name),
        issuer: issuer.subject.clone(),
        subject: Name::new(&[
            (Attribute::CommonName, &name),
            (Attribute::Organization, "NVIDIA Corporation"),
            (Attribute::Country, "US"),
        ]),
        validity: Validity {
            not_before: midnight(2026, 1, 12),
            not_after: midnight(2028, 1, 12),
            form: TimeForm::ByYear,
        },
        key: KeyName::new(format!("ocsp/{name}")),
        signer: issuer.key.clone(),
        extensions: vec![
            Extension::NotCa,
            SIGNS_DATA,
            Extension::OcspSigner,
            Extension::SubjectKeyId,
            Extension::AuthorityKeyId(issuer.key.clone()),
        ],
    }
}

impl CertIdHash {
    fn oid(self) -> &'static [u32] {
        match self {
            Self::Sha1 => &[1, 3, 14, 3, 2, 26],
            Self::Sha256 => &[2, 16, 840, 1, 101, 3, 4, 2, 1],
            Self::Sha384 => SHA384,
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => sha1(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
        }
    }
}

/// OCSPResponseStatus `successful`.
const SUCCESSFUL: u8 = 0;
/// id-pkix-ocsp-basic.
const OCSP_BASIC: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 1];
