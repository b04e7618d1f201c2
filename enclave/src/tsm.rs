//! The platform's report interface: the kernel's configfs-tsm (ATTESTATION 10).
//!
//! A report is asked for by making a directory, writing 64 bytes to `inblob` and reading `outblob`.
//! `generation` counts writes: if it moved between write and read, somebody else wrote and the report is not ours.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tiltyard_attestation::Hex;

/// Where the image maps the interface.
pub(crate) const TSM_ROOT: &str = "/tsm/report";

const REPORT_BYTES: usize = 1184;
const BLOB_MAX_BYTES: u64 = 64 * 1024;
const RACE_RETRIES: u32 = 3;
const APPEAR_POLL: Duration = Duration::from_millis(2);
const APPEAR_POLLS: u32 = 1000;

/// Why no report was had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    #[error("{step}: {source}")]
    Io { step: &'static str, source: io::Error },
    #[error("expected provider sev_guest, found another")]
    Provider,
    #[error("another writer used the entry {RACE_RETRIES} times in a row")]
    Raced,
    #[error("report: expected {REPORT_BYTES} bytes, found {got}")]
    Length { got: usize },
    #[error("certificate table: {0}")]
    Certificates(&'static str),
}

/// A platform report with the certificates that the platform handed over beside it.
pub(crate) struct Collected {
    pub(crate) report: Vec<u8>,
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// The report interface under one root folder.
#[derive(Clone)]
pub(crate) struct Tsm {
    root: PathBuf,
}

impl Tsm {
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Asks for a report over `report_data`. `entry` names the directory; it must not be in use.
    pub(crate) fn collect(&self, entry: &str, report_data: &Hex<64>) -> Result<Collected, CollectError> {
        let folder = self.root.join(entry);
        fs::create_dir(&folder).map_err(io_error("create an entry"))?;
        let collected = collect_in(&folder, report_data);
        // A kernel entry goes away with its directory; a leftover would only block that name.
        let _ = fs::remove_dir(&folder);
        collected
    }
}

/// HOST_DATA of an SNP report: what the hypervisor bound at launch.
pub(crate) fn host_data(report: &[u8]) -> Option<Hex<32>> {
    report.get(0xC0..0xE0).and_then(Hex::from_slice)
}

fn collect_in(folder: &Path, report_data: &Hex<64>) -> Result<Collected, CollectError> {
    wait_for(&folder.join("provider"))?;
    if read_text(&folder.join("provider"), "read provider")?.trim_end() != "sev_guest" {
        return Err(CollectError::Provider);
    }
    for _ in 0..RACE_RETRIES {
        let before = generation(folder)?;
        fs::OpenOptions::new()
            .write(true)
            .open(folder.join("inblob"))
            .and_then(|mut file| file.write_all(report_data.bytes()))
            .map_err(io_error("write inblob"))?;
        let report = read_blob(&folder.join("outblob"), "read outblob")?;
        let table = read_blob(&folder.join("auxblob"), "read auxblob")?;
        if generation(folder)? != before + 1 {
            continue;
        }
        if report.len() != REPORT_BYTES {
            return Err(CollectError::Length { got: report.len() });
        }
        return Ok(Collected { report, certificates: certificate_table(&table)? });
    }
    Err(CollectError::Raced)
}

/// A kernel makes the attributes with the directory; a served interface needs a moment.
fn wait_for(path: &Path) -> Result<(), CollectError> {
    for _ in 0..APPEAR_POLLS {
        if path.exists() {
            return Ok(());
        }
        thread::sleep(APPEAR_POLL);
    }
    Err(io_error("wait for provider")(io::ErrorKind::TimedOut.into()))
}

fn generation(folder: &Path) -> Result<u64, CollectError> {
    read_text(&folder.join("generation"), "read generation")?
        .trim_end()
        .parse()
        .map_err(|_| io_error("read generation")(io::ErrorKind::InvalidData.into()))
}

fn read_text(path: &Path, step: &'static str) -> Result<String, CollectError> {
    String::from_utf8(read_blob(path, step)?).map_err(|_| io_error(step)(io::ErrorKind::InvalidData.into()))
}

fn read_blob(path: &Path, step: &'static str) -> Result<Vec<u8>, CollectError> {
    let mut blob = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(BLOB_MAX_BYTES).read_to_end(&mut blob))
        .map_err(io_error(step))?;
    Ok(blob)
}

fn io_error(step: &'static str) -> impl Fn(io::Error) -> CollectError {
    move |source| CollectError::Io { step, source }
}

/// GHCB specification, "Extended guest request": entries of GUID 16, offset u32, length u32 (little endian), a
/// zero GUID ends the table; offsets count from its start.
fn certificate_table(table: &[u8]) -> Result<Vec<Vec<u8>>, CollectError> {
    let mut certificates = Vec::new();
    for entry in table.chunks_exact(24) {
        if entry[..16].iter().all(|&byte| byte == 0) {
            return Ok(certificates);
        }
        let word =
            |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]) as usize;
        let (offset, len) = (word(16), word(20));
        let certificate = offset
            .checked_add(len)
            .and_then(|end| table.get(offset..end))
            .ok_or(CollectError::Certificates("an entry reaches beyond the table"))?;
        certificates.push(certificate.to_vec());
    }
    if table.is_empty() { Ok(certificates) } else { Err(CollectError::Certificates("no end entry")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_table_ends_inside_itself() {
        let mut table = vec![1; 16];
        table.extend_from_slice(&48u32.to_le_bytes());
        table.extend_from_slice(&3u32.to_le_bytes());
        table.extend_from_slice(&[0; 24]);
        table.extend_from_slice(b"abc");
        assert_eq!(certificate_table(&table).expect("table"), [b"abc".to_vec()]);
        table.pop();
        assert!(matches!(certificate_table(&table), Err(CollectError::Certificates(_))));
        assert!(matches!(certificate_table(&[1; 24]), Err(CollectError::Certificates(_))));
    }
}
