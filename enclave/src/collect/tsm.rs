//! The kernel's configfs-tsm: one report interface for SEV-SNP and TDX guests (ATTESTATION 10).
//!
//! A report is asked for by making a directory, writing 64 bytes to `inblob` and reading `outblob`.
//! `generation` counts the writes to a directory: after ours it must be one. If it is not, somebody else wrote
//! and the report is not ours; then everything is done again in a new directory.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tiltyard_attestation::Hex;

use super::{CollectError, file};

/// Largest blob that the kernel hands out through this interface, in bytes.
pub(super) const BLOB_MAX_BYTES: usize = 32 * 1024;
/// How often a raced collection is begun in all.
const TRIES: u32 = 3;
const APPEAR_POLL: Duration = Duration::from_millis(2);
const APPEAR_POLLS: u32 = 1000;

/// Driver behind the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    SevGuest,
    TdxGuest,
}

/// What one question was answered with, untrimmed.
pub(super) struct Answer {
    pub(super) provider: Provider,
    pub(super) outblob: Vec<u8>,
    /// The host's certificate table; only `sev_guest` has one.
    pub(super) auxblob: Vec<u8>,
}

/// The interface under one root folder.
#[derive(Debug, Clone)]
pub(super) struct Tsm {
    root: PathBuf,
}

impl Tsm {
    pub(super) fn at(root: &Path) -> Result<Self, CollectError> {
        file::folder(root, "report interface")?;
        Ok(Self { root: root.to_owned() })
    }

    /// Asks for a report over `report_data`. `name` begins the names of its directories, which must be unused.
    pub(super) fn ask(&self, name: &str, report_data: &Hex<64>) -> Result<Answer, CollectError> {
        let mut tried = 1;
        loop {
            let entry = Entry::make(self.root.join(format!("{name}-{tried}")))?;
            match entry.ask(report_data) {
                Err(CollectError::Raced { .. }) if tried < TRIES => tried += 1,
                other => return other,
            }
        }
    }
}

/// One directory of ours.
struct Entry {
    folder: PathBuf,
}

impl Drop for Entry {
    fn drop(&mut self) {
        // A kernel's entry goes away with its directory; a leftover would only block that name.
        let _ = fs::remove_dir(&self.folder);
    }
}

impl Entry {
    fn make(folder: PathBuf) -> Result<Self, CollectError> {
        fs::create_dir(&folder).map_err(CollectError::io("make an entry"))?;
        Ok(Self { folder })
    }

    fn ask(&self, report_data: &Hex<64>) -> Result<Answer, CollectError> {
        self.wait_for("provider")?;
        file::folder(&self.folder, "entry")?;
        let provider = match file::read_line(&self.folder.join("provider"), "provider")?.as_str() {
            "sev_guest" => Provider::SevGuest,
            "tdx_guest" => Provider::TdxGuest,
            _ => return Err(CollectError::Provider),
        };
        self.own_writes(0)?;
        file::open(&self.folder.join("inblob"), "inblob", OpenOptions::new().write(true))?
            .write_all(report_data.bytes())
            .map_err(CollectError::io("inblob"))?;
        let outblob = file::read(&self.folder.join("outblob"), "outblob", BLOB_MAX_BYTES)?;
        let auxblob = match provider {
            Provider::SevGuest => file::read(&self.folder.join("auxblob"), "auxblob", BLOB_MAX_BYTES)?,
            // Kernels do not show the attribute where its driver fills none.
            Provider::TdxGuest => Vec::new(),
        };
        self.own_writes(1)?;
        Ok(Answer { provider, outblob, auxblob })
    }

    /// A kernel makes the attributes with the directory; a served interface needs a moment.
    fn wait_for(&self, attribute: &str) -> Result<(), CollectError> {
        let path = self.folder.join(attribute);
        for _ in 0..APPEAR_POLLS {
            if file::present(&path) {
                return Ok(());
            }
            thread::sleep(APPEAR_POLL);
        }
        Err(CollectError::io("wait for provider")(io::ErrorKind::TimedOut.into()))
    }

    fn own_writes(&self, expected: u64) -> Result<(), CollectError> {
        let line = file::read_line(&self.folder.join("generation"), "generation")?;
        let got = Some(&line)
            .filter(|line| line.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|line| line.parse().ok())
            .ok_or(CollectError::Format { what: "generation", expected: "a number" })?;
        if got == expected { Ok(()) } else { Err(CollectError::Raced { expected, got }) }
    }
}
