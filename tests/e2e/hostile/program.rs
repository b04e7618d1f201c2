//! `tiltyard-broker` as its users run it: arguments, a passphrase on a pipe, JSON out.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Of every home here.
pub(crate) const PASSPHRASE: &str = "six lances by the gate";

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: Value,
    pub(crate) stderr: String,
}

impl Finished {
    /// The stable code of a failure: what a person is shown before it stands in earlier lines.
    pub(crate) fn code(&self) -> String {
        let last = self.stderr.lines().last().unwrap_or_default();
        let failure: Value = serde_json::from_str(last).unwrap_or_default();
        failure["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Exit code and stable code, as a hostile case asserts them.
    pub(crate) fn refusal(&self) -> (Option<i32>, String) {
        (self.exit, self.code())
    }
}

/// Runs one command on the home in `dir`, to its end.
pub(crate) fn run<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> Finished {
    finish(spawn(dir, args))
}

/// Runs one command that must succeed.
pub(crate) fn done<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> Value {
    let finished = run(dir, args);
    assert_eq!(finished.exit, Some(0), "{}", finished.stderr);
    finished.stdout
}

/// Runs one command that reads a home without its passphrase.
pub(crate) fn look(dir: &Path, args: &[&str]) -> Finished {
    let mut command = Command::new(broker());
    command.args(args).arg("--dir").arg(dir).args(["--output", "json"]);
    finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// A broker that serves; ended on drop.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// What a broker is started with.
pub(crate) struct ServeFiles {
    pub(crate) home: PathBuf,
    pub(crate) charter: PathBuf,
    pub(crate) anchors: PathBuf,
    pub(crate) collateral: PathBuf,
}

impl Serving {
    /// Starts a broker and waits until it listens; otherwise what it said.
    pub(crate) fn start(files: &ServeFiles) -> Result<Self, Finished> {
        let args: [&OsStr; 7] = [
            "serve".as_ref(),
            "--charter".as_ref(),
            files.charter.as_ref(),
            "--anchors".as_ref(),
            files.anchors.as_ref(),
            "--collateral".as_ref(),
            files.collateral.as_ref(),
        ];
        let mut child = spawn(&files.home, args);
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        match said["address"].as_str() {
            Some(address) => Ok(Self { child, address: address.parse().unwrap() }),
            None => Err(finish(child)),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have died on its own; then the test has failed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> Child {
    let mut child = Command::new(broker())
        .args(args)
        .arg("--dir")
        .arg(dir)
        .args(["--passphrase-fd", "0", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that is refused before it asks for the passphrase closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(format!("{PASSPHRASE}\n").as_bytes());
    child
}

fn finish(mut child: Child) -> Finished {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let exit = child.wait().unwrap().code();
    Finished { exit, stdout: serde_json::from_str(&stdout).unwrap_or_default(), stderr }
}

/// The program that the workspace's build left beside this test.
fn broker() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("tiltyard-broker");
    assert!(path.exists(), "{} is absent: build the workspace first (cargo build)", path.display());
    path
}
