//! Command line.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tiltyard_attestation::checks::CHECKS;
use tiltyard_attestation::collateral::{self, CollateralReadError};
use tiltyard_attestation::{Collateral, Conclusion, Hex};
use tiltyard_provisioning::bundle::BUNDLE_MAX_BYTES;

use crate::appraise::{self, Examined, LowCollateral, LowEvidence};
use crate::text::{Colour, Detail, coloured};
use crate::token::LowToken;
use crate::verify::{Audit, Overall, Pins, verify};

/// Largest anchor document, in bytes.
const ANCHORS_MAX_BYTES: u64 = 1024 * 1024;

/// Checks a tournament's bundle offline.
///
/// Exit codes: 0 nothing contradicted, 1 a file could not be read or written, 2 usage, 3 a claim failed.
#[derive(Debug, Parser)]
#[command(name = "tiltyard-audit", version)]
struct LowArgs {
    #[command(subcommand)]
    command: LowCommand,
}

#[derive(Debug, Subcommand)]
enum LowCommand {
    /// Check a bundle: evidence, signatures, proofs, and the rules replayed
    Verify(LowVerify),
    /// Appraise evidence by itself: every check, with what was expected and found
    Appraise(LowAppraise),
    /// Say in prose what a piece of evidence proves, and what not
    Explain(LowExplain),
    /// Look into a signed bundle of collateral
    #[command(subcommand)]
    Collateral(LowBundle),
    /// Read a result token: what a broker found of a guest
    Token {
        #[command(flatten)]
        token: LowToken,
        #[arg(long, value_enum, default_value_t = OutputForm::Text)]
        output: OutputForm,
    },
    /// Print the checklist of the appraisal
    Checks {
        #[arg(long, value_enum, default_value_t = OutputForm::Text)]
        output: OutputForm,
    },
}

#[derive(Debug, Args)]
struct LowAppraise {
    #[command(flatten)]
    evidence: LowEvidence,
    #[arg(long, value_enum, default_value_t = OutputForm::Text)]
    output: OutputForm,
    /// Write the result as one self-contained page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct LowExplain {
    #[command(flatten)]
    evidence: LowEvidence,
}

#[derive(Debug, Subcommand)]
enum LowBundle {
    /// List what is in it
    Inspect {
        #[command(flatten)]
        bundle: LowCollateral,
        #[arg(long, value_enum, default_value_t = OutputForm::Text)]
        output: OutputForm,
    },
    /// Check that it is signed, whole and in its own time
    Verify {
        #[command(flatten)]
        bundle: LowCollateral,
        #[arg(long, value_enum, default_value_t = OutputForm::Text)]
        output: OutputForm,
    },
}

#[derive(Debug, Args)]
struct LowVerify {
    /// The bundle's file
    bundle: PathBuf,
    #[arg(long, value_enum, default_value_t = OutputForm::Text)]
    output: OutputForm,
    /// Write the report as one self-contained page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The owner's Ed25519 key, known from elsewhere
    #[arg(long, value_name = "HEX")]
    owner_key: Option<Hex<32>>,
    /// The operator's Ed25519 key, known from elsewhere
    #[arg(long, value_name = "HEX")]
    operator_key: Option<Hex<32>>,
    /// The foreign anchor set that a lab charter names, instead of the bundle's own copy
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
    /// Collateral of the vendors, JSON or a signed bundle; repeat it for evidence of several times
    #[arg(long, value_name = "FILE")]
    collateral: Vec<PathBuf>,
    /// Ed25519 key of whoever signed the bundles
    #[arg(long, value_name = "HEX", requires = "collateral")]
    collateral_key: Option<Hex<32>>,
    /// Time of the audit: nothing may be later, and what is valid no more is printed
    #[arg(long, value_name = "UNIX")]
    at: Option<u64>,
    /// Print each claim, also where all of a kind hold
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputForm {
    Text,
    Json,
}

/// Why the audit did not come to a verdict.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: expected at most {max} bytes, found {got}", path.display())]
    TooLarge { path: PathBuf, max: u64, got: u64 },
    #[error("{}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("{}: is the bundle itself\n  name another file with --html", path.display())]
    SameFile { path: PathBuf },
    #[error("{}: expected a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error(transparent)]
    Input(#[from] appraise::InputError),
    #[error(transparent)]
    File(#[from] appraise::FileError),
    #[error("{}: {error}", path.display())]
    Collateral { path: PathBuf, error: CollateralReadError },
    #[error("standard output: {0}")]
    Print(io::Error),
    #[error("report: {0}")]
    Report(#[from] askama::Error),
    #[error("report: {0}")]
    Json(#[from] serde_json::Error),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let done = match LowArgs::parse().command {
        LowCommand::Verify(args) => run(&args),
        LowCommand::Appraise(args) => appraise(&args),
        LowCommand::Explain(args) => explain(&args),
        LowCommand::Collateral(LowBundle::Inspect { bundle, output }) => {
            inspect(&bundle, output, Demand::Signed)
        }
        LowCommand::Collateral(LowBundle::Verify { bundle, output }) => {
            inspect(&bundle, output, Demand::Current)
        }
        LowCommand::Token { token, output } => read_token(&token, output),
        LowCommand::Checks { output } => checks(output).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|failed| {
        // Nobody is left to tell if this fails too.
        let _ = writeln!(io::stderr(), "tiltyard-audit: {failed}");
        ExitCode::from(if matches!(&failed, Failed::Input(error) if error.is_usage()) { 2 } else { 1 })
    })
}

fn run(args: &LowVerify) -> Result<ExitCode, Failed> {
    let bundle = read(&args.bundle, BUNDLE_MAX_BYTES as u64)?;
    let anchors = args.anchors.as_deref().map(|path| read(path, ANCHORS_MAX_BYTES)).transpose()?;
    let collateral = args
        .collateral
        .iter()
        .map(|path| {
            let bytes = read(path, collateral::BUNDLE_MAX_BYTES as u64)?;
            Collateral::from_file(&bytes, args.collateral_key.as_ref())
                .map_err(|error| Failed::Collateral { path: path.clone(), error })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (owner_key, operator_key) = (args.owner_key, args.operator_key);
    let pins = Pins { owner_key, operator_key, anchors, collateral, at: args.at };
    let audit = verify(&bundle, &pins);
    if let Some(path) = &args.html {
        // The page would replace what it reports on.
        if path.canonicalize().ok().is_some_and(|html| args.bundle.canonicalize().ok() == Some(html)) {
            return Err(Failed::SameFile { path: path.clone() });
        }
        let page = crate::report::html(&audit)?;
        fs::write(path, page).map_err(|error| Failed::Write { path: path.clone(), error })?;
    }
    print(&shown(&audit, args)?)?;
    Ok(match audit.verdict {
        Overall::Pass => ExitCode::SUCCESS,
        Overall::Fail => ExitCode::from(3),
    })
}

/// Exit code of a verdict: 0 nothing contradicted, 3 refused.
fn verdict(conclusion: Conclusion) -> ExitCode {
    match conclusion {
        Conclusion::NothingContradicted => ExitCode::SUCCESS,
        Conclusion::Refused => ExitCode::from(3),
    }
}

fn appraise(args: &LowAppraise) -> Result<ExitCode, Failed> {
    let evidence = args.evidence.read()?;
    let examination = evidence.examine();
    if let Some(path) = &args.html {
        let page = appraise::html(&examination)?;
        fs::write(path, page).map_err(|error| Failed::Write { path: path.clone(), error })?;
    }
    let colour = if io::stdout().is_terminal() { Colour::On } else { Colour::Off };
    print(&match args.output {
        OutputForm::Text => appraise::text(&examination, &evidence.notes, colour),
        OutputForm::Json => {
            format!("{}\n", serde_json::to_string_pretty(&Examined::new(&examination, &evidence.notes))?)
        }
    })?;
    Ok(verdict(examination.conclusion))
}

fn explain(args: &LowExplain) -> Result<ExitCode, Failed> {
    let examination = args.evidence.read()?.examine();
    print(&appraise::explain(&examination))?;
    Ok(verdict(examination.conclusion))
}

/// What a bundle must be for exit code 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    Signed,
    Current,
}

fn inspect(bundle: &LowCollateral, output: OutputForm, demand: Demand) -> Result<ExitCode, Failed> {
    let inspected = bundle.inspect(appraise::now(bundle.at)?)?;
    print(&match output {
        OutputForm::Text => inspected.text(),
        OutputForm::Json => format!("{}\n", serde_json::to_string_pretty(&inspected)?),
    })?;
    let holds = match demand {
        Demand::Signed => inspected.refused.is_none(),
        Demand::Current => inspected.holds(),
    };
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn read_token(token: &LowToken, output: OutputForm) -> Result<ExitCode, Failed> {
    let read = token.read(appraise::now(token.at)?)?;
    print(&match output {
        OutputForm::Text => read.text(),
        OutputForm::Json => format!("{}\n", serde_json::to_string_pretty(&read)?),
    })?;
    Ok(if read.holds() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn shown(audit: &Audit, args: &LowVerify) -> Result<String, Failed> {
    let detail = if args.all { Detail::Every } else { Detail::Grouped };
    let colour = if io::stdout().is_terminal() { Colour::On } else { Colour::Off };
    Ok(match args.output {
        OutputForm::Text => coloured(audit, detail, colour),
        OutputForm::Json => format!("{}\n", serde_json::to_string_pretty(audit)?),
    })
}

fn checks(output: OutputForm) -> Result<(), Failed> {
    print(&match output {
        OutputForm::Json => format!("{}\n", serde_json::to_string_pretty(CHECKS)?),
        OutputForm::Text => CHECKS
            .iter()
            .map(|check| {
                let class = format!("{:?}", check.class).to_lowercase();
                format!("{:<7} {class:<7} {} [{}]\n", check.id.as_str(), check.title, check.source)
            })
            .collect(),
    })
}

/// The whole file, once its length is within bounds.
fn read(path: &Path, max: u64) -> Result<Vec<u8>, Failed> {
    let failed = |error| Failed::Read { path: path.to_owned(), error };
    let metadata = fs::metadata(path).map_err(failed)?;
    // A device or pipe has no length to check before it is read.
    if !metadata.is_file() {
        return Err(Failed::NotAFile { path: path.to_owned() });
    }
    let got = metadata.len();
    if got > max {
        return Err(Failed::TooLarge { path: path.to_owned(), max, got });
    }
    fs::read(path).map_err(failed)
}

fn print(text: &str) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failed::Print)
}
