//! `LowArgs` is what was typed, `HiArgs` what was meant; strings end here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tiltyard_attestation::{BytesError, Hex, Role};

use super::launch::DryRun;
use crate::agent::{self, Deadlines, Output, Until};
use crate::connect;
use crate::demo::default_inputs;

/// Runs confidential tournaments: launches guests, feeds them, relays for them.
#[derive(Debug, Parser)]
#[command(name = "tiltyard", version)]
pub(super) struct LowArgs {
    /// Form of the answer.
    #[arg(long, global = true, value_enum, default_value = "text")]
    output: LowOutput,
    #[command(subcommand)]
    command: LowCommand,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LowOutput {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum LowCommand {
    /// Runs one tournament: the referee, and guests for its orders.
    Run(Box<LowRun>),
    /// Shows what a launch would be.
    Launch(LowLaunch),
    /// Attests a referee and forwards local HTTP to it; run it on the client's own machine.
    Connect(LowConnect),
    /// Runs a whole tournament on this machine, every party a process of its own; simulated evidence.
    Demo(LowDemo),
}

#[derive(Debug, Args)]
struct LowDemo {
    /// Folder for everything that is made; an earlier demo there is replaced.
    #[arg(long, default_value = "target/demo")]
    dir: PathBuf,
    /// Folder of the fetched base model and dictionary; found as the fetching script finds it.
    #[arg(long)]
    inputs: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct LowRun {
    /// State directory: journal, objects, log.
    #[arg(long)]
    dir: PathBuf,
    /// The charter's signed envelope.
    #[arg(long)]
    charter: PathBuf,
    /// Directory of sealed objects, manifests, rulebook and base model.
    #[arg(long)]
    objects: PathBuf,
    /// The operator's roll of entries.
    #[arg(long)]
    roll: PathBuf,
    /// The guest program.
    #[arg(long)]
    enclave: PathBuf,
    /// Control socket of a simulator; lab charters only.
    #[arg(long)]
    simulator: Option<PathBuf>,
    /// Trainers and evaluators at a time.
    #[arg(long, default_value_t = 2)]
    slots: u32,
    /// Where clients reach the attested API.
    #[arg(long, default_value = "127.0.0.1:0")]
    api: SocketAddr,
    /// Gets the API's address once it listens.
    #[arg(long)]
    port_file: Option<PathBuf>,
    /// After the decision, serve until this file exists.
    #[arg(long, conflicts_with = "serve")]
    until_file: Option<PathBuf>,
    /// After the decision, serve until standard input ends.
    #[arg(long)]
    serve: bool,
    /// After the decision, serve so many seconds.
    #[arg(long, default_value_t = 0, conflicts_with_all = ["serve", "until_file"])]
    linger_s: u64,
    /// Seconds for a guest to come up.
    #[arg(long, default_value_t = 120)]
    ready_s: u64,
    /// Seconds for a guest to be granted its lease.
    #[arg(long, default_value_t = 120)]
    lease_s: u64,
    /// Seconds beyond an order's wall time.
    #[arg(long, default_value_t = 300)]
    grace_s: u64,
    /// Keep the first 64 KiB that each guest prints; for debugging in a lab.
    #[arg(long)]
    keep_console: bool,
}

#[derive(Debug, Args)]
struct LowLaunch {
    /// Only print argv, configuration and expected measurement.
    #[arg(long, required = true)]
    dry_run: bool,
    /// The charter's signed envelope.
    #[arg(long)]
    charter: PathBuf,
    /// The guest program.
    #[arg(long)]
    enclave: PathBuf,
    /// What the guest is for.
    #[arg(long, value_enum)]
    role: LowRole,
    /// SHA-256 of the order's payload.
    #[arg(long)]
    order: Option<String>,
    /// 32 hex digits; drawn afresh if absent.
    #[arg(long)]
    lease: Option<String>,
    /// Input file; may be repeated.
    #[arg(long)]
    disk: Vec<PathBuf>,
    /// Where guests' directories would be.
    #[arg(long, default_value = "guests")]
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LowRole {
    Referee,
    Trainer,
    Evaluator,
}

#[derive(Debug, Args)]
struct LowConnect {
    /// The referee's `host:port`.
    #[arg(long)]
    to: String,
    /// The charter that the referee is held against.
    #[arg(long)]
    charter: PathBuf,
    /// Roots in place of the vendors'; the charter must name them.
    #[arg(long)]
    anchors: Option<PathBuf>,
    /// Certificates, revocation lists and reference values of the vendors: JSON, or a signed bundle.
    #[arg(long, value_name = "FILE")]
    collateral: Option<PathBuf>,
    /// Ed25519 key of whoever signed the bundle.
    #[arg(long, value_name = "HEX", requires = "collateral")]
    collateral_key: Option<Hex<32>>,
    /// Loopback address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Gets the listener's address.
    #[arg(long)]
    port_file: Option<PathBuf>,
}

/// A command line, understood.
#[derive(Debug)]
pub(super) struct HiArgs {
    pub(super) output: Output,
    pub(super) task: Task,
}

#[derive(Debug)]
pub(super) enum Task {
    Run(Box<agent::Settings>),
    Launch(DryRun),
    Connect(connect::Settings),
    Demo { dir: PathBuf, inputs: PathBuf },
}

/// What was typed means nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum UsageError {
    #[error("--{option}: {source}")]
    Hex { option: &'static str, source: BytesError },
    #[error("this program's own file is unknown: {0}")]
    Program(std::io::Error),
}

impl LowArgs {
    pub(super) fn output(&self) -> Output {
        match self.output {
            LowOutput::Text => Output::Text,
            LowOutput::Json => Output::Json,
        }
    }
}

impl TryFrom<LowArgs> for HiArgs {
    type Error = UsageError;

    fn try_from(low: LowArgs) -> Result<Self, UsageError> {
        let output = low.output();
        let task = match low.command {
            LowCommand::Run(run) => Task::Run(Box::new((*run).try_into()?)),
            LowCommand::Launch(launch) => Task::Launch(launch.try_into()?),
            LowCommand::Connect(connect) => Task::Connect(connect.into()),
            LowCommand::Demo(demo) => {
                Task::Demo { dir: demo.dir, inputs: demo.inputs.unwrap_or_else(default_inputs) }
            }
        };
        Ok(Self { output, task })
    }
}

impl TryFrom<LowRun> for agent::Settings {
    type Error = UsageError;

    fn try_from(low: LowRun) -> Result<Self, UsageError> {
        let until = match (low.until_file, low.serve) {
            (Some(path), _) => Until::File(path),
            (None, true) => Until::InputEnds,
            (None, false) => Until::Linger(Duration::from_secs(low.linger_s)),
        };
        Ok(Self {
            state: low.dir,
            charter: low.charter,
            objects: low.objects,
            roll: low.roll,
            enclave: low.enclave,
            simulator: low.simulator,
            slots: low.slots,
            api: low.api,
            port_file: low.port_file,
            until,
            deadlines: Deadlines {
                ready: Duration::from_secs(low.ready_s),
                leased: Duration::from_secs(low.lease_s),
                grace: Duration::from_secs(low.grace_s),
            },
            keep_console: low.keep_console,
            program: own_file()?,
        })
    }
}

impl TryFrom<LowLaunch> for DryRun {
    type Error = UsageError;

    fn try_from(low: LowLaunch) -> Result<Self, UsageError> {
        let order = low.order.map(|hex| hex.parse()).transpose();
        let lease: Option<Result<Hex<16>, _>> = low.lease.map(|hex| hex.parse());
        Ok(Self {
            charter: low.charter,
            enclave: low.enclave,
            role: match low.role {
                LowRole::Referee => Role::Referee,
                LowRole::Trainer => Role::Trainer,
                LowRole::Evaluator => Role::Evaluator,
            },
            order: order.map_err(|source| UsageError::Hex { option: "order", source })?,
            lease: lease.transpose().map_err(|source| UsageError::Hex { option: "lease", source })?,
            disks: low.disk,
            guests: low.dir,
            program: own_file()?,
        })
    }
}

impl From<LowConnect> for connect::Settings {
    fn from(low: LowConnect) -> Self {
        Self {
            to: low.to,
            charter: low.charter,
            anchors: low.anchors,
            collateral: low.collateral,
            collateral_key: low.collateral_key,
            listen: low.listen,
            port_file: low.port_file,
        }
    }
}

fn own_file() -> Result<PathBuf, UsageError> {
    std::env::current_exe().map_err(UsageError::Program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        LowArgs::command().debug_assert();
    }
}
