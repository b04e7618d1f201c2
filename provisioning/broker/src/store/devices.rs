//! Devices that live leases hold, as their guests were last appraised with in full (GPU-15, BND-10).

use rusqlite::{Connection, params};
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::policy::PlatformId;
use tiltyard_attestation::{EarlierDevices, Hex};

use super::{StoreError, int, uint};

/// One GPU or switch of a guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HeldDevice {
    /// Serial number of the leaf certificate.
    pub ueid: PlatformId,
    pub is_switch: bool,
}

impl HeldDevice {
    pub(crate) fn new(ueid: PlatformId, kind: DeviceKind) -> Self {
        Self { ueid, is_switch: kind == DeviceKind::Switch }
    }
}

/// The devices of a lease, by UEID; none when its guest had none.
pub(crate) fn of_lease(connection: &Connection, lease: &Hex<16>) -> Result<Vec<HeldDevice>, StoreError> {
    let mut query =
        connection.prepare_cached("SELECT ueid, is_switch FROM devices WHERE lease = ?1 ORDER BY ueid")?;
    let rows = query.query_map([lease.0], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (ueid, is_switch) = row?;
        Ok(HeldDevice { ueid: ueid_of(&ueid)?, is_switch })
    })
    .collect()
}

/// What a renewal of a lease may rest on; `None` when no devices were ever appraised for it.
pub(crate) fn earlier(
    connection: &Connection,
    lease: &Hex<16>,
) -> Result<Option<EarlierDevices>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT boot, min(appraised_at), count(*) FILTER (WHERE NOT is_switch), count(*) FILTER (WHERE is_switch)
         FROM devices JOIN leases USING (lease) WHERE lease = ?1 GROUP BY lease",
    )?;
    let mut rows = query.query([lease.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(EarlierDevices {
        boot: row.get(0).map(Hex)?,
        appraised_at: uint(row.get(1)?),
        gpus: row.get(2)?,
        switches: row.get(3)?,
    }))
}

/// UEIDs of the devices that other live leases hold, under whatever charter.
pub(crate) fn of_others(
    connection: &Connection,
    lease: &Hex<16>,
    now: u64,
) -> Result<Vec<PlatformId>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT ueid FROM devices JOIN leases USING (lease)
         WHERE lease <> ?1 AND end_answer IS NULL AND not_after >= ?2",
    )?;
    let rows = query.query_map(params![lease.0, int(now)], |row| row.get::<_, Vec<u8>>(0))?;
    rows.map(|row| ueid_of(&row?)).collect()
}

/// Remembers a full appraisal of a lease's devices at `appraised_at` (Unix seconds).
pub(crate) fn remember(
    connection: &Connection,
    lease: &Hex<16>,
    devices: &[HeldDevice],
    appraised_at: u64,
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO devices(lease, ueid, is_switch, appraised_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT(lease, ueid) DO UPDATE SET appraised_at = ?4",
    )?;
    for HeldDevice { ueid, is_switch } in devices {
        insert.execute(params![lease.0, ueid.bytes(), is_switch, int(appraised_at)])?;
    }
    Ok(())
}

fn ueid_of(bytes: &[u8]) -> Result<PlatformId, StoreError> {
    PlatformId::new(bytes).ok_or(StoreError::Damaged { what: "a device's UEID" })
}
