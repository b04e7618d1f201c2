//! What AMD's certificates and revocation list say (VCEK and KDS specification 57230).

use tiltyard_attestation::policy::{Product, Tcb};

use super::keys::Authority;
pub use crate::x509::{Constraints, Validity};

/// 2024-01-01: start of every certificate, in Unix seconds.
pub const NOT_BEFORE_S: u64 = 1_704_067_200;
/// 2049-01-01: end of every certificate, in Unix seconds.
pub const NOT_AFTER_S: u64 = 2_493_072_000;

/// Cloud provider of the simulated VLEK, as a genuine one names its region.
pub const PROVIDER: &str = "CN=simulated-region-1.example";

/// What the certificates and the list say. Genuine by default; a test changes one member and signs again.
#[derive(Debug, Clone)]
pub struct CertificateFields {
    pub ark: AuthorityFields,
    pub ask: AuthorityFields,
    pub asvk: AuthorityFields,
    pub vcek: EndorsementFields,
    pub vlek: EndorsementFields,
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

/// The certificate of an endorsement key: the chip's or the provider's.
#[derive(Debug, Clone)]
pub struct EndorsementFields {
    /// Zero in every genuine one.
    pub serial: u64,
    pub subject: String,
    pub issuer: String,
    pub validity: Validity,
    pub signer: Authority,
    /// 3704.1.2: `Milan-B0` in a VCEK certificate, `Milan` in a VLEK's.
    pub product_name: String,
    /// 3704.1.3.x.
    pub spl: Tcb,
    /// 3704.1.4, of a chip: 64 bytes, 8 on Turin. Left out when empty.
    pub hwid: Vec<u8>,
    /// 3704.1.5, of a provider. Left out when empty.
    pub csp_id: String,
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

const VALIDITY: Validity = Validity { not_before: NOT_BEFORE_S, not_after: NOT_AFTER_S };

impl CertificateFields {
    /// Genuine values for one product's chip, and for a provider on it.
    pub fn genuine(product: Product, spl: Tcb, hwid: &[u8]) -> Self {
        let line = product_line(product);
        let ark = format!("ARK-{line}");
        let (ask, asvk) = (format!("SEV-{line}"), format!("SEV-VLEK-{line}"));
        let authority = |serial, subject: &str, path_len| AuthorityFields {
            serial,
            subject: subject.to_owned(),
            issuer: ark.clone(),
            validity: VALIDITY,
            constraints: Constraints::Ca { path_len },
            signer: Authority::Ark,
        };
        let endorsement = |subject: &str, issuer: &str, signer, product_name: &str| EndorsementFields {
            serial: 0,
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            validity: VALIDITY,
            signer,
            product_name: product_name.to_owned(),
            spl,
            hwid: Vec::new(),
            csp_id: String::new(),
        };
        let stepping = match product {
            Product::Milan => "Milan-B0",
            Product::Genoa => "Genoa-B1",
            Product::Turin => "Turin",
        };
        Self {
            ark: authority(0x3_0000, &ark, None),
            ask: authority(0x3_0001, &ask, Some(0)),
            asvk: authority(0x3_0101, &asvk, Some(0)),
            vcek: EndorsementFields {
                hwid: hwid.to_vec(),
                ..endorsement("SEV-VCEK", &ask, Authority::Ask, stepping)
            },
            vlek: EndorsementFields {
                csp_id: PROVIDER.to_owned(),
                ..endorsement("SEV-VLEK", &asvk, Authority::Asvk, line)
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
