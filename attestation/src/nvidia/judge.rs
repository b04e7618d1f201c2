//! The signed facts of one device, held against policy (GPU-06 to GPU-14, GPU-16).

use super::authentic::AuthenticDevice;
use super::report::{Facts, GpuFacts};
use super::version::{DriverVersion, VbiosVersion};
use crate::binding::{DeviceState, Switched};
use crate::chain::Revocation;
use crate::checks::{CheckId, Code};
use crate::evidence::DeviceKind;
use crate::policy::{AppraisalPolicy, Architecture, DeviceFloor, Level, PlatformKind};
use crate::result::DeviceFacts;
use crate::trace::{Judged, Trace};

/// What one device is held against.
pub struct DeviceDemands<'a> {
    pub policy: &'a AppraisalPolicy,
    /// Place among the devices of its kind.
    pub index: u8,
    /// The modes that the measured guest read and bound in its boot document; switches have none.
    pub state: Option<&'a DeviceState>,
    /// What is known about the device's chain and the chains of its manifests.
    pub revocation: Revocation,
    /// What the reference manifests say.
    pub rims: RimVerdicts,
    /// Unix seconds.
    pub now: u64,
}

/// Outcome of comparing one device with its reference manifests, check by check.
#[derive(Debug, Clone)]
pub struct RimVerdicts {
    /// GPU-09: the right manifests are there.
    pub(crate) present: Judged,
    /// GPU-10: every active reference measurement is the device's.
    pub(crate) equal: Judged,
    /// GPU-11: what was left out.
    pub(crate) exempt: Judged,
    /// GPU-12: there was something to compare.
    pub(crate) measured: Judged,
    /// Reference measurements that were compared, and equal.
    pub(crate) matched: usize,
}

impl RimVerdicts {
    /// No manifest was given: not shown in an examination at `lab`, else refused.
    pub fn without_manifests(policy: &AppraisalPolicy) -> Self {
        let absent = |code| policy.absent(code, "the device's reference manifests", "no manifest was given");
        Self {
            present: absent(Code::RimMissing),
            equal: absent(Code::MeasurementMismatch),
            exempt: Judged::not_applicable("no manifest was given"),
            measured: absent(Code::MeasurementsMissing),
            matched: 0,
        }
    }
}

impl DeviceDemands<'_> {
    /// Runs every check on an authentic device; `trace` holds each verdict. No facts without a known architecture.
    pub fn judge(self, device: &AuthenticDevice<'_>, trace: &mut Trace) -> Option<DeviceFacts> {
        let facts = device.report().facts();
        let architecture = device.identity().architecture().filter(|found| found.kind() == device.kind());
        trace.note(CheckId::Gpu06, self.firmware_named(facts));
        trace.note(CheckId::Gpu07, self.allowed(device));
        trace.note(CheckId::Gpu08, self.policy.revocation(self.revocation));
        trace.collateral_age(self.revocation, self.policy, self.now);
        trace.note(CheckId::Gpu13, self.confidential(device.kind()));
        trace.note(CheckId::Gpu14, self.mode(facts));
        trace.note(CheckId::Gpu16, self.enrolled(device));
        let RimVerdicts { present, equal, exempt, measured, matched } = self.rims;
        trace.note(CheckId::Gpu09, present);
        trace.note(CheckId::Gpu10, equal);
        trace.note(CheckId::Gpu11, exempt);
        trace.note(CheckId::Gpu12, measured);
        let (driver, mode) = match facts {
            Facts::Gpu(gpu) => (gpu.driver.to_string(), gpu.mode()),
            Facts::Switch(_) => (String::new(), None),
        };
        Some(DeviceFacts {
            kind: device.kind(),
            index: self.index,
            architecture: architecture?,
            ueid: device.identity().ueid().clone(),
            driver,
            vbios: facts.vbios().to_string(),
            mode,
            matched,
            revocation: self.revocation,
        })
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
        const EXPECTED: &str = "confidential mode on, developer tools off";
        match (kind, self.state) {
            (DeviceKind::Switch, _) => Judged::not_applicable("a switch has no such mode"),
            (DeviceKind::Gpu, None) => {
                self.policy.absent(Code::CcModeOff, EXPECTED, "no boot document names this GPU")
            }
            (DeviceKind::Gpu, Some(DeviceState { cc_mode: Switched::Off, .. })) => {
                Judged::fail(Code::CcModeOff, EXPECTED, "confidential mode off")
            }
            (DeviceKind::Gpu, Some(DeviceState { devtools: Switched::On, .. })) => {
                Judged::fail(Code::DevToolsMode, EXPECTED, "developer tools on")
            }
            (DeviceKind::Gpu, Some(DeviceState { cc_mode: Switched::On, devtools: Switched::Off })) => {
                Judged::pass(EXPECTED, EXPECTED)
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

fn gpu_floor(gpu: &GpuFacts, architecture: Architecture, floor: &DeviceFloor) -> Judged {
    let got = format!("{architecture:?}, driver {}, VBIOS {}", gpu.driver, gpu.vbios);
    let listed = floor.architectures.contains(&architecture);
    let driver = floor.driver.parse::<DriverVersion>();
    let vbios = floor.vbios.parse::<VbiosVersion>();
    Judged::require(listed, Code::ArchMismatch, format_args!("one of {:?}", floor.architectures), &got)
        .and_then(|| {
            // A floor that is no version is met by none.
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
