//! The event log of a TD, and the ACPI table that points to it.

use tiltyard_attestation::eventlog::{
    CCEL_TABLE_LEN, CcelTable, EVENT_LOG_MAX_BYTES, EVENTS_MAX, EventLog, EventType,
};

use super::Target;
use super::ground::vector;
use super::tdx::MACHINE;

pub const TARGET: Target = Target {
    name: "ccel",
    run,
    seeds,
    costly,
    limit_bytes: EVENT_LOG_MAX_BYTES,
    mutated_bytes: 32 * 1024,
    words: &["Spec ID Event03\\x00", "\\x0c\\x00\\x30\\x00", "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff"],
};

fn seeds() -> Vec<Vec<u8>> {
    let logs = ["gotdx_ccel_data.dat.unfilled", "trustee_CCEL_data_ovmf.unfilled", "gotdx_ccel_table.dat"];
    let mut seeds: Vec<Vec<u8>> = logs.iter().map(|name| vector(&format!("tdx/{name}"))).collect();
    let mut filled = vector("tdx/trustee_CCEL_data_ovmf.unfilled");
    filled.resize(4096, 0xff);
    let simulated = &MACHINE.issued[0];
    let log = simulated.event_log.iter().copied().take(4096).collect();
    seeds.extend([filled, log, simulated.acpi_table.clone()]);
    seeds
}

/// As many events as the area has room for, and one event with all of it.
fn costly() -> Vec<Vec<u8>> {
    let log = vector("tdx/trustee_CCEL_data_ovmf.unfilled");
    let header = log[28..].first_chunk().map_or(0, |len| u32::from_le_bytes(*len) as usize) + 32;
    let event = |len: usize| {
        let fixed = [1u32, 8, 1].map(u32::to_le_bytes).concat();
        [&fixed[..], &[0x0c, 0], &[7; 48], &(len as u32).to_le_bytes(), &vec![b'a'; len]].concat()
    };
    let events = event(0).repeat((EVENT_LOG_MAX_BYTES - header) / event(0).len());
    let one = event(EVENT_LOG_MAX_BYTES - header - event(0).len());
    vec![[&log[..header], &events].concat(), [&log[..header], &one].concat()]
}

fn run(data: &[u8]) {
    table(data);
    if let Ok(log) = EventLog::parse(data) {
        assert!(data.len() <= EVENT_LOG_MAX_BYTES && log.events().len() <= EVENTS_MAX);
        written_again(data, &log);
        let registers = log.replay();
        for (at, register) in registers.iter().enumerate() {
            let extended = log.events().iter().any(|event| event.register() == Some(at));
            assert_eq!(register.bytes() != &[0; 48], extended, "only events extend a register");
        }
        for event in log.events() {
            let _ = (event.data_state(), event.is_fixed());
        }
    }
}

/// A table with a checksum that fits, beside the table as it is.
fn table(data: &[u8]) {
    let mut mended = data.to_vec();
    if data.len() == CCEL_TABLE_LEN {
        let sum = data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        mended[9] = mended[9].wrapping_sub(sum);
    }
    for bytes in [data, &mended[..]] {
        if let Ok(table) = CcelTable::parse(bytes) {
            assert_eq!(bytes.len(), CCEL_TABLE_LEN);
            assert!(table.len_bytes <= EVENT_LOG_MAX_BYTES as u64);
            assert_eq!(bytes[48..], table.address.to_le_bytes());
        }
    }
}

/// Header, events and fill are all that there is.
fn written_again(data: &[u8], log: &EventLog<'_>) {
    let header_data = data[28..].first_chunk().map_or(0, |len| u32::from_le_bytes(*len) as usize);
    let mut at = 32 + header_data;
    for event in log.events() {
        let index: [u8; 4] = data[at..].first_chunk().copied().unwrap_or_default();
        if event.kind() != EventType::NO_ACTION {
            assert_eq!(event.register().map(|at| at as u32 + 1), Some(u32::from_le_bytes(index)));
        }
        let len = (event.data().len() as u32).to_le_bytes();
        let kind = event.kind().0.to_le_bytes();
        let whole =
            [&index[..], &kind, &[1, 0, 0, 0, 0x0c, 0], event.digest().bytes(), &len, event.data()].concat();
        assert_eq!(data[at..at + whole.len()], whole);
        at += whole.len();
    }
    let fill = &data[at..];
    assert!(fill.iter().all(|byte| *byte == 0xff) || fill.iter().all(|byte| *byte == 0));
}
