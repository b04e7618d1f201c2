//! Devices that live leases hold, as their guests were last appraised with in full (GPU-15, BND-10).

use rusqlite::{Connection, Row, params};
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::policy::PlatformId;
use tiltyard_attestation::result::DeviceFacts;
use tiltyard_attestation::{EarlierDevices, Hex};

use super::{StoreError, int, uint};

/// One GPU or switch of a guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HeldDevice {
    /// Serial number of the leaf certificate.
    pub ueid: PlatformId,
    /// SHA-256 of the device's own key, by which it is known after a change of firmware too.
    pub device_key: Option<Hex<32>>,
    pub is_switch: bool,
}

impl HeldDevice {
    pub(crate) fn new(facts: &DeviceFacts) -> Self {
        let DeviceFacts { ueid, device_key, kind, .. } = facts;
        Self { ueid: ueid.clone(), device_key: *device_key, is_switch: *kind == DeviceKind::Switch }
    }

    /// What tells it from other devices.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PlatformId> {
        [self.ueid.clone()].into_iter().chain(self.device_key.map(PlatformId::from))
    }
}

/// The devices of a lease, by UEID; none when its guest had none.
pub(crate) fn of_lease(connection: &Connection, lease: &Hex<16>) -> Result<Vec<HeldDevice>, StoreError> {
    let mut query = connection
        .prepare_cached("SELECT ueid, device_key, is_switch FROM devices WHERE lease = ?1 ORDER BY ueid")?;
    let rows = query.query_map([lease.0], read)?;
    rows.map(|row| row?.device()).collect()
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

/// UEIDs and keys of the devices that other live leases hold, under whatever charter.
pub(crate) fn of_others(
    connection: &Connection,
    lease: &Hex<16>,
    now: u64,
) -> Result<Vec<PlatformId>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT ueid, device_key, is_switch FROM devices JOIN leases USING (lease)
         WHERE lease <> ?1 AND end_answer IS NULL AND not_after >= ?2",
    )?;
    let rows = query.query_map(params![lease.0, int(now)], read)?;
    let devices = rows.map(|row| row?.device()).collect::<Result<Vec<_>, _>>()?;
    Ok(devices.iter().flat_map(HeldDevice::ids).collect())
}

/// Remembers a full appraisal of a lease's devices at `appraised_at` (Unix seconds).
pub(crate) fn remember(
    connection: &Connection,
    lease: &Hex<16>,
    devices: &[HeldDevice],
    appraised_at: u64,
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO devices(lease, ueid, device_key, is_switch, appraised_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT(lease, ueid) DO UPDATE SET appraised_at = ?5",
    )?;
    for HeldDevice { ueid, device_key, is_switch } in devices {
        let key = device_key.map(|key| key.0);
        insert.execute(params![lease.0, ueid.bytes(), key, is_switch, int(appraised_at)])?;
    }
    Ok(())
}

/// A row before its UEID has been read.
struct RawDevice {
    ueid: Vec<u8>,
    device_key: Option<[u8; 32]>,
    is_switch: bool,
}

fn read(row: &Row<'_>) -> rusqlite::Result<RawDevice> {
    Ok(RawDevice { ueid: row.get(0)?, device_key: row.get(1)?, is_switch: row.get(2)? })
}

impl RawDevice {
    fn device(self) -> Result<HeldDevice, StoreError> {
        let ueid = PlatformId::new(&self.ueid).ok_or(StoreError::Damaged { what: "a device's UEID" })?;
        Ok(HeldDevice { ueid, device_key: self.device_key.map(Hex), is_switch: self.is_switch })
    }
}
