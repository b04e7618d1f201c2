//! Certificates and revocation list in AMD's own layout (VCEK and KDS specification 57230).

use p384::ecdsa::VerifyingKey;
use tiltyard_attestation::policy::{Product, Tcb};

use crate::der;
use crate::keys::{Authority, AuthorityKeys, KeyError};

/// 2024-01-01: start of every certificate, in Unix seconds.
pub const NOT_BEFORE_S: u64 = 1_704_067_200;
/// 2049-01-01: end of every certificate, in Unix seconds.
pub const NOT_AFTER_S: u64 = 2_493_072_000;

/// What the certificates and the list say. Genuine by default; a test changes one member and signs again.
#[derive(Debug, Clone)]
pub struct CertificateFields {
    pub ark: AuthorityFields,
    pub ask: AuthorityFields,
    pub vcek: ChipFields,
    pub crl: RevocationFields,
}

/// One RSA authority's certificate.
#[derive(Debug, Clone)]
pub struct AuthorityFields {
    pub serial: u64,
    pub subject: String,
    pub issuer: String,
    pub validity: Validity,
    pub constraints: Constraints,
    pub signer: Authority,
}

/// The chip's certificate.
#[derive(Debug, Clone)]
pub struct ChipFields {
    /// Zero in every genuine VCEK.
    pub serial: u64,
    pub subject: String,
    pub issuer: String,
    pub validity: Validity,
    pub signer: Authority,
    /// 3704.1.2, as in `Milan-B0`.
    pub product_name: String,
    /// 3704.1.3.x.
    pub spl: Tcb,
    /// 3704.1.4: 64 bytes, 8 on Turin.
    pub hwid: Vec<u8>,
}

/// The product's revocation list.
#[derive(Debug, Clone)]
pub struct RevocationFields {
    pub issuer: String,
    pub signer: Authority,
    pub this_update: u64,
    pub next_update: u64,
    /// Serial numbers.
    pub revoked: Vec<u64>,
}

/// First and last second, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before: u64,
    pub not_after: u64,
}

/// basicConstraints of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraints {
    Ca { path_len: Option<u8> },
    NotCa,
    Absent,
}

const VALIDITY: Validity = Validity { not_before: NOT_BEFORE_S, not_after: NOT_AFTER_S };

impl CertificateFields {
    /// Genuine values for one product's chip.
    pub fn genuine(product: Product, spl: Tcb, hwid: &[u8]) -> Self {
        let line = product_line(product);
        let (ark, ask) = (format!("ARK-{line}"), format!("SEV-{line}"));
        Self {
            ark: AuthorityFields {
                serial: 0x3_0000,
                subject: ark.clone(),
                issuer: ark.clone(),
                validity: VALIDITY,
                constraints: Constraints::Ca { path_len: None },
                signer: Authority::Ark,
            },
            ask: AuthorityFields {
                serial: 0x3_0001,
                subject: ask.clone(),
                issuer: ark.clone(),
                validity: VALIDITY,
                constraints: Constraints::Ca { path_len: Some(0) },
                signer: Authority::Ark,
            },
            vcek: ChipFields {
                serial: 0,
                subject: "SEV-VCEK".to_owned(),
                issuer: ask,
                validity: VALIDITY,
                signer: Authority::Ask,
                product_name: match product {
                    Product::Milan => "Milan-B0",
                    Product::Genoa => "Genoa-B1",
                    Product::Turin => "Turin",
                }
                .to_owned(),
                spl,
                hwid: hwid.to_vec(),
            },
            crl: RevocationFields {
                issuer: ark,
                signer: Authority::Ark,
                this_update: NOT_BEFORE_S,
                next_update: NOT_AFTER_S,
                revoked: Vec::new(),
            },
        }
    }
}

/// Name of a product line, as certificates spell it.
pub(crate) fn product_line(product: Product) -> &'static str {
    match product {
        Product::Milan => "Milan",
        Product::Genoa => "Genoa",
        Product::Turin => "Turin",
    }
}

/// An authority's certificate, DER.
pub(crate) fn authority(
    keys: &AuthorityKeys,
    owner: Authority,
    fields: &AuthorityFields,
) -> Result<Vec<u8>, KeyError> {
    let (modulus, exponent) = keys.public(owner);
    let rsa_key = der::sequence(&[&der::unsigned(&modulus), &der::unsigned(&exponent)]);
    let spki = der::sequence(&[
        &der::sequence(&[&der::oid(RSA_ENCRYPTION), &der::tlv(der::NULL, &[])]),
        &der::bit_string(&rsa_key),
    ]);
    // keyCertSign; the ARK also signs the revocation list.
    let usage: &[u8] = match owner {
        Authority::Ark => &[der::BIT_STRING, 2, 1, 0x06],
        Authority::Ask => &[der::BIT_STRING, 2, 2, 0x04],
    };
    let mut extensions = extension(KEY_USAGE, Criticality::Critical, usage);
    let constraints = match fields.constraints {
        Constraints::Absent => None,
        Constraints::NotCa => Some(der::sequence(&[])),
        Constraints::Ca { path_len } => {
            let path_len = path_len.map(|len| der::integer(u64::from(len))).unwrap_or_default();
            Some(der::sequence(&[&der::tlv(der::BOOLEAN, &[0xff]), &path_len]))
        }
    };
    if let Some(constraints) = constraints {
        extensions.extend(extension(BASIC_CONSTRAINTS, Criticality::Critical, &constraints));
    }
    let names = Names { issuer: &fields.issuer, subject: &fields.subject };
    certificate(keys, fields.signer, fields.serial, names, fields.validity, &spki, &extensions)
}

/// The chip's certificate, DER.
pub(crate) fn chip(
    keys: &AuthorityKeys,
    product: Product,
    key: &VerifyingKey,
    fields: &ChipFields,
) -> Result<Vec<u8>, KeyError> {
    let spki = der::sequence(&[
        &der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(SECP384R1)]),
        &der::bit_string(&key.to_sec1_bytes()),
    ]);
    let Tcb { fmc, bootloader, tee, snp, microcode } = fields.spl;
    let plain = |oid: &[u32], value: &[u8]| extension(oid, Criticality::Not, value);
    let spl =
        |arc: u32, value: u8| plain(&[1, 3, 6, 1, 4, 1, 3704, 1, 3, arc], &der::integer(u64::from(value)));
    let (structure, first) = match product {
        Product::Turin => (1, spl(9, fmc)),
        Product::Milan | Product::Genoa => (0, Vec::new()),
    };
    let extensions = [
        plain(&[1, 3, 6, 1, 4, 1, 3704, 1, 1], &der::integer(structure)),
        plain(&[1, 3, 6, 1, 4, 1, 3704, 1, 2], &der::tlv(der::IA5_STRING, fields.product_name.as_bytes())),
        first,
        spl(1, bootloader),
        spl(2, tee),
        spl(3, snp),
        match product {
            Product::Turin => Vec::new(),
            Product::Milan | Product::Genoa => spl(4, 0),
        },
        spl(5, 0),
        spl(6, 0),
        spl(7, 0),
        spl(8, microcode),
        // The HWID stands bare in the extension's OCTET STRING, as in genuine certificates.
        plain(&[1, 3, 6, 1, 4, 1, 3704, 1, 4], &fields.hwid),
    ]
    .concat();
    let names = Names { issuer: &fields.issuer, subject: &fields.subject };
    certificate(keys, fields.signer, fields.serial, names, fields.validity, &spki, &extensions)
}

/// The revocation list, DER (RFC 5280, 5).
pub(crate) fn revocation_list(keys: &AuthorityKeys, fields: &RevocationFields) -> Result<Vec<u8>, KeyError> {
    let revoked: Vec<u8> = (fields.revoked.iter())
        .flat_map(|serial| {
            let reason = extension(&[2, 5, 29, 21], Criticality::Not, &der::tlv(der::ENUMERATED, &[1]));
            der::sequence(&[
                &der::integer(*serial),
                &der::time(fields.this_update),
                &der::tlv(der::SEQUENCE, &reason),
            ])
        })
        .collect();
    let number = extension(&[2, 5, 29, 20], Criticality::Not, &der::integer(1));
    let list = der::sequence(&[
        &der::integer(1),
        &pss_algorithm(),
        &name(&fields.issuer),
        &der::time(fields.this_update),
        &der::time(fields.next_update),
        // An empty list is left out, not written empty.
        &if revoked.is_empty() { Vec::new() } else { der::tlv(der::SEQUENCE, &revoked) },
        &der::context(0, &der::tlv(der::SEQUENCE, &number)),
    ]);
    signed(keys, fields.signer, &list)
}

struct Names<'a> {
    issuer: &'a str,
    subject: &'a str,
}

fn certificate(
    keys: &AuthorityKeys,
    signer: Authority,
    serial: u64,
    names: Names<'_>,
    validity: Validity,
    spki: &[u8],
    extensions: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let body = der::sequence(&[
        &der::context(0, &der::integer(2)),
        &der::integer(serial),
        &pss_algorithm(),
        &name(names.issuer),
        &der::sequence(&[&der::time(validity.not_before), &der::time(validity.not_after)]),
        &name(names.subject),
        spki,
        &der::context(3, &der::tlv(der::SEQUENCE, extensions)),
    ]);
    signed(keys, signer, &body)
}

fn signed(keys: &AuthorityKeys, signer: Authority, body: &[u8]) -> Result<Vec<u8>, KeyError> {
    Ok(der::sequence(&[body, &pss_algorithm(), &der::bit_string(&keys.sign(signer, body)?)]))
}

#[derive(Clone, Copy)]
enum Criticality {
    Critical,
    Not,
}

fn extension(oid: &[u32], criticality: Criticality, value: &[u8]) -> Vec<u8> {
    let critical = match criticality {
        Criticality::Critical => der::tlv(der::BOOLEAN, &[0xff]),
        Criticality::Not => Vec::new(),
    };
    der::sequence(&[&der::oid(oid), &critical, &der::tlv(der::OCTET_STRING, value)])
}

/// AMD's distinguished name with one common name, in AMD's order and string types.
fn name(common_name: &str) -> Vec<u8> {
    let part = |arc: u32, tag: u8, text: &str| {
        let pair = der::sequence(&[&der::oid(&[2, 5, 4, arc]), &der::tlv(tag, text.as_bytes())]);
        der::tlv(der::SET, &pair)
    };
    der::sequence(&[
        &part(11, der::UTF8_STRING, "Engineering"),
        &part(6, der::PRINTABLE_STRING, "US"),
        &part(7, der::UTF8_STRING, "Santa Clara"),
        &part(8, der::UTF8_STRING, "CA"),
        &part(10, der::UTF8_STRING, "Advanced Micro Devices"),
        &part(3, der::UTF8_STRING, common_name),
    ])
}

/// RSASSA-PSS with SHA-384, MGF1 of SHA-384 and a salt of 48 bytes; the trailer written out, as AMD's chains have it.
fn pss_algorithm() -> Vec<u8> {
    let sha384 = der::sequence(&[&der::oid(SHA384), &der::tlv(der::NULL, &[])]);
    let mgf1 = der::sequence(&[&der::oid(MGF1), &sha384]);
    let parameters = der::sequence(&[
        &der::context(0, &sha384),
        &der::context(1, &mgf1),
        &der::context(2, &der::integer(48)),
        &der::context(3, &der::integer(1)),
    ]);
    der::sequence(&[&der::oid(RSASSA_PSS), &parameters])
}

const RSA_ENCRYPTION: &[u32] = &[1, 2, 840, 113_549, 1, 1, 1];
const RSASSA_PSS: &[u32] = &[1, 2, 840, 113_549, 1, 1, 10];
const MGF1: &[u32] = &[1, 2, 840, 113_549, 1, 1, 8];
const SHA384: &[u32] = &[2, 16, 840, 1, 101, 3, 4, 2, 2];
const EC_PUBLIC_KEY: &[u32] = &[1, 2, 840, 10_045, 2, 1];
const SECP384R1: &[u32] = &[1, 3, 132, 0, 34];
const KEY_USAGE: &[u32] = &[2, 5, 29, 15];
const BASIC_CONSTRAINTS: &[u32] = &[2, 5, 29, 19];
