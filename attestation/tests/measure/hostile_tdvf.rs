//! TDX firmware that lies about itself.

use tiltyard_attestation::Hex;
use tiltyard_attestation::measure::tdx::{self, PageOrder};
use tiltyard_attestation::measure::{
    Entry, FIRMWARE_MAX_BYTES, MeasureError, Part, SECTIONS_MAX, SECTIONS_MAX_BYTES, Table,
};

use crate::synthetic::{
    PAGE, TDVF_AT, TDVF_SECTIONS, TDX, TdvfSection, firmware, le, ovmf_x64, sev_firmware, tdvf_table,
    tdx_firmware, tdx_firmware_with,
};

const META: Table = Table::TdvfMetadata;

fn mrtd(firmware: &[u8]) -> Result<Hex<48>, MeasureError> {
    let per_page = tdx::mrtd(firmware, PageOrder::PerPage);
    let per_section = tdx::mrtd(firmware, PageOrder::PerSection);
    assert_eq!(per_page.as_ref().err(), per_section.as_ref().err());
    per_page
}

/// One section replaced.
fn with(index: usize, section: TdvfSection) -> Vec<u8> {
    let mut sections = TDVF_SECTIONS.to_vec();
    sections[index] = section;
    tdx_firmware_with(&sections)
}

#[test]
fn every_truncation_is_refused() {
    let file = tdx_firmware();
    for len in (0..file.len()).rev().take(2 * PAGE).chain(0..PAGE) {
        assert!(mrtd(&file[..len]).is_err(), "{len} bytes");
    }
    for pages in 1..32 {
        // A cut at the front moves the sections' data out of the file, or leaves a firmware that is another.
        let cut = &file[pages * PAGE..];
        assert_ne!(mrtd(cut), mrtd(&file), "{pages} pages less");
    }
}

#[test]
fn a_flip_in_the_measured_volume_shows_and_one_elsewhere_does_not() {
    let file = tdx_firmware();
    let good = mrtd(&file).unwrap();
    let (table, end) = (file.len() - TDVF_AT, file.len() - TDVF_AT + 16 + 5 * 32);
    for at in (0..0x8000).step_by(97) {
        let mut flipped = file.clone();
        flipped[at] ^= 1;
        assert_eq!(mrtd(&flipped), Ok(good), "byte {at:#x} of the configuration volume");
    }
    for at in (0x8000..file.len()).step_by(97).chain(table..end) {
        let mut flipped = file.clone();
        flipped[at] ^= 1;
        assert_ne!(mrtd(&flipped), Ok(good), "byte {at:#x} of the boot volume");
    }
}

#[test]
fn firmware_for_another_technology_is_refused() {
    let refused = Err(MeasureError::EntryMissing { entry: Entry::TdvfMetadata });
    assert_eq!(mrtd(&sev_firmware()), refused);
    // The tables of a genuine build, without the volumes that they point to.
    let refused = MeasureError::SectionData {
        table: META,
        index: 0,
        offset: 0x8_4000,
        size: 0x37_c000,
        memory: 0x37_c000,
    };
    assert_eq!(mrtd(&ovmf_x64()), Err(refused));
    let large = vec![0; FIRMWARE_MAX_BYTES + PAGE];
    let (limit, got) = (FIRMWARE_MAX_BYTES, large.len());
    assert_eq!(mrtd(&large), Err(MeasureError::TooLarge { part: Part::TdxFirmware, limit, got }));
    assert_eq!(mrtd(&large[..PAGE + 1]), Err(MeasureError::FirmwareLength { got: PAGE + 1 }));
}

#[test]
fn metadata_that_lies_about_its_place_or_size_is_refused() {
    let len = 32 * PAGE;
    for offset in [0, 15, len as u32 + 1, 0x8000_0000, u32::MAX] {
        let entries = [(TDX, le(&[offset]))];
        let file = firmware("tdx firmware", 32, &entries, &[(TDVF_AT, tdvf_table(&TDVF_SECTIONS))]);
        assert_eq!(mrtd(&file), Err(MeasureError::MetadataOffset { table: META, offset, len }));
    }
    for got in [0, 3, 5, 8] {
        let file = firmware("tdx firmware", 32, &[(TDX, vec![1; got])], &[]);
        let refused = MeasureError::EntryLength { entry: Entry::TdvfMetadata, expected: 4, got };
        assert_eq!(mrtd(&file), Err(refused));
    }
    let header = |word: usize, value: u32| {
        let mut file = tdx_firmware();
        let at = len - TDVF_AT + 4 * word;
        file[at..at + 4].copy_from_slice(&value.to_le_bytes());
        mrtd(&file)
    };
    assert_eq!(header(0, 0), Err(MeasureError::MetadataSignature { table: META }));
    assert_eq!(header(2, 2), Err(MeasureError::MetadataVersion { table: META, expected: 1, got: 2 }));
    for got in [SECTIONS_MAX as u32 + 1, 0x0800_0000, u32::MAX] {
        assert_eq!(header(3, got), Err(MeasureError::SectionCount { table: META, limit: SECTIONS_MAX, got }));
    }
    for got in [0, 175, 177, u32::MAX] {
        let refused = MeasureError::TableLength { table: META, limit: TDVF_AT, got: got as usize };
        assert_eq!(header(1, got), Err(refused));
    }
    // 64 sections do not fit between the table's start and the end of the file.
    let entries = [(TDX, le(&[0x400]))];
    let rows = vec![TDVF_SECTIONS[2]; 64];
    let mut table = tdvf_table(&rows);
    table.truncate(16);
    let file = firmware("tdx firmware", 32, &entries, &[(0x400, table)]);
    let refused = MeasureError::TableLength { table: META, limit: 0x400, got: 16 + 64 * 32 };
    assert_eq!(mrtd(&file), Err(refused));
}

#[test]
fn a_section_of_unknown_type_is_refused() {
    // Types 4 to 8 belong to other firmware (td-shim); QEMU refuses them too.
    for got in [4, 5, 6, 7, 8, 0x100, u32::MAX] {
        let file = with(2, (0, 0, 0x81_0000, 0x4000, got, 0));
        assert_eq!(mrtd(&file), Err(MeasureError::SectionType { table: META, index: 2, got }));
    }
}

#[test]
fn a_section_that_is_empty_unaligned_or_too_high_is_refused() {
    let ranges = [
        (0x81_0000, 0),
        (0, 0),
        (0x81_0001, 0x1000),
        (0x81_0000, 0x1001),
        (0xffff_f000, 0x2000),
        (u64::MAX - 0xfff, 0x1000),
        (u64::MAX - 0xfff, 0x2000),
        (0x1000, u64::MAX - 0xfff),
        (1 << 32, 0x1000),
    ];
    for (address, size) in ranges {
        let file = with(2, (0, 0, address, size, 3, 0));
        assert_eq!(mrtd(&file), Err(MeasureError::SectionRange { table: META, index: 2, address, size }));
    }
}

#[test]
fn data_that_is_not_as_long_as_its_memory_is_refused() {
    let volume = |offset, size, memory| (offset, size, 0xfffe_8000, memory, 0, 1);
    let cases = [
        (0, volume(0x8000, 0, 0x18000)),
        (0, volume(0x8000, 0x17000, 0x18000)),
        (0, volume(0x8000, 0x18000, 0x17000)),
        (0, volume(0x9000, 0x18000, 0x18000)),
        (0, volume(u32::MAX, 0x18000, 0x18000)),
        (0, volume(0xffff_f000, 0x18000, 0x18000)),
        (2, (0, 1, 0x81_0000, 0x4000, 3, 0)),
        (2, (0, 0x4000, 0x81_0000, 0x4000, 3, 0)),
        (3, (0, 0x2000, 0x80_9000, 0x2000, 2, 0)),
    ];
    for (index, section) in cases {
        let (offset, size, _, memory, _, _) = section;
        let refused = MeasureError::SectionData { table: META, index, offset, size, memory };
        assert_eq!(mrtd(&with(index, section)), Err(refused));
    }
}

#[test]
fn attributes_that_calculators_read_differently_are_refused() {
    for (index, got) in [(0, 2), (0, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, u32::MAX)] {
        let (offset, size, address, memory, kind, _) = TDVF_SECTIONS[index];
        let file = with(index, (offset, size, address, memory, kind, got));
        assert_eq!(mrtd(&file), Err(MeasureError::SectionAttributes { table: META, index, got }));
    }
}

#[test]
fn firmware_that_nothing_is_measured_of_is_refused() {
    let (offset, size, address, memory, kind, _) = TDVF_SECTIONS[0];
    assert_eq!(
        mrtd(&with(0, (offset, size, address, memory, kind, 0))),
        Err(MeasureError::FirmwareUnmeasured)
    );
    assert_eq!(mrtd(&tdx_firmware_with(&TDVF_SECTIONS[1..])), Err(MeasureError::FirmwareUnmeasured));
    assert_eq!(mrtd(&tdx_firmware_with(&[])), Err(MeasureError::FirmwareUnmeasured));
}

#[test]
fn sections_that_overlap_or_take_too_much_memory_are_refused() {
    for (section, address) in [
        ((0, 0, 0x80_a000, 0x2000, 3, 0), 0x80_a000),
        ((0, 0, 0x80_8000, 0x2000, 3, 0), 0x80_9000),
        ((0, 0, 0xfffe_7000, 0x1000, 3, 0), 0xfffe_7000),
        ((0, 0, 0xffff_f000, 0x1000, 3, 0), 0xffff_f000),
    ] {
        assert_eq!(mrtd(&with(2, section)), Err(MeasureError::SectionOverlap { table: META, address }));
    }
    let rest = TDVF_SECTIONS.iter().map(|section| section.3).sum::<u64>() - TDVF_SECTIONS[2].3;
    let most = SECTIONS_MAX_BYTES - rest;
    assert!(mrtd(&with(2, (0, 0, 0x100_0000, most, 3, 0))).is_ok());
    let refused = Err(MeasureError::SectionTotal { table: META, limit: SECTIONS_MAX_BYTES });
    assert_eq!(mrtd(&with(2, (0, 0, 0x100_0000, most + 0x1000, 3, 0))), refused);
}
