//! `tiltyard connect`: on the client's own machine, attests the referee before a byte of a request leaves.
//!
//! Listens on loopback only. Every upstream connection is TLS 1.3 and starts as [`upstream::Unattested`];
//! only evidence that is bound to that very connection makes it [`upstream::Attested`], and only that one
//! can carry a request (FEDERATION 8, ATTESTATION 11).

mod gate;
mod proxy;
mod tls;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;

use tiltyard_attestation::Hex;

pub use gate::{CharterGate, Gate, GateError, Passed};
pub use proxy::{Proxy, serve};
pub use upstream::{Attested, Target, Unattested, UpstreamError};

/// What `tiltyard connect` was asked for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port` of the referee.
    pub to: String,
    /// The charter's envelope: what the referee is held against.
    pub charter: PathBuf,
    /// A set of roots in place of the vendors'; the charter must name it.
    pub anchors: Option<PathBuf>,
    /// Collateral of the vendors: JSON, or a bundle that `collateral_key` signed.
    pub collateral: Option<PathBuf>,
    pub collateral_key: Option<Hex<32>>,
    /// Where this machine's programs connect.
    pub listen: SocketAddr,
    /// Gets the listener's `host:port`.
    pub port_file: Option<PathBuf>,
}

/// Why `connect` could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    #[error("connect: expected a loopback address to listen on, found {got}\n  use 127.0.0.1:0")]
    NotLoopback { got: SocketAddr },
    #[error("connect: listener {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error("{0}")]
    Input(String),
}

/// Listens, and forwards until a signal ends it.
pub async fn run(
    settings: &Settings,
    clock: fn() -> u64,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ConnectError> {
    let gate = CharterGate::open(settings, clock)?;
    let address = settings.listen;
    if !address.ip().is_loopback() {
        return Err(ConnectError::NotLoopback { got: address });
    }
    let listen = |source| ConnectError::Listen { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(listen)?;
    let local = listener.local_addr().map_err(listen)?;
    if let Some(path) = &settings.port_file {
        crate::agent::write_port_file(path, local)
            .map_err(|source| ConnectError::File { path: path.clone(), source })?;
    }
    ready(local);
    let proxy = Proxy::new(Target::new(settings.to.clone()), gate, local.port());
    tokio::select! {
        () = serve(listener, proxy) => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        () = terminated() => Ok(()),
    }
}

async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}
