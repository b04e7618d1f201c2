//! Leases: one guest's right to its role, claimed by one boot (PROVISIONING 6).

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tiltyard_attestation::{Hex, Role};
use tiltyard_provisioning::stage::{Closed, TrainerLease};

use super::{StoreError, int, role_name, role_of, uint};

/// A lease as this broker granted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseRow {
    pub lease: Hex<16>,
    pub boot: Hex<32>,
    /// Canonical JSON of the boot's key digests.
    pub keys: String,
    pub charter: Hex<32>,
    pub role: Role,
    pub order: Option<Hex<32>>,
    pub task: Option<String>,
    /// The guest's Ed25519 key.
    pub signing: Hex<32>,
    /// The key that signed its order.
    pub referee: Option<Hex<32>>,
    /// Unix seconds, inclusive.
    pub not_after: u64,
    /// The answer to the `end` that closed it.
    pub end_answer: Option<String>,
}

impl LeaseRow {
    /// Neither closed nor lapsed.
    pub(crate) fn is_live(&self, now: u64) -> bool {
        self.end_answer.is_none() && now <= self.not_after
    }

    /// Held by the same boot, with the same keys, for the same thing.
    pub(crate) fn is_same_guest(&self, other: &Self) -> bool {
        self.boot == other.boot
            && self.keys == other.keys
            && self.signing == other.signing
            && self.charter == other.charter
            && self.role == other.role
            && self.order == other.order
    }
}

const COLUMNS: &str =
    "lease, boot, keys, charter, role, order_digest, task, signing, referee, not_after, end_answer";

/// The lease of this id.
pub(crate) fn find(connection: &Connection, lease: &Hex<16>) -> Result<Option<LeaseRow>, StoreError> {
    let mut query = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM leases WHERE lease = ?1"))?;
    let raw = query.query_row([lease.0], RawLease::read).optional()?;
    raw.map(RawLease::parsed).transpose()
}

/// The lease that was granted for an order.
pub(crate) fn of_order(connection: &Connection, order: &Hex<32>) -> Result<Option<Hex<16>>, StoreError> {
    let mut query = connection.prepare_cached("SELECT lease FROM leases WHERE order_digest = ?1")?;
    Ok(query.query_row([order.0], |row| row.get::<_, [u8; 16]>(0).map(Hex)).optional()?)
}

/// Whether `signing` is the key of a referee that holds a live lease under this charter.
pub(crate) fn is_live_referee(
    connection: &Connection,
    charter: &Hex<32>,
    signing: &Hex<32>,
    now: u64,
) -> Result<bool, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT 1 FROM leases WHERE role = 'referee' AND charter = ?1 AND signing = ?2
         AND end_answer IS NULL AND not_after >= ?3",
    )?;
    Ok(query.exists(params![charter.0, signing.0, int(now)])?)
}

/// Ends every other live referee lease of a charter: a tournament has one referee at a time.
pub(crate) fn supersede_referees(
    connection: &Connection,
    charter: &Hex<32>,
    lease: &Hex<16>,
    now: u64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE leases SET not_after = ?3 - 1
             WHERE role = 'referee' AND charter = ?1 AND lease <> ?2 AND not_after >= ?3",
        )?
        .execute(params![charter.0, lease.0, int(now)])?;
    Ok(())
}

/// Remembers an order that is given up, so that no guest is leased for it any more.
pub(crate) fn give_up(connection: &Connection, order: &Hex<32>) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO ended_orders(order_digest) VALUES (?1)")?
        .execute([order.0])?;
    Ok(())
}

/// Whether an order was given up.
pub(crate) fn is_given_up(connection: &Connection, order: &Hex<32>) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM ended_orders WHERE order_digest = ?1")?.exists([order.0])?)
}

/// Claims a lease id.
pub(crate) fn claim(connection: &Connection, row: &LeaseRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO leases({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ))?
        .execute(params![
            row.lease.0,
            row.boot.0,
            row.keys,
            row.charter.0,
            role_name(row.role),
            row.order.map(|order| order.0),
            row.task,
            row.signing.0,
            row.referee.map(|key| key.0),
            int(row.not_after),
            row.end_answer,
        ])?;
    Ok(())
}

/// Moves the end of a lease.
pub(crate) fn extend(connection: &Connection, lease: &Hex<16>, not_after: u64) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE leases SET not_after = ?2 WHERE lease = ?1")?
        .execute(params![lease.0, int(not_after)])?;
    Ok(())
}

/// Closes a lease for good.
pub(crate) fn close(connection: &Connection, lease: &Hex<16>, answer: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE leases SET end_answer = ?2 WHERE lease = ?1")?
        .execute(params![lease.0, answer])?;
    Ok(())
}

/// Every trainer lease of a task under a charter.
pub(crate) fn trainers_of_task(
    connection: &Connection,
    charter: &Hex<32>,
    task: &str,
) -> Result<Vec<TrainerLease>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT lease, not_after, end_answer IS NOT NULL FROM leases
         WHERE charter = ?1 AND task = ?2 AND role = 'trainer'",
    )?;
    let rows = query.query_map(params![charter.0, task], |row| {
        let closed = if row.get(2)? { Closed::BySignedEnd } else { Closed::No };
        Ok(TrainerLease { lease: Hex(row.get::<_, [u8; 16]>(0)?), not_after: uint(row.get(1)?), closed })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A row before its role has been read.
struct RawLease {
    role: String,
    row: LeaseRow,
}

impl RawLease {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let digest = |at: usize| row.get::<_, [u8; 32]>(at).map(Hex);
        let optional = |at: usize| row.get::<_, Option<[u8; 32]>>(at).map(|bytes| bytes.map(Hex));
        Ok(Self {
            role: row.get(4)?,
            row: LeaseRow {
                lease: row.get::<_, [u8; 16]>(0).map(Hex)?,
                boot: digest(1)?,
                keys: row.get(2)?,
                charter: digest(3)?,
                role: Role::Referee,
                order: optional(5)?,
                task: row.get(6)?,
                signing: digest(7)?,
                referee: optional(8)?,
                not_after: uint(row.get(9)?),
                end_answer: row.get(10)?,
            },
        })
    }

    fn parsed(self) -> Result<LeaseRow, StoreError> {
        Ok(LeaseRow { role: role_of(&self.role)?, ..self.row })
    }
}
