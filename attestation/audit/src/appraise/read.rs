//! Input files in whatever form they come: binary, hex or base64, DER or PEM.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tiltyard_attestation::Hex;

use super::form::{self, Digits};
use crate::text::shown;

/// Largest file that is read.
const FILE_MAX_BYTES: u64 = 32 * 1024 * 1024;
/// What some programs of another system put before every text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a file is not what it was given as.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{}: {error}", shown(path))]
    Read { path: PathBuf, error: io::Error },
    #[error(
        "{}: expected a regular file, found {got}\n  write it to a file first: a stream is not read",
        shown(path)
    )]
    NotAFile { path: PathBuf, got: &'static str },
    #[error("{}: expected at most {max} bytes, found {got}", shown(path))]
    TooLarge { path: PathBuf, max: u64, got: u64 },
    #[error("{}: expected {expected}, found {got}", shown(path))]
    Form { path: PathBuf, expected: &'static str, got: String },
}

/// A file that was read, so that a result can be tied to its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct InputFile {
    /// What it was given as: `--snp-report` and so on.
    pub(crate) given_as: &'static str,
    pub(crate) path: String,
    pub(crate) sha256: Hex<32>,
    pub(crate) len_bytes: u64,
}

/// Every file of one command, in the order in which they were read.
#[derive(Debug, Default)]
pub(crate) struct Inputs(pub(crate) Vec<InputFile>);

impl Inputs {
    /// Reads one file, and notes it.
    pub(super) fn read(&mut self, given_as: &'static str, path: &Path) -> Result<Input, FileError> {
        let input = Input::read(path)?;
        self.0.push(InputFile {
            given_as,
            path: path.to_string_lossy().into_owned(),
            sha256: Hex::sha256(&input.bytes),
            len_bytes: input.bytes.len() as u64,
        });
        Ok(input)
    }
}

/// A file's bytes, with its path for errors.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

/// The whole of a regular file, once its length is within bounds.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    let failed = |error| FileError::Read { path: path.to_owned(), error };
    let metadata = fs::metadata(path).map_err(failed)?;
    // A device or pipe has no length to check before it is read.
    if let Some(got) = other_kind(&metadata.file_type()) {
        return Err(FileError::NotAFile { path: path.to_owned(), got });
    }
    let got = metadata.len();
    if got > max {
        return Err(FileError::TooLarge { path: path.to_owned(), max, got });
    }
    fs::read(path).map_err(failed)
}

/// What a path names that is no regular file.
pub(crate) fn other_kind(kind: &fs::FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a pipe")
    } else {
        Some("a device or socket")
    }
}

impl Input {
    /// The whole file, once its length is within bounds.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        Ok(Self { path: path.to_owned(), bytes: read(path, FILE_MAX_BYTES)? })
    }

    /// The bytes without a byte order mark, for what is text.
    pub(crate) fn text(&self) -> &[u8] {
        self.bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.bytes)
    }

    /// The bytes as they are, or those that the file spells in hex or base64.
    pub(crate) fn content(&self) -> Result<Vec<u8>, FileError> {
        match form::digits(self.text()) {
            Digits::Spell(bytes) => Ok(bytes),
            Digits::Odd(count) => Err(self.form("an even number of hex digits", count)),
            Digits::Stray(at) => {
                let at = at + self.bytes.len() - self.text().len();
                Err(self.form(
                    "binary, base64, or hex digits and white space",
                    format!("text that is not hex at position {at}"),
                ))
            }
            Digits::None => Ok(form::base64(self.text()).unwrap_or_else(|| self.bytes.clone())),
        }
    }

    /// The same, where the file must have `form`; what is no such thing at all is no evidence.
    pub(super) fn of_form(
        &self,
        expected: &'static str,
        has_form: fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, FileError> {
        let bytes = self.content()?;
        if has_form(&bytes) { Ok(bytes) } else { Err(self.form(expected, form::beginning(&bytes))) }
    }

    /// DER documents: each block of a PEM file, or the file as one document, itself, in hex or in base64.
    pub(crate) fn der(&self) -> Result<Vec<Vec<u8>>, FileError> {
        const EXPECTED: &str = "DER, PEM, hex or base64";
        let content;
        let text = match pem_text(self.text()) {
            Some(text) => text,
            None => {
                content = self.content()?;
                match pem_text(&content) {
                    Some(text) => text,
                    None if form::is_der(&content) => return Ok(vec![content]),
                    None => return Err(self.form(EXPECTED, form::beginning(&content))),
                }
            }
        };
        let blocks = form::pem_blocks(text).map_err(|got| self.form("PEM blocks", got))?;
        match blocks.iter().find(|block| !form::is_der(block)) {
            None => Ok(blocks),
            Some(block) => Err(self.form("PEM blocks of DER", form::beginning(block))),
        }
    }

    /// The same file with its percent-encoding taken off (RFC 3986 2.1), where it has any.
    pub(crate) fn percent_decoded(&self) -> Option<Self> {
        let mut rest = self.text();
        let mut bytes = Vec::with_capacity(rest.len());
        while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
            bytes.extend_from_slice(&rest[..at]);
            bytes.extend(form::hex(rest.get(at + 1..at + 3)?)?);
            rest = &rest[at + 3..];
        }
        if bytes.is_empty() {
            return None;
        }
        bytes.extend_from_slice(rest);
        Some(Self { path: self.path.clone(), bytes })
    }

    /// The first character of a JSON object or list, or of XML.
    pub(crate) fn starts_with(&self, byte: u8) -> bool {
        self.text().trim_ascii_start().first() == Some(&byte)
    }

    pub(crate) fn form(&self, expected: &'static str, got: impl ToString) -> FileError {
        // A parser's message may repeat what the file says.
        let got = tiltyard_attestation::printable::plain(&got.to_string());
        FileError::Form { path: self.path.clone(), expected, got }
    }
}

/// The bytes as text, where a line of it begins a PEM block: text before it explains the block.
fn pem_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines().any(|line| line.trim().starts_with("-----BEGIN ")).then_some(text)
}
