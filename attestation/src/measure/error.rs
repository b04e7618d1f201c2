//! Why nothing was measured.

use std::fmt;

use crate::Hex;

/// A table of the firmware file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Table {
    /// The GUID table that ends 32 bytes before the end of the file.
    Footer,
    /// `ASEV`: what an SNP launch adds beside the firmware.
    SevMetadata,
    /// `TDVF`: what a TDX launch adds.
    TdvfMetadata,
}

/// An entry of the firmware's GUID table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// Where the secondary processors start (SEV-ES and SNP).
    ResetBlock,
    /// Where QEMU writes the kernel's hashes.
    HashTable,
    /// Where the SEV metadata stands.
    SevMetadata,
    /// Where the TDVF metadata stands.
    TdvfMetadata,
}

/// A file that goes into a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    SnpFirmware,
    TdxFirmware,
    Kernel,
    Initrd,
}

/// Why an image can't be measured, grouped by what is at fault.
///
/// Addresses and sizes are bytes in the guest's physical address space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    // The firmware file.
    #[error("{part}: expected at most {limit} bytes, found {got}")]
    TooLarge { part: Part, limit: usize, got: usize },
    #[error("firmware: expected whole pages of 4096 bytes, found {got} bytes")]
    FirmwareLength { got: usize },
    #[error("firmware: no GUID table ends 32 bytes before the end of the file\n  this is not an OVMF image")]
    FooterMissing,
    #[error("{table}: a length of {got} bytes does not fit; {limit} remain")]
    TableLength { table: Table, limit: usize, got: usize },
    #[error("footer table: one GUID stands in it twice; readers differ in which they take")]
    EntryTwice,
    #[error("footer table: expected an entry for the {entry}, found none")]
    EntryMissing { entry: Entry },
    #[error("footer table: expected {expected} bytes for the {entry}, found {got}")]
    EntryLength { entry: Entry, expected: usize, got: usize },
    #[error("{table}: an offset of {offset} bytes from the end leaves a file of {len} bytes")]
    MetadataOffset { table: Table, offset: u32, len: usize },
    #[error("{table}: wrong signature")]
    MetadataSignature { table: Table },
    #[error("{table}: expected version {expected}, found {got}")]
    MetadataVersion { table: Table, expected: u32, got: u32 },
    #[error("{table}: expected at most {limit} sections, found {got}")]
    SectionCount { table: Table, limit: usize, got: u32 },
    #[error("{table}: section {index} has type {got}, which has no known measurement")]
    SectionType { table: Table, index: usize, got: u32 },
    #[error("{table}: section {index} has attributes {got:#x}; calculators differ in what they mean here")]
    SectionAttributes { table: Table, index: usize, got: u32 },
    #[error(
        "{table}: section {index}, {size} bytes at {address:#x}, is empty, not of whole pages or too high"
    )]
    SectionRange { table: Table, index: usize, address: u64, size: u64 },
    #[error(
        "{table}: section {index} takes {size} bytes at {offset} of the file, and {memory} bytes in memory"
    )]
    SectionData { table: Table, index: usize, offset: u32, size: u32, memory: u64 },
    #[error("{table}: two sections, or a section and the firmware, overlap at {address:#x}")]
    SectionOverlap { table: Table, address: u64 },
    #[error("{table}: a second section of type {got}")]
    SectionTwice { table: Table, got: u32 },
    #[error("{table}: expected sections of at most {limit} bytes in all, found more")]
    SectionTotal { table: Table, limit: u64 },
    #[error("the firmware has nothing that a TDX launch would measure the content of")]
    FirmwareUnmeasured,

    // Direct boot.
    #[error(
        "the firmware has no place for the kernel's hashes, so the kernel would go unmeasured\n  \
         supply an OVMF built from OvmfPkg/AmdSev, a unified kernel image, or IGVM"
    )]
    NoKernelHashes,
    #[error("the firmware's hash table at {base:#x} with {size} bytes is not inside its kernel-hash page")]
    HashTableArea { base: u32, size: u32 },
    #[error(
        "command line: expected printable ASCII without blanks at its ends\n  \
         write it as it is to be measured"
    )]
    CmdlineNotCanonical,
    #[error("command line: expected at most {limit} bytes, found {got}")]
    CmdlineTooLong { limit: usize, got: usize },
    #[error("command line: `vga=` makes QEMU change the kernel's header\n  leave it out")]
    CmdlineVga,
    #[error("kernel: not a bzImage with an EFI stub that can be measured ({0})")]
    KernelFormat(&'static str),
    #[error("initrd: {got} bytes do not fit below {limit:#x} in the guest's memory")]
    InitrdPlace { limit: u64, got: usize },
    #[error("this VMM starts firmware only; a kernel can't be part of its launch digest")]
    KernelWithoutDirectBoot,

    // The launch.
    #[error("expected 1 to {limit} vCPUs, found {got}")]
    VcpuCount { limit: u32, got: u32 },
    #[error("unknown vCPU model\n  `VcpuModel::names` lists those that are known")]
    VcpuModelUnknown,
    #[error("SEV_FEATURES {got:#x} lacks bit 0 (SNPActive), without which no SNP guest starts")]
    FeaturesWithoutSnp { got: u64 },
    #[error("the firmware's reset block names address 0, so a secondary processor has no start")]
    ResetVectorZero,

    // The manifest.
    #[error("image manifest: expected at most {limit} bytes, found {got}")]
    ManifestTooLarge { limit: usize, got: usize },
    #[error("image manifest: {0}")]
    ManifestSyntax(String),
    #[error("image manifest: not in canonical form (RFC 8785)\n  write it with ImageManifest::to_bytes")]
    ManifestNotCanonical,
    #[error("image manifest: expected version {expected}, found {got}")]
    ManifestVersion { expected: u8, got: u8 },
    #[error("image manifest: {what} holds {got} rows, expected at most {limit}")]
    ManifestRows { what: &'static str, limit: usize, got: usize },
    #[error("image manifest: {what} stands in it twice")]
    ManifestTwice { what: &'static str },
    #[error("{part}: named in the manifest but not given, or given but not named")]
    PartPresence { part: Part },
    #[error("{part}: expected {expected} bytes, found {got}")]
    PartLength { part: Part, expected: u64, got: u64 },
    #[error("{part}: expected SHA-256 {expected}, found {got}")]
    PartDigest { part: Part, expected: Hex<32>, got: Hex<32> },
    #[error("{what}: the manifest says {expected}, the files measure to {got}")]
    Expected { what: &'static str, expected: Hex<48>, got: Hex<48> },

    // Event logs.
    #[error("event {index} of the register is not on the image's list: {got}")]
    UnknownEvent { index: usize, got: Hex<48> },
    #[error("expected at most {limit} events, found {got}")]
    EventCount { limit: usize, got: usize },
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Footer => "footer table",
            Self::SevMetadata => "SEV metadata",
            Self::TdvfMetadata => "TDVF metadata",
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResetBlock => "SEV-ES reset block",
            Self::HashTable => "kernel hash table",
            Self::SevMetadata => "SEV metadata",
            Self::TdvfMetadata => "TDVF metadata",
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SnpFirmware => "SNP firmware",
            Self::TdxFirmware => "TDX firmware",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
        })
    }
}
