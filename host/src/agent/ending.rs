//! When the agent ends: the tournament is decided and nobody needs the API any more.

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::session::Ended;
use super::{Agent, AgentError};

const FILE_POLL: Duration = Duration::from_millis(200);

/// How long the API stays up once the tournament is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// So long after the decision.
    Linger(Duration),
    /// Until this file exists.
    File(PathBuf),
    /// Until standard input ends.
    InputEnds,
}

/// Waits for the end: a signal always ends, the referee's own end does too.
pub(super) async fn wait(
    agent: &Agent,
    until: &Until,
    referee: &mut JoinHandle<Ended>,
) -> Result<(), AgentError> {
    let mut decided = agent.decided.subscribe();
    let ended = tokio::select! {
        code = referee => Some(match code {
            Ok(Ended::Lost { code }) => code,
            Ok(Ended::Reported) => "E_GUEST_EXITED".to_owned(),
            Err(_) => "E_TASK".to_owned(),
        }),
        () = signalled() => None,
        () = asked(until, &mut decided) => None,
    };
    match ended {
        _ if *agent.decided.borrow() => Ok(()),
        Some(code) => Err(AgentError::RefereeEnded { code }),
        None => Err(AgentError::Interrupted),
    }
}

async fn asked(until: &Until, decided: &mut tokio::sync::watch::Receiver<bool>) {
    match until {
        Until::Linger(time) => {
            // The sender lives as long as the agent.
            let _ = decided.wait_for(|decided| *decided).await;
            sleep(*time).await;
        }
        Until::File(path) => {
            while !path.exists() {
                sleep(FILE_POLL).await;
            }
        }
        Until::InputEnds => {
            let (sender, ended) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
                let _ = sender.send(());
            });
            let _ = ended.await;
        }
    }
}

async fn signalled() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
