//! X.509 certificates in NVIDIA's own layouts: P-384, ecdsa-with-SHA384, extensions in the genuine order.

use super::keys::{KeyName, Keyring};
use crate::der;

/// 9999-12-31 23:59:59: end of every device certificate, in Unix seconds.
pub const END_OF_TIME: u64 = 253_402_300_799;

/// Where every genuine certificate sends a reader for revocation; nothing here opens it.
const OCSP_URL: &str = "http://ocsp.ndis.nvidia.com";

/// What one certificate says, and which key signs it.
#[derive(Debug, Clone)]
pub struct CertificateFields {
    /// Big endian, without a sign.
    pub serial: Vec<u8>,
    pub issuer: Name,
    pub subject: Name,
    pub validity: Validity,
    pub key: KeyName,
    pub signer: KeyName,
    /// In the order in which they are written.
    pub extensions: Vec<Extension>,
}

/// First and last second in Unix seconds, and how they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before: u64,
    pub not_after: u64,
    pub form: TimeForm,
}

/// Type of a certificate's dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// UTCTime to 2049, GeneralizedTime after (RFC 5280, 4.1.2.5).
    ByYear,
    /// GeneralizedTime always, against RFC 5280, as the genuine manifest CAs have it.
    Generalized,
}

/// A distinguished name, one attribute after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub Vec<(Attribute, String)>);

/// Attribute types of the genuine names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    CommonName,
    SerialNumber,
    Country,
    Locality,
    State,
    Organization,
}

/// One extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extension {
    Ca {
        path_len: Option<u8>,
    },
    /// basicConstraints that say "no CA" (a genuine signer has it; a genuine leaf has none).
    NotCa,
    /// The bits of the last byte, with that many of them unused.
    KeyUsage {
        unused: u8,
        bits: u8,
    },
    SubjectKeyId,
    AuthorityKeyId(KeyName),
    CrlAt(&'static str),
    OcspAt,
    /// DMTF SPDM device name (1.3.6.1.4.1.412.274.1), as a subject alternative name.
    DeviceName(String),
    /// TCG DICE CompositeDeviceID on Hopper and LS10: the device key and the FWID.
    CompositeDeviceId {
        device_key: KeyName,
        fwid: [u8; 48],
    },
    /// TCG DICE TcbInfo on Blackwell: two FWIDs.
    DiceTcbInfo {
        model: String,
        fwids: [[u8; 48]; 2],
    },
    /// id-kp-OCSPSigning and id-pkix-ocsp-nocheck (RFC 6960, 4.2.2.2).
    OcspSigner,
}

/// keyCertSign and cRLSign.
pub const SIGNS_CERTIFICATES_AND_LISTS: Extension = Extension::KeyUsage { unused: 1, bits: 0x06 };
/// keyCertSign.
pub const SIGNS_CERTIFICATES: Extension = Extension::KeyUsage { unused: 2, bits: 0x04 };
/// digitalSignature.
pub const SIGNS_DATA: Extension = Extension::KeyUsage { unused: 7, bits: 0x80 };

impl CertificateFields {
    /// The signed certificate, DER.
    pub fn issue(&self, keys: &Keyring) -> Vec<u8> {
        let extensions: Vec<u8> =
            self.extensions.iter().flat_map(|extension| self.extension(extension, keys)).collect();
        let body = der::sequence(&[
            &der::context(0, &der::integer(2)),
            &der::unsigned(&self.serial),
            &ecdsa_with_sha384(),
            &self.issuer.encode(),
            &self.validity.encode(),
            &self.subject.encode(),
            &public_key(&keys.public(&self.key)),
            &der::context(3, &der::tlv(der::SEQUENCE, &extensions)),
        ]);
        der::sequence(&[&body, &ecdsa_with_sha384(), &der::bit_string(&keys.sign_der(&self.signer, &body))])
    }

    /// One extension of this certificate, DER.
    pub(crate) fn extension(&self, extension: &Extension, keys: &Keyring) -> Vec<u8> {
        match extension {
            Extension::Ca { path_len } => {
                let path_len = path_len.map(|len| der::integer(u64::from(len))).unwrap_or_default();
                let value = der::sequence(&[&der::tlv(der::BOOLEAN, &[0xff]), &path_len]);
                critical(BASIC_CONSTRAINTS, &value)
            }
            Extension::NotCa => critical(BASIC_CONSTRAINTS, &der::sequence(&[])),
            Extension::KeyUsage { unused, bits } => {
                critical(KEY_USAGE, &der::tlv(der::BIT_STRING, &[*unused, *bits]))
            }
            Extension::SubjectKeyId => {
                plain(SUBJECT_KEY_ID, &der::tlv(der::OCTET_STRING, &keys.key_id(&self.key)))
            }
            Extension::AuthorityKeyId(key) => {
                plain(AUTHORITY_KEY_ID, &der::sequence(&[&der::tlv(der::CONTEXT, &keys.key_id(key))]))
            }
            Extension::CrlAt(url) => {
                let name = der::context(0, &der::context(0, &uri(url)));
                plain(CRL_DISTRIBUTION, &der::sequence(&[&der::sequence(&[&name])]))
            }
            Extension::OcspAt => {
                let method = der::sequence(&[&der::oid(AD_OCSP), &uri(OCSP_URL)]);
                plain(AUTHORITY_INFO_ACCESS, &der::sequence(&[&method]))
            }
            Extension::DeviceName(text) => {
                let text = der::context(0, &der::tlv(der::UTF8_STRING, text.as_bytes()));
                let other = der::context(0, &[der::oid(SPDM_DEVICE_NAME), text].concat());
                plain(SUBJECT_ALT_NAME, &der::sequence(&[&other]))
            }
            Extension::CompositeDeviceId { device_key, fwid } => {
                let key = public_key(&keys.public(device_key));
                plain(DICE_ON_HOPPER, &der::sequence(&[&der::integer(1), &key, &fwid_entry(fwid)]))
            }
            Extension::DiceTcbInfo { model, fwids } => plain(DICE_ON_BLACKWELL, &tcb_info(model, fwids)),
            Extension::OcspSigner => {
                let usage = plain(EXTENDED_KEY_USAGE, &der::sequence(&[&der::oid(KP_OCSP_SIGNING)]));
                [usage, plain(OCSP_NO_CHECK, &der::tlv(der::NULL, &[]))].concat()
            }
        }
    }
}

impl Validity {
    fn encode(self) -> Vec<u8> {
        let time = match self.form {
            TimeForm::ByYear => der::time,
            TimeForm::Generalized => der::generalized_time,
        };
        der::sequence(&[&time(self.not_before), &time(self.not_after)])
    }
}

impl Name {
    pub fn new(parts: &[(Attribute, &str)]) -> Self {
        Self(parts.iter().map(|(attribute, text)| (*attribute, (*text).to_owned())).collect())
    }

    /// DER, as it stands in a certificate and is hashed in an OCSP answer.
    pub fn encode(&self) -> Vec<u8> {
        let parts: Vec<u8> = (self.0.iter())
            .flat_map(|(attribute, text)| {
                let (arc, tag) = match attribute {
                    Attribute::CommonName => (3, der::UTF8_STRING),
                    Attribute::SerialNumber => (5, der::PRINTABLE_STRING),
                    Attribute::Country => (6, der::PRINTABLE_STRING),
                    Attribute::Locality => (7, der::UTF8_STRING),
                    Attribute::State => (8, der::UTF8_STRING),
                    Attribute::Organization => (10, der::UTF8_STRING),
                };
                let pair = der::sequence(&[&der::oid(&[2, 5, 4, arc]), &der::tlv(tag, text.as_bytes())]);
                der::tlv(der::SET, &pair)
            })
            .collect();
        der::tlv(der::SEQUENCE, &parts)
    }
}

/// Midnight UTC of a day of the Gregorian calendar, in Unix seconds; months and days count from 1.
pub const fn midnight(year: u64, month: u64, day: u64) -> u64 {
    // The year begins on 1 March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    (days - 719_468) * 86_400
}

/// AlgorithmIdentifier of every signature; without parameters (RFC 5758, 3.2).
pub(crate) fn ecdsa_with_sha384() -> Vec<u8> {
    der::sequence(&[&der::oid(ECDSA_WITH_SHA384)])
}

/// SubjectPublicKeyInfo of a P-384 point.
pub(crate) fn public_key(point: &[u8]) -> Vec<u8> {
    let algorithm = der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(SECP384R1)]);
    der::sequence(&[&algorithm, &der::bit_string(point)])
}

/// One extension that a reader may skip.
pub(crate) fn plain(oid: &[u32], value: &[u8]) -> Vec<u8> {
    der::sequence(&[&der::oid(oid), &der::tlv(der::OCTET_STRING, value)])
}

fn critical(oid: &[u32], value: &[u8]) -> Vec<u8> {
    let flag = der::tlv(der::BOOLEAN, &[0xff]);
    der::sequence(&[&der::oid(oid), &flag, &der::tlv(der::OCTET_STRING, value)])
}

fn uri(text: &str) -> Vec<u8> {
    der::tlv(der::CONTEXT | 6, text.as_bytes())
}

/// FWID of the DICE profiles: hash algorithm and digest.
fn fwid_entry(digest: &[u8; 48]) -> Vec<u8> {
    der::sequence(&[&der::oid(SHA384), &der::tlv(der::OCTET_STRING, digest)])
}

/// DiceTcbInfo; everything but model and FWIDs is as in the genuine GB100 leaf.
fn tcb_info(model: &str, fwids: &[[u8; 48]; 2]) -> Vec<u8> {
    let field = |number: u8, content: &[u8]| der::tlv(der::CONTEXT | number, content);
    let fwids: Vec<u8> = fwids.iter().flat_map(fwid_entry).collect();
    der::sequence(&[
        &field(0, b"NVIDIA"),
        &field(1, model.as_bytes()),
        &field(2, b"01"),
        // svn, layer, index.
        &field(3, &[1]),
        &field(4, &[0]),
        &field(5, &[0]),
        &der::context(6, &fwids),
        // flags, vendorInfo, type.
        &field(7, &[0, 0x80, 0, 0, 1]),
        &field(8, &[0xc0]),
        &field(9, &[0]),
    ])
}

const ECDSA_WITH_SHA384: &[u32] = &[1, 2, 840, 10_045, 4, 3, 3];
const EC_PUBLIC_KEY: &[u32] = &[1, 2, 840, 10_045, 2, 1];
const SECP384R1: &[u32] = &[1, 3, 132, 0, 34];
pub(crate) const SHA384: &[u32] = &[2, 16, 840, 1, 101, 3, 4, 2, 2];
const SUBJECT_KEY_ID: &[u32] = &[2, 5, 29, 14];
const KEY_USAGE: &[u32] = &[2, 5, 29, 15];
const SUBJECT_ALT_NAME: &[u32] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u32] = &[2, 5, 29, 19];
const CRL_DISTRIBUTION: &[u32] = &[2, 5, 29, 31];
const AUTHORITY_KEY_ID: &[u32] = &[2, 5, 29, 35];
const EXTENDED_KEY_USAGE: &[u32] = &[2, 5, 29, 37];
const AUTHORITY_INFO_ACCESS: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
const AD_OCSP: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 48, 1];
const OCSP_NO_CHECK: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 5];
const KP_OCSP_SIGNING: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 3, 9];
const SPDM_DEVICE_NAME: &[u32] = &[1, 3, 6, 1, 4, 1, 412, 274, 1];
/// The genuine GH100 and LS10 leaves put a CompositeDeviceID under this arc, and the GB100 leaf a TcbInfo under the
/// next one: the reverse of what the arcs' names say.
const DICE_ON_HOPPER: &[u32] = &[2, 23, 133, 5, 4, 1];
const DICE_ON_BLACKWELL: &[u32] = &[2, 23, 133, 5, 4, 1, 1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_is_the_inverse_of_the_dates_that_are_written() {
        for (year, month, day, text) in
            [(2020, 10, 17, "201017"), (2000, 2, 29, "000229"), (2049, 12, 31, "491231")]
        {
            assert_eq!(&der::time(midnight(year, month, day))[2..8], text.as_bytes());
        }
        assert_eq!(&der::generalized_time(END_OF_TIME)[2..], b"99991231235959Z");
        assert_eq!(&der::generalized_time(midnight(2023, 10, 31))[2..], b"20231031000000Z");
    }
}
