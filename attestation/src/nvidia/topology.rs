//! What all devices of one guest must be together: distinct, counted, one fabric (GPU-15, GPU-17, GPU-18).

use std::collections::BTreeSet;

use super::authentic::AuthenticDevice;
use super::identity::{Identity, ueid_decimal};
use super::report::{Facts, GpuFacts, Pdi, SwitchFacts};
use crate::Hex;
use crate::binding::BootDocument;
use crate::challenge::EarlierDevices;
use crate::checks::{CheckId, Code};
use crate::evidence::DeviceKind;
use crate::policy::{AppraisalPolicy, GpuMode, PlatformId};
use crate::trace::{Judged, Trace};

/// PDI of a link that is off, or of a place without a GPU.
const NONE: Pdi = Hex([0; 8]);

/// What the devices of one guest are held against, all together.
pub struct SetDemands<'a> {
    pub policy: &'a AppraisalPolicy,
    /// GPUs and switches that the charter wants; none in an examination.
    pub counts: Option<(usize, usize)>,
    /// GPUs that the launch configuration passes through; none in an examination.
    pub launched: Option<usize>,
    /// What the measured guest counted itself.
    pub boot: Option<&'a BootDocument>,
    /// An earlier full appraisal that evidence without devices rests on (BND-10).
    pub earlier: Option<&'a EarlierDevices>,
    /// UEIDs and device keys of devices that other guests hold at this time.
    pub fleet: &'a [PlatformId],
}

impl SetDemands<'_> {
    /// Runs the checks on authentic devices, GPUs and switches in any order; `trace` holds each verdict.
    pub fn judge(&self, devices: &[AuthenticDevice<'_>], trace: &mut Trace) {
        trace.note(CheckId::Gpu15, self.distinct(devices));
        note_count(self.counted(devices), trace);
        trace.note(CheckId::Gpu18, self.one_fabric(devices));
    }

    /// No device twice: neither by UEID, nor by the device's own key, which outlives a change of firmware and with it
    /// of UEID (GPU-15).
    fn distinct(&self, devices: &[AuthenticDevice<'_>]) -> Judged {
        const EXPECTED: &str = "distinct devices, none held elsewhere";
        if devices.is_empty() {
            return Judged::not_applicable(self.without_devices());
        }
        let (mut ueids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for identity in devices.iter().map(AuthenticDevice::identity) {
            let (ueid, name) = (identity.ueid(), ueid_decimal(identity.ueid()));
            let key_held = identity.device_key().is_some_and(|key| self.fleet.contains(&key.into()));
            if self.fleet.contains(ueid) || key_held {
                return Judged::fail(
                    Code::DuplicateDevice,
                    EXPECTED,
                    format_args!("{name} is held elsewhere"),
                );
            }
            let other_key = identity.device_key().is_none_or(|key| keys.insert(key));
            if !ueids.insert(ueid) || !other_key {
                return Judged::fail(Code::DuplicateDevice, EXPECTED, format_args!("{name} stands twice"));
            }
        }
        Judged::pass(EXPECTED, format_args!("{} devices", devices.len()))
    }

    /// Charter, evidence, launch configuration, PCI bus and driver count alike (GPU-17).
    fn counted(&self, devices: &[AuthenticDevice<'_>]) -> Judged {
        let (gpus, switches) = match self.earlier {
            Some(earlier) if devices.is_empty() => (earlier.gpus.into(), earlier.switches.into()),
            _ => {
                let gpus = devices.iter().filter(|device| device.kind() == DeviceKind::Gpu).count();
                (gpus, devices.len() - gpus)
            }
        };
        let shown = format!("{gpus} GPUs and {switches} switches");
        let charter = match self.counts {
            Some(counts) => {
                let expected = format_args!("{} GPUs and {} switches", counts.0, counts.1);
                Judged::require(counts == (gpus, switches), Code::TopologyMismatch, expected, &shown)
            }
            None => self.policy.absent(Code::TopologyMismatch, "the charter's count", &shown),
        };
        let launched = || match self.launched {
            Some(launched) => Judged::require(
                launched == gpus,
                Code::TopologyMismatch,
                format_args!("a launch configuration of {gpus} GPUs"),
                format_args!("one of {launched}"),
            ),
            None => self.policy.absent(Code::TopologyMismatch, "the launch configuration's count", &shown),
        };
        charter.and_then(launched).and_then(|| match self.boot {
            Some(BootDocument { pci_gpus, gpus: named, .. }) => {
                let holds = usize::from(*pci_gpus) == gpus && named.len() == gpus;
                let got = format_args!("{pci_gpus} on the bus, {} named by the driver", named.len());
                Judged::require(holds, Code::TopologyMismatch, format_args!("{gpus} GPUs"), got)
            }
            None if gpus == 0 => Judged::pass(&shown, &shown),
            None => self.policy.absent(Code::TopologyMismatch, "the guest's own count", &shown),
        })
    }

    fn without_devices(&self) -> &'static str {
        if self.earlier.is_some() { "appraised earlier" } else { "no device" }
    }

    /// Under PPCIE links carry clear text: GPUs and switches must name each other, and no one else (GPU-18).
    fn one_fabric(&self, devices: &[AuthenticDevice<'_>]) -> Judged {
        if devices.is_empty() {
            return Judged::not_applicable(self.without_devices());
        }
        let (gpus, switches) = by_kind(devices);
        let wanted = self.policy.device_floor().map(|floor| floor.mode);
        let shown = gpus.iter().any(|(_, gpu)| gpu.mode() == Some(GpuMode::Ppcie)) || !switches.is_empty();
        match wanted {
            None if !shown => return Judged::not_applicable("no protected fabric"),
            Some(GpuMode::Spt | GpuMode::Mpt) => {
                return Judged::not_applicable("the charter wants no protected fabric");
            }
            None if gpus.is_empty() || switches.is_empty() => {
                let expected = "the other devices of the fabric";
                let got = format_args!("{} GPUs and {} switches", gpus.len(), switches.len());
                return self.policy.absent(Code::TopologyMismatch, expected, got);
            }
            None | Some(GpuMode::Ppcie) => {}
        }
        links_lead_to(&gpus, &switches).and_then(|| ports_lead_to(&switches, &gpus))
    }
}

/// GPU-17, for sets of devices and for none.
pub(crate) fn note_count(judged: Judged, trace: &mut Trace) {
    trace.note(CheckId::Gpu17, judged);
}

type Gpu<'d> = (&'d Identity, &'d GpuFacts);
type Switch<'d> = (&'d Identity, &'d SwitchFacts);

fn by_kind<'d>(devices: &'d [AuthenticDevice<'_>]) -> (Vec<Gpu<'d>>, Vec<Switch<'d>>) {
    let (mut gpus, mut switches) = (Vec::new(), Vec::new());
    for device in devices {
        match device.report().facts() {
            Facts::Gpu(facts) => gpus.push((device.identity(), facts)),
            Facts::Switch(facts) => switches.push((device.identity(), facts)),
        }
    }
    (gpus, switches)
}

/// Every GPU's links lead to exactly the attested switches.
fn links_lead_to(gpus: &[Gpu<'_>], switches: &[Switch<'_>]) -> Judged {
    const EXPECTED: &str = "links of every GPU to exactly the attested switches";
    let fail = |got: &dyn std::fmt::Display| Judged::fail(Code::TopologyMismatch, EXPECTED, got);
    let own: Option<BTreeSet<Pdi>> = switches.iter().map(|(_, switch)| switch.pdi).collect();
    let Some(own) = own else { return fail(&"a switch without a PDI") };
    if own.len() != switches.len() || gpus.is_empty() || own.is_empty() {
        return fail(&format_args!(
            "{} GPUs, {} distinct switches of {}",
            gpus.len(),
            own.len(),
            switches.len()
        ));
    }
    for (at, (_, gpu)) in gpus.iter().enumerate() {
        let Some(links) = gpu.switches else { return fail(&format_args!("GPU {at} names no switch")) };
        let linked: BTreeSet<Pdi> = links.into_iter().filter(|&pdi| pdi != NONE).collect();
        if linked != own {
            let strangers = linked.difference(&own).count();
            let unlinked = own.difference(&linked).count();
            return fail(&format_args!("GPU {at}: {strangers} other switches, {unlinked} without a link"));
        }
    }
    Judged::pass(EXPECTED, format_args!("{} GPUs, {} switches", gpus.len(), own.len()))
}

/// Every switch's ports lead to exactly the attested GPUs, where it names GPUs.
///
/// Field 26 has its GPUs' identifiers in one byte order or the other, the same for all: which one, no public source
/// says.
fn ports_lead_to(switches: &[Switch<'_>], gpus: &[Gpu<'_>]) -> Judged {
    const EXPECTED: &str = "ports of every switch to exactly the attested GPUs";
    let fail = |got: &dyn std::fmt::Display| Judged::fail(Code::TopologyMismatch, EXPECTED, got);
    let own: Option<BTreeSet<Pdi>> = gpus.iter().map(|(identity, _)| identity.pdi()).collect();
    let Some(own) = own else { return fail(&"a GPU without a PDI in its certificates") };
    if own.len() != gpus.len() {
        return fail(&format_args!("{} distinct of {} GPUs", own.len(), gpus.len()));
    }
    let turned: BTreeSet<Pdi> = own.iter().map(|&pdi| turned(pdi)).collect();
    for (at, (_, switch)) in switches.iter().enumerate() {
        let Some(named) = switch.gpus else { continue };
        let named: BTreeSet<Pdi> = named.into_iter().filter(|&pdi| pdi != NONE).collect();
        if named != own && named != turned {
            let strangers = named.difference(&own).count().min(named.difference(&turned).count());
            return fail(&format_args!("switch {at}: {} GPUs, {strangers} of them others", named.len()));
        }
    }
    Judged::pass(EXPECTED, format_args!("{} switches, {} GPUs", switches.len(), own.len()))
}

fn turned(Hex(mut pdi): Pdi) -> Pdi {
    pdi.reverse();
    Hex(pdi)
}
