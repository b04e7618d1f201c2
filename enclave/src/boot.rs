//! From a bare stream to a guest that knows what it is for.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tiltyard_attestation::{LaunchConfig, Role};
use tiltyard_provisioning::channel::{
    Boot, End, GuestState, Incoming, MESSAGE_MAX_BYTES, Service, StreamOpener, mux, read_message,
};
use tiltyard_provisioning::charter::OpenCharter;
use tokio::time::timeout;
use tokio_util::compat::TokioAsyncReadCompatExt;

use crate::attester::Attester;
use crate::collect::{Collector, Places};
use crate::error::GuestError;
use crate::inputs::{INPUT_ROOT, Inputs};
use crate::session::Guest;
use crate::{evaluator, referee, trainer};

/// How long a guest waits for its configuration.
const CONFIG_WAIT: Duration = Duration::from_secs(60);
/// How long a guest that is ending waits for its last words to leave.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Runs the guest to its end. The stream to the host is standard input, the one descriptor that it inherits.
pub fn run() -> Result<(), GuestError> {
    // A panic's message can hold what was being worked on, and the host keeps what a guest prints.
    std::panic::set_hook(Box::new(|_| {}));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| GuestError::Channel(error.to_string()))?;
    let done = runtime.block_on(on_carrier());
    // A training thread of a guest whose lease has lapsed must not keep the process alive.
    runtime.shutdown_background();
    done
}

async fn on_carrier() -> Result<(), GuestError> {
    let carrier = carrier().map_err(|error| GuestError::Channel(error.to_string()))?;
    let (opener, incoming, driver) = mux(carrier.compat(), End::Guest);
    let driver = tokio::spawn(driver);
    let done = start(&opener, incoming).await;
    let last = match &done {
        Ok(()) => GuestState::Finished,
        Err(error) => GuestState::Failed { code: error.code() },
    };
    // The host may be gone already; then there is nobody to tell.
    let _ = timeout(CLOSE_WAIT, Guest::send_state(&opener, last)).await;
    opener.close();
    let _ = timeout(CLOSE_WAIT, driver).await;
    done
}

fn carrier() -> std::io::Result<tokio::net::UnixStream> {
    let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    stream.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(stream)
}

async fn start(opener: &StreamOpener, mut incoming: Incoming) -> Result<(), GuestError> {
    let channel = |why: &str| GuestError::Channel(why.to_owned());
    let (service, mut stream) = timeout(CONFIG_WAIT, incoming.next())
        .await
        .map_err(|_| channel("no configuration in time"))?
        .ok_or_else(|| channel("closed before the configuration"))?;
    if service != Service::Config {
        return Err(channel("expected the configuration first"));
    }
    let boot: Boot = timeout(CONFIG_WAIT, read_message(&mut stream, MESSAGE_MAX_BYTES))
        .await
        .map_err(|_| channel("no configuration in time"))?
        .map_err(|error| GuestError::Channel(error.to_string()))?;
    let guest = Arc::new(prepare(opener, boot)?);
    guest.state(GuestState::Ready).await?;
    match guest.attester.config().role {
        Role::Referee => referee::serve(guest, incoming).await,
        Role::Trainer => trainer::serve(guest).await,
        Role::Evaluator => evaluator::serve(guest).await,
    }
}

/// Holds the host's documents against the guest's own report and against each other.
fn prepare(opener: &StreamOpener, boot: Boot) -> Result<Guest, GuestError> {
    let attester =
        tokio::task::block_in_place(|| Attester::boot(Collector::find(Places::of_guest())?, boot.config.0))?;
    let config: &LaunchConfig = attester.config();
    let charter = OpenCharter::open(&boot.charter.0)
        .map_err(|error| GuestError::BootDocument { what: "charter", why: error.to_string() })?;
    if charter.p() != config.charter {
        return Err(GuestError::BootDocument {
            what: "charter",
            why: format!("expected digest {}, found {}", config.charter, charter.p()),
        });
    }
    let order = match (&boot.order, config.order) {
        (None, None) => None,
        (Some(order), Some(digest)) if order.digest() == digest => Some(order.clone()),
        _ => {
            return Err(GuestError::BootDocument {
                what: "order",
                why: "differs from the one in the launch configuration".to_owned(),
            });
        }
    };
    let inputs = Inputs::new(INPUT_ROOT, config.disks.clone());
    Ok(Guest {
        attester,
        charter,
        charter_envelope: boot.charter.0,
        inputs,
        opener: opener.clone(),
        order,
        log: boot.log,
    })
}
