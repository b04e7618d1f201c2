//! One connection to the referee: unattested until its evidence has passed.

use std::time::{Duration, Instant};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{EXPORTER_LABEL, Side, exporter_context};
use tiltyard_attestation::evidence::{EVIDENCE_MAX_BYTES, Evidence};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::gate::{Gate, GateError, Passed};
use super::tls;

/// A connection older than this is attested anew, on a new connection.
pub const ATTESTED_FOR: Duration = Duration::from_secs(300);
/// Largest answer to a challenge, in bytes: the evidence and its wrapping.
const ANSWER_MAX_BYTES: usize = EVIDENCE_MAX_BYTES + 1024;
const STEP_WAIT: Duration = Duration::from_secs(30);

/// Body of a request that goes upstream.
pub type RequestBody = BoxBody<Bytes, hyper::Error>;

/// Where the referee is.
#[derive(Debug, Clone)]
pub struct Target {
    address: String,
}

/// A TLS connection that has shown nothing yet. It can ask for evidence and do nothing else.
pub struct Unattested {
    sender: SendRequest<RequestBody>,
    nonce: Hex<32>,
    exporter: Hex<32>,
    spki: Vec<u8>,
    authority: String,
}

/// A connection whose evidence passed; only this one carries requests.
pub struct Attested {
    sender: SendRequest<RequestBody>,
    passed: Passed,
    since: Instant,
    authority: String,
}

/// Why there is no attested connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    #[error("referee {address}: {source}\n  check that it runs and that the address is its own")]
    Connect { address: String, source: std::io::Error },
    #[error("referee: {step} took more than {} s", STEP_WAIT.as_secs())]
    Slow { step: &'static str },
    #[error("referee: TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("referee: HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("referee: expected evidence, found HTTP status {got}")]
    Status { got: StatusCode },
    #[error("referee: expected at most {ANSWER_MAX_BYTES} bytes of evidence")]
    TooLarge,
    #[error("referee: expected an evidence document, found another")]
    Answer,
    #[error(transparent)]
    Gate(#[from] GateError),
}

#[derive(Serialize)]
struct ChallengeRequest {
    nonce: Hex<32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeAnswer {
    evidence: Evidence,
}

impl Target {
    /// The referee at `host:port`.
    pub fn new(address: String) -> Self {
        Self { address }
    }

    /// Connects, and fixes the nonce and the exporter that evidence must be bound to.
    pub async fn connect(&self, gate: &impl Gate) -> Result<Unattested, UpstreamError> {
        let refused = |source| UpstreamError::Connect { address: self.address.clone(), source };
        let socket = within("connecting", TcpStream::connect(&self.address)).await?.map_err(refused)?;
        socket.set_nodelay(true).map_err(refused)?;
        // The name plays no part: the evidence says who this is.
        let name = ServerName::try_from("referee.tiltyard.invalid").map_err(|_| UpstreamError::Answer)?;
        let stream = within("the TLS handshake", TlsConnector::from(tls::client()?).connect(name, socket))
            .await?
            .map_err(refused)?;
        let connection = stream.get_ref().1;
        let certificate = connection
            .peer_certificates()
            .and_then(<[_]>::first)
            .ok_or(rustls::Error::NoCertificatesPresented)?;
        let spki = tls::spki(certificate)?;
        let nonce = gate.nonce()?;
        let context = exporter_context(&nonce, Side::Server, b"", &spki);
        let exporter =
            Hex(connection.export_keying_material([0; 32], EXPORTER_LABEL, Some(context.bytes()))?);
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection; what went wrong shows at the next request.
        tokio::spawn(driver);
        Ok(Unattested { sender, nonce, exporter, spki, authority: self.address.clone() })
    }
}

impl Unattested {
    /// Asks for evidence and appraises it.
    pub async fn attest(mut self, gate: &impl Gate) -> Result<Attested, UpstreamError> {
        let since = Instant::now();
        let ask = ChallengeRequest { nonce: self.nonce };
        // One hex string, which always serialises.
        let body = Full::from(serde_json::to_vec(&ask).unwrap_or_default()).map_err(|never| match never {});
        let request = Request::builder()
            .method(Method::POST)
            .uri("/attestation/challenge")
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.boxed())
            .map_err(|_| UpstreamError::Answer)?;
        let answer = within("the evidence", read_answer(self.sender.send_request(request))).await??;
        let answer: ChallengeAnswer = serde_json::from_slice(&answer).map_err(|_| UpstreamError::Answer)?;
        let passed = gate.pass(self.nonce, self.exporter, &self.spki, &answer.evidence)?;
        Ok(Attested { sender: self.sender, passed, since, authority: self.authority })
    }
}

impl Attested {
    /// Whether it may still carry requests.
    pub fn is_fresh(&self) -> bool {
        !self.sender.is_closed() && self.since.elapsed() < ATTESTED_FOR
    }

    /// Whose roots vouch for it.
    pub fn passed(&self) -> Passed {
        self.passed
    }

    /// What requests name as their host.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Sends one request and gives the answer's head; its body follows as it arrives.
    pub async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, UpstreamError> {
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

async fn read_answer(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> Result<Bytes, UpstreamError> {
    let answer = answer.await?;
    if answer.status() != StatusCode::OK {
        return Err(UpstreamError::Status { got: answer.status() });
    }
    match Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(UpstreamError::TooLarge),
        Err(_) => Err(UpstreamError::Answer),
    }
}

async fn within<T>(step: &'static str, work: impl Future<Output = T>) -> Result<T, UpstreamError> {
    timeout(STEP_WAIT, work).await.map_err(|_| UpstreamError::Slow { step })
}
