//! The opaque part of a report: `{type u16, size u16, data}`, little endian, in the genuine order and sizes.

use super::Spelled;
use super::firmware::{Firmware, Layout};

/// Driver version, text and NUL.
pub const DRIVER: u16 = 3;
/// Packed VBIOS version on GPUs, text on switches.
pub const VBIOS: u16 = 6;
/// 0x55 when NVDEC0 is off, 0xAA when it is on.
pub const NVDEC0: u16 = 11;
/// How often each index was measured, one u32 an index.
pub const MEASURED_TIMES: u16 = 12;
/// FWID of the firmware that signs.
pub const FWID: u16 = 20;
/// 0xAA on, 0x55 off.
pub const PROTECTED_PCIE: u16 = 21;
/// On a GPU the PDI of the switch at each of its 18 links, on a switch its own PDI.
pub const PDI: u16 = 22;
/// On a switch: the PDIs of eight GPUs, and the port map.
pub const GPU_PDIS: u16 = 26;
/// Version of the opaque data.
pub const VERSION: u16 = 34;
/// Chip, text and NUL.
pub const CHIP: u16 = 35;
/// 0 SPT, 1 MPT, 2 PPCIE.
pub const FEATURE: u16 = 36;

const GPU_INFO: u16 = 4;
const CPR_INFO: u16 = 13;
const BOARD: u16 = 14;
const CHIP_SKU: u16 = 15;
const CHIP_SKU_MOD: u16 = 16;
const PROJECT: u16 = 17;
const PROJECT_SKU: u16 = 18;
const PROJECT_SKU_MOD: u16 = 19;
const DISABLED_PORTS: u16 = 23;
const POSITION: u16 = 24;
const LOCK: u16 = 25;
const SYSTEM_ENABLE: u16 = 33;

/// Value of a switch that is off.
pub const OFF: u8 = 0x55;
/// Value of a switch that is on.
pub const ON: u8 = 0xaa;

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueField {
    pub kind: u16,
    /// The true one when `None`.
    pub size: Option<u16>,
    pub data: Vec<u8>,
}

impl OpaqueField {
    pub fn new(kind: u16, data: impl Into<Vec<u8>>) -> Self {
        Self { kind, size: None, data: data.into() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.kind.to_le_bytes().to_vec();
        out.extend_from_slice(&self.size.unwrap_or(self.data.len() as u16).to_le_bytes());
        out.extend_from_slice(&self.data);
        out
    }
}

/// Fields of a GPU's report; `links` are the PDIs of the switches at its 18 links, as the report carries them.
pub fn gpu_fields(firmware: &Firmware, fwid: &[u8; 48], links: &[[u8; 8]]) -> Vec<OpaqueField> {
    let mut fields = vec![
        OpaqueField::new(VBIOS, firmware.vbios),
        OpaqueField::new(BOARD, firmware.board),
        OpaqueField::new(CHIP_SKU, padded(firmware.chip_sku, 9)),
        OpaqueField::new(CHIP_SKU_MOD, padded("0", 5)),
        OpaqueField::new(PROJECT, padded(firmware.project, 5)),
        OpaqueField::new(PROJECT_SKU, padded(firmware.project_sku, 5)),
        OpaqueField::new(PROJECT_SKU_MOD, padded(firmware.project_sku_mod, 2)),
        OpaqueField::new(DRIVER, padded(firmware.driver, firmware.driver.len() + 1)),
        OpaqueField::new(GPU_INFO, firmware.gpu_info),
        OpaqueField::new(MEASURED_TIMES, firmware.measured_times()),
        OpaqueField::new(CPR_INFO, firmware.cpr_info),
        OpaqueField::new(NVDEC0, [OFF]),
        OpaqueField::new(FWID, *fwid),
    ];
    fields.extend(match firmware.layout {
        Layout::Hopper550 | Layout::Ls10 => vec![OpaqueField::new(PROTECTED_PCIE, [OFF])],
        Layout::Hopper590 => vec![
            OpaqueField::new(PROTECTED_PCIE, [ON]),
            OpaqueField::new(PDI, links.concat()),
            OpaqueField::new(VERSION, [1, 0]),
            OpaqueField::new(FEATURE, [2, 0]),
        ],
        Layout::Blackwell575 => {
            vec![OpaqueField::new(SYSTEM_ENABLE, [7, 7]), OpaqueField::new(VERSION, [0, 0])]
        }
        // No public report has these two together; sizes of 34 and 36 are Hopper's, 35 is read up to its NUL.
        Layout::BlackwellMpt => vec![
            OpaqueField::new(SYSTEM_ENABLE, [7, 7]),
            OpaqueField::new(VERSION, [1, 0]),
            OpaqueField::new(CHIP, padded(firmware.architecture.chip(), 6)),
            OpaqueField::new(FEATURE, [1, 0]),
        ],
    });
    fields
}

/// Fields of a switch's report: its own PDI, and those of the eight GPUs at its ports.
pub fn switch_fields(firmware: &Firmware, own: [u8; 8], gpus: &[[u8; 8]; 8]) -> Vec<OpaqueField> {
    vec![
        OpaqueField::new(VBIOS, firmware.vbios_text()),
        OpaqueField::new(PDI, own),
        OpaqueField::new(MEASURED_TIMES, firmware.measured_times()),
        OpaqueField::new(GPU_PDIS, [gpus.concat().as_slice(), &PORT_MAP].concat()),
        OpaqueField::new(DISABLED_PORTS, [0xec, 0]),
        OpaqueField::new(POSITION, [2, 0]),
        OpaqueField::new(LOCK, [1, 0]),
    ]
}

/// A PDI in the byte order in which a link partner reports it: NVIDIA's own topology check turns the GPU's entries
/// round before it compares them with the switch's own. For field 26 no such check exists; the order is a guess.
pub fn as_link_partner(mut pdi: [u8; 8]) -> [u8; 8] {
    pdi.reverse();
    pdi
}

/// Text, filled up with NUL.
fn padded(text: &str, len: usize) -> Vec<u8> {
    let mut out = text.as_bytes().to_vec();
    out.resize(len, 0);
    out
}

/// Which GPU stands at each of the 64 ports, 0xFF for none; as in the genuine LS10 report.
#[rustfmt::skip]
const PORT_MAP: [u8; 64] = [
    0, 0, 1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    2, 2, 3, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    0, 0, 4, 1, 5, 5, 1, 1, 4, 4, 6, 7, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
];
