//! SNP firmware that lies about itself.

use tiltyard_attestation::Hex;
use tiltyard_attestation::measure::snp::{self, Firmware, KernelHashes, Launch, SevFeatures, VcpuModel, Vmm};
use tiltyard_attestation::measure::{
    CommandLine, Entry, FIRMWARE_MAX_BYTES, MeasureError, Part, SECTIONS_MAX, SECTIONS_MAX_BYTES, Table,
};

use crate::synthetic::{
    Guid, HASHES, PAGE, RESET, SECRET, SEV, SEV_AT, SEV_SECTIONS, SevSection, amd_sev, firmware, le,
    sev_entries, sev_firmware, sev_firmware_with, sev_table,
};

const META: Table = Table::SevMetadata;

fn kernel() -> KernelHashes {
    KernelHashes::of(b"kernel", b"initrd", &CommandLine::new("quiet").unwrap())
}

fn digest(firmware: &[u8], kernel: Option<KernelHashes>) -> Result<Hex<48>, MeasureError> {
    digest_of(Firmware::Whole(firmware), kernel)
}

fn digest_of(firmware: Firmware<'_>, kernel: Option<KernelHashes>) -> Result<Hex<48>, MeasureError> {
    let (model, features) = ("EPYC".parse()?, SevFeatures::new(0x1)?);
    snp::launch_digest(&Launch { firmware, kernel, vmm: Vmm::Qemu, vcpus: 2, model, features })
}

fn with_entries(entries: &[(Guid, Vec<u8>)]) -> Vec<u8> {
    firmware("sev firmware", 16, entries, &[(SEV_AT, sev_table(&SEV_SECTIONS))])
}

/// The entries with the data of one replaced.
fn entries_with(guid: Guid, data: Vec<u8>) -> Vec<(Guid, Vec<u8>)> {
    let mut entries = sev_entries();
    entries.iter_mut().find(|(other, _)| *other == guid).unwrap().1 = data;
    entries
}

fn entries_without(guid: Guid) -> Vec<(Guid, Vec<u8>)> {
    sev_entries().into_iter().filter(|(other, _)| *other != guid).collect()
}

/// One section replaced.
fn sections_with(index: usize, section: SevSection) -> Vec<SevSection> {
    let mut sections = SEV_SECTIONS.to_vec();
    sections[index] = section;
    sections
}

#[test]
fn every_truncation_is_refused() {
    for file in [amd_sev(), sev_firmware()] {
        assert!(digest(&file, Some(kernel())).is_ok());
        let tail = |tail| Firmware::Tail { measured: Hex([0; 48]), tail };
        for len in 0..file.len() {
            assert!(digest(&file[..len], None).is_err(), "{len} bytes");
            assert!(digest_of(tail(&file[..len]), None).is_err(), "{len} bytes of tail");
        }
        // From the front, the tables stay whole until the cut reaches them; no cut may panic.
        for start in 1..file.len() {
            let cut = &file[start..];
            assert_eq!(digest(cut, None).is_ok(), cut.len().is_multiple_of(PAGE), "from {start}");
            let _ = digest_of(tail(cut), Some(kernel()));
        }
    }
}

#[test]
fn no_flip_in_the_tables_panics_and_a_flip_of_a_measured_page_shows() {
    let file = amd_sev();
    let good = digest(&file, Some(kernel())).unwrap();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            assert_ne!(digest(&flipped, Some(kernel())), Ok(good), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_length_that_is_not_of_whole_pages_or_too_large_is_refused() {
    let file = sev_firmware();
    for extra in [1, 32, PAGE - 1] {
        let longer = [vec![0; extra], file.clone()].concat();
        assert_eq!(digest(&longer, None), Err(MeasureError::FirmwareLength { got: longer.len() }));
        assert_eq!(snp::firmware_digest(&longer), Err(MeasureError::FirmwareLength { got: longer.len() }));
    }
    assert_eq!(digest(&[], None), Err(MeasureError::FirmwareLength { got: 0 }));
    let mut large = vec![0; FIRMWARE_MAX_BYTES + PAGE];
    let at = large.len() - file.len();
    large[at..].copy_from_slice(&file);
    let (limit, got) = (FIRMWARE_MAX_BYTES, large.len());
    let refused = MeasureError::TooLarge { part: Part::SnpFirmware, limit, got };
    assert_eq!(digest(&large, None), Err(refused.clone()));
    assert_eq!(snp::firmware_digest(&large), Err(refused.clone()));
    assert_eq!(snp::kernel_hash_page(&large), Err(refused));
    assert!(digest(&large[PAGE..], None).is_ok());
}

#[test]
fn a_footer_that_lies_about_its_length_is_refused() {
    let file = sev_firmware();
    let at = file.len() - 50;
    let table = 4 * 18 + 4 + 8 + 8 + 4 + 18;
    for lie in (0u16..=0x2000).chain([0x7fff, 0x8000, 0xffff]) {
        let mut other = file.clone();
        other[at..at + 2].copy_from_slice(&lie.to_le_bytes());
        let result = digest(&other, None);
        if usize::from(lie) == table {
            assert!(result.is_ok());
        } else {
            // A shorter table that ends between entries lacks one; all other lengths leave a piece.
            let refused = matches!(
                result,
                Err(MeasureError::TableLength { table: Table::Footer, .. }
                    | MeasureError::EntryMissing { .. })
            );
            assert!(refused, "{lie}: {result:?}");
        }
    }
    let mut other = file;
    other[at + 2] ^= 1;
    assert_eq!(digest(&other, None), Err(MeasureError::FooterMissing));
}

#[test]
fn an_entry_that_lies_about_its_length_is_refused() {
    let file = sev_firmware();
    // The last entry before the footer: the reset block of 22 bytes.
    let at = file.len() - 50 - 18;
    for lie in (0u16..22).chain(23..0x300).chain([0x7fff, 0x8000, 0xffff]) {
        let mut other = file.clone();
        other[at..at + 2].copy_from_slice(&lie.to_le_bytes());
        assert!(digest(&other, None).is_err(), "{lie}");
    }
    let cases = [(SEV, Entry::SevMetadata, 4), (RESET, Entry::ResetBlock, 4), (HASHES, Entry::HashTable, 8)];
    for (guid, entry, expected) in cases {
        for got in (0..16).filter(|len| *len != expected) {
            let other = with_entries(&entries_with(guid, vec![1; got]));
            assert_eq!(digest(&other, None), Err(MeasureError::EntryLength { entry, expected, got }));
        }
    }
}

#[test]
fn a_missing_or_doubled_entry_is_refused() {
    for (guid, entry) in [(SEV, Entry::SevMetadata), (RESET, Entry::ResetBlock)] {
        let other = with_entries(&entries_without(guid));
        assert_eq!(digest(&other, None), Err(MeasureError::EntryMissing { entry }));
    }
    for (guid, data) in sev_entries() {
        let mut entries = sev_entries();
        entries.push((guid, data));
        assert_eq!(digest(&with_entries(&entries), None), Err(MeasureError::EntryTwice));
    }
    assert!(digest(&with_entries(&entries_without(SECRET)), Some(kernel())).is_ok());
    let nothing = with_entries(&[]);
    assert_eq!(digest(&nothing, None), Err(MeasureError::EntryMissing { entry: Entry::ResetBlock }));
    let mut no_table = sev_firmware();
    let len = no_table.len();
    no_table[len - 48..len - 32].fill(0);
    assert_eq!(digest(&no_table, None), Err(MeasureError::FooterMissing));
}

#[test]
fn a_kernel_needs_a_hash_table_with_base_size_and_page() {
    let cases = [
        (with_entries(&entries_without(HASHES)), MeasureError::NoKernelHashes),
        (with_entries(&entries_with(HASHES, le(&[0, 0]))), MeasureError::NoKernelHashes),
        (with_entries(&entries_with(HASHES, le(&[0, 0x200]))), MeasureError::NoKernelHashes),
        (with_entries(&entries_with(HASHES, le(&[0x81_1a40, 0]))), MeasureError::NoKernelHashes),
        (sev_firmware_with(&SEV_SECTIONS[..4]), MeasureError::NoKernelHashes),
    ];
    for (file, error) in cases {
        assert_eq!(digest(&file, Some(kernel())), Err(error.clone()));
        assert_eq!(snp::kernel_hash_page(&file), Err(error));
        assert!(digest(&file, None).is_ok());
    }
    let areas = [
        (0x81_1a40, 175),
        (0x81_1a40, 1),
        (0x81_0fff, 0x200),
        (0x81_1f51, 176),
        (0x81_1a40, u32::MAX),
        (0xffff_ffff, u32::MAX),
        (0x81_2000, 176),
        (1, 176),
    ];
    for (base, size) in areas {
        let file = with_entries(&entries_with(HASHES, le(&[base, size])));
        assert_eq!(digest(&file, Some(kernel())), Err(MeasureError::HashTableArea { base, size }));
    }
    for (base, size) in [(0x81_1000, 176), (0x81_1000, 0x1000), (0x81_1f50, 176)] {
        let file = with_entries(&entries_with(HASHES, le(&[base, size])));
        assert!(digest(&file, Some(kernel())).is_ok());
    }
}

#[test]
fn metadata_that_lies_about_its_place_or_size_is_refused() {
    let len = 16 * PAGE;
    for offset in [0, 1, 15, len as u32 + 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let file = with_entries(&entries_with(SEV, le(&[offset])));
        assert_eq!(digest(&file, None), Err(MeasureError::MetadataOffset { table: META, offset, len }));
    }
    let file = with_entries(&entries_with(SEV, le(&[len as u32])));
    assert_eq!(digest(&file, None), Err(MeasureError::MetadataSignature { table: META }));
    let header = |word: usize, value: u32| {
        let mut file = sev_firmware();
        let at = len - SEV_AT + 4 * word;
        file[at..at + 4].copy_from_slice(&value.to_le_bytes());
        digest(&file, None)
    };
    for got in [0, 2, u32::MAX] {
        assert_eq!(header(2, got), Err(MeasureError::MetadataVersion { table: META, expected: 1, got }));
    }
    for got in [SECTIONS_MAX as u32 + 1, 0x1555_5556, u32::MAX] {
        assert_eq!(header(3, got), Err(MeasureError::SectionCount { table: META, limit: SECTIONS_MAX, got }));
    }
    for got in [0, 16, 87, 89, 100, u32::MAX] {
        let refused = MeasureError::TableLength { table: META, limit: SEV_AT, got: got as usize };
        assert_eq!(header(1, got), Err(refused));
    }
    // The 32 bytes after the GUID table hold a header, but not its sections.
    let mut file = with_entries(&entries_with(SEV, le(&[32])));
    file[len - 32..].copy_from_slice(&sev_table(&SEV_SECTIONS)[..32]);
    let refused = MeasureError::TableLength { table: META, limit: 32, got: 16 + 6 * 12 };
    assert_eq!(digest(&file, None), Err(refused));
}

#[test]
fn a_section_of_unknown_type_is_refused() {
    for got in [0, 5, 6, 0xf, 0x11, 0x101, 0x0100_0001, u32::MAX] {
        let file = sev_firmware_with(&sections_with(0, [0x80_0000, 0x1000, got]));
        assert_eq!(digest(&file, None), Err(MeasureError::SectionType { table: META, index: 0, got }));
    }
}

#[test]
fn a_section_that_is_empty_unaligned_or_too_high_is_refused() {
    let cases = [
        (0, [0x80_0000, 0, 1]),
        (0, [0, 0, 1]),
        (0, [0x80_0001, 0x1000, 1]),
        (0, [0x80_0000, 0xfff, 1]),
        (0, [0xffff_f000, 0x2000, 1]),
        (0, [0xffff_f000, 0xffff_f000, 1]),
        (1, [0x80_d000, 0x2000, 2]),
        (2, [0x80_e000, 0x3000, 3]),
        (4, [0x90_0000, 0x2000, 0x10]),
        (4, [0, 0, 0x10]),
    ];
    for (index, section) in cases {
        let (address, size) = (u64::from(section[0]), u64::from(section[1]));
        let refused = MeasureError::SectionRange { table: META, index, address, size };
        assert_eq!(digest(&sev_firmware_with(&sections_with(index, section)), None), Err(refused));
    }
}

#[test]
fn sections_that_overlap_are_refused() {
    let cases = [
        ([0x80_8000, 0x6000, 1], 0x80_d000),
        ([0x80_d000, 0x1000, 1], 0x80_d000),
        ([0x81_4000, 0x1000, 1], 0x81_4000),
        ([0x70_0000, 0x20_0000, 1], 0x80_d000),
        // The firmware itself, 64 KiB below 4 GiB.
        ([0xfffe_f000, 0x2000, 1], 0xffff_0000),
        ([0xffff_f000, 0x1000, 1], 0xffff_f000),
    ];
    for (section, address) in cases {
        let file = sev_firmware_with(&sections_with(0, section));
        let refused = MeasureError::SectionOverlap { table: META, address };
        assert_eq!(digest(&file, None), Err(refused), "{section:x?}");
    }
    assert!(digest(&sev_firmware_with(&sections_with(0, [0xfffe_f000, 0x1000, 1])), None).is_ok());
    for (section, got) in
        [([0x70_0000, 0x1000, 2], 2), ([0x70_0000, 0x1000, 3], 3), ([0x70_0000, 0x1000, 0x10], 0x10)]
    {
        let file = sev_firmware_with(&sections_with(0, section));
        assert_eq!(digest(&file, None), Err(MeasureError::SectionTwice { table: META, got }));
    }
}

#[test]
fn sections_are_bounded_in_number_and_in_memory() {
    let many = |count: u32| (0..count).map(|n| [0x100_0000 + n * 0x1000, 0x1000, 1]).collect::<Vec<_>>();
    assert!(digest(&sev_firmware_with(&many(SECTIONS_MAX as u32)), None).is_ok());
    assert!(digest(&sev_firmware_with(&[]), None).is_ok());
    let most = SECTIONS_MAX_BYTES as u32;
    assert!(digest(&sev_firmware_with(&[[0x100_0000, most, 1]]), None).is_ok());
    for size in [most + 0x1000, 0xf000_0000] {
        let refused = MeasureError::SectionTotal { table: META, limit: SECTIONS_MAX_BYTES };
        assert_eq!(digest(&sev_firmware_with(&[[0, size, 1]]), None), Err(refused));
    }
}

#[test]
fn a_launch_outside_its_range_is_refused() {
    let file = sev_firmware();
    let (model, features): (VcpuModel, _) = ("EPYC".parse().unwrap(), SevFeatures::new(0x1).unwrap());
    let memory = snp::Memory::load(Firmware::Whole(&file), None, Vmm::Qemu).unwrap();
    for got in [0, 513, u32::MAX] {
        assert_eq!(memory.start(got, model, features), Err(MeasureError::VcpuCount { limit: 512, got }));
    }
    assert!(memory.start(512, model, features).is_ok());
    for got in [0, 0x20, u64::MAX - 1] {
        assert_eq!(SevFeatures::new(got), Err(MeasureError::FeaturesWithoutSnp { got }));
    }
    for name in ["", "epyc", "EPYC-v0", "EPYC-v6", "EPYC ", "EPYC-Rome-v", "Opteron_G5", "max", "host"] {
        assert_eq!(name.parse::<VcpuModel>(), Err(MeasureError::VcpuModelUnknown), "{name}");
    }
    let gce = snp::Memory::load(Firmware::Whole(&file), Some(&kernel()), Vmm::Gce);
    assert_eq!(gce.err(), Some(MeasureError::KernelWithoutDirectBoot));
    let no_reset = with_entries(&entries_with(RESET, le(&[0])));
    assert_eq!(digest(&no_reset, None), Err(MeasureError::ResetVectorZero));
}
