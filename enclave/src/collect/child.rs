//! Reading a device in a process of its own: this program, started anew for that alone.
//!
//! Two libraries are not safe to run beside a guest's keys. `sev` 8.0.0 follows offsets of the host's certificate
//! table through raw pointers, so that a host could have it copy any memory of the process into the evidence;
//! `nvml-wrapper` 0.13.0 panics on a size that the driver states too large. The reader holds nothing but the
//! question. What it says is read as far as a limit and believed no more than a device is.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{CollectError, ReaderEnd};

const QUESTION_MAX_BYTES: u64 = 4 * 1024;
/// 16 GPUs with report and chain in base64.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// How this program starts itself to read a device.
#[derive(Debug, Clone)]
pub struct Reader {
    pub program: PathBuf,
    /// After this the reader is killed.
    pub deadline: Duration,
}

/// What a reader reads; its only argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Device {
    SevGuest,
    Gpu,
}

impl Device {
    const ALL: [Self; 2] = [Self::SevGuest, Self::Gpu];

    fn argument(self) -> &'static str {
        match self {
            Self::SevGuest => "read-sev-guest",
            Self::Gpu => "read-gpu",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SevGuest => "/dev/sev-guest",
            Self::Gpu => "GPU",
        }
    }
}

/// A step at a device that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    pub(super) step: Step,
    /// As the device's interface counts its errors; zero where it has no number.
    pub(super) code: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    Question,
    NotBuilt,
    Open,
    Report,
    Certificates,
    Count,
    State,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Question => "reading the question",
            Self::NotBuilt => "reading it, which takes a program with feature gpu,",
            Self::Open => "opening it",
            Self::Report => "the report",
            Self::Certificates => "the certificates",
            Self::Count => "counting",
            Self::State => "reading its mode",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome<A> {
    Answer(A),
    Failed(Failure),
}

impl Reader {
    /// Asks one question of a new reader and waits for its answer.
    pub(super) fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        device: Device,
        question: &Q,
    ) -> Result<A, CollectError> {
        let ended = |why| CollectError::Reader { device: device.name(), why };
        let question = serde_json::to_vec(question).map_err(|_| ended(ReaderEnd::NotStarted))?;
        let mut child = Command::new(&self.program)
            .arg(device.argument())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|_| ended(ReaderEnd::NotStarted))?;
        let said = self.hear(&mut child, question);
        // It has answered, or it is of no more use.
        let _ = child.kill();
        let status = child.wait();
        let said = said.map_err(ended)?;
        match serde_json::from_slice(&said) {
            Ok(Outcome::Answer(answer)) => Ok(answer),
            Ok(Outcome::Failed(Failure { step, code })) => {
                Err(CollectError::Device { device: device.name(), step: step.name(), code })
            }
            Err(_) => Err(ended(if said.is_empty() { silence(status) } else { ReaderEnd::Garbled })),
        }
    }

    /// Everything that the child says until it closes its output.
    fn hear(&self, child: &mut Child, question: Vec<u8>) -> Result<Vec<u8>, ReaderEnd> {
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ReaderEnd::NotStarted);
        };
        let (heard, hearing) = mpsc::channel();
        thread::spawn(move || {
            // A child that does not listen has not answered either.
            let _ = input.write_all(&question);
            drop(input);
            let mut said = Vec::new();
            let read = output.take(ANSWER_MAX_BYTES as u64 + 1).read_to_end(&mut said);
            let _ = heard.send(read.map(|_| said));
        });
        match hearing.recv_timeout(self.deadline) {
            Ok(Ok(said)) if said.len() > ANSWER_MAX_BYTES => Err(ReaderEnd::TooLarge(ANSWER_MAX_BYTES)),
            Ok(Ok(said)) => Ok(said),
            Ok(Err(_)) => Err(ReaderEnd::Garbled),
            Err(_) => Err(ReaderEnd::Late(self.deadline.as_millis())),
        }
    }
}

fn silence(status: io::Result<ExitStatus>) -> ReaderEnd {
    let Ok(status) = status else { return ReaderEnd::Garbled };
    match (status.code(), status.signal()) {
        (Some(code), _) => ReaderEnd::Code(code),
        (None, Some(signal)) => ReaderEnd::Signal(signal),
        (None, None) => ReaderEnd::Garbled,
    }
}

/// Reads a device if these arguments ask for it; `None` for every other command line.
pub fn read_device(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let asked = args.next()?;
    let device = Device::ALL.into_iter().find(|device| asked == device.argument())?;
    // What a panic would print is nobody's to read; the exit code tells.
    std::panic::set_hook(Box::new(|_| {}));
    let said = match device {
        Device::SevGuest => answered(super::sev_device::read),
        Device::Gpu => answered(super::gpu::read),
    };
    let done = said.and_then(|said| io::stdout().write_all(&said).ok());
    Some(if done.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn answered<Q: DeserializeOwned, A: Serialize>(read: fn(Q) -> Result<A, Failure>) -> Option<Vec<u8>> {
    let mut question = Vec::new();
    io::stdin().take(QUESTION_MAX_BYTES).read_to_end(&mut question).ok()?;
    let outcome = match serde_json::from_slice(&question) {
        Ok(question) => read(question).map_or_else(Outcome::Failed, Outcome::Answer),
        Err(_) => Outcome::Failed(Failure { step: Step::Question, code: 0 }),
    };
    serde_json::to_vec(&outcome).ok()
}
