//! A confidential computing event log (CCEL): TCG events whose digests were extended into RTMR0..3.
//!
//! The first event is TCG's header in its SHA-1 form; the others are crypto-agile with one SHA-384 digest (TCG PC
//! Client Platform Firmware Profile 10). The area that the ACPI table names is longer than the log: 0xFF follows.

use sha2::{Digest, Sha384};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// 1 to 4 for RTMR0 to RTMR3.
    pub register: u32,
    /// TCG event type.
    pub kind: u32,
    pub digest: [u8; 48],
    pub data: Vec<u8>,
}

/// A log with the area around it.
#[derive(Debug, Clone)]
pub struct EventLog {
    pub events: Vec<Event>,
    /// LAML of the ACPI table.
    pub area_bytes: u64,
    /// LASA of the ACPI table.
    pub address: u64,
}

impl Event {
    /// An event whose digest is that of its own data: separators, actions, variables that the firmware reads.
    pub fn of_data(register: u32, kind: u32, data: &[u8]) -> Self {
        Self::of(register, kind, data, data)
    }

    /// An event whose data only describe what was measured.
    pub fn of(register: u32, kind: u32, measured: &[u8], data: &[u8]) -> Self {
        Self { register, kind, digest: Sha384::digest(measured).into(), data: data.to_vec() }
    }

    fn encode(&self) -> Vec<u8> {
        [
            &self.register.to_le_bytes()[..],
            &self.kind.to_le_bytes(),
            &1u32.to_le_bytes(),
            &ALGORITHM_SHA384.to_le_bytes(),
            &self.digest,
            &(self.data.len() as u32).to_le_bytes(),
            &self.data,
        ]
        .concat()
    }
}

impl EventLog {
    /// The boot of one TD: firmware, variables and tables, loader, kernel, command line and initrd, and one event of
    /// the guest's own.
    pub fn genuine() -> Self {
        let secure_boot = variable(&GLOBAL_VARIABLE, "SecureBoot", &[1]);
        let boot_order = variable(&GLOBAL_VARIABLE, "BootOrder", &[0, 0]);
        let events = vec![
            Event::of(1, HANDOFF_TABLES2, b"hand-off block", b"\x09TdxTable\0"),
            Event::of(
                1,
                FIRMWARE_BLOB2,
                b"configuration volume",
                b"\x29Fv(00000000-0000-0000-0000-000000000000)",
            ),
            Event::of_data(1, VARIABLE_DRIVER_CONFIG, &secure_boot),
            Event::of_data(1, SEPARATOR, &[0; 4]),
            Event::of(1, PLATFORM_CONFIG_FLAGS, b"loader commands", b"ACPI DATA"),
            Event::of(1, PLATFORM_CONFIG_FLAGS, b"pointer table", b"ACPI DATA"),
            Event::of(1, PLATFORM_CONFIG_FLAGS, b"tables", b"ACPI DATA"),
            Event::of(1, VARIABLE_BOOT, &[0, 0], &boot_order),
            Event::of(2, BOOT_SERVICES_APPLICATION, b"kernel image", b"\x7f\x04\x04\0"),
            Event::of_data(2, EFI_ACTION, b"Calling EFI Application from Boot Option"),
            Event::of_data(2, SEPARATOR, &[0; 4]),
            Event::of(
                3,
                EVENT_TAG,
                b"tiltyard.release=1",
                b"\xed\";\x8f\x1a\0\0\0LOADED_IMAGE::LoadOptions\0",
            ),
            Event::of(3, EVENT_TAG, b"initrd image", b"\xec\";\x8f\x0d\0\0\0Linux initrd\0"),
            Event::of_data(2, EFI_ACTION, b"Exit Boot Services Invocation"),
            Event::of_data(2, EFI_ACTION, b"Exit Boot Services Returned with Success"),
            Event::of(4, EVENT_TAG, b"guest ready", b"\0\0\0\0\0\0\0\0"),
        ];
        Self { events, area_bytes: 64 * 1024, address: 0xbedb_f000 }
    }

    /// RTMR0..3 after these events; events of another register count nowhere.
    pub fn replay(&self) -> [[u8; 48]; 4] {
        let mut registers = [[0; 48]; 4];
        for event in self.events.iter().filter(|event| event.kind != NO_ACTION) {
            let at = event.register.checked_sub(1).and_then(|at| usize::try_from(at).ok());
            if let Some(register) = at.and_then(|at| registers.get_mut(at)) {
                *register =
                    Sha384::new().chain_update(*register).chain_update(event.digest).finalize().into();
            }
        }
        registers
    }

    /// Digests of all events: what an image's reference values list.
    pub fn digests(&self) -> Vec<[u8; 48]> {
        self.events.iter().filter(|event| event.kind != NO_ACTION).map(|event| event.digest).collect()
    }

    /// The whole area: header, events, 0xFF to its end.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = header();
        self.events.iter().for_each(|event| out.extend(event.encode()));
        if let Ok(area) = usize::try_from(self.area_bytes) {
            out.resize(out.len().max(area), 0xff);
        }
        out
    }

    /// The ACPI table that says where the log is: 56 bytes (Intel GHCI for TDX 4.3.3).
    pub fn acpi_table(&self) -> Vec<u8> {
        let mut table = [
            &b"CCEL"[..],
            &56u32.to_le_bytes(),
            // Revision, then the checksum's place.
            &[1, 0],
            b"TILTYD",
            b"SIMULATE",
            &2u32.to_le_bytes(),
            b"TLTY",
            &1u32.to_le_bytes(),
            // Type TDX, subtype 0, reserved.
            &[2, 0, 0, 0],
            &self.area_bytes.to_le_bytes(),
            &self.address.to_le_bytes(),
        ]
        .concat();
        let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        if let Some(checksum) = table.get_mut(9) {
            *checksum = sum.wrapping_neg();
        }
        table
    }
}

/// TCG_PCClientPCREvent with a Spec ID event: one algorithm, SHA-384 of 48 bytes.
fn header() -> Vec<u8> {
    let spec_id = [
        &b"Spec ID Event03\0"[..],
        // Platform class, version 2.0 errata 0, 64-bit addresses, one algorithm.
        &0u32.to_le_bytes(),
        &[0, 2, 0, 2],
        &1u32.to_le_bytes(),
        &ALGORITHM_SHA384.to_le_bytes(),
        &48u16.to_le_bytes(),
        // No vendor information.
        &[0],
    ]
    .concat();
    let len = (spec_id.len() as u32).to_le_bytes();
    [&1u32.to_le_bytes()[..], &NO_ACTION.to_le_bytes(), &[0; 20], &len, &spec_id].concat()
}

/// UEFI_VARIABLE_DATA: GUID, lengths of name (in UTF-16 units) and value, name, value.
fn variable(guid: &[u8; 16], name: &str, value: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let lengths = [(name.len() as u64 / 2).to_le_bytes(), (value.len() as u64).to_le_bytes()].concat();
    [&guid[..], &lengths, &name, value].concat()
}

/// TPM_ALG_SHA384.
const ALGORITHM_SHA384: u16 = 0x0c;
/// 8be4df61-93ca-11d2-aa0d-00e098032b8c.
const GLOBAL_VARIABLE: [u8; 16] =
    [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0, 0xe0, 0x98, 0x03, 0x2b, 0x8c];

/// Event types (TCG PC Client Platform Firmware Profile 10.4.1).
pub const NO_ACTION: u32 = 0x3;
pub const SEPARATOR: u32 = 0x4;
pub const EVENT_TAG: u32 = 0x6;
pub const PLATFORM_CONFIG_FLAGS: u32 = 0xa;
pub const VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
pub const VARIABLE_BOOT: u32 = 0x8000_0002;
pub const BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
pub const EFI_ACTION: u32 = 0x8000_0007;
pub const FIRMWARE_BLOB2: u32 = 0x8000_000a;
pub const HANDOFF_TABLES2: u32 = 0x8000_000b;
