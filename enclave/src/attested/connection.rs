//! A connection before and after its evidence.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tiltyard_attestation::binding::Side;
use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::{AttestationResult, Hex};
use tiltyard_provisioning::channel::{read_message, write_message};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::exchange::{ANSWER_MAX_BYTES, ASK_MAX_BYTES, Answer, Ask};
use super::{AttestError, Client, Demand, EXCHANGE_MAX, Question, Server, exporter, spki};
use crate::error::GuestError;

/// A connection older than this must be attested anew, on a new connection, in seconds.
pub const ATTESTED_FOR_S: u64 = 300;

/// A TLS connection that has shown nothing yet: it can exchange a nonce and evidence, and do nothing else.
///
/// Bytes go over an [`Attested`] connection:
///
/// ```
/// use tiltyard_enclave::attested::Attested;
/// use tokio::io::AsyncWriteExt;
///
/// async fn speak(mut line: Attested<tokio::net::TcpStream>) {
///     let _ = line.write_all(b"weights").await;
/// }
/// ```
///
/// and not over this one:
///
/// ```compile_fail
/// use tiltyard_enclave::attested::Unattested;
/// use tokio::io::AsyncWriteExt;
///
/// async fn speak(mut line: Unattested<tokio::net::TcpStream>) {
///     let _ = line.write_all(b"weights").await;
/// }
/// ```
pub struct Unattested<S> {
    line: Line<S>,
    own: Side,
    client_spki: Vec<u8>,
    server_spki: Vec<u8>,
}

/// A connection whose peer's evidence passed; only [`Unattested`] makes it.
pub struct Attested<S> {
    tls: TlsStream<S>,
    result: AttestationResult,
}

/// A connection on which this end gave evidence and asked for none: who the peer is stays unknown.
pub struct Shown<S> {
    tls: TlsStream<S>,
}

/// The stream with what is left of its time.
struct Line<S> {
    tls: TlsStream<S>,
    wait: Duration,
    until: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Unattested<S> {
    /// Connects; handshake and exchange must end within `wait`, at most [`EXCHANGE_MAX`].
    pub async fn connect(raw: S, client: &Client, wait: Duration) -> Result<Self, AttestError> {
        let (wait, until) = deadline(wait);
        // The name plays no part: the key and its evidence say who this is.
        let name = ServerName::try_from("guest.tiltyard.invalid").map_err(|_| AttestError::NoCertificate)?;
        let connecting = TlsConnector::from(client.config().clone()).connect(name, raw);
        let tls: TlsStream<S> = within(wait, until, connecting).await?.map_err(AttestError::Tls)?.into();
        let server_spki = peer_spki(&tls)?.ok_or(AttestError::NoCertificate)?;
        let client_spki = client.spki.clone();
        Ok(Self { line: Line { tls, wait, until }, own: Side::Client, client_spki, server_spki })
    }

    /// Accepts; otherwise as [`Self::connect`].
    pub async fn accept(raw: S, server: &Server, wait: Duration) -> Result<Self, AttestError> {
        let (wait, until) = deadline(wait);
        let accepting = TlsAcceptor::from(server.config().clone()).accept(raw);
        let tls: TlsStream<S> = within(wait, until, accepting).await?.map_err(AttestError::Tls)?.into();
        let client_spki = peer_spki(&tls)?.unwrap_or_default();
        let server_spki = server.spki.clone();
        Ok(Self { line: Line { tls, wait, until }, own: Side::Server, client_spki, server_spki })
    }

    /// Asks for the peer's evidence and appraises it; this end gives none.
    pub async fn check(mut self, demand: Demand<'_>) -> Result<Attested<S>, AttestError> {
        let issued_at = self.ask(&demand).await?;
        let result = self.judge(&demand, issued_at).await?;
        Ok(Attested { tls: self.line.tls, result })
    }

    /// Answers the peer's question, and asks none: for a server that anybody may ask.
    ///
    /// `give` blocks for as long as the hardware takes.
    pub async fn show(
        mut self,
        give: impl FnOnce(Question) -> Result<Evidence, GuestError>,
    ) -> Result<Shown<S>, AttestError> {
        let asked: Ask = self.line.read(ASK_MAX_BYTES).await?;
        self.give(asked, give).await?;
        Ok(Shown { tls: self.line.tls })
    }

    /// Both ends ask and both answer. The client shows its own evidence only to a server whose evidence passed.
    pub async fn mutual(
        mut self,
        demand: Demand<'_>,
        give: impl FnOnce(Question) -> Result<Evidence, GuestError>,
    ) -> Result<Attested<S>, AttestError> {
        if self.client_spki.is_empty() {
            return Err(AttestError::NoCertificate);
        }
        let issued_at = self.ask(&demand).await?;
        let asked: Ask = self.line.read(ASK_MAX_BYTES).await?;
        let result = match self.own {
            Side::Client => {
                let result = self.judge(&demand, issued_at).await?;
                self.give(asked, give).await?;
                result
            }
            Side::Server => {
                self.give(asked, give).await?;
                self.judge(&demand, issued_at).await?
            }
        };
        Ok(Attested { tls: self.line.tls, result })
    }

    /// Sends the nonce, and says when.
    async fn ask(&mut self, demand: &Demand<'_>) -> Result<u64, AttestError> {
        let issued_at = (demand.clock)();
        self.line.write(&Ask { nonce: demand.nonce }).await?;
        Ok(issued_at)
    }

    async fn give(
        &mut self,
        asked: Ask,
        give: impl FnOnce(Question) -> Result<Evidence, GuestError>,
    ) -> Result<(), AttestError> {
        let channel = self.exporter(&asked.nonce, self.own)?;
        let evidence = give(Question { nonce: asked.nonce, channel })?;
        self.line.write(&Answer { evidence }).await
    }

    async fn judge(&mut self, demand: &Demand<'_>, issued_at: u64) -> Result<AttestationResult, AttestError> {
        let (side, spki) = match self.own {
            Side::Client => (Side::Server, &self.server_spki),
            Side::Server => (Side::Client, &self.client_spki),
        };
        // Without a certificate there is no key to hold the evidence against (CHN-02).
        if spki.is_empty() {
            return Err(AttestError::NoCertificate);
        }
        let channel = self.exporter(&demand.nonce, side)?;
        let Answer { evidence } = self.line.read(ANSWER_MAX_BYTES).await?;
        demand.appraise(issued_at, channel, spki.clone(), &evidence)
    }

    fn exporter(&self, nonce: &Hex<32>, side: Side) -> Result<Hex<32>, AttestError> {
        exporter(&self.line.tls, nonce, side, &self.client_spki, &self.server_spki)
            .map_err(AttestError::Exporter)
    }
}

impl<S> Attested<S> {
    /// What the peer is.
    pub fn result(&self) -> &AttestationResult {
        &self.result
    }

    /// Whether the evidence is still young enough at `now` (Unix seconds).
    pub fn is_fresh(&self, now: u64) -> bool {
        now.checked_sub(self.result.appraised_at()).is_some_and(|age_s| age_s <= ATTESTED_FOR_S)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    async fn write(&mut self, message: &impl Serialize) -> Result<(), AttestError> {
        let mut stream = (&mut self.tls).compat();
        Ok(within(self.wait, self.until, write_message(&mut stream, message)).await??)
    }

    async fn read<T: DeserializeOwned>(&mut self, max_bytes: u32) -> Result<T, AttestError> {
        let mut stream = (&mut self.tls).compat();
        Ok(within(self.wait, self.until, read_message(&mut stream, max_bytes)).await??)
    }
}

fn deadline(wait: Duration) -> (Duration, Instant) {
    let wait = wait.min(EXCHANGE_MAX);
    (wait, Instant::now() + wait)
}

async fn within<T>(wait: Duration, until: Instant, work: impl Future<Output = T>) -> Result<T, AttestError> {
    timeout_at(until, work).await.map_err(|_| AttestError::Late { wait })
}

fn peer_spki<S>(tls: &TlsStream<S>) -> Result<Option<Vec<u8>>, AttestError> {
    let leaf = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
    leaf.map(spki).transpose().map_err(|error| AttestError::Tls(io::Error::other(error)))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Attested<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Attested<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

impl<S> Shown<S> {
    /// The stream, to serve anybody.
    pub fn into_stream(self) -> TlsStream<S> {
        self.tls
    }
}
