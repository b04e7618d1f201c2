//! A full disk: the agent says so and stops, and nothing half-written passes for an object.

use std::path::Path;
use std::process::{Command, Output};

use tiltyard_attestation::Hex;
use tiltyard_host::demo;

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

#[test]
fn a_full_disk_is_named_and_no_half_object_is_left() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    // Too small for the journal; enough for everything but the base model.
    for (size, names) in
        [("16k", &["disk is full", "No space left"][..]), ("8m", &["No space left on device"])]
    {
        let Some(done) = on_small_disk(whole, size) else { return };
        let said =
            format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(1), "{size}: {said}");
        assert!(names.iter().any(|name| said.contains(name)), "{size}: {said}");
        for line in String::from_utf8_lossy(&done.stdout).lines() {
            let Some((digest, name)) = line.split_once("  ") else { continue };
            assert_eq!(digest, name, "an object that is not what its name says");
            digest.parse::<Hex<32>>().unwrap();
        }
    }
}

/// Runs the agent on a disk of this size; none where no file system may be mounted.
fn on_small_disk(whole: &Whole, size: &str) -> Option<Output> {
    let state = whole.folder.path().join(format!("small-{size}"));
    std::fs::create_dir(&state).unwrap();
    let port = whole.folder.path().join("small.port");
    let agent = demo::agent_command(&whole.layout, &whole.parties, &whole.agreed, &state, &port);
    let done = in_namespace(size, &state, &agent);
    if done.status.code() == Some(NO_MOUNT) || !done.stderr.is_empty() && done.stdout.is_empty() {
        let why = String::from_utf8_lossy(&done.stderr);
        eprintln!("SKIPPED: a small disk: this user may mount nothing here: {why}");
        return None;
    }
    assert!(!port.exists(), "it never came up");
    Some(done)
}

fn in_namespace(size: &str, state: &Path, agent: &[String]) -> Output {
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh", size])
        .arg(state)
        .args(agent)
        .output()
        .unwrap()
}
