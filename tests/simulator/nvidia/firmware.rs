//! Firmware and drivers that the genuine samples show, and what their reports say of them.

use super::measurements::{self, Golden};
use super::{Architecture, GpuMode, Spelled};

/// Which fields stand at the end of the opaque part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Driver 550: protected-PCIe flag only.
    Hopper550,
    /// Driver 590: link partners, data version and feature flag as well.
    Hopper590,
    /// Driver 575: neither flag.
    Blackwell575,
    /// As 575, with chip and feature flag: no public sample.
    BlackwellMpt,
    Ls10,
}

/// One driver on one board, or one switch firmware.
#[derive(Debug, Clone)]
pub struct Firmware {
    pub architecture: Architecture,
    pub layout: Layout,
    /// Empty on switches.
    pub driver: &'static str,
    /// Packed version: bytes 3, 2, 1, 0, 4 are its five numbers.
    pub vbios: [u8; 8],
    pub board: [u8; 4],
    pub chip_sku: &'static str,
    pub project: &'static str,
    pub project_sku: &'static str,
    pub project_sku_mod: &'static str,
    pub gpu_info: [u8; 8],
    pub cpr_info: [u8; 4],
}

/// H100 PCIe or SXM with driver 550.90.07, alone.
pub const H100_SPT: Firmware = Firmware {
    architecture: Architecture::Hopper,
    layout: Layout::Hopper550,
    driver: "550.90.07",
    vbios: [0, 0x9f, 0, 0x96, 1, 0, 0, 0],
    board: [0xb1, 3, 0, 0],
    chip_sku: "882",
    project: "1010",
    project_sku: "0200",
    project_sku_mod: "",
    gpu_info: [0x80, 1, 0, 0, 0, 0, 0, 0],
    cpr_info: [0, 0xc0, 1, 0],
};

/// H100 on an HGX board with driver 590.12, protected PCIe on.
pub const H100_PPCIE: Firmware = Firmware {
    layout: Layout::Hopper590,
    driver: "590.12",
    vbios: [0, 0xa5, 0, 0x96, 1, 0, 0, 0],
    board: [0x37, 4, 0, 0],
    chip_sku: "885",
    project: "G520",
    ..H100_SPT
};

/// B200 with driver 575.32.
pub const B200: Firmware = Firmware {
    architecture: Architecture::Blackwell,
    layout: Layout::Blackwell575,
    driver: "575.32",
    vbios: [0, 0x88, 0, 0x97, 0x0f, 0, 0, 0],
    board: [0x6f, 6, 0, 0],
    chip_sku: "886",
    project: "G525",
    project_sku: "0220",
    project_sku_mod: "0",
    gpu_info: [0xa0, 1, 0, 0, 0, 0, 0, 0],
    cpr_info: [0, 0, 4, 0],
};

/// B200 among others in multi-GPU passthrough; the version that brings the feature flag is not public.
pub const B200_MPT: Firmware = Firmware { layout: Layout::BlackwellMpt, driver: "590.12", ..B200 };

/// LS10 with BIOS 96.10.55.00.01.
pub const LS10: Firmware = Firmware {
    architecture: Architecture::Ls10,
    layout: Layout::Ls10,
    driver: "",
    vbios: [0, 0x55, 0x10, 0x96, 1, 0, 0, 0],
    board: [0; 4],
    chip_sku: "890",
    project: "5612",
    project_sku: "0002",
    project_sku_mod: "",
    gpu_info: [0; 8],
    cpr_info: [0; 4],
};

impl Firmware {
    /// `96.00.9F.00.01`.
    pub fn vbios_text(&self) -> String {
        let [a, b, c, d, e, ..] = self.vbios;
        format!("{d:02X}.{c:02X}.{b:02X}.{a:02X}.{e:02X}")
    }

    /// Digest of the firmware that signs, as certificate and report name it.
    pub fn fwid(&self) -> [u8; 48] {
        measurements::digest(&["fwid", self.architecture.product(), &self.vbios_text()])
    }

    /// What the two manifests say of this firmware, by index.
    pub fn golden(&self) -> Vec<Golden> {
        measurements::golden(self)
    }

    /// Id of the manifest for the driver, as the manifest service spells it.
    pub fn driver_rim_id(&self) -> String {
        let prefix = match self.architecture {
            Architecture::Hopper | Architecture::Ls10 => "NV_GPU_DRIVER",
            Architecture::Blackwell => "NV_GPU_CC_DRIVER",
        };
        format!("{prefix}_{}_{}", self.architecture.product(), self.driver)
    }

    /// Id of the manifest for the VBIOS, or for the BIOS of a switch.
    pub fn vbios_rim_id(&self) -> String {
        let Self { project, project_sku, chip_sku, .. } = self;
        let version = self.vbios_text().replace('.', "");
        let prefix = if self.architecture.is_switch() { "NV_SWITCH_BIOS" } else { "NV_GPU_VBIOS" };
        format!("{prefix}_{project}_{project_sku}_{chip_sku}_{version}")
    }

    pub fn mode(&self) -> GpuMode {
        match self.layout {
            Layout::Hopper550 | Layout::Blackwell575 => GpuMode::Spt,
            Layout::BlackwellMpt => GpuMode::Mpt,
            Layout::Hopper590 | Layout::Ls10 => GpuMode::Ppcie,
        }
    }

    /// Counters of the opaque part, u32 each, little endian.
    pub fn measured_times(&self) -> Vec<u8> {
        let (indexes, times): (usize, &[(usize, u32)]) = match self.architecture {
            Architecture::Hopper => (64, TIMES_ON_HOPPER),
            Architecture::Blackwell => (64, TIMES_ON_BLACKWELL),
            Architecture::Ls10 => (26, TIMES_ON_LS10),
        };
        let mut out = vec![0_u8; indexes * 4];
        for (index, value) in times {
            out.iter_mut().skip(index * 4).zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
        out
    }
}

/// Index and count, as the genuine reports of 550.90.07, 575.32 and 96.10.55.00.01 have them.
#[rustfmt::skip]
const TIMES_ON_HOPPER: &[(usize, u32)] = &[
    (1, 1), (2, 4), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (9, 1), (11, 130), (21, 2), (22, 2), (25, 1), (26, 1),
    (27, 1), (29, 1), (30, 1), (31, 1), (32, 1), (33, 1), (34, 2), (35, 1), (36, 1), (37, 1), (38, 1), (39, 1),
    (40, 1),
];
#[rustfmt::skip]
const TIMES_ON_BLACKWELL: &[(usize, u32)] = &[
    (2, 1), (3, 8), (4, 1), (6, 1), (8, 16), (11, 3), (12, 1), (13, 1), (14, 1), (15, 1), (17, 1), (18, 118),
    (19, 2), (20, 7), (21, 1), (22, 1), (25, 1), (26, 1), (27, 1), (29, 1), (30, 1), (31, 1), (32, 1), (33, 1),
    (35, 1), (36, 1), (37, 1), (38, 1), (39, 1), (40, 1), (41, 1),
];
#[rustfmt::skip]
const TIMES_ON_LS10: &[(usize, u32)] = &[
    (0, 1), (1, 4), (2, 1), (3, 1), (4, 1), (6, 1), (8, 110), (9, 1), (10, 1), (11, 1), (14, 1), (18, 1), (19, 1),
    (20, 1), (21, 1), (22, 1), (23, 1), (24, 1), (25, 1),
];
