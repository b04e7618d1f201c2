//! The routes. Every refusal is a problem document (RFC 9457) with a stable code.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tiltyard_attestation::{Base64Bytes, Hex};
use tiltyard_provisioning::json::{self, JsonError};
use tiltyard_provisioning::release::{
    ATTEST_PATH, AttestRequest, CHALLENGE_PATH, ChallengeRequest, DEPOSIT_PATH, Deposit, END_PATH, End,
    REQUEST_MAX_BYTES,
};
use tiltyard_provisioning::statement::Signed;

use super::tls::SharedStream;
use crate::protocol::{Channel, Code, Core, Denial, ENTRIES_MAX, LogState};

/// For the body of one request.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// Namespace of `type` members; they name a problem and need not resolve.
const PROBLEM_TYPE: &str = "urn:tiltyard:broker:";

/// What every route of one connection needs.
#[derive(Clone)]
struct Connection {
    core: Arc<Core>,
    stream: SharedStream,
}

/// The routes of one connection.
pub(super) fn router(core: Arc<Core>, stream: SharedStream) -> Router {
    Router::new()
        .route(CHALLENGE_PATH, post(challenge))
        .route(ATTEST_PATH, post(attest))
        .route(DEPOSIT_PATH, post(deposit))
        .route(END_PATH, post(end))
        .route("/tiltyard/v1/ledger/checkpoint", get(checkpoint))
        .route("/tiltyard/v1/ledger/entries", get(entries))
        .route("/tiltyard/v1/ledger/consistency", get(consistency))
        .fallback(nothing_here)
        .method_not_allowed_fallback(nothing_here)
        .with_state(Connection { core, stream })
}

async fn challenge(State(connection): State<Connection>, body: Body) -> Result<Response, Problem> {
    let request: ChallengeRequest = read(body).await?;
    let core = connection.core;
    blocking(move || core.challenge(&request, crate::now())).await.map(answer)
}

async fn attest(State(connection): State<Connection>, body: Body) -> Result<Response, Problem> {
    let request: AttestRequest = read(body).await?;
    let nonce = Core::nonce_of(&request)?;
    let exporter = connection
        .stream
        .exporter(&nonce)
        .ok_or_else(|| Denial::new(Code::ChannelBinding, "this channel has no exporter"))?;
    let core = connection.core;
    blocking(move || core.attest(&request, Channel::Exporter(exporter), crate::now())).await.map(answer)
}

async fn deposit(State(connection): State<Connection>, body: Body) -> Result<Response, Problem> {
    let request: Signed<Deposit> = read(body).await?;
    let core = connection.core;
    blocking(move || core.deposit(&request, crate::now())).await.map(answer)
}

async fn end(State(connection): State<Connection>, body: Body) -> Result<Response, Problem> {
    let request: Signed<End> = read(body).await?;
    let core = connection.core;
    blocking(move || core.end(&request, crate::now())).await.map(answer)
}

async fn checkpoint(State(connection): State<Connection>) -> Result<Response, Problem> {
    let core = connection.core;
    let note = blocking(move || core.ledger_checkpoint()).await?;
    let note = note.ok_or_else(|| Denial::new(Code::ResourceNotFound, "the ledger is empty"))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response())
}

/// Which entries of the ledger.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    first: u64,
    count: Option<u32>,
}

#[derive(Serialize)]
struct Entries {
    first: u64,
    entries: Vec<Base64Bytes>,
}

async fn entries(
    State(connection): State<Connection>,
    range: Result<Query<Range>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Range { first, count }) = range.map_err(|error| Denial::new(Code::Syntax, error))?;
    let core = connection.core;
    let entries = blocking(move || core.ledger_entries(first, count.unwrap_or(ENTRIES_MAX))).await?;
    Ok(answer(Entries { first, entries: entries.into_iter().map(Base64Bytes).collect() }))
}

/// Between which two sizes of the ledger.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    old: u64,
    new: u64,
}

#[derive(Serialize)]
struct Consistency {
    proof: Vec<Hex<32>>,
}

async fn consistency(
    State(connection): State<Connection>,
    sizes: Result<Query<Sizes>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Sizes { old, new }) = sizes.map_err(|error| Denial::new(Code::Syntax, error))?;
    let core = connection.core;
    let proof = blocking(move || core.ledger_consistency(old, new)).await?;
    Ok(answer(Consistency { proof }))
}

async fn nothing_here() -> Problem {
    Denial::new(Code::ResourceNotFound, "no such path or method").into()
}

/// Reads a body with limit and deadline, then the document in it: closed members, no key twice.
async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let too_large = || Denial::new(Code::TooLarge, format!("expected at most {REQUEST_MAX_BYTES} bytes"));
    let collected = tokio::time::timeout(BODY_DEADLINE, Limited::new(body, REQUEST_MAX_BYTES).collect())
        .await
        .map_err(|_| Denial::new(Code::Syntax, "the body did not arrive in time"))?;
    let bytes: Bytes = match collected {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large().into()),
        Err(_) => return Err(Denial::new(Code::Syntax, "the body ended early").into()),
    };
    json::read(&bytes, REQUEST_MAX_BYTES).map_err(|error| match error {
        JsonError::TooLarge { .. } => too_large().into(),
        error => Denial::new(Code::Syntax, error).into(),
    })
}

/// Appraisal and store take milliseconds of CPU and disk: not on the threads that move bytes.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Denial> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(Problem),
        Err(_) => Err(Denial::new(Code::Busy, "the request was dropped").into()),
    }
}

fn answer(document: impl Serialize) -> Response {
    // Strings, integers and lists only, which always serialise.
    let body = serde_json::to_vec(&document).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A refusal on the wire.
struct Problem(Denial);

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        Self(denial)
    }
}

#[derive(Serialize)]
struct ProblemDocument<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remembered: Option<LogState>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Denial { code, detail, reason, remembered } = self.0;
        let document = ProblemDocument {
            r#type: format!("{PROBLEM_TYPE}{}", code.name()),
            title: code.title(),
            status: code.status(),
            code: code.name(),
            detail: &detail,
            reason,
            remembered,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
