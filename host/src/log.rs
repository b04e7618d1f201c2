//! The referee's log as this host keeps it: leaves first, durable, then the checkpoint over them.
//!
//! `documents/` holds the signed documents that the leaves refer to, each written whole before them.
//! `leaves` is append-only, each leaf behind its u32be length; `checkpoint` is replaced by rename. A crash
//! between the two leaves leaves without a checkpoint, which are cut off at the next start.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tiltyard_attestation::Base64Bytes;
use tiltyard_provisioning::channel::{Document, LogAppend, StoredLog};

/// Largest leaf, in bytes.
pub const LEAF_MAX_BYTES: usize = 1024 * 1024;
/// Leaves of one log, at most.
pub const LEAVES_MAX: u64 = 1 << 20;
/// Largest document, in bytes.
pub const DOCUMENT_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Documents of one log, at most.
pub const DOCUMENTS_MAX: u64 = 100_000;
/// Longest name of a document, in bytes.
pub const DOCUMENT_NAME_MAX_BYTES: usize = 100;
/// Largest checkpoint, in bytes.
pub const CHECKPOINT_MAX_BYTES: usize = 16 * 1024;

/// One tournament's log on disk.
#[derive(Debug)]
pub struct LogStore {
    dir: PathBuf,
    leaves: Vec<Base64Bytes>,
    /// Bytes of the `leaves` file that the checkpoint covers.
    used: u64,
    checkpoint: String,
    documents: BTreeMap<String, Base64Bytes>,
}

/// Why an append was refused, or the log can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    #[error("log: expected leaves from {expected}, found {got}")]
    Order { expected: u64, got: u64 },
    #[error("log: leaf {index} is already here with another content")]
    Rewritten { index: u64 },
    #[error("log: expected a checkpoint over {expected} leaves, found one over {got}")]
    Size { expected: u64, got: String },
    #[error("log: expected at most {expected} {what}, found {got}")]
    TooLarge { what: &'static str, expected: u64, got: u64 },
    #[error(
        "log: a document's name: expected at most {DOCUMENT_NAME_MAX_BYTES} of a-z, 0-9, '.', '-', '_', '/', no part empty or with a leading dot"
    )]
    Name,
    #[error(
        "log {path}: the file is damaged\n  restore it from a backup, or move the directory away to start a new tournament"
    )]
    Damaged { path: PathBuf },
    #[error("log {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl LogError {
    /// The stable code for an [`tiltyard_provisioning::channel::Ack`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::Order { .. } => "E_LOG_ORDER",
            Self::Rewritten { .. } => "E_LOG_REWRITTEN",
            Self::Size { .. } => "E_LOG_SIZE",
            Self::TooLarge { .. } => "E_TOO_LARGE",
            Self::Name => "E_LOG_NAME",
            Self::Damaged { .. } | Self::Io { .. } => "E_LOG_IO",
        }
    }
}

impl LogStore {
    /// Opens or makes the log in `dir`.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let checkpoint = read_if_there(&dir.join("checkpoint"))?;
        let checkpoint =
            String::from_utf8(checkpoint).map_err(|_| LogError::Damaged { path: dir.join("checkpoint") })?;
        let size = if checkpoint.is_empty() { 0 } else { size_of(&checkpoint)? };
        let path = dir.join("leaves");
        let bytes = read_if_there(&path)?;
        let (leaves, used) = read_leaves(&bytes, size).ok_or(LogError::Damaged { path: path.clone() })?;
        if used < bytes.len() {
            let file = OpenOptions::new().write(true).open(&path).map_err(at(&path))?;
            file.set_len(used as u64).and_then(|()| file.sync_all()).map_err(at(&path))?;
        }
        let documents = read_documents(&dir.join("documents"))?;
        Ok(Self { dir: dir.to_owned(), leaves, used: used as u64, checkpoint, documents })
    }

    /// What a restarted referee is given; `None` when there is no log yet.
    pub fn stored(&self) -> Option<StoredLog> {
        (!self.leaves.is_empty()).then(|| StoredLog {
            leaves: self.leaves.clone(),
            checkpoint: self.checkpoint.clone(),
            documents: self
                .documents
                .iter()
                .map(|(name, bytes)| Document { name: name.clone(), bytes: bytes.clone() })
                .collect(),
        })
    }

    /// Leaves under the checkpoint.
    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Makes an append durable. The same append again changes nothing.
    pub fn append(&mut self, append: &LogAppend) -> Result<(), LogError> {
        let fresh = self.check(append)?;
        for document in &append.documents {
            self.write_document(document)?;
        }
        let path = self.dir.join("leaves");
        let mut framed = Vec::new();
        for leaf in fresh {
            framed.extend_from_slice(&(leaf.0.len() as u32).to_be_bytes());
            framed.extend_from_slice(&leaf.0);
        }
        if !framed.is_empty() {
            let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(at(&path))?;
            // An append that failed half-way may have left bytes behind.
            file.set_len(self.used)
                .and_then(|()| file.write_all(&framed))
                .and_then(|()| file.sync_all())
                .map_err(at(&path))?;
        }
        self.replace_checkpoint(&append.checkpoint)?;
        self.used += framed.len() as u64;
        self.leaves.extend_from_slice(fresh);
        self.checkpoint.clone_from(&append.checkpoint);
        let kept = append.documents.iter().map(|document| (document.name.clone(), document.bytes.clone()));
        self.documents.extend(kept);
        Ok(())
    }

    /// The leaves that are new, once everything about them fits.
    fn check<'a>(&self, append: &'a LogAppend) -> Result<&'a [Base64Bytes], LogError> {
        let limit = |what, expected: u64, got: u64| {
            if got > expected { Err(LogError::TooLarge { what, expected, got }) } else { Ok(()) }
        };
        limit("bytes of checkpoint", CHECKPOINT_MAX_BYTES as u64, append.checkpoint.len() as u64)?;
        for leaf in &append.leaves {
            limit("bytes of leaf", LEAF_MAX_BYTES as u64, leaf.0.len() as u64)?;
        }
        for document in &append.documents {
            limit("bytes of document", DOCUMENT_MAX_BYTES as u64, document.bytes.0.len() as u64)?;
            if !is_name(&document.name) {
                return Err(LogError::Name);
            }
        }
        limit("documents", DOCUMENTS_MAX, (self.documents.len() + append.documents.len()) as u64)?;
        let end = append.first.saturating_add(append.leaves.len() as u64);
        limit("leaves", LEAVES_MAX, end)?;
        if append.first > self.size() {
            return Err(LogError::Order { expected: self.size(), got: append.first });
        }
        if end < self.size() {
            return Err(LogError::Order { expected: self.size(), got: end });
        }
        let said = size_of(&append.checkpoint)?;
        if said != end {
            return Err(LogError::Size { expected: end, got: said.to_string() });
        }
        let known = (self.size() - append.first) as usize;
        let here = &self.leaves[append.first as usize..];
        for (index, (old, new)) in (append.first..).zip(here.iter().zip(&append.leaves)) {
            if old != new {
                return Err(LogError::Rewritten { index });
            }
        }
        Ok(&append.leaves[known..])
    }

    fn write_document(&self, document: &Document) -> Result<(), LogError> {
        let dir = self.dir.join("documents");
        let path = dir.join(&document.name);
        let folder = path.parent().unwrap_or(&dir);
        fs::create_dir_all(folder).map_err(at(folder))?;
        let partial = path.with_extension("new");
        let mut file = File::create(&partial).map_err(at(&partial))?;
        file.write_all(&document.bytes.0)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&partial, &path))
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(at(&path))
    }

    fn replace_checkpoint(&self, checkpoint: &str) -> Result<(), LogError> {
        let (path, partial) = (self.dir.join("checkpoint"), self.dir.join("checkpoint.new"));
        let mut file = File::create(&partial).map_err(at(&partial))?;
        file.write_all(checkpoint.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&partial, &path))
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(at(&path))
    }
}

/// The name comes from a guest and becomes a path: a relative one, of plain parts.
fn is_name(name: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with(".new")
            && part.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
    };
    name.len() <= DOCUMENT_NAME_MAX_BYTES && name.split('/').count() <= 3 && name.split('/').all(plain)
}

/// Every document under `dir`, by its relative path; half-written ones are left out.
fn read_documents(dir: &Path) -> Result<BTreeMap<String, Base64Bytes>, LogError> {
    let mut documents = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(at(&folder))?,
        };
        for entry in entries {
            let path = entry.map_err(at(&folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(name) =
                path.strip_prefix(dir).ok().and_then(Path::to_str).filter(|n| is_name(n))
            {
                documents.insert(name.to_owned(), fs::read(&path).map_err(at(&path))?.into());
            }
        }
    }
    Ok(documents)
}

/// Second line of a checkpoint (C2SP tlog-checkpoint): the tree size in decimal.
fn size_of(checkpoint: &str) -> Result<u64, LogError> {
    let line = checkpoint.lines().nth(1).unwrap_or_default();
    let wrong = || LogError::Size { expected: 0, got: line.chars().take(20).collect() };
    let size: u64 = line.parse().map_err(|_| wrong())?;
    if size.to_string() == line { Ok(size) } else { Err(wrong()) }
}

/// The first `count` leaves and how many bytes they take; `None` if they are not all there.
fn read_leaves(bytes: &[u8], count: u64) -> Option<(Vec<Base64Bytes>, usize)> {
    let (mut leaves, mut used) = (Vec::new(), 0);
    for _ in 0..count {
        let rest = bytes.get(used..)?;
        let len = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        leaves.push(rest.get(4..4 + len)?.to_vec().into());
        used += 4 + len;
    }
    Some((leaves, used))
}

fn read_if_there(path: &Path) -> Result<Vec<u8>, LogError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(at(path)),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io { path: path.clone(), source }
}
