//! The save area that a vCPU starts from (APM volume 2, table B-4), as each VMM fills it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Hex;
use crate::measure::hash::{DIGEST_LEN, sha384};
use crate::measure::{MeasureError, PAGE};

use super::chain::PageType;
use super::vcpu::VcpuModel;

/// Where the boot processor starts.
pub(super) const BOOT_VECTOR: u32 = 0xFFFF_FFF0;
/// Guest address that KVM gives every save area: -1, page-aligned, cut to 48 bits.
pub(super) const GUEST_ADDRESS: u64 = 0xFFFF_FFFF_F000;

/// SEV_FEATURES bit 0.
const SNP_ACTIVE: u64 = 1;

/// Who creates the guest; VMMs differ in a few registers of the save area and in page types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vmm {
    /// QEMU on KVM.
    Qemu,
    /// Amazon EC2 (PR 60 of `sev-snp-measure`, matched to a live report in April 2026).
    Ec2,
    /// Amazon EC2 as `sev` 8.0.0 and older releases of `sev-snp-measure` calculate it: RDX is 0.
    Ec2RdxZero,
    /// Google Compute Engine on Milan (google/gce-tcb-verifier, `sev/ld_from_ovmf.go`): no direct boot.
    Gce,
}

/// SEV_FEATURES of every vCPU; bit 0, SNPActive, is set.
///
/// QEMU on a kernel that swaps debug registers has 0x21, otherwise 0x1. As JSON: 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SevFeatures(u64);

/// What the VMMs fill differently.
struct Registers {
    cs_attributes: u16,
    ss_attributes: u16,
    tr_attributes: u16,
    pat: u64,
    rdx: u64,
    mxcsr: u32,
    x87_control: u16,
}

/// A segment register in the save area: selector u16, attributes u16, limit u32, base u64.
struct Segment {
    selector: u16,
    attributes: u16,
    base: u64,
}

impl SevFeatures {
    /// Refuses a value without SNPActive.
    pub fn new(bits: u64) -> Result<Self, MeasureError> {
        if bits & SNP_ACTIVE == 0 {
            return Err(MeasureError::FeaturesWithoutSnp { got: bits });
        }
        Ok(Self(bits))
    }

    /// The register's value.
    pub fn bits(&self) -> u64 {
        self.0
    }
}

impl Vmm {
    /// Type of the pages that the firmware wants validated before it starts.
    pub(super) fn secure_memory(self) -> PageType {
        match self {
            Self::Qemu | Self::Ec2 | Self::Ec2RdxZero => PageType::Zero,
            Self::Gce => PageType::Unmeasured,
        }
    }

    /// Whether the CPUID page comes after all other sections.
    pub(super) fn adds_cpuid_last(self) -> bool {
        match self {
            Self::Ec2 | Self::Ec2RdxZero => true,
            Self::Qemu | Self::Gce => false,
        }
    }

    fn registers(self, vector: u32, model: VcpuModel) -> Registers {
        // PAT at reset (APM volume 2, 7.8.2), and RDX of a processor without CPUID in KVM.
        let (reset_pat, reset_rdx) = (0x0007_0406_0007_0406, 0x600);
        let ec2 = |rdx| Registers {
            cs_attributes: if vector == BOOT_VECTOR { 0x9a } else { 0x9b },
            ss_attributes: 0x92,
            tr_attributes: 0x83,
            pat: reset_pat,
            rdx,
            mxcsr: 0,
            x87_control: 0,
        };
        match self {
            Self::Qemu => Registers {
                cs_attributes: 0x9b,
                ss_attributes: 0x93,
                tr_attributes: 0x8b,
                pat: reset_pat,
                rdx: u64::from(model.signature()),
                mxcsr: 0x1f80,
                x87_control: 0x37f,
            },
            Self::Ec2 => ec2(reset_rdx),
            Self::Ec2RdxZero => ec2(0),
            Self::Gce => Registers {
                cs_attributes: 0x9b,
                ss_attributes: 0x93,
                tr_attributes: 0x8b,
                pat: 0x0007_0106,
                rdx: reset_rdx,
                mxcsr: 0,
                x87_control: 0,
            },
        }
    }
}

/// SHA-384 of the save area of a vCPU that starts at `vector`.
pub(super) fn digest(vector: u32, vmm: Vmm, model: VcpuModel, features: SevFeatures) -> [u8; DIGEST_LEN] {
    sha384(&*save_area(vector, vmm, model, features))
}

fn save_area(vector: u32, vmm: Vmm, model: VcpuModel, features: SevFeatures) -> Box<[u8; PAGE]> {
    let registers = vmm.registers(vector, model);
    let mut area = Box::new([0; PAGE]);
    let data = |attributes| Segment { selector: 0, attributes, base: 0 };
    let code = Segment {
        selector: 0xf000,
        attributes: registers.cs_attributes,
        base: u64::from(vector & 0xffff_0000),
    };
    put_segment(&mut area, 0x000, &data(0x93)); // ES
    put_segment(&mut area, 0x010, &code);
    put_segment(&mut area, 0x020, &data(registers.ss_attributes));
    put_segment(&mut area, 0x030, &data(0x93)); // DS
    put_segment(&mut area, 0x040, &data(0x93)); // FS
    put_segment(&mut area, 0x050, &data(0x93)); // GS
    put_segment(&mut area, 0x060, &data(0)); // GDTR
    put_segment(&mut area, 0x070, &data(0x82)); // LDTR
    put_segment(&mut area, 0x080, &data(0)); // IDTR
    put_segment(&mut area, 0x090, &data(registers.tr_attributes));
    for (offset, value) in [
        (0x0D0, 0x1000),                     // EFER: KVM sets SVME
        (0x148, 0x40),                       // CR4: KVM sets MCE
        (0x158, 0x10),                       // CR0
        (0x160, 0x400),                      // DR7
        (0x168, 0xffff_0ff0),                // DR6
        (0x170, 0x2),                        // RFLAGS
        (0x178, u64::from(vector & 0xffff)), // RIP
        (0x268, registers.pat),
        (0x310, registers.rdx),
        (0x3B0, features.0),
        (0x3E8, 0x1), // XCR0
    ] {
        put(&mut area, offset, &u64::to_le_bytes(value));
    }
    put(&mut area, 0x408, &registers.mxcsr.to_le_bytes());
    put(&mut area, 0x410, &registers.x87_control.to_le_bytes());
    area
}

fn put_segment(area: &mut [u8; PAGE], offset: usize, segment: &Segment) {
    put(area, offset, &segment.selector.to_le_bytes());
    put(area, offset + 2, &segment.attributes.to_le_bytes());
    put(area, offset + 4, &0xffff_u32.to_le_bytes()); // limit
    put(area, offset + 8, &segment.base.to_le_bytes());
}

/// `offset` is one of the constants above, all of them inside the page.
fn put(area: &mut [u8; PAGE], offset: usize, value: &[u8]) {
    area[offset..offset + value.len()].copy_from_slice(value);
}

impl Serialize for SevFeatures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Hex(self.0.to_be_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SevFeatures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bits = Hex::<8>::deserialize(deserializer)?;
        Self::new(u64::from_be_bytes(bits.0)).map_err(de::Error::custom)
    }
}
