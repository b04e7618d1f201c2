//! One attestation report in the layout of SNP ABI 56860, table ATTESTATION_REPORT; little endian, 1,184 bytes.

use sha2::{Digest, Sha256};
use tiltyard_attestation::policy::{Product, Tcb};

/// Length of every report version.
pub const REPORT_BYTES: usize = 1184;
/// Bytes that the signature covers.
pub const SIGNED_BYTES: usize = 0x2A0;

/// Guest policy: bit 17 is reserved and must be one, bit 16 allows SMT.
const POLICY: u64 = 0x3_0000;
/// SMT on, ECC memory, alias check complete.
const PLATFORM_INFO: u64 = 0b10_0101;

/// Every field of a report. Genuine by default for its product; a test changes one and signs again.
#[derive(Debug, Clone)]
pub struct ReportFields {
    pub product: Product,
    pub version: u32,
    pub guest_svn: u32,
    pub policy: u64,
    pub family_id: [u8; 16],
    pub image_id: [u8; 16],
    pub vmpl: u32,
    pub sig_algo: u32,
    pub current_tcb: Tcb,
    pub platform_info: u64,
    pub key_info: u32,
    pub report_data: [u8; 64],
    pub measurement: [u8; 48],
    pub host_data: [u8; 32],
    pub id_key_digest: [u8; 48],
    pub author_key_digest: [u8; 48],
    /// Drawn from measurement and host data when `None`.
    pub report_id: Option<[u8; 32]>,
    pub report_id_ma: [u8; 32],
    pub reported_tcb: Tcb,
    /// Family, model, stepping; written from version 3 on.
    pub cpuid: [u8; 3],
    pub chip_id: [u8; 64],
    pub committed_tcb: Tcb,
    /// Build, minor, major.
    pub current_firmware: [u8; 3],
    /// Build, minor, major.
    pub committed_firmware: [u8; 3],
    pub launch_tcb: Tcb,
    /// Written from version 5 on.
    pub launch_mitigations: u64,
    /// Written from version 5 on.
    pub current_mitigations: u64,
    /// Overwritten last, before signing: offset and byte.
    pub patches: Vec<(usize, u8)>,
}

impl ReportFields {
    /// A report that breaks no rule: `version` 2 to 5, and the chip's identity.
    pub fn genuine(product: Product, version: u32, chip_id: [u8; 64]) -> Self {
        let tcb = newest_tcb(product);
        let firmware = match product {
            Product::Milan | Product::Genoa => [29, 55, 1],
            Product::Turin => [55, 1, 1],
        };
        Self {
            product,
            version,
            guest_svn: 0,
            policy: POLICY,
            family_id: [0; 16],
            image_id: [0; 16],
            vmpl: 0,
            sig_algo: 1,
            current_tcb: tcb,
            platform_info: PLATFORM_INFO,
            key_info: 0,
            report_data: [0; 64],
            measurement: [0; 48],
            host_data: [0; 32],
            id_key_digest: [0; 48],
            author_key_digest: [0; 48],
            report_id: None,
            report_id_ma: [0xff; 32],
            reported_tcb: tcb,
            cpuid: match product {
                Product::Milan => [0x19, 0x01, 1],
                Product::Genoa => [0x19, 0x11, 1],
                Product::Turin => [0x1a, 0x02, 1],
            },
            chip_id,
            committed_tcb: tcb,
            current_firmware: firmware,
            committed_firmware: firmware,
            launch_tcb: tcb,
            launch_mitigations: 0,
            current_mitigations: 0,
            patches: Vec::new(),
        }
    }

    /// The bytes, with the signature still zero.
    pub fn encode(&self) -> Vec<u8> {
        let mut report = vec![0; REPORT_BYTES];
        let mut put = |offset: usize, bytes: &[u8]| {
            report.iter_mut().skip(offset).zip(bytes).for_each(|(to, from)| *to = *from);
        };
        put(0x000, &self.version.to_le_bytes());
        put(0x004, &self.guest_svn.to_le_bytes());
        put(0x008, &self.policy.to_le_bytes());
        put(0x010, &self.family_id);
        put(0x020, &self.image_id);
        put(0x030, &self.vmpl.to_le_bytes());
        put(0x034, &self.sig_algo.to_le_bytes());
        put(0x038, &tcb_bytes(self.product, self.current_tcb));
        put(0x040, &self.platform_info.to_le_bytes());
        put(0x048, &self.key_info.to_le_bytes());
        put(0x050, &self.report_data);
        put(0x090, &self.measurement);
        put(0x0C0, &self.host_data);
        put(0x0E0, &self.id_key_digest);
        put(0x110, &self.author_key_digest);
        put(0x140, &self.report_id.unwrap_or_else(|| self.drawn_report_id()));
        put(0x160, &self.report_id_ma);
        put(0x180, &tcb_bytes(self.product, self.reported_tcb));
        if self.version >= 3 {
            put(0x188, &self.cpuid);
        }
        put(0x1A0, &self.chip_id);
        put(0x1E0, &tcb_bytes(self.product, self.committed_tcb));
        put(0x1E8, &self.current_firmware);
        put(0x1EC, &self.committed_firmware);
        put(0x1F0, &tcb_bytes(self.product, self.launch_tcb));
        if self.version >= 5 {
            put(0x1F8, &self.launch_mitigations.to_le_bytes());
            put(0x200, &self.current_mitigations.to_le_bytes());
        }
        self.patches.iter().for_each(|(offset, byte)| put(*offset, &[*byte]));
        report
    }

    fn drawn_report_id(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.measurement);
        hash.update(self.host_data);
        hash.finalize().into()
    }
}

/// Security versions of a fully updated machine of the simulator.
pub fn newest_tcb(product: Product) -> Tcb {
    match product {
        Product::Milan => Tcb { fmc: 0, bootloader: 4, tee: 0, snp: 24, microcode: 219 },
        Product::Genoa => Tcb { fmc: 0, bootloader: 10, tee: 0, snp: 24, microcode: 84 },
        Product::Turin => Tcb { fmc: 1, bootloader: 2, tee: 1, snp: 4, microcode: 72 },
    }
}

/// TCB_VERSION: Milan and Genoa `bl, tee, 0 x 4, snp, ucode`; Turin `fmc, bl, tee, snp, 0 x 3, ucode`.
pub fn tcb_bytes(product: Product, tcb: Tcb) -> [u8; 8] {
    let Tcb { fmc, bootloader, tee, snp, microcode } = tcb;
    match product {
        Product::Milan | Product::Genoa => [bootloader, tee, 0, 0, 0, 0, snp, microcode],
        Product::Turin => [fmc, bootloader, tee, snp, 0, 0, 0, microcode],
    }
}
