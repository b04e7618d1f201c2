//! Backend `Process` with a stand-in guest: what it can see, how it ends, what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{Backend as Kind, Hex, LaunchConfig, Role};
use tiltyard_host::journal::start_ticks;
use tiltyard_host::launch::{
    Backend, Console, GuestExit, GuestProcess, HostFacts, Image, LaunchError, LaunchSpec, Process,
    RunningGuest, disk, plan,
};
use tiltyard_host::store::Store;
use tiltyard_provisioning::channel::{
    Boot, End, GuestState, Incoming, MESSAGE_MAX_BYTES, Service, StreamOpener, mux, read_message,
    write_message,
};
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

const MEMORY_MIB: u32 = 512;

#[derive(Debug, Deserialize)]
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

struct Up {
    opener: StreamOpener,
    incoming: Incoming,
    process: GuestProcess,
}

/// Built beside the tests: `cargo test -p tiltyard-host` builds it, `--test process` alone does not.
fn stand_in() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let path = exe.parent().unwrap().parent().unwrap().join("examples/stand-in-guest");
    assert!(path.exists(), "build it: cargo build -p tiltyard-host --example stand-in-guest");
    path
}

fn facts(state: &Path) -> HostFacts {
    HostFacts::probe(env!("CARGO_BIN_EXE_tiltyard").into(), state.join("guests"))
}

fn spec(store: &Store, inputs: &[&[u8]]) -> LaunchSpec {
    let disks = inputs.iter().map(|bytes| disk(store.put(bytes).unwrap(), bytes.len() as u64));
    LaunchSpec {
        role: Role::Referee,
        backend: Kind::Process,
        charter: Hex([1; 32]),
        level: Level::Lab,
        allowed: vec![Kind::Process],
        order: None,
        lease: Hex([2; 16]),
        vcpus: 1,
        memory_mib: MEMORY_MIB,
        disks: disks.collect(),
    }
}

async fn up(state: &Path, inputs: &[&[u8]]) -> Up {
    let state = state.canonicalize().unwrap();
    let store = Arc::new(Store::open(&state).unwrap());
    let image = Image::load(&stand_in()).unwrap();
    let planned = plan(&spec(&store, inputs), &facts(&state), &image).unwrap();
    let boot =
        Boot { config: planned.config().to_vec().into(), charter: Vec::new().into(), order: None, log: None };
    let backend = Process::new(store, None, Console::Kept(state.join("console"))).unwrap();
    let RunningGuest { carrier, process } = backend.spawn(planned).await.unwrap();
    let (opener, incoming, driver) = mux(carrier.compat(), End::Host);
    tokio::spawn(driver);
    let mut stream = opener.open(Service::Config).await.unwrap();
    write_message(&mut stream, &boot).await.unwrap();
    let mut up = Up { opener, incoming, process };
    up.expect_state(GuestState::Ready).await;
    up
}

impl Up {
    async fn expect_state(&mut self, expected: GuestState) {
        let next = tokio::time::timeout(Duration::from_secs(60), self.incoming.next()).await.unwrap();
        let Some((Service::State, mut stream)) = next else {
            panic!("no state, the guest ended: {:?}", self.process.wait().await)
        };
        assert_eq!(read_message::<_, GuestState>(&mut stream, 1024).await.unwrap(), expected);
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, command: Value) -> T {
        let mut stream = self.opener.open(Service::Api).await.unwrap();
        write_message(&mut stream, &command).await.unwrap();
        read_message(&mut stream, MESSAGE_MAX_BYTES).await.unwrap()
    }
}

#[tokio::test]
async fn a_guest_sees_its_inputs_and_nothing_of_the_host() {
    let state = tempfile::tempdir().unwrap();
    let (a, b): (&[u8], &[u8]) = (b"sealed one", b"sealed two");
    let guest = up(state.path(), &[a, b]).await;
    let seen: Seen = guest.ask(json!("look")).await;

    assert_eq!(seen.pid, 1);
    assert_eq!(seen.host_name, "tiltyard");
    assert_eq!(seen.interfaces, ["lo"]);
    assert_eq!(seen.environment, 0);
    // Standard streams, the runtime's own, and the directory being listed: none inherited.
    assert!(seen.descriptors < 16, "{}", seen.descriptors);
    assert_eq!(seen.uid_map.split_whitespace().collect::<Vec<_>>()[0], "0");
    assert!(seen.status.contains("NoNewPrivs:\t1"), "{}", seen.status);
    let limit = u64::from(MEMORY_MIB) << 20;
    for line in [format!("Max address space{:>26}", limit), format!("Max core file size{:>9}", 0)] {
        let mut words = line.rsplitn(2, ' ');
        let value = words.next().unwrap();
        let name = words.next().unwrap().trim();
        let found = seen.limits.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(found.split_whitespace().any(|word| word == value), "{found}");
    }

    let config = LaunchConfig::from_bytes(seen.config.as_bytes()).unwrap();
    let mut expected: Vec<String> =
        config.disks.iter().map(|disk| format!("/inputs/{}", disk.serial)).collect();
    assert_eq!(expected.len(), 2);
    let image = Image::load(&stand_in()).unwrap();
    expected.extend(image.libraries().iter().map(|path| path.display().to_string()));
    expected.extend(["/enclave", "/dev/null", "/dev/zero", "/dev/urandom"].map(String::from));
    expected.sort();
    assert_eq!(seen.files, expected);

    // EROFS.
    assert_eq!((seen.write_root, seen.write_inputs), (Some(30), Some(30)));
    // EROFS, or ETXTBSY as it runs.
    assert!(matches!(seen.write_program, Some(30 | 26)), "{:?}", seen.write_program);
    // ENETUNREACH: not even the loopback is up.
    assert_eq!((seen.write_tmp, seen.write_tsm), (None, None));
    assert_eq!(seen.connect, Some(101));
    guest.process.clean().await;
    assert_eq!(std::fs::read_dir(state.path().join("guests")).unwrap().count(), 0);
}

#[tokio::test]
async fn memory_is_limited_and_bytes_pass_both_ways() {
    let state = tempfile::tempdir().unwrap();
    let guest = up(state.path(), &[]).await;
    assert!(guest.ask::<bool>(json!({"allocate": 16})).await);
    assert!(!guest.ask::<bool>(json!({"allocate": MEMORY_MIB})).await);

    let mut stream = guest.opener.open(Service::Api).await.unwrap();
    write_message(&mut stream, &json!("echo")).await.unwrap();
    let sent: Vec<u8> = (0..4 << 20).map(|i: u32| (i >> 3) as u8).collect();
    let (mut read, mut write) = tokio::io::split(stream.compat());
    let (mut got, copy) = (Vec::new(), sent.clone());
    let send = tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut write, &copy).await.unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut write).await.unwrap();
    });
    tokio::io::AsyncReadExt::read_to_end(&mut read, &mut got).await.unwrap();
    send.await.unwrap();
    assert!(got == sent, "bytes differ");
    guest.process.clean().await;
}

#[tokio::test]
async fn a_guest_s_exit_is_mirrored_and_nothing_is_left() {
    let state = tempfile::tempdir().unwrap();
    let mounts = || std::fs::read_to_string("/proc/self/mounts").unwrap();
    let before = mounts();
    let mut guest = up(state.path(), &[b"x"]).await;
    let mut stream = guest.opener.open(Service::Api).await.unwrap();
    write_message(&mut stream, &json!({"exit": 7})).await.unwrap();
    let exit = guest.process.wait().await;
    assert!(matches!(&exit, GuestExit::Exited(status) if status.code() == Some(7)), "{exit:?}");
    guest.process.clean().await;
    assert_eq!(std::fs::read_dir(state.path().join("guests")).unwrap().count(), 0);
    assert_eq!(mounts(), before);
}

#[tokio::test]
async fn a_program_that_cannot_run_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().canonicalize().unwrap();
    // An ELF header without an interpreter and without code.
    let program = state.join("broken");
    let mut elf = vec![0; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    std::fs::write(&program, elf).unwrap();
    let store = Arc::new(Store::open(&state).unwrap());
    let planned = plan(&spec(&store, &[]), &facts(&state), &Image::load(&program).unwrap()).unwrap();
    let backend = Process::new(store, None, Console::Closed).unwrap();
    let mut guest = backend.spawn(planned).await.unwrap();
    let exit = guest.process.wait().await;
    let GuestExit::Refused(LaunchError::SandboxLayer { layer, .. }) = exit else { panic!("{exit:?}") };
    assert_eq!(layer, "exec");
    guest.process.clean().await;
}

#[test]
fn a_stage_without_its_agent_refuses() {
    let jail = json!({"parent": 1, "root": "/nonexistent", "enclave": "/bin/true", "libraries": [],
        "inputs": "/nonexistent", "tsm": "/nonexistent", "memory_mib": 64});
    for (arg, layer) in [(jail.to_string(), "parent"), ("{}".to_owned(), "arguments")] {
        let out = Command::new(env!("CARGO_BIN_EXE_tiltyard")).args(["guest-init", &arg]).output().unwrap();
        assert_eq!(out.status.code(), Some(125));
        let said: Value = serde_json::from_slice(&out.stderr).unwrap();
        assert_eq!(said["layer"], layer);
    }
}

/// Not a test of its own: what the next one starts, and kills.
#[tokio::test]
async fn agent_to_be_killed() {
    let Some(state) = std::env::var_os("TILTYARD_TEST_AGENT") else { return };
    let guest = up(Path::new(&state), &[]).await;
    std::fs::write(Path::new(&state).join("up"), guest.process.pid().to_string()).unwrap();
    std::future::pending::<()>().await;
}

#[test]
fn guests_die_with_their_agent() {
    let state = tempfile::tempdir().unwrap();
    let agent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "agent_to_be_killed"])
        .env("TILTYARD_TEST_AGENT", state.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut agent = KillOnDrop(agent);
    let up = state.path().join("up");
    wait_until("the guest is up", || up.exists());
    std::thread::sleep(Duration::from_millis(50));
    let stage_one: u32 = std::fs::read_to_string(&up).unwrap().parse().unwrap();
    let inner = children(stage_one);
    assert_eq!(inner.len(), 1, "stage one has the guest as its only child");
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    wait_until("both processes are gone", || gone(stage_one) && gone(inner[0]));
}

/// A failed assertion must not leave it running.
struct KillOnDrop(std::process::Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Gone, or waiting to be reaped by whoever inherits orphans here.
fn gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    start_ticks(pid).is_none() || stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_plan_is_a_function_of_its_inputs() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path()).unwrap();
    let image = Image::load(&stand_in()).unwrap();
    let (spec, facts) = (spec(&store, &[b"one"]), facts(state.path()));
    let planned = plan(&spec, &facts, &image).unwrap();
    assert_eq!(plan(&spec, &facts, &image).unwrap(), planned);
    assert_eq!(planned.expected().host_data, LaunchConfig::d256(planned.config()));
    let other = LaunchSpec { lease: Hex([3; 16]), ..spec.clone() };
    assert_ne!(plan(&other, &facts, &image).unwrap().digest(), planned.digest());

    let refused = |change: &dyn Fn(&mut LaunchSpec)| {
        let mut spec = spec.clone();
        change(&mut spec);
        plan(&spec, &facts, &image).unwrap_err()
    };
    for level in [Level::Standard, Level::Strict] {
        let error = refused(&|spec| spec.level = level);
        assert!(matches!(error, LaunchError::BackendBelowCharter { .. }), "{error}");
    }
    assert!(matches!(refused(&|s| s.allowed = vec![Kind::Snp]), LaunchError::BackendBelowCharter { .. }));
    let tcg = refused(&|s| (s.backend, s.allowed) = (Kind::Tcg, vec![Kind::Tcg]));
    assert!(matches!(tcg, LaunchError::BackendAbsent { got: Kind::Tcg }));
    assert!(matches!(refused(&|s| s.role = Role::Trainer), LaunchError::OrderMissing { .. }));
    assert!(matches!(refused(&|s| s.order = Some(Hex([1; 32]))), LaunchError::OrderUnexpected));
    assert!(matches!(refused(&|s| s.vcpus = 0), LaunchError::ResourceRange { .. }));
    assert!(matches!(refused(&|s| s.memory_mib = u32::MAX), LaunchError::ResourceRange { .. }));
    assert!(matches!(
        refused(&|s| s.disks = vec![s.disks[0].clone(); 97]),
        LaunchError::ResourceRange { .. }
    ));
}
