//! TLS 1.3 over a host's raw stream, with the exporter within reach after the handshake.
//!
//! An HTTP library takes the stream away, but evidence is bound to the channel by an exporter whose context holds
//! a nonce that is known only later. So the stream is shared, and whoever serves it can still ask.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::Side;
use tiltyard_provisioning::channel::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::attested::{self, Client, Clients, Identity, Peer, Server};
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
        let client =
            Client::new(None, Peer::Pinned(pin)).map_err(|_| GuestError::Crypto("TLS configuration"))?;
        let name = ServerName::try_from("broker.tiltyard").map_err(|_| GuestError::Crypto("server name"))?;
        let tls = TlsConnector::from(Arc::clone(client.config()))
            .connect(name, raw.compat())
            .await
            .map_err(|error| GuestError::Channel(format!("TLS with the broker: {error}")))?;
        let spki = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|certificate| attested::spki(certificate).ok())
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
        let stream = self.tls.lock().map_err(|_| GuestError::Crypto("channel lock"))?;
        attested::exporter(&stream, nonce, side, b"", &self.server_spki)
            .map_err(|_| GuestError::Crypto("exporter"))
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

/// TLS 1.3 with the boot's key, for clients that anybody may be.
pub(crate) fn acceptor(identity: &Identity) -> Result<TlsAcceptor, GuestError> {
    let server =
        Server::new(identity, Clients::Anonymous).map_err(|_| GuestError::Crypto("TLS configuration"))?;
    Ok(TlsAcceptor::from(Arc::clone(server.config())))
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
