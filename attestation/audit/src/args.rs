//! Command line.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use tiltyard_attestation::checks::CHECKS;
use tiltyard_attestation::printable::plain_json;
use tiltyard_attestation::{Collateral, Conclusion, ForeignAnchors, Hex, collateral};
use tiltyard_provisioning::bundle::BUNDLE_MAX_BYTES;

use crate::appraise::{self, Explained, FileError, LowCollateral, LowEvidence, Table};
use crate::error::{Failed, unparsed};
use crate::output::{Target, print};
use crate::text::{Colour, Detail, coloured, plain};
use crate::token::LowToken;
use crate::verify::{Audit, Overall, Pins, verify_owned};

/// Largest anchor document, in bytes.
const ANCHORS_MAX_BYTES: u64 = 1024 * 1024;

/// Checks a tournament's bundle offline.
///
/// Exit codes: 0 nothing contradicted, 1 a file could not be read, written or understood, 2 usage, 3 refused.
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
    #[arg(long, value_enum, default_value_t = OutputForm::Text)]
    output: OutputForm,
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
    /// Time of the audit, RFC 3339 or Unix seconds: nothing may be later, and what is valid no more is printed
    #[arg(long, value_name = "TIME", value_parser = appraise::time)]
    at: Option<u64>,
    /// Print each claim, also where all of a kind hold
    #[arg(long)]
    all: bool,
}

/// How results and errors are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    Text,
    Json,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let command = match LowArgs::try_parse() {
        Ok(args) => args.command,
        Err(error) => return unparsed(&error),
    };
    let form = command.form();
    command.run().unwrap_or_else(|failed| failed.report(form))
}

impl LowCommand {
    fn form(&self) -> OutputForm {
        match self {
            Self::Verify(LowVerify { output, .. })
            | Self::Appraise(LowAppraise { output, .. })
            | Self::Explain(LowExplain { output, .. })
            | Self::Collateral(LowBundle::Inspect { output, .. } | LowBundle::Verify { output, .. })
            | Self::Token { output, .. }
            | Self::Checks { output } => *output,
        }
    }

    fn run(&self) -> Result<ExitCode, Failed> {
        match self {
            Self::Verify(args) => run(args),
            Self::Appraise(args) => appraise(args),
            Self::Explain(args) => explain(args),
            Self::Collateral(LowBundle::Inspect { bundle, output }) => {
                inspect(bundle, *output, Demand::Signed)
            }
            Self::Collateral(LowBundle::Verify { bundle, output }) => {
                inspect(bundle, *output, Demand::Current)
            }
            Self::Token { token, output } => read_token(token, *output),
            Self::Checks { output } => checks(*output).map(|()| ExitCode::SUCCESS),
        }
    }
}

fn run(args: &LowVerify) -> Result<ExitCode, Failed> {
    let inputs: Vec<PathBuf> =
        [&args.bundle].into_iter().chain(&args.anchors).chain(&args.collateral).cloned().collect();
    let target = args.html.as_deref().map(|path| Target::new(path, &inputs)).transpose()?;
    let anchors = args.anchors.as_deref().map(anchors).transpose()?;
    let collateral = args
        .collateral
        .iter()
        .map(|path| {
            let bytes = appraise::read(path, collateral::BUNDLE_MAX_BYTES as u64)?;
            Collateral::from_file(&bytes, args.collateral_key.as_ref())
                .map_err(|error| Failed::Collateral { path: path.clone(), error })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (owner_key, operator_key) = (args.owner_key, args.operator_key);
    let pins = Pins { owner_key, operator_key, anchors, collateral, at: args.at };
    let audit = verify_owned(bundle(&args.bundle)?, &pins);
    if let Some(target) = target {
        target.write(&crate::report::html(&audit)?)?;
    }
    print(&shown(&audit, args)?)?;
    Ok(match audit.verdict {
        Overall::Pass => ExitCode::SUCCESS,
        Overall::Fail => ExitCode::from(3),
    })
}

/// The bundle's bytes. A file may be large, so its first block is looked at before the rest is read.
fn bundle(path: &Path) -> Result<Vec<u8>, Failed> {
    const BLOCK: u64 = 512;
    const EXPECTED: &str = "a bundle: an archive (ustar) of one tournament";
    let form = |bytes: &[u8]| FileError::Form {
        path: path.to_owned(),
        expected: EXPECTED,
        got: if bytes.is_empty() { "an empty file" } else { "another form" }.to_owned(),
    };
    // What is no regular file is refused before it is opened: a pipe would wait.
    let kind = fs::metadata(path).ok().and_then(|metadata| appraise::other_kind(&metadata.file_type()));
    if kind.is_none() {
        let failed = |error| FileError::Read { path: path.to_owned(), error };
        let mut head = Vec::new();
        File::open(path).map_err(failed)?.take(BLOCK).read_to_end(&mut head).map_err(failed)?;
        if !appraise::is_archive(&head) {
            return Err(form(&head).into());
        }
    }
    Ok(appraise::read(path, BUNDLE_MAX_BYTES as u64)?)
}

/// A set of anchors as a document: what can't be read is told before the audit.
fn anchors(path: &Path) -> Result<Vec<u8>, Failed> {
    let bytes = appraise::read(path, ANCHORS_MAX_BYTES)?;
    match ForeignAnchors::from_bytes(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failed::Anchors { path: path.to_owned(), what: plain(&error.to_string()) }),
    }
}

/// Exit code of a verdict: 0 nothing contradicted, 3 refused.
fn verdict(conclusion: Conclusion) -> ExitCode {
    match conclusion {
        Conclusion::NothingContradicted => ExitCode::SUCCESS,
        Conclusion::Refused => ExitCode::from(3),
    }
}

fn appraise(args: &LowAppraise) -> Result<ExitCode, Failed> {
    let target = args.html.as_deref().map(|path| Target::new(path, &args.evidence.paths())).transpose()?;
    let examined = args.evidence.read()?.examine();
    if let Some(target) = target {
        target.write(&appraise::html(&examined)?)?;
    }
    let colour = if io::stdout().is_terminal() { Colour::On } else { Colour::Off };
    print(&match args.output {
        OutputForm::Text => appraise::text(&examined, colour),
        OutputForm::Json => json(&Table::new(&examined))?,
    })?;
    Ok(verdict(examined.examination.conclusion))
}

fn explain(args: &LowExplain) -> Result<ExitCode, Failed> {
    let examined = args.evidence.read()?.examine();
    print(&match args.output {
        OutputForm::Text => appraise::explain(&examined),
        OutputForm::Json => json(&Explained::new(&examined))?,
    })?;
    Ok(verdict(examined.examination.conclusion))
}

fn json(document: &impl Serialize) -> Result<String, Failed> {
    Ok(format!("{}\n", plain_json(&serde_json::to_string_pretty(document)?)))
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
        OutputForm::Json => json(&inspected)?,
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
        OutputForm::Json => json(&read)?,
    })?;
    Ok(if read.holds() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn shown(audit: &Audit, args: &LowVerify) -> Result<String, Failed> {
    let detail = if args.all { Detail::Every } else { Detail::Grouped };
    let colour = if io::stdout().is_terminal() { Colour::On } else { Colour::Off };
    Ok(match args.output {
        OutputForm::Text => coloured(audit, detail, colour),
        OutputForm::Json => json(audit)?,
    })
}

fn checks(output: OutputForm) -> Result<(), Failed> {
    print(&match output {
        OutputForm::Json => json(&CHECKS)?,
        OutputForm::Text => CHECKS
            .iter()
            .map(|check| {
                let class = format!("{:?}", check.class).to_lowercase();
                format!("{:<7} {class:<7} {} [{}]\n", check.id.as_str(), check.title, check.source)
            })
            .collect(),
    })
}
