//! TLS 1.3 over a host's raw stream, with the exporter within reach after the handshake.
//!
//! An HTTP library takes the stream away, but evidence is bound to the channel by an exporter whose context holds
//! a nonce that is known only later. So the stream is shared, and whoever serves it can still ask.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{EXPORTER_LABEL, Side, exporter_context};
use tiltyard_provisioning::channel::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::error::GuestError;

type Raw = Compat<Stream>;

/// A TLS stream that an HTTP library and the binding code share.
#[derive(Clone)]
pub(crate) struct AttestedStream {
    tls: Arc<Mutex<TlsStream<Raw>>>,
    server_spki: Arc<Vec<u8>>,
}

impl AttestedStream {
    /// Connects as a client; the server is known by the digest of its certificate's SubjectPublicKeyInfo.
    pub(crate) async fn connect(raw: Stream, pin: Hex<32>) -> Result<Self, GuestError> {
        let config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinnedServer(pin)))
            .with_no_client_auth();
        let mut config = config;
        config.resumption = rustls::client::Resumption::disabled();
        let name = ServerName::try_from("broker.tiltyard").map_err(|_| GuestError::Crypto("server name"))?;
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, raw.compat())
            .await
            .map_err(|error| GuestError::Channel(format!("TLS with the broker: {error}")))?;
        let spki = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|certificate| ParsedCertificate::try_from(certificate).ok())
            .map(|certificate| certificate.subject_public_key_info().to_vec())
            .ok_or_else(|| GuestError::Channel("TLS with the broker: no certificate".into()))?;
        Ok(Self { tls: Arc::new(Mutex::new(tls.into())), server_spki: Arc::new(spki) })
    }

    /// Accepts a client under the boot's own TLS key.
    pub(crate) async fn accept(
        raw: Stream,
        acceptor: &TlsAcceptor,
        server_spki: &[u8],
    ) -> Result<Self, GuestError> {
        let tls = acceptor
            .accept(raw.compat())
            .await
            .map_err(|error| GuestError::Channel(format!("TLS with a client: {error}")))?;
        Ok(Self { tls: Arc::new(Mutex::new(tls.into())), server_spki: Arc::new(server_spki.to_vec()) })
    }

    /// The channel's exporter for `nonce`, as evidence given by `side` (no client certificates).
    pub(crate) fn exporter(&self, nonce: &Hex<32>, side: Side) -> Result<Hex<32>, GuestError> {
        let context = exporter_context(nonce, side, b"", &self.server_spki);
        let stream = self.tls.lock().map_err(|_| GuestError::Crypto("channel lock"))?;
        let exported = match &*stream {
            TlsStream::Client(tls) => {
                tls.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, Some(context.bytes()))
            }
            TlsStream::Server(tls) => {
                tls.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, Some(context.bytes()))
            }
        };
        exported.map(Hex).map_err(|_| GuestError::Crypto("exporter"))
    }

    fn with<R>(
        &self,
        act: impl FnOnce(Pin<&mut TlsStream<Raw>>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        match self.tls.lock() {
            Ok(mut stream) => act(Pin::new(&mut stream)),
            Err(_) => Poll::Ready(Err(io::ErrorKind::Other.into())),
        }
    }
}

/// TLS 1.3 with the boot's key; no tickets, no early data.
pub(crate) fn acceptor(pkcs8: &[u8], certificate: &[u8]) -> Result<TlsAcceptor, GuestError> {
    let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.to_vec())],
            PrivatePkcs8KeyDer::from(pkcs8.to_vec()).into(),
        )
        .map_err(|_| GuestError::Crypto("TLS configuration"))?;
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl AsyncRead for AttestedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for AttestedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

/// Accepts exactly the server whose key the charter names; names and issuers play no part.
#[derive(Debug)]
struct PinnedServer(Hex<32>);

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let spki = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        if Hex::sha256(&spki) == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
