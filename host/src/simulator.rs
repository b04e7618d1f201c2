//! Asks a simulator to serve a guest's reports: lab charters only. One JSON line each way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Longest reply, in bytes.
const REPLY_MAX_BYTES: u64 = 16 * 1024;
const REPLY_WAIT: Duration = Duration::from_secs(30);

/// A simulator behind its control socket.
#[derive(Debug, Clone)]
pub struct Simulator {
    socket: PathBuf,
}

/// Why the simulator does not serve a guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulatorError {
    #[error("simulator at {socket}: {source}\n  start it, or leave --simulator out")]
    Socket { socket: PathBuf, source: std::io::Error },
    #[error("simulator at {socket}: no reply within {} s", REPLY_WAIT.as_secs())]
    Silent { socket: PathBuf },
    #[error("simulator at {socket}: expected ok, found an unknown reply")]
    Reply { socket: PathBuf },
    #[error("simulator at {socket} refused: {why}")]
    Refused { socket: PathBuf, why: String },
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Request<'a> {
    Guest { program: &'a Path, host_data: Hex<32>, tsm_dir: &'a Path },
    End { tsm_dir: &'a Path },
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Reply {
    Ok(bool),
    Error(String),
}

impl Simulator {
    /// The simulator that listens on this Unix socket.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Serves reports to a guest of `program` under `tsm_dir`, both absolute paths.
    pub async fn guest(
        &self,
        program: &Path,
        host_data: Hex<32>,
        tsm_dir: &Path,
    ) -> Result<(), SimulatorError> {
        self.ask(&Request::Guest { program, host_data, tsm_dir }).await
    }

    /// Stops serving that directory.
    pub async fn end(&self, tsm_dir: &Path) -> Result<(), SimulatorError> {
        self.ask(&Request::End { tsm_dir }).await
    }

    async fn ask(&self, request: &Request<'_>) -> Result<(), SimulatorError> {
        let socket = || self.socket.clone();
        let line = timeout(REPLY_WAIT, self.exchange(request))
            .await
            .map_err(|_| SimulatorError::Silent { socket: socket() })?
            .map_err(|source| SimulatorError::Socket { socket: socket(), source })?;
        match serde_json::from_slice(&line) {
            Ok(Reply::Ok(true)) => Ok(()),
            Ok(Reply::Error(why)) => Err(SimulatorError::Refused { socket: socket(), why }),
            Ok(Reply::Ok(false)) | Err(_) => Err(SimulatorError::Reply { socket: socket() }),
        }
    }

    async fn exchange(&self, request: &Request<'_>) -> std::io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream.write_all(&line).await?;
        let mut reply = Vec::new();
        BufReader::new(stream).take(REPLY_MAX_BYTES).read_until(b'\n', &mut reply).await?;
        Ok(reply)
    }
}
