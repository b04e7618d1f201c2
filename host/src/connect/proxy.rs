//! The loopback side: plain HTTP from programs of this machine, forwarded over attested connections.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};

use super::gate::{Gate, GateError};
use super::upstream::{Attested, RequestBody, Target, UpstreamError};

/// Says on every forwarded answer that the evidence passed, and under whose roots.
pub const ATTESTATION_HEADER: HeaderName = HeaderName::from_static("tiltyard-attestation");
/// Connections of this machine's programs at a time.
const CLIENTS_MAX: usize = 32;
const HEADER_MAX_BYTES: usize = 32 * 1024;
const HEADER_WAIT: Duration = Duration::from_secs(30);

/// Headers that belong to one connection (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Forwards to one referee, held against one gate.
pub struct Proxy<G> {
    target: Target,
    gate: G,
    port: u16,
}

/// RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    code: &'a str,
    status: u16,
    title: &'a str,
    hint: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<String>,
}

type Answer = Response<RequestBody>;

impl<G: Gate> Proxy<G> {
    /// A proxy whose clients reach it at loopback, `port`.
    pub fn new(target: Target, gate: G, port: u16) -> Self {
        Self { target, gate, port }
    }

    /// Against DNS rebinding: a page of another name that resolves here says its own name.
    fn is_own_host(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| self.own_hosts().iter().any(|own| own == host))
    }

    /// Against pages of other origins: what a browser sends must come from our own pages.
    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::ORIGIN).iter().all(|origin| {
            let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
            origin.is_some_and(|origin| self.own_hosts().iter().any(|own| own == origin))
        })
    }

    fn own_hosts(&self) -> [String; 2] {
        [format!("127.0.0.1:{}", self.port), format!("localhost:{}", self.port)]
    }

    async fn answer(&self, upstream: &Mutex<Option<Attested>>, request: Request<Incoming>) -> Answer {
        if !self.is_own_host(request.headers()) || request.headers().get_all(header::HOST).iter().count() != 1
        {
            return problem(
                StatusCode::MISDIRECTED_REQUEST,
                "wrong_host",
                "The Host header names another server",
                "Use the address that tiltyard connect printed.",
                Vec::new(),
            );
        }
        if !self.is_own_origin(request.headers()) {
            return problem(
                StatusCode::FORBIDDEN,
                "foreign_origin",
                "The request comes from a page of another origin",
                "Open the console at the address that tiltyard connect printed.",
                Vec::new(),
            );
        }
        self.forward(upstream, request).await.unwrap_or_else(|error| refused(&error))
    }

    /// One upstream connection serves one client connection, attested before its first request.
    async fn forward(
        &self,
        upstream: &Mutex<Option<Attested>>,
        request: Request<Incoming>,
    ) -> Result<Answer, UpstreamError> {
        let mut held = upstream.lock().await;
        let mut attested = match held.take().filter(Attested::is_fresh) {
            Some(attested) => attested,
            None => self.target.connect(&self.gate).await?.attest(&self.gate).await?,
        };
        let (mut head, body) = request.into_parts();
        strip(&mut head.headers);
        let authority = HeaderValue::from_str(attested.authority()).map_err(|_| UpstreamError::Answer)?;
        head.headers.insert(header::HOST, authority);
        let answer = attested.send(Request::from_parts(head, body.boxed())).await?;
        let (mut head, body) = answer.into_parts();
        strip(&mut head.headers);
        head.headers.insert(ATTESTATION_HEADER, HeaderValue::from_static(attested.passed().header()));
        *held = Some(attested);
        Ok(Response::from_parts(head, body.boxed()))
    }
}

/// Serves this machine's programs until the task is dropped.
pub async fn serve<G: Gate>(listener: TcpListener, proxy: Proxy<G>) {
    let proxy = Arc::new(proxy);
    let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(client) = Arc::clone(&clients).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                let proxy = Arc::clone(&proxy);
                tokio::spawn(async move {
                    serve_client(&proxy, socket).await;
                    drop(client);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve_client<G: Gate>(proxy: &Proxy<G>, socket: TcpStream) {
    let upstream = Mutex::new(None);
    let service = service_fn(|request| async { Ok::<_, Infallible>(proxy.answer(&upstream, request).await) });
    // A client that breaks off is its own affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_buf_size(HEADER_MAX_BYTES)
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    // Only this program may say it.
    headers.remove(ATTESTATION_HEADER);
}

/// Nothing of the request has left when this is sent for lack of evidence.
fn refused(error: &UpstreamError) -> Answer {
    let (code, title) = match error {
        UpstreamError::Gate(_)
        | UpstreamError::Status { .. }
        | UpstreamError::Answer
        | UpstreamError::TooLarge => {
            ("attestation_refused", "The referee's evidence was refused; nothing was sent to it")
        }
        UpstreamError::Connect { .. }
        | UpstreamError::Slow { .. }
        | UpstreamError::Tls(_)
        | UpstreamError::Http(_) => ("unreachable", "The referee could not be reached"),
    };
    let findings = match error {
        UpstreamError::Gate(GateError::Refused(refusal)) => {
            refusal.findings.iter().map(ToString::to_string).collect()
        }
        _ => vec![error.to_string()],
    };
    problem(
        StatusCode::BAD_GATEWAY,
        code,
        title,
        "Compare charter, anchors and address with what the operator published.",
        findings,
    )
}

fn problem(status: StatusCode, code: &str, title: &str, hint: &str, findings: Vec<String>) -> Answer {
    let problem = Problem {
        r#type: format!("urn:tiltyard:problem:{code}"),
        code,
        status: status.as_u16(),
        title,
        hint,
        findings,
    };
    // Strings and one integer, which always serialise.
    let body = Bytes::from(serde_json::to_vec(&problem).unwrap_or_default());
    let mut answer = Response::new(Full::from(body).map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    answer
}
