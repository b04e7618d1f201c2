//! The journal: every row is committed before the effect it announces, and completed after (HOST 6).

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, OptionalExtension, params};
use tiltyard_attestation::{Hex, Role};

/// Orders that wait, at most.
pub const QUEUE_MAX: u32 = 1024;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS guest(
    lease TEXT PRIMARY KEY, role TEXT NOT NULL, order_digest TEXT, state TEXT NOT NULL, plan_digest TEXT NOT NULL,
    pid INTEGER, start_ticks INTEGER, boot_id TEXT, planned_at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS guest_event(
    id INTEGER PRIMARY KEY, lease TEXT NOT NULL REFERENCES guest(lease), at INTEGER NOT NULL, what TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS order_queue(
    digest TEXT PRIMARY KEY, task TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL,
    code TEXT, result BLOB, taken_at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS fact(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
";

/// The agent's own durable memory. One writer at a time.
#[derive(Debug)]
pub struct Journal {
    db: Mutex<Connection>,
    path: PathBuf,
}

/// Held while an agent runs on a state directory.
#[derive(Debug)]
pub struct StateLock(#[allow(dead_code, reason = "held, not read")] Flock<File>);

/// Where a guest stands; each state only follows the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestPhase {
    Planned,
    Spawned,
    Ready,
    Leased,
    Running,
    Stopped,
    Cleaned,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderPhase {
    Queued,
    Running,
    /// The sealed report is in the journal.
    Reported,
    /// The referee has the outcome.
    Delivered,
    Lost,
}

/// A guest that an earlier run left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftGuest {
    pub lease: String,
    pub order: Option<Hex<32>>,
    pub pid: Option<u32>,
    pub start_ticks: Option<u64>,
    pub boot_id: Option<String>,
}

/// What enqueueing an order came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    New,
    /// It was here already; nothing is done twice.
    Known,
}

/// Why the journal can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    #[error("state directory {path} is in use by process {pid}\n  stop that one first")]
    AlreadyRunning { path: PathBuf, pid: String },
    #[error(
        "journal {path} is damaged: {what}\n  restore it from a backup, or start in an empty state directory"
    )]
    Corrupt { path: PathBuf, what: String },
    #[error("journal {path}: the disk is full\n  free space on it and start again")]
    Full { path: PathBuf },
    #[error("order queue: expected at most {QUEUE_MAX} waiting orders")]
    QueueFull,
    #[error("journal {path}: {source}")]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("state directory {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

impl StateLock {
    /// Takes the state directory for this process; makes it if need be.
    pub fn take(state: &Path) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: state.to_owned(), source };
        fs::create_dir_all(state).map_err(io)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(state.join("lock"))
            .map_err(io)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                let pid = std::process::id().to_string();
                lock.set_len(0)
                    .and_then(|()| lock.rewind())
                    .and_then(|()| lock.write_all(pid.as_bytes()))
                    .map_err(io)?;
                Ok(Self(lock))
            }
            Err((mut file, _)) => {
                let mut pid = String::new();
                let _ = Read::by_ref(&mut file).take(16).read_to_string(&mut pid);
                Err(JournalError::AlreadyRunning { path: state.to_owned(), pid })
            }
        }
    }
}

impl Journal {
    /// Opens or makes the journal, and checks it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let opened = Connection::open(path).and_then(|db| {
            db.pragma_update(None, "journal_mode", "WAL")?;
            // NORMAL is faster and not durable on power loss.
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "foreign_keys", "ON")?;
            let checked: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
            if checked == "ok" {
                db.execute_batch(SCHEMA)?;
            }
            Ok((db, checked))
        });
        let (db, checked) = opened.map_err(|source| named(path, source))?;
        if checked != "ok" {
            return Err(JournalError::Corrupt { path: path.to_owned(), what: checked });
        }
        Ok(Self { db: Mutex::new(db), path: path.to_owned() })
    }

    /// A guest is about to be started.
    pub fn plan_guest(
        &self,
        lease: &Hex<16>,
        role: Role,
        order: Option<&Hex<32>>,
        plan: &Hex<32>,
        now: u64,
    ) -> Result<(), JournalError> {
        self.run(
            "INSERT INTO guest(lease, role, order_digest, state, plan_digest, planned_at) VALUES (?1,?2,?3,?4,?5,?6)",
            params![
                lease.to_string(),
                format!("{role:?}").to_lowercase(),
                order.map(ToString::to_string),
                GuestPhase::Planned.name(),
                plan.to_string(),
                now as i64
            ],
        )
    }

    /// It was started as this process.
    pub fn guest_spawned(&self, lease: &Hex<16>, pid: u32, start_ticks: u64) -> Result<(), JournalError> {
        self.run(
            "UPDATE guest SET state=?2, pid=?3, start_ticks=?4, boot_id=?5 WHERE lease=?1",
            params![lease.to_string(), GuestPhase::Spawned.name(), pid, start_ticks as i64, boot_id()],
        )
    }

    /// It went on to `phase`; `what` is a stable code or a state's name.
    pub fn guest_phase(
        &self,
        lease: &Hex<16>,
        phase: GuestPhase,
        what: &str,
        now: u64,
    ) -> Result<(), JournalError> {
        let lease = lease.to_string();
        self.run("UPDATE guest SET state=?2 WHERE lease=?1", params![lease, phase.name()])?;
        self.run(
            "INSERT INTO guest_event(lease, at, what) VALUES (?1,?2,?3)",
            params![lease, now as i64, what],
        )
    }

    /// Guests that are not cleaned up: what an earlier run left behind.
    pub fn left_guests(&self) -> Result<Vec<LeftGuest>, JournalError> {
        let db = self.lock();
        let rows = db
            .prepare(
                "SELECT lease, order_digest, pid, start_ticks, boot_id FROM guest WHERE state <> 'cleaned'",
            )
            .and_then(|mut query| {
                query
                    .query_map([], |row| {
                        Ok(LeftGuest {
                            lease: row.get(0)?,
                            order: row.get::<_, Option<String>>(1)?.and_then(|hex| hex.parse().ok()),
                            pid: row.get(2)?,
                            start_ticks: row.get::<_, Option<i64>>(3)?.map(|ticks| ticks as u64),
                            boot_id: row.get(4)?,
                        })
                    })?
                    .collect()
            });
        rows.map_err(|source| named(&self.path, source))
    }

    /// An order came in; it is done once, however often it comes.
    pub fn enqueue(
        &self,
        digest: &Hex<32>,
        task: &str,
        attempt: u32,
        now: u64,
    ) -> Result<Enqueued, JournalError> {
        let waiting: u32 =
            self.ask("SELECT count(*) FROM order_queue WHERE state='queued'", params![])?.unwrap_or(0);
        if waiting >= QUEUE_MAX {
            return Err(JournalError::QueueFull);
        }
        let added = self
            .lock()
            .execute(
                "INSERT INTO order_queue(digest, task, attempt, state, taken_at) VALUES (?1,?2,?3,?4,?5)
                 ON CONFLICT(digest) DO NOTHING",
                params![digest.to_string(), task, attempt, OrderPhase::Queued.name(), now as i64],
            )
            .map_err(|source| named(&self.path, source))?;
        Ok(if added == 1 { Enqueued::New } else { Enqueued::Known })
    }

    /// An order went on to `phase`, with a stable code where there is one.
    pub fn order_phase(
        &self,
        digest: &Hex<32>,
        phase: OrderPhase,
        code: Option<&str>,
    ) -> Result<(), JournalError> {
        self.run(
            "UPDATE order_queue SET state=?2, code=coalesce(?3, code) WHERE digest=?1",
            params![digest.to_string(), phase.name(), code],
        )
    }

    /// Keeps a sealed report, the first one of a running order; a later one changes nothing.
    pub fn keep_report(&self, digest: &Hex<32>, report: &[u8]) -> Result<Enqueued, JournalError> {
        let kept = self
            .lock()
            .execute(
                "UPDATE order_queue SET state=?2, result=?3 WHERE digest=?1 AND state='running'",
                params![digest.to_string(), OrderPhase::Reported.name(), report],
            )
            .map_err(|source| named(&self.path, source))?;
        Ok(if kept == 1 { Enqueued::New } else { Enqueued::Known })
    }

    /// Orders that an earlier run took and didn't finish.
    pub fn open_orders(&self) -> Result<Vec<Hex<32>>, JournalError> {
        let db = self.lock();
        let rows: Result<Vec<String>, _> = db
            .prepare("SELECT digest FROM order_queue WHERE state NOT IN ('delivered','lost') ORDER BY taken_at, digest")
            .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect());
        Ok(rows
            .map_err(|source| named(&self.path, source))?
            .iter()
            .filter_map(|hex| hex.parse().ok())
            .collect())
    }

    /// Writes a fact down once; gives the one that stands.
    pub fn fix_fact(&self, name: &str, value: &str) -> Result<String, JournalError> {
        self.run(
            "INSERT INTO fact(name, value) VALUES (?1,?2) ON CONFLICT(name) DO NOTHING",
            params![name, value],
        )?;
        Ok(self.ask("SELECT value FROM fact WHERE name=?1", params![name])?.unwrap_or_default())
    }

    fn run(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), JournalError> {
        self.lock().execute(sql, values).map(drop).map_err(|source| named(&self.path, source))
    }

    fn ask<T: rusqlite::types::FromSql>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
    ) -> Result<Option<T>, JournalError> {
        self.lock()
            .query_row(sql, values, |row| row.get(0))
            .optional()
            .map_err(|source| named(&self.path, source))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A statement is whole or not at all, whatever became of the thread that ran it.
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GuestPhase {
    fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Spawned => "spawned",
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Cleaned => "cleaned",
        }
    }
}

impl OrderPhase {
    fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Reported => "reported",
            Self::Delivered => "delivered",
            Self::Lost => "lost",
        }
    }
}

/// This boot of the machine.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// When a process started, in clock ticks since boot; `None` if there is none.
pub fn start_ticks(pid: u32) -> Option<u64> {
    parse_start_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of proc_pid_stat(5). Field 2 may hold blanks and brackets: counted from the last `)`.
fn parse_start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn named(path: &Path, source: rusqlite::Error) -> JournalError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            JournalError::Corrupt { path, what: source.to_string() }
        }
        _ if is_full(&source) => JournalError::Full { path },
        _ => JournalError::Sqlite { path, source },
    }
}

/// The WAL's index is often the first file that no longer fits; SQLite has a code of its own for that.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        || error
            .sqlite_error()
            .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_ticks_stand_after_the_last_bracket() {
        let stat = "7 (a ) S 1 (x) R 1 1 1 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 987654 1000 10";
        assert_eq!(parse_start_ticks(stat), Some(987_654));
        assert_eq!(parse_start_ticks("7 nonsense"), None);
        assert!(start_ticks(std::process::id()).is_some());
    }
}
