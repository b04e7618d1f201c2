use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::rand::SecureRandom;
use tiltyard_attestation::Hex;

use super::{ContainerError, ObjectContext, Opener, ReadAt};
use crate::dek::Dek;

/// Plaintext that is written together, in bytes.
const WRITE_BYTES: usize = 1 << 18;

/// Opens a sealed file into `destination`, readable by its owner alone; returns the plaintext's length.
///
/// The plaintext grows under a temporary name in the same folder and takes its own name once all of it
/// verified and is on disk. On an error nothing is left.
pub fn open_file(
    dek: &Dek,
    context: &ObjectContext,
    sealed: &File,
    destination: &Path,
    rng: &dyn SecureRandom,
) -> Result<u64, ContainerError> {
    let opener = Opener::new(dek, context, Borrowed(sealed), sealed.metadata()?.len())?;
    let temporary = beside(destination, rng)?;
    let written = write_to(&opener, &temporary).and_then(|len| {
        fs::rename(&temporary, destination)?;
        sync_folder(destination)?;
        Ok(len)
    });
    if written.is_err() {
        // The first error is the one to report; a temporary that was never made is not there to remove.
        let _ = fs::remove_file(&temporary);
    }
    written
}

struct Borrowed<'a>(&'a File);

impl ReadAt for Borrowed<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        ReadAt::read_exact_at(self.0, buf, offset)
    }
}

fn write_to(opener: &Opener<Borrowed<'_>>, path: &Path) -> Result<u64, ContainerError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut out = io::BufWriter::with_capacity(WRITE_BYTES, file);
    let len = opener.copy_to(&mut out)?;
    out.get_ref().sync_all()?;
    Ok(len)
}

/// `.<name>.<16 hex digits>` in the same folder.
fn beside(destination: &Path, rng: &dyn SecureRandom) -> Result<PathBuf, ContainerError> {
    let name = destination.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut suffix = [0; 8];
    rng.fill(&mut suffix).map_err(|_| ContainerError::Random)?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", Hex(suffix)));
    Ok(destination.with_file_name(temporary))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
