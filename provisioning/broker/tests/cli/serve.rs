//! `serve` over real TLS: the wire's own refusals. Evidence that passes needs the simulator: the end-to-end
//! tests have it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;
use tiltyard_attestation::Hex;

use super::charter::{charter, signed, write};
use super::peer::Peer;
use super::*;

/// A running broker; ended by SIGKILL on drop.
struct Running {
    child: Child,
    port: u16,
    pin: Hex<32>,
    p: Hex<32>,
}

impl Running {
    fn start(trial: &Trial) -> Self {
        let line = "serve --dir owner --charter signed.json --port-file port --passphrase-fd 0";
        let mut child = broker(trial.folder.path(), line).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSPHRASE}").unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        let facts: Value = serde_json::from_str(&first).unwrap();
        assert_eq!(facts["anchors"], "vendor root");
        let port = fs::read_to_string(trial.path("port")).unwrap().trim().parse().unwrap();
        let identity = trial.run_with("identity --dir owner", "").out;
        let hex = |value: &Value| value.as_str().unwrap().parse().unwrap();
        Self { child, port, pin: hex(&identity["tls_spki_sha256"]), p: hex(&facts["p"]) }
    }

    fn peer(&self) -> Peer {
        Peer::connect(self.port, self.pin).unwrap()
    }

    fn challenge(&self) -> Value {
        json!({"role": "referee", "charter": self.p, "order": null, "lease": "00".repeat(16)})
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An attest request whose evidence is empty but for the nonce.
fn attest(nonce: &str) -> Value {
    let runtime = json!({
        "nonce": nonce,
        "tee-pubkey": "04".repeat(65),
        "additional-evidence": [],
        "profile": {
            "charter": "00".repeat(32), "role": "referee", "order": null, "lease": "00".repeat(16),
            "keys": {"tls": "00".repeat(32), "hpke": "00".repeat(32), "signing": "00".repeat(32)},
            "channel": null, "boot": "00".repeat(32),
        },
    });
    let runtime = tiltyard_attestation::Base64Bytes(serde_jcs::to_vec(&runtime).unwrap());
    let evidence = json!({
        "runtime": runtime, "config": "",
        "keys": {"tls_spki": "", "hpke": {"kem": 0x647a, "public": ""}, "signing": "00".repeat(32)},
        "cpu": {"snp": {"report": "", "certificates": []}}, "devices": [],
    });
    json!({"evidence": evidence, "key_ids": [], "order": null, "checkpoint": null, "consistency": []})
}

#[test]
fn the_wire_refuses_with_stable_codes() {
    let trial = signed();
    let running = Running::start(&trial);
    let mut peer = running.peer();
    let (status, answer) = peer.post("/tiltyard/v1/challenge", running.challenge().to_string().as_bytes());
    assert_eq!(status, 200);
    assert_eq!(answer["nonce"].as_str().unwrap().len(), 64);

    let mut refused = |path: &str, body: &[u8]| {
        let (status, problem) = peer.post(path, body);
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"].is_string());
        (status, problem["code"].as_str().unwrap().to_owned())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    let challenge = "/tiltyard/v1/challenge";
    assert_eq!(refused(challenge, b""), is(400, "E_SYNTAX"));
    assert_eq!(refused(challenge, b"\xff\xfe"), is(400, "E_SYNTAX"));
    let mut unknown = running.challenge();
    unknown["extra"] = 1.into();
    assert_eq!(refused(challenge, unknown.to_string().as_bytes()), is(400, "E_SYNTAX"));
    let twice = running.challenge().to_string().replace("\"order\":null", "\"order\":null,\"order\":null");
    assert_eq!(refused(challenge, twice.as_bytes()), is(400, "E_SYNTAX"));
    let deep = [vec![b'['; 4000], vec![b']'; 4000]].concat();
    assert_eq!(refused(challenge, &deep), is(400, "E_SYNTAX"));
    let mut other = running.challenge();
    other["charter"] = "11".repeat(32).into();
    assert_eq!(refused(challenge, other.to_string().as_bytes()), is(403, "CharterBinding"));
    assert_eq!(refused("/tiltyard/v1/nothing", b"{}"), is(404, "ResourceNotFound"));
    assert_eq!(refused("/tiltyard/v1/ledger/checkpoint", b"{}"), is(404, "ResourceNotFound"));
    let unknown_nonce = attest(&"77".repeat(32)).to_string();
    assert_eq!(refused("/tiltyard/v1/attest", unknown_nonce.as_bytes()), is(401, "NonceMismatch"));
    let end = json!({"payload": "e30=", "key": "00".repeat(32), "signature": "00".repeat(64)}).to_string();
    assert_eq!(refused("/tiltyard/v1/end", end.as_bytes()), is(400, "E_SYNTAX"));

    let (status, empty) = running.peer().get("/tiltyard/v1/ledger/entries?first=0");
    assert_eq!((status, &empty["entries"]), (200, &json!([])));
    let (status, _) = running.peer().get("/tiltyard/v1/ledger/entries?first=-1");
    assert_eq!(status, 400);
    let (status, problem) = running.peer().post(challenge, &vec![b' '; 2 * 1024 * 1024 + 1]);
    assert_eq!((status, &problem["code"]), (413, &"E_TOO_LARGE".into()));
}

#[test]
fn of_sixteen_attests_at_once_one_is_looked_at_and_none_with_empty_evidence_passes() {
    let trial = signed();
    let running = Running::start(&trial);
    let (_, answer) =
        running.peer().post("/tiltyard/v1/challenge", running.challenge().to_string().as_bytes());
    let body = attest(answer["nonce"].as_str().unwrap()).to_string();
    let start = Barrier::new(16);
    let codes: Vec<String> = std::thread::scope(|scope| {
        let race = || {
            let mut peer = running.peer();
            start.wait();
            let (status, problem) = peer.post("/tiltyard/v1/attest", body.as_bytes());
            assert_ne!(status, 200);
            problem["code"].as_str().unwrap().to_owned()
        };
        let racers: Vec<_> = (0..16).map(|_| scope.spawn(race)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| *code == "NonceUsed").count(), 15, "{codes:?}");
}

#[test]
fn only_tls_1_3_with_the_pinned_key_and_no_tickets() {
    let trial = signed();
    let running = Running::start(&trial);
    assert!(Peer::connect(running.port, Hex([0; 32])).is_err(), "another key");

    // A TLS 1.2 hello by hand: no supported_versions extension. The answer must be an alert.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", running.port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(&hello).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&0x15), "an alert, and the end");

    let mut peer = running.peer();
    peer.post("/tiltyard/v1/challenge", running.challenge().to_string().as_bytes());
    assert_eq!(peer.0.conn.tls13_tickets_received(), 0);
}

#[test]
fn one_broker_a_home_and_a_killed_one_starts_again() {
    let trial = signed();
    let running = Running::start(&trial);
    let line = "serve --dir owner --charter signed.json --passphrase-fd 0";
    assert_eq!(trial.run(line).failure(), (1, "E_BUSY"));
    let (_, before) =
        running.peer().post("/tiltyard/v1/challenge", running.challenge().to_string().as_bytes());
    drop(running);

    let running = Running::start(&trial);
    // The nonce survived the kill, and is still good once.
    let body = attest(before["nonce"].as_str().unwrap()).to_string();
    let code = |running: &Running| {
        running.peer().post("/tiltyard/v1/attest", body.as_bytes()).1["code"].as_str().unwrap().to_owned()
    };
    assert_ne!(code(&running), "NonceUsed");
    assert_eq!(code(&running), "NonceUsed");
}

#[test]
fn sigterm_ends_it_in_order() {
    let trial = signed();
    let mut running = Running::start(&trial);
    let pid = nix::unistd::Pid::from_raw(running.child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let since = Instant::now();
    let status = loop {
        if let Some(status) = running.child.try_wait().unwrap() {
            break status;
        }
        assert!(since.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn what_is_not_served() {
    let trial = signed();
    let line = |more: &str| format!("serve --dir owner --charter {more} --passphrase-fd 0");
    assert_eq!(trial.run(&line("half.json")).failure(), (3, "E_CHARTER_SIGNERS"));
    let envelope = fs::read_to_string(trial.path("signed.json")).unwrap();
    trial.write("unsigned.json", envelope.replacen("\"sig\":\"", "\"sig\":\"AAAA", 1));
    assert_eq!(trial.run(&line("unsigned.json")).failure(), (3, "E_CHARTER_SIG"));
    trial.write("anchors.json", "{\"snp\":[]}");
    assert_eq!(trial.run(&line("signed.json --anchors anchors.json")).failure(), (3, "AnchorsNotVendor"));

    // A home that is not the charter's owner.
    let stranger = trial.init("stranger", "owner");
    let other = trial.run("serve --dir stranger --charter signed.json --passphrase-fd 0");
    assert_eq!(other.code, 3, "{}", other.stderr);
    let operator = trial.run_with("identity --dir operator", "").out;
    let mut expired = charter(&stranger, &operator);
    (expired.not_before, expired.not_after) = (1000, 2000);
    let confirm = write(&trial, &expired);
    for (dir, more) in [("stranger", ""), ("operator", "--envelope out.json")] {
        trial.facts(&format!(
            "charter sign --dir {dir} --charter charter.json {more} --out out.json --confirm {confirm} --passphrase-fd 0"
        ));
    }
    let late = trial.run("serve --dir stranger --charter out.json --passphrase-fd 0");
    assert_eq!(late.failure(), (3, "E_CHARTER_WINDOW"));
}
