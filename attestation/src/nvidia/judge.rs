//! The signed facts of one device, held against policy (GPU-06 to GPU-14, GPU-16).

use super::authentic::AuthenticDevice;
use super::report::Status;
use super::report::{Facts, GpuFacts};
use super::rim::{Compared, Library, Reported, Software};
use super::version::{DriverVersion, VbiosVersion};
use crate::binding::{DeviceState, Switched};
use crate::chain::ec::EcChain;
use crate::chain::{Links, Revocation, chain_revocation};
use crate::checks::{CheckId, Code};
use crate::collateral::Collateral;
use crate::evidence::DeviceKind;
use crate::policy::{AppraisalPolicy, Architecture, DeviceFloor, GpuMode, Level, PlatformKind};
use crate::result::DeviceFacts;
use crate::trace::{Judged, Trace, Vendor};

/// What one device is held against.
pub struct DeviceDemands<'a> {
    /// What its file calls the device, where it does.
    pub named: Option<Architecture>,
    pub policy: &'a AppraisalPolicy,
    /// Place among the devices of its kind.
    pub index: u8,
    /// The modes that the measured guest read and bound in its boot document; switches have none.
    pub state: Option<&'a DeviceState>,
    /// Reference manifests of the collateral.
    pub library: &'a Library,
    pub collateral: &'a Collateral,
    pub links: &'a Links,
    /// Unix seconds.
    pub now: u64,
}

impl DeviceDemands<'_> {
    /// Runs every check on an authentic device; `trace` holds each verdict. No facts without a known architecture.
    pub fn judge(self, device: &AuthenticDevice<'_>, trace: &mut Trace) -> Option<DeviceFacts> {
        let facts = device.report().facts();
        let architecture = device.identity().architecture().filter(|found| found.kind() == device.kind());
        trace.note(CheckId::Gpu06, self.firmware_named(facts));
        trace.note(CheckId::Gpu07, self.allowed(device));
        trace.note(CheckId::Gpu13, self.confidential(device.kind()));
        trace.note(CheckId::Gpu14, self.mode(facts));
        trace.note(CheckId::Gpu16, self.enrolled(device));
        let compared = self.compare(device, trace);
        let revocation = device_revocation(device.chain(), self.collateral, self.links, self.now);
        let revocation = revocation.and(compared.revocation);
        trace.revocation(Vendor::Nvidia, revocation, self.policy, self.now);
        let (driver, mode) = match facts {
            Facts::Gpu(gpu) => (gpu.driver.to_string(), gpu.mode()),
            Facts::Switch(_) => (String::new(), None),
        };
        Some(DeviceFacts {
            kind: device.kind(),
            index: self.index,
            architecture: architecture?,
            ueid: device.identity().ueid().clone(),
            device_key: device.identity().device_key(),
            driver,
            vbios: facts.vbios().to_string(),
            mode,
            matched: compared.matched,
            revocation,
        })
    }

    /// Holds the device's measurements against its manifests (RIM-01 to RIM-04, GPU-09 to GPU-12).
    fn compare(&self, device: &AuthenticDevice<'_>, trace: &mut Trace) -> Compared {
        let exchange = device.report().exchange();
        let blocks: Vec<_> = exchange.blocks().iter().map(|block| (block.index, *block.value)).collect();
        let facts = device.report().facts();
        let vbios = facts.vbios().to_string();
        let driver = match facts {
            Facts::Gpu(gpu) => gpu.driver.to_string(),
            Facts::Switch(_) => String::new(),
        };
        let software = match facts {
            Facts::Gpu(_) => Software::Gpu { driver: &driver, vbios: &vbios },
            Facts::Switch(_) => Software::Switch { bios: &vbios },
        };
        let nvdec0 = match facts {
            Facts::Gpu(gpu) => gpu.nvdec0.map(Status::byte),
            Facts::Switch(_) => None,
        };
        // Hopper reports name no chip, nor do Blackwell's early ones (ATTESTATION 6, names of manifests).
        let chip = match (facts, device.identity().architecture()) {
            (Facts::Gpu(gpu), Some(Architecture::Blackwell)) => gpu.chip.as_deref().unwrap_or("GB100"),
            (Facts::Gpu(gpu), _) => gpu.chip.as_deref().unwrap_or("GH100"),
            (Facts::Switch(_), _) => "LS10",
        };
        self.library.judge(&Reported { chip, software, blocks: &blocks, nvdec0 }, self.policy, trace)
    }

    /// NVIDIA's own verifier skips the comparison when the report is silent; only `lab` does so here (GPU-06).
    fn firmware_named(&self, facts: &Facts) -> Judged {
        const EXPECTED: &str = "a firmware id";
        match (facts, facts.fwid(), self.policy.level()) {
            (_, Some(fwid), _) => Judged::pass(EXPECTED, fwid),
            (Facts::Switch(_), None, _) => Judged::not_applicable("a switch report carries no firmware id"),
            (Facts::Gpu(_), None, Level::Lab) => Judged::warning(EXPECTED, "none"),
            (Facts::Gpu(_), None, Level::Standard | Level::Strict) => {
                Judged::fail(Code::FwidMissing, EXPECTED, "none")
            }
        }
    }

    /// Architecture by leaf and chip field, then the floors (GPU-07).
    fn allowed(&self, device: &AuthenticDevice<'_>) -> Judged {
        let kind = device.kind();
        let Some(architecture) = device.identity().architecture() else {
            return Judged::fail(Code::ArchMismatch, "a leaf of a known device", "another common name");
        };
        if architecture.kind() != kind {
            return Judged::fail(
                Code::ArchMismatch,
                format_args!("a leaf of a {kind:?}"),
                format_args!("one of {architecture:?}"),
            );
        }
        // Nothing rests on what a file calls its device, but what is false is said to be.
        if let Some(named) = self.named.filter(|named| *named != architecture) {
            let expected = format_args!("{named:?}, as its file says");
            return Judged::fail(Code::ArchMismatch, expected, format_args!("{architecture:?}"));
        }
        let floor = self.policy.device_floor();
        match device.report().facts() {
            Facts::Gpu(gpu) => same_chip(gpu, architecture).and_then(|| match floor {
                Some(floor) => gpu_floor(gpu, architecture, floor),
                None => self.policy.absent(
                    Code::RimVersionMismatch,
                    "floors for driver and VBIOS",
                    format_args!("{architecture:?}, driver {}, VBIOS {}", gpu.driver, gpu.vbios),
                ),
            }),
            // The charter's versions are those of GPUs; a switch's BIOS is held against its manifest.
            Facts::Switch(switch) => {
                let allowed = floor.is_none_or(|floor| floor.switches > 0);
                let got = format_args!("{architecture:?}, BIOS {}", switch.bios);
                Judged::require(allowed, Code::ArchMismatch, "an allowed architecture", got)
            }
        }
    }

    /// Modes as the measured guest read them: a report by itself does not show them (GPU-13).
    fn confidential(&self, kind: DeviceKind) -> Judged {
        const EXPECTED: &str = "confidential mode (or that of its board) on, developer tools off";
        match (kind, self.state) {
            (DeviceKind::Switch, _) => Judged::not_applicable("a switch has no such mode"),
            (DeviceKind::Gpu, None) => {
                self.policy.absent(Code::CcModeOff, EXPECTED, "no boot document names this GPU")
            }
            (DeviceKind::Gpu, Some(state)) => {
                let wanted = self.policy.device_floor().map(|floor| floor.mode);
                let confidential = match wanted {
                    // NVIDIA's own rule: on a Hopper board as a whole, the one mode or the other.
                    Some(GpuMode::Ppcie) => {
                        state.cc_mode == Switched::On || state.protected_pcie == Switched::On
                    }
                    Some(GpuMode::Spt | GpuMode::Mpt) | None => state.cc_mode == Switched::On,
                };
                Judged::require(confidential, Code::CcModeOff, EXPECTED, "confidential mode off").and_then(
                    || match state.devtools {
                        Switched::On => Judged::fail(Code::DevToolsMode, EXPECTED, "developer tools on"),
                        Switched::Off => Judged::pass(EXPECTED, "so read by the guest"),
                    },
                )
            }
        }
    }

    fn mode(&self, facts: &Facts) -> Judged {
        let Facts::Gpu(gpu) = facts else { return Judged::not_applicable("a switch has no such mode") };
        let got = match (gpu.mode(), gpu.feature) {
            (Some(mode), _) => format!("{mode:?}"),
            (None, Some(feature)) => format!("{feature}, protected PCIe {:?}", gpu.protected_pcie),
            (None, None) => "none named".to_owned(),
        };
        match self.policy.device_floor() {
            Some(floor) => {
                let expected = format_args!("{:?}", floor.mode);
                Judged::require(gpu.mode() == Some(floor.mode), Code::GpuMode, expected, got)
            }
            None => self.policy.absent(Code::GpuMode, "the charter's mode", got),
        }
    }

    fn enrolled(&self, device: &AuthenticDevice<'_>) -> Judged {
        let kind = match device.kind() {
            DeviceKind::Gpu => PlatformKind::GpuUeid,
            DeviceKind::Switch => PlatformKind::SwitchUeid,
        };
        self.policy.enrolled(kind, Some(device.identity().ueid()), Code::UnknownDevice, self.now)
    }
}

/// The chip that the report names, where it names one, is of the leaf's generation.
fn same_chip(gpu: &GpuFacts, architecture: Architecture) -> Judged {
    let expected = format!("a chip of {architecture:?}");
    match gpu.chip.as_deref().map(Architecture::of_chip) {
        None => Judged::pass(expected, "none named"),
        Some(Some(found)) => Judged::require(
            found == architecture,
            Code::ArchMismatch,
            expected,
            format_args!("one of {found:?}"),
        ),
        Some(None) => Judged::fail(Code::ArchMismatch, expected, "an unknown chip"),
    }
}

/// What is known of a device's certificates. The leaf is issued by the chip itself, which answers nobody: its issuer's
/// certificate is the first that can be revoked.
pub(crate) fn device_revocation(
    chain: &EcChain<'_>,
    collateral: &Collateral,
    links: &Links,
    now: u64,
) -> Revocation {
    const FIRST: usize = 1;
    chain_revocation(chain, FIRST, &collateral.ocsp, &collateral.nvidia_crls, now, links)
}

fn gpu_floor(gpu: &GpuFacts, architecture: Architecture, floor: &DeviceFloor) -> Judged {
    let got = format!("{architecture:?}, driver {}, VBIOS {}", gpu.driver, gpu.vbios);
    let listed = floor.architectures.contains(&architecture);
    let driver = floor.driver.parse::<DriverVersion>();
    let vbios = floor.vbios.parse::<VbiosVersion>();
    Judged::require(listed, Code::ArchMismatch, format_args!("one of {:?}", floor.architectures), &got)
        .and_then(|| {
            // A policy holds versions only; anything else would be met by none.
            let met = driver.is_ok_and(|floor| gpu.driver.is_at_least(&floor));
            Judged::require(
                met,
                Code::RimVersionMismatch,
                format_args!("driver {} or later", floor.driver),
                &got,
            )
        })
        .and_then(|| {
            let met = vbios.is_ok_and(|floor| gpu.vbios >= floor);
            Judged::require(
                met,
                Code::RimVersionMismatch,
                format_args!("VBIOS {} or later", floor.vbios),
                &got,
            )
        })
}
