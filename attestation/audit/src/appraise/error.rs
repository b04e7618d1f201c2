//! Why evidence could not be laid before the verifier.

use std::path::PathBuf;

use tiltyard_attestation::PolicyError;
use tiltyard_attestation::printable::plain;

use super::read::FileError;
use crate::text::shown;

/// Arguments that don't go together, or a file that is not what it was given as.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "no evidence\n  give --snp-report, --vcek, --tdx-quote, --gpu-report, --gpu-certs, --gpu-evidence or --rim"
    )]
    Nothing,
    #[error(
        "evidence of two CPUs: expected --snp-report or --tdx-quote, found both\n  run the command once for each"
    )]
    TwoCpus,
    #[error(
        "--nonce of 64 bytes: expected 32, as devices are asked with, found no evidence of a CPU beside them"
    )]
    NonceOfCpu,
    #[error("{flag} without {needs}")]
    Needs { flag: &'static str, needs: &'static str },
    #[error(
        "{reports} device reports and {chains} files of certificates\n  give one --gpu-certs for each --gpu-report, in order"
    )]
    Pairs { reports: usize, chains: usize },
    #[error(
        "expected at most {limit} {what}, as one guest may have, found {got}\n  run the command once for each guest"
    )]
    TooMany { what: &'static str, limit: usize, got: usize },
    #[error("policy {}: expected strict, standard, lab or a file, found none of them", plain(name))]
    PolicyName { name: String },
    #[error("{}: {}", shown(path), told(error))]
    Policy { path: PathBuf, error: PolicyError },
    #[error("{}: {what}", shown(path))]
    Anchors { path: PathBuf, what: String },
    #[error(
        "Intel's collateral is not whole: {missing}\n  give each answer of the certification service with --tdx-collateral"
    )]
    TdxCollateral { missing: String },
    #[error("--collateral beside single files of collateral\n  give the bundle or the files")]
    TwoSources,
    #[error("the system's clock is before 1970\n  give the time with --at")]
    Clock,
}

/// A parser repeats what the document says; every other text is ours.
fn told(error: &PolicyError) -> String {
    match error {
        PolicyError::Syntax(_) => plain(&error.to_string()),
        _ => error.to_string(),
    }
}

impl InputError {
    /// The stable name of the failure.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Policy { .. } | Self::Anchors { .. } | Self::TdxCollateral { .. } => "E_SYNTAX",
            Self::Clock => "E_CLOCK",
            // Arguments that don't go together, whatever the files hold.
            Self::Nothing
            | Self::TwoCpus
            | Self::NonceOfCpu
            | Self::Needs { .. }
            | Self::Pairs { .. }
            | Self::TooMany { .. }
            | Self::PolicyName { .. }
            | Self::TwoSources => "E_USAGE",
        }
    }
}

impl FileError {
    /// The stable name of the failure.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "E_IO",
            Self::NotAFile { .. } => "E_NOT_A_FILE",
            Self::TooLarge { .. } => "E_TOO_LARGE",
            Self::Form { .. } => "E_SYNTAX",
        }
    }
}
