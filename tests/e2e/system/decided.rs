//! A tournament is decided, read through the attested API, audited, and its prize opened.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde_json::Value;
use tiltyard_attestation::result::Anchors;
use tiltyard_host::demo;
use tiltyard_provisioning::bundle::{Bundle, BundleWriter};
use tiltyard_provisioning::record::Record;
use tiltyard_provisioning::statement::Signed;

use crate::owner::{leaves, trained};
use crate::scenario;
use crate::whole::whole;

#[test]
fn a_decided_tournament_passes_the_audit_under_roots_that_are_no_vendors() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    let verdict = |form| scenario::on_runtime(demo::audit(&whole.layout, &whole.parties, form)).unwrap();
    let text = verdict("text");
    assert_eq!(text.status.code(), Some(0), "{}\n{}", text.stdout, text.stderr);
    assert!(text.stdout.contains("NOT A VENDOR ROOT"), "{}", text.stdout);
    let json = verdict("json");
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(json.to_string().contains("NOT A VENDOR ROOT"), "{json}");
    let html = std::fs::read_to_string(whole.layout.path("report.html")).unwrap();
    assert!(html.contains("NOT A VENDOR ROOT"));
}

#[test]
fn the_attested_api_shows_record_standings_and_log() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    for (path, answer) in &whole.seen.answers {
        assert_eq!(answer.status, 200, "{path}");
    }
    let json = |path| serde_json::from_slice::<Value>(&whole.seen.answer(path).body).unwrap();
    let record: Signed<Record> = serde_json::from_slice(&whole.seen.answer("/v1/record").body).unwrap();
    let record = record.verify(&record.key).unwrap();
    assert_eq!(json("/v1/tournament")["holder"], record.champion.unwrap().to_string());
    assert!(matches!(record.anchors, Anchors::NotVendor(_)), "{:?}", record.anchors);
    let shown = json("/v1/log/entries?limit=100");
    assert_eq!(shown["data"].as_array().unwrap().len() as u64, record.log_size);
    assert_eq!(shown["has_more"], false);
    let checkpoint = String::from_utf8(whole.seen.answer("/v1/log/checkpoint").body.clone()).unwrap();
    assert_eq!(checkpoint.lines().nth(1), Some(record.log_size.to_string().as_str()));
    let page = String::from_utf8(whole.seen.answer("/").body.clone()).unwrap();
    assert!(page.contains("NOT A VENDOR ROOT") && page.contains("challenger"), "{page}");
}

#[test]
fn a_connection_without_evidence_and_a_foreign_host_name_get_nothing() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    let unattested = &whole.seen.unattested;
    assert!(unattested.starts_with("HTTP/1.1 428 "), "{unattested}");
    assert!(unattested.contains("\"code\":\"attest_first\""), "{unattested}");
    assert!(!unattested.contains("challenger"), "{unattested}");
    assert_eq!(whole.seen.wrong_host.status, 421);
    let body = String::from_utf8(whole.seen.wrong_host.body.clone()).unwrap();
    assert!(body.contains("wrong_host"), "{body}");
}

#[test]
fn a_bundle_is_the_same_bytes_whoever_writes_its_members() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    let served = whole.seen.bodies("/v1/bundle");
    assert_eq!(served.len(), 1, "served twice, different bytes");
    let kept = std::fs::read(whole.layout.path("bundle.tar")).unwrap();
    assert_eq!(served.into_iter().next(), Some(kept.as_slice()));
    let bundle = Bundle::read(kept.clone()).unwrap();
    let mut names: Vec<&str> = bundle.names().collect();
    assert!(names.is_sorted());
    // Handed over in another order, they give the same file.
    names.reverse();
    let mut writer = BundleWriter::new();
    for name in names.into_iter().filter(|name| *name != INDEX) {
        writer.add(name, bundle.get(name).unwrap()).unwrap();
    }
    assert!(writer.finish() == kept);
}

#[test]
fn the_owner_opens_the_champions_adapter_and_the_trainers_log() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    let opened =
        scenario::on_runtime(demo::open_champion(&whole.layout, &whole.parties, &whole.outcome)).unwrap();
    let config = std::fs::read(opened.folder.join("adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["r"], 4);
    let weights = std::fs::read(opened.folder.join("adapter_model.safetensors")).unwrap();
    assert!(weights.len() > 10_000, "{}", weights.len());

    let bundle = Bundle::read(std::fs::read(whole.layout.path("bundle.tar")).unwrap()).unwrap();
    assert!(leaves(&bundle).iter().any(|leaf| leaf["type"] == "decided"));
    let result = trained(&bundle, &opened.order).unwrap();
    let log = result.log.unwrap();
    let (key_id, object) = (format!("log/{}", opened.order), whole.layout.host().join("objects"));
    let (object, name) = (object.join(log.sha256.to_string()), log.name.to_string());
    let out = whole.folder.path().join("log");
    let args = ["open", "--key-id", &key_id, "--order", &opened.order, "--name", &name, "--object"];
    let args = [&args[..], &[object.to_str().unwrap(), "--out", out.to_str().unwrap()]].concat();
    scenario::on_runtime(whole.parties.owner.broker(&whole.layout, &args)).unwrap();
    let log = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
    assert!(log.lines().count() >= 2, "{log}");
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

#[test]
fn one_state_directory_has_one_agent() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    let (second, first) = &whole.seen.second_agent;
    let said = String::from_utf8_lossy(&second.stdout);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("in use by process {first}")), "{said}");
    assert!(!whole.layout.path("second.port").exists());
}

/// The list of members, which the writer makes itself.
const INDEX: &str = "index.json";

/// Asks the referee over TLS, without a word about evidence; gives the whole answer.
pub fn unattested(port: u16, path: &str) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    let name = ServerName::try_from("referee.tiltyard").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port)).unwrap());
    write!(stream, "GET {path} HTTP/1.1\r\nhost: referee.tiltyard\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // The peer may end without a TLS farewell.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A careless client, which the server must refuse by itself.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519]
    }
}
