//! What a command can fail with, and the exit code that says so (STYLE 18).

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tiltyard_attestation::printable::plain;

/// Why a command failed. No variant holds a plaintext, a key or a cell of anybody's data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    #[error("cannot {act} {}: {source}", shown(path))]
    Io { act: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: expected at most {expected} bytes, found more", shown(path))]
    FileTooLarge { path: PathBuf, expected: u64 },
    /// Something else than a regular file, or a link to one, where only a regular file is taken.
    #[error("{}: expected a regular file, found {got}\n  put the file itself there", shown(path))]
    NotAFile { path: PathBuf, got: &'static str },
    #[error("{}: not a document of the expected kind: {what}", shown(path))]
    Document { path: PathBuf, what: String },
    #[error(
        "cannot read the passphrase from {from}: {source}\n  give --passphrase-fd N, with N open for reading"
    )]
    PassphraseUnreadable { from: String, source: io::Error },
    #[error("passphrase: expected {expected}")]
    PassphraseLength { expected: String },
    #[error("the two passphrases differ")]
    PassphraseDiffers,
    #[error("{} exists already\n  choose another folder: keys are never overwritten", shown(path))]
    Exists { path: PathBuf },
    #[error(
        "{} is a part of {}, which this command must keep\n  name another file",
        shown(path),
        shown(kept)
    )]
    Kept { path: PathBuf, kept: PathBuf },
    #[error("{} is not the home of a broker or entrant\n  make one with `tiltyard-broker init`", shown(path))]
    NoHome { path: PathBuf },
    #[error(
        "{}: expected mode 0600, found {got:04o}\n  chmod 600 it, and ask who could have read it",
        shown(path)
    )]
    Mode { path: PathBuf, got: u32 },
    #[error("this home is the {got}'s, and {act} is for the {expected}")]
    WrongRole { act: &'static str, expected: &'static str, got: &'static str },
    #[error("another broker serves from {}\n  one ledger has one writer", shown(path))]
    Busy { path: PathBuf },
    #[error(
        "confirmation: expected the first 8 hex digits of p, {expected}, found {got}\n  read the changes above, then give --confirm"
    )]
    NotConfirmed { expected: String, got: String },
    #[error("store: {0}")]
    Store(#[from] crate::StoreError),
    #[error("{}: {source}", shown(path))]
    StoreClosed { path: PathBuf, source: crate::StoreError },
    /// Something that was to be verified did not verify, or a rule refused it.
    #[error("{code}: {what}")]
    Refused { code: String, what: String },
    #[error("{what} failed")]
    Internal { what: &'static str },
}

impl BrokerError {
    pub(crate) fn io(act: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { act, path: path.into(), source }
    }

    pub(crate) fn refused(code: impl Into<String>, what: impl ToString) -> Self {
        Self::Refused { code: code.into(), what: what.to_string() }
    }

    /// A refusal whose own text begins with its stable code.
    pub(crate) fn coded(error: impl ToString) -> Self {
        let text = error.to_string();
        match text.split_once(": ") {
            Some((code, what)) if code.starts_with("E_") => Self::refused(code, what),
            Some(_) | None => Self::refused("E_REFUSED", text),
        }
    }

    /// The stable name of the failure.
    pub fn code(&self) -> &str {
        match self {
            Self::Io { .. } => "E_IO",
            Self::FileTooLarge { .. } => "E_TOO_LARGE",
            Self::Document { .. } => "E_SYNTAX",
            Self::NotAFile { .. } => "E_NOT_A_FILE",
            Self::PassphraseUnreadable { .. } | Self::PassphraseLength { .. } | Self::PassphraseDiffers => {
                "E_PASSPHRASE"
            }
            Self::Exists { .. } => "E_EXISTS",
            Self::Kept { .. } => "E_KEPT",
            Self::NoHome { .. } => "E_NO_HOME",
            Self::Mode { .. } => "E_MODE",
            Self::WrongRole { .. } => "E_ROLE",
            Self::Busy { .. } => "E_BUSY",
            Self::NotConfirmed { .. } => "E_NOT_CONFIRMED",
            Self::Store(_) | Self::StoreClosed { .. } => "E_STORE",
            Self::Refused { code, .. } => code,
            Self::Internal { .. } => "E_INTERNAL",
        }
    }

    /// 1 failed, 2 usage, 3 verification refused.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused { .. } | Self::Mode { .. } => 3,
            Self::PassphraseLength { .. }
            | Self::PassphraseDiffers
            | Self::WrongRole { .. }
            | Self::NotConfirmed { .. } => 2,
            Self::Io { .. }
            | Self::Document { .. }
            | Self::FileTooLarge { .. }
            | Self::PassphraseUnreadable { .. }
            | Self::Exists { .. }
            | Self::Kept { .. }
            | Self::NoHome { .. }
            | Self::Busy { .. }
            | Self::Store(_)
            | Self::StoreClosed { .. }
            | Self::NotAFile { .. }
            | Self::Internal { .. } => 1,
        })
    }
}

/// A path as a terminal may show it: whoever made the file chose its name.
pub(crate) fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy())
}
