//! The operator's roll: who was admitted, in which order.

use rusqlite::{Connection, OptionalExtension as _, params};
use tiltyard_attestation::Hex;

use super::{StoreError, int, uint};

/// One admitted submission.
pub(crate) struct Admitted<'a> {
    pub tournament: &'a str,
    pub seq: u64,
    pub submission: Hex<32>,
    pub normalised: Hex<32>,
    pub champion: bool,
    /// JSON of the roll entry.
    pub entry: &'a str,
}

/// The entry of a submission that was admitted before.
pub(crate) fn entry_of(connection: &Connection, submission: &Hex<32>) -> Result<Option<String>, StoreError> {
    let mut query = connection.prepare_cached("SELECT entry FROM roll WHERE submission = ?1")?;
    Ok(query.query_row([submission.0], |row| row.get(0)).optional()?)
}

/// The sequence number of the submission with this content, and the submission.
pub(crate) fn same_content(
    connection: &Connection,
    tournament: &str,
    normalised: &Hex<32>,
) -> Result<Option<(u64, Hex<32>)>, StoreError> {
    let mut query = connection
        .prepare_cached("SELECT seq, submission FROM roll WHERE tournament = ?1 AND normalised = ?2")?;
    Ok(query
        .query_row(params![tournament, normalised.0], |row| {
            Ok((uint(row.get(0)?), Hex(row.get::<_, [u8; 32]>(1)?)))
        })
        .optional()?)
}

/// The submission that holds the title.
pub(crate) fn champion(connection: &Connection, tournament: &str) -> Result<Option<Hex<32>>, StoreError> {
    let mut query =
        connection.prepare_cached("SELECT submission FROM roll WHERE tournament = ?1 AND champion = 1")?;
    Ok(query.query_row([tournament], |row| row.get::<_, [u8; 32]>(0).map(Hex)).optional()?)
}

/// The next sequence number of a tournament, from 1.
pub(crate) fn next_seq(connection: &Connection, tournament: &str) -> Result<u64, StoreError> {
    connection
        .prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM roll WHERE tournament = ?1")?
        .query_row([tournament], |row| row.get(0))
        .map(uint)
        .map_err(Into::into)
}

/// Adds a row.
pub(crate) fn admit(connection: &Connection, row: &Admitted<'_>) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO roll(tournament, seq, submission, normalised, champion, entry) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![row.tournament, int(row.seq), row.submission.0, row.normalised.0, row.champion, row.entry],
    )?;
    Ok(())
}
