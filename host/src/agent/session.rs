//! One guest from its first message to its clean-up: deadlines, services, how it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tiltyard_attestation::{Hex, Role};
use tiltyard_provisioning::channel::{
    Boot, ChannelError, End, GuestState, Incoming, Service, Stream, StreamOpener, mux, write_message,
};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::events::state_name;
use super::{Agent, Event, services};
use crate::journal::GuestPhase;
use crate::launch::{GuestExit, GuestProcess};

/// How long a stopping agent waits for its guests to be gone.
pub(super) const STOP_WAIT: Duration = Duration::from_secs(20);
/// How long last words may take once the guest's process has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a process may outlive its channel.
const DRAIN: Duration = Duration::from_secs(30);
/// A referee serves as long as its charter; this bounds it where the clock is wrong.
const REFEREE_WALL: Duration = Duration::from_secs(90 * 86_400);

/// A guest whose process runs and that has heard nothing yet.
pub(crate) struct Started {
    pub(super) role: Role,
    pub(super) lease: Hex<16>,
    pub(super) order: Option<Hex<32>>,
    pub(super) carrier: UnixStream,
    pub(super) process: GuestProcess,
    pub(super) boot: Boot,
}

/// What a guest's run came to, for its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its sealed report is in the journal.
    Reported,
    Lost {
        code: String,
    },
}

/// What the services of one guest share.
pub(super) struct Session {
    pub(super) agent: Arc<Agent>,
    pub(super) role: Role,
    pub(super) lease: Hex<16>,
    pub(super) order: Option<Hex<32>>,
    pub(super) states: mpsc::Sender<GuestState>,
    pub(super) reported: AtomicBool,
    pub(super) objects: AtomicU32,
}

/// Attends the referee: its roll, then everything it asks for.
pub(super) async fn attend_referee(agent: Arc<Agent>, started: Started, left: Vec<Hex<32>>) -> Ended {
    attend(agent, started, REFEREE_WALL, left).await
}

/// Attends a trainer or evaluator; `wall_s` is its order's wall time.
pub(super) async fn attend_worker(agent: Arc<Agent>, started: Started, wall_s: u32) -> Ended {
    let wall = Duration::from_secs(wall_s.into()) + agent.deadlines.grace;
    attend(agent, started, wall, Vec::new()).await
}

async fn attend(agent: Arc<Agent>, started: Started, wall: Duration, left: Vec<Hex<32>>) -> Ended {
    let Started { role, lease, order, carrier, mut process, boot } = started;
    let (opener, incoming, driver) = mux(carrier.compat(), End::Host);
    let driver = tokio::spawn(driver);
    let (sender, states) = mpsc::channel(64);
    let session = Arc::new(Session {
        agent: Arc::clone(&agent),
        role,
        lease,
        order,
        states: sender,
        reported: AtomicBool::new(false),
        objects: AtomicU32::new(0),
    });
    let greeting = tokio::spawn(greet(Arc::clone(&session), opener.clone(), boot, left));
    let code = watch(&session, incoming, states, &mut process, wall).await;
    greeting.abort();
    opener.close();
    let _ = timeout(LAST_WORDS, driver).await;
    agent.note_phase(&lease, GuestPhase::Stopped, &code);
    process.clean().await;
    agent.note_phase(&lease, GuestPhase::Cleaned, &code);
    agent.events.send(&Event::GuestEnded { lease, role, order, code: code.clone() });
    if session.reported.load(Ordering::Acquire) { Ended::Reported } else { Ended::Lost { code } }
}

/// The host's first words.
async fn greet(session: Arc<Session>, opener: StreamOpener, boot: Boot, left: Vec<Hex<32>>) {
    let agent = &session.agent;
    let greeted = async {
        let mut stream = opener.open(Service::Config).await?;
        write_message(&mut stream, &boot).await?;
        if session.role == Role::Referee {
            // From here on clients and outcomes may reach it; the configuration came first.
            let _ = agent.referee.set(opener.clone());
            let mut stream = opener.open(Service::Entries).await?;
            write_message(&mut stream, &agent.roll).await?;
            agent.report_left(left).await;
        }
        Ok::<_, ChannelError>(())
    };
    if let Err(error) = greeted.await {
        agent.events.send(&Event::Warning { what: error.to_string() });
    }
}

/// Serves the guest until its process has ended and its streams are read out; gives its last code.
async fn watch(
    session: &Arc<Session>,
    mut incoming: Incoming,
    mut states: mpsc::Receiver<GuestState>,
    process: &mut GuestProcess,
    wall: Duration,
) -> String {
    let mut tasks = JoinSet::new();
    let mut stop = session.agent.stop.subscribe();
    let mut deadline = Instant::now() + session.agent.deadlines.ready;
    let (mut late, mut open, mut exit, mut last) = ("E_BOOT_TIMEOUT", true, None, None);
    loop {
        tokio::select! {
            Some(state) = states.recv() => {
                // Each state comes on a stream of its own, so an earlier one can arrive after a later one.
                let overtaken = last.as_ref().is_some_and(|last| step(last) > step(&state));
                if overtaken {
                    session.tell(&state);
                } else {
                    if exit.is_none() {
                        (deadline, late) = session.on_state(&state, wall, deadline, late);
                    }
                    last = Some(state);
                }
            }
            next = incoming.next(), if open => match next {
                Some((service, stream)) => { tasks.spawn(serve(Arc::clone(session), service, stream)); }
                None => {
                    open = false;
                    deadline = deadline.min(Instant::now() + DRAIN);
                }
            },
            ended = process.wait(), if exit.is_none() => {
                exit = Some(ended);
                deadline = Instant::now() + LAST_WORDS;
            }
            () = sleep_until(deadline) => break,
            _ = stop.wait_for(|stop| *stop), if exit.is_none() => {
                late = "E_STOPPED";
                break;
            }
        }
        if exit.is_some() && !open {
            break;
        }
    }
    let read_out = async { while tasks.join_next().await.is_some() {} };
    if exit.is_some() {
        let _ = timeout(LAST_WORDS, read_out).await;
    }
    while let Ok(state) = states.try_recv() {
        session.tell(&state);
        if last.as_ref().is_none_or(|last| step(last) <= step(&state)) {
            last = Some(state);
        }
    }
    code(session, exit, last, late)
}

/// How far along a state is.
fn step(state: &GuestState) -> u8 {
    match state {
        GuestState::Ready => 0,
        GuestState::Leased => 1,
        GuestState::Running => 2,
        GuestState::Decided => 3,
        GuestState::Finished | GuestState::Failed { .. } => 4,
    }
}

/// The stable code of a guest's end.
fn code(session: &Session, exit: Option<GuestExit>, last: Option<GuestState>, late: &str) -> String {
    match (exit, last) {
        (Some(GuestExit::Refused(error)), None) => {
            session.agent.events.send(&Event::Warning { what: error.to_string() });
            "E_LAUNCH".to_owned()
        }
        (_, Some(GuestState::Failed { code })) => code,
        (Some(GuestExit::Exited(status)), Some(GuestState::Finished)) if status.success() => {
            "finished".to_owned()
        }
        (Some(_), _) => "E_GUEST_EXITED".to_owned(),
        (None, _) => late.to_owned(),
    }
}

async fn serve(session: Arc<Session>, service: Service, stream: Stream) {
    if let Err(error) = services::serve(&session, service, stream).await {
        let what = format!("{} of {:?} {}: {error}", service.name(), session.role, session.lease);
        session.agent.events.send(&Event::Warning { what });
    }
}

impl Session {
    /// Follows the guest's word: journal, event, next deadline.
    fn on_state(
        &self,
        state: &GuestState,
        wall: Duration,
        deadline: Instant,
        late: &'static str,
    ) -> (Instant, &'static str) {
        self.tell(state);
        let now = Instant::now();
        match state {
            GuestState::Ready => (now + self.agent.deadlines.leased, "E_LEASE_TIMEOUT"),
            GuestState::Leased | GuestState::Running if late != "E_WALL" => (now + wall, "E_WALL"),
            GuestState::Decided => {
                if self.role == Role::Referee {
                    let _ = self.agent.decided.send(true);
                }
                (deadline, late)
            }
            GuestState::Finished | GuestState::Failed { .. } => (now + DRAIN, "E_GUEST_HUNG"),
            GuestState::Leased | GuestState::Running => (deadline, late),
        }
    }

    fn tell(&self, state: &GuestState) {
        let phase = match state {
            GuestState::Ready => Some(GuestPhase::Ready),
            GuestState::Leased => Some(GuestPhase::Leased),
            GuestState::Running => Some(GuestPhase::Running),
            GuestState::Decided | GuestState::Finished | GuestState::Failed { .. } => None,
        };
        if let Some(phase) = phase {
            self.agent.note_phase(&self.lease, phase, &state_name(state));
        }
        self.agent.events.send(&Event::State {
            lease: self.lease,
            role: self.role,
            order: self.order,
            state: state.clone(),
        });
    }
}
