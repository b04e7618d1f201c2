//! A directory in the shape of configfs-tsm, served to one guest without a kernel.
//!
//! The guest makes a directory under `report/`, writes 64 bytes to `inblob` and reads `outblob` and
//! `auxblob`, as with the kernel's interface. `generation`, `inblob`, `outblob` and `auxblob` are FIFOs, so
//! that a reader waits for the answer and a count is never older than the write before it. What differs from
//! a kernel: `rmdir` fails while the attributes stand, so the oldest entry ends when a new one needs its place.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, DirEntryExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::mkfifoat;
use tiltyard_attestation::Hex;

use crate::SimulatedPlatform;

/// Entries of one guest at a time.
pub const ENTRIES_MAX: usize = 16;
/// REPORT_DATA.
const INBLOB_BYTES: usize = 64;
/// Unread input that is kept before it is refused.
const PENDING_MAX_BYTES: usize = 16 * INBLOB_BYTES;
/// Pause between looks while a guest is asking, and how long after its last step it counts as asking.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
const BUSY_FOR: Duration = Duration::from_secs(2);
/// Pause between looks otherwise.
const IDLE_PAUSE: Duration = Duration::from_millis(20);

/// Attributes that a reader waits for.
const ANSWERS: [Attribute; 3] = [Attribute::Generation, Attribute::Outblob, Attribute::Auxblob];

/// Why a tree could not be served.
#[derive(Debug, thiserror::Error)]
#[error("report interface {path}: {source}")]
pub struct TsmError {
    path: PathBuf,
    source: io::Error,
}

/// What the launcher fixed for one guest; the guest can't choose it.
#[derive(Debug, Clone, Copy)]
pub struct GuestIdentity {
    pub measurement: Hex<48>,
    pub host_data: Hex<32>,
    /// Layout of its reports: 2 to 5.
    pub report_version: u32,
}

/// A tree being served; it ends with [`Served::end`] or when dropped.
pub struct Served {
    root: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Serves `tsm_dir/report/` to the guest of `identity` from a thread of its own.
pub fn serve(
    platform: Arc<SimulatedPlatform>,
    identity: GuestIdentity,
    tsm_dir: &Path,
) -> Result<Served, TsmError> {
    let root = tsm_dir.join("report");
    let made = DirBuilder::new().mode(0o700).recursive(true).create(&root);
    made.map_err(|source| TsmError { path: root.clone(), source })?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tree = Tree { root: root.clone(), platform, identity, entries: VecDeque::new() };
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || tree.run(&stopped));
    Ok(Served { root, stop, thread: Some(thread) })
}

impl Served {
    /// Stops serving and removes the entries.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already; the tree goes away either way.
            let _ = thread.join();
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

struct Tree {
    root: PathBuf,
    platform: Arc<SimulatedPlatform>,
    identity: GuestIdentity,
    /// Oldest first.
    entries: VecDeque<Entry>,
}

impl Tree {
    fn run(&mut self, stop: &AtomicBool) {
        let mut last_step = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            match self.look() {
                Ok(Look::Stepped) => last_step = Instant::now(),
                Ok(Look::Nothing) => {}
                // Without its root there is nobody left to serve.
                Err(error) => return eprintln!("tiltyard-simulator: {}: {error}", self.root.display()),
            }
            let asking = last_step.elapsed() < BUSY_FOR;
            std::thread::sleep(if asking { BUSY_PAUSE } else { IDLE_PAUSE });
        }
    }

    fn look(&mut self) -> io::Result<Look> {
        let mut look = self.refresh()?;
        for entry in &mut self.entries {
            let State::Served(service) = &mut entry.state else { continue };
            match service.step(&self.platform, &self.identity) {
                Ok(Look::Stepped) => look = Look::Stepped,
                Ok(Look::Nothing) => {}
                Err(error) => entry.refuse(&error),
            }
        }
        Ok(look)
    }

    /// Takes up new directories and lets go of removed ones.
    fn refresh(&mut self) -> io::Result<Look> {
        let mut found = Vec::new();
        for item in fs::read_dir(&self.root)? {
            let item = item?;
            if item.file_type()?.is_dir() {
                found.push((item.file_name(), item.ino()));
            }
        }
        self.entries.retain(|entry| found.iter().any(|(name, inode)| entry.is(name, *inode)));
        found.retain(|(name, inode)| !self.entries.iter().any(|entry| entry.is(name, *inode)));
        let look = if found.is_empty() { Look::Nothing } else { Look::Stepped };
        for (name, inode) in found {
            if self.entries.len() == ENTRIES_MAX
                && let Some(oldest) = self.entries.pop_front()
            {
                fs::remove_dir_all(self.root.join(&oldest.name))?;
            }
            let mut entry = Entry { name, inode, state: State::Refused };
            match Service::create(&self.root, &entry.name) {
                Ok(service) => entry.state = State::Served(service),
                Err(error) => entry.refuse(&error),
            }
            self.entries.push_back(entry);
        }
        Ok(look)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Stepped,
    Nothing,
}

/// One directory that the guest made.
struct Entry {
    name: OsString,
    inode: u64,
    state: State,
}

enum State {
    Served(Service),
    /// Its attributes are no longer ours; the others are served on.
    Refused,
}

impl Entry {
    fn is(&self, name: &OsString, inode: u64) -> bool {
        self.name == *name && self.inode == inode
    }

    fn refuse(&mut self, error: &io::Error) {
        // A guest that removes its entry does nothing wrong.
        if error.kind() != ErrorKind::NotFound {
            eprintln!("tiltyard-simulator: entry {:?} is refused: {error}", self.name);
        }
        self.state = State::Refused;
    }
}

/// The attributes of one entry and what was asked through them.
struct Service {
    /// All names are resolved under this descriptor, so that a guest can't redirect them.
    folder: OwnedFd,
    inblob: File,
    pending: Vec<u8>,
    generation: u64,
    report: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Generation,
    Outblob,
    Auxblob,
}

impl Attribute {
    fn name(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::Outblob => "outblob",
            Self::Auxblob => "auxblob",
        }
    }
}

impl Service {
    /// Makes the attributes; `provider` comes last, as a guest waits for it.
    fn create(root: &Path, name: &OsString) -> io::Result<Self> {
        let directory = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = nix::fcntl::open(&root.join(name), directory, Mode::empty())?;
        mkfifoat(&folder, "inblob", private())?;
        for attribute in ANSWERS {
            mkfifoat(&folder, attribute.name(), private())?;
        }
        let inblob = open_fifo(&folder, "inblob", OFlag::O_RDONLY)?;
        let write_new = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mut provider = File::from(openat(&folder, ".provider", write_new, private())?);
        provider.write_all(b"sev_guest\n")?;
        renameat(&folder, ".provider", &folder, "provider")?;
        Ok(Self { folder, inblob, pending: Vec::new(), generation: 0, report: None })
    }

    /// Takes what was written and answers each reader that waits.
    fn step(&mut self, platform: &SimulatedPlatform, identity: &GuestIdentity) -> io::Result<Look> {
        let mut look = self.take_input(platform, identity)?;
        for attribute in ANSWERS {
            let waiting = match open_fifo(&self.folder, attribute.name(), OFlag::O_WRONLY) {
                Ok(waiting) => waiting,
                // Nobody has it open for reading.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => continue,
                Err(error) => return Err(error),
            };
            // The next reader gets a pipe of its own: on this one it would read the rest of the old answer.
            mkfifoat(&self.folder, ".next", private())?;
            renameat(&self.folder, ".next", &self.folder, attribute.name())?;
            // A write that was finished before the read began is in the answer.
            self.take_input(platform, identity)?;
            self.answer(attribute, platform, waiting)?;
            look = Look::Stepped;
        }
        Ok(look)
    }

    /// Reads `inblob` until its writer has closed it; each 64 bytes are one question.
    fn take_input(&mut self, platform: &SimulatedPlatform, identity: &GuestIdentity) -> io::Result<Look> {
        let mut look = Look::Nothing;
        let mut chunk = [0; PENDING_MAX_BYTES];
        loop {
            match self.inblob.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => {
                    self.pending.extend_from_slice(&chunk[..len]);
                    // Longer input is no question; one byte beyond the limit keeps it refused.
                    self.pending.truncate(PENDING_MAX_BYTES + 1);
                    look = Look::Stepped;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(look),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.pending.is_empty() {
            return Ok(look);
        }
        let asked = std::mem::take(&mut self.pending);
        self.generation += asked.len().div_ceil(INBLOB_BYTES) as u64;
        self.report = match asked.last_chunk::<INBLOB_BYTES>() {
            Some(report_data) if asked.len().is_multiple_of(INBLOB_BYTES) => {
                let mut fields = platform.fields(identity.report_version);
                fields.measurement = identity.measurement.0;
                fields.host_data = identity.host_data.0;
                fields.report_data = *report_data;
                Some(platform.report(&fields))
            }
            _ => None,
        };
        Ok(Look::Stepped)
    }

    /// A question that was not asked, or not in 64 bytes, has an empty answer.
    fn answer(&self, attribute: Attribute, platform: &SimulatedPlatform, mut reader: File) -> io::Result<()> {
        let written = match (attribute, &self.report) {
            (Attribute::Generation, _) => reader.write_all(format!("{}\n", self.generation).as_bytes()),
            (Attribute::Outblob, Some(report)) => reader.write_all(report),
            (Attribute::Auxblob, Some(_)) => reader.write_all(&platform.certificate_table()),
            (Attribute::Outblob | Attribute::Auxblob, None) => Ok(()),
        };
        match written {
            // The reader went away; that is its own affair.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// Opens an attribute without waiting for its other end, and only if it is a FIFO.
fn open_fifo(folder: &OwnedFd, name: &str, access: OFlag) -> io::Result<File> {
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    if file.metadata()?.file_type().is_fifo() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidData, "expected a FIFO, found another file"))
}

fn private() -> Mode {
    Mode::S_IRUSR | Mode::S_IWUSR
}
