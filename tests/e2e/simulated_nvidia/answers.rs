//! OCSP answers: form, responder and signature.

use ring::digest::{SHA384, digest};
use ring::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use x509_cert::der::Encode;

use crate::chains::{parse, point};
use crate::sets;
use crate::tlv::{Tlv, members, only};

/// One successful answer taken apart.
struct Answer<'a> {
    signed: Tlv<'a>,
    signature: &'a [u8],
    responder: &'a [u8],
    single: Vec<Tlv<'a>>,
}

fn read(der: &[u8]) -> Answer<'_> {
    let [status, bytes] = members(only(der))[..] else { panic!("status and bytes") };
    assert_eq!((status.tag, status.content), (0x0a, &[0][..]), "successful");
    let [_, basic] = members(only(bytes.content))[..] else { panic!("type and answer") };
    let [signed, _, signature, certificates] = members(only(basic.content))[..] else {
        panic!("basic answer")
    };
    let responder = members(only(certificates.content))[0].whole;
    let [_, _, responses] = members(signed)[..] else { panic!("responder, time, answers") };
    let [single] = members(responses)[..] else { panic!("one answer") };
    Answer { signed, signature: &signature.content[1..], responder, single: members(single) }
}

#[test]
fn every_certificate_between_leaf_and_root_has_a_good_answer_of_its_issuers_delegate() {
    for (name, set) in sets() {
        let device = set.evidence.iter().map(|one| &one.chain[1..]);
        let chains = device.chain(set.rims.iter().map(|rim| &rim.chain[..]));
        let mut asked = std::collections::BTreeSet::new();
        for pair in chains.flat_map(|chain| chain.windows(2)) {
            let (subject, issuer) = (parse(&pair[0]), parse(&pair[1]));
            let serial = subject.tbs_certificate().serial_number().as_bytes().to_vec();
            let found = set.answers.iter().find(|answer| answer.serial == serial).expect(name);
            asked.insert(serial.clone());
            let answer = read(&found.der);
            let id = members(answer.single[0]);
            let issuer_name = issuer.tbs_certificate().subject().to_der().expect("DER");
            assert_eq!(id[1].content, digest(&SHA384, &issuer_name).as_ref());
            assert_eq!(id[2].content, digest(&SHA384, &point(&issuer)).as_ref());
            assert_eq!(id[3].content, serial);
            assert_eq!(answer.single[1].whole, [0x80, 0], "good");
            assert_eq!(answer.single[2].content, b"20261122230000Z");
            assert_eq!(only(answer.single[3].content).content, b"20261129230000Z");
            let responder = parse(answer.responder);
            let verify = |key: Vec<u8>, message: &[u8], signature: &[u8]| {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key).verify(message, signature).is_ok()
            };
            assert!(verify(point(&responder), answer.signed.whole, answer.signature), "{name}: answer");
            let body = responder.tbs_certificate().to_der().expect("DER");
            let signature = responder.signature().as_bytes().expect("whole bytes");
            assert!(verify(point(&issuer), &body, signature), "{name}: responder");
        }
        assert_eq!(asked.len(), set.answers.len(), "{name}: one answer a certificate");
    }
}
