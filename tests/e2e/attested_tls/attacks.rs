//! Evidence that is genuine, and not this channel's.

use std::time::Duration;

use tiltyard_attestation::evidence::{EVIDENCE_MAX_BYTES, Evidence};
use tiltyard_enclave::attested::{AttestError, Unattested};
use tiltyard_provisioning::channel::ChannelError;

use crate::ends::{CLIENT_NONCE, End, Raw, SERVER_NONCE, WAIT, anonymous, refusal, wire};

#[derive(serde::Deserialize)]
struct Answer {
    evidence: Evidence,
}

#[tokio::test]
async fn chn_01_evidence_relayed_from_a_second_connection() {
    let (guest, between) = (End::new(), End::new());
    let (near, far) = wire();
    let (inner_near, inner_far) = wire();
    let client = anonymous();
    // The one between asks the true guest the client's question, over a connection of its own.
    let (relayed, _) =
        tokio::join!(async { Raw::connect(inner_near, &client).await.question(CLIENT_NONCE).await }, async {
            let line = Unattested::accept(inner_far, &guest.public(), WAIT).await.unwrap();
            line.show(|question| guest.give(question)).await.unwrap()
        },);
    let relayed: Answer = serde_json::from_slice(&relayed).unwrap();
    let server = between.public();
    let (checked, _) = tokio::join!(
        async {
            let line = Unattested::connect(near, &client, WAIT).await.unwrap();
            line.check(guest.demand(CLIENT_NONCE)).await
        },
        async {
            let line = Unattested::accept(far, &server, WAIT).await.unwrap();
            line.show(|question| {
                assert_eq!(question.nonce, CLIENT_NONCE, "the relay passed the right nonce on");
                Ok(relayed.evidence)
            })
            .await
        },
    );
    assert_eq!(refusal(checked), ["CHN-01 ChannelBinding"]);
}

/// The attacker holds the guest's own TLS key and made it use one nonce twice, so that only the side differs.
#[tokio::test]
async fn chn_01_evidence_reflected_to_who_gave_it() {
    let guest = End::new();
    let (near, far) = wire();
    let (client, server) = (guest.client(), guest.server());
    let (_, checked) = tokio::join!(
        async {
            let mut attacker = Raw::connect(near, &client).await;
            let own = attacker.question(SERVER_NONCE).await;
            assert!(String::from_utf8(own).unwrap().contains(&SERVER_NONCE.to_string()));
            let evidence = attacker.receive().await;
            attacker.send(&evidence).await;
            attacker
        },
        async {
            let line = Unattested::accept(far, &server, WAIT).await.unwrap();
            line.mutual(guest.demand(SERVER_NONCE), |question| guest.give(question)).await
        },
    );
    assert_eq!(refusal(checked), ["CHN-01 ChannelBinding"]);
}

#[tokio::test]
async fn chn_02_certificate_of_another_key_than_the_attested_one() {
    let (guest, other) = (End::new(), End::new());
    // Either end: a server that shows another key to an anonymous client, and a client that does to a server.
    let (near, far) = wire();
    let (client, server) = (anonymous(), other.public());
    let (checked, _) = tokio::join!(
        async {
            let line = Unattested::connect(near, &client, WAIT).await.unwrap();
            line.check(guest.demand(CLIENT_NONCE)).await
        },
        async {
            let line = Unattested::accept(far, &server, WAIT).await.unwrap();
            line.show(|question| guest.give(question)).await
        },
    );
    assert_eq!(refusal(checked), ["CHN-02 ChannelPeer"]);

    let (near, far) = wire();
    let (client, server) = (other.client(), guest.server());
    let (_, checked) = tokio::join!(
        async {
            let line = Unattested::connect(near, &client, WAIT).await.unwrap();
            line.mutual(guest.demand(CLIENT_NONCE), |question| guest.give(question)).await
        },
        async {
            let line = Unattested::accept(far, &server, WAIT).await.unwrap();
            line.mutual(guest.demand(SERVER_NONCE), |question| guest.give(question)).await
        },
    );
    assert_eq!(refusal(checked), ["CHN-02 ChannelPeer"]);
}

#[tokio::test]
async fn evidence_that_comes_late_or_never_ends_the_connection() {
    let guest = End::new();
    let (near, far) = wire();
    let (client, server) = (guest.client(), guest.server());
    let wait = Duration::from_millis(500);
    let (_silent, late) = tokio::join!(Raw::connect(near, &client), async {
        let line = Unattested::accept(far, &server, wait).await.unwrap();
        line.check(guest.demand(SERVER_NONCE)).await
    });
    assert!(matches!(late, Err(AttestError::Late { wait: found }) if found == wait));
}

#[tokio::test]
async fn an_answer_over_its_limit_is_refused_by_its_length() {
    let guest = End::new();
    let (near, far) = wire();
    let (client, server) = (guest.client(), guest.server());
    let over = u32::try_from(EVIDENCE_MAX_BYTES).unwrap() + 1024 + 1;
    let (_, refused) = tokio::join!(
        async {
            use tokio::io::AsyncWriteExt;
            let mut raw = Raw::connect(near, &client).await;
            raw.receive().await;
            raw.0.write_u32(over).await.unwrap();
            raw.0.flush().await.unwrap();
            raw
        },
        async {
            let line = Unattested::accept(far, &server, WAIT).await.unwrap();
            line.check(guest.demand(SERVER_NONCE)).await
        },
    );
    let Err(AttestError::Message(ChannelError::MessageTooLarge { got, .. })) = refused else {
        panic!("expected a refusal by length");
    };
    assert_eq!(got, u64::from(over));
}

#[tokio::test]
async fn another_document_than_evidence_is_refused() {
    let guest = End::new();
    let (near, far) = wire();
    let (client, server) = (guest.client(), guest.server());
    let (_, refused) = tokio::join!(
        async {
            let mut raw = Raw::connect(near, &client).await;
            raw.receive().await;
            raw.send(br#"{"weights":"here"}"#).await;
            raw
        },
        async {
            let line = Unattested::accept(far, &server, WAIT).await.unwrap();
            line.check(guest.demand(SERVER_NONCE)).await
        },
    );
    assert!(matches!(refused, Err(AttestError::Message(ChannelError::Syntax { .. }))));
}
