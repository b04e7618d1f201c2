//! Hands an order's outcome to the referee, and writes down that it has it.

use std::sync::Arc;
use std::time::Duration;

use tiltyard_attestation::Hex;
use tiltyard_provisioning::channel::{
    Ack, ChannelError, OrderOutcome, Service, StreamOpener, read_message, write_message,
};
use tokio::time::{sleep, timeout};

use super::{Agent, Event};
use crate::journal::OrderPhase;

const TRIES: u32 = 3;
const ACK_WAIT: Duration = Duration::from_secs(120);
const ACK_MAX_BYTES: u32 = 4096;
const PAUSE: Duration = Duration::from_secs(1);

/// Sends an outcome until the referee has answered, a few times at most.
pub(super) async fn deliver(agent: Arc<Agent>, order: Hex<32>, outcome: OrderOutcome) {
    let lost = match &outcome {
        OrderOutcome::Lost { code, .. } => Some(code.clone()),
        OrderOutcome::Report(_) => None,
    };
    let Some(referee) = agent.referee.get() else { return };
    for attempt in 1..=TRIES {
        match timeout(ACK_WAIT, send(referee, &outcome)).await {
            Ok(Ok(Ack::Done)) => {
                let phase = if lost.is_some() { OrderPhase::Lost } else { OrderPhase::Delivered };
                agent.note_order(&order, phase, lost.as_deref());
                return;
            }
            Ok(Ok(Ack::Refused { code })) => {
                agent.note_order(&order, OrderPhase::Lost, Some(&code));
                return;
            }
            Ok(Err(ChannelError::Closed)) => return,
            Ok(Err(_)) | Err(_) if attempt < TRIES => sleep(PAUSE * attempt).await,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    agent.events.send(&Event::Warning { what: format!("order {order}: the referee took no outcome") });
}

async fn send(referee: &StreamOpener, outcome: &OrderOutcome) -> Result<Ack, ChannelError> {
    let mut stream = referee.open(Service::Result).await?;
    write_message(&mut stream, outcome).await?;
    read_message(&mut stream, ACK_MAX_BYTES).await
}

impl Agent {
    pub(super) fn note_order(&self, order: &Hex<32>, phase: OrderPhase, code: Option<&str>) {
        if let Err(error) = self.journal.order_phase(order, phase, code) {
            self.events.send(&Event::Warning { what: error.to_string() });
        }
    }
}
