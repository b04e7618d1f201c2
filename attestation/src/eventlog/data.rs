//! What the digest of an event measures, by type (TCG PC Client Platform Firmware Profile 1.06, section 10.4).

use ring::digest::{SHA384, digest};

use super::log::EventType;
use crate::Hex;
use crate::cursor::Cursor;

/// Whether logged data is what its digest measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataState {
    /// The type says what is measured, and the data hashes to the digest.
    Measured,
    /// The type says what is measured, and it is not this data: whoever wrote the log changed it.
    Other,
    /// The type measures something that is not in the log, such as a file.
    NotInLog,
}

/// Texts of EV_EFI_ACTION (section 10.4.4) that a boot without error has.
const ACTIONS: [&[u8]; 4] = [
    b"Calling EFI Application from Boot Option",
    b"Returning from EFI Application from Boot Option",
    b"Exit Boot Services Invocation",
    b"Exit Boot Services Returned with Success",
];
/// EV_SEPARATOR of a boot without error.
const SEPARATOR: &[u8] = &[0; 4];

pub(super) fn state(kind: EventType, data: &[u8], expected: Hex<48>) -> DataState {
    let hashes = |data: &[u8]| digest(&SHA384, data).as_ref() == expected.bytes();
    let measured = match kind {
        EventType::SEPARATOR
        | EventType::ACTION
        | EventType::S_CRTM_VERSION
        | EventType::EFI_ACTION
        | EventType::EFI_GPT_EVENT
        | EventType::EFI_GPT_EVENT2
        | EventType::EFI_VARIABLE_DRIVER_CONFIG
        | EventType::EFI_VARIABLE_BOOT2
        | EventType::EFI_VARIABLE_AUTHORITY => hashes(data),
        // Firmware measures the value alone, or with its name around it.
        EventType::EFI_VARIABLE_BOOT => hashes(data) || variable_value(data).is_some_and(hashes),
        _ => return DataState::NotInLog,
    };
    if measured { DataState::Measured } else { DataState::Other }
}

pub(super) fn is_fixed(kind: EventType, data: &[u8]) -> bool {
    match kind {
        EventType::SEPARATOR => data == SEPARATOR,
        EventType::EFI_ACTION => ACTIONS.contains(&data),
        _ => false,
    }
}

/// Value of a UEFI_VARIABLE_DATA: GUID, name length in characters, value length, name, value; to its last byte.
fn variable_value(data: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(data);
    cursor.array::<16>()?;
    let name_len = usize::try_from(cursor.u64()?).ok()?.checked_mul(2)?;
    let value_len = usize::try_from(cursor.u64()?).ok()?;
    cursor.take(name_len)?;
    let value = cursor.take(value_len)?;
    cursor.rest().is_empty().then_some(value)
}
