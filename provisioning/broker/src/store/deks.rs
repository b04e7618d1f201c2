//! Wrapped data keys, and how often and in which version each was released.

use rusqlite::{Connection, OptionalExtension as _, params};
use tiltyard_attestation::Hex;
use tiltyard_provisioning::keyid::KeyId;

use super::{StoreError, int, uint};

/// A wrapped key with its version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrapped {
    pub version: u64,
    pub bytes: Vec<u8>,
}

/// Keeps a wrapped key; a key id and version are used once.
pub(crate) fn add(
    connection: &Connection,
    key_id: &KeyId,
    wrapped: &Wrapped,
    source: Option<&Hex<32>>,
    now: u64,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO deks(key_id, version, wrapped, source, added_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![key_id.to_string(), int(wrapped.version), wrapped.bytes, source.map(|hex| hex.0), int(now)],
    )?;
    Ok(())
}

/// The newest version of a key.
pub(crate) fn newest(connection: &Connection, key_id: &KeyId) -> Result<Option<Wrapped>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT version, wrapped FROM deks WHERE key_id = ?1 ORDER BY version DESC LIMIT 1",
    )?;
    Ok(query.query_row([key_id.to_string()], read).optional()?)
}

/// The key of the dataset version whose manifest is `source`.
pub(crate) fn of_source(
    connection: &Connection,
    key_id: &KeyId,
    source: &Hex<32>,
) -> Result<Option<Wrapped>, StoreError> {
    let mut query =
        connection.prepare_cached("SELECT version, wrapped FROM deks WHERE key_id = ?1 AND source = ?2")?;
    Ok(query.query_row(params![key_id.to_string(), source.0], read).optional()?)
}

/// The manifest digest and version of a dataset's newest version.
pub(crate) fn newest_source(
    connection: &Connection,
    key_id: &KeyId,
) -> Result<Option<(u64, Hex<32>)>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT version, source FROM deks WHERE key_id = ?1 AND source IS NOT NULL ORDER BY version DESC LIMIT 1",
    )?;
    Ok(query
        .query_row([key_id.to_string()], |row| Ok((uint(row.get(0)?), Hex(row.get::<_, [u8; 32]>(1)?))))
        .optional()?)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Wrapped> {
    Ok(Wrapped { version: uint(row.get(0)?), bytes: row.get(1)? })
}

/// Leases other than `lease` that were given this key under this charter.
pub(crate) fn released_to_others(
    connection: &Connection,
    charter: &Hex<32>,
    key_id: &KeyId,
    lease: &Hex<16>,
) -> Result<u64, StoreError> {
    connection
        .prepare_cached("SELECT count(*) FROM releases WHERE charter = ?1 AND key_id = ?2 AND lease <> ?3")?
        .query_row(params![charter.0, key_id.to_string(), lease.0], |row| row.get(0))
        .map(uint)
        .map_err(Into::into)
}

/// Highest version of a key that was ever released; 0 when none was.
pub(crate) fn high_water(connection: &Connection, key_id: &KeyId) -> Result<u64, StoreError> {
    connection
        .prepare_cached("SELECT coalesce(max(version), 0) FROM releases WHERE key_id = ?1")?
        .query_row([key_id.to_string()], |row| row.get(0))
        .map(uint)
        .map_err(Into::into)
}

/// Counts a release to a lease.
pub(crate) fn count_release(
    connection: &Connection,
    charter: &Hex<32>,
    key_id: &KeyId,
    lease: &Hex<16>,
    version: u64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO releases(charter, key_id, lease, version) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET version = max(version, ?4)",
        )?
        .execute(params![charter.0, key_id.to_string(), lease.0, int(version)])?;
    Ok(())
}
