//! Plays a guest in the host's tests: says what it sees, and plays a referee or a trainer on request.
//!
//! A trainer's part is in its submission's `licence`: `report`, `crash`, `hang` or `lie`.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use tiltyard_attestation::binding::HpkePublicKey;
use tiltyard_attestation::{Hex, LaunchConfig, Role};
use tiltyard_provisioning::channel::{
    Ack, Boot, Document, End, Entries, GuestState, Incoming, LogAppend, MESSAGE_MAX_BYTES, OrderMessage,
    OrderOutcome, Service, Stream, StreamOpener, mux, read_message, write_message,
};
use tiltyard_provisioning::order::{ObjectRef, Order, RefereeKeys, ResultEnvelope, Submission, Work};
use tiltyard_provisioning::statement::Signed;
use tokio::sync::mpsc;
use tokio_util::compat::{FuturesAsyncReadCompatExt, FuturesAsyncWriteCompatExt, TokioAsyncReadCompatExt};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Look,
    Exit(i32),
    Echo,
    Allocate(usize),
}

#[derive(Serialize)]
struct Seen {
    pid: u32,
    config: String,
    host_name: String,
    interfaces: Vec<String>,
    files: Vec<String>,
    environment: usize,
    descriptors: usize,
    uid_map: String,
    limits: String,
    status: String,
    write_root: Option<i32>,
    write_inputs: Option<i32>,
    write_program: Option<i32>,
    write_tmp: Option<i32>,
    write_tsm: Option<i32>,
    connect: Option<i32>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(guest());
}

async fn guest() {
    let stream = std::os::unix::net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    stream.set_nonblocking(true).unwrap();
    let carrier = tokio::net::UnixStream::from_std(stream).unwrap().compat();
    let (opener, mut incoming, driver) = mux(carrier, End::Guest);
    let driver = tokio::spawn(driver);
    let (service, mut stream) = incoming.next().await.unwrap();
    assert_eq!(service, Service::Config);
    let boot: Boot = read_message(&mut stream, MESSAGE_MAX_BYTES).await.unwrap();
    let config = LaunchConfig::from_bytes(&boot.config.0).unwrap();
    println!("stand-in {:?}", config.role);
    for word in [GuestState::Ready, GuestState::Leased, GuestState::Running] {
        state(&opener, word).await;
    }
    match config.role {
        Role::Referee => referee(&opener, incoming, boot).await,
        Role::Trainer | Role::Evaluator => trainer(&opener, boot).await,
    }
    opener.close();
    let _ = driver.await;
}

async fn state(opener: &StreamOpener, word: GuestState) {
    let mut stream = opener.open(Service::State).await.unwrap();
    write_message(&mut stream, &word).await.unwrap();
}

async fn tell<T: Serialize>(opener: &StreamOpener, service: Service, message: &T) -> Option<Ack> {
    let mut stream = opener.open(service).await.unwrap();
    write_message(&mut stream, message).await.unwrap();
    read_message(&mut stream, MESSAGE_MAX_BYTES).await.ok()
}

async fn referee(opener: &StreamOpener, mut incoming: Incoming, boot: Boot) {
    let (sender, mut outcomes) = mpsc::channel::<OrderOutcome>(64);
    let mut waited = 0;
    loop {
        tokio::select! {
            next = incoming.next() => match next {
                Some((Service::Entries, mut stream)) => {
                    let entries: Entries = read_message(&mut stream, MESSAGE_MAX_BYTES).await.unwrap();
                    waited = entries.entries.len();
                    let (opener, boot) = (opener.clone(), boot.clone());
                    tokio::spawn(async move { issue_orders(&opener, &entries, &boot).await });
                }
                Some((Service::Result, mut stream)) => {
                    let outcome = read_message(&mut stream, MESSAGE_MAX_BYTES).await.unwrap();
                    write_message(&mut stream, &Ack::Done).await.unwrap();
                    sender.send(outcome).await.unwrap();
                }
                Some((Service::Api, stream)) => { tokio::spawn(api(stream, boot.clone())); }
                Some((other, _)) => panic!("unexpected {other:?}"),
                None => return,
            },
            Some(outcome) = outcomes.recv() => {
                let mut leaf = match outcome {
                    OrderOutcome::Report(report) => format!("report {} {}", report.order, report.ct.0.len()),
                    OrderOutcome::Lost { order, code } => format!("lost {order} {code}"),
                };
                leaf.push('\n');
                let first = log_size(&boot) + LOGGED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let append = LogAppend {
                    first,
                    leaves: vec![leaf.into_bytes().into()],
                    documents: vec![Document { name: format!("results/{first}.json"), bytes: b"{}".to_vec().into() }],
                    checkpoint: format!("stand-in\n{}\nroot\n", first + 1),
                };
                assert_eq!(tell(opener, Service::Log, &append).await, Some(Ack::Done));
                // A gap is refused, and so is a name that leads out of the log's directory.
                let gap = LogAppend { first: first + 5, ..append.clone() };
                let out = Document { name: "../../out".into(), bytes: b"x".to_vec().into() };
                let out =
                    LogAppend { first: first + 1, leaves: Vec::new(), documents: vec![out], ..append };
                for bad in [gap, out] {
                    assert!(matches!(tell(opener, Service::Log, &bad).await, Some(Ack::Refused { .. })));
                }
                waited = waited.saturating_sub(1);
                if waited == 0 {
                    state(opener, GuestState::Decided).await;
                }
            }
        }
    }
}

static LOGGED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

fn log_size(boot: &Boot) -> u64 {
    boot.log.as_ref().map_or(0, |log| log.leaves.len() as u64)
}

async fn issue_orders(opener: &StreamOpener, entries: &Entries, boot: &Boot) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let config = LaunchConfig::from_bytes(&boot.config.0).unwrap();
    for entry in &entries.entries {
        let submission: Submission = serde_json::from_slice(&entry.submission.payload.0).unwrap();
        let order = Order {
            v: 1,
            charter: config.charter,
            tournament: submission.tournament.clone(),
            task: submission.licence.clone(),
            work: Work::Train { submission: entry.submission.digest() },
            attempt: 1,
            dataset_id: "d1".into(),
            seed: Hex([7; 32]),
            referee: RefereeKeys {
                lease: config.lease,
                signing: Hex::from_slice(key.public_key().as_ref()).unwrap(),
                hpke: HpkePublicKey { kem: 0x20, public: vec![1; 32].into() },
            },
            issued_at: 1,
        };
        let message = OrderMessage { order: Signed::sign(&order, &key) };
        // The same order twice is one order.
        for _ in 0..2 {
            assert_eq!(tell(opener, Service::Order, &message).await, Some(Ack::Done));
        }
        let elsewhere = Order { charter: Hex([9; 32]), ..order };
        let message = OrderMessage { order: Signed::sign(&elsewhere, &key) };
        assert!(matches!(tell(opener, Service::Order, &message).await, Some(Ack::Refused { .. })));
    }
}

async fn trainer(opener: &StreamOpener, boot: Boot) {
    let signed = boot.order.unwrap();
    let order = signed.verify(&signed.key).unwrap();
    let Work::Train { submission } = order.work else { panic!("not a train order") };
    let payload = fs::read(format!("/inputs/{}", &submission.to_string()[..20])).unwrap();
    assert_eq!(Hex::sha256(&payload), submission);
    let part: Submission = serde_json::from_slice(&payload).unwrap();
    let envelope = |order| ResultEnvelope { order, enc: vec![1; 32].into(), ct: vec![2; 1000].into() };
    match part.licence.as_str() {
        "report" => {
            let sealed = vec![42; 100_000];
            assert_eq!(hand_over(opener, &sealed, Hex::sha256(&sealed)).await, Some(Ack::Done));
            assert_eq!(tell(opener, Service::Report, &envelope(order.digest())).await, Some(Ack::Done));
            let again = tell(opener, Service::Report, &envelope(order.digest())).await;
            assert!(matches!(again, Some(Ack::Refused { .. })), "{again:?}");
            state(opener, GuestState::Finished).await;
        }
        "crash" => std::process::exit(3),
        "hang" => tokio::time::sleep(Duration::from_secs(3600)).await,
        "lie" => {
            let refused = |ack: &Option<Ack>| matches!(ack, Some(Ack::Refused { .. }));
            let ack = hand_over(opener, b"not what it says", Hex([1; 32])).await;
            assert!(refused(&ack), "{ack:?}");
            let ack = tell(opener, Service::Report, &envelope(Hex([9; 32]))).await;
            assert!(refused(&ack), "{ack:?}");
            // Not a trainer's services: closed without an answer.
            assert_eq!(tell(opener, Service::Order, &OrderMessage { order: signed }).await, None);
            let append = LogAppend {
                first: 0,
                leaves: Vec::new(),
                checkpoint: "x\n0\ny\n".into(),
                documents: Vec::new(),
            };
            assert_eq!(tell(opener, Service::Log, &append).await, None);
            state(opener, GuestState::Failed { code: "E_LIED".into() }).await;
        }
        other => panic!("no part {other}"),
    }
}

async fn hand_over(opener: &StreamOpener, sealed: &[u8], sha256: Hex<32>) -> Option<Ack> {
    let object =
        ObjectRef { name: Hex([3; 16]), header: Hex([4; 56]), sha256, len_bytes: sealed.len() as u64 };
    let mut stream = opener.open(Service::Object).await.unwrap();
    write_message(&mut stream, &object).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut (&mut stream).compat_write(), sealed).await.unwrap();
    read_message(&mut stream, MESSAGE_MAX_BYTES).await.ok()
}

async fn api(mut stream: Stream, boot: Boot) {
    match read_message(&mut stream, 1024).await.unwrap() {
        Command::Look => write_message(&mut stream, &look(&boot)).await.unwrap(),
        Command::Exit(code) => std::process::exit(code),
        Command::Allocate(mib) => {
            let got = Vec::<u8>::new().try_reserve_exact(mib << 20).is_ok();
            write_message(&mut stream, &got).await.unwrap();
        }
        Command::Echo => {
            let (mut read, mut write) = tokio::io::split(stream.compat());
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            tokio::io::AsyncWriteExt::shutdown(&mut write).await.unwrap();
        }
    }
}

fn look(boot: &Boot) -> Seen {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let interfaces = text("/proc/net/dev");
    Seen {
        pid: std::process::id(),
        config: String::from_utf8(boot.config.0.clone()).unwrap(),
        host_name: text("/proc/sys/kernel/hostname").trim().to_owned(),
        interfaces: interfaces
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
            .collect(),
        files: files(Path::new("/")),
        environment: std::env::vars_os().count(),
        descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        uid_map: text("/proc/self/uid_map"),
        limits: text("/proc/self/limits"),
        status: text("/proc/self/status"),
        write_root: write("/new"),
        write_inputs: write("/inputs/new"),
        write_program: fs::OpenOptions::new()
            .append(true)
            .open("/enclave")
            .err()
            .and_then(|error| error.raw_os_error()),
        write_tmp: write("/tmp/new"),
        write_tsm: write("/tsm/new"),
        connect: std::net::TcpStream::connect("127.0.0.1:1").err().and_then(|error| error.raw_os_error()),
    }
}

fn write(path: &str) -> Option<i32> {
    fs::write(path, "x").err().and_then(|error| error.raw_os_error())
}

/// Every path outside `/proc`, but for directories that only lead to others.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path == Path::new("/proc") {
            continue;
        }
        let is_dir = fs::symlink_metadata(&path).unwrap().is_dir();
        if is_dir {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}
