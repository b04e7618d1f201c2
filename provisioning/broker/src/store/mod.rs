//! Everything that a broker remembers: one SQLite file (PROVISIONING 5, 6).
//!
//! Write-ahead log with `synchronous=FULL`: what a transaction committed survives a power cut. Keys stand
//! here wrapped only. Every function takes a connection, so that a caller can join several into one
//! transaction.

pub(crate) mod deks;
pub(crate) mod devices;
pub(crate) mod leases;
pub(crate) mod ledger;
pub(crate) mod nonces;
pub(crate) mod roll;
mod schema;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};
use tiltyard_attestation::Role;

/// How long a command waits for another process that writes to the same store.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// An open store.
pub struct Store {
    connection: Connection,
}

/// Why the store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("expected a store of version {expected}, found {got}\n  use the release that wrote it")]
    Version { expected: i64, got: i64 },
    #[error("{what} in the store is damaged\n  restore it from a copy")]
    Damaged { what: &'static str },
}

impl Store {
    /// Makes a new, empty store at `path`.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let store = Self::connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
        store.connection.execute_batch(schema::SCHEMA)?;
        store.connection.pragma_update(None, "user_version", schema::VERSION)?;
        Ok(store)
    }

    /// Opens the store at `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let store = Self::connect(path, OpenFlags::empty())?;
        let got: i64 = store.connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if got != schema::VERSION {
            return Err(StoreError::Version { expected: schema::VERSION, got });
        }
        Ok(store)
    }

    fn connect(path: &Path, more: OpenFlags) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        Ok(Self { connection })
    }

    /// For reading.
    pub(crate) fn read(&self) -> &Connection {
        &self.connection
    }

    /// Runs `act` in one write transaction: all of it is durable when this returns `Ok`, none of it otherwise.
    pub(crate) fn write<T, E: From<StoreError>>(
        &mut self,
        act: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| E::from(error.into()))?;
        let out = act(&transaction)?;
        transaction.commit().map_err(|error| E::from(error.into()))?;
        Ok(out)
    }
}

/// Name of the fact that holds the tenant of the served charters.
pub(crate) const TENANT: &str = "tenant";

/// One named value of the home itself.
pub(crate) fn fact(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut query = connection.prepare_cached("SELECT value FROM facts WHERE name = ?1")?;
    Ok(query.query_row([name], |row| row.get(0)).optional()?)
}

/// Writes one named value.
pub(crate) fn set_fact(connection: &Connection, name: &str, value: &[u8]) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO facts(name, value) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2",
        )?
        .execute(params![name, value])?;
    Ok(())
}

/// Name of the fact that holds the highest evaluation number of Intel's collateral that was ever accepted.
const TCB_EVALUATION: &str = "tcb_evaluation";

/// That number; 0 before any.
pub(crate) fn tcb_evaluation(connection: &Connection) -> Result<u32, StoreError> {
    let damaged = || StoreError::Damaged { what: "the evaluation number" };
    match fact(connection, TCB_EVALUATION)? {
        None => Ok(0),
        Some(bytes) => Ok(u32::from_be_bytes(bytes.try_into().map_err(|_| damaged())?)),
    }
}

/// Remembers `number` if it is higher.
pub(crate) fn accept_tcb_evaluation(connection: &Connection, number: u32) -> Result<(), StoreError> {
    if number > tcb_evaluation(connection)? {
        set_fact(connection, TCB_EVALUATION, &number.to_be_bytes())?;
    }
    Ok(())
}

/// A wrapped private key of the home itself.
pub(crate) fn secret(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut query = connection.prepare_cached("SELECT wrapped FROM secrets WHERE name = ?1")?;
    Ok(query.query_row([name], |row| row.get(0)).optional()?)
}

/// Keeps a wrapped private key; a name is used once.
pub(crate) fn add_secret(connection: &Connection, name: &str, wrapped: &[u8]) -> Result<(), StoreError> {
    connection.execute("INSERT INTO secrets(name, wrapped) VALUES (?1, ?2)", params![name, wrapped])?;
    Ok(())
}

/// The broker's time: `now`, or the last time that it gave out if the clock has gone back since.
pub(crate) fn tick(connection: &Connection, now: u64) -> Result<u64, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO clock(id, last) VALUES (0, ?1)
             ON CONFLICT(id) DO UPDATE SET last = max(last, ?1) RETURNING last",
        )?
        .query_row([int(now)], |row| row.get(0))
        .map(uint)
        .map_err(Into::into)
}

pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Referee => "referee",
        Role::Trainer => "trainer",
        Role::Evaluator => "evaluator",
    }
}

pub(crate) fn role_of(name: &str) -> Result<Role, StoreError> {
    match name {
        "referee" => Ok(Role::Referee),
        "trainer" => Ok(Role::Trainer),
        "evaluator" => Ok(Role::Evaluator),
        _ => Err(StoreError::Damaged { what: "a role" }),
    }
}

/// SQLite integers are signed; times and counts never come near the border.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// See [`int`].
pub(crate) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_over_a_restart_either() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut store = Store::create(&path).unwrap();
        let tick_at = |store: &mut Store, now| store.write::<_, StoreError>(|c| tick(c, now)).unwrap();
        assert_eq!(tick_at(&mut store, 100), 100);
        assert_eq!(tick_at(&mut store, 90), 100);
        drop(store);
        let mut store = Store::open(&path).unwrap();
        assert_eq!(tick_at(&mut store, 95), 100);
        assert_eq!(tick_at(&mut store, 101), 101);
    }

    #[test]
    fn the_store_is_durable_by_its_settings() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("store")).unwrap();
        let pragma = |name: &str| {
            store
                .read()
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), rusqlite::types::Value::Text("wal".into()));
        assert_eq!(pragma("synchronous"), rusqlite::types::Value::Integer(2));
    }

    #[test]
    fn a_store_of_another_version_and_a_file_that_is_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = Store::create(&path).unwrap();
        store.read().pragma_update(None, "user_version", 99).unwrap();
        drop(store);
        assert!(matches!(Store::open(&path), Err(StoreError::Version { got: 99, .. })));
        assert!(Store::open(&folder.path().join("absent")).is_err());
        std::fs::write(&path, b"not a database, though long enough to hold a header of one, so it seems")
            .unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Sqlite(_))));
    }

    #[test]
    fn a_failed_step_undoes_the_steps_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::create(&folder.path().join("store")).unwrap();
        let outcome = store.write(|connection| {
            set_fact(connection, "kept", b"no")?;
            Err::<(), _>(StoreError::Damaged { what: "nothing" })
        });
        assert!(outcome.is_err());
        assert_eq!(fact(store.read(), "kept").unwrap(), None);
    }
}
