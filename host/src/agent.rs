//! The agent: one tournament on one machine, from launching its referee to serving its bundle.

mod deliver;
mod ending;
mod events;
mod inputs;
mod orders;
mod recovery;
mod relay;
mod services;
mod session;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tiltyard_attestation::{Backend as Kind, Disk, Hex, Role};
use tiltyard_provisioning::channel::{Boot, Entries, StreamOpener};
use tiltyard_provisioning::charter::{CharterError, OpenCharter};
use tiltyard_provisioning::order::Order;
use tiltyard_provisioning::statement::Signed;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::journal::{Journal, JournalError, StateLock};
use crate::launch::{
    Backend, Console, HostFacts, Image, LaunchError, LaunchPlan, LaunchSpec, Process, RunningGuest, plan,
};
use crate::log::{LogError, LogStore};
use crate::simulator::Simulator;
use crate::store::{Store, StoreError};

pub use ending::Until;
pub use events::{Event, Events, Output};
pub use inputs::InputError;

/// Largest roll of entries, in bytes of JSON.
const ROLL_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Largest charter envelope, in bytes.
const CHARTER_MAX_BYTES: u64 = tiltyard_provisioning::dsse::ENVELOPE_MAX_BYTES as u64;

/// What `tiltyard run` was asked for.
#[derive(Debug, Clone)]
pub struct Settings {
    pub state: PathBuf,
    /// The charter's envelope.
    pub charter: PathBuf,
    /// A directory of files to take into the store.
    pub objects: PathBuf,
    /// The operator's roll: an [`Entries`] document.
    pub roll: PathBuf,
    pub enclave: PathBuf,
    pub simulator: Option<PathBuf>,
    /// Trainers and evaluators at a time.
    pub slots: u32,
    /// Where clients reach the attested API.
    pub api: SocketAddr,
    /// Gets the API's `host:port`, once it listens.
    pub port_file: Option<PathBuf>,
    pub until: Until,
    pub deadlines: Deadlines,
    pub keep_console: bool,
    /// This program.
    pub program: PathBuf,
}

/// How long a guest may take for each step.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    pub ready: Duration,
    pub leased: Duration,
    /// Beyond the order's wall time.
    pub grace: Duration,
}

/// Why the agent stopped without a decided tournament.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: expected at most {expected} bytes, found {got}")]
    TooLarge { path: PathBuf, expected: u64, got: u64 },
    #[error("{path}: {source}")]
    Charter { path: PathBuf, source: CharterError },
    #[error("roll {path}: not an entries document, line {line}\n  write it with the operator's tool")]
    Roll { path: PathBuf, line: usize },
    #[error(
        "state directory {path}: it belongs to charter {expected}, asked to run {got}\n  use one state directory for each charter"
    )]
    OtherCharter { path: PathBuf, expected: String, got: String },
    #[error("api listener {address}: {source}\n  choose another address with --api")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("a simulator serves lab charters only, this one is {level:?}\n  leave --simulator out")]
    SimulatorAboveLab { level: tiltyard_attestation::policy::Level },
    #[error(
        "the referee ended before the tournament was decided: {code}\n  the state directory is kept: start again to go on"
    )]
    RefereeEnded { code: String },
    #[error("stopped before the tournament was decided\n  the state directory is kept: start again to go on")]
    Interrupted,
    #[error("no random bytes from the system")]
    Random,
}

/// Everything that the tasks of one agent share.
pub(crate) struct Agent {
    charter: OpenCharter,
    charter_bytes: Vec<u8>,
    roll: Entries,
    store: Arc<Store>,
    journal: Journal,
    log: Mutex<LogStore>,
    image: Image,
    facts: HostFacts,
    backend: Process,
    deadlines: Deadlines,
    events: Events,
    queue: mpsc::Sender<orders::Taken>,
    referee: OnceLock<StreamOpener>,
    decided: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    clock: Clock,
    rng: SystemRandom,
}

/// Reads the time, in Unix seconds.
pub type Clock = fn() -> u64;

/// Runs one tournament to its end.
pub async fn run(settings: Settings, events: Events, clock: Clock) -> Result<(), AgentError> {
    let _lock = StateLock::take(&settings.state)?;
    let (queue, taken) = mpsc::channel(crate::journal::QUEUE_MAX as usize);
    let agent = Arc::new(Agent::open(&settings, events, clock, queue)?);
    let left = agent.recover(settings.simulator.as_deref()).await?;

    let listener = TcpListener::bind(settings.api)
        .await
        .map_err(|source| AgentError::Listen { address: settings.api, source })?;
    let api = listener.local_addr().map_err(|source| AgentError::Listen { address: settings.api, source })?;
    if let Some(path) = &settings.port_file {
        write_port_file(path, api).map_err(file_error(path))?;
    }
    agent.events.send(&Event::Started { charter: agent.charter.p(), api });

    let slots = settings.slots.max(1) as usize;
    let scheduler = tokio::spawn(orders::schedule(Arc::clone(&agent), taken, slots));
    let referee = agent.start_referee().await?;
    let relay = tokio::spawn(relay::serve_api(Arc::clone(&agent), listener));
    let mut referee = tokio::spawn(session::attend_referee(Arc::clone(&agent), referee, left));

    let ended = ending::wait(&agent, &settings.until, &mut referee).await;
    let _ = agent.stop.send(true);
    relay.abort();
    if !referee.is_finished() {
        let _ = tokio::time::timeout(session::STOP_WAIT, referee).await;
    }
    let _ = tokio::time::timeout(session::STOP_WAIT, scheduler).await;
    agent.events.send(&Event::Ended { decided: *agent.decided.borrow() });
    ended
}

impl Agent {
    fn open(
        settings: &Settings,
        events: Events,
        clock: Clock,
        queue: mpsc::Sender<orders::Taken>,
    ) -> Result<Self, AgentError> {
        let charter_bytes = read_within(&settings.charter, CHARTER_MAX_BYTES)?;
        let charter = OpenCharter::open(&charter_bytes)
            .and_then(|charter| charter.at(clock()).map(|_| charter))
            .map_err(|source| AgentError::Charter { path: settings.charter.clone(), source })?;
        if settings.simulator.is_some() && charter.level != tiltyard_attestation::policy::Level::Lab {
            return Err(AgentError::SimulatorAboveLab { level: charter.level });
        }
        let journal = Journal::open(&settings.state.join("journal.sqlite"))?;
        let got = charter.p().to_string();
        let expected = journal.fix_fact("charter", &got)?;
        if expected != got {
            return Err(AgentError::OtherCharter { path: settings.state.clone(), expected, got });
        }
        let roll = read_within(&settings.roll, ROLL_MAX_BYTES)?;
        let roll: Entries = serde_json::from_slice(&roll)
            .map_err(|error| AgentError::Roll { path: settings.roll.clone(), line: error.line() })?;

        let state = settings.state.canonicalize().map_err(file_error(&settings.state))?;
        let store = Arc::new(Store::open(&state)?);
        let objects = store.import(&settings.objects)?;
        for entry in &roll.entries {
            store.put(&entry.submission.payload.0)?;
        }
        events.send(&Event::Imported { objects });
        let guests = state.join("guests");
        std::fs::create_dir_all(&guests).map_err(file_error(&guests))?;
        let console =
            if settings.keep_console { Console::Kept(state.join("console")) } else { Console::Closed };
        let simulator = settings.simulator.as_ref().map(Simulator::at);
        Ok(Self {
            charter,
            charter_bytes,
            roll,
            backend: Process::new(Arc::clone(&store), simulator, console)?,
            store,
            journal,
            log: Mutex::new(LogStore::open(&state.join("log"))?),
            image: Image::load(&settings.enclave)?,
            facts: HostFacts::probe(settings.program.clone(), guests),
            deadlines: settings.deadlines,
            events,
            queue,
            referee: OnceLock::new(),
            decided: watch::Sender::new(false),
            stop: watch::Sender::new(false),
            clock,
            rng: SystemRandom::new(),
        })
    }

    async fn start_referee(&self) -> Result<session::Started, AgentError> {
        let disks = self.referee_disks()?;
        let log = self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).stored();
        Ok(self.start(Role::Referee, None, disks, log).await?)
    }

    /// Plans, journals and spawns one guest.
    async fn start(
        &self,
        role: Role,
        order: Option<Signed<Order>>,
        disks: Vec<Disk>,
        log: Option<tiltyard_provisioning::channel::StoredLog>,
    ) -> Result<session::Started, LaunchError> {
        let digest = order.as_ref().map(Signed::digest);
        let mut lease = [0; 16];
        self.rng.fill(&mut lease).map_err(|_| LaunchError::Random)?;
        let lease = Hex(lease);
        let budget = &self.charter.tournament.budget;
        let spec = LaunchSpec {
            role,
            backend: Kind::Process,
            charter: self.charter.p(),
            level: self.charter.level,
            allowed: self.charter.backends.clone(),
            order: digest,
            lease,
            vcpus: budget.vcpus,
            memory_mib: budget.memory_mib,
            disks,
        };
        let planned: LaunchPlan = plan(&spec, &self.facts, &self.image)?;
        let boot = Boot {
            config: planned.config().to_vec().into(),
            charter: self.charter_bytes.clone().into(),
            order,
            log,
        };
        self.journal
            .plan_guest(&lease, role, digest.as_ref(), &planned.digest(), (self.clock)())
            .map_err(LaunchError::journal)?;
        let guest = match self.backend.spawn(planned).await {
            Ok(guest) => guest,
            Err(error) => {
                self.note_phase(&lease, crate::journal::GuestPhase::Cleaned, "E_LAUNCH");
                return Err(error);
            }
        };
        let RunningGuest { carrier, process } = guest;
        self.journal
            .guest_spawned(&lease, process.pid(), process.start_ticks())
            .map_err(LaunchError::journal)?;
        self.events.send(&Event::GuestStarted { lease, role, order: digest, pid: process.pid() });
        Ok(session::Started { role, lease, order: digest, carrier, process, boot })
    }

    /// Writes a guest's phase down; a journal that fails here is told, and the guest goes on.
    fn note_phase(&self, lease: &Hex<16>, phase: crate::journal::GuestPhase, what: &str) {
        if let Err(error) = self.journal.guest_phase(lease, phase, what, (self.clock)()) {
            self.events.send(&Event::Warning { what: error.to_string() });
        }
    }
}

/// Reads a charter's envelope and opens it.
pub fn read_charter(path: &Path) -> Result<(Vec<u8>, OpenCharter), AgentError> {
    let bytes = read_within(path, CHARTER_MAX_BYTES)?;
    let charter =
        OpenCharter::open(&bytes).map_err(|source| AgentError::Charter { path: path.to_owned(), source })?;
    Ok((bytes, charter))
}

/// Reads a whole file of at most `expected` bytes.
pub(crate) fn read_within(path: &Path, expected: u64) -> Result<Vec<u8>, AgentError> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(file_error(path))?;
    let mut bytes = Vec::new();
    file.take(expected + 1).read_to_end(&mut bytes).map_err(file_error(path))?;
    let got = bytes.len() as u64;
    if got > expected {
        return Err(AgentError::TooLarge { path: path.to_owned(), expected, got });
    }
    Ok(bytes)
}

/// Writes `host:port` in one step, so that a reader never sees half of it.
pub(crate) fn write_port_file(path: &Path, address: SocketAddr) -> std::io::Result<()> {
    let partial = path.with_extension("new");
    std::fs::write(&partial, address.to_string())?;
    std::fs::rename(partial, path)
}

fn file_error(path: &Path) -> impl Fn(std::io::Error) -> AgentError {
    let path = path.to_owned();
    move |source| AgentError::File { path: path.clone(), source }
}
