//! What a device measures and what its manifests expect: one table a family, in the shape of the genuine ones.

use sha2::{Digest, Sha384};

use super::firmware::Firmware;
use super::spdm::{Block, VALUE_BYTES};
use super::{Architecture, Spelled};

/// Which manifest carries an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Driver,
    Vbios,
}

/// One active index of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    pub source: Source,
    /// Counts from 0; the report's block is the next one.
    pub index: u8,
    pub name: String,
    pub alternatives: Vec<[u8; VALUE_BYTES]>,
    /// What the device measures: one of the alternatives.
    pub measured: [u8; VALUE_BYTES],
}

/// Index, beginning and end of its name, and its alternatives: a letter each, `z` for zeros, the measured one in
/// upper case.
type Row = (Source, u8, &'static str, &'static str, &'static str);

/// Blocks of a report: all indexes of a GPU, and those of a switch.
const GPU_BLOCKS: u8 = 64;
const SWITCH_BLOCKS: u8 = 31;

/// The active indexes of both manifests.
pub(super) fn golden(firmware: &Firmware) -> Vec<Golden> {
    let rows = match firmware.architecture {
        Architecture::Hopper => HOPPER,
        Architecture::Blackwell => BLACKWELL,
        Architecture::Ls10 => LS10,
    };
    rows.iter().map(|row| expand(firmware, row)).collect()
}

/// The blocks of a genuine report of this firmware; zeros where nothing is measured.
pub fn blocks(firmware: &Firmware) -> Vec<Block> {
    let golden = golden(firmware);
    let count = if firmware.architecture.is_switch() { SWITCH_BLOCKS } else { GPU_BLOCKS };
    let measured = |index| golden.iter().find(|one| one.index == index).map(|one| one.measured);
    (0..count).map(|index| Block::genuine(index + 1, measured(index).unwrap_or([0; VALUE_BYTES]))).collect()
}

/// SHA-384 over the parts, each after its length: a value that nothing outside the simulator has.
pub(super) fn digest(parts: &[&str]) -> [u8; VALUE_BYTES] {
    let mut hash = Sha384::new();
    hash.update(b"tiltyard/simulator/nvidia/measurement/1\0");
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

fn expand(firmware: &Firmware, (source, index, before, after, letters): &Row) -> Golden {
    let version = match source {
        Source::Driver => firmware.driver.to_owned(),
        Source::Vbios => firmware.vbios_text(),
    };
    let value = |letter: char| match letter.to_ascii_lowercase() {
        'z' => [0; VALUE_BYTES],
        other => {
            let parts = [index.to_string(), other.to_string()];
            digest(&[firmware.architecture.product(), &version, &parts[0], &parts[1]])
        }
    };
    let measured = letters.chars().find(char::is_ascii_uppercase).map(value);
    Golden {
        source: *source,
        index: *index,
        name: format!("{before}_{index}{after}"),
        alternatives: letters.chars().map(value).collect(),
        measured: measured.unwrap_or([0; VALUE_BYTES]),
    }
}

const PLAIN: &str = "Measurement";
const HASHED: &str = "HashedMeasurement";
const MIXED: &str = "MixedMeasurement";
const MIXED_HASHED: &str = "MixedHashedMeasurement";

/// Active indexes, names and alternatives of the driver manifest 550.144.03 and the VBIOS manifest 96.00.5E.00.01.
#[rustfmt::skip]
const HOPPER: &[Row] = &[
    (Source::Vbios, 0, PLAIN, "", "Z"),
    (Source::Vbios, 1, HASHED, "_FSP", "A"),
    (Source::Vbios, 2, HASHED, "_FSP", "A"),
    (Source::Vbios, 3, HASHED, "_FSP", "A"),
    (Source::Vbios, 4, HASHED, "_FSP", "A"),
    (Source::Vbios, 5, HASHED, "_FSP", "A"),
    (Source::Vbios, 6, HASHED, "_FSP", "A"),
    (Source::Driver, 7, PLAIN, "", "A"),
    (Source::Vbios, 8, PLAIN, "", "Z"),
    (Source::Vbios, 9, PLAIN, "", "A"),
    (Source::Vbios, 10, PLAIN, "", "Z"),
    (Source::Vbios, 11, PLAIN, "", "A"),
    (Source::Vbios, 12, PLAIN, "", "Zabc"),
    (Source::Driver, 21, MIXED, "", "A"),
    (Source::Driver, 22, MIXED, "", "A"),
    (Source::Driver, 23, MIXED, "", "aZ"),
    (Source::Driver, 24, MIXED, "", "aZ"),
    (Source::Driver, 25, MIXED, "", "A"),
    (Source::Driver, 26, MIXED, "", "A"),
    (Source::Driver, 27, MIXED, "", "A"),
    (Source::Driver, 28, PLAIN, "", "Z"),
    (Source::Driver, 29, MIXED, "", "A"),
    (Source::Driver, 30, MIXED, "", "A"),
    (Source::Driver, 31, MIXED, "", "A"),
    (Source::Driver, 32, HASHED, "_GSP", "Ab"),
    (Source::Driver, 33, HASHED, "_GSP", "Ab"),
    (Source::Driver, 34, MIXED_HASHED, "", "Ab"),
    (Source::Driver, 35, PLAIN, "", "abcD"),
    (Source::Driver, 36, HASHED, "_GSP", "Abc"),
    (Source::Driver, 37, HASHED, "_GSP", "A"),
    (Source::Driver, 38, HASHED, "_GSP", "A"),
    (Source::Driver, 39, MIXED, "", "A"),
    (Source::Driver, 40, MIXED, "", "A"),
];

/// No Blackwell manifest is public: the blocks that are not zero in the report of 575.32, split as on Hopper.
#[rustfmt::skip]
const BLACKWELL: &[Row] = &[
    (Source::Vbios, 0, PLAIN, "", "Z"),
    (Source::Vbios, 1, PLAIN, "", "Z"),
    (Source::Vbios, 2, HASHED, "_FSP", "A"),
    (Source::Vbios, 3, HASHED, "_FSP", "A"),
    (Source::Vbios, 4, HASHED, "_FSP", "A"),
    (Source::Vbios, 5, PLAIN, "", "Z"),
    (Source::Vbios, 6, HASHED, "_FSP", "A"),
    (Source::Driver, 7, PLAIN, "", "Z"),
    (Source::Vbios, 8, PLAIN, "", "A"),
    (Source::Vbios, 11, PLAIN, "", "A"),
    (Source::Vbios, 12, PLAIN, "", "abC"),
    (Source::Vbios, 13, PLAIN, "", "A"),
    (Source::Vbios, 14, PLAIN, "", "A"),
    (Source::Vbios, 15, PLAIN, "", "A"),
    (Source::Vbios, 17, PLAIN, "", "A"),
    (Source::Vbios, 18, PLAIN, "", "A"),
    (Source::Vbios, 19, PLAIN, "", "A"),
    (Source::Vbios, 20, PLAIN, "", "A"),
    (Source::Driver, 21, MIXED, "", "A"),
    (Source::Driver, 22, MIXED, "", "A"),
    (Source::Driver, 23, MIXED, "", "aZ"),
    (Source::Driver, 24, MIXED, "", "aZ"),
    (Source::Driver, 25, MIXED, "", "A"),
    (Source::Driver, 26, MIXED, "", "A"),
    (Source::Driver, 27, MIXED, "", "A"),
    (Source::Driver, 28, PLAIN, "", "Z"),
    (Source::Driver, 29, MIXED, "", "A"),
    (Source::Driver, 30, MIXED, "", "A"),
    (Source::Driver, 31, MIXED, "", "A"),
    (Source::Driver, 32, HASHED, "_GSP", "Ab"),
    (Source::Driver, 33, HASHED, "_GSP", "Ab"),
    (Source::Driver, 34, MIXED_HASHED, "", "aZ"),
    (Source::Driver, 35, PLAIN, "", "abcD"),
    (Source::Driver, 36, HASHED, "_GSP", "Abc"),
    (Source::Driver, 37, HASHED, "_GSP", "A"),
    (Source::Driver, 38, HASHED, "_GSP", "A"),
    (Source::Driver, 39, MIXED, "", "A"),
    (Source::Driver, 40, MIXED, "", "A"),
    (Source::Driver, 41, MIXED, "", "A"),
];

/// The switch manifest 96.10.55.00.01: 31 active indexes, the third of four alternatives where the board decides.
#[rustfmt::skip]
const LS10: &[Row] = &[
    (Source::Vbios, 0, HASHED, "_FSP", "A"),
    (Source::Vbios, 1, HASHED, "_FSP", "A"),
    (Source::Vbios, 2, HASHED, "_FSP", "A"),
    (Source::Vbios, 3, HASHED, "_FSP", "A"),
    (Source::Vbios, 4, PLAIN, "", "A"),
    (Source::Vbios, 5, PLAIN, "", "Z"),
    (Source::Vbios, 6, PLAIN, "", "A"),
    (Source::Vbios, 7, PLAIN, "", "Z"),
    (Source::Vbios, 8, PLAIN, "", "A"),
    (Source::Vbios, 9, PLAIN, "", "zAbc"),
    (Source::Vbios, 10, PLAIN, "", "abCa"),
    (Source::Vbios, 11, PLAIN, "", "abAa"),
    (Source::Vbios, 12, PLAIN, "", "zzZz"),
    (Source::Vbios, 13, PLAIN, "", "zzZz"),
    (Source::Vbios, 14, PLAIN, "", "aaBa"),
    (Source::Vbios, 15, PLAIN, "", "zzZz"),
    (Source::Vbios, 16, PLAIN, "", "zzZz"),
    (Source::Vbios, 17, PLAIN, "", "zzZz"),
    (Source::Vbios, 18, PLAIN, "", "abCd"),
    (Source::Vbios, 19, PLAIN, "", "abCd"),
    (Source::Vbios, 20, PLAIN, "", "abCd"),
    (Source::Vbios, 21, PLAIN, "", "abCd"),
    (Source::Vbios, 22, PLAIN, "", "abCd"),
    (Source::Vbios, 23, PLAIN, "", "abCd"),
    (Source::Vbios, 24, PLAIN, "", "abCd"),
    (Source::Vbios, 25, PLAIN, "", "abCd"),
    (Source::Vbios, 26, PLAIN, "", "A"),
    (Source::Vbios, 27, HASHED, "_FSP", "A"),
    (Source::Vbios, 28, PLAIN, "", "A"),
    (Source::Vbios, 29, PLAIN, "", "A"),
    (Source::Vbios, 30, PLAIN, "", "A"),
];
