//! The 1,184 bytes of ATTESTATION_REPORT, little endian (SNP ABI 56860; V2 in revision 1.51, V3 in
//! 1.56, V5 in 1.58).

use crate::Hex;
use crate::checks::{CheckId, Code};
use crate::policy::{Product, Tcb};
use crate::trace::{Judged, Stopped, Trace};

/// Exact size of a report, in bytes.
pub const REPORT_LEN: usize = 1184;
/// The signature covers everything before it.
pub(super) const SIGNED_LEN: usize = 0x2A0;

const SIGNATURE_R: usize = 0x2A0;
const SIGNATURE_S: usize = 0x2E8;
/// Size of R and S in the report; the upper 24 bytes of each are padding on P-384.
const SCALAR_FIELD: usize = 72;
const SCALAR_LEN: usize = 48;
const SIGNATURE_END: usize = 0x330;
const ALGORITHM_ECDSA_P384_SHA384: u32 = 1;

/// A report whose structure is sound; nothing in it is believed yet.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    bytes: &'a [u8; REPORT_LEN],
}

/// Firmware version at 0x1E8 and 0x1EC: build, minor, major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirmwareVersion(pub(super) [u8; 3]);

/// Bits of PLATFORM_INFO that have a name: SMT, TSME, ECC, RAPL disabled, ciphertext hiding, alias check, IOMMU write
/// safe (AMD-SB-3016; set on genuine Turin), trusted I/O. Others are reserved.
const PLATFORM_INFO_KNOWN: u64 = 0xFF;

impl<'a> Report<'a> {
    /// Reads the structure: length, version, signature algorithm, signature padding (BND-09, SNP-01..03).
    pub fn parse(bytes: &'a [u8], trace: &mut Trace) -> Result<Self, Stopped> {
        let code = if bytes.len() > REPORT_LEN { Code::TrailingBytes } else { Code::ReportLength };
        trace.exact_length(Judged::require(
            bytes.len() == REPORT_LEN,
            code,
            format_args!("{REPORT_LEN} bytes"),
            format_args!("{} bytes", bytes.len()),
        ))?;
        let bytes = bytes.try_into().map_err(|_| Stopped)?;
        let report = Self { bytes };
        let version = report.version();
        trace.gate(
            CheckId::Snp01,
            Judged::require((2..=5).contains(&version), Code::ReportVersion, "2 to 5", version),
        )?;
        let algorithm = report.u32_at(0x034);
        trace.gate(CheckId::Snp02, Judged::equal(Code::SigAlgo, ALGORITHM_ECDSA_P384_SHA384, algorithm))?;
        let padding = [
            SIGNATURE_R + SCALAR_LEN..SIGNATURE_S,
            SIGNATURE_S + SCALAR_LEN..SIGNATURE_END,
            SIGNATURE_END..REPORT_LEN,
        ];
        let nonzero: usize =
            padding.into_iter().map(|range| bytes[range].iter().filter(|&&byte| byte != 0).count()).sum();
        trace.gate(
            CheckId::Snp03,
            Judged::require(
                nonzero == 0,
                Code::SigPaddingNonZero,
                "all padding zero",
                format_args!("{nonzero} other bytes"),
            ),
        )?;
        Ok(report)
    }

    /// The bytes under the signature, as received.
    pub(super) fn signed(&self) -> &'a [u8] {
        &self.bytes[..SIGNED_LEN]
    }

    /// R and S, big endian, 48 bytes each.
    pub(super) fn signature(&self) -> [u8; 2 * SCALAR_LEN] {
        const { assert!(SIGNATURE_R + SCALAR_FIELD == SIGNATURE_S) };
        let mut out = [0; 2 * SCALAR_LEN];
        let (r, s) = out.split_at_mut(SCALAR_LEN);
        r.copy_from_slice(&self.bytes[SIGNATURE_R..SIGNATURE_R + SCALAR_LEN]);
        s.copy_from_slice(&self.bytes[SIGNATURE_S..SIGNATURE_S + SCALAR_LEN]);
        r.reverse();
        s.reverse();
        out
    }

    pub(crate) fn version(&self) -> u32 {
        self.u32_at(0x000)
    }

    pub(crate) fn guest_svn(&self) -> u32 {
        self.u32_at(0x004)
    }

    pub(crate) fn policy(&self) -> u64 {
        self.u64_at(0x008)
    }

    pub(super) fn family_and_image_id(&self) -> Hex<32> {
        Hex(self.array(0x010))
    }

    pub(crate) fn vmpl(&self) -> u32 {
        self.u32_at(0x030)
    }

    pub(crate) fn platform_info(&self) -> u64 {
        self.u64_at(0x040)
    }

    pub(super) fn key_info(&self) -> u32 {
        self.u32_at(0x048)
    }

    pub(crate) fn report_data(&self) -> Hex<64> {
        Hex(self.array(0x050))
    }

    pub(crate) fn measurement(&self) -> Hex<48> {
        Hex(self.array(0x090))
    }

    pub(crate) fn host_data(&self) -> Hex<32> {
        Hex(self.array(0x0C0))
    }

    pub(super) fn id_key_digest(&self) -> Hex<48> {
        Hex(self.array(0x0E0))
    }

    pub(super) fn author_key_digest(&self) -> Hex<48> {
        Hex(self.array(0x110))
    }

    pub(super) fn report_id_ma(&self) -> Hex<32> {
        Hex(self.array(0x160))
    }

    /// CPUID family, model and stepping; none in a version 2 report.
    pub(super) fn cpuid(&self) -> Option<[u8; 3]> {
        (self.version() >= 3).then(|| self.array(0x188))
    }

    pub(crate) fn chip_id(&self) -> Hex<64> {
        Hex(self.array(0x1A0))
    }

    pub(super) fn current_tcb(&self) -> [u8; 8] {
        self.array(0x038)
    }

    pub(super) fn reported_tcb(&self) -> [u8; 8] {
        self.array(0x180)
    }

    pub(super) fn committed_tcb(&self) -> [u8; 8] {
        self.array(0x1E0)
    }

    pub(super) fn launch_tcb(&self) -> [u8; 8] {
        self.array(0x1F0)
    }

    pub(super) fn current_version(&self) -> FirmwareVersion {
        FirmwareVersion(self.array(0x1E8))
    }

    pub(super) fn committed_version(&self) -> FirmwareVersion {
        FirmwareVersion(self.array(0x1EC))
    }

    /// Mitigation vectors at launch and now; version 5 only.
    pub(super) fn mitigations(&self) -> Option<(u64, u64)> {
        (self.version() >= 5).then(|| (self.u64_at(0x1F8), self.u64_at(0x200)))
    }

    /// First reserved byte or bit that is not zero, by offset (SNP-05).
    pub(super) fn first_reserved(&self, product: Product) -> Option<String> {
        let byte_ranges = [
            0x04C..0x050,
            if self.version() >= 3 { 0x18B..0x1A0 } else { 0x188..0x1A0 },
            0x1EB..0x1EC,
            0x1EF..0x1F0,
            if self.version() >= 5 { 0x208..0x2A0 } else { 0x1F8..0x2A0 },
        ];
        let in_bytes = byte_ranges.into_iter().flatten().find(|&at| self.bytes[at] != 0);
        let in_tcb = [0x038, 0x180, 0x1E0, 0x1F0]
            .into_iter()
            .flat_map(|base| tcb_reserved(product).map(move |byte| base + byte))
            .find(|&at| self.bytes[at] != 0);
        if let Some(at) = in_bytes.or(in_tcb) {
            return Some(format!("byte {at:#05x} is {:#04x}", self.bytes[at]));
        }
        let masked = [
            ("guest policy", self.policy() & !0x03FF_FFFF),
            ("platform info", self.platform_info() & !PLATFORM_INFO_KNOWN),
            ("key info", u64::from(self.key_info() & !0x0000_001F)),
        ];
        masked.into_iter().find(|&(_, bits)| bits != 0).map(|(what, bits)| format!("{what} has {bits:#x}"))
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[at..at + N]);
        out
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}

/// TCB_VERSION: Milan and Genoa `bl, tee, 4 reserved, snp, ucode`; Turin `fmc, bl, tee, snp, 3
/// reserved, ucode`.
pub(super) fn tcb(product: Product, bytes: [u8; 8]) -> Tcb {
    match product {
        Product::Milan | Product::Genoa => {
            Tcb { fmc: 0, bootloader: bytes[0], tee: bytes[1], snp: bytes[6], microcode: bytes[7] }
        }
        Product::Turin => {
            Tcb { fmc: bytes[0], bootloader: bytes[1], tee: bytes[2], snp: bytes[3], microcode: bytes[7] }
        }
    }
}

fn tcb_reserved(product: Product) -> std::ops::Range<usize> {
    match product {
        Product::Milan | Product::Genoa => 2..6,
        Product::Turin => 4..7,
    }
}
