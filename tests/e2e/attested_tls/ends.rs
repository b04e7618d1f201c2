//! A simulated guest with its certificate, and an end of the wire that follows no protocol.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::policy::Product;
use tiltyard_attestation::{Hex, Verifier};
use tiltyard_enclave::GuestError;
use tiltyard_enclave::attested::{
    AttestError, Client, Clients, Demand, Identity, Lease, Peer, Question, Server,
};
use tiltyard_simulator::mint::mint_edited;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::bench::{Bench, NOW};

pub(crate) const WAIT: Duration = Duration::from_secs(30);
pub(crate) const CLIENT_NONCE: Hex<32> = Hex([0xc1; 32]);
pub(crate) const SERVER_NONCE: Hex<32> = Hex([0x5e; 32]);

/// One guest: what it is, the key that it shows, and how it judges others.
pub(crate) struct End {
    bench: Bench,
    verifier: Verifier,
    pub(crate) identity: Identity,
}

impl End {
    pub(crate) fn new() -> Self {
        let identity = Identity::generate("guest.tiltyard").unwrap();
        let bench =
            Bench::lab(Product::Genoa, 3).with(|bench| bench.guest.keys.tls_spki = identity.spki().into());
        Self { verifier: bench.verifier(), bench, identity }
    }

    /// Evidence of this guest over whatever is asked.
    pub(crate) fn give(&self, question: Question) -> Result<Evidence, GuestError> {
        let mut guest = self.bench.guest.clone();
        guest.channel = Some(question.channel);
        Ok(mint_edited(&self.bench.platform, &guest, 3, question.nonce, |_| {}))
    }

    pub(crate) fn demand(&self, nonce: Hex<32>) -> Demand<'_> {
        let config = &self.bench.guest.config;
        Demand {
            verifier: &self.verifier,
            collateral: &self.bench.collateral,
            nonce,
            role: config.role,
            charter: config.charter,
            order: config.order,
            lease: Lease::AsShown,
            clock: || NOW,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(Some(&self.identity), Peer::ByEvidence).unwrap()
    }

    pub(crate) fn server(&self) -> Server {
        Server::new(&self.identity, Clients::Certified(Peer::ByEvidence)).unwrap()
    }

    /// The server that anybody may ask.
    pub(crate) fn public(&self) -> Server {
        Server::new(&self.identity, Clients::Anonymous).unwrap()
    }
}

pub(crate) fn anonymous() -> Client {
    Client::new(None, Peer::ByEvidence).unwrap()
}

pub(crate) fn wire() -> (DuplexStream, DuplexStream) {
    duplex(64 * 1024)
}

/// Findings as `id code`.
pub(crate) fn refusal<T>(result: Result<T, AttestError>) -> Vec<String> {
    match result {
        Err(AttestError::Refused(refusal)) => {
            refusal.findings.iter().map(|row| format!("{} {}", row.check, row.code)).collect()
        }
        Err(other) => panic!("expected a refusal, found {other}"),
        Ok(_) => panic!("expected a refusal, found a connection"),
    }
}

/// A client of the library alone, which may send what it likes.
pub(crate) struct Raw(pub(crate) TlsStream<DuplexStream>);

impl Raw {
    pub(crate) async fn connect(wire: DuplexStream, client: &Client) -> Self {
        let name = ServerName::try_from("guest.tiltyard.invalid").unwrap();
        Self(TlsConnector::from(Arc::clone(client.config())).connect(name, wire).await.unwrap())
    }

    pub(crate) async fn send(&mut self, message: &[u8]) {
        self.0.write_u32(message.len().try_into().unwrap()).await.unwrap();
        self.0.write_all(message).await.unwrap();
        self.0.flush().await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        let mut message = vec![0; self.0.read_u32().await.unwrap() as usize];
        self.0.read_exact(&mut message).await.unwrap();
        message
    }

    /// Asks for evidence, and gives it as it came.
    pub(crate) async fn question(&mut self, nonce: Hex<32>) -> Vec<u8> {
        self.send(format!("{{\"nonce\":\"{nonce}\"}}").as_bytes()).await;
        self.receive().await
    }
}
