//! `serve`: the broker protocol until the process is told to end.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tiltyard_attestation::printable::plain_lines;
use tiltyard_attestation::{Collateral, Hex};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::{DOCUMENT_MAX_BYTES, collateral, read_document};
use crate::cli::{Facts, OutputForm, ServeArgs};
use crate::file::Target;
use crate::protocol::{Core, Setup};
use crate::serve::{acceptor, serve as run};
use crate::{BrokerError, Home, Passphrase, now, read_limited};

#[derive(Serialize)]
struct Serving {
    address: SocketAddr,
    p: Hex<32>,
    /// Said aloud: whose roots evidence is verified to.
    anchors: String,
}

pub(super) fn serve(args: &ServeArgs, form: OutputForm) -> Result<(), BrokerError> {
    let home = Home::open(&args.home.dir)?;
    let port_file = args.port_file.as_deref().map(|path| port_file(path, &home, args)).transpose()?;
    let lock = home.lock_for_serving()?;
    let unlocked = home.unlock(&Passphrase::read(args.home.passphrase)?)?;
    let own_key = unlocked.broker("serve")?.signing_key;
    let tls = unlocked.tls()?;
    let setup = Setup {
        charter: read_limited(&args.charter, DOCUMENT_MAX_BYTES)?,
        anchors: args.anchors.as_deref().map(read_document).transpose()?,
        collateral: match &args.collateral {
            None => Collateral::none(),
            Some(path) => collateral::read(path, &args.collateral_key.unwrap_or(own_key))?,
        },
    };
    let core = Arc::new(Core::unlocked(unlocked, setup, now())?);
    let (acceptor, server_spki) = acceptor(&tls)?;
    drop(tls);

    let failed = |source| BrokerError::io("run on", Path::new("the network"), source);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        // Before anybody can know that it serves: until then SIGHUP ends it.
        let reload = reload(args, own_key, Arc::clone(&core)).map_err(failed)?;
        if let Some(file) = &port_file {
            file.write(format!("{}\n", address.port()).as_bytes())?;
        }
        Serving { address, p: core.charter().p(), anchors: core.anchors().to_string() }.print(form)?;
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        run(listener, acceptor, server_spki, core, stop).await;
        reload.abort();
        Ok::<_, BrokerError>(())
    })?;
    drop(lock);
    Ok(())
}

/// Where the port is told: within the home it may be, over what the home keeps or the command reads it may not.
fn port_file(path: &Path, home: &Home, args: &ServeArgs) -> Result<Target, BrokerError> {
    let files = home.files();
    let inputs = [Some(&args.charter), args.anchors.as_ref(), args.collateral.as_ref()];
    let kept: Vec<&Path> =
        files.iter().chain(inputs.into_iter().flatten()).map(|path| path.as_path()).collect();
    Target::new(path, &kept)
}

/// Reads the collateral again at every SIGHUP. A file that is not collateral is told on stderr, and the one before stays.
fn reload(args: &ServeArgs, own_key: Hex<32>, core: Arc<Core>) -> std::io::Result<JoinHandle<()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (path, key) = (args.collateral.clone(), args.collateral_key.unwrap_or(own_key));
    Ok(tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let Some(path) = &path else { continue };
            let said = match collateral::read(path, &key) {
                Ok(collateral) => {
                    core.replace_collateral(collateral);
                    format!("collateral {}: read again", path.display())
                }
                Err(error) => format!("{error}\n  the collateral before it stays in use"),
            };
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "{}", plain_lines(&said));
        }
    }))
}

impl Facts for Serving {
    fn lines(&self) -> Vec<String> {
        vec![
            format!("serving on {}", self.address),
            format!("charter    {}", self.p),
            format!("anchors    {}", self.anchors),
        ]
    }
}
