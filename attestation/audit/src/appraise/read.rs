//! Evidence files in whatever form they come: binary or hex, DER or PEM.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Largest file that is read.
const FILE_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Why a file is not what it was given as.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: expected a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{}: expected at most {FILE_MAX_BYTES} bytes, found {got}", path.display())]
    TooLarge { path: PathBuf, got: u64 },
    #[error("{}: expected {expected}, found {got}", path.display())]
    Form { path: PathBuf, expected: &'static str, got: String },
}

/// A file's bytes, with its path for errors.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl Input {
    /// The whole file, once its length is within bounds.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        let failed = |error| FileError::Read { path: path.to_owned(), error };
        let metadata = fs::metadata(path).map_err(failed)?;
        // A device or pipe has no length to check before it is read.
        if !metadata.is_file() {
            return Err(FileError::NotAFile { path: path.to_owned() });
        }
        if metadata.len() > FILE_MAX_BYTES {
            return Err(FileError::TooLarge { path: path.to_owned(), got: metadata.len() });
        }
        Ok(Self { path: path.to_owned(), bytes: fs::read(path).map_err(failed)? })
    }

    /// The bytes as they are, or those that the file's hex digits spell.
    pub(crate) fn binary_or_hex(&self) -> Vec<u8> {
        hex(&self.bytes).unwrap_or_else(|| self.bytes.clone())
    }

    /// DER documents: each block of a PEM file, or the file as one document, itself or in hex.
    pub(crate) fn der(&self) -> Result<Vec<Vec<u8>>, FileError> {
        if self.is_pem() {
            return self.pem_blocks();
        }
        let der = self.binary_or_hex();
        if der.first() != Some(&0x30) {
            return Err(self.form("DER, PEM or hex", "something else"));
        }
        Ok(vec![der])
    }

    pub(crate) fn is_pem(&self) -> bool {
        self.bytes.trim_ascii_start().starts_with(b"-----BEGIN ")
    }

    /// The first character of a JSON object or list, or of XML.
    pub(crate) fn starts_with(&self, byte: u8) -> bool {
        let text = self.bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.bytes);
        text.trim_ascii_start().first() == Some(&byte)
    }

    pub(crate) fn form(&self, expected: &'static str, got: impl ToString) -> FileError {
        FileError::Form { path: self.path.clone(), expected, got: got.to_string() }
    }

    fn pem_blocks(&self) -> Result<Vec<Vec<u8>>, FileError> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let refuse = |got: &str| self.form("PEM blocks", got);
        let text = std::str::from_utf8(&self.bytes).map_err(|_| refuse("another encoding"))?;
        let mut blocks = Vec::new();
        let mut open: Option<(&str, String)> = None;
        for line in text.lines().map(str::trim) {
            let begins = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
            let ends = line.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----"));
            match (open.take(), begins, ends) {
                (None, Some(label), _) => open = Some((label, String::new())),
                (Some((label, body)), None, Some(end)) if label == end => {
                    blocks.push(STANDARD.decode(body).map_err(|_| refuse("a block that is not base64"))?);
                }
                (Some((label, mut body)), None, None) => {
                    body.push_str(line);
                    open = Some((label, body));
                }
                // Text between blocks explains them.
                (None, None, None) => {}
                _ => return Err(refuse("a block that does not end")),
            }
        }
        match open {
            None => Ok(blocks),
            Some(_) => Err(refuse("a block that does not end")),
        }
    }
}

/// The bytes that a text of hex digits and white space spells; none when it is anything else.
pub(crate) fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    let mut digits = Vec::with_capacity(text.len());
    for &byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        digits.push(u8::try_from(char::from(byte).to_digit(16)?).ok()?);
    }
    (!digits.is_empty() && digits.len() % 2 == 0)
        .then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_recognised_and_nothing_else() {
        assert_eq!(hex(b" 0xAb\n01 "), Some(vec![0xAB, 0x01]));
        for other in [&b"abc"[..], b"xy", b"", b"\x02\x00", b"  "] {
            assert_eq!(hex(other), None, "{other:?}");
        }
    }

    #[test]
    fn pem_blocks_are_whole() {
        let input = |text: &str| Input { path: PathBuf::from("f"), bytes: text.as_bytes().to_vec() };
        let good = input(
            "note\n-----BEGIN X-----\r\nMAA=\r\n-----END X-----\n-----BEGIN Y-----\nMAE=\n-----END Y-----",
        );
        assert_eq!(good.pem_blocks().ok(), Some(vec![vec![0x30, 0], vec![0x30, 1]]));
        for bad in [
            "-----BEGIN X-----\nMAA=\n",
            "-----BEGIN X-----\nMAA=\n-----END Y-----\n",
            "-----BEGIN X-----\n-----BEGIN X-----\nMAA=\n-----END X-----\n",
            "-----END X-----\n",
            "-----BEGIN X-----\n!!\n-----END X-----\n",
        ] {
            assert!(matches!(input(bad).pem_blocks(), Err(FileError::Form { .. })), "{bad}");
        }
    }
}
