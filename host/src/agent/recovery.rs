//! At start, before anything new: what an earlier run left half done (HOST 6).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tiltyard_attestation::Hex;
use tokio::time::sleep;

use super::{Agent, AgentError, Event};
use crate::journal::{GuestPhase, LeftGuest, OrderPhase, boot_id, start_ticks};
use crate::launch::sweep;
use crate::simulator::Simulator;

const CODE: &str = "E_HOST_RESTARTED";
const GONE_POLL: Duration = Duration::from_millis(50);
const GONE_POLLS: u32 = 100;

impl Agent {
    /// Ends guests of an earlier run, removes their directories, and gives the orders that were lost.
    pub(super) async fn recover(
        self: &Arc<Self>,
        simulator: Option<&Path>,
    ) -> Result<Vec<Hex<32>>, AgentError> {
        for left in self.journal.left_guests()? {
            end(&left).await;
            if let Some(simulator) = simulator {
                // It may have been restarted since and know nothing of it.
                let _ = Simulator::at(simulator).end(&self.facts.guests.join(&left.lease).join("tsm")).await;
            }
            if let Ok(lease) = left.lease.parse() {
                self.journal.guest_phase(&lease, GuestPhase::Cleaned, CODE, (self.clock)())?;
            }
            self.events.send(&Event::Recovered { lease: left.lease, order: left.order });
        }
        sweep(&self.facts.guests)
            .map_err(|source| AgentError::File { path: self.facts.guests.clone(), source })?;
        let orders = self.journal.open_orders()?;
        for order in &orders {
            self.journal.order_phase(order, OrderPhase::Lost, Some(CODE))?;
        }
        Ok(orders)
    }
}

/// A child of a dead agent dies with it; this is for the moment in between.
async fn end(left: &LeftGuest) {
    let (Some(pid), Some(ticks)) = (left.pid, left.start_ticks) else { return };
    let same = || left.boot_id.as_deref() == Some(&boot_id()) && start_ticks(pid) == Some(ticks);
    for _ in 0..GONE_POLLS {
        // Another process may have its number by now: nothing is touched then.
        if !same() {
            return;
        }
        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        sleep(GONE_POLL).await;
    }
}
