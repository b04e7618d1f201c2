//! Root, PCK platform authority, TCB signer and PCK certificate in Intel's layout.

use super::keys::{Key, Keyring};
use super::sgx::SgxExtension;
use crate::der;
use crate::x509::{self, Constraints, Criticality, EC_PUBLIC_KEY, Validity, extension};

/// What the four certificates say. Genuine by default; a test changes one member and signs again.
#[derive(Debug, Clone)]
pub struct PkiFields {
    pub root: CertificateFields,
    pub platform_ca: CertificateFields,
    pub tcb_signing: CertificateFields,
    pub pck: CertificateFields,
}

/// One certificate.
#[derive(Debug, Clone)]
pub struct CertificateFields {
    /// Big endian, at most 20 bytes.
    pub serial: Vec<u8>,
    /// Common name; the other parts of a name are the same everywhere.
    pub subject: String,
    pub issuer: String,
    pub validity: Validity,
    pub constraints: Constraints,
    pub usage: Usage,
    pub crl_url: &'static str,
    /// Whose key is certified.
    pub key: Key,
    pub signer: Key,
    /// In a PCK certificate only.
    pub sgx: Option<SgxExtension>,
}

/// keyUsage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Certificates and revocation lists.
    Issuing,
    /// Digital signature and non-repudiation.
    Signing,
}

/// DER documents.
#[derive(Debug, Clone)]
pub struct Pki {
    pub root: Vec<u8>,
    pub platform_ca: Vec<u8>,
    pub tcb_signing: Vec<u8>,
    pub pck: Vec<u8>,
}

impl PkiFields {
    /// Genuine values; authorities and signers have their key identifier for serial number, as Intel's have.
    pub fn genuine(keys: &Keyring, sgx: SgxExtension) -> Self {
        let authority = |key, subject: &str, path_len| CertificateFields {
            serial: keys.key_id(key).to_vec(),
            subject: subject.to_owned(),
            issuer: ROOT_NAME.to_owned(),
            validity: Validity { not_before: NOT_BEFORE_S, not_after: NOT_AFTER_S },
            constraints: Constraints::Ca { path_len: Some(path_len) },
            usage: Usage::Issuing,
            crl_url: ROOT_CRL_URL,
            key,
            signer: Key::Root,
            sgx: None,
        };
        let leaf = |key, subject: &str| CertificateFields {
            constraints: Constraints::NotCa,
            usage: Usage::Signing,
            ..authority(key, subject, 0)
        };
        Self {
            root: authority(Key::Root, ROOT_NAME, 1),
            platform_ca: authority(Key::PlatformCa, PLATFORM_CA_NAME, 0),
            tcb_signing: leaf(Key::TcbSigning, "Intel SGX TCB Signing"),
            pck: CertificateFields {
                serial: keys.draw::<20>("pck-serial").to_vec(),
                issuer: PLATFORM_CA_NAME.to_owned(),
                crl_url: PCK_CRL_URL,
                signer: Key::PlatformCa,
                sgx: Some(sgx),
                ..leaf(Key::Pck, "Intel SGX PCK Certificate")
            },
        }
    }

    /// The platform's SGX extension.
    pub fn sgx(&mut self) -> &mut SgxExtension {
        self.pck.sgx.get_or_insert_with(|| SgxExtension::genuine([0; 16], [0; 16]))
    }

    pub(super) fn issue(&self, keys: &Keyring) -> Pki {
        Pki {
            root: self.root.issue(keys),
            platform_ca: self.platform_ca.issue(keys),
            tcb_signing: self.tcb_signing.issue(keys),
            pck: self.pck.issue(keys),
        }
    }
}

impl CertificateFields {
    /// The certificate, DER.
    pub(super) fn issue(&self, keys: &Keyring) -> Vec<u8> {
        let point = [&[4], &keys.public(self.key)[..]].concat();
        let spki = der::sequence(&[
            &der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(PRIME256V1)]),
            &der::bit_string(&point),
        ]);
        let plain = |oid: &[u32], value: &[u8]| extension(oid, Criticality::Not, value);
        let url = der::tlv(der::CONTEXT | 6, self.crl_url.as_bytes());
        let point_name = der::context(0, &der::context(0, &url));
        let extensions = [
            authority_key_id(keys, self.signer),
            plain(CRL_DISTRIBUTION, &der::sequence(&[&der::sequence(&[&point_name])])),
            plain(SUBJECT_KEY_ID, &der::tlv(der::OCTET_STRING, &keys.key_id(self.key))),
            match self.usage {
                Usage::Issuing => x509::key_usage(1, 0x06),
                Usage::Signing => x509::key_usage(6, 0xc0),
            },
            self.constraints.encode(),
            self.sgx.as_ref().map(SgxExtension::encode).unwrap_or_default(),
        ]
        .concat();
        let body = der::sequence(&[
            &der::context(0, &der::integer(2)),
            &der::unsigned(&self.serial),
            &algorithm(),
            &name(&self.issuer),
            &self.validity.encode(),
            &name(&self.subject),
            &spki,
            &der::context(3, &der::tlv(der::SEQUENCE, &extensions)),
        ]);
        signed(keys, self.signer, &body)
    }
}

/// The body with its signature, as certificates and revocation lists have it.
pub(super) fn signed(keys: &Keyring, signer: Key, body: &[u8]) -> Vec<u8> {
    der::sequence(&[body, &algorithm(), &der::bit_string(&keys.sign_der(signer, body))])
}

pub(super) fn authority_key_id(keys: &Keyring, key: Key) -> Vec<u8> {
    let value = der::sequence(&[&der::tlv(der::CONTEXT, &keys.key_id(key))]);
    extension(AUTHORITY_KEY_ID, Criticality::Not, &value)
}

/// ecdsa-with-SHA256; without parameters (RFC 5758 3.2).
pub(super) fn algorithm() -> Vec<u8> {
    der::sequence(&[&der::oid(ECDSA_WITH_SHA256)])
}

/// Intel's distinguished name with one common name, in Intel's order and string types.
pub(super) fn name(common_name: &str) -> Vec<u8> {
    let part = |arc: u32, tag: u8, text: &str| {
        let pair = der::sequence(&[&der::oid(&[2, 5, 4, arc]), &der::tlv(tag, text.as_bytes())]);
        der::tlv(der::SET, &pair)
    };
    der::sequence(&[
        &part(3, der::UTF8_STRING, common_name),
        &part(10, der::UTF8_STRING, "Intel Corporation"),
        &part(7, der::UTF8_STRING, "Santa Clara"),
        &part(8, der::UTF8_STRING, "CA"),
        &part(6, der::PRINTABLE_STRING, "US"),
    ])
}

pub(super) const ROOT_NAME: &str = "Intel SGX Root CA";
pub(super) const PLATFORM_CA_NAME: &str = "Intel SGX PCK Platform CA";
/// Never followed by anything; names no real service.
const ROOT_CRL_URL: &str = "https://certificates.simulated.example/IntelSGXRootCA.der";
const PCK_CRL_URL: &str =
    "https://pcs.simulated.example/sgx/certification/v4/pckcrl?ca=platform&encoding=der";

/// 2024-01-01: start of every certificate, in Unix seconds.
pub const NOT_BEFORE_S: u64 = 1_704_067_200;
/// 2049-01-01: end of every certificate, in Unix seconds.
pub const NOT_AFTER_S: u64 = 2_493_072_000;

const ECDSA_WITH_SHA256: &[u32] = &[1, 2, 840, 10_045, 4, 3, 2];
const PRIME256V1: &[u32] = &[1, 2, 840, 10_045, 3, 1, 7];
const SUBJECT_KEY_ID: &[u32] = &[2, 5, 29, 14];
const CRL_DISTRIBUTION: &[u32] = &[2, 5, 29, 31];
const AUTHORITY_KEY_ID: &[u32] = &[2, 5, 29, 35];
