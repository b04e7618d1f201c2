//! Backend `Process`: the guest program as a child in namespaces of its own. Development only.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tiltyard_attestation::{Backend as Kind, Disk, Hex};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::jail::{Jail, Refused, SETUP_FAILED, STAGE_ONE};
use super::{Backend, HostFacts, Image, LaunchError, LaunchPlan, LaunchSpec};
use crate::simulator::Simulator;
use crate::store::Store;

/// Input disks of one guest, at most: what fits into its configuration document.
pub const DISKS_MAX: usize = 96;
/// Kept of a guest's console, in bytes.
const CONSOLE_MAX_BYTES: usize = 64 * 1024;
/// Largest word of a failed stage, in bytes.
const REFUSED_MAX_BYTES: u64 = 4096;
const KILL_WAIT: Duration = Duration::from_secs(10);
const MARKER: &str = ".tiltyard-guest";

/// What becomes of the guest's standard output and error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Console {
    /// To nowhere.
    Closed,
    /// First 64 KiB to a file in this directory: lab debugging.
    Kept(PathBuf),
}

/// Starts guests as child processes of this one.
pub struct Process {
    store: Arc<Store>,
    simulator: Option<Simulator>,
    console: Console,
    spawner: mpsc::Sender<Request>,
}

/// A guest that has been started.
pub struct RunningGuest {
    /// The stream to it.
    pub carrier: UnixStream,
    pub process: GuestProcess,
}

/// The guest's process, with what must be cleaned up after it.
pub struct GuestProcess {
    pid: u32,
    start_ticks: u64,
    child: Child,
    dir: PathBuf,
    simulator: Option<Simulator>,
    /// Keeps the thread that started it alive: the guest ends with that thread.
    _spawner: mpsc::Sender<Request>,
}

/// How a guest ended.
#[derive(Debug)]
pub enum GuestExit {
    Exited(ExitStatus),
    /// The sandbox could not be built.
    Refused(LaunchError),
}

struct Request {
    command: Command,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// The command line of stage one: this program again, with the sandbox as one argument.
pub(super) fn argv(spec: &LaunchSpec, facts: &HostFacts, image: &Image, dir: &Path) -> Vec<OsString> {
    let jail = Jail {
        parent: facts.pid,
        root: dir.join("root"),
        enclave: image.path().to_owned(),
        libraries: image.libraries().to_vec(),
        inputs: dir.join("inputs"),
        tsm: dir.join("tsm"),
        memory_mib: spec.memory_mib,
    };
    // Paths and integers only; a path that is not text would be shown as empty and refused by stage one.
    let json = serde_json::to_string(&jail).unwrap_or_default();
    vec![facts.program.clone().into(), STAGE_ONE.into(), json.into()]
}

impl Process {
    /// A backend that takes inputs from `store`, and evidence from `simulator` where there is one.
    ///
    /// Must be called within a tokio runtime.
    pub fn new(
        store: Arc<Store>,
        simulator: Option<Simulator>,
        console: Console,
    ) -> Result<Self, LaunchError> {
        Ok(Self { store, simulator, console, spawner: start_spawner()? })
    }

    fn prepare(&self, plan: &LaunchPlan) -> Result<(), LaunchError> {
        let dir = &plan.dir;
        for sub in ["root", "inputs", "tsm"] {
            fs::create_dir_all(dir.join(sub)).map_err(step("make the guest's directory"))?;
        }
        fs::write(dir.join(MARKER), plan.lease().to_string()).map_err(step("mark the guest's directory"))?;
        plan.parsed.disks.iter().try_for_each(|disk| self.place(disk, &dir.join("inputs")))
    }

    fn place(&self, disk: &Disk, inputs: &Path) -> Result<(), LaunchError> {
        let mismatch = || LaunchError::DiskMismatch { serial: disk.serial.clone() };
        if self.store.len_bytes(&disk.sha256) != Some(disk.len_bytes) {
            return Err(mismatch());
        }
        let (from, to) = (self.store.path(&disk.sha256), inputs.join(&disk.serial));
        match fs::hard_link(&from, &to) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // Another file system, or hard links forbidden.
            Err(_) => fs::copy(&from, &to).map(drop).map_err(step("copy an input")),
        }
    }

    async fn start(&self, command: Command) -> Result<Child, LaunchError> {
        let (answer, child) = oneshot::channel();
        self.spawner.send(Request { command, answer }).await.map_err(|_| LaunchError::SpawnerGone)?;
        child.await.map_err(|_| LaunchError::SpawnerGone)?.map_err(step("start the guest"))
    }

    async fn launch(&self, plan: &LaunchPlan) -> Result<RunningGuest, LaunchError> {
        self.prepare(plan)?;
        let (carrier, inner) = std::os::unix::net::UnixStream::pair().map_err(step("make a stream"))?;
        carrier.set_nonblocking(true).map_err(step("make a stream"))?;
        let mut command = Command::new(&plan.argv[0]);
        command
            .args(&plan.argv[1..])
            .env_clear()
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(inner)))
            .stdout(if self.console == Console::Closed { Stdio::null() } else { Stdio::piped() })
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = self.start(command).await?;
        let pid = child.id().unwrap_or(0);
        if let (Console::Kept(to), Some(output)) = (&self.console, child.stdout.take()) {
            tokio::spawn(keep_console(output, to.join(format!("{}.log", plan.lease()))));
        }
        Ok(RunningGuest {
            carrier: UnixStream::from_std(carrier).map_err(step("make a stream"))?,
            process: GuestProcess {
                pid,
                start_ticks: crate::journal::start_ticks(pid).unwrap_or(0),
                child,
                dir: plan.dir.clone(),
                simulator: self.simulator.clone(),
                _spawner: self.spawner.clone(),
            },
        })
    }
}

impl Backend for Process {
    fn kind(&self) -> Kind {
        Kind::Process
    }

    async fn spawn(&self, plan: LaunchPlan) -> Result<RunningGuest, LaunchError> {
        if let Some(simulator) = &self.simulator {
            fs::create_dir_all(plan.dir.join("tsm")).map_err(step("make the guest's directory"))?;
            simulator.guest(&plan.program, plan.expected.host_data, &plan.dir.join("tsm")).await?;
        }
        let launched = self.launch(&plan).await;
        if launched.is_err() {
            clean(&plan.dir, self.simulator.as_ref()).await;
        }
        launched
    }
}

impl GuestProcess {
    /// Process id on this host.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Field 22 of `/proc/PID/stat`: tells this process from a later one of the same id.
    pub fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// Waits for the guest to end by itself.
    pub async fn wait(&mut self) -> GuestExit {
        let status = match self.child.wait().await {
            Ok(status) => status,
            Err(source) => return GuestExit::Refused(LaunchError::Io { step: "wait for the guest", source }),
        };
        if status.code() != Some(SETUP_FAILED.into()) {
            return GuestExit::Exited(status);
        }
        let refused = self.refusal().await;
        GuestExit::Refused(LaunchError::SandboxLayer { layer: refused.layer, errno: refused.errno })
    }

    /// Kills the guest if it still runs, ends its evidence and removes its directory.
    pub async fn clean(mut self) {
        // Both fail when the guest has ended already.
        let _ = self.child.start_kill();
        let _ = timeout(KILL_WAIT, self.child.wait()).await;
        clean(&self.dir, self.simulator.as_ref()).await;
    }

    /// What a stage said before it gave up. After exec nobody writes here any more.
    async fn refusal(&mut self) -> Refused {
        let mut said = Vec::new();
        if let Some(errors) = self.child.stderr.take() {
            let _ = timeout(KILL_WAIT, errors.take(REFUSED_MAX_BYTES).read_to_end(&mut said)).await;
        }
        serde_json::from_slice(said.trim_ascii()).unwrap_or(Refused { layer: "exec".to_owned(), errno: 0 })
    }
}

/// Removes what earlier runs left below `guests`: our own directories, known by their marker.
pub(crate) fn sweep(guests: &Path) -> io::Result<()> {
    for entry in fs::read_dir(guests)? {
        let path = entry?.path();
        let ours = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.parse::<Hex<16>>().is_ok());
        if ours && path.join(MARKER).is_file() {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

async fn clean(dir: &Path, simulator: Option<&Simulator>) {
    if let Some(simulator) = simulator {
        // It ends served trees that are gone, too.
        let _ = simulator.end(&dir.join("tsm")).await;
    }
    // The mounts went with the guest's mount namespace; this is its empty shell and our links.
    let _ = fs::remove_dir_all(dir);
}

/// One thread that starts every guest and lives as long as this process.
///
/// A parent-death signal is sent when the *thread* that started the child ends, and a runtime's
/// threads come and go.
fn start_spawner() -> Result<mpsc::Sender<Request>, LaunchError> {
    let (sender, mut requests) = mpsc::channel::<Request>(16);
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("spawner".into())
        .spawn(move || {
            let _entered = runtime.enter();
            while let Some(Request { mut command, answer }) = requests.blocking_recv() {
                // Whoever asked may be gone; its child is killed on drop.
                let _ = answer.send(command.spawn());
            }
        })
        .map_err(step("start the spawner thread"))?;
    Ok(sender)
}

async fn keep_console(mut output: ChildStdout, path: PathBuf) {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = output.read(&mut buffer).await {
        let room = CONSOLE_MAX_BYTES - kept.len();
        kept.extend_from_slice(&buffer[..n.min(room)]);
    }
    if let Some(dir) = path.parent() {
        // A console that can't be kept must not end a tournament.
        let _ = fs::create_dir_all(dir).and_then(|()| fs::write(&path, kept));
    }
}

fn step(step: &'static str) -> impl Fn(io::Error) -> LaunchError {
    move |source| LaunchError::Io { step, source }
}
