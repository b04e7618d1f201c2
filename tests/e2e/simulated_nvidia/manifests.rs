//! Manifests: digests that another XML library made, the signature over SignedInfo, and what may be read from them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use crate::chains::{parse, point};
use crate::sets;

/// Id, and SHA-384 of the document in canonical form without its signature, made with lxml 6.1.3 (libxml2) over the
/// files that `files::every_file_of_every_set` writes.
const GOLDEN: &[(&str, &str)] = &[
    (
        "NV_GPU_DRIVER_GH100_550.90.07",
        "0cadc58dd00cd0387111266b3ae4a82d9a1cda7cc706fff7\
         db981f236cab3f96a28bd7d303795354d98f43a959f1a3d2",
    ),
    (
        "NV_GPU_VBIOS_1010_0200_882_96009F0001",
        "74233bda1c703db617361d68f61044344fd4733d5e1d8a6c\
         ed2e94ff5c21d3616e8f4fce97e641060394ea0bc1085d01",
    ),
    (
        "NV_GPU_CC_DRIVER_GB100_590.12",
        "f5832392cab12d406e67247f9c6df0602d172209723f2dbc\
         5802ef5c1a0dbc24f8414ddac796480b76def3b6b8b2fd50",
    ),
    (
        "NV_GPU_VBIOS_G525_0220_886_970088000F",
        "007a285c11f98b2352caf91c9502f01ffbfd3f80fa587cb3\
         0c39ecce28ada2166d9b471971731a98cf68714516513d8a",
    ),
    (
        "NV_GPU_DRIVER_GH100_590.12",
        "7a9a7e623f28e467d8634d57d9f642bf49391b9251a2a605\
         6a86fcc3013e16c4a4eee5e77013537ae7666d70ca8ed4f2",
    ),
    (
        "NV_GPU_VBIOS_G520_0200_885_9600A50001",
        "ed14149c681d4f9ff0905cc87940f63c0d3257f6cfa84820\
         af486191d2f2c0909091012752ffdfdacbf794e1e941c0b7",
    ),
    (
        "NV_SWITCH_BIOS_5612_0002_890_9610550001",
        "9f0963c8e7dda1577d069546b2abc9150735387dbf18af33\
         02dd184bdaa1941fae2548fec6104de533ba2e04b5a36bd3",
    ),
];

/// Text between two marks.
pub(crate) fn between<'t>(text: &'t str, open: &str, close: &str) -> &'t str {
    let after = text.split_once(open).map(|(_, after)| after).expect("opening mark");
    after.split_once(close).map(|(inside, _)| inside).expect("closing mark")
}

/// Index and allowed values of every active resource.
pub(crate) fn active(xml: &str) -> Vec<(u8, Vec<Vec<u8>>)> {
    (xml.split("<ns0:Resource ").skip(1))
        .filter(|rest| rest.contains("active=\"True\""))
        .map(|rest| {
            let attributes =
                rest.split_once("/>").map(|(attributes, _)| attributes).expect("end of the element");
            let attribute = |name: &str| between(attributes, &format!("{name}=\""), "\"");
            let count: usize = attribute("alternatives").parse().expect("number");
            let value = |at: usize| bytes(attribute(&format!("ns2:Hash{at}")));
            (attribute("index").parse().expect("index"), (0..count).map(value).collect())
        })
        .collect()
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(pair).collect()
}

/// Canonical SignedInfo, written out: namespaces of the root and of Signature come down to it.
fn signed_info(digest: &str) -> String {
    let c14n = "http://www.w3.org/2006/12/xml-c14n11";
    let more = "http://www.w3.org/2001/04/xmldsig-more";
    let swid = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
    let ds = "http://www.w3.org/2000/09/xmldsig";
    format!(
        "<ds:SignedInfo xmlns=\"{swid}\" xmlns:ds=\"{ds}#\" xmlns:ns0=\"{swid}\" \
         xmlns:ns2=\"http://www.w3.org/2001/04/xmlenc#sha384\">\
         <ds:CanonicalizationMethod Algorithm=\"{c14n}\"></ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"{more}#ecdsa-sha384\"></ds:SignatureMethod>\
         <ds:Reference URI=\"\"><ds:Transforms>\
         <ds:Transform Algorithm=\"{ds}#enveloped-signature\"></ds:Transform>\
         <ds:Transform Algorithm=\"{c14n}\"></ds:Transform></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"{more}#sha384\"></ds:DigestMethod>\
         <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
}

#[test]
fn digests_are_those_of_another_library() {
    let rims: Vec<_> = sets().iter().flat_map(|(_, set)| &set.rims).collect();
    assert_eq!(rims.len(), GOLDEN.len());
    for (rim, (id, digest)) in rims.into_iter().zip(GOLDEN) {
        assert_eq!(rim.id, *id);
        let value = between(&rim.xml, "<ds:DigestValue>", "</ds:DigestValue>");
        assert_eq!(value, STANDARD.encode(bytes(digest)), "{id}");
    }
}

#[test]
fn the_first_certificate_signs_signed_info() {
    for rim in sets().iter().flat_map(|(_, set)| &set.rims) {
        let digest = between(&rim.xml, "<ds:DigestValue>", "</ds:DigestValue>");
        let value = STANDARD.decode(between(&rim.xml, "<ds:SignatureValue>", "</ds:SignatureValue>"));
        let text = between(&rim.xml, "<ds:X509Certificate>", "</ds:X509Certificate>").replace('\n', "");
        let signer = STANDARD.decode(text).expect("base64");
        assert_eq!(signer, rim.chain[0]);
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point(&parse(&signer)));
        assert!(key.verify(signed_info(digest).as_bytes(), &value.expect("base64")).is_ok(), "{}", rim.id);
    }
}

#[test]
fn a_manifest_holds_its_whole_chain_and_one_signature() {
    for rim in sets().iter().flat_map(|(_, set)| &set.rims) {
        assert_eq!(rim.xml.matches("<ds:Signature ").count(), 1);
        assert_eq!(rim.xml.matches("<ds:X509Certificate>").count(), 4);
        assert_eq!(rim.xml.matches("<ns0:Resource ").count(), 64);
        assert!(rim.xml.ends_with("</ds:Signature></SoftwareIdentity>\n"));
    }
}
