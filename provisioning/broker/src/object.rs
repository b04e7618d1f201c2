//! Objects as files: each has its name only once it is whole, verified and on disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ring::rand::SecureRandom;
use tiltyard_attestation::Hex;

use tiltyard_provisioning::container::{
    ContainerError, Context, Opener, open_between, seal_between, sealed_len,
};
use tiltyard_provisioning::dek::Dek;

use crate::file::Hidden;

/// A sealed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedFile {
    pub header: Hex<56>,
    /// Length of the object.
    pub len_bytes: u64,
}

/// Seals a whole file into `destination`, readable by its owner alone, which it replaces.
///
/// Errors: `E_SOURCE_CHANGED` where somebody wrote to the source meanwhile, and those of [`seal_between`]; then nothing
/// is left.
pub(crate) fn seal_file(
    dek: &Dek,
    context: &Context,
    source: &File,
    destination: &Path,
    threads: usize,
    rng: &dyn SecureRandom,
) -> Result<SealedFile, ContainerError> {
    let before = Seen::of(source)?;
    let hidden = Hidden::beside(destination)?;
    let sealed = seal_between(dek, context, (source, before.len_bytes), hidden.file(), threads, rng);
    if Seen::of(source)? != before {
        return Err(ContainerError::SourceChanged);
    }
    let header = sealed?;
    hidden.publish(destination)?;
    Ok(SealedFile { header, len_bytes: sealed_len(before.len_bytes) })
}

/// Opens a sealed file into `destination`, readable by its owner alone, which it replaces; returns the plaintext's length.
///
/// The plaintext has no name before all of it verified and is on disk. On an error nothing is left.
pub(crate) fn open_file(
    dek: &Dek,
    context: &Context,
    sealed: &File,
    destination: &Path,
    threads: usize,
) -> Result<u64, ContainerError> {
    let opener = Opener::of(dek, context, sealed, sealed.metadata()?.len())?;
    let hidden = Hidden::beside(destination)?;
    let len = open_between(&opener, hidden.file(), threads)?;
    hidden.publish(destination)?;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use ring::rand::SystemRandom;
    use tiltyard_provisioning::container::{CHUNK_BYTES, HEADER_BYTES};

    use super::*;

    fn context() -> Context {
        Context::from_bytes([7; 32])
    }

    fn dek() -> Dek {
        Dek::generate(&SystemRandom::new()).unwrap()
    }

    fn bytes(len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        SystemRandom::new().fill(&mut out).unwrap();
        out
    }

    fn opened(dek: &Dek, sealed: &[u8]) -> Vec<u8> {
        Opener::of(dek, &context(), sealed, sealed.len() as u64).unwrap().read_all().unwrap().to_vec()
    }

    fn refusal<T>(result: Result<T, ContainerError>) -> &'static str {
        result.err().expect("must be refused").code()
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (source, destination) = (folder.path().join("object"), folder.path().join("plain"));
        let (dek, plaintext) = (dek(), bytes(5 * CHUNK_BYTES));
        fs::write(&source, &plaintext).unwrap();
        seal_file(&dek, &context(), &File::open(&source).unwrap(), &source, 2, &SystemRandom::new()).unwrap();
        let good = fs::read(&source).unwrap();

        let mut bad = good.clone();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        fs::write(&source, &bad).unwrap();
        let sealed_file = File::open(&source).unwrap();
        assert_eq!(refusal(open_file(&dek, &context(), &sealed_file, &destination, 2)), "E_CHUNK_AUTH");
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["object"]);

        fs::write(&source, &good).unwrap();
        let sealed_file = File::open(&source).unwrap();
        let len = open_file(&dek, &context(), &sealed_file, &destination, 2).unwrap();
        assert_eq!(len, plaintext.len() as u64);
        assert_eq!(fs::read(&destination).unwrap(), plaintext);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&destination).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_sealed_file_appears_whole_and_takes_the_place_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (dek, rng, plaintext) = (dek(), SystemRandom::new(), bytes(100 * CHUNK_BYTES + 9));
        fs::write(path("plain"), &plaintext).unwrap();
        let source = File::open(path("plain")).unwrap();
        let mut salts = Vec::new();
        for _ in 0..2 {
            let made = seal_file(&dek, &context(), &source, &path("object"), 2, &rng).unwrap();
            let object = fs::read(path("object")).unwrap();
            assert_eq!((made.len_bytes, &made.header.0[..]), (object.len() as u64, &object[..HEADER_BYTES]));
            assert_eq!(opened(&dek, &object), plaintext);
            salts.push(object[..24].to_vec());
        }
        assert_ne!(salts[0], salts[1]);
        // Nothing can be made in a folder that is not there, and nothing is left in one that is.
        assert_eq!(refusal(seal_file(&dek, &context(), &source, &path("absent/object"), 2, &rng)), "E_IO");
        fs::create_dir(path("folder")).unwrap();
        assert_eq!(refusal(seal_file(&dek, &context(), &source, &path("folder"), 2, &rng)), "E_IO");
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["folder", "object", "plain"]);
    }

    #[test]
    fn a_source_that_changes_while_it_is_sealed_gives_no_object() {
        use std::io::Write;
        use std::sync::atomic::{AtomicBool, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("plain"), bytes(1000 * CHUNK_BYTES)).unwrap();
        let source = File::open(path("plain")).unwrap();
        let (started, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let refused = std::thread::scope(|scope| {
            // Somebody writes before, while and after it is sealed.
            scope.spawn(|| {
                let mut file = fs::OpenOptions::new().append(true).open(path("plain")).unwrap();
                while !done.load(Ordering::Relaxed) {
                    file.write_all(b"more").unwrap();
                    started.store(true, Ordering::Relaxed);
                }
            });
            while !started.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            let sealed = seal_file(&dek(), &context(), &source, &path("object"), 2, &SystemRandom::new());
            done.store(true, Ordering::Relaxed);
            sealed
        });
        assert_eq!(refusal(refused), "E_SOURCE_CHANGED");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the source alone");
    }
}
