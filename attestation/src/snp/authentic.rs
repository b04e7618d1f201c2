//! Who signed a report: the endorsement key, its chain, its facts (SNP-04, SNP-06, SNP-07).

use x509_parser::prelude::X509Certificate;

use super::report::Report;
use crate::Base64Bytes;
use crate::Hex;
use crate::chain::ec::{Curve, Form};
use crate::chain::{Chain, ChainError, Link, Links, Revocation, TrustAnchors, is_oid};
use crate::checks::{CheckId, Code};
use crate::policy::{Product, Tcb};
use crate::result::SigningKey;
use crate::trace::{Judged, Stopped, Trace};

const OID_EC: &str = "1.2.840.10045.2.1";
const OID_P384: &str = "1.3.132.0.34";
pub(super) const OID_PRODUCT: &str = "1.3.6.1.4.1.3704.1.2";
pub(super) const OID_HWID: &str = "1.3.6.1.4.1.3704.1.4";
const OID_CSP: &str = "1.3.6.1.4.1.3704.1.5";
const OID_BOOTLOADER: &str = "1.3.6.1.4.1.3704.1.3.1";
const OID_TEE: &str = "1.3.6.1.4.1.3704.1.3.2";
const OID_SNP: &str = "1.3.6.1.4.1.3704.1.3.3";
const OID_MICROCODE: &str = "1.3.6.1.4.1.3704.1.3.8";
const OID_FMC: &str = "1.3.6.1.4.1.3704.1.3.9";
const P384_POINT_LEN: usize = 97;

/// A report that a chain to a pinned root vouches for; only [`authenticate`] makes it.
pub struct AuthenticReport<'a> {
    pub(super) report: Report<'a>,
    pub(super) endorsement: Endorsement,
    pub(super) chain: Chain<'a>,
}

/// What the endorsement key's certificate says (specification 57230).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endorsement {
    pub(super) product: Product,
    pub(super) tcb: Tcb,
    pub(super) key: SigningKey,
    /// CHIP_ID that the certificate is for: 64 bytes, 8 on Turin; none in a VLEK certificate.
    pub(super) hwid: Option<Vec<u8>>,
}

/// Proves that a pinned root vouches for the key that signed the received bytes.
///
/// Chain, then dates at `now` (Unix seconds), then the report's own signature; it stops at the first
/// failure, which `trace` then holds.
pub fn authenticate<'a>(
    report: Report<'a>,
    certificates: &'a [Base64Bytes],
    anchors: &'a TrustAnchors,
    links: &Links,
    now: u64,
    trace: &mut Trace,
) -> Result<AuthenticReport<'a>, Stopped> {
    let (chain, endorsement) = endorse(certificates, anchors, links, now, trace)?;
    let (point, signature) = (point(&chain.vek), report.signature());
    let verified = Curve::P384.verifies_once(point, report.signed(), &signature, Form::Fixed);
    trace.gate(
        CheckId::Snp04,
        Judged::require(
            verified,
            Code::ReportSignature,
            "a signature by the endorsement key",
            if verified { "verified" } else { "another signature or other bytes" },
        ),
    )?;
    Ok(AuthenticReport { report, endorsement, chain })
}

/// Proves that a pinned root vouches for an endorsement key, with or without a report that it signed.
pub(crate) fn endorse<'a>(
    certificates: &'a [Base64Bytes],
    anchors: &'a TrustAnchors,
    links: &Links,
    now: u64,
    trace: &mut Trace,
) -> Result<(Chain<'a>, Endorsement), Stopped> {
    let chain = Chain::verify(certificates, anchors, links)
        .and_then(|chain| Endorsement::read(&chain).map(|endorsement| (chain, endorsement)));
    let judged = match &chain {
        Ok((chain, _)) => {
            Judged::pass("a chain to a pinned root", format_args!("{:?}, {}", chain.product, anchors.label()))
        }
        Err(error) => Judged::fail(error.code(), "a chain to a pinned root", error),
    };
    trace.gate(CheckId::Snp06, judged)?;
    let (chain, endorsement) = chain.map_err(|_| Stopped)?;
    trace.gate(
        CheckId::Snp07,
        match chain.valid_at(now) {
            Ok(()) => Judged::pass(format_args!("all valid at {now}"), "all valid"),
            Err(error) => Judged::fail(error.code(), format_args!("all valid at {now}"), error),
        },
    )?;
    Ok((chain, endorsement))
}

impl AuthenticReport<'_> {
    /// Product line of the chip, as its certificate says.
    pub fn product(&self) -> Product {
        self.endorsement.product
    }

    pub(crate) fn signing_key(&self) -> SigningKey {
        self.endorsement.key
    }

    pub(crate) fn report(&self) -> Report<'_> {
        self.report
    }

    pub(crate) fn tcb(&self, bytes: [u8; 8]) -> Tcb {
        super::report::tcb(self.endorsement.product, bytes)
    }

    pub(crate) fn revocation(&self, lists: &[Base64Bytes], now: u64, links: &Links) -> Revocation {
        self.chain.revocation(lists, now, links)
    }
}

impl Endorsement {
    /// Reads AMD's extensions; a missing or malformed one is an error, never a zero.
    fn read(chain: &Chain<'_>) -> Result<Self, ChainError> {
        let format = |expected, got: &str| ChainError::Format {
            link: Link::Vek,
            sha256: Hex::sha256(chain.vek.as_ref()),
            expected,
            got: got.to_owned(),
        };
        let algorithm = &chain.vek.public_key().algorithm;
        let curve = algorithm.parameters.as_ref().and_then(|any| any.clone().oid().ok());
        if !is_oid(&algorithm.algorithm, OID_EC)
            || !curve.is_some_and(|oid| is_oid(&oid, OID_P384))
            || point(&chain.vek).len() != P384_POINT_LEN
        {
            return Err(format("an ECDSA P-384 key", "another key"));
        }
        let name = extension(&chain.vek, OID_PRODUCT).ok_or_else(|| format("a product name", "none"))?;
        let product = product(name).ok_or_else(|| format("a known product name", "another name"))?;
        let tcb = certified_tcb(&chain.vek, product)
            .ok_or_else(|| format("a security version of one byte", "none, or another form"))?;
        let hwid = extension(&chain.vek, OID_HWID).map(<[u8]>::to_vec);
        let key = match (&hwid, extension(&chain.vek, OID_CSP)) {
            (Some(_), None) => SigningKey::Vcek,
            (None, Some(_)) => SigningKey::Vlek,
            _ => return Err(format("a chip id (VCEK) or a provider id (VLEK)", "both or neither")),
        };
        Ok(Self { product, tcb, key, hwid })
    }
}

/// Raw value of a certificate's extension with this dotted id.
pub(super) fn extension<'c>(certificate: &X509Certificate<'c>, oid: &str) -> Option<&'c [u8]> {
    let mut extensions = certificate.extensions().iter();
    extensions.find(|extension| is_oid(&extension.oid, oid)).map(|found| found.value)
}

/// The security versions that a key was derived from.
pub(super) fn certified_tcb(certificate: &X509Certificate<'_>, product: Product) -> Option<Tcb> {
    let level = |oid| extension(certificate, oid).and_then(security_level);
    Some(Tcb {
        fmc: if product == Product::Turin { level(OID_FMC)? } else { 0 },
        bootloader: level(OID_BOOTLOADER)?,
        tee: level(OID_TEE)?,
        snp: level(OID_SNP)?,
        microcode: level(OID_MICROCODE)?,
    })
}

fn point<'c>(certificate: &'c X509Certificate<'_>) -> &'c [u8] {
    &certificate.public_key().subject_public_key.data
}

/// An IA5String such as `Milan-B0` or `Turin`: product, then the stepping after a hyphen.
pub(super) fn product(value: &[u8]) -> Option<Product> {
    const IA5_STRING: u8 = 0x16;
    let [IA5_STRING, len, text @ ..] = value else { return None };
    if usize::from(*len) != text.len() {
        return None;
    }
    match text.split(|&byte| byte == b'-').next()? {
        b"Milan" => Some(Product::Milan),
        b"Genoa" => Some(Product::Genoa),
        b"Turin" => Some(Product::Turin),
        _ => None,
    }
}

/// A DER INTEGER of 0..=255 in its only form.
fn security_level(value: &[u8]) -> Option<u8> {
    match *value {
        [2, 1, level @ 0..=0x7f] => Some(level),
        [2, 2, 0, level @ 0x80..=0xff] => Some(level),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_levels_have_one_form() {
        assert_eq!(security_level(&[2, 1, 0x73]), Some(0x73));
        assert_eq!(security_level(&[2, 2, 0, 0xdb]), Some(0xdb));
        for bad in [&[2, 1, 0xdb][..], &[2, 2, 0, 0x73], &[2, 2, 1, 0], &[4, 1, 1], &[2, 1], &[]] {
            assert_eq!(security_level(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn product_names_are_whole() {
        assert_eq!(product(b"\x16\x08Milan-B0"), Some(Product::Milan));
        assert_eq!(product(b"\x16\x05Turin"), Some(Product::Turin));
        for bad in [&b"\x16\x06Turin"[..], b"\x16\x06Turinx", b"\x0c\x05Turin", b"\x16", b""] {
            assert_eq!(product(bad), None, "{bad:?}");
        }
    }
}
