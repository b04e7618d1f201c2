//! TDX evidence: the quote's own length, the event log's own end, and what the launcher bound.

use std::fs;

use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_attestation::{Hex, LaunchConfig};
use tiltyard_enclave::collect::{CollectError, LaunchDigest};

use crate::kernel::{ASKED, Machine, Script};

/// A quote of version 4, or of 5 with a body of `body_len`, with `signature_len` bytes of signature data.
fn quote(version: u16, body_len: usize, signature_len: usize) -> Vec<u8> {
    let mut quote = vec![0; 48];
    quote[..2].copy_from_slice(&version.to_le_bytes());
    if version == 5 {
        quote.extend_from_slice(&[3, 0]);
        quote.extend_from_slice(&(body_len as u32).to_le_bytes());
    }
    let mut body = vec![0x11; body_len];
    body[184..232].fill(0x3c);
    body[520..584].copy_from_slice(ASKED.bytes());
    quote.extend(body);
    quote.extend_from_slice(&(signature_len as u32).to_le_bytes());
    quote.extend(vec![0x22; signature_len]);
    quote
}

fn event(register: u32, digest: u8, data: &[u8]) -> Vec<u8> {
    let mut event = register.to_le_bytes().to_vec();
    event.extend_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0]);
    event.extend([digest; 48]);
    event.extend_from_slice(&(data.len() as u32).to_le_bytes());
    event.extend_from_slice(data);
    event
}

/// The first event, naming SHA-384, and two more.
fn log() -> Vec<u8> {
    let mut log = [1u32.to_le_bytes(), 3u32.to_le_bytes()].concat();
    log.extend([0; 20]);
    log.extend_from_slice(&33u32.to_le_bytes());
    log.extend_from_slice(b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02\x01\0\0\0\x0c\0\x30\0\0");
    log.extend(event(1, 0xa1, b"first"));
    log.extend(event(4, 0xa2, b""));
    log
}

fn table(log_len: u64) -> Vec<u8> {
    let mut table = b"CCEL\x38\0\0\0\x01\0OEMID ".to_vec();
    table.resize(36, 0x20);
    table.extend_from_slice(&[2, 0, 0, 0]);
    table.extend_from_slice(&log_len.to_le_bytes());
    table.extend_from_slice(&0xbedb_f000_u64.to_le_bytes());
    seal(&mut table);
    table
}

/// Makes the bytes add up to zero.
fn seal(table: &mut [u8]) {
    table[9] = 0;
    table[9] = table.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
}

struct Parts {
    buffer: Vec<u8>,
    table: Vec<u8>,
    log: Vec<u8>,
}

impl Parts {
    fn genuine() -> Self {
        let mut memory = log();
        memory.resize(4096, 0xFF);
        Self { buffer: quote(4, 584, 100), table: table(4096), log: memory }
    }

    fn with_log(memory: Vec<u8>) -> Self {
        Self { table: table(memory.len() as u64), log: memory, ..Self::genuine() }
    }

    fn collect(&self) -> Result<(Vec<u8>, Vec<u8>, LaunchDigest), CollectError> {
        let machine = Machine::new();
        machine.serves(vec![Script::tdx(self.buffer.clone())]);
        fs::write(machine.at("CCEL"), &self.table).unwrap();
        fs::write(machine.at("CCEL-data"), &self.log).unwrap();
        let collected = machine.collect()?;
        let launch = collected.launch();
        match collected.into_evidence() {
            CpuEvidence::Tdx { quote, event_log } => Ok((quote.0, event_log.0, launch)),
            CpuEvidence::Snp { .. } => panic!("SNP"),
        }
    }
}

fn quote_refused(buffer: Vec<u8>) -> CollectError {
    Parts { buffer, ..Parts::genuine() }.collect().unwrap_err()
}

#[test]
fn spare_bytes_behind_a_quote_are_cut_off() {
    for (version, body_len) in [(4, 584), (5, 584), (5, 648), (5, 885)] {
        let exact = quote(version, body_len, 100);
        for spare in [0, 1, 39, 3065] {
            let mut buffer = exact.clone();
            buffer.extend(vec![0x0a; spare]);
            let (collected, ..) = Parts { buffer, ..Parts::genuine() }.collect().unwrap();
            assert_eq!(collected, exact, "version {version}, {spare} spare bytes");
        }
    }
}

#[test]
fn a_quote_shorter_than_its_own_fields_is_refused() {
    for whole in [quote(4, 584, 8), quote(5, 648, 8)] {
        // Around every field that a length is read from, and evenly between.
        for len in (0..60).chain((60..whole.len()).step_by(37)).chain(whole.len() - 14..whole.len()) {
            let error = quote_refused(whole[..len].to_vec());
            let CollectError::Length { what: "TDX quote", expected, got } = error else { panic!("{error}") };
            assert!(got == len as u64 && expected > got, "{len}: {expected}");
        }
    }
}

#[test]
fn lengths_that_no_quote_has_are_refused() {
    for version in [0, 1, 3, 6, u16::MAX] {
        let mut buffer = quote(4, 584, 8);
        buffer[..2].copy_from_slice(&version.to_le_bytes());
        assert!(matches!(quote_refused(buffer), CollectError::Format { what: "TDX quote", .. }), "{version}");
    }
    for body_len in [0u32, 1, 583] {
        let mut buffer = quote(5, 584, 8);
        buffer[50..54].copy_from_slice(&body_len.to_le_bytes());
        let error = quote_refused(buffer);
        assert!(
            matches!(error, CollectError::Length { what: "TDX quote body", expected: 584, .. }),
            "{error}"
        );
    }
    for body_len in [5000, u32::MAX - 60, u32::MAX] {
        let mut buffer = quote(5, 584, 8);
        buffer[50..54].copy_from_slice(&body_len.to_le_bytes());
        assert!(
            matches!(quote_refused(buffer), CollectError::Length { what: "TDX quote", .. }),
            "{body_len}"
        );
    }
    for signature_len in [16 * 1024 - 636 + 1, u32::MAX] {
        let mut buffer = quote(4, 584, 8);
        buffer[632..636].copy_from_slice(&signature_len.to_le_bytes());
        let error = quote_refused(buffer);
        assert!(matches!(error, CollectError::TooLarge { what: "TDX quote", limit: 16384 }), "{error}");
    }
    let (largest, ..) =
        Parts { buffer: quote(4, 584, 16 * 1024 - 636), ..Parts::genuine() }.collect().unwrap();
    assert_eq!(largest.len(), 16 * 1024);
}

#[test]
fn a_quote_over_other_data_is_not_ours() {
    for at in [48 + 520, 48 + 583] {
        let mut buffer = quote(4, 584, 8);
        buffer[at] ^= 0x80;
        assert!(matches!(quote_refused(buffer), CollectError::NotOurs { what: "TDX quote" }), "{at}");
    }
}

#[test]
fn the_launch_digest_is_mrconfigid() {
    for buffer in [quote(4, 584, 8), quote(5, 648, 8)] {
        let (.., launch) = Parts { buffer, ..Parts::genuine() }.collect().unwrap();
        assert_eq!(launch, LaunchDigest::ConfigId(Hex([0x3c; 48])));
        let document = b"a launch configuration";
        assert_eq!(launch.of_same_form(document), LaunchDigest::ConfigId(LaunchConfig::d384(document)));
    }
}

#[test]
fn the_unused_end_of_a_log_is_cut_off() {
    for filler in [0xFF, 0x00] {
        for spare in [0, 1, 11, 12, 4000] {
            let mut memory = log();
            memory.resize(log().len() + spare, filler);
            let (_, collected, _) = Parts::with_log(memory).collect().unwrap();
            assert_eq!(collected, log(), "{spare} bytes of {filler:#x}");
        }
    }
}

#[test]
fn a_log_that_ends_inside_an_event_is_refused() {
    let whole = log();
    let (first, second) = (65, 65 + event(1, 0xa1, b"first").len());
    for len in 0..whole.len() {
        match Parts::with_log(whole[..len].to_vec()).collect() {
            // Less than the head of an event is unused memory; at an event's end the log is just shorter.
            Ok((_, collected, _)) => {
                let end = if len < second { first } else { second };
                assert!((end..end + 12).contains(&len), "cut to {len}");
                assert_eq!(collected, whole[..end]);
            }
            Err(CollectError::Length { what: "CCEL event log", expected, got }) => {
                assert!(got == len as u64 && expected > got, "cut to {len}");
            }
            Err(error) => panic!("cut to {len}: {error}"),
        }
    }
}

#[test]
fn lengths_inside_a_log_are_bounded() {
    let change = |at: usize, bytes: &[u8]| {
        let mut memory = log();
        memory[at..at + bytes.len()].copy_from_slice(bytes);
        Parts::with_log(memory).collect().unwrap_err()
    };
    let first = 65;
    let long = change(first + 62, &u32::MAX.to_le_bytes());
    assert!(matches!(long, CollectError::Length { what: "CCEL event log", .. }), "{long}");
    let format = [
        change(28, &34u32.to_le_bytes()),
        change(32, b"Spec ID Event02"),
        change(56, &0u32.to_le_bytes()),
        change(56, &9u32.to_le_bytes()),
        change(56, &u32::MAX.to_le_bytes()),
        change(64, &[1]),
        change(first + 8, &2u32.to_le_bytes()),
        change(first + 8, &u32::MAX.to_le_bytes()),
        change(first + 12, &[0x0b, 0]),
    ];
    for error in format {
        assert!(matches!(error, CollectError::Format { what: "CCEL event log", .. }), "{error}");
    }
    let crowd: Vec<u8> = (0..4097).flat_map(|_| [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).collect();
    let error = Parts::with_log([&log()[..first], &crowd].concat()).collect().unwrap_err();
    assert!(matches!(error, CollectError::TooLarge { what: "CCEL events", limit: 4096 }), "{error}");
    assert!(Parts::with_log([&log()[..first], &crowd[16..]].concat()).collect().is_ok());
}

#[test]
fn a_log_over_the_limit_or_of_another_length_than_its_table_says_is_refused() {
    let mut memory = log();
    memory.resize(256 * 1024, 0xFF);
    assert!(Parts::with_log(memory.clone()).collect().is_ok());
    memory.push(0xFF);
    let error = Parts::with_log(memory).collect().unwrap_err();
    assert!(matches!(error, CollectError::TooLarge { what: "CCEL event log", limit: 262_144 }), "{error}");
    for stated in [0, 4095, 4097, u64::MAX] {
        let error = Parts { table: table(stated), ..Parts::genuine() }.collect().unwrap_err();
        let CollectError::Length { what: "CCEL event log", expected, got: 4096 } = error else {
            panic!("{error}");
        };
        assert_eq!(expected, stated);
    }
}

#[test]
fn a_table_that_is_not_a_tdx_ccel_is_refused() {
    let change = |at: usize, byte: u8| {
        let mut changed = table(4096);
        changed[at] = byte;
        seal(&mut changed);
        Parts { table: changed, ..Parts::genuine() }.collect().unwrap_err()
    };
    for error in [change(0, b'c'), change(4, 57), change(7, 1), change(36, 1), change(36, 0)] {
        assert!(matches!(error, CollectError::Format { what: "ACPI table CCEL", .. }), "{error}");
    }
    let mut unsealed = table(4096);
    unsealed[9] ^= 1;
    let error = Parts { table: unsealed, ..Parts::genuine() }.collect().unwrap_err();
    assert!(matches!(error, CollectError::Format { expected: "bytes that add up to zero", .. }), "{error}");
    for len in [0, 36, 55] {
        let short = Parts { table: table(4096)[..len].to_vec(), ..Parts::genuine() };
        let error = short.collect().unwrap_err();
        assert!(
            matches!(error, CollectError::Length { what: "ACPI table CCEL", expected: 56, .. }),
            "{error}"
        );
    }
    let long = Parts { table: [table(4096), vec![0]].concat(), ..Parts::genuine() };
    let error = long.collect().unwrap_err();
    assert!(matches!(error, CollectError::TooLarge { what: "ACPI table CCEL", limit: 56 }), "{error}");
}

#[test]
fn a_guest_without_an_event_log_says_so() {
    for absent in ["CCEL", "CCEL-data"] {
        let machine = Machine::new();
        machine.serves(vec![Script::tdx(quote(4, 584, 8))]);
        fs::write(machine.at("CCEL"), table(4096)).unwrap();
        fs::write(machine.at("CCEL-data"), Parts::genuine().log).unwrap();
        fs::remove_file(machine.at(absent)).unwrap();
        let error = machine.collect().unwrap_err();
        assert!(matches!(error, CollectError::Absent { what: "CCEL event log", .. }), "{error}");
    }
}
