//! What the handshake refuses, and what it never leaves behind.

use tiltyard_attestation::Hex;
use tiltyard_enclave::attested::{AttestError, Client, Clients, Peer, Server, Unattested};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::ends::{CLIENT_NONCE, End, Raw, SERVER_NONCE, WAIT, anonymous, wire};

#[tokio::test]
async fn a_hello_of_tls_1_2_gets_an_alert() {
    let guest = End::new();
    let server = guest.public();
    let (mut near, far) = wire();
    // No supported_versions extension.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let (answer, accepted) = tokio::join!(
        async {
            near.write_all(&hello).await.unwrap();
            let mut answer = Vec::new();
            near.read_to_end(&mut answer).await.unwrap();
            answer
        },
        Unattested::accept(far, &server, WAIT),
    );
    assert!(matches!(accepted, Err(AttestError::Tls(_))));
    assert_eq!(answer.first(), Some(&0x15), "an alert, and the end");
}

#[tokio::test]
async fn no_ticket_no_resumption_and_no_early_data() {
    let guest = End::new();
    for (client, server) in [(anonymous(), guest.public()), (guest.client(), guest.server())] {
        assert!(!client.config().enable_early_data);
        let config = server.config();
        assert_eq!((config.send_tls13_tickets, config.max_early_data_size), (0, 0));
        assert!(!config.session_storage.can_cache() && !config.ticketer.enabled());
        // The second connection of the same client is as full a handshake as the first.
        for _ in 0..2 {
            let (near, far) = wire();
            let (raw, _) = tokio::join!(
                async {
                    let mut raw = Raw::connect(near, &client).await;
                    raw.question(CLIENT_NONCE).await;
                    raw
                },
                async {
                    let line = Unattested::accept(far, &server, WAIT).await.unwrap();
                    line.show(|question| guest.give(question)).await.unwrap()
                },
            );
            let connection = raw.0.get_ref().1;
            assert_eq!(connection.handshake_kind(), Some(rustls::HandshakeKind::Full));
            assert_eq!(connection.tls13_tickets_received(), 0);
        }
    }
}

#[tokio::test]
async fn a_guest_that_asks_for_a_certificate_refuses_whoever_has_none() {
    let guest = End::new();
    let (near, far) = wire();
    let (client, server) = (anonymous(), guest.server());
    let (_, accepted) =
        tokio::join!(Unattested::connect(near, &client, WAIT), Unattested::accept(far, &server, WAIT));
    assert!(matches!(accepted, Err(AttestError::Tls(_))));

    // And one that shows none cannot take part in an exchange of both.
    let (near, far) = wire();
    let (client, server) = (anonymous(), guest.public());
    let (line, _) =
        tokio::join!(Unattested::connect(near, &client, WAIT), Unattested::accept(far, &server, WAIT));
    let refused = line.unwrap().mutual(guest.demand(SERVER_NONCE), |question| guest.give(question)).await;
    assert!(matches!(refused, Err(AttestError::NoCertificate)));
}

#[tokio::test]
async fn a_pinned_key_lets_nobody_else_through() {
    let (guest, other) = (End::new(), End::new());
    let pin = Peer::Pinned(Hex::sha256(&guest.identity.spki()));
    for (pinned, passes) in [(&guest, true), (&other, false)] {
        let (near, far) = wire();
        let (client, server) = (Client::new(None, pin).unwrap(), pinned.public());
        let (connected, _) =
            tokio::join!(Unattested::connect(near, &client, WAIT), Unattested::accept(far, &server, WAIT));
        assert_eq!(connected.is_ok(), passes);

        let (near, far) = wire();
        let server = Server::new(&other.identity, Clients::Certified(pin)).unwrap();
        let client = pinned.client();
        let (_, accepted) =
            tokio::join!(Unattested::connect(near, &client, WAIT), Unattested::accept(far, &server, WAIT));
        assert_eq!(accepted.is_ok(), passes);
    }
}
