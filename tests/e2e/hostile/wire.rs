//! A guest's channel to a broker: TLS 1.3 pinned to the charter's key, its exporter, HTTP/1.1.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
    StreamOwned,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{EXPORTER_LABEL, Side, exporter_context};

/// One connection to a broker.
pub(crate) struct Line {
    tls: StreamOwned<ClientConnection, TcpStream>,
    server_spki: Vec<u8>,
}

/// A refusal. These members and no others, so that nothing can travel beside them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "every member that a broker may send is named")]
pub(crate) struct Problem {
    r#type: Box<str>,
    title: Box<str>,
    status: u16,
    pub(crate) code: Box<str>,
    detail: Box<str>,
    /// Evidence only: the finding.
    pub(crate) reason: Option<Box<str>>,
    pub(crate) remembered: Option<Box<Remembered>>,
}

/// The state of a referee's log that a broker knows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remembered {
    pub(crate) size: u64,
    pub(crate) root: Hex<32>,
}

impl Line {
    /// Connects to the broker whose TLS key has this digest.
    pub(crate) fn connect(address: SocketAddr, pin: Hex<32>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pin { digest: pin, provider }))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from("broker.tiltyard").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.set_nodelay(true).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).unwrap();
        }
        let certificate = connection.peer_certificates().unwrap().first().unwrap().clone();
        let parsed = ParsedCertificate::try_from(&certificate).unwrap();
        let server_spki = parsed.subject_public_key_info().to_vec();
        Self { tls: StreamOwned::new(connection, socket), server_spki }
    }

    /// What evidence over this channel must name.
    pub(crate) fn exporter(&self, nonce: &Hex<32>) -> Hex<32> {
        let context = exporter_context(nonce, Side::Client, b"", &self.server_spki);
        Hex(self.tls.conn.export_keying_material([0; 32], EXPORTER_LABEL, Some(context.bytes())).unwrap())
    }

    pub(crate) fn post<A: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, Problem> {
        let body = serde_json::to_vec(body).unwrap();
        self.exchange("POST", path, &body).map(|answer| serde_json::from_slice(&answer).unwrap())
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Vec<u8>, Problem> {
        self.exchange("GET", path, b"")
    }

    fn exchange(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: broker\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.tls.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let (status, body) = self.answer();
        if status == 200 { Ok(body) } else { Err(serde_json::from_slice(&body).unwrap()) }
    }

    fn answer(&mut self) -> (u16, Vec<u8>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.tls.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; len.parse().unwrap()];
        self.tls.read_exact(&mut body).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }
}

#[derive(Debug)]
struct Pin {
    digest: Hex<32>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let spki = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        if Hex::sha256(&spki) == self.digest {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
