//! Device and manifest chains, read by x509-cert and verified by ring.

use ring::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use tiltyard_simulator::nvidia::draft::DeviceEvidence;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use crate::sets;
use crate::tlv::{members, only};

/// TCG DICE arcs, as the genuine leaves of GH100 and LS10, and of GB100, use them.
const DICE_ON_HOPPER: &str = "2.23.133.5.4.1";
const DICE_ON_BLACKWELL: &str = "2.23.133.5.4.1.1";

pub(crate) fn parse(der: &[u8]) -> Certificate {
    Certificate::from_der(der).expect("certificate")
}

/// Public point of a certificate.
pub(crate) fn point(certificate: &Certificate) -> Vec<u8> {
    let key = certificate.tbs_certificate().subject_public_key_info();
    key.subject_public_key.as_bytes().expect("whole bytes").to_vec()
}

/// Value of the extension with this id.
fn extension<'c>(certificate: &'c Certificate, id: &str) -> Option<&'c [u8]> {
    let extensions = certificate.tbs_certificate().extensions()?;
    extensions.iter().find(|one| one.extn_id.to_string() == id).map(|one| one.extn_value.as_bytes())
}

/// Over the received bytes: x509-cert would write the dates of manifest authorities again, in another type.
fn signed_by(der: &[u8], issuer: &Certificate) -> bool {
    let [message, _, signature] = members(only(der))[..] else { panic!("a certificate") };
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point(issuer));
    key.verify(message.whole, &signature.content[1..]).is_ok()
}

/// Names, key ids and signatures from each certificate to the next, the last by itself.
fn assert_chain(chain: &[Vec<u8>], root: &[u8]) {
    let parsed: Vec<Certificate> = chain.iter().map(|der| parse(der)).collect();
    for (place, certificate) in parsed.iter().enumerate() {
        let issuer = parsed.get(place + 1).unwrap_or(certificate);
        let body = certificate.tbs_certificate();
        assert_eq!(body.issuer(), issuer.tbs_certificate().subject(), "{place}");
        assert!(signed_by(&chain[place], issuer), "{place}: signature");
        let own = &extension(issuer, "2.5.29.14").expect("subject key id")[2..];
        let above = &extension(certificate, "2.5.29.35").expect("authority key id")[4..];
        assert_eq!(own, above, "{place}: key ids");
    }
    assert_eq!(chain.last().map(Vec::as_slice), Some(root));
}

#[test]
fn chains_of_devices_and_manifests_verify() {
    for (name, set) in sets() {
        for one in &set.evidence {
            assert_eq!(one.chain.len(), 5, "{name}");
            assert_chain(&one.chain, &set.device_root);
        }
        for rim in &set.rims {
            assert_eq!(rim.chain.len(), 4, "{name}");
            assert_chain(&rim.chain, &set.rim_root);
        }
    }
}

#[test]
fn another_seed_gives_another_root_and_the_same_seed_the_same_bytes() {
    use tiltyard_simulator::nvidia::Lab;
    let again = Lab::from_seed(crate::SEED).one_h100().issue();
    assert_eq!(again.evidence, sets()[0].1.evidence);
    assert_eq!(again.rims, sets()[0].1.rims);
    let other = Lab::from_seed([8; 32]).one_h100().issue();
    assert_ne!(other.device_root, again.device_root);
    let chain = &other.evidence[0].chain;
    assert!(!signed_by(&chain[3], &parse(&again.device_root)), "the other identity under this root");
    assert!(signed_by(&chain[3], &parse(&other.device_root)));
}

#[test]
fn every_device_of_a_set_has_its_own_identity() {
    for (name, set) in sets() {
        let leaves: std::collections::BTreeSet<&Vec<u8>> =
            set.evidence.iter().map(|one| &one.chain[0]).collect();
        assert_eq!(leaves.len(), set.evidence.len(), "{name}");
    }
}

/// FWID by the family's own rule, and what stands in the last 48 bytes of the extension.
fn fwid(one: &DeviceEvidence) -> (Vec<u8>, Vec<u8>) {
    let leaf = parse(&one.chain[0]);
    let (hopper, blackwell) = (extension(&leaf, DICE_ON_HOPPER), extension(&leaf, DICE_ON_BLACKWELL));
    let (value, entry) = match (hopper, blackwell) {
        (Some(value), None) => {
            let parts = members(only(value));
            assert_eq!(parts[0].content, [1], "version");
            let device_key = parse(&one.chain[1]).tbs_certificate().subject_public_key_info().to_der();
            assert_eq!(parts[1].whole, device_key.expect("DER"), "the BROM's key");
            (value, parts[2])
        }
        (None, Some(value)) => {
            let parts = members(only(value));
            let tags: Vec<u8> = parts.iter().map(|part| part.tag).collect();
            assert_eq!(tags, [0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0xa6, 0x87, 0x88, 0x89]);
            (value, members(parts[6])[0])
        }
        other => panic!("one of the two extensions: {other:?}"),
    };
    (members(entry)[1].content.to_vec(), value[value.len() - 48..].to_vec())
}

#[test]
fn the_leaf_and_a_gpu_report_name_one_fwid() {
    for (name, set) in sets() {
        for one in &set.evidence {
            let (fwid, last) = fwid(one);
            let field = [&[20, 0, 48, 0][..], &fwid].concat();
            let found = one.report.windows(field.len()).any(|window| window == field);
            let switch = one.chain[0].windows(5).any(|text| text == b"LS_10");
            assert_eq!(found, !switch, "{name} {}", one.device);
            assert_eq!(
                fwid == last,
                *name != "eight_b200",
                "the last 48 bytes are the FWID except on Blackwell"
            );
        }
    }
}

#[test]
fn serial_numbers_name_the_device() {
    let set = &sets()[2].1;
    for one in &set.evidence {
        let (leaf, brom) = (parse(&one.chain[0]), parse(&one.chain[1]));
        let leaf_serial = leaf.tbs_certificate().serial_number().as_bytes().to_vec();
        let key_id = extension(&leaf, "2.5.29.14").expect("key id")[2..].to_vec();
        assert_eq!(leaf_serial[1..], key_id[1..]);
        assert_eq!(leaf_serial[0], key_id[0] & 0x7f | 0x40);
        let brom_serial = brom.tbs_certificate().serial_number().as_bytes().to_vec();
        let switch = one.report.len() < 4000;
        assert_eq!(brom_serial[0], if switch { 0x50 } else { 0x41 });
        // A switch reports its own PDI: the rest of that number.
        let own = [&[22, 0, 8, 0][..], &brom_serial[1..]].concat();
        assert_eq!(one.report.windows(own.len()).any(|window| window == own), switch);
    }
}
