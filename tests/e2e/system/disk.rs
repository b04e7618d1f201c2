//! A full disk: the agent says so, and nothing half-written passes for an object or a log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tiltyard_attestation::Hex;
use tiltyard_host::demo;
use tiltyard_host::log::{LogError, LogStore};
use tiltyard_host::store::{Store, StoreError};
use tiltyard_provisioning::channel::LogAppend;

use crate::scenario;
use crate::whole::{Whole, whole};

/// Mounts a file system of `$1` bytes over the state directory `$2`, runs the rest of the arguments there, and lists
/// what they left. Objects come from another file system, so they are copied and not linked.
const SMALL_DISK: &str = r#"
size=$1 state=$2; shift 2
mount -t tmpfs -o size="$size" tmpfs "$state" || exit 99
"$@"; code=$?
for file in "$state"/objects/*; do
    [ -f "$file" ] && sha256sum "$file" | sed "s|$state/objects/||"
done
exit $code
"#;
const NO_MOUNT: i32 = 99;
/// Where the inner half of a test finds its small disk.
const PLACE: &str = "TILTYARD_TEST_SMALL_DISK";

#[test]
fn an_agent_on_a_full_disk_says_so_and_leaves_no_half_object() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    // Too small for the journal; then large enough for everything but the base model.
    for (size, expected) in [("16k", "the disk is full"), ("8m", "No space left on device")] {
        let Some(done) = agent_on_small_disk(whole, size) else { return };
        let said = String::from_utf8_lossy(&done.stdout);
        assert_eq!(done.status.code(), Some(1), "{size}: {said}");
        assert!(said.contains(expected), "{size}: {said}");
        for line in said.lines().filter(|line| !line.starts_with('{')) {
            let Some((digest, name)) = line.split_once("  ") else { continue };
            assert_eq!(digest, name, "an object that is not what its name says");
            digest.parse::<Hex<32>>().unwrap();
        }
    }
}

#[test]
fn an_object_or_a_log_that_does_not_fit_leaves_the_disk_as_it_was() {
    if let Some(place) = std::env::var_os(PLACE) {
        return fill_up(&PathBuf::from(place));
    }
    let _turn = scenario::turn();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    // This test once more, on a disk of 256 KiB.
    let name = "disk::an_object_or_a_log_that_does_not_fit_leaves_the_disk_as_it_was";
    let place = format!("{PLACE}={}", state.display());
    let own = std::env::current_exe().unwrap();
    let line = ["env", &place, own.to_str().unwrap(), "--exact", name].map(str::to_owned);
    let Some(done) = in_namespace("256k", &state, &line) else { return };
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

fn fill_up(state: &Path) {
    let store = Store::open(state).unwrap();
    let receive = |bytes: &[u8]| {
        let (sha256, len) = (Hex::sha256(bytes), bytes.len() as u64);
        let received = scenario::on_runtime(store.receive(bytes, &sha256, len, 1 << 30));
        (sha256, received)
    };
    let files = |name: &str| fs::read_dir(state.join(name)).unwrap().count();
    let (large, received) = receive(&vec![7; 1 << 20]);
    let error = received.unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert_eq!((store.len_bytes(&large), files("objects"), files("incoming")), (None, 0, 0));
    let (small, received) = receive(&[7; 4096]);
    received.unwrap();
    assert_eq!((store.len_bytes(&small), files("objects"), files("incoming")), (Some(4096), 1, 0));

    let mut log = LogStore::open(&state.join("log")).unwrap();
    let append = |first: u64, leaves: Vec<Vec<u8>>| LogAppend {
        first,
        checkpoint: format!("origin\n{}\nroot\n", first + leaves.len() as u64),
        leaves: leaves.into_iter().map(Into::into).collect(),
        documents: Vec::new(),
    };
    log.append(&append(0, vec![b"first".to_vec()])).unwrap();
    let error = log.append(&append(1, vec![vec![7; 400 << 10]])).unwrap_err();
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert_eq!(log.size(), 1);
    drop(log);
    let mut log = LogStore::open(&state.join("log")).unwrap();
    assert_eq!(log.size(), 1, "after a restart");
    log.append(&append(1, vec![b"second".to_vec()])).unwrap();
    assert_eq!(log.size(), 2);
}

/// Runs the agent on a disk of this size; none where no file system may be mounted.
fn agent_on_small_disk(whole: &Whole, size: &str) -> Option<Output> {
    let state = whole.folder.path().join(format!("small-{size}"));
    fs::create_dir(&state).unwrap();
    let port = whole.folder.path().join("small.port");
    let agent = demo::agent_command(&whole.layout, &whole.parties, &whole.agreed, &state, &port);
    let done = in_namespace(size, &state, &agent)?;
    assert!(!port.exists(), "it never came up");
    Some(done)
}

fn in_namespace(size: &str, state: &Path, line: &[String]) -> Option<Output> {
    let done = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh", size])
        .arg(state)
        .args(line)
        .output();
    match done {
        Ok(done) if done.status.code() != Some(NO_MOUNT) && !done.stdout.is_empty() => Some(done),
        Ok(done) => {
            let why = String::from_utf8_lossy(&done.stderr);
            eprintln!("SKIPPED: a small disk: this user may mount none: {}", why.trim());
            None
        }
        Err(error) => {
            eprintln!("SKIPPED: a small disk: unshare(1): {error}");
            None
        }
    }
}
