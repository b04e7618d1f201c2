//! The guest program, with everything about it that a plan needs.

use std::path::{Path, PathBuf};

use tiltyard_attestation::{Hex, measure};

use super::{LaunchError, libraries};

/// Largest guest program, in bytes.
const IMAGE_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// A guest program by content.
#[derive(Debug, Clone)]
pub struct Image {
    path: PathBuf,
    sha256: Hex<32>,
    measurement: Hex<48>,
    libraries: Vec<PathBuf>,
}

impl Image {
    /// Reads the program and asks the dynamic loader which shared libraries it needs.
    pub fn load(path: &Path) -> Result<Self, LaunchError> {
        let refuse = |source| LaunchError::Image { path: path.to_owned(), source };
        let path = path.canonicalize().map_err(refuse)?;
        let refuse = |source| LaunchError::Image { path: path.clone(), source };
        let len = std::fs::metadata(&path).map_err(refuse)?.len();
        if len > IMAGE_MAX_BYTES {
            return Err(refuse(std::io::ErrorKind::FileTooLarge.into()));
        }
        let bytes = std::fs::read(&path).map_err(refuse)?;
        Ok(Self {
            sha256: Hex::sha256(&bytes),
            measurement: measure::process_measurement(&bytes),
            libraries: libraries(&path, &bytes)?,
            path,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> Hex<32> {
        self.sha256
    }

    /// MEASUREMENT under backend `Process`.
    pub fn measurement(&self) -> Hex<48> {
        self.measurement
    }

    /// Shared libraries and the loader, at the paths under which the loader looks for them.
    pub fn libraries(&self) -> &[PathBuf] {
        &self.libraries
    }
}
