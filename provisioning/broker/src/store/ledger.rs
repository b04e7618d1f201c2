//! Rows of the ledger, of deposits, of charters and of what referees showed of their logs.

use rusqlite::{Connection, OptionalExtension as _, params};
use tiltyard_attestation::Hex;
use tiltyard_provisioning::ledger::MerkleLog;

use super::{StoreError, int, uint};

/// The tree over every leaf that is durable.
pub(crate) fn tree(connection: &Connection) -> Result<MerkleLog, StoreError> {
    let mut query = connection.prepare("SELECT position, leaf FROM leaves ORDER BY position")?;
    let mut tree = MerkleLog::new();
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if uint(row.get(0)?) != tree.size() {
            return Err(StoreError::Damaged { what: "the ledger" });
        }
        tree.append(&row.get::<_, Vec<u8>>(1)?);
    }
    Ok(tree)
}

/// One leaf and what is kept beside it.
pub(crate) struct Entry<'a> {
    pub leaf: &'a [u8],
    pub evidence: &'a [u8],
    pub checkpoint: &'a str,
    pub lease: Hex<16>,
    pub token: Option<&'a str>,
}

/// Appends a leaf at its position; a position is used once.
pub(crate) fn append(connection: &Connection, position: u64, entry: &Entry<'_>) -> Result<(), StoreError> {
    let Entry { leaf, evidence, checkpoint, lease, token } = entry;
    connection
        .prepare_cached(
            "INSERT INTO leaves(position, leaf, evidence, checkpoint, lease, token) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![int(position), leaf, evidence, checkpoint, lease.0, token])?;
    Ok(())
}

/// The newest result token of a lease.
pub(crate) fn token(connection: &Connection, lease: &Hex<16>) -> Result<Option<String>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT token FROM leaves WHERE lease = ?1 AND token IS NOT NULL ORDER BY position DESC LIMIT 1",
    )?;
    Ok(query.query_row([lease.0], |row| row.get(0)).optional()?)
}

/// At most `count` leaves from `first`.
pub(crate) fn leaves(connection: &Connection, first: u64, count: u32) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut query = connection
        .prepare_cached("SELECT leaf FROM leaves WHERE position >= ?1 ORDER BY position LIMIT ?2")?;
    let rows = query.query_map(params![int(first), count], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The checkpoint over all leaves; `None` for an empty ledger.
pub(crate) fn checkpoint(connection: &Connection) -> Result<Option<String>, StoreError> {
    let mut query =
        connection.prepare_cached("SELECT checkpoint FROM leaves ORDER BY position DESC LIMIT 1")?;
    Ok(query.query_row([], |row| row.get(0)).optional()?)
}

/// What was deposited under a key id: digest of the request, and the answer that it got.
pub(crate) fn deposit(
    connection: &Connection,
    key_id: &str,
) -> Result<Option<(Hex<32>, String)>, StoreError> {
    let mut query = connection.prepare_cached("SELECT request, answer FROM deposits WHERE key_id = ?1")?;
    Ok(query.query_row([key_id], |row| Ok((Hex(row.get::<_, [u8; 32]>(0)?), row.get(1)?))).optional()?)
}

/// Keeps a deposit's request and answer.
pub(crate) fn add_deposit(
    connection: &Connection,
    key_id: &str,
    request: &Hex<32>,
    answer: &str,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO deposits(key_id, request, answer) VALUES (?1, ?2, ?3)",
        params![key_id, request.0, answer],
    )?;
    Ok(())
}

/// The newest version and `p` of a charter that was served.
pub(crate) fn served_charter(
    connection: &Connection,
    charter_id: &str,
) -> Result<Option<(u64, Hex<32>)>, StoreError> {
    let mut query = connection.prepare_cached("SELECT version, p FROM charters WHERE charter_id = ?1")?;
    Ok(query
        .query_row([charter_id], |row| Ok((uint(row.get(0)?), Hex(row.get::<_, [u8; 32]>(1)?))))
        .optional()?)
}

/// Remembers the newest version of a charter.
pub(crate) fn set_served_charter(
    connection: &Connection,
    charter_id: &str,
    version: u64,
    p: &Hex<32>,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO charters(charter_id, version, p) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET version = ?2, p = ?3",
        params![charter_id, int(version), p.0],
    )?;
    Ok(())
}

/// The newest state of a referee's log that this broker has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefereeLog {
    pub origin: String,
    pub size: u64,
    pub root: Hex<32>,
    /// The key that signed the checkpoint.
    pub signing: Hex<32>,
}

/// What is remembered of the log of this charter's referee.
pub(crate) fn referee_log(
    connection: &Connection,
    charter: &Hex<32>,
) -> Result<Option<RefereeLog>, StoreError> {
    let mut query = connection
        .prepare_cached("SELECT origin, size, root, signing FROM referee_logs WHERE charter = ?1")?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(RefereeLog {
            origin: row.get(0)?,
            size: uint(row.get(1)?),
            root: Hex(row.get::<_, [u8; 32]>(2)?),
            signing: Hex(row.get::<_, [u8; 32]>(3)?),
        })
    };
    Ok(query.query_row([charter.0], read).optional()?)
}

/// Remembers a newer state.
pub(crate) fn set_referee_log(
    connection: &Connection,
    charter: &Hex<32>,
    log: &RefereeLog,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO referee_logs(charter, origin, size, root, signing) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET origin = ?2, size = ?3, root = ?4, signing = ?5",
        )?
        .execute(params![charter.0, log.origin, int(log.size), log.root.0, log.signing.0])?;
    Ok(())
}
