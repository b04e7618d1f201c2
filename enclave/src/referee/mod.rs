//! Referee: runs the tournament, holds no data key, and is the only place that a result becomes a fact.

mod api;
mod archive;
mod desk;
mod log;
mod reports;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tiltyard_provisioning::channel::{
    Ack, Entries, GuestState, Incoming, MESSAGE_MAX_BYTES, OrderOutcome, Service, Stream, read_message,
    write_message,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

use crate::error::GuestError;
use crate::session::Guest;
use api::Api;
use desk::Desk;

/// How long a host may take over one message.
const MESSAGE_WAIT: Duration = Duration::from_secs(30);
/// Messages that wait for the desk, at most.
const QUEUE: usize = 64;

/// Something that the host brought; answered once it has been dealt with.
enum Happening {
    Entries(Entries),
    Outcome(OrderOutcome),
}

/// The broker's time, carried on by the guest's monotonic clock: a guest has no other.
#[derive(Clone, Copy)]
pub(crate) struct BrokerClock {
    issued_at: u64,
    at: Instant,
}

impl BrokerClock {
    pub(crate) fn new(issued_at: u64) -> Self {
        Self { issued_at, at: Instant::now() }
    }

    /// Unix seconds.
    pub(crate) fn now(&self) -> u64 {
        self.issued_at + self.at.elapsed().as_secs()
    }
}

/// Runs the tournament to its decision, then serves the API until the host closes the channel.
pub(crate) async fn serve(guest: Arc<Guest>, incoming: Incoming) -> Result<(), GuestError> {
    let mut desk = Desk::open(&guest).await?;
    guest.state(GuestState::Leased).await?;
    let api = Api::new(&guest, desk.view(), desk.anchors())?;
    let (queue, mut happenings) = mpsc::channel(QUEUE);
    let receiving = tokio::spawn(receive(incoming, api, queue));
    guest.state(GuestState::Running).await?;
    while !desk.decided() {
        tokio::select! {
            happening = happenings.recv() => match happening {
                None => return Err(GuestError::Channel("the host closed the channel".to_owned())),
                Some((happening, answer)) => {
                    let ack = desk.handle(happening).await?;
                    // A host that does not wait for its answer misses it.
                    let _: Result<(), Ack> = answer.send(ack);
                }
            },
            () = sleep_until(desk.wake_at()) => desk.wake().await?,
        }
    }
    guest.state(GuestState::Decided).await?;
    // The record is signed; what is left is to show it. Nobody needs the lease any more, but evidence for new
    // clients still comes from this boot.
    while let Some((_, answer)) = happenings.recv().await {
        let _: Result<(), Ack> = answer.send(Ack::Refused { code: "Decided".to_owned() });
    }
    receiving.abort();
    Ok(())
}

type Queued = (Happening, oneshot::Sender<Ack>);

/// Sorts the host's streams: clients to the API, the rest to the desk, one at a time.
async fn receive(mut incoming: Incoming, api: Api, queue: mpsc::Sender<Queued>) {
    while let Some((service, stream)) = incoming.next().await {
        match service {
            Service::Api => api.accept(stream),
            Service::Entries | Service::Result => {
                let queue = queue.clone();
                tokio::spawn(async move {
                    // A malformed message is dropped with its stream; the host hears nothing and may try again.
                    let _: Option<()> = pass_on(service, stream, queue).await;
                });
            }
            // A stream that a referee doesn't serve is closed by dropping it.
            _ => {}
        }
    }
}

async fn pass_on(service: Service, mut stream: Stream, queue: mpsc::Sender<Queued>) -> Option<()> {
    let happening = if service == Service::Entries {
        let read = timeout(MESSAGE_WAIT, read_message(&mut stream, MESSAGE_MAX_BYTES)).await;
        Happening::Entries(read.ok()?.ok()?)
    } else {
        let read = timeout(MESSAGE_WAIT, read_message(&mut stream, MESSAGE_MAX_BYTES)).await;
        Happening::Outcome(read.ok()?.ok()?)
    };
    let (answer, answered) = oneshot::channel();
    queue.send((happening, answer)).await.ok()?;
    let ack = answered.await.ok()?;
    write_message(&mut stream, &ack).await.ok()
}
