//! Firmware and kernels that this test builds, and the vectors on disk.
//!
//! `vectors/measure/golden.py` builds the same files on its own; their SHA-256 must agree.

use std::fs;

use tiltyard_attestation::Hex;

pub const PAGE: usize = 4096;

pub type Guid = [u8; 16];

/// GUIDs as they stand in a file.
const FOOTER: Guid = *b"\xde\x82\xb5\x96\xb2\x1f\xf7\x45\xba\xea\xa3\x66\xc5\x5a\x08\x2d";
pub const RESET: Guid = *b"\xde\x71\xf7\x00\x7e\x1a\xcb\x4f\x89\x0e\x68\xc7\x7e\x2f\xb4\x4e";
pub const SECRET: Guid = *b"\x61\xb3\x2e\x4c\x9b\x7d\xc3\x4c\x80\x81\x12\x7c\x90\xd3\xd2\x94";
pub const HASHES: Guid = *b"\x1f\x37\x55\x72\x3b\x3a\x04\x4b\x92\x7b\x1d\xa6\xef\xa8\xd4\x54";
pub const SEV: Guid = *b"\x66\x65\x88\xdc\x4a\x98\x98\x47\xa7\x5e\x55\x85\xa7\xbf\x67\xcc";
pub const TDX: Guid = *b"\x35\x65\x7a\xe4\x4a\x98\x98\x47\x86\x5e\x46\x85\xa7\xbf\x8e\xc2";

/// Distances of the metadata tables from the end of the file.
pub const SEV_AT: usize = 0x400;
pub const TDVF_AT: usize = 0x800;

/// Address, size, type.
pub type SevSection = [u32; 3];
/// Data offset, data size, address, memory size, type, attributes.
pub type TdvfSection = (u32, u32, u64, u64, u32, u32);

pub const SEV_SECTIONS: [SevSection; 6] = [
    [0x80_0000, 0x5000, 0x1],
    [0x80_d000, 0x1000, 0x2],
    [0x80_e000, 0x1000, 0x3],
    [0x80_f000, 0x2000, 0x4],
    [0x81_1000, 0x1000, 0x10],
    [0x81_2000, 0x3000, 0x1],
];
pub const HASH_TABLE: [u32; 2] = [0x81_1a40, 0x200];
pub const RESET_VECTOR: u32 = 0x80_b004;

pub const TDVF_SECTIONS: [TdvfSection; 5] = [
    (0x8000, 0x18000, 0xfffe_8000, 0x18000, 0, 1),
    (0, 0x8000, 0xfffe_0000, 0x8000, 1, 0),
    (0, 0, 0x81_0000, 0x4000, 3, 0),
    (0, 0, 0x80_9000, 0x2000, 2, 0),
    (0, 0, 0x80_b000, 0x1000, 3, 0),
];

/// SHA-256(label || counter), little-endian u32 counter, cut to `len`.
pub fn stream(label: &str, len: usize) -> Vec<u8> {
    let blocks = (0u32..).map(|counter| Hex::sha256(&[label.as_bytes(), &counter.to_le_bytes()].concat()).0);
    blocks.take(len.div_ceil(32)).flatten().take(len).collect()
}

pub fn le(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A stream of `pages` pages, with `tables` at their distances from the end and a GUID table of `entries`.
pub fn firmware(
    label: &str,
    pages: usize,
    entries: &[(Guid, Vec<u8>)],
    tables: &[(usize, Vec<u8>)],
) -> Vec<u8> {
    let mut image = stream(label, pages * PAGE);
    let len = image.len();
    for (distance, table) in tables {
        image[len - distance..len - distance + table.len()].copy_from_slice(table);
    }
    put_footer(&mut image, entries);
    image
}

/// Writes a GUID table that ends 32 bytes before the end.
fn put_footer(image: &mut [u8], entries: &[(Guid, Vec<u8>)]) {
    let mut guids = Vec::new();
    for (guid, data) in entries {
        guids.extend(data);
        guids.extend((data.len() as u16 + 18).to_le_bytes());
        guids.extend(guid);
    }
    guids.extend((guids.len() as u16 + 18).to_le_bytes());
    guids.extend(FOOTER);
    let end = image.len() - 32;
    image[end - guids.len()..end].copy_from_slice(&guids);
}

pub fn sev_table(sections: &[SevSection]) -> Vec<u8> {
    let rows: Vec<u8> = sections.iter().flat_map(|section| le(section)).collect();
    [b"ASEV".to_vec(), le(&[16 + rows.len() as u32, 1, sections.len() as u32]), rows].concat()
}

pub fn tdvf_table(sections: &[TdvfSection]) -> Vec<u8> {
    let rows: Vec<u8> = sections
        .iter()
        .flat_map(|(offset, size, address, memory, kind, attributes)| {
            let memory = [address.to_le_bytes(), memory.to_le_bytes()].concat();
            [le(&[*offset, *size]), memory, le(&[*kind, *attributes])].concat()
        })
        .collect();
    [b"TDVF".to_vec(), le(&[16 + rows.len() as u32, 1, sections.len() as u32]), rows].concat()
}

/// The entries of an AmdSev build.
pub fn sev_entries() -> Vec<(Guid, Vec<u8>)> {
    vec![
        (SEV, le(&[SEV_AT as u32])),
        (HASHES, le(&HASH_TABLE)),
        (SECRET, le(&[0x81_1000, 0xa00])),
        (RESET, le(&[RESET_VECTOR])),
    ]
}

/// Firmware with a page for the kernel's hashes.
pub fn sev_firmware() -> Vec<u8> {
    firmware("sev firmware", 16, &sev_entries(), &[(SEV_AT, sev_table(&SEV_SECTIONS))])
}

/// The same with other sections.
pub fn sev_firmware_with(sections: &[SevSection]) -> Vec<u8> {
    firmware("sev firmware", 16, &sev_entries(), &[(SEV_AT, sev_table(sections))])
}

pub fn tdx_firmware() -> Vec<u8> {
    tdx_firmware_with(&TDVF_SECTIONS)
}

pub fn tdx_firmware_with(sections: &[TdvfSection]) -> Vec<u8> {
    let entries = [(TDX, le(&[TDVF_AT as u32]))];
    firmware("tdx firmware", 32, &entries, &[(TDVF_AT, tdvf_table(sections))])
}

/// PE32+ of two sections with a Linux setup header, and `certificates` bytes of certificates at the end.
pub fn kernel(label: &str, len: usize, certificates: usize) -> Vec<u8> {
    let mut image = stream(label, len);
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    let end = (len - certificates) as u32;
    put(0, b"MZ");
    put(0x3c, &le(&[0x40]));
    put(0x40, b"PE\0\0\x64\x86\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\xa0\0\x06\x02");
    put(0x58, &[0; 160]);
    put(0x58, &[0x0b, 0x02]);
    put(0x58 + 60, &le(&[0x400]));
    put(0x58 + 64, &stream("checksum", 4));
    put(0x58 + 108, &le(&[6]));
    if certificates > 0 {
        put(0x58 + 144, &le(&[end, certificates as u32]));
    }
    for (index, (name, start, stop)) in
        [(*b".text\0\0\0", 0xc00, end), (*b".setup\0\0", 0x400, 0xc00)].into_iter().enumerate()
    {
        let size = stop - start;
        let row = [name.to_vec(), le(&[size, start, size, start, 0, 0, 0, 0x6000_0020])].concat();
        put(0xf8 + 40 * index, &row);
    }
    put(0x1f1, &[1]);
    put(0x202, b"HdrS\x0f\x02");
    put(0x210, &[0, 1]);
    put(0x22c, &le(&[0x7fff_ffff]));
    put(0x236, &[0x7f, 0]);
    image
}

/// A file of `vectors/measure`.
pub fn vector(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/vectors/measure/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub fn amd_sev() -> Vec<u8> {
    vector("ovmf_AmdSev_suffix.bin")
}

pub fn ovmf_x64() -> Vec<u8> {
    vector("ovmf_OvmfX64_suffix.bin")
}
