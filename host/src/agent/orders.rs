//! Orders: taken once, queued, fulfilled by one guest each.

use std::sync::Arc;

use tiltyard_attestation::{Hex, Role};
use tiltyard_provisioning::channel::{OrderMessage, OrderOutcome};
use tiltyard_provisioning::order::{Order, Work};
use tiltyard_provisioning::statement::{Signed, StatementError, Verified};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::deliver::deliver;
use super::session::{Ended, attend_worker};
use super::{Agent, Event, InputError};
use crate::journal::{Enqueued, JournalError, OrderPhase};
use crate::launch::LaunchError;

/// An order that is in the journal and waits for a slot.
pub(crate) struct Taken {
    signed: Signed<Order>,
    order: Verified<Order>,
}

/// Why an order was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum OrderError {
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error("order: it is for another charter, tournament or referee key")]
    Elsewhere,
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("order: the queue is full")]
    QueueFull,
}

/// Why an order's guest was not started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

impl OrderError {
    /// The stable code that the referee hears.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Statement(_) => "E_ORDER_SIGNATURE",
            Self::Elsewhere => "E_ORDER_SCOPE",
            Self::Journal(JournalError::QueueFull) | Self::QueueFull => "E_QUEUE_FULL",
            Self::Journal(_) => "E_JOURNAL",
        }
    }
}

/// Journals an order and queues it; the same order again is done already.
pub(super) fn take(agent: &Agent, message: OrderMessage) -> Result<(), OrderError> {
    let signed = message.order;
    // That this key is the attested referee's is the broker's to judge; here it only keeps noise out.
    let order = signed.verify(&signed.key)?;
    let here = order.charter == agent.charter.p()
        && order.tournament == agent.charter.tournament.id
        && order.referee.signing == signed.key;
    if !here {
        return Err(OrderError::Elsewhere);
    }
    // A place in the queue first: what is in the journal is going to be run.
    let place = agent.queue.try_reserve().map_err(|_| OrderError::QueueFull)?;
    let digest = order.digest();
    if agent.journal.enqueue(&digest, &order.task, order.attempt, (agent.clock)())? == Enqueued::New {
        agent.tell_order(&order, "queued", None);
        place.send(Taken { signed, order });
    }
    Ok(())
}

/// Runs queued orders, `slots` at a time, until the agent stops; then ends those that run.
pub(super) async fn schedule(agent: Arc<Agent>, mut taken: mpsc::Receiver<Taken>, slots: usize) {
    let slots = Arc::new(Semaphore::new(slots));
    let mut stop = agent.stop.subscribe();
    let mut running = JoinSet::new();
    loop {
        let next = tokio::select! {
            next = async {
                let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
                Some((slot, taken.recv().await?))
            } => next,
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some((slot, next)) = next else { break };
        let agent = Arc::clone(&agent);
        running.spawn(async move {
            fulfil(agent, next).await;
            drop(slot);
        });
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}

async fn fulfil(agent: Arc<Agent>, Taken { signed, order }: Taken) {
    let digest = order.digest();
    agent.note_order(&digest, OrderPhase::Running, None);
    agent.tell_order(&order, "running", None);
    let started = async {
        let disks = agent.order_disks(&order)?;
        Ok::<_, StartError>(agent.start(order.work.role(), Some(signed), disks, None).await?)
    };
    let ended = match started.await {
        Ok(started) => attend_worker(Arc::clone(&agent), started, agent.wall_s(&order)).await,
        Err(error) => {
            agent.events.send(&Event::Warning { what: error.to_string() });
            let code = match error {
                StartError::Input(_) => "E_INPUT",
                StartError::Launch(_) => "E_LAUNCH",
            };
            Ended::Lost { code: code.to_owned() }
        }
    };
    match ended {
        Ended::Reported => agent.tell_order(&order, "reported", None),
        Ended::Lost { code } => {
            agent.note_order(&digest, OrderPhase::Lost, Some(&code));
            agent.tell_order(&order, "lost", Some(code.clone()));
            deliver(Arc::clone(&agent), digest, OrderOutcome::Lost { order: digest, code }).await;
        }
    }
}

impl Agent {
    fn wall_s(&self, order: &Order) -> u32 {
        let budget = &self.charter.tournament.budget;
        match order.work {
            Work::Train { .. } => budget.train_wall_s,
            Work::Evaluate { .. } => budget.evaluate_wall_s,
        }
    }

    fn tell_order(&self, order: &Verified<Order>, phase: &str, code: Option<String>) {
        let role = match order.work.role() {
            Role::Trainer => "train",
            Role::Evaluator | Role::Referee => "evaluate",
        };
        self.events.send(&Event::Order {
            order: order.digest(),
            task: format!("{role} {}", order.task),
            attempt: order.attempt,
            phase: phase.to_owned(),
            code,
        });
    }

    /// Tells the referee of orders that an earlier run of this host took and lost.
    pub(super) async fn report_left(self: &Arc<Self>, left: Vec<Hex<32>>) {
        for order in left {
            let code = "E_HOST_RESTARTED".to_owned();
            deliver(Arc::clone(self), order, OrderOutcome::Lost { order, code }).await;
        }
    }
}
