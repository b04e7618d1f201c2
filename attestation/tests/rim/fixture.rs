//! Minted manifests. They are written in canonical form by hand, so that their signatures owe nothing to
//! the canonicalisation under test.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA384, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use tiltyard_attestation::chain::{ForeignAnchors, Links};
use tiltyard_attestation::nvidia::rim::{AuthenticRim, RimError};
use tiltyard_attestation::{Collateral, TrustAnchors};

pub const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
pub const SHA384_NS: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
pub const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
pub const C14N: &str = "http://www.w3.org/2006/12/xml-c14n11";
pub const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
pub const ECDSA: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
pub const SHA: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";
/// 2026-11-22, when the verdicts of the genuine vectors were made.
pub const NOW: u64 = 1_795_371_000;

/// A manifest to be signed. Every part is canonical text.
#[derive(Clone)]
pub struct Draft {
    pub root: String,
    pub meta: String,
    pub payload: String,
    /// Inside of SignedInfo; `{digest}` becomes the digest of the document.
    pub info: String,
    /// Certificates of KeyInfo, by file name.
    pub certificates: Vec<&'static str>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            root: format!(
                r#"<SoftwareIdentity xmlns="{SWID}" xmlns:ns0="{SWID}" xmlns:ns2="{SHA384_NS}" name="GH100" tagId="0123">"#
            ),
            meta: meta("GH100", "550.144.03"),
            payload: resource(7, "True", &[value(7)]),
            info: info(C14N, ECDSA, &[ENVELOPED, C14N], SHA),
            certificates: vec!["signer", "root"],
        }
    }
}

impl Draft {
    /// A manifest of this chip, version and active golden values (index, tag of the value).
    pub fn of(chip: &str, version: &str, golden: &[(u8, u8)]) -> Self {
        let payload = golden.iter().map(|&(index, tag)| resource(index, "True", &[value(tag)])).collect();
        Self { meta: meta(chip, version), payload, ..Self::default() }
    }

    pub fn payload(payload: impl Into<String>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    /// The document without its signature: what is digested.
    pub fn content(&self) -> String {
        let Self { root, meta, payload, .. } = self;
        format!("{root}\n{meta}<ns0:Payload>{payload}</ns0:Payload></SoftwareIdentity>")
    }

    pub fn signed_info(&self) -> String {
        let digest = STANDARD.encode(digest(&SHA384, self.content().as_bytes()));
        self.info.replace("{digest}", &digest)
    }

    /// The signature element, its parts for other tests to change.
    pub fn signature(&self) -> Signature {
        let info = self.signed_info();
        // SignedInfo carries what is in scope where it stands.
        let canonical = format!(
            r#"<ds:SignedInfo xmlns="{SWID}" xmlns:ds="{XMLDSIG}" xmlns:ns0="{SWID}" xmlns:ns2="{SHA384_NS}">{info}</ds:SignedInfo>"#
        );
        let key = std::fs::read(path("signer_key.p8")).unwrap();
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &key, &random).unwrap();
        let value = STANDARD.encode(key.sign(&random, canonical.as_bytes()).unwrap());
        let certificates = self
            .certificates
            .iter()
            .map(|name| {
                format!(
                    "<ds:X509Certificate>{}</ds:X509Certificate>",
                    STANDARD.encode(file(&format!("{name}.der")))
                )
            })
            .collect();
        Signature { info, value, certificates }
    }

    /// The document with this signature at its end.
    pub fn with(&self, signature: &str) -> String {
        let content = self.content();
        let (before, root_end) = content.split_at(content.rfind("</").unwrap());
        format!("{before}{signature}{root_end}")
    }

    pub fn sign(&self) -> String {
        self.with(&self.signature().element())
    }
}

pub struct Signature {
    pub info: String,
    pub value: String,
    pub certificates: String,
}

impl Signature {
    pub fn element(&self) -> String {
        let Self { info, value, certificates } = self;
        format!(
            r#"<ds:Signature xmlns:ds="{XMLDSIG}"><ds:SignedInfo>{info}</ds:SignedInfo><ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>"#
        )
    }
}

pub fn info(canonicalization: &str, method: &str, transforms: &[&str], digest: &str) -> String {
    let transforms: String = transforms
        .iter()
        .map(|name| format!(r#"<ds:Transform Algorithm="{name}"></ds:Transform>"#))
        .collect();
    format!(
        r#"<ds:CanonicalizationMethod Algorithm="{canonicalization}"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="{method}"></ds:SignatureMethod><ds:Reference URI=""><ds:Transforms>{transforms}</ds:Transforms><ds:DigestMethod Algorithm="{digest}"></ds:DigestMethod><ds:DigestValue>{{digest}}</ds:DigestValue></ds:Reference>"#
    )
}

pub fn meta(chip: &str, version: &str) -> String {
    format!(r#"<ns0:Meta colloquialVersion="{version}" edition="GPU" product="{chip}"></ns0:Meta>"#)
}

pub fn resource(index: u8, active: &str, values: &[[u8; 48]]) -> String {
    let hashes: String = values
        .iter()
        .enumerate()
        .map(|(n, value)| format!(r#" ns2:Hash{n}="{}""#, tiltyard_attestation::Hex(*value)))
        .collect();
    let alternatives = values.len();
    format!(
        r#"<ns0:Resource active="{active}" alternatives="{alternatives}" index="{index}" name="m" size="48" type="Measurement"{hashes}></ns0:Resource>"#
    )
}

/// A golden value that is told by one byte.
pub fn value(tag: u8) -> [u8; 48] {
    [tag; 48]
}

pub fn path(name: &str) -> String {
    format!("{}/tests/vectors/nvidia/minted/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn file(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

/// Roots of our own: this file is the one for manifests.
pub fn anchors(root: &str) -> TrustAnchors {
    let nvidia_rim = Some(file(&format!("{root}.der")).into());
    TrustAnchors::foreign(ForeignAnchors { nvidia_rim, ..ForeignAnchors::of_snp(vec![]) }).unwrap()
}

/// Opens a minted document without collateral.
pub fn open(xml: &str) -> Result<AuthenticRim, RimError> {
    open_bytes(xml.as_bytes())
}

pub fn open_bytes(xml: &[u8]) -> Result<AuthenticRim, RimError> {
    AuthenticRim::open(xml, &anchors("root"), &Collateral::none(), &Links::new(), NOW)
}

/// Opens a genuine document under the vendor's root.
pub fn open_genuine(xml: &[u8], now: u64) -> Result<AuthenticRim, RimError> {
    AuthenticRim::open(xml, &TrustAnchors::vendor(), &Collateral::none(), &Links::new(), now)
}
