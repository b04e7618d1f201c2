//! Files: read with a limit, written whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;
use ring::rand::{SecureRandom as _, SystemRandom};
use tiltyard_attestation::Hex;

use crate::BrokerError;

/// Reads a file of at most `max_bytes`.
pub fn read_limited(path: &Path, max_bytes: u64) -> Result<Vec<u8>, BrokerError> {
    let file = File::open(path).map_err(|source| BrokerError::io("read", path, source))?;
    read_opened(file, path, max_bytes)
}

/// Reads what was opened from `path`, at most `max_bytes`.
pub(crate) fn read_opened(file: File, path: &Path, max_bytes: u64) -> Result<Vec<u8>, BrokerError> {
    let mut bytes = Vec::new();
    file.take(max_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| BrokerError::io("read", path, source))?;
    if bytes.len() as u64 > max_bytes {
        return Err(BrokerError::FileTooLarge { path: path.into(), expected: max_bytes });
    }
    Ok(bytes)
}

/// A regular file, opened to be read; a pipe would wait for ever.
pub(crate) fn open_regular(path: &Path) -> Result<File, BrokerError> {
    open_with(path, OFlag::O_NONBLOCK)
}

fn open_with(path: &Path, flags: OFlag) -> Result<File, BrokerError> {
    let not_a_file = |got| BrokerError::NotAFile { path: path.into(), got };
    let failed = |source| BrokerError::io("read", path, source);
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits());
    let file = options.open(path).map_err(|source| match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => not_a_file("a link"),
        // A socket.
        Some(Errno::ENXIO) => not_a_file("something else"),
        _ => failed(source),
    })?;
    let metadata = file.metadata().map_err(failed)?;
    match metadata.is_file() {
        true => Ok(file),
        false => Err(not_a_file(if metadata.is_dir() { "a folder" } else { "something else" })),
    }
}

/// The bytes of a regular file and when it was last changed, in Unix seconds: for folders that others may write to.
///
/// A link would bring in whatever it points to, and a pipe would wait for ever; neither is followed or read.
pub(crate) fn read_regular(path: &Path, max_bytes: u64) -> Result<(Vec<u8>, u64), BrokerError> {
    let failed = |source| BrokerError::io("read", path, source);
    let file = open_with(path, OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.len() > max_bytes {
        return Err(BrokerError::FileTooLarge { path: path.into(), expected: max_bytes });
    }
    let changed = metadata.modified().map_err(failed)?;
    let bytes = read_opened(file, path, max_bytes)?;
    Ok((bytes, changed.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())))
}

/// Writes a file of mode 0600 so that a reader finds the old bytes, or all of the new ones.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), BrokerError> {
    let write = || -> io::Result<()> {
        let hidden = Hidden::beside(path)?;
        hidden.file().write_all(bytes)?;
        hidden.publish(path)
    };
    write().map_err(|source| BrokerError::io("write", path, source))
}

/// A file of mode 0600 that nobody finds until it is published; what is not published is gone.
pub(crate) struct Hidden {
    file: File,
    /// Where the file system knows no files without a name.
    temporary: Option<PathBuf>,
}

impl Hidden {
    /// In the folder of `destination`.
    pub(crate) fn beside(destination: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600);
        match options.clone().custom_flags(OFlag::O_TMPFILE.bits()).open(folder_of(destination)) {
            Ok(file) => Ok(Self { file, temporary: None }),
            // Not every file system has them; what is really wrong shows again below.
            Err(_) => {
                let temporary = temporary_name(destination)?;
                let file = options.create_new(true).open(&temporary)?;
                Ok(Self { file, temporary: Some(temporary) })
            }
        }
    }

    /// To write to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Brings the content to disk, then gives it its name in one step.
    pub(crate) fn publish(mut self, destination: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        if self.temporary.is_none() {
            match self.link(destination) {
                Ok(()) => return sync_folder(destination),
                // A link replaces nothing; a name does.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let name = temporary_name(destination)?;
                    self.link(&name)?;
                    self.temporary = Some(name);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(name) = &self.temporary {
            fs::rename(name, destination)?;
        }
        self.temporary = None;
        sync_folder(destination)
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
fn temporary_name(destination: &Path) -> io::Result<PathBuf> {
    let name = destination.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut suffix = [0; 8];
    SystemRandom::new().fill(&mut suffix).map_err(|_| io::Error::other("no random bytes"))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", Hex(suffix)));
    Ok(destination.with_file_name(temporary))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The file that a command leaves what it made in.
pub(crate) struct Target(PathBuf);

impl Target {
    /// Looks at the place before any work is done: it is nothing that the command must keep (`kept`: files, and folders
    /// with all that is in them), no folder, no pipe and no device.
    pub(crate) fn new(path: &Path, kept: &[&Path]) -> Result<Self, BrokerError> {
        let failed = |source| BrokerError::io("write", path, source);
        let place = match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => {
                let got = if metadata.is_dir() { "a folder" } else { "something else" };
                return Err(BrokerError::NotAFile { path: path.into(), got });
            }
            // The file that a link names is replaced, and the link stays.
            Ok(_) => path.canonicalize().map_err(failed)?,
            Err(_) => {
                let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
                folder_of(path).canonicalize().map_err(failed)?.join(name)
            }
        };
        let keeps = |kept: &&&Path| kept.canonicalize().is_ok_and(|kept| place.starts_with(kept));
        match kept.iter().find(keeps) {
            Some(kept) => Err(BrokerError::Kept { path: path.into(), kept: (*kept).into() }),
            None => Ok(Self(place)),
        }
    }

    /// Where it is, behind every link.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes it as [`write_private`] does.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), BrokerError> {
        write_private(&self.0, bytes)
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a folder of mode 0700, and the missing ones above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), BrokerError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| BrokerError::io("create", path, source))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_written_file_is_private_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_command_must_keep_is_no_target() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("home/below")).unwrap();
        for name in ["home/kek", "input", "other"] {
            fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink(at("home/kek"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("home"), at("way")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (home, input) = (at("home"), at("input"));
        let target = |name: &str| Target::new(&at(name), &[home.as_path(), input.as_path()]);
        for name in ["home/kek", "home/new", "home/below/new", "link", "way/new", "home/../input", "input"] {
            assert!(matches!(target(name), Err(BrokerError::Kept { .. })), "{name}");
        }
        for name in ["home", "pipe"] {
            assert!(matches!(target(name), Err(BrokerError::NotAFile { .. })), "{name}");
        }
        assert!(matches!(target("absent/new"), Err(BrokerError::Io { .. })));
        for name in ["new", "other", "homely"] {
            target(name).unwrap().write(b"made").unwrap();
            assert_eq!(fs::read(at(name)).unwrap(), b"made");
        }
        assert_eq!(fs::read(at("home/kek")).unwrap(), b"home/kek");
    }

    #[test]
    fn a_file_over_the_limit_is_refused_before_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        fs::write(&path, [0; 9]).unwrap();
        assert_eq!(read_limited(&path, 9).unwrap().len(), 9);
        assert!(matches!(read_limited(&path, 8), Err(BrokerError::FileTooLarge { expected: 8, .. })));
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(matches!(write_private(&path, b"x"), Err(BrokerError::Io { .. })));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
