//! `tiltyard-simulator`: firmware and hypervisor for guests without TEE hardware. NOT A VENDOR ROOT.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ring::rand::SecureRandom;
use serde_json::json;
use tiltyard_attestation::Hex;
use tiltyard_attestation::measure::process_measurement;
use tiltyard_attestation::policy::Product;
use tiltyard_attestation::printable::{plain_json, plain_lines};
use tiltyard_simulator::control::{ControlError, Hypervisor, read_program};
use tiltyard_simulator::{NOTICE, PlatformError, SimulatedPlatform};
use zeroize::Zeroizing;

#[path = "command/mint.rs"]
mod mint;

/// Plays CPU firmware and hypervisor for guests without TEE hardware. NOT A VENDOR ROOT.
#[derive(Parser)]
#[command(name = "tiltyard-simulator", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve report interfaces to the guests that launchers name on the control socket.
    Serve {
        #[command(flatten)]
        machine: Machine,
        /// Layout of the reports: 2 to 5.
        #[arg(long, value_parser = ["2", "3", "4", "5"])]
        report_version: String,
        /// Unix socket to make (0600).
        #[arg(long)]
        control: PathBuf,
    },
    /// Write the anchor set that a lab charter must name.
    Anchors {
        #[command(flatten)]
        machine: Machine,
        #[arg(long)]
        out: PathBuf,
    },
    /// Write a revocation list of today as verifier's collateral.
    Collateral {
        #[command(flatten)]
        machine: Machine,
        #[arg(long)]
        out: PathBuf,
    },
    /// Print the platform id of the machine, for an allow-list.
    Chip {
        #[command(flatten)]
        machine: Machine,
    },
    /// Write one guest's evidence as files for `tiltyard-audit appraise`.
    Mint(mint::Mint),
    /// List the attacks that `mint --attack` can make.
    Attacks,
    /// Print the measurement of a program as guest of backend `process`.
    Measure { program: PathBuf },
    /// Write a fresh seed (0600).
    Seed {
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Args)]
struct Machine {
    /// File of 64 hex digits; whoever has it can forge this machine's reports.
    #[arg(long)]
    seed_file: PathBuf,
    #[arg(long)]
    product: ProductLine,
    /// Folder that keeps the RSA keys, which take seconds to make.
    #[arg(long)]
    key_cache: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProductLine {
    Milan,
    Genoa,
    Turin,
}

/// Largest file of a seed, which is 64 digits and a line break.
const SEED_FILE_MAX_BYTES: u64 = 1024;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "{path}: expected 64 lower-case hex digits\n  make one with `tiltyard-simulator seed --out FILE`"
    )]
    Seed { path: PathBuf },
    #[error("{path}: expected a regular file of at most {SEED_FILE_MAX_BYTES} bytes")]
    SeedFile { path: PathBuf },
    #[error("{path} exists already\n  name another file: a seed is never overwritten")]
    SeedExists { path: PathBuf },
    #[error("{path} is no empty folder\n  name a new one: evidence of two guests is never mixed")]
    OutExists { path: PathBuf },
    #[error("no attack on this evidence is named {name}\n  `tiltyard-simulator attacks` lists them")]
    Attack { name: String },
    #[error("no whole guest is minted on this CPU\n  use --snp genoa, --snp turin, --tdx v4 or --tdx v5")]
    Devices,
    #[error(
        "devices at {at}: expected a time from 2026-01-13 to 2028-01-11, the life of those who sign manifests"
    )]
    DevicesAt { at: u64 },
    #[error("no random bytes from the system")]
    Random,
    #[error("the system clock is before 1970")]
    Clock,
    #[error("output: {0}")]
    Output(std::io::Error),
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Control(#[from] ControlError),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    eprintln!("tiltyard-simulator: {NOTICE}: nothing that it signs is backed by hardware");
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tiltyard-simulator: {}", plain_lines(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Serve { machine, report_version, control } => {
            let version = report_version.parse().unwrap_or(3);
            let platform = machine.platform()?;
            let ready = json!({
                "ready": control,
                "anchors": platform.anchors().digest(),
                "chip_id": platform.chip_id(),
                "notice": NOTICE,
            });
            Ok(Hypervisor::new(platform, version).listen(&control, || print_line(&ready))?)
        }
        Command::Anchors { machine, out } => {
            let anchors = machine.platform()?.anchors();
            write_file(&out, &anchors.to_bytes(), 0o644)?;
            print(&json!({ "anchors": anchors.digest(), "notice": NOTICE }))
        }
        Command::Collateral { machine, out } => {
            let collateral = machine.platform()?.collateral(now()?)?;
            // Lists of base64 strings always serialise.
            write_file(&out, &serde_jcs::to_vec(&collateral).unwrap_or_default(), 0o644)?;
            print(&json!({ "snp_crls": collateral.snp_crls.len(), "notice": NOTICE }))
        }
        Command::Chip { machine } => {
            let platform = machine.platform()?;
            print(&json!({ "kind": "chip_id", "id": platform.chip_id(), "notice": NOTICE }))
        }
        Command::Mint(mint) => mint.run(),
        Command::Attacks => mint::list_attacks(),
        Command::Measure { program } => {
            let bytes = read_program(&program)?;
            let image = Hex::sha256(&bytes);
            print(&json!({ "measurement": process_measurement(&bytes), "image": image, "notice": NOTICE }))
        }
        Command::Seed { out } => {
            let mut seed = Zeroizing::new([0; 32]);
            ring::rand::SystemRandom::new().fill(&mut *seed).map_err(|_| CliError::Random)?;
            let text = Zeroizing::new(format!("{}\n", Hex(*seed)));
            let mut file = std::fs::OpenOptions::new();
            let written = file.write(true).create_new(true).mode(0o600).open(&out);
            written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|source| {
                match source.kind() {
                    ErrorKind::AlreadyExists => CliError::SeedExists { path: out.clone() },
                    _ => CliError::File { path: out.clone(), source },
                }
            })?;
            print(&json!({ "seed_file": out, "notice": NOTICE }))
        }
    }
}

impl Machine {
    fn platform(&self) -> Result<SimulatedPlatform, CliError> {
        let product = self.product.product();
        Ok(SimulatedPlatform::from_seed(&*seed(&self.seed_file)?, product, self.key_cache.as_deref())?)
    }
}

impl ProductLine {
    fn product(self) -> Product {
        match self {
            Self::Milan => Product::Milan,
            Self::Genoa => Product::Genoa,
            Self::Turin => Product::Turin,
        }
    }
}

fn seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, CliError> {
    let failed = |source| CliError::File { path: path.to_owned(), source };
    // A pipe would wait for ever, and a device has no end.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() || metadata.len() > SEED_FILE_MAX_BYTES {
        return Err(CliError::SeedFile { path: path.to_owned() });
    }
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(failed)?;
    let seed: Hex<32> = text.trim_end().parse().map_err(|_| CliError::Seed { path: path.to_owned() })?;
    Ok(Zeroizing::new(seed.0))
}

/// The clock, read once by each command that needs it.
fn now() -> Result<u64, CliError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|_| CliError::Clock)?;
    Ok(now.as_secs())
}

fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CliError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let written = options.open(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|source| CliError::File { path: path.to_owned(), source })
}

fn print(value: &serde_json::Value) -> Result<(), CliError> {
    print_line(value).map_err(CliError::Output)
}

fn print_line(value: &serde_json::Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", plain_json(&value.to_string()))?;
    out.flush()
}
