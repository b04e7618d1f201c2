//! What a guest may ask of its host, by role. Every byte of it is hostile input.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tiltyard_attestation::Role;
use tiltyard_provisioning::channel::{
    Ack, ChannelError, GuestState, LogAppend, MESSAGE_MAX_BYTES, OrderMessage, OrderOutcome, Service, Stream,
    read_message_or_end, write_message,
};
use tiltyard_provisioning::container::sealed_len;
use tiltyard_provisioning::order::{ObjectRef, ResultEnvelope};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::deliver::deliver;
use super::session::Session;
use super::{Agent, Event, orders, relay};
use crate::journal::Enqueued;
use crate::store::StoreError;

/// Largest word about a guest's state, in bytes.
const STATE_MAX_BYTES: u32 = 4096;
/// Largest reference of an object, in bytes.
const OBJECT_REF_MAX_BYTES: u32 = 4096;
/// Objects that one guest may hand over.
const OBJECTS_MAX: u32 = 8;

/// Serves one stream to its end.
pub(super) async fn serve(
    session: &Arc<Session>,
    service: Service,
    stream: Stream,
) -> Result<(), ChannelError> {
    match (service, session.role) {
        (Service::State, _) => states(session, stream).await,
        (Service::Broker(owner), _) => {
            relay::broker(&session.agent, owner, stream).await;
            Ok(())
        }
        (Service::Order, Role::Referee) => take_orders(&session.agent, stream).await,
        (Service::Log, Role::Referee) => keep_log(&session.agent, stream).await,
        (Service::Object, Role::Trainer | Role::Evaluator) => objects(session, stream).await,
        (Service::Report, Role::Trainer | Role::Evaluator) => reports(session, stream).await,
        // The rest is the host's to open, or another role's: the stream is closed.
        (
            Service::Order
            | Service::Log
            | Service::Object
            | Service::Report
            | Service::Config
            | Service::Entries
            | Service::Result
            | Service::Api,
            _,
        ) => {
            let what = format!("{:?} {} opened {}", session.role, session.lease, service.name());
            session.agent.events.send(&Event::Warning { what });
            Ok(())
        }
    }
}

async fn states(session: &Session, mut stream: Stream) -> Result<(), ChannelError> {
    while let Some(state) = read_message_or_end::<_, GuestState>(&mut stream, STATE_MAX_BYTES).await? {
        // The receiver goes when the guest is done with.
        let _ = session.states.send(state).await;
    }
    Ok(())
}

async fn take_orders(agent: &Arc<Agent>, mut stream: Stream) -> Result<(), ChannelError> {
    while let Some(message) = read_message_or_end::<_, OrderMessage>(&mut stream, MESSAGE_MAX_BYTES).await? {
        let ack = orders::take(agent, message).map_err(|error| {
            agent.events.send(&Event::Warning { what: error.to_string() });
            error.code()
        });
        answer(&mut stream, ack).await?;
    }
    Ok(())
}

async fn keep_log(agent: &Agent, mut stream: Stream) -> Result<(), ChannelError> {
    while let Some(append) = read_message_or_end::<_, LogAppend>(&mut stream, MESSAGE_MAX_BYTES).await? {
        let kept = agent.log.lock().unwrap_or_else(PoisonError::into_inner).append(&append);
        match &kept {
            Ok(()) => {
                agent.events.send(&Event::LogAppend { first: append.first, leaves: append.leaves.len() });
            }
            Err(error) => agent.events.send(&Event::Warning { what: error.to_string() }),
        }
        answer(&mut stream, kept.map_err(|error| error.code())).await?;
    }
    Ok(())
}

async fn objects(session: &Session, mut stream: Stream) -> Result<(), ChannelError> {
    let agent = &session.agent;
    while let Some(object) = read_message_or_end::<_, ObjectRef>(&mut stream, OBJECT_REF_MAX_BYTES).await? {
        if session.objects.fetch_add(1, Ordering::AcqRel) >= OBJECTS_MAX {
            return answer(&mut stream, Err("E_TOO_MANY")).await;
        }
        let ObjectRef { sha256, len_bytes, .. } = object;
        let received =
            agent.store.receive((&mut stream).compat(), &sha256, len_bytes, agent.object_max_bytes()).await;
        match &received {
            Ok(()) => agent.events.send(&Event::Object { order: session.order, sha256, len_bytes }),
            Err(error) => agent.events.send(&Event::Warning { what: error.to_string() }),
        }
        let refused = received.is_err();
        answer(&mut stream, received.map_err(|error| object_code(&error))).await?;
        if refused {
            // Bytes of the refused object may still be on the stream.
            return Ok(());
        }
    }
    Ok(())
}

async fn reports(session: &Session, mut stream: Stream) -> Result<(), ChannelError> {
    let agent = &session.agent;
    while let Some(report) = read_message_or_end::<_, ResultEnvelope>(&mut stream, MESSAGE_MAX_BYTES).await? {
        let order = report.order;
        if session.order != Some(order) {
            answer(&mut stream, Err("E_ORDER_SCOPE")).await?;
            continue;
        }
        // Strings only, which always serialise.
        let bytes = serde_json::to_vec(&report).unwrap_or_default();
        let kept = match agent.journal.keep_report(&order, &bytes) {
            Ok(Enqueued::New) => {
                session.reported.store(true, Ordering::Release);
                tokio::spawn(deliver(Arc::clone(agent), order, OrderOutcome::Report(report)));
                Ok(())
            }
            // The first report of an order stands.
            Ok(Enqueued::Known) => Err("E_FENCED"),
            Err(error) => {
                agent.events.send(&Event::Warning { what: error.to_string() });
                Err("E_JOURNAL")
            }
        };
        answer(&mut stream, kept).await?;
    }
    Ok(())
}

async fn answer(stream: &mut Stream, done: Result<(), &'static str>) -> Result<(), ChannelError> {
    let ack = match done {
        Ok(()) => Ack::Done,
        Err(code) => Ack::Refused { code: code.to_owned() },
    };
    write_message(stream, &ack).await
}

fn object_code(error: &StoreError) -> &'static str {
    match error {
        StoreError::Received { .. } | StoreError::Digest { .. } => "E_DIGEST",
        StoreError::Length { .. } => "E_LENGTH",
        StoreError::TooLarge { .. } | StoreError::TooMany { .. } => "E_TOO_LARGE",
        StoreError::Io { .. } => "E_IO",
    }
}

impl Agent {
    /// Largest sealed object of a guest, in bytes: the charter's caps, with an eighth for padding.
    fn object_max_bytes(&self) -> u64 {
        let output = &self.charter.output;
        let plain = output.artefact_max_bytes.max(output.log_max_bytes.into());
        sealed_len(plain.saturating_add(plain / 8))
    }
}
