//! What the agent tells whoever runs it: lines for a person, or JSON lines for a program.

use std::io::Write;
use std::net::SocketAddr;

use serde::Serialize;
use tiltyard_attestation::printable::plain_json;
use tiltyard_attestation::{Hex, Role};
use tiltyard_provisioning::channel::GuestState;

/// Form of a command's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Text,
    Json,
}

/// One thing that happened. Holds digests, names and codes only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    Imported {
        objects: usize,
    },
    Started {
        charter: Hex<32>,
        api: SocketAddr,
    },
    /// An earlier run left this behind; its order is lost.
    Recovered {
        lease: String,
        order: Option<Hex<32>>,
    },
    GuestStarted {
        lease: Hex<16>,
        role: Role,
        order: Option<Hex<32>>,
        pid: u32,
    },
    State {
        lease: Hex<16>,
        role: Role,
        order: Option<Hex<32>>,
        state: GuestState,
    },
    GuestEnded {
        lease: Hex<16>,
        role: Role,
        order: Option<Hex<32>>,
        code: String,
    },
    Order {
        order: Hex<32>,
        task: String,
        attempt: u32,
        phase: String,
        code: Option<String>,
    },
    Object {
        order: Option<Hex<32>>,
        sha256: Hex<32>,
        len_bytes: u64,
    },
    LogAppend {
        first: u64,
        leaves: usize,
    },
    Warning {
        what: String,
    },
    Error {
        what: String,
    },
    Ended {
        decided: bool,
    },
}

/// Where events go.
#[derive(Debug, Clone, Copy)]
pub struct Events {
    output: Output,
}

impl Events {
    /// Text goes to standard error, JSON lines to standard output.
    pub fn new(output: Output) -> Self {
        Self { output }
    }

    /// Tells one event. Nobody listening is no reason to stop.
    pub fn send(&self, event: &Event) {
        let _ = match self.output {
            Output::Text => writeln!(std::io::stderr(), "{}", text(event)),
            Output::Json => {
                // Strings, integers and enums only, which always serialise.
                let line = plain_json(&serde_json::to_string(event).unwrap_or_default());
                let mut out = std::io::stdout();
                writeln!(out, "{line}").and_then(|()| out.flush())
            }
        };
    }
}

fn text(event: &Event) -> String {
    match event {
        Event::Imported { objects } => format!("store: {objects} files checked"),
        Event::Started { charter, api } => format!("charter {} on {api}", short(charter)),
        Event::Recovered { lease, order } => {
            format!("left by an earlier run: guest {lease}{}", of_order(order.as_ref()))
        }
        Event::GuestStarted { lease, role, order, pid } => {
            format!("{} {} started (pid {pid}){}", name(*role), short(lease), of_order(order.as_ref()))
        }
        Event::State { lease, role, state, .. } => {
            format!("{} {}: {}", name(*role), short(lease), state_name(state))
        }
        Event::GuestEnded { lease, role, code, .. } => {
            format!("{} {} ended: {code}", name(*role), short(lease))
        }
        Event::Order { order, task, attempt, phase, code } => {
            let code = code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
            format!("order {} {task} attempt {attempt}: {phase}{code}", short(order))
        }
        Event::Object { sha256, len_bytes, .. } => {
            format!("object {} received, {len_bytes} bytes", short(sha256))
        }
        Event::LogAppend { first, leaves } => format!("log: {leaves} leaves from {first}"),
        Event::Warning { what } => format!("warning: {what}"),
        Event::Error { what } => format!("error: {what}"),
        Event::Ended { decided: true } => "ended, tournament decided".to_owned(),
        Event::Ended { decided: false } => "ended, tournament not decided".to_owned(),
    }
}

fn short<const N: usize>(digest: &Hex<N>) -> String {
    let mut text = digest.to_string();
    text.truncate(12);
    text
}

fn of_order(order: Option<&Hex<32>>) -> String {
    order.map(|order| format!(", order {}", short(order))).unwrap_or_default()
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Referee => "referee",
        Role::Trainer => "trainer",
        Role::Evaluator => "evaluator",
    }
}

pub(super) fn state_name(state: &GuestState) -> String {
    match state {
        GuestState::Ready => "ready".to_owned(),
        GuestState::Leased => "leased".to_owned(),
        GuestState::Running => "running".to_owned(),
        GuestState::Decided => "decided".to_owned(),
        GuestState::Finished => "finished".to_owned(),
        GuestState::Failed { code } => format!("failed {}", code.escape_debug()),
    }
}
