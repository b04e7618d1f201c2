//! How the PCS writes hex and times.

use serde::Serializer;

use crate::der::civil_date;

/// Upper-case hex.
pub(super) fn upper_hex<const N: usize, S: Serializer>(
    bytes: &[u8; N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>())
}

/// `2026-11-23T00:00:00Z`, from Unix seconds.
pub(super) fn time<S: Serializer>(unix_s: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    let (year, month, day) = civil_date(unix_s / 86_400);
    let second = unix_s % 86_400;
    let clock = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    serializer.serialize_str(&format!("{year:04}-{month:02}-{day:02}T{clock}Z"))
}

pub(super) fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
