//! The three complete sets that no public sample holds, all under one nonce each.

use std::sync::Arc;

use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{BootDocument, DeviceState, Switched};
use tiltyard_attestation::policy::{DeviceFloor, GpuFloor, GpuMode, Platform, PlatformKind};

use super::device::Device;
use super::draft::{DeviceDraft, Draft, Expected};
use super::firmware::{B200_MPT, Firmware, H100_PPCIE, H100_SPT, LS10};
use super::keys::Keyring;
use super::manifest::RimFields;
use super::measurements::Source;
use super::opaque::{self, OpaqueField};
use super::{Architecture, Spelled};

/// 2026-11-23 00:00 UTC: when a set is appraised unless its lab says another time, in Unix seconds.
pub const NOW: u64 = 1_795_392_000;
/// GPUs of an HGX board.
pub const BOARD_GPUS: u32 = 8;
/// Switches of an HGX Hopper board.
pub const BOARD_SWITCHES: u32 = 4;
/// Which switch stands at each of a GPU's 18 links, as in the genuine report of driver 590.12.
pub const LINKS: [usize; 18] = [0, 0, 1, 1, 0, 0, 2, 2, 1, 1, 0, 2, 3, 3, 2, 2, 3, 3];

/// Makes sets from one seed.
pub struct Lab {
    keys: Arc<Keyring>,
    /// Unix seconds.
    now: u64,
}

impl Lab {
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { keys: Arc::new(Keyring::from_seed(seed)), now: NOW }
    }

    /// The same at another time (Unix seconds); the signers of manifests live from 2026-01-12 to 2028-01-12.
    pub fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }

    /// One H100 with driver 550.90.07, and both of its manifests.
    pub fn one_h100(&self) -> Draft {
        self.draft(&[(H100_SPT, 1)])
    }

    /// Eight H100 and four LS10 in protected PCIe: driver, VBIOS and switch manifest.
    pub fn protected_pcie(&self) -> Draft {
        self.draft(&[(H100_PPCIE, BOARD_GPUS), (LS10, BOARD_SWITCHES)])
    }

    /// Eight B200 in multi-GPU passthrough, and both of their manifests.
    pub fn eight_b200(&self) -> Draft {
        self.draft(&[(B200_MPT, BOARD_GPUS)])
    }

    /// Devices of each firmware, joined as its reports say.
    pub fn draft(&self, parts: &[(Firmware, u32)]) -> Draft {
        let keys = &self.keys;
        let nonce = keys.draw("nonce");
        let all: Vec<(&Firmware, Device)> = (parts.iter())
            .flat_map(|(firmware, count)| {
                let architecture = firmware.architecture;
                (0..*count).map(move |number| (firmware, Device { architecture, number }))
            })
            .collect();
        let (switches, gpus): (Vec<Device>, Vec<Device>) =
            all.iter().map(|(_, device)| *device).partition(|device| device.architecture.is_switch());
        let devices: Vec<DeviceDraft> = (all.iter())
            .map(|(firmware, device)| {
                let opaque = opaque_of(keys, firmware, *device, &gpus, &switches);
                DeviceDraft::genuine(keys, *device, firmware, nonce, opaque)
            })
            .collect();
        let rims = parts.iter().flat_map(|(firmware, _)| {
            let sources: &[Source] = if firmware.architecture.is_switch() {
                &[Source::Vbios]
            } else {
                &[Source::Driver, Source::Vbios]
            };
            sources.iter().map(|source| RimFields::genuine(keys, firmware, *source))
        });
        let mut draft = Draft {
            keys: Arc::clone(keys),
            rims: rims.collect(),
            answers: Vec::new(),
            boot: BootDocument {
                v: 1,
                random: Hex(keys.draw("boot")),
                pci_gpus: gpus.len() as u8,
                gpus: vec![driver_state(floor(parts).devices.map(|floor| floor.mode)); gpus.len()],
            },
            expected: Expected {
                nonce,
                now: self.now,
                floor: floor(parts),
                platforms: devices.iter().filter_map(enrolled).collect(),
                fleet: Vec::new(),
            },
            devices,
        };
        draft.answer_for_all();
        draft
    }
}

/// Opaque fields of one device among the others.
fn opaque_of(
    keys: &Keyring,
    firmware: &Firmware,
    device: Device,
    gpus: &[Device],
    switches: &[Device],
) -> Vec<OpaqueField> {
    let partner = |device: &Device| opaque::as_link_partner(device.pdi(keys));
    if device.architecture.is_switch() {
        let mut at_ports = [[0; 8]; BOARD_GPUS as usize];
        at_ports.iter_mut().zip(gpus).for_each(|(to, gpu)| *to = partner(gpu));
        return opaque::switch_fields(firmware, device.pdi(keys), &at_ports);
    }
    let links: Vec<[u8; 8]> = LINKS.iter().filter_map(|place| switches.get(*place)).map(partner).collect();
    opaque::gpu_fields(firmware, &firmware.fwid(), &links)
}

/// What a charter for exactly these devices says.
fn floor(parts: &[(Firmware, u32)]) -> GpuFloor {
    let count = |switches: bool| -> u32 {
        (parts.iter())
            .filter(|(firmware, _)| firmware.architecture.is_switch() == switches)
            .map(|(_, count)| count)
            .sum()
    };
    let gpu = parts.iter().map(|(firmware, _)| firmware).find(|firmware| !firmware.architecture.is_switch());
    GpuFloor {
        count: count(false) as u8,
        devices: gpu.map(|firmware| DeviceFloor {
            architectures: vec![firmware.architecture],
            mode: firmware.mode(),
            driver: firmware.driver.to_owned(),
            vbios: firmware.vbios_text(),
            switches: count(true) as u8,
        }),
    }
}

/// The row that enrols a device.
pub fn enrolled(draft: &DeviceDraft) -> Option<Platform> {
    Some(Platform {
        kind: match draft.device.architecture {
            Architecture::Hopper | Architecture::Blackwell => PlatformKind::GpuUeid,
            Architecture::Ls10 => PlatformKind::SwitchUeid,
        },
        id: draft.ueid()?,
        custody: "simulated rack".to_owned(),
        enrolled_at: 0,
        revoked_at: None,
    })
}

/// What the driver says of each GPU: on a board in protected PCIe mode, confidential mode is off.
fn driver_state(mode: Option<GpuMode>) -> DeviceState {
    let on = |set| if set { Switched::On } else { Switched::Off };
    let protected = mode == Some(GpuMode::Ppcie);
    DeviceState { cc_mode: on(!protected), protected_pcie: on(protected), devtools: Switched::Off }
}
