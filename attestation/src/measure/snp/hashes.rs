//! The table of hashes that QEMU writes for measured direct boot (QEMU `target/i386/sev.c`, read by edk2
//! `OvmfPkg/AmdSev/BlobVerifierLibSevHashes`).

use crate::Hex;
use crate::measure::CommandLine;
use crate::measure::firmware::{Guid, guid};

/// Size of the table, in bytes, padded to 16.
pub(super) const TABLE_LEN: usize = 176;
/// Size without the padding; the table carries it.
const TABLE_UNPADDED: u16 = 168;
/// Size of one entry; it carries it.
const ENTRY_LEN: u16 = 50;

const HEADER: Guid = guid(0x9438d606, 0x4f22, 0x4cc9, [0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21]);
const CMDLINE: Guid = guid(0x97d02dd8, 0xbd20, 0x4c94, [0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a]);
const INITRD: Guid = guid(0x44baf731, 0x3a2f, 0x4bd7, [0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d]);
const KERNEL: Guid = guid(0x4de79437, 0xabd2, 0x427f, [0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b]);

/// SHA-256 of what QEMU boots directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelHashes {
    /// Of the kernel file, unchanged: under SEV, QEMU does not patch its header.
    pub kernel: Hex<32>,
    /// Of the initrd file; of nothing when there is none.
    pub initrd: Hex<32>,
    /// Of the command line and its NUL.
    pub cmdline: Hex<32>,
}

impl KernelHashes {
    /// The hashes of these files; `initrd` is empty when there is none.
    pub fn of(kernel: &[u8], initrd: &[u8], cmdline: &CommandLine) -> Self {
        Self { kernel: Hex::sha256(kernel), initrd: Hex::sha256(initrd), cmdline: cmdline.sha256_with_nul() }
    }

    /// The padded table: command line, initrd, kernel.
    pub(super) fn table(&self) -> [u8; TABLE_LEN] {
        let mut bytes = Vec::with_capacity(TABLE_LEN);
        bytes.extend(HEADER);
        bytes.extend(TABLE_UNPADDED.to_le_bytes());
        for (guid, hash) in [(CMDLINE, self.cmdline), (INITRD, self.initrd), (KERNEL, self.kernel)] {
            bytes.extend(guid);
            bytes.extend(ENTRY_LEN.to_le_bytes());
            bytes.extend(hash.0);
        }
        let mut table = [0; TABLE_LEN];
        table[..TABLE_UNPADDED as usize].copy_from_slice(&bytes);
        table
    }
}
