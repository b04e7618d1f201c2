//! Why a command did not come to a verdict, as a person and as a program are told.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use tiltyard_attestation::collateral::{BundleError, CollateralReadError};
use tiltyard_attestation::printable::{asks_for_json, plain, plain_json, plain_lines, plain_usage};

use crate::appraise::{FileError, InputError};
use crate::args::OutputForm;
use crate::text::shown;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: cannot write it: {error}", shown(path))]
    Write { path: PathBuf, error: io::Error },
    #[error("{}: is one of the files that the page reports on\n  name another file with --html", shown(path))]
    SameFile { path: PathBuf },
    #[error("{}: expected a file's name, found {got}\n  name another file with --html", shown(path))]
    Target { path: PathBuf, got: &'static str },
    #[error("{}: {}", shown(path), told(error))]
    Collateral { path: PathBuf, error: CollateralReadError },
    #[error("{}: not a set of anchors: {what}", shown(path))]
    Anchors { path: PathBuf, what: String },
    #[error("standard output: {0}")]
    Print(io::Error),
    #[error("report: {0}")]
    Report(#[from] askama::Error),
    #[error("report: {0}")]
    Json(#[from] serde_json::Error),
}

/// A parser repeats what the document says; every other text is ours.
fn told(error: &CollateralReadError) -> String {
    match error {
        CollateralReadError::Json(_) => plain(&error.to_string()),
        CollateralReadError::NoKey => format!("{error}\n  give it with --collateral-key"),
        _ => error.to_string(),
    }
}

impl Failed {
    /// The stable name of the failure.
    fn code(&self) -> &'static str {
        match self {
            Self::Input(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Write { .. } | Self::Print(_) => "E_IO",
            Self::SameFile { .. } | Self::Target { .. } => "E_USAGE",
            Self::Collateral { error: CollateralReadError::NoKey, .. } => "E_USAGE",
            Self::Collateral { error, .. } if is_malformed(error) => "E_SYNTAX",
            Self::Collateral { .. } => "E_REFUSED",
            Self::Anchors { .. } => "E_SYNTAX",
            Self::Report(_) | Self::Json(_) => "E_INTERNAL",
        }
    }

    /// 1 failed, 2 usage, 3 verification refused.
    fn exit_code(&self) -> u8 {
        match self.code() {
            "E_USAGE" => 2,
            "E_REFUSED" => 3,
            _ => 1,
        }
    }

    /// Tells of the failure on stderr.
    pub(crate) fn report(&self, form: OutputForm) -> ExitCode {
        tell(form, self.code(), &self.to_string());
        ExitCode::from(self.exit_code())
    }
}

/// Not a bundle and not JSON, as opposed to one that somebody else signed or that was changed.
fn is_malformed(error: &CollateralReadError) -> bool {
    matches!(error, CollateralReadError::Json(_) | CollateralReadError::Bundle(BundleError::Archive(_)))
}

/// The same members as the broker's.
#[derive(Serialize)]
struct Told<'a> {
    code: &'a str,
    error: &'a str,
}

fn tell(form: OutputForm, code: &str, error: &str) {
    let text = match form {
        OutputForm::Json => plain_json(&serde_json::to_string(&Told { code, error }).unwrap_or_default()),
        OutputForm::Text => format!("tiltyard-audit: {}", plain_lines(error)),
    };
    // Nobody is left to tell if this fails too.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Arguments that were not understood: what the parser says of them, or help that was asked for.
pub(crate) fn unparsed(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = plain_usage(&error.to_string());
    if asks_for_json(std::env::args_os()) {
        tell(OutputForm::Json, "E_USAGE", &text);
    } else {
        let _ = writeln!(io::stderr(), "{text}");
    }
    ExitCode::from(2)
}
