//! Intel's quote through configfs-tsm, brought to its own length, and the event log of the boot.
//!
//! The crate `tdx-guest` is code for a guest kernel and cannot serve here; so this module reads what the kernel's
//! drivers show to a program (ATTESTATION 5, 10). Not verified on hardware.

use std::path::Path;

use tiltyard_attestation::Hex;

use super::{CollectError, file};

/// Largest quote after trimming, in bytes.
const QUOTE_MAX_BYTES: usize = 16 * 1024;
const HEADER_LEN: usize = 48;
/// Body of version 4, and the least of version 5.
const BODY_LEN: usize = 584;
/// Body type u16 and size u32, which version 5 has before its body.
const BODY_HEAD_LEN: usize = 6;
const MRCONFIGID_AT: usize = 184;
const REPORT_DATA_AT: usize = 520;
const QUOTE: &str = "TDX quote";

/// Largest event log, and most events in it.
const LOG_MAX_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 4096;
/// ACPI table CCEL (ACPI 6.5, 5.2.34): common header 36, type u8, subtype u8, 2 reserved, log length u64, log
/// address u64.
const TABLE_LEN: usize = 56;
const CC_TYPE_TDX: u8 = 2;
const TABLE: &str = "ACPI table CCEL";
const LOG: &str = "CCEL event log";

/// Where the kernel shows the ACPI table CCEL and the memory that it points at.
#[derive(Debug, Clone)]
pub(super) struct Ccel<'a> {
    pub(super) table: &'a Path,
    pub(super) log: &'a Path,
}

/// A quote of exactly its own length, and facts that the guest itself reads in it.
pub(super) struct Quote {
    pub(super) bytes: Vec<u8>,
    pub(super) report_data: Hex<64>,
    pub(super) config_id: Hex<48>,
}

/// Cuts a quoting buffer to the length that its fields add up to: header, body, signature data.
///
/// Platforms hand out buffers with spare bytes, and verifiers refuse a quote that has any. Only lengths are
/// looked at; the rest of the format is the verifier's to judge.
pub(super) fn trim(mut buffer: Vec<u8>) -> Result<Quote, CollectError> {
    let body_at = match u16::from_le_bytes(array(&buffer, 0)?) {
        4 => HEADER_LEN,
        5 => HEADER_LEN + BODY_HEAD_LEN,
        _ => return Err(CollectError::Format { what: QUOTE, expected: "version 4 or 5" }),
    };
    let body_len = match body_at {
        HEADER_LEN => BODY_LEN,
        _ => u32::from_le_bytes(array(&buffer, HEADER_LEN + 2)?) as usize,
    };
    if body_len < BODY_LEN {
        return Err(CollectError::Length {
            what: "TDX quote body",
            expected: BODY_LEN as u64,
            got: body_len as u64,
        });
    }
    let signature_at = body_at.saturating_add(body_len);
    let signature_len = u32::from_le_bytes(array(&buffer, signature_at)?) as usize;
    let len = signature_at.saturating_add(4).saturating_add(signature_len);
    if len > QUOTE_MAX_BYTES {
        return Err(CollectError::TooLarge { what: QUOTE, limit: QUOTE_MAX_BYTES });
    }
    if len > buffer.len() {
        return Err(CollectError::Length { what: QUOTE, expected: len as u64, got: buffer.len() as u64 });
    }
    buffer.truncate(len);
    Ok(Quote {
        report_data: Hex(array(&buffer, body_at + REPORT_DATA_AT)?),
        config_id: Hex(array(&buffer, body_at + MRCONFIGID_AT)?),
        bytes: buffer,
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], CollectError> {
    let short =
        CollectError::Length { what: QUOTE, expected: at.saturating_add(N) as u64, got: bytes.len() as u64 };
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(short)
}

/// The boot's event log, without the unused end of its memory.
///
/// Table and log are the host's words; they count only as far as their replay gives the quote's registers.
pub(super) fn event_log(ccel: &Ccel<'_>) -> Result<Vec<u8>, CollectError> {
    if !file::present(ccel.table) || !file::present(ccel.log) {
        return Err(CollectError::Absent {
            what: LOG,
            looked_for: format!("{} and {}", ccel.table.display(), ccel.log.display()),
            fix: "the firmware must measure the boot and hand over its log (TDVF does)",
        });
    }
    let declared = log_len(&file::read(ccel.table, TABLE, TABLE_LEN)?)?;
    let mut log = file::read(ccel.log, LOG, LOG_MAX_BYTES)?;
    if log.len() as u64 != declared {
        return Err(CollectError::Length { what: LOG, expected: declared, got: log.len() as u64 });
    }
    let used = Walk { log: &log, at: 0 }.used()?;
    log.truncate(used);
    Ok(log)
}

/// Length of the log's memory as the table states it.
fn log_len(table: &[u8]) -> Result<u64, CollectError> {
    let malformed = |expected| CollectError::Format { what: TABLE, expected };
    let length = CollectError::Length { what: TABLE, expected: TABLE_LEN as u64, got: table.len() as u64 };
    let table: &[u8; TABLE_LEN] = table.try_into().map_err(|_| length)?;
    let (signature, stated) = (&table[..4], u32::from_le_bytes([table[4], table[5], table[6], table[7]]));
    if signature != b"CCEL" || stated as usize != TABLE_LEN {
        return Err(malformed("signature CCEL and its own length"));
    }
    if table.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) != 0 {
        return Err(malformed("bytes that add up to zero"));
    }
    if table[36] != CC_TYPE_TDX {
        return Err(malformed("type 2, Intel TDX"));
    }
    let (_, tail) = table.split_at(40);
    Ok(tail.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

/// Walks over the events by their lengths (TCG PC Client Platform Firmware Profile 1.05, section 10).
struct Walk<'a> {
    log: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    /// Bytes up to the end of the last event.
    fn used(mut self) -> Result<usize, CollectError> {
        let sizes = self.digest_sizes()?;
        for _ in 0..=EVENTS_MAX {
            let start = self.at;
            // Unused memory is all ones or all zeros; no event has such a head.
            let Some(head) = self.log.get(start..start + 12).filter(|head| !is_unused(head)) else {
                return Ok(start);
            };
            let digests = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
            self.at += 12;
            if digests as usize > sizes.len() {
                return Err(malformed("at most one digest of each algorithm an event"));
            }
            for _ in 0..digests {
                let algorithm = u16::from_le_bytes(self.take()?);
                let size = sizes.iter().find(|(id, _)| *id == algorithm).map(|(_, size)| *size);
                self.skip(size.ok_or(malformed("algorithms that the first event names"))?)?;
            }
            let data = u32::from_le_bytes(self.take()?);
            self.skip(data as usize)?;
        }
        Err(CollectError::TooLarge { what: "CCEL events", limit: EVENTS_MAX })
    }

    /// Reads the first event: the old form with one SHA-1, whose data names the algorithms and their sizes.
    fn digest_sizes(&mut self) -> Result<Vec<(u16, usize)>, CollectError> {
        const ALGORITHMS_MAX: u32 = 8;
        self.skip(28)?;
        let end = (u32::from_le_bytes(self.take()?) as usize).saturating_add(self.at);
        if self.take::<16>()? != *b"Spec ID Event03\0" {
            return Err(malformed("a first event that names the algorithms"));
        }
        self.skip(8)?;
        let count = u32::from_le_bytes(self.take()?);
        if !(1..=ALGORITHMS_MAX).contains(&count) {
            return Err(malformed("1 to 8 digest algorithms"));
        }
        let mut sizes = Vec::new();
        for _ in 0..count {
            let (algorithm, size) = (u16::from_le_bytes(self.take()?), u16::from_le_bytes(self.take()?));
            sizes.push((algorithm, usize::from(size)));
        }
        let [vendor] = self.take::<1>()?;
        self.skip(usize::from(vendor))?;
        if self.at == end { Ok(sizes) } else { Err(malformed("a first event of its own length")) }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], CollectError> {
        let bytes = self.log.get(self.at..).and_then(|rest| rest.first_chunk()).copied();
        self.at += N;
        bytes.ok_or_else(|| self.short())
    }

    fn skip(&mut self, len: usize) -> Result<(), CollectError> {
        self.at = self.at.saturating_add(len);
        if self.at <= self.log.len() { Ok(()) } else { Err(self.short()) }
    }

    fn short(&self) -> CollectError {
        CollectError::Length { what: LOG, expected: self.at as u64, got: self.log.len() as u64 }
    }
}

/// Register, type and digest count of what is not an event.
fn is_unused(head: &[u8]) -> bool {
    head.iter().all(|&byte| byte == 0xFF) || head.iter().all(|&byte| byte == 0)
}

fn malformed(expected: &'static str) -> CollectError {
    CollectError::Format { what: LOG, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of one event, with every byte that steers the walk.
    fn log() -> Vec<u8> {
        let mut log = vec![0; 28];
        log.extend_from_slice(b"\x21\0\0\0Spec ID Event03\0\0\0\0\0\0\x02\0\x02\x01\0\0\0\x0c\0\x30\0\0");
        log.extend_from_slice(b"\x01\0\0\0\x01\0\0\0\x01\0\0\0\x0c\0");
        log.extend_from_slice(&[0xd1; 48]);
        log.extend_from_slice(b"\x03\0\0\0abc");
        log
    }

    #[test]
    fn no_changed_byte_leads_a_walk_out_of_its_log() {
        let genuine = log();
        assert_eq!(Walk { log: &genuine, at: 0 }.used().expect("genuine"), genuine.len());
        for at in 0..genuine.len() {
            for byte in 0..=u8::MAX {
                let mut changed = genuine.clone();
                changed[at] = byte;
                if let Ok(used) = (Walk { log: &changed, at: 0 }).used() {
                    assert!(used <= changed.len(), "byte {at} as {byte:#x}: {used}");
                }
            }
        }
    }

    #[test]
    fn no_changed_byte_makes_a_quote_longer_than_its_buffer() {
        for version in [4, 5] {
            let mut genuine = vec![0; 800];
            genuine[0] = version;
            genuine[50..54].copy_from_slice(&584u32.to_le_bytes());
            for at in (0..60).chain(620..660) {
                for byte in 0..=u8::MAX {
                    let mut changed = genuine.clone();
                    changed[at] = byte;
                    if let Ok(quote) = trim(changed) {
                        assert!(quote.bytes.len() <= genuine.len(), "byte {at} as {byte:#x}");
                    }
                }
            }
        }
    }
}
