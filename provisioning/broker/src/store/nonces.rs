//! Challenges: each is used once (PROVISIONING 6, ATTESTATION BND-02).

use rusqlite::{Connection, OptionalExtension as _, params};
use tiltyard_attestation::{Hex, Role};
use tiltyard_provisioning::release::{ChallengeRequest, NONCE_LIFE_S, NONCES_OPEN_MAX};

use super::{StoreError, int, role_name, role_of, uint};

/// Nonces that are remembered after their use or end, so that a replay is told apart from an unknown one.
const NONCES_KEPT_MAX: i64 = 16 * NONCES_OPEN_MAX as i64;

/// A nonce that this call, and no other, has taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub nonce: Hex<32>,
    pub role: Role,
    pub charter: Hex<32>,
    pub order: Option<Hex<32>>,
    pub lease: Hex<16>,
    pub issued_at: u64,
}

/// Why a nonce could not be taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Unknown,
    Used,
    Expired,
}

/// Keeps a fresh nonce; beyond [`NONCES_OPEN_MAX`] open ones the oldest is dropped.
pub(crate) fn issue(
    connection: &Connection,
    nonce: &Hex<32>,
    request: &ChallengeRequest,
    now: u64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO nonces(nonce, role, charter, order_digest, lease, issued_at, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'issued')",
        )?
        .execute(params![
            nonce.0,
            role_name(request.role),
            request.charter.0,
            request.order.map(|order| order.0),
            request.lease.0,
            int(now),
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM nonces WHERE state = 'issued' AND seq NOT IN
             (SELECT seq FROM nonces WHERE state = 'issued' ORDER BY seq DESC LIMIT ?1)",
        )?
        .execute([NONCES_OPEN_MAX])?;
    connection
        .prepare_cached("DELETE FROM nonces WHERE seq <= (SELECT max(seq) FROM nonces) - ?1")?
        .execute([NONCES_KEPT_MAX])?;
    Ok(())
}

/// Takes a nonce in one statement, so that exactly one of any number of callers gets it.
pub(crate) fn take(
    connection: &Connection,
    nonce: &Hex<32>,
    now: u64,
) -> Result<Result<Taken, NotTaken>, StoreError> {
    let oldest = int(now.saturating_sub(NONCE_LIFE_S));
    let taken = connection
        .prepare_cached(
            "UPDATE nonces SET state = 'used' WHERE nonce = ?1 AND state = 'issued' AND issued_at >= ?2
             RETURNING role, charter, order_digest, lease, issued_at",
        )?
        .query_row(params![nonce.0, oldest], |row| {
            let role: String = row.get(0)?;
            let order: Option<[u8; 32]> = row.get(2)?;
            Ok((role, row.get::<_, [u8; 32]>(1)?, order, row.get::<_, [u8; 16]>(3)?, row.get::<_, i64>(4)?))
        })
        .optional()?;
    match taken {
        Some((role, charter, order, lease, issued_at)) => Ok(Ok(Taken {
            nonce: *nonce,
            role: role_of(&role)?,
            charter: Hex(charter),
            order: order.map(Hex),
            lease: Hex(lease),
            issued_at: uint(issued_at),
        })),
        None => why_not(connection, nonce).map(Err),
    }
}

fn why_not(connection: &Connection, nonce: &Hex<32>) -> Result<NotTaken, StoreError> {
    let state: Option<String> = connection
        .prepare_cached("SELECT state FROM nonces WHERE nonce = ?1")?
        .query_row([nonce.0], |row| row.get(0))
        .optional()?;
    Ok(match state.as_deref() {
        None => NotTaken::Unknown,
        Some("used") => NotTaken::Used,
        Some(_) => NotTaken::Expired,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::Store;

    fn request(lease: u8) -> ChallengeRequest {
        ChallengeRequest { role: Role::Referee, charter: Hex([1; 32]), order: None, lease: Hex([lease; 16]) }
    }

    fn issued(store: &mut Store, nonce: Hex<32>, now: u64) {
        store.write::<_, StoreError>(|c| issue(c, &nonce, &request(7), now)).unwrap();
    }

    fn taken(store: &mut Store, nonce: Hex<32>, now: u64) -> Result<Taken, NotTaken> {
        store.write::<_, StoreError>(|c| take(c, &nonce, now)).unwrap()
    }

    #[test]
    fn a_nonce_is_taken_once_in_time_and_only_if_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::create(&folder.path().join("store")).unwrap();
        issued(&mut store, Hex([1; 32]), 1000);
        issued(&mut store, Hex([2; 32]), 1000);
        let got = taken(&mut store, Hex([1; 32]), 1000 + NONCE_LIFE_S).unwrap();
        assert_eq!((got.role, got.lease, got.issued_at), (Role::Referee, Hex([7; 16]), 1000));
        assert_eq!(taken(&mut store, Hex([1; 32]), 1001), Err(NotTaken::Used));
        assert_eq!(taken(&mut store, Hex([2; 32]), 1001 + NONCE_LIFE_S), Err(NotTaken::Expired));
        assert_eq!(taken(&mut store, Hex([3; 32]), 1001), Err(NotTaken::Unknown));
    }

    #[test]
    fn of_sixteen_at_once_over_sixteen_connections_exactly_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut store = Store::create(&path).unwrap();
        issued(&mut store, Hex([9; 32]), 1000);
        let start = Barrier::new(16);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let race = || {
                let mut store = Store::open(&path).unwrap();
                start.wait();
                taken(&mut store, Hex([9; 32]), 1001)
            };
            let racers: Vec<_> = (0..16).map(|_| scope.spawn(race)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Err(NotTaken::Used)).count(), 15);
    }

    #[test]
    fn beyond_the_limit_the_oldest_open_nonce_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::create(&folder.path().join("store")).unwrap();
        let nonce = |i: u32| Hex::sha256(&i.to_be_bytes());
        store
            .write::<_, StoreError>(|connection| {
                (0..=NONCES_OPEN_MAX).try_for_each(|i| issue(connection, &nonce(i), &request(7), 1000))
            })
            .unwrap();
        assert_eq!(taken(&mut store, nonce(0), 1001), Err(NotTaken::Unknown));
        assert!(taken(&mut store, nonce(1), 1001).is_ok());
        assert!(taken(&mut store, nonce(NONCES_OPEN_MAX), 1001).is_ok());
    }
}
