//! Objects as files: each has its name only once it is whole, verified and on disk.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;
use ring::rand::SecureRandom;
use tiltyard_attestation::Hex;

use super::{ContainerError, Context, Opener, open_between, seal_between, sealed_len};
use crate::dek::Dek;

/// A sealed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFile {
    pub header: Hex<56>,
    /// Length of the object.
    pub len_bytes: u64,
}

/// Seals a whole file into `destination`, readable by its owner alone, which it replaces.
///
/// Errors: `E_SOURCE_CHANGED` where somebody wrote to the source meanwhile, and those of [`seal_between`]; then nothing
/// is left.
pub fn seal_file(
    dek: &Dek,
    context: &Context,
    source: &File,
    destination: &Path,
    threads: usize,
    rng: &dyn SecureRandom,
) -> Result<SealedFile, ContainerError> {
    let before = Seen::of(source)?;
    let hidden = Hidden::beside(destination, rng)?;
    let sealed = seal_between(dek, context, (source, before.len_bytes), &hidden.file, threads, rng);
    if Seen::of(source)? != before {
        return Err(ContainerError::SourceChanged);
    }
    let header = sealed?;
    hidden.publish(destination, rng)?;
    Ok(SealedFile { header, len_bytes: sealed_len(before.len_bytes) })
}

/// Opens a sealed file into `destination`, readable by its owner alone, which it replaces; returns the plaintext's length.
///
/// The plaintext has no name before all of it verified and is on disk. On an error nothing is left.
pub fn open_file(
    dek: &Dek,
    context: &Context,
    sealed: &File,
    destination: &Path,
    threads: usize,
    rng: &dyn SecureRandom,
) -> Result<u64, ContainerError> {
    let opener = Opener::of(dek, context, sealed, sealed.metadata()?.len())?;
    let hidden = Hidden::beside(destination, rng)?;
    let len = open_between(&opener, &hidden.file, threads)?;
    hidden.publish(destination, rng)?;
    Ok(len)
}

/// What changes when somebody writes to a file.
#[derive(PartialEq, Eq)]
struct Seen {
    len_bytes: u64,
    modified: (i64, i64),
}

impl Seen {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { len_bytes: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) })
    }
}

/// A file that nobody finds until it is published; what is not published is gone.
struct Hidden {
    file: File,
    /// Where the file system knows no files without a name.
    temporary: Option<PathBuf>,
}

impl Hidden {
    /// In the folder of `destination`, of mode 0600.
    fn beside(destination: &Path, rng: &dyn SecureRandom) -> Result<Self, ContainerError> {
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600);
        match options.clone().custom_flags(OFlag::O_TMPFILE.bits()).open(folder_of(destination)) {
            Ok(file) => Ok(Self { file, temporary: None }),
            // Not every file system has them; what is really wrong shows again below.
            Err(_) => {
                let temporary = temporary_name(destination, rng)?;
                let file = options.create_new(true).open(&temporary)?;
                Ok(Self { file, temporary: Some(temporary) })
            }
        }
    }

    /// Brings the content to disk, then gives it its name in one step.
    fn publish(mut self, destination: &Path, rng: &dyn SecureRandom) -> Result<(), ContainerError> {
        self.file.sync_all()?;
        if self.temporary.is_none() {
            match self.link(destination) {
                Ok(()) => return Ok(sync_folder(destination)?),
                // A link replaces nothing; a name does.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let name = temporary_name(destination, rng)?;
                    self.link(&name)?;
                    self.temporary = Some(name);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(name) = &self.temporary {
            fs::rename(name, destination)?;
        }
        self.temporary = None;
        Ok(sync_folder(destination)?)
    }

    fn link(&self, name: &Path) -> io::Result<()> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(linkat(AT_FDCWD, own.as_str(), AT_FDCWD, name, AtFlags::AT_SYMLINK_FOLLOW)?)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary {
            // Whatever went wrong before is the error to report.
            let _ = fs::remove_file(name);
        }
    }
}

/// `.<name>.<16 hex digits>` in the same folder.
fn temporary_name(destination: &Path, rng: &dyn SecureRandom) -> Result<PathBuf, ContainerError> {
    let name = destination.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut suffix = [0; 8];
    rng.fill(&mut suffix).map_err(|_| ContainerError::Random)?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", Hex(suffix)));
    Ok(destination.with_file_name(temporary))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}
