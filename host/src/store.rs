//! The object store: files by SHA-256, checked on their way in. Ciphertext and public documents only.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ring::digest;
use tiltyard_attestation::Hex;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Files taken from one import directory, at most.
pub const IMPORT_FILES_MAX: usize = 100_000;
const BUFFER_BYTES: usize = 128 * 1024;

/// A directory of files named by their digest.
#[derive(Debug)]
pub struct Store {
    objects: PathBuf,
    incoming: PathBuf,
}

/// Why an object was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error(
        "object {path}: its name says {expected}, its content is {got}\n  the file was changed or cut: fetch it again"
    )]
    Digest { path: PathBuf, expected: Hex<32>, got: Hex<32> },
    #[error("object: expected content of digest {expected}, found {got}")]
    Received { expected: Hex<32>, got: Hex<32> },
    #[error("object: expected {expected} bytes, found {got}")]
    Length { expected: u64, got: u64 },
    #[error("object: expected at most {expected} bytes, found {got}")]
    TooLarge { expected: u64, got: u64 },
    #[error("objects: expected at most {IMPORT_FILES_MAX} files in {path}")]
    TooMany { path: PathBuf },
    #[error("object store {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl Store {
    /// Opens or makes the store below `state`; half-received objects of earlier runs are removed.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        let store = Self { objects: state.join("objects"), incoming: state.join("incoming") };
        if store.incoming.exists() {
            fs::remove_dir_all(&store.incoming).map_err(at(&store.incoming))?;
        }
        for dir in [&store.objects, &store.incoming] {
            fs::create_dir_all(dir).map_err(at(dir))?;
        }
        Ok(store)
    }

    /// Where an object lies, if it is stored.
    pub fn path(&self, sha256: &Hex<32>) -> PathBuf {
        self.objects.join(sha256.to_string())
    }

    /// Length of a stored object; `None` if it is not there.
    pub fn len_bytes(&self, sha256: &Hex<32>) -> Option<u64> {
        fs::metadata(self.path(sha256)).ok().filter(fs::Metadata::is_file).map(|file| file.len())
    }

    /// Takes in every file of a directory tree. A file whose name is a digest must have that digest.
    pub fn import(&self, dir: &Path) -> Result<usize, StoreError> {
        let mut waiting = vec![dir.to_owned()];
        let mut files = 0;
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(&dir).map_err(at(&dir))? {
                let entry = entry.map_err(at(&dir))?;
                let kind = entry.file_type().map_err(at(&dir))?;
                if kind.is_dir() {
                    waiting.push(entry.path());
                } else if kind.is_file() {
                    files += 1;
                    if files > IMPORT_FILES_MAX {
                        return Err(StoreError::TooMany { path: dir });
                    }
                    self.import_file(&entry.path())?;
                }
            }
        }
        Ok(files)
    }

    /// Takes in one file and gives its digest.
    pub fn import_file(&self, path: &Path) -> Result<Hex<32>, StoreError> {
        let got = digest_of(path)?;
        let named = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let Some(expected) = named.filter(|expected| *expected != got) {
            return Err(StoreError::Digest { path: path.to_owned(), expected, got });
        }
        let to = self.path(&got);
        if to.exists() {
            return Ok(got);
        }
        if fs::hard_link(path, &to).is_err() {
            let partial = self.incoming.join(got.to_string());
            fs::copy(path, &partial).map_err(at(path))?;
            self.publish(&partial, &got)?;
        }
        Ok(got)
    }

    /// Stores bytes that are at hand.
    pub fn put(&self, bytes: &[u8]) -> Result<Hex<32>, StoreError> {
        let sha256 = Hex::sha256(bytes);
        if self.len_bytes(&sha256) != Some(bytes.len() as u64) {
            let partial = self.incoming.join(sha256.to_string());
            fs::write(&partial, bytes).map_err(at(&partial))?;
            self.publish(&partial, &sha256)?;
        }
        Ok(sha256)
    }

    /// Receives an object of a known digest and length; durable when this returns.
    pub async fn receive<R: AsyncRead + Unpin>(
        &self,
        mut from: R,
        sha256: &Hex<32>,
        len_bytes: u64,
        max_bytes: u64,
    ) -> Result<(), StoreError> {
        if len_bytes > max_bytes {
            return Err(StoreError::TooLarge { expected: max_bytes, got: len_bytes });
        }
        let partial = tempname(&self.incoming, sha256);
        let received = self.receive_to(&partial, &mut from, sha256, len_bytes).await;
        if received.is_err() {
            // Nothing refers to it.
            let _ = fs::remove_file(&partial);
        }
        received
    }

    async fn receive_to<R: AsyncRead + Unpin>(
        &self,
        partial: &Path,
        from: &mut R,
        sha256: &Hex<32>,
        len_bytes: u64,
    ) -> Result<(), StoreError> {
        let mut file = File::create_new(partial).map_err(at(partial))?;
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut from = from.take(len_bytes);
        let mut got = 0;
        loop {
            match from.read(&mut buffer).await.map_err(at(partial))? {
                0 => break,
                n => {
                    hash.update(&buffer[..n]);
                    file.write_all(&buffer[..n]).map_err(at(partial))?;
                    got += n as u64;
                }
            }
        }
        if got != len_bytes {
            return Err(StoreError::Length { expected: len_bytes, got });
        }
        let digest = finish(hash);
        if digest != *sha256 {
            return Err(StoreError::Received { expected: *sha256, got: digest });
        }
        self.publish(partial, sha256)
    }

    /// Durable content first, then the name, then the directory.
    fn publish(&self, partial: &Path, sha256: &Hex<32>) -> Result<(), StoreError> {
        let to = self.path(sha256);
        File::open(partial)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(partial, &to))
            .and_then(|()| File::open(&self.objects)?.sync_all())
            .map_err(at(&to))
    }
}

/// SHA-256 of a file.
pub fn digest_of(path: &Path) -> Result<Hex<32>, StoreError> {
    let mut file = File::open(path).map_err(at(path))?;
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer).map_err(at(path))? {
            0 => return Ok(finish(hash)),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn finish(hash: digest::Context) -> Hex<32> {
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    Hex(out)
}

/// Two guests may hand over equal objects at once.
fn tempname(incoming: &Path, sha256: &Hex<32>) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    incoming.join(format!("{sha256}.{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn at(path: &Path) -> impl Fn(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path: path.clone(), source }
}
