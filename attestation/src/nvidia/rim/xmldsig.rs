//! The one XML signature that a manifest may have (XML Signature 1.1, RIM-02, RIM-03).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA384, digest};
use roxmltree::{Document, Node};

use super::{RimError, c14n, tree};
use crate::Hex;
use crate::chain::Links;
use crate::chain::ec::{CERTIFICATES_MAX, Certificate, Curve, Form};

const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const C14N_1_1: &str = "http://www.w3.org/2006/12/xml-c14n11";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const SHA_384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";

/// A signature of the one allowed form, not yet verified.
pub(super) struct Signature<'a, 'i> {
    element: Node<'a, 'i>,
    signed_info: Node<'a, 'i>,
    digest: Hex<48>,
    value: Hex<96>,
    /// As in KeyInfo: the signer's certificate first, DER.
    certificates: Vec<Vec<u8>>,
}

impl<'a, 'i> Signature<'a, 'i> {
    /// Finds the signature: one element of that name in the whole document, and child of the root.
    pub(super) fn read(document: &'a Document<'i>) -> Result<Self, RimError> {
        let mut found = document.descendants().filter(|node| node.has_tag_name((XMLDSIG, "Signature")));
        let (Some(element), None) = (found.next(), found.next()) else {
            let got = document.descendants().filter(|node| node.has_tag_name((XMLDSIG, "Signature"))).count();
            return Err(RimError::SignatureForm { expected: "one Signature", got });
        };
        if element.parent() != Some(document.root_element()) {
            return Err(RimError::SignatureForm { expected: "the Signature as a child of the root", got: 0 });
        }
        let [signed_info, value, key_info] = children(element, ["SignedInfo", "SignatureValue", "KeyInfo"])?;
        Ok(Self {
            element,
            signed_info,
            digest: reference(signed_info)?,
            value: decode(value)?,
            certificates: certificates(key_info)?,
        })
    }

    /// Proves digest and signature over `document`, the tree that this signature was read from, and gives
    /// the signer's certificates.
    pub(super) fn verify(self, document: &Document<'i>, links: &Links) -> Result<Vec<Vec<u8>>, RimError> {
        let canonical = c14n::document(document, Some(self.element.id()));
        let mut got = Hex([0; 48]);
        got.0.copy_from_slice(digest(&SHA384, &canonical).as_ref());
        if got != self.digest {
            return Err(RimError::DigestMismatch { expected: self.digest, got });
        }
        let signer = self.certificates.first().map(Vec::as_slice).unwrap_or_default();
        let signer_sha256 = Hex::sha256(signer);
        let certificate = Certificate::parse(signer, 0)
            .ok()
            .filter(|certificate| certificate.curve() == Curve::P384)
            .ok_or(RimError::SignerKey { signer_sha256 })?;
        let signed_info = c14n::subtree(self.signed_info)?;
        if !certificate.verifies(&signed_info, self.value.bytes(), Form::Fixed, links) {
            return Err(RimError::Signature { signer_sha256 });
        }
        Ok(self.certificates)
    }
}

/// The digest that SignedInfo states, once everything else in it is as it must be (4.4).
fn reference(signed_info: Node<'_, '_>) -> Result<Hex<48>, RimError> {
    attributes(signed_info, [])?;
    let [canonicalization, method, reference] =
        children(signed_info, ["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
    algorithm(canonicalization, "canonicalization", C14N_1_1)?;
    algorithm(method, "signature method", ECDSA_SHA384)?;
    let [uri] = attributes(reference, ["URI"])?;
    if !uri.is_empty() {
        return Err(RimError::SignatureForm {
            expected: "a reference to the whole document",
            got: uri.len(),
        });
    }
    let [transforms, digest_method, digest] =
        children(reference, ["Transforms", "DigestMethod", "DigestValue"])?;
    attributes(transforms, [])?;
    let [enveloped, canonical] = children(transforms, ["Transform", "Transform"])?;
    algorithm(enveloped, "first transform", ENVELOPED)?;
    algorithm(canonical, "second transform", C14N_1_1)?;
    algorithm(digest_method, "digest method", SHA_384)?;
    attributes(digest, [])?;
    decode(digest)
}

/// The certificates of the only X509Data. Neither element is signed, so what else is in them is a hint
/// that nothing here takes (4.5).
fn certificates(key_info: Node<'_, '_>) -> Result<Vec<Vec<u8>>, RimError> {
    let data: Vec<_> = named(key_info, "X509Data")?.collect();
    let [data] = data[..] else {
        return Err(RimError::SignatureForm { expected: "one X509Data", got: data.len() });
    };
    let certificates = named(data, "X509Certificate")?;
    match certificates.clone().count() {
        1..=CERTIFICATES_MAX => certificates.map(base64).collect(),
        got => Err(RimError::SignatureForm { expected: "1 to 8 certificates", got }),
    }
}

fn named<'a, 'i>(
    parent: Node<'a, 'i>,
    name: &'static str,
) -> Result<impl Iterator<Item = Node<'a, 'i>> + Clone, RimError> {
    Ok(elements(parent)?.filter(move |node| node.has_tag_name((XMLDSIG, name))))
}

fn elements<'a, 'i>(parent: Node<'a, 'i>) -> Result<impl Iterator<Item = Node<'a, 'i>> + Clone, RimError> {
    tree::elements(parent)
        .map_err(|_| RimError::SignatureForm { expected: "no text between elements", got: 1 })
}

/// Exactly these children, in this order, all of the signature namespace.
fn children<'a, 'i, const N: usize>(
    parent: Node<'a, 'i>,
    names: [&'static str; N],
) -> Result<[Node<'a, 'i>; N], RimError> {
    let found: Vec<_> = elements(parent)?.take(N + 1).collect();
    let named = found.iter().zip(names).all(|(node, name)| node.has_tag_name((XMLDSIG, name)));
    let got = found.len();
    match <[Node<'a, 'i>; N]>::try_from(found) {
        Ok(found) if named => Ok(found),
        _ => Err(RimError::SignatureForm { expected: "the children of the one allowed form", got }),
    }
}

/// Exactly these attributes, in any order, without namespace.
fn attributes<'a, const N: usize>(
    element: Node<'a, '_>,
    names: [&'static str; N],
) -> Result<[&'a str; N], RimError> {
    let got = element.attributes().len();
    let form = RimError::SignatureForm { expected: "the attributes of the one allowed form", got };
    if got != N {
        return Err(form);
    }
    let mut values = [""; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = element.attribute(name).ok_or_else(|| form.clone())?;
    }
    Ok(values)
}

/// An empty element that names one algorithm.
fn algorithm(element: Node<'_, '_>, role: &'static str, expected: &'static str) -> Result<(), RimError> {
    let [found] = attributes(element, ["Algorithm"])?;
    let [] = children(element, [])?;
    if found == expected { Ok(()) } else { Err(RimError::Algorithm { role, expected }) }
}

fn decode<const N: usize>(element: Node<'_, '_>) -> Result<Hex<N>, RimError> {
    let bytes = base64(element)?;
    Hex::from_slice(&bytes)
        .ok_or(RimError::SignatureForm { expected: "a value of its exact length", got: bytes.len() })
}

/// Padded base64 with white space anywhere (4.1).
fn base64(element: Node<'_, '_>) -> Result<Vec<u8>, RimError> {
    let form = |got| RimError::SignatureForm { expected: "base64", got };
    let mut digits = tree::text(element).map_err(|_| form(0))?.into_bytes();
    digits.retain(|&byte| !tree::is_space(byte));
    STANDARD.decode(&digits).map_err(|_| form(digits.len()))
}
