//! Reading the kernel's files: no link followed, never more than a limit.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::CollectError;

/// Whole content of a file of at most `limit` bytes. `what` names it in errors.
///
/// Sizes that a kernel states for such files are not believed: the bytes are counted as they come.
pub(super) fn read(path: &Path, what: &'static str, limit: usize) -> Result<Vec<u8>, CollectError> {
    let mut bytes = Vec::new();
    open(path, what, OpenOptions::new().read(true))?
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(CollectError::io(what))?;
    if bytes.len() > limit {
        return Err(CollectError::TooLarge { what, limit });
    }
    Ok(bytes)
}

/// An attribute of one line: printable ASCII, and at most one line feed, at its end.
pub(super) fn read_line(path: &Path, what: &'static str) -> Result<String, CollectError> {
    const LINE_MAX_BYTES: usize = 64;
    let mut bytes = read(path, what, LINE_MAX_BYTES)?;
    bytes.pop_if(|last| *last == b'\n');
    String::from_utf8(bytes)
        .ok()
        .filter(|line| line.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or(CollectError::Format { what, expected: "one line of printable text" })
}

pub(super) fn open(path: &Path, what: &'static str, options: &mut OpenOptions) -> Result<File, CollectError> {
    options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path).map_err(|error| {
        if error.raw_os_error() == Some(Errno::ELOOP as i32) {
            CollectError::Redirected { what }
        } else {
            CollectError::io(what)(error)
        }
    })
}

/// Whether something stands at `path`; a link counts as itself.
pub(super) fn present(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A folder itself, and not a link to one.
pub(super) fn folder(path: &Path, what: &'static str) -> Result<(), CollectError> {
    let kind = path.symlink_metadata().map_err(CollectError::io(what))?.file_type();
    if kind.is_symlink() {
        return Err(CollectError::Redirected { what });
    }
    if kind.is_dir() { Ok(()) } else { Err(CollectError::io(what)(io::ErrorKind::NotADirectory.into())) }
}
