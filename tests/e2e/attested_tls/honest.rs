//! Both directions between honest ends.

use tiltyard_attestation::cmw::{self, EVIDENCE_MEDIA_TYPE, ID_PE_CMW, MessageType};
use tiltyard_enclave::attested::{ATTESTED_FOR_S, Identity, Unattested};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bench::NOW;
use crate::ends::{CLIENT_NONCE, End, SERVER_NONCE, WAIT, anonymous, wire};

#[tokio::test]
async fn a_client_checks_a_guest_and_then_speaks() {
    let guest = End::new();
    let (near, far) = wire();
    let (client, server) = (anonymous(), guest.public());
    let ask = async {
        let line = Unattested::connect(near, &client, WAIT).await.unwrap();
        let mut line = line.check(guest.demand(CLIENT_NONCE)).await.unwrap();
        assert_eq!(line.result().keys().tls_spki(), guest.identity.spki());
        assert!(line.is_fresh(NOW + ATTESTED_FOR_S) && !line.is_fresh(NOW + ATTESTED_FOR_S + 1));
        assert!(!line.is_fresh(NOW - 1), "evidence of the future");
        line.write_all(b"hello").await.unwrap();
        line.flush().await.unwrap();
    };
    let answer = async {
        let line = Unattested::accept(far, &server, WAIT).await.unwrap();
        let mut stream = line.show(|question| guest.give(question)).await.unwrap().into_stream();
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    };
    tokio::join!(ask, answer);
}

#[tokio::test]
async fn two_guests_check_each_other_and_then_speak() {
    let (one, two) = (End::new(), End::new());
    let (near, far) = wire();
    let (client, server) = (one.client(), two.server());
    let calling = async {
        let line = Unattested::connect(near, &client, WAIT).await.unwrap();
        let mut line = line.mutual(one.demand(CLIENT_NONCE), |question| one.give(question)).await.unwrap();
        assert_eq!(line.result().keys().tls_spki(), two.identity.spki());
        line.write_all(b"hello").await.unwrap();
        line.flush().await.unwrap();
    };
    let called = async {
        let line = Unattested::accept(far, &server, WAIT).await.unwrap();
        let mut line = line.mutual(two.demand(SERVER_NONCE), |question| two.give(question)).await.unwrap();
        assert_eq!(line.result().keys().tls_spki(), one.identity.spki());
        let mut heard = [0; 5];
        line.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    };
    tokio::join!(calling, called);
}

#[test]
fn evidence_in_a_certificate_is_read_back_under_the_same_key() {
    let mut identity = Identity::generate("guest.tiltyard").unwrap();
    let spki = identity.spki();
    assert_eq!(cmw::in_certificate(identity.certificate()), Ok(None));
    identity.certify(&ID_PE_CMW, cmw::to_extension(EVIDENCE_MEDIA_TYPE, b"{}").unwrap()).unwrap();
    let found = cmw::in_certificate(identity.certificate()).unwrap().unwrap();
    assert_eq!(
        (found.kind, found.value),
        (MessageType::Media(EVIDENCE_MEDIA_TYPE.to_owned()), b"{}".to_vec())
    );
    assert_eq!(identity.spki(), spki);
    // DICE: the octet string of CBOR, in a sequence.
    let dice = [0x30, 0x0a, 0x04, 0x08, 0x82, 0x63, b'a', b'/', b'b', 0x42, 0xab, 0xcd].to_vec();
    identity.certify(&[2, 23, 133, 5, 4, 9], dice).unwrap();
    let found = cmw::in_certificate(identity.certificate()).unwrap().unwrap();
    assert_eq!((found.kind, found.value), (MessageType::Media("a/b".to_owned()), vec![0xab, 0xcd]));
}
