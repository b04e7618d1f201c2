//! The command line, as its users have it: real processes, real files, real TLS.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod charter;
mod collateral;
mod container;
mod data;
mod home;
mod peer;
mod serve;
mod submission;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A passphrase that is long enough.
const PASSPHRASE: &str = "correct horse battery";

/// A folder with the homes of one trial.
struct Trial {
    folder: TempDir,
}

/// What a command answered.
struct Answer {
    code: i32,
    /// The document on stdout; null when there is none.
    out: Value,
    /// `code` of the document on stderr; empty when there is none.
    error: String,
    stderr: String,
}

impl Trial {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs `line` in the folder, with the passphrase on descriptor 0.
    fn run(&self, line: &str) -> Answer {
        self.run_with(line, PASSPHRASE)
    }

    fn run_with(&self, line: &str, passphrase: &str) -> Answer {
        let mut child = broker(self.folder.path(), line).spawn().unwrap();
        // A command that fails before it asks for the passphrase closes the pipe.
        let _ = writeln!(child.stdin.take().unwrap(), "{passphrase}");
        Answer::of(&child.wait_with_output().unwrap())
    }

    /// Runs a line that must succeed, and gives its facts.
    fn facts(&self, line: &str) -> Value {
        let answer = self.run(line);
        assert_eq!(answer.code, 0, "{line}: {}", answer.stderr);
        answer.out
    }

    /// Makes a home with the fastest key derivation that is allowed.
    fn init(&self, name: &str, role: &str) -> Value {
        self.facts(&format!("init --dir {name} --role {role} --kdf-memory-mib 64 --passphrase-fd 0"))
    }

    fn entrant(&self, name: &str) -> Value {
        self.facts(&format!("entrant-init --dir {name} --kdf-memory-mib 64 --passphrase-fd 0"))
    }
}

impl Answer {
    fn of(output: &Output) -> Self {
        let document = |bytes: &[u8]| {
            let last = bytes.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
            serde_json::from_slice::<Value>(last).unwrap_or_default()
        };
        let error = document(&output.stderr)["code"].as_str().unwrap_or_default().to_owned();
        Self {
            code: output.status.code().unwrap(),
            out: document(&output.stdout),
            error,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Exit code and stable error code.
    fn failure(&self) -> (i32, &str) {
        (self.code, &self.error)
    }
}

fn broker(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiltyard-broker"));
    command
        .current_dir(folder)
        .args(line.split_whitespace())
        .args(["--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

/// Whether a file holds these bytes.
fn holds(path: &Path, needle: &[u8]) -> bool {
    fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
}
