//! `tiltyard connect` against a stand-in referee: nothing leaves before evidence has passed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tiltyard_attestation::binding::{EXPORTER_LABEL, HpkePublicKey, PresentedKeys, Side, exporter_context};
use tiltyard_attestation::evidence::{CpuEvidence, Evidence};
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{CheckId, Code, Finding, Hex, Refusal};
use tiltyard_host::connect::{Gate, GateError, Passed, Proxy, Target, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A referee that counts what reaches it.
#[derive(Default)]
struct Referee {
    handshakes: AtomicUsize,
    requests: Mutex<Vec<String>>,
    exporters: Mutex<Vec<Hex<32>>>,
    answered: Mutex<Vec<u8>>,
    /// Given in place of evidence of its own.
    replayed: Mutex<Option<Vec<u8>>>,
}

/// A gate for the tests: passes evidence that carries this connection's exporter.
struct TestGate {
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Appraise,
    Refuse,
}

impl Gate for TestGate {
    fn nonce(&self) -> Result<Hex<32>, GateError> {
        Ok(Hex([5; 32]))
    }

    fn pass(
        &self,
        nonce: Hex<32>,
        exporter: Hex<32>,
        spki: &[u8],
        evidence: &Evidence,
    ) -> Result<Passed, GateError> {
        assert_eq!(nonce, Hex([5; 32]));
        let attested = evidence.keys.digests().tls;
        let bound = evidence.runtime.0 == exporter.bytes() && attested == Hex::sha256(spki);
        if bound && self.verdict == Verdict::Appraise {
            return Ok(Passed::under(Anchors::NotVendor(Hex([0; 32]))));
        }
        let finding = Finding {
            check: CheckId::Chn01,
            submod: "channel".into(),
            code: Code::ChannelBinding,
            expected: exporter.to_string(),
            got: "another".into(),
        };
        let refusal = Refusal { findings: vec![finding], anchors: Anchors::Vendor, trace: Vec::new() };
        Err(Box::new(refusal).into())
    }
}

/// Starts a referee; gives it and its address.
async fn referee() -> (Arc<Referee>, String) {
    let cert = rcgen::generate_simple_self_signed(["referee".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(cert.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(vec![cert.cert.der().clone()], key.into())
        .unwrap();
    let spki = rustls::server::ParsedCertificate::try_from(cert.cert.der())
        .unwrap()
        .subject_public_key_info()
        .to_vec();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let referee = Arc::new(Referee::default());
    let served = Arc::clone(&referee);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (acceptor, referee, spki) = (acceptor.clone(), Arc::clone(&served), spki.clone());
            tokio::spawn(async move {
                let stream = acceptor.accept(socket).await.unwrap();
                referee.handshakes.fetch_add(1, Ordering::SeqCst);
                let context = exporter_context(&Hex([5; 32]), Side::Server, b"", &spki);
                let exporter = stream
                    .get_ref()
                    .1
                    .export_keying_material([0; 32], EXPORTER_LABEL, Some(context.bytes()))
                    .unwrap();
                referee.exporters.lock().unwrap().push(Hex(exporter));
                let service = service_fn(|request| answer(&referee, &exporter, &spki, request));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (referee, address)
}

async fn answer(
    referee: &Referee,
    exporter: &[u8; 32],
    spki: &[u8],
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    referee.requests.lock().unwrap().push(format!("{} {}", head.method, head.uri));
    if head.uri.path() != "/attestation/challenge" {
        let mut response = Response::new(Full::from(body));
        response.headers_mut().insert("tiltyard-attestation", "forged".parse().unwrap());
        response.headers_mut().insert("x-host", head.headers["host"].clone());
        return Ok(response);
    }
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({"nonce": Hex([5u8; 32]).to_string()}));
    let evidence = Evidence {
        runtime: exporter.to_vec().into(),
        config: Vec::new().into(),
        keys: PresentedKeys {
            tls_spki: spki.to_vec().into(),
            hpke: HpkePublicKey { kem: 0x20, public: vec![0; 32].into() },
            signing: Hex([0; 32]),
        },
        cpu: CpuEvidence::Snp { report: Vec::new().into(), certificates: Vec::new() },
        devices: Vec::new(),
        boot: None,
    };
    let own = serde_json::to_vec(&json!({"evidence": evidence})).unwrap();
    let said = referee.replayed.lock().unwrap().clone().unwrap_or(own);
    referee.answered.lock().unwrap().clone_from(&said);
    Ok(Response::new(Full::from(said)))
}

async fn proxy(target: &str, verdict: Verdict) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(listener, Proxy::new(Target::new(target.to_owned()), TestGate { verdict }, port)));
    port
}

/// One request on a connection of its own: status, head and body.
async fn request(port: u16, head: &str, body: &str) -> (StatusCode, String, String) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let message = format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    socket.write_all(message.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
    (StatusCode::from_u16(status).unwrap(), head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn requests_pass_once_the_evidence_has() {
    let (referee, address) = referee().await;
    let port = proxy(&address, Verdict::Appraise).await;
    let head =
        format!("POST /v1/echo?x=1 HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: http://127.0.0.1:{port}");
    let (status, head, body) = request(port, &head, "hello").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "hello"));
    // Said by the proxy alone, and with whose roots.
    assert!(head.contains("tiltyard-attestation: pass; roots=not-a-vendor-root"), "{head}");
    assert!(!head.contains("forged"));
    assert!(head.contains(&format!("x-host: {address}")));
    assert_eq!(*referee.requests.lock().unwrap(), ["POST /attestation/challenge", "POST /v1/echo?x=1"]);
}

#[tokio::test]
async fn one_connection_is_attested_once_and_another_anew() {
    let (referee, address) = referee().await;
    let port = proxy(&address, Verdict::Appraise).await;
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    for _ in 0..3 {
        let get = format!("GET /v1/log HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
        socket.write_all(get.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(socket.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(referee.handshakes.load(Ordering::SeqCst), 1);
    assert_eq!(referee.requests.lock().unwrap().len(), 4);
    request(port, &format!("GET /v1/log HTTP/1.1\r\nHost: 127.0.0.1:{port}"), "").await;
    let exporters = referee.exporters.lock().unwrap();
    assert_eq!(exporters.len(), 2);
    assert_ne!(exporters[0], exporters[1]);
}

#[tokio::test]
async fn refused_evidence_sends_nothing_upstream() {
    let (referee, address) = referee().await;
    let port = proxy(&address, Verdict::Refuse).await;
    let head = format!("POST /v1/submissions HTTP/1.1\r\nHost: 127.0.0.1:{port}");
    let (status, head, body) = request(port, &head, "a secret").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["code"], "attestation_refused");
    assert!(problem["findings"][0].as_str().unwrap().contains("CHN-01"), "{body}");
    assert_eq!(*referee.requests.lock().unwrap(), ["POST /attestation/challenge"]);
}

/// A host that ends TLS itself and passes the true referee's evidence on.
#[tokio::test]
async fn a_relay_with_a_tls_connection_of_its_own_is_refused() {
    let (referee, address) = referee().await;
    let port = proxy(&address, Verdict::Appraise).await;
    let (status, ..) = request(port, &format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}"), "").await;
    assert_eq!(status, StatusCode::OK);
    let evidence = referee.answered.lock().unwrap().clone();

    let (relay, address) = self::referee().await;
    *relay.replayed.lock().unwrap() = Some(evidence);
    let port = proxy(&address, Verdict::Appraise).await;
    let (status, ..) = request(port, &format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}"), "").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(*relay.requests.lock().unwrap(), ["POST /attestation/challenge"]);
}

#[tokio::test]
async fn rebound_names_and_foreign_pages_are_refused() {
    let (referee, address) = referee().await;
    let port = proxy(&address, Verdict::Appraise).await;
    for (lines, expected) in [
        ("Host: evil.example".to_owned(), StatusCode::MISDIRECTED_REQUEST),
        (format!("Host: evil.example:{port}"), StatusCode::MISDIRECTED_REQUEST),
        ("Host: 127.0.0.1".to_owned(), StatusCode::MISDIRECTED_REQUEST),
        (format!("Host: 127.0.0.1:{port}\r\nHost: evil.example"), StatusCode::MISDIRECTED_REQUEST),
        (format!("Host: 127.0.0.1:{port}\r\nOrigin: https://evil.example"), StatusCode::FORBIDDEN),
        (format!("Host: 127.0.0.1:{port}\r\nOrigin: null"), StatusCode::FORBIDDEN),
        (format!("Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1"), StatusCode::FORBIDDEN),
    ] {
        let (status, _, body) = request(port, &format!("GET / HTTP/1.1\r\n{lines}"), "").await;
        assert_eq!(status, expected, "{lines}: {body}");
    }
    assert_eq!(referee.handshakes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_no_referee_gets_no_request() {
    // Speaks TLS to nobody.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        }
    });
    let port = proxy(&address, Verdict::Appraise).await;
    let (status, _, body) = request(port, &format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}"), "").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["code"], "unreachable");
}
