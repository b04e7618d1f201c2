//! From what a guest is for to a running guest: one pure plan, one spawn that consumes it (HOST 1, 2).

mod image;
pub mod jail;
mod libraries;
mod process;

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{Backend as Kind, Base64Bytes, ConfigError, Disk, Hex, LaunchConfig, Role};

pub use image::Image;
pub use libraries::{LibraryError, libraries};
pub(crate) use process::sweep;
pub use process::{Console, DISKS_MAX, GuestExit, GuestProcess, Process, RunningGuest};

/// What to launch, and under which charter.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    pub role: Role,
    pub backend: Kind,
    /// `p`.
    pub charter: Hex<32>,
    pub level: Level,
    /// Backends that the charter names.
    pub allowed: Vec<Kind>,
    /// Digest of the order; none for a referee.
    pub order: Option<Hex<32>>,
    /// 16 random bytes, fresh for each launch.
    pub lease: Hex<16>,
    pub vcpus: u32,
    pub memory_mib: u32,
    pub disks: Vec<Disk>,
}

/// What the host is, read once before planning.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// This program, which re-executes itself to build a guest's sandbox.
    pub program: PathBuf,
    /// Process id of the agent: a guest ends with it.
    pub pid: u32,
    pub cpus: u32,
    pub memory_mib: u32,
    /// Directory that holds one directory for each guest.
    pub guests: PathBuf,
}

/// One launch, fully decided. Only [`plan`] makes it, only [`Backend::spawn`] consumes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaunchPlan {
    #[serde(serialize_with = "as_strings")]
    argv: Vec<OsString>,
    /// The canonical configuration document: the first message on the channel.
    config: Base64Bytes,
    expected: ExpectedMeasurement,
    #[serde(skip)]
    parsed: LaunchConfig,
    #[serde(skip)]
    program: PathBuf,
    #[serde(skip)]
    dir: PathBuf,
}

/// What the guest's evidence must say, computed before it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ExpectedMeasurement {
    /// SHA-256 of the image file.
    pub image: Hex<32>,
    /// HOST_DATA: the digest of the configuration document.
    pub host_data: Hex<32>,
    /// MEASUREMENT; for `Process`, what the simulator signs.
    pub measurement: Hex<48>,
}

/// A way to isolate a guest.
pub trait Backend {
    /// Which one it is, as configuration documents and charters name it.
    fn kind(&self) -> Kind;

    /// Starts the guest that was planned.
    fn spawn(&self, plan: LaunchPlan) -> impl Future<Output = Result<RunningGuest, LaunchError>> + Send;
}

/// Why a guest was not launched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    #[error(
        "launch: expected a backend that satisfies a {floor:?} charter and that it names ({allowed:?}), found {got:?}\n  use snp or tdx, or a lab charter that names it"
    )]
    BackendBelowCharter { floor: Level, allowed: Vec<Kind>, got: Kind },
    #[error("launch: backend {got:?} is not built into this version\n  use process with a lab charter")]
    BackendAbsent { got: Kind },
    #[error("launch: {role:?} needs an order, found none")]
    OrderMissing { role: Role },
    #[error("launch: a referee takes no order, found one")]
    OrderUnexpected,
    #[error(
        "launch: expected {what} from 1 to {expected}, found {got}\n  lower the charter's budget or use a larger host"
    )]
    ResourceRange { what: &'static str, expected: u64, got: u64 },
    #[error("launch: expected at most 16 KiB of configuration, found {got} bytes")]
    ConfigTooLarge { got: usize },
    #[error(
        "launch: input {serial} is not in the object store or has another length\n  import it with --objects"
    )]
    DiskMismatch { serial: String },
    #[error("launch: image {path}: {source}\n  name the guest program with --enclave")]
    Image { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error("launch: the host refused the sandbox layer {layer} (errno {errno})\n  {}", advice(layer))]
    SandboxLayer { layer: String, errno: i32 },
    #[error("launch: {step}: {source}")]
    Io { step: &'static str, source: std::io::Error },
    #[error(transparent)]
    Simulator(#[from] crate::simulator::SimulatorError),
    #[error("launch: the thread that starts guests has ended")]
    SpawnerGone,
    #[error("launch: {0}")]
    Journal(String),
    #[error("launch: no random bytes from the system")]
    Random,
}

impl LaunchError {
    pub(crate) fn journal(error: crate::journal::JournalError) -> Self {
        Self::Journal(error.to_string())
    }
}

impl HostFacts {
    /// Reads what this host has. `program` is the file of this program.
    pub fn probe(program: PathBuf, guests: PathBuf) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total_kib = meminfo
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let memory_mib = total_kib.map_or(0, |kib| u32::try_from(kib / 1024).unwrap_or(u32::MAX));
        Self { program, pid: std::process::id(), cpus, memory_mib, guests }
    }
}

/// Decides a launch: no file, clock, socket, environment or randomness; the same inputs give the same bytes.
pub fn plan(spec: &LaunchSpec, facts: &HostFacts, image: &Image) -> Result<LaunchPlan, LaunchError> {
    // HOST 2: a charter above `lab` takes hardware only, and every charter names its backends.
    if !spec.backend.satisfies(spec.level) || !spec.allowed.contains(&spec.backend) {
        return Err(LaunchError::BackendBelowCharter {
            floor: spec.level,
            allowed: spec.allowed.clone(),
            got: spec.backend,
        });
    }
    match (spec.role, spec.order) {
        (Role::Referee, Some(_)) => return Err(LaunchError::OrderUnexpected),
        (Role::Trainer | Role::Evaluator, None) => {
            return Err(LaunchError::OrderMissing { role: spec.role });
        }
        (Role::Referee, None) | (Role::Trainer | Role::Evaluator, Some(_)) => {}
    }
    in_range("vCPUs", spec.vcpus, facts.cpus)?;
    in_range("memory in MiB", spec.memory_mib, facts.memory_mib)?;
    in_range("input disks", spec.disks.len() as u32 + 1, DISKS_MAX as u32 + 1)?;

    let parsed = LaunchConfig {
        v: 1,
        role: spec.role,
        charter: spec.charter,
        order: spec.order,
        lease: spec.lease,
        backend: spec.backend,
        image: image.sha256(),
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        gpus: Vec::new(),
        disks: spec.disks.clone(),
    };
    let config = parsed.to_bytes();
    if let Err(ConfigError::TooLarge { got }) = LaunchConfig::from_bytes(&config) {
        return Err(LaunchError::ConfigTooLarge { got });
    }
    let dir = facts.guests.join(spec.lease.to_string());
    let argv = match spec.backend {
        Kind::Process => process::argv(spec, facts, image, &dir),
        Kind::Tcg | Kind::Kvm | Kind::Vtpm | Kind::Snp | Kind::Tdx => {
            return Err(LaunchError::BackendAbsent { got: spec.backend });
        }
    };
    let expected = ExpectedMeasurement {
        image: image.sha256(),
        host_data: LaunchConfig::d256(&config),
        measurement: image.measurement(),
    };
    Ok(LaunchPlan { argv, config: config.into(), expected, parsed, program: image.path().to_owned(), dir })
}

impl LaunchPlan {
    /// The program and its arguments, as handed to exec.
    pub fn argv(&self) -> &[OsString] {
        &self.argv
    }

    /// The canonical configuration document.
    pub fn config(&self) -> &[u8] {
        &self.config.0
    }

    /// What the guest's evidence must say.
    pub fn expected(&self) -> ExpectedMeasurement {
        self.expected
    }

    /// The guest's lease id.
    pub fn lease(&self) -> Hex<16> {
        self.parsed.lease
    }

    /// SHA-256 over what is launched: names this plan in the journal.
    pub fn digest(&self) -> Hex<32> {
        let mut bytes = self.config.0.clone();
        for arg in &self.argv {
            bytes.push(0);
            bytes.extend_from_slice(arg.as_encoded_bytes());
        }
        Hex::sha256(&bytes)
    }
}

/// The disk entry of one input: serial = first 20 hex digits of its digest.
pub fn disk(sha256: Hex<32>, len_bytes: u64) -> Disk {
    let mut serial = sha256.to_string();
    serial.truncate(20);
    Disk { serial, sha256, len_bytes }
}

fn in_range(what: &'static str, got: u32, max: u32) -> Result<(), LaunchError> {
    if (1..=max).contains(&got) {
        Ok(())
    } else {
        Err(LaunchError::ResourceRange { what, expected: max.into(), got: got.into() })
    }
}

fn advice(layer: &str) -> &'static str {
    match layer {
        "namespaces" | "uid_map" | "setgroups" | "gid_map" => {
            "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces > 0, kernel.apparmor_restrict_unprivileged_userns=0), or run where they are allowed"
        }
        "exec" => "check that the guest program runs on this host by itself",
        _ => "the host's mount table or a security module forbids it; run on a host without that restriction",
    }
}

fn as_strings<S: serde::Serializer>(argv: &[OsString], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(argv.iter().map(|arg| arg.to_string_lossy()))
}
