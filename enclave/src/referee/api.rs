//! The attested API: HTTP over TLS that ends in this guest, on connections that have been shown evidence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Extension, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::Side;
use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::result::Anchors;
use tiltyard_provisioning::channel::Stream;
use tiltyard_provisioning::record::Record;
use tiltyard_provisioning::statement::Signed;
use tokio::sync::{RwLock, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::attester::Devices;
use crate::channel::{AttestedStream, acceptor};
use crate::error::GuestError;
use crate::session::Guest;

const REQUEST_MAX_BYTES: usize = 1024 * 1024;
const CONNECTIONS_MAX: usize = 32;
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// For the next request on a kept connection.
const IDLE_WAIT: Duration = Duration::from_secs(60);
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
const PAGE_DEFAULT: usize = 20;
const PAGE_MAX: usize = 100;

/// What the API shows: public facts only, replaced whole after each step of the tournament.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) tournament: serde_json::Value,
    pub(crate) standings: serde_json::Value,
    pub(crate) rows: Vec<StandingRow>,
    pub(crate) leaves: Vec<Vec<u8>>,
    pub(crate) checkpoint: String,
    pub(crate) record: Option<Signed<Record>>,
    pub(crate) bundle: Option<Bytes>,
}

/// One line of the page's table.
pub(crate) struct StandingRow {
    pub(crate) place: String,
    pub(crate) label: String,
    pub(crate) submission: String,
    pub(crate) note: String,
}

/// The API's listener: it has no socket, the host hands it raw streams.
pub(crate) struct Api {
    acceptor: TlsAcceptor,
    router: Router,
    spki: Vec<u8>,
    connections: Arc<Semaphore>,
}

struct Shared {
    guest: Arc<Guest>,
    view: Arc<RwLock<View>>,
    anchors: Anchors,
    /// Reports are slow and anyone may ask: one at a time.
    reports: Semaphore,
}

/// One connection: the channel that evidence is bound to, and whether it was asked for.
#[derive(Clone)]
struct Connection {
    stream: AttestedStream,
    attested: Arc<AtomicBool>,
}

impl Api {
    pub(crate) fn new(
        guest: &Arc<Guest>,
        view: Arc<RwLock<View>>,
        anchors: Anchors,
    ) -> Result<Self, GuestError> {
        let shared = Arc::new(Shared { guest: Arc::clone(guest), view, anchors, reports: Semaphore::new(1) });
        let router = Router::new()
            .route("/", get(page))
            .route("/v1/charter", get(charter))
            .route("/v1/tournament", get(tournament))
            .route("/v1/standings", get(standings))
            .route("/v1/record", get(record))
            .route("/v1/bundle", get(bundle))
            .route("/v1/log/checkpoint", get(checkpoint))
            .route("/v1/log/entries", get(entries))
            .layer(middleware::from_fn(attest_first))
            .route("/attestation/challenge", post(challenge))
            .fallback(|| async { problem(StatusCode::NOT_FOUND, "route_unknown", "GET / lists the routes") })
            .method_not_allowed_fallback(|| async {
                problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "GET / lists the routes")
            })
            .layer(DefaultBodyLimit::max(REQUEST_MAX_BYTES))
            .with_state(shared);
        Ok(Self {
            acceptor: acceptor(guest.attester.tls())?,
            router,
            spki: guest.attester.keys().tls_spki.0.clone(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        })
    }

    /// Serves one client on its own task; a client too many is dropped.
    pub(crate) fn accept(&self, raw: Stream) {
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else { return };
        let (acceptor, router, spki) = (self.acceptor.clone(), self.router.clone(), self.spki.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let handshake = AttestedStream::accept(raw, &acceptor, &spki);
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_WAIT, handshake).await else { return };
            let connection = Connection { stream: stream.clone(), attested: Arc::default() };
            let service = TowerToHyperService::new(router.layer(Extension(connection)));
            let serving = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE_WAIT)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off is its own affair.
            let _ = tokio::time::timeout(CONNECTION_LIFE, serving).await;
        });
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeBody {
    nonce: Hex<32>,
}

#[derive(Serialize)]
struct EvidenceBody {
    evidence: Evidence,
}

async fn challenge(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    body: Result<Json<ChallengeBody>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let Ok(Json(ChallengeBody { nonce })) = body else {
        return problem(
            StatusCode::BAD_REQUEST,
            "bad_challenge",
            "expected {\"nonce\": \"<64 lower-case hex digits>\"}",
        );
    };
    let Ok(_turn) = shared.reports.acquire().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "no_evidence", "try again");
    };
    let evidence = connection.stream.exporter(&nonce, Side::Server).and_then(|channel| {
        tokio::task::block_in_place(|| shared.guest.attester.evidence(nonce, Some(channel), Devices::InFull))
    });
    match evidence {
        Ok(evidence) => {
            connection.attested.store(true, Ordering::Release);
            Json(EvidenceBody { evidence }).into_response()
        }
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "no_evidence", "try again"),
    }
}

/// A connection that never asked for evidence has no reason to believe the answers.
async fn attest_first(
    Extension(connection): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let waived = request.headers().get("attest").is_some_and(|value| value == "waived");
    if waived || connection.attested.load(Ordering::Acquire) {
        return next.run(request).await;
    }
    problem(
        StatusCode::PRECONDITION_REQUIRED,
        "attest_first",
        "POST /attestation/challenge on this connection first, or use `tiltyard connect`",
    )
}

async fn tournament(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.view.read().await.tournament.clone()).into_response()
}

async fn standings(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.view.read().await.standings.clone()).into_response()
}

async fn charter(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], shared.guest.charter.payload().to_vec()).into_response()
}

async fn record(State(shared): State<Arc<Shared>>) -> Response {
    match &shared.view.read().await.record {
        Some(record) => Json(record.clone()).into_response(),
        None => undecided(),
    }
}

async fn bundle(State(shared): State<Arc<Shared>>) -> Response {
    match &shared.view.read().await.bundle {
        Some(bundle) => {
            ([(header::CONTENT_TYPE, "application/x-tar")], Body::from(bundle.clone())).into_response()
        }
        None => undecided(),
    }
}

async fn checkpoint(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], shared.view.read().await.checkpoint.clone())
        .into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<usize>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Entries {
    data: Vec<serde_json::Value>,
    has_more: bool,
    first_id: Option<usize>,
    last_id: Option<usize>,
}

async fn entries(
    State(shared): State<Arc<Shared>>,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let bad = || problem(StatusCode::BAD_REQUEST, "bad_cursor", "expected ?after=<leaf index>&limit=1..100");
    let Ok(Query(page)) = page else { return bad() };
    let limit = page.limit.unwrap_or(PAGE_DEFAULT);
    let view = shared.view.read().await;
    let first = page.after.map_or(0, |after| after.saturating_add(1));
    if !(1..=PAGE_MAX).contains(&limit) || first > view.leaves.len() {
        return bad();
    }
    let end = view.leaves.len().min(first + limit);
    let data: Vec<_> =
        view.leaves[first..end].iter().filter_map(|leaf| serde_json::from_slice(leaf).ok()).collect();
    let shown = end > first;
    Json(Entries {
        data,
        has_more: end < view.leaves.len(),
        first_id: shown.then_some(first),
        last_id: shown.then(|| end - 1),
    })
    .into_response()
}

#[derive(Template)]
#[template(path = "standings.html")]
struct StandingsPage<'a> {
    tournament: &'a str,
    charter: String,
    roots: String,
    rows: &'a [StandingRow],
    decided: bool,
}

async fn page(State(shared): State<Arc<Shared>>) -> Response {
    let view = shared.view.read().await;
    let page = StandingsPage {
        tournament: &shared.guest.charter.tournament.id,
        charter: shared.guest.charter.p().to_string(),
        roots: shared.anchors.to_string(),
        rows: &view.rows,
        decided: view.record.is_some(),
    };
    let Ok(html) = page.render() else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "page", "use /v1/standings");
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    (headers, html).into_response()
}

fn undecided() -> Response {
    problem(StatusCode::CONFLICT, "undecided", "the tournament is not decided yet; see /v1/tournament")
}

/// RFC 9457.
fn problem(status: StatusCode, code: &'static str, hint: &'static str) -> Response {
    #[derive(Serialize)]
    struct Problem {
        r#type: String,
        status: u16,
        code: &'static str,
        hint: &'static str,
    }
    let body =
        Problem { r#type: format!("urn:tiltyard:problem:{code}"), status: status.as_u16(), code, hint };
    (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
}
