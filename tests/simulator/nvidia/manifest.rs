//! Reference integrity manifests: SWID documents (ISO/IEC 19770-2) under an XML signature, in the genuine shape.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha384};

use super::Spelled;
use super::certificate::CertificateFields;
use super::firmware::Firmware;
use super::formats;
use super::keys::{KeyName, Keyring};
use super::measurements::{self, Source};
use super::signers;
use super::xml::Element;

/// Indexes of one manifest, active or not.
const RESOURCES: u8 = 64;

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const SHA384_NAMESPACE: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
const TCG_RIM: &str =
    "https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/";
const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Prefixes of attributes, for canonical order.
const PREFIXES: &[(&str, &str)] = &[("ns1", TCG_RIM), ("ns2", SHA384_NAMESPACE)];
/// What is in scope where SignedInfo stands.
const ABOVE_SIGNED_INFO: &[(&str, &str)] =
    &[("", SWID), ("ns0", SWID), ("ns2", SHA384_NAMESPACE), ("ds", XMLDSIG)];

pub const C14N_11: &str = "http://www.w3.org/2006/12/xml-c14n11";
pub const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
pub const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";
pub const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

/// What one manifest says and who signs it. Genuine by default; a test changes one member and signs again.
#[derive(Debug, Clone)]
pub struct RimFields {
    /// Id in the manifest service; not part of the document.
    pub id: String,
    pub tag_id: String,
    /// Chip, in `name`, `product` and `PlatformModel`.
    pub product: String,
    pub edition: String,
    /// `colloquialVersion`.
    pub version: String,
    pub resources: Vec<Resource>,
    pub signature: SignatureFields,
    /// Signer first, root last.
    pub chain: Vec<CertificateFields>,
    /// Made to the finished text, by whoever has no key: what is replaced, once, by what.
    pub edits: Vec<(String, String)>,
}

/// One `Resource` of type `Measurement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub index: String,
    pub active: bool,
    /// The number of hashes when `None`.
    pub alternatives: Option<usize>,
    /// Hex, one an alternative.
    pub hashes: Vec<String>,
    pub name: String,
    pub size: usize,
}

/// How the document is signed.
#[derive(Debug, Clone)]
pub struct SignatureFields {
    pub canonicalization: &'static str,
    pub signature: &'static str,
    pub digest: &'static str,
    pub transforms: Vec<&'static str>,
    /// `URI` of each reference; genuine manifests have one, empty.
    pub references: Vec<&'static str>,
    pub signer: KeyName,
}

/// One signed manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rim {
    pub id: String,
    pub xml: String,
    /// Signer first, DER.
    pub chain: Vec<Vec<u8>>,
}

impl RimFields {
    /// The manifest of this firmware's driver or VBIOS.
    pub fn genuine(keys: &Keyring, firmware: &Firmware, source: Source) -> Self {
        let architecture = firmware.architecture;
        let (id, version) = match source {
            Source::Driver => (firmware.driver_rim_id(), firmware.driver.to_owned()),
            Source::Vbios => (firmware.vbios_rim_id(), firmware.vbios_text()),
        };
        let mut resources: Vec<Resource> = (0..RESOURCES).map(Resource::inactive).collect();
        for golden in firmware.golden().into_iter().filter(|golden| golden.source == source) {
            let hashes = golden.alternatives.iter().map(|hash| formats::hex(hash)).collect();
            let resource =
                Resource { active: true, hashes, name: golden.name, ..Resource::inactive(golden.index) };
            resources
                .iter_mut()
                .filter(|one| one.index == resource.index)
                .for_each(|one| *one = resource.clone());
        }
        Self {
            tag_id: formats::hex(&measurements::digest(&["tag", &id])),
            id,
            product: architecture.product().to_owned(),
            edition: if architecture.is_switch() { "SWITCH" } else { "GPU" }.to_owned(),
            version,
            resources,
            signature: SignatureFields {
                canonicalization: C14N_11,
                signature: ECDSA_SHA384,
                digest: SHA384,
                transforms: vec![ENVELOPED, C14N_11],
                references: vec![""],
                signer: signers::signer_key(architecture),
            },
            chain: signers::chain(keys, architecture),
            edits: Vec::new(),
        }
    }

    /// The active resource with this index.
    pub fn resource_mut(&mut self, index: u8) -> Option<&mut Resource> {
        let index = index.to_string();
        self.resources.iter_mut().find(|resource| resource.index == index)
    }

    /// The signed document.
    pub fn issue(&self, keys: &Keyring) -> Rim {
        let signed_info = self.signed_info();
        let signature = keys
            .sign_raw(&self.signature.signer, signed_info.canonical(ABOVE_SIGNED_INFO, PREFIXES).as_bytes());
        let chain: Vec<Vec<u8>> = self.chain.iter().map(|certificate| certificate.issue(keys)).collect();
        let data = (chain.iter()).fold(Element::new("ds:X509Data"), |data, der| {
            data.child(Element::new("ds:X509Certificate").text(formats::base64_lines(der)))
        });
        let value = Element::new("ds:SignatureValue").text(STANDARD.encode(signature));
        let signature = Element::new("ds:Signature")
            .namespace("ds", XMLDSIG)
            .child(signed_info)
            .child(value)
            .child(Element::new("ds:KeyInfo").child(data));
        let mut xml = self.document().child(signature).source();
        xml.push('\n');
        for (from, to) in &self.edits {
            xml = xml.replacen(from, to, 1);
        }
        Rim { id: self.id.clone(), xml, chain }
    }

    /// SHA-384 of the canonical document without its signature, as DigestValue holds it.
    pub fn digest(&self) -> [u8; 48] {
        Sha384::digest(self.document().canonical(&[], PREFIXES)).into()
    }

    fn signed_info(&self) -> Element {
        let SignatureFields { canonicalization, signature, digest, transforms, references, .. } =
            &self.signature;
        let algorithm = |name: &str, uri: &str| Element::new(name).attribute("Algorithm", uri);
        let value = STANDARD.encode(self.digest());
        let reference = |uri: &str| {
            let transforms = (transforms.iter())
                .fold(Element::new("ds:Transforms"), |all, uri| all.child(algorithm("ds:Transform", uri)));
            Element::new("ds:Reference")
                .attribute("URI", uri)
                .child(transforms)
                .child(algorithm("ds:DigestMethod", digest))
                .child(Element::new("ds:DigestValue").text(value.as_str()))
        };
        let head = Element::new("ds:SignedInfo")
            .child(algorithm("ds:CanonicalizationMethod", canonicalization))
            .child(algorithm("ds:SignatureMethod", signature));
        references.iter().fold(head, |info, uri| info.child(reference(uri)))
    }

    /// The document without its signature; white space as in the genuine files.
    fn document(&self) -> Element {
        let payload = (self.resources.iter())
            .fold(Element::new("ns0:Payload").namespace("SHA384", SHA384_NAMESPACE), |payload, resource| {
                payload.text("\n        ").child(resource.element())
            })
            .text("\n    ");
        Element::new("SoftwareIdentity")
            .namespace("", SWID)
            .namespace("ns0", SWID)
            .namespace("ns2", SHA384_NAMESPACE)
            .attribute("corpus", "false")
            .attribute("name", self.product.as_str())
            .attribute("patch", "false")
            .attribute("supplemental", "false")
            .attribute("tagId", self.tag_id.as_str())
            .attribute("version", "1.0")
            .attribute("tagVersion", "0")
            .text("\n    ")
            .child(
                Element::new("ns0:Entity")
                    .attribute("name", "NVIDIA Corporation")
                    .attribute("role", "softwareCreator tagCreator"),
            )
            .text("\n    ")
            .child(self.meta())
            .text("\n    ")
            .child(payload)
            .text("\n")
    }

    fn meta(&self) -> Element {
        Element::new("ns0:Meta")
            .namespace("ns1", TCG_RIM)
            .attribute("colloquialVersion", self.version.as_str())
            .attribute("edition", self.edition.as_str())
            .attribute("product", self.product.as_str())
            .attribute("revision", "r1")
            .attribute("PayloadType", "direct")
            .attribute("ns1:BindingSpec", "RIMIM")
            .attribute("ns1:BindingSpecVersion", "1.01")
            .attribute("ns1:PlatformManufacturerId", "5703")
            .attribute("ns1:PlatformManufacturerStr", "NVIDIA Corporation")
            .attribute("ns1:PlatformModel", self.product.as_str())
            .attribute("ns1:FirmwareManufacturer", "NVIDIA Corporation")
            .attribute("ns1:FirmwareManufacturerId", "5703")
    }
}

impl Resource {
    /// What a manifest writes for an index that it does not define.
    pub fn inactive(index: u8) -> Self {
        Self {
            index: index.to_string(),
            active: false,
            alternatives: None,
            hashes: vec!["0".repeat(96)],
            name: format!("Measurement_{index}"),
            size: 48,
        }
    }

    fn element(&self) -> Element {
        let alternatives = self.alternatives.unwrap_or(self.hashes.len());
        let head = Element::new("ns0:Resource")
            .attribute("type", "Measurement")
            .attribute("index", self.index.as_str())
            .attribute("active", if self.active { "True" } else { "False" })
            .attribute("alternatives", alternatives.to_string());
        (self.hashes.iter().enumerate())
            .fold(head, |element, (at, hash)| element.attribute(&format!("ns2:Hash{at}"), hash.as_str()))
            .attribute("name", self.name.as_str())
            .attribute("size", self.size.to_string())
    }
}
