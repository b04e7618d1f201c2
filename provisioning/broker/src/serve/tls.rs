//! TLS 1.3 without tickets or early data; the exporter stays within reach after the handshake (ATTESTATION 11).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{EXPORTER_LABEL, Side, exporter_context};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::BrokerError;
use crate::identity::TlsIdentity;

/// The server's side of TLS, and the SubjectPublicKeyInfo that it shows.
pub(crate) fn acceptor(identity: &TlsIdentity) -> Result<(TlsAcceptor, Vec<u8>), BrokerError> {
    let failed = |_| BrokerError::Internal { what: "TLS configuration" };
    let certificate = CertificateDer::from(identity.certificate.clone());
    let spki = ParsedCertificate::try_from(&certificate).map_err(failed)?.subject_public_key_info().to_vec();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(identity.key.to_vec()).into())
        .map_err(failed)?;
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), spki))
}

/// A TLS stream that the HTTP library and the binding code share.
///
/// The nonce that the exporter's context holds is known only once the request has been read, and by then
/// the HTTP library owns the stream. Both run in one task, so the lock is never waited for.
#[derive(Clone)]
pub(super) struct SharedStream {
    tls: Arc<Mutex<TlsStream<TcpStream>>>,
    server_spki: Arc<[u8]>,
}

impl SharedStream {
    pub(super) fn new(tls: TlsStream<TcpStream>, server_spki: Arc<[u8]>) -> Self {
        Self { tls: Arc::new(Mutex::new(tls)), server_spki }
    }

    /// The channel's exporter for a guest's nonce; guests show no client certificate.
    pub(super) fn exporter(&self, nonce: &Hex<32>) -> Option<Hex<32>> {
        let context = exporter_context(nonce, Side::Client, b"", &self.server_spki);
        let stream = self.tls.lock().ok()?;
        let connection = stream.get_ref().1;
        connection.export_keying_material([0; 32], EXPORTER_LABEL, Some(context.bytes())).ok().map(Hex)
    }

    fn with<R>(
        &self,
        act: impl FnOnce(Pin<&mut TlsStream<TcpStream>>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        match self.tls.lock() {
            Ok(mut stream) => act(Pin::new(&mut stream)),
            Err(_) => Poll::Ready(Err(io::ErrorKind::Other.into())),
        }
    }
}

impl AsyncRead for SharedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for SharedStream {
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
