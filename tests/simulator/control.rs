//! The launcher's socket: one JSON line a request, one a reply.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::stat::{Mode, umask};
use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;
use tiltyard_attestation::measure::process_measurement;

use crate::SimulatedPlatform;
use crate::tsm::{self, GuestIdentity, Served, TsmError};

/// Longest request, in bytes.
pub const REQUEST_MAX_BYTES: u64 = 16 * 1024;
/// Guests served at a time.
pub const GUESTS_MAX: usize = 64;
/// Open connections.
const CONNECTIONS_MAX: usize = 32;
/// Largest program file that is measured, in bytes.
const PROGRAM_MAX_BYTES: u64 = 1 << 30;

/// A request of the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Serve a guest of `program` under `tsm_dir`; `host_data` is fixed as long as it lives.
    Guest { program: PathBuf, host_data: Hex<32>, tsm_dir: PathBuf },
    /// Stop serving it.
    End { tsm_dir: PathBuf },
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    #[error("request: expected at most {REQUEST_MAX_BYTES} bytes on one line")]
    TooLong,
    #[error("request: {0}")]
    Syntax(String),
    #[error("{what}: expected an absolute path, found {path}")]
    NotAbsolute { what: &'static str, path: PathBuf },
    #[error("program {path}: {source}")]
    Program { path: PathBuf, source: io::Error },
    #[error("program {path}: expected at most {PROGRAM_MAX_BYTES} bytes")]
    ProgramTooLarge { path: PathBuf },
    #[error("{tsm_dir} is served already\n  end it first")]
    AlreadyServed { tsm_dir: PathBuf },
    #[error("{tsm_dir} is not served")]
    NotServed { tsm_dir: PathBuf },
    #[error("expected at most {GUESTS_MAX} guests at a time")]
    TooManyGuests,
    #[error(transparent)]
    Tsm(#[from] TsmError),
    #[error("socket {path}: {source}")]
    Socket { path: PathBuf, source: io::Error },
}

/// What a hypervisor and its firmware know: the machine, and who runs on it.
pub struct Hypervisor {
    platform: Arc<SimulatedPlatform>,
    report_version: u32,
    guests: Mutex<HashMap<PathBuf, Served>>,
}

impl Hypervisor {
    /// A machine that answers with reports of `report_version` (2 to 5).
    pub fn new(platform: SimulatedPlatform, report_version: u32) -> Self {
        Self { platform: Arc::new(platform), report_version, guests: Mutex::default() }
    }

    /// Carries out one request.
    pub fn handle(&self, request: Request) -> Result<(), ControlError> {
        match request {
            Request::Guest { program, host_data, tsm_dir } => self.start(&program, host_data, tsm_dir),
            Request::End { tsm_dir } => self.end(tsm_dir),
        }
    }

    /// Answers launchers on a socket (0600) until the process ends.
    pub fn listen(self, socket: &Path, ready: impl FnOnce() -> io::Result<()>) -> Result<(), ControlError> {
        let failed = |source| ControlError::Socket { path: socket.to_owned(), source };
        let listener = bind_private(socket).map_err(failed)?;
        ready().map_err(failed)?;
        let (hypervisor, open) = (Arc::new(self), Arc::new(AtomicUsize::new(0)));
        for stream in listener.incoming() {
            let stream = stream.map_err(failed)?;
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (hypervisor, open) = (Arc::clone(&hypervisor), Arc::clone(&open));
            std::thread::spawn(move || {
                if let Err(error) = hypervisor.converse(&stream) {
                    eprintln!("tiltyard-simulator: control connection: {error}");
                }
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Ok(())
    }

    fn start(&self, program: &Path, host_data: Hex<32>, tsm_dir: PathBuf) -> Result<(), ControlError> {
        absolute("program", program)?;
        absolute("tsm_dir", &tsm_dir)?;
        let measurement = process_measurement(&read_program(program)?);
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        if guests.contains_key(&tsm_dir) {
            return Err(ControlError::AlreadyServed { tsm_dir });
        }
        if guests.len() >= GUESTS_MAX {
            return Err(ControlError::TooManyGuests);
        }
        let identity = GuestIdentity { measurement, host_data, report_version: self.report_version };
        let served = tsm::serve(Arc::clone(&self.platform), identity, &tsm_dir)?;
        guests.insert(tsm_dir, served);
        Ok(())
    }

    fn end(&self, tsm_dir: PathBuf) -> Result<(), ControlError> {
        let served = self.guests.lock().unwrap_or_else(PoisonError::into_inner).remove(&tsm_dir);
        served.map(Served::end).ok_or(ControlError::NotServed { tsm_dir })
    }

    /// One reply a line, until the launcher closes.
    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        let mut lines = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            lines.by_ref().take(REQUEST_MAX_BYTES + 1).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(());
            }
            let result = if line.len() as u64 > REQUEST_MAX_BYTES {
                Err(ControlError::TooLong)
            } else {
                serde_json::from_slice(&line)
                    .map_err(|error| ControlError::Syntax(error.to_string()))
                    .and_then(|request| self.handle(request))
            };
            let mut reply = serde_json::to_vec(&Reply::from(&result))?;
            reply.push(b'\n');
            let mut out = stream;
            out.write_all(&reply)?;
            if matches!(result, Err(ControlError::TooLong)) {
                // What follows on this line can't be told from a new request.
                return Ok(());
            }
        }
    }
}

/// `{"ok":true}`, or `{"error":"..."}`.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Ok(bool),
    Error(String),
}

impl From<&Result<(), ControlError>> for Reply {
    fn from(result: &Result<(), ControlError>) -> Self {
        match result {
            Ok(()) => Self::Ok(true),
            Err(error) => Self::Error(error.to_string()),
        }
    }
}

/// Binds with mode 0600; a socket that a stopped simulator left behind is replaced, a live one is not.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let stale = |kind: std::fs::Metadata| kind.file_type().is_socket() && UnixStream::connect(path).is_err();
    if std::fs::symlink_metadata(path).is_ok_and(stale) {
        std::fs::remove_file(path)?;
    }
    let former = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    umask(former);
    listener
}

/// Reads a program that is to be measured, within the limit.
pub fn read_program(path: &Path) -> Result<Vec<u8>, ControlError> {
    let failed = |source| ControlError::Program { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(PROGRAM_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > PROGRAM_MAX_BYTES {
        return Err(ControlError::ProgramTooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

fn absolute(what: &'static str, path: &Path) -> Result<(), ControlError> {
    if path.is_absolute() { Ok(()) } else { Err(ControlError::NotAbsolute { what, path: path.to_owned() }) }
}
