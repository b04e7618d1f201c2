//! MRTD and the run-time registers of a TDX guest.
//!
//! MRTD covers the firmware and is exact. RTMR1 (kernel) and RTMR2 (command line, initrd) are predicted
//! for QEMU's direct boot of one kernel with an EFI stub. RTMR0 holds what the VMM generates (HOB, ACPI),
//! so its events are held against the image's list instead; RTMR3 belongs to the guest.
//!
//! Sources: TDX Module Base Architecture Specification (348549), "MRTD: Build-Time Measurement Register"
//! and the leaves TDH.MEM.PAGE.ADD and TDH.MR.EXTEND; TDX Virtual Firmware Design Guide (344991), chapter
//! 11; edk2 `OvmfPkg/Tcg/TdTcg2Dxe`; QEMU `hw/i386/tdvf.c`, `hw/i386/x86-common.c`. Nothing here was
//! compared with hardware but the replay of one genuine event log (`tests/measure/tdx.rs`).

mod boot;
mod kernel;
mod mrtd;
mod pe;
mod rtmr;
mod tdvf;

use serde::{Deserialize, Serialize};

pub use boot::{rtmr1_events, rtmr2_events};
pub use kernel::kernel_digest;
pub use mrtd::mrtd;
pub use pe::authenticode_sha384;
pub use rtmr::{EVENTS_MAX, rtmr, rtmr0};

/// What the digests depend on beside the files. VMM and firmware decide it, so it is part of an image's
/// manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchProfile {
    pub page_order: PageOrder,
    pub kernel: KernelForm,
    pub separator: Separator,
}

/// In which order the VMM adds pages and extends MRTD with what they hold. Not verified on hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageOrder {
    /// Each page is extended right after it is added: Linux 6.16 and newer (`tdx_gmem_post_populate`),
    /// and QEMU 9 in dstack's calculator.
    PerPage,
    /// All pages of a section are added, then all are extended: the kernels before upstreaming, Contrast's
    /// calculator, and QEMU 8 in dstack's.
    PerSection,
}

/// In which form the firmware is given the kernel, and so measures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum KernelForm {
    /// The file as it is: fw_cfg `etc/boot/kernel` of QEMU 10.0, read by an edk2 that looks for it.
    File,
    /// With the setup header that QEMU fills in, where the place of the initrd depends on the guest's
    /// memory.
    SetupHeader { memory_mib: u32 },
}

/// Whether the firmware writes a separator into RTMR1 before the kernel starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Separator {
    /// `TdTcg2Dxe` since it maps RTMR1 (edk2 2024), seen in a log of Google's COS 113.
    Present,
    /// Before that.
    Absent,
}
