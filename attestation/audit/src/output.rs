//! What a command leaves: text on stdout, and a page in a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::appraise::other_kind;
use crate::error::Failed;

/// The file that a page goes to.
pub(crate) struct Target {
    path: PathBuf,
}

impl Target {
    /// Looks at the place before any work is done: it is no input of the command, no folder, no pipe and no device.
    pub(crate) fn new(path: &Path, inputs: &[PathBuf]) -> Result<Self, Failed> {
        let Ok(metadata) = fs::metadata(path) else {
            return Ok(Self { path: path.to_owned() });
        };
        if let Some(got) = other_kind(&metadata.file_type()) {
            return Err(Failed::Target { path: path.to_owned(), got });
        }
        if inputs.iter().any(|input| same_file(input, &metadata)) {
            return Err(Failed::SameFile { path: path.to_owned() });
        }
        // The file that a link names is replaced, and the link stays.
        let path = path.canonicalize().map_err(|error| Failed::Write { path: path.to_owned(), error })?;
        Ok(Self { path })
    }

    /// Writes the page so that a reader finds the old one or all of the new one: temporary name, fsync, rename, fsync
    /// of the folder.
    pub(crate) fn write(&self, page: &str) -> Result<(), Failed> {
        let failed = |error| Failed::Write { path: self.path.clone(), error };
        let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
        let name = self.path.file_name().ok_or_else(no_name).map_err(failed)?;
        let folder = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut temporary_name = std::ffi::OsString::from(".");
        temporary_name.push(name);
        temporary_name.push(format!(".{}.tmp", std::process::id()));
        let temporary = folder.join(temporary_name);
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            if let Ok(old) = fs::metadata(&self.path) {
                file.set_permissions(old.permissions())?;
            }
            file.write_all(page.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| {
            // A name that was taken is somebody else's file.
            if error.kind() != io::ErrorKind::AlreadyExists {
                let _ = fs::remove_file(&temporary);
            }
            failed(error)
        })
    }
}

fn same_file(path: &Path, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (other.dev(), other.ino()))
}

pub(crate) fn print(text: &str) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failed::Print)
}
