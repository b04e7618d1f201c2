//! The certificates and the revocation list as DER, in AMD's own layout (VCEK and KDS specification 57230).

use p384::ecdsa::VerifyingKey;
use tiltyard_attestation::policy::{Product, Tcb};

use super::certificates::{AuthorityFields, EndorsementFields, RevocationFields};
use super::keys::{Authority, AuthorityKeys, KeyError};
use crate::der;
use crate::x509::{self, Criticality, EC_PUBLIC_KEY, Validity, extension};

/// An authority's certificate, DER.
pub(super) fn authority(
    keys: &AuthorityKeys,
    owner: Authority,
    fields: &AuthorityFields,
) -> Result<Vec<u8>, KeyError> {
    let (modulus, exponent) = keys.public(owner)?;
    let rsa_key = der::sequence(&[&der::unsigned(&modulus), &der::unsigned(&exponent)]);
    let spki = der::sequence(&[
        &der::sequence(&[&der::oid(RSA_ENCRYPTION), &der::tlv(der::NULL, &[])]),
        &der::bit_string(&rsa_key),
    ]);
    // keyCertSign; the ARK also signs the revocation list.
    let usage = match owner {
        Authority::Ark => x509::key_usage(1, 0x06),
        Authority::Ask | Authority::Asvk => x509::key_usage(2, 0x04),
    };
    let extensions = [usage, fields.constraints.encode()].concat();
    let names = Names { issuer: &fields.issuer, subject: &fields.subject };
    certificate(keys, fields.signer, fields.serial, names, fields.validity, &spki, &extensions)
}

/// The certificate of an endorsement key, DER.
pub(super) fn endorsement(
    keys: &AuthorityKeys,
    product: Product,
    key: &VerifyingKey,
    fields: &EndorsementFields,
) -> Result<Vec<u8>, KeyError> {
    let spki = der::sequence(&[
        &der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(SECP384R1)]),
        &der::bit_string(&key.to_sec1_bytes()),
    ]);
    let plain = |arcs: &[u32], value: &[u8]| extension(&amd(arcs), Criticality::Not, value);
    let text = |arcs: &[u32], text: &str| plain(arcs, &der::tlv(der::IA5_STRING, text.as_bytes()));
    let structure = u64::from(product == Product::Turin);
    // The HWID stands bare in the extension's OCTET STRING, as in genuine certificates.
    let hwid = if fields.hwid.is_empty() { Vec::new() } else { plain(&[4], &fields.hwid) };
    let csp = if fields.csp_id.is_empty() { Vec::new() } else { text(&[5], &fields.csp_id) };
    let extensions = [
        plain(&[1], &der::integer(structure)),
        text(&[2], &fields.product_name),
        security_levels(product, fields)
            .into_iter()
            .flat_map(|(arc, value)| plain(&[3, arc], &value))
            .collect(),
        hwid,
        csp,
    ]
    .concat();
    let names = Names { issuer: &fields.issuer, subject: &fields.subject };
    certificate(keys, fields.signer, fields.serial, names, fields.validity, &spki, &extensions)
}

/// Last arcs and values of 3704.1.3, in the order of genuine certificates; 4 to 7 are spare and zero.
fn security_levels(product: Product, fields: &EndorsementFields) -> Vec<(u32, Vec<u8>)> {
    let Tcb { fmc, bootloader, tee, snp, microcode } = fields.spl;
    let (boot, spare) = ([(1, bootloader), (2, tee)], [(5, 0), (6, 0), (7, 0)]);
    let levels = match (product, fields.csp_id.is_empty()) {
        (Product::Turin, _) => [&[(9, fmc)], &boot[..], &[(3, snp)], &spare, &[(8, microcode)]].concat(),
        (_, true) => [&boot[..], &[(3, snp), (4, 0)], &spare, &[(8, microcode)]].concat(),
        // A VLEK certificate has the firmware's version behind the spare ones.
        (_, false) => [&boot[..], &[(4, 0)], &spare, &[(3, snp), (8, microcode)]].concat(),
    };
    levels.into_iter().map(|(arc, level)| (arc, der::integer(u64::from(level)))).collect()
}

/// 1.3.6.1.4.1.3704.1 and more arcs.
fn amd(arcs: &[u32]) -> Vec<u32> {
    [&[1, 3, 6, 1, 4, 1, 3704, 1], arcs].concat()
}

/// The revocation list, DER (RFC 5280, 5).
pub(super) fn revocation_list(keys: &AuthorityKeys, fields: &RevocationFields) -> Result<Vec<u8>, KeyError> {
    let revoked: Vec<u8> = (fields.revoked.iter())
        .flat_map(|serial| {
            let reason = extension(x509::REASON_CODE, Criticality::Not, &der::tlv(der::ENUMERATED, &[1]));
            der::sequence(&[
                &der::integer(*serial),
                &der::time(fields.this_update),
                &der::tlv(der::SEQUENCE, &reason),
            ])
        })
        .collect();
    let number = extension(x509::CRL_NUMBER, Criticality::Not, &der::integer(1));
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
        &validity.encode(),
        &name(names.subject),
        spki,
        &der::context(3, &der::tlv(der::SEQUENCE, extensions)),
    ]);
    signed(keys, signer, &body)
}

fn signed(keys: &AuthorityKeys, signer: Authority, body: &[u8]) -> Result<Vec<u8>, KeyError> {
    Ok(der::sequence(&[body, &pss_algorithm(), &der::bit_string(&keys.sign(signer, body)?)]))
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
const SECP384R1: &[u32] = &[1, 3, 132, 0, 34];
