//! What all devices of one guest must be together (GPU-15, GPU-17, GPU-18).

use tiltyard_attestation::binding::{BootDocument, DeviceState, Switched};
use tiltyard_attestation::checks::Part;
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::{AuthenticDevice, Authority, Certificates, SetDemands, field, files};
use tiltyard_attestation::policy::{
    Architecture, DeviceFloor, GpuFloor, GpuMode, Level, PlatformId, PolicyDocument,
};
use tiltyard_attestation::{
    AppraisalPolicy, CheckId, Code, EarlierDevices, Hex, Links, Submod, Trace, TrustAnchors, Verdict,
};

use crate::mint::{Device, DeviceFields, Key, Pki, SPDM_NONCE, SpdmFields, switch_pdi};
use crate::support::{NOW, findings, shared, verdict};

/// Devices with their reports, and what the guest and the charter say of them.
struct Set {
    anchors: TrustAnchors,
    devices: Vec<(Device, SpdmFields)>,
    mode: Option<GpuMode>,
    level: Level,
    counts: Option<(usize, usize)>,
    /// In the launch configuration.
    launched: Option<usize>,
    /// On the PCI bus, named by the driver.
    boot: Option<(u8, u8)>,
    earlier: Option<EarlierDevices>,
    fleet: Vec<PlatformId>,
}

const GPUS: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const SWITCHES: [u8; 4] = [1, 2, 3, 4];

impl Set {
    /// Eight GPUs and four switches of one board.
    fn fabric() -> Self {
        let pki = Pki::new();
        let gpus =
            GPUS.map(|number| (pki.device(&DeviceFields::hopper(number)), SpdmFields::ppcie(&SWITCHES)));
        let switches = SWITCHES
            .map(|number| (pki.device(&DeviceFields::switch(number)), SpdmFields::switch(number, GPUS)));
        Self {
            anchors: pki.anchors(),
            devices: gpus.into_iter().chain(switches).collect(),
            mode: Some(GpuMode::Ppcie),
            level: Level::Lab,
            counts: Some((8, 4)),
            launched: Some(8),
            boot: Some((8, 8)),
            earlier: None,
            fleet: Vec::new(),
        }
    }

    /// One GPU by itself.
    fn single() -> Self {
        let pki = Pki::new();
        Self {
            anchors: pki.anchors(),
            devices: vec![(pki.device(&DeviceFields::hopper(1)), SpdmFields::gpu())],
            mode: Some(GpuMode::Spt),
            counts: Some((1, 0)),
            launched: Some(1),
            boot: Some((1, 1)),
            ..Self::none()
        }
    }

    fn none() -> Self {
        Self {
            anchors: TrustAnchors::vendor(),
            devices: Vec::new(),
            mode: None,
            level: Level::Lab,
            counts: Some((0, 0)),
            launched: Some(0),
            boot: None,
            earlier: None,
            fleet: Vec::new(),
        }
    }

    /// With another report of the device at this place.
    fn with(mut self, at: usize, edit: impl FnOnce(SpdmFields) -> SpdmFields) -> Self {
        let report = &mut self.devices[at].1;
        *report = edit(report.clone());
        self
    }

    fn policy(&self) -> AppraisalPolicy {
        let floor = self.mode.map(|mode| DeviceFloor {
            architectures: vec![Architecture::Hopper],
            mode,
            driver: "550.90.07".to_owned(),
            vbios: "96.00.9F.00.01".to_owned(),
            switches: 4,
        });
        let gpu = floor.map(|devices| GpuFloor { count: 8, devices: Some(devices) });
        PolicyDocument { gpu, ..PolicyDocument::preset(self.level) }.policy().unwrap()
    }

    fn run(&self) -> Trace {
        let policy = self.policy();
        let (links, mut trace) = (Links::new(), Trace::new());
        let authority = Authority {
            anchors: &self.anchors,
            policy: &policy,
            links: &links,
            nonce: Some(Hex(SPDM_NONCE)),
            now: NOW,
        };
        let given: Vec<(DeviceKind, Vec<u8>, Certificates)> = (self.devices.iter())
            .map(|(device, fields)| (device.kind, device.report(fields), device.certificates()))
            .collect();
        let devices: Vec<AuthenticDevice<'_>> = given
            .iter()
            .map(|(kind, report, certificates)| {
                trace.begin(Submod::Gpu(0), Part::Gpu);
                authority.authenticate(*kind, report, certificates, &mut trace).ok().unwrap()
            })
            .collect();
        let boot = self.boot.map(|(pci_gpus, named)| BootDocument {
            v: 1,
            random: Hex([0; 32]),
            pci_gpus,
            gpus: vec![
                DeviceState {
                    cc_mode: Switched::On,
                    protected_pcie: Switched::Off,
                    devtools: Switched::Off
                };
                named.into()
            ],
        });
        let set = SetDemands {
            policy: &policy,
            counts: self.counts,
            launched: self.launched,
            boot: boot.as_ref(),
            earlier: self.earlier.as_ref(),
            fleet: &self.fleet,
        };
        set.judge(&devices, &mut trace);
        trace
    }

    fn findings(&self) -> Vec<(CheckId, Code)> {
        findings(&self.run())
    }
}

const FABRIC: [(CheckId, Code); 1] = [(CheckId::Gpu18, Code::TopologyMismatch)];
const COUNT: [(CheckId, Code); 1] = [(CheckId::Gpu17, Code::TopologyMismatch)];
const TWICE: [(CheckId, Code); 1] = [(CheckId::Gpu15, Code::DuplicateDevice)];

#[test]
fn sets_that_pass() {
    let trace = Set::fabric().run();
    assert_eq!(findings(&trace), []);
    for check in [CheckId::Gpu15, CheckId::Gpu17, CheckId::Gpu18] {
        assert_eq!(verdict(&trace, check), Verdict::Pass, "{check}");
    }
    let trace = Set::single().run();
    assert_eq!((findings(&trace), verdict(&trace, CheckId::Gpu18)), (vec![], Verdict::NotApplicable));
    let trace = Set::none().run();
    assert_eq!((findings(&trace), verdict(&trace, CheckId::Gpu17)), (vec![], Verdict::Pass));
    for check in [CheckId::Gpu15, CheckId::Gpu18] {
        assert_eq!(verdict(&trace, check), Verdict::NotApplicable, "{check}");
    }
}

#[test]
fn gpu_15_one_device_twice() {
    let pki = Pki::new();
    let brom = Key::new();
    let device = |brom: &Key, number| (pki.with_brom(brom, &DeviceFields::hopper(number)), SpdmFields::gpu());
    let pair = |devices| Set {
        anchors: pki.anchors(),
        devices,
        counts: Some((2, 0)),
        launched: Some(2),
        boot: Some((2, 2)),
        ..Set::single()
    };
    assert_eq!(pair(vec![device(&brom, 1), device(&Key::new(), 2)]).findings(), []);
    let same_serial = pair(vec![device(&brom, 1), device(&Key::new(), 1)]);
    assert_eq!(same_serial.findings(), TWICE);
    // An issuer that is no device's own certificate may issue for two.
    let shared = |number| {
        let fields =
            DeviceFields { brom_name: "GH100 Provisioner".to_owned(), ..DeviceFields::hopper(number) };
        (pki.with_brom(&brom, &fields), SpdmFields::gpu())
    };
    assert_eq!(pair(vec![shared(1), shared(2)]).findings(), []);
    // Other firmware: another leaf, another serial number, the same device.
    assert_eq!(pair(vec![device(&brom, 1), device(&brom, 2)]).findings(), TWICE);
}

#[test]
fn gpu_15_a_device_that_another_guest_holds() {
    let fleet = vec![PlatformId::ueid(&[0x53, 9]).unwrap(), PlatformId::ueid(&[0x53, 1]).unwrap()];
    assert_eq!(Set { fleet, ..Set::single() }.findings(), TWICE);
    let fleet = vec![PlatformId::ueid(&[0x53, 9]).unwrap()];
    assert_eq!(Set { fleet, ..Set::single() }.findings(), []);
}

#[test]
fn gpu_15_the_public_file_with_one_switch_four_times() {
    let Some(json) = shared("evidence/nvat_multi_switch_ls10.json") else { return };
    let files = files::evidence(&json).unwrap();
    let given: Vec<_> = (files.into_iter())
        .map(|file| (file.kind(), file.report, Certificates::from_der(file.certificates)))
        .collect();
    let (anchors, policy) = (TrustAnchors::vendor(), AppraisalPolicy::preset(Level::Lab));
    let (links, mut trace) = (Links::new(), Trace::new());
    let authority = Authority { anchors: &anchors, policy: &policy, links: &links, nonce: None, now: NOW };
    let devices: Vec<AuthenticDevice<'_>> = (given.iter())
        .map(|(kind, report, chain)| authority.authenticate(*kind, report, chain, &mut trace).ok().unwrap())
        .collect();
    let (counts, launched, boot, earlier) = (None, None, None, None);
    let set = SetDemands { policy: &policy, counts, launched, boot, earlier, fleet: &[] };
    set.judge(&devices, &mut trace);
    assert_eq!(findings(&trace), TWICE);
    set.judge(&devices[..1], &mut trace);
    assert_eq!(findings(&trace), TWICE, "one alone is no second finding");
}

#[test]
fn gpu_17_counts_that_differ() {
    for counts in [(0, 0), (2, 0), (1, 1), (0, 1)] {
        assert_eq!(Set { counts: Some(counts), ..Set::single() }.findings(), COUNT, "{counts:?}");
    }
    for launched in [0, 2] {
        let set = Set { launched: Some(launched), ..Set::single() };
        assert_eq!(set.findings(), COUNT, "{launched} in the launch configuration");
    }
    assert_eq!(Set { launched: None, level: Level::Strict, ..Set::single() }.findings(), COUNT);
    for boot in [(0, 1), (2, 1), (1, 0), (1, 2)] {
        assert_eq!(Set { boot: Some(boot), ..Set::single() }.findings(), COUNT, "{boot:?}");
    }
    assert_eq!(Set { boot: None, level: Level::Strict, ..Set::single() }.findings(), COUNT);
    assert_eq!(Set { counts: None, level: Level::Strict, ..Set::single() }.findings(), COUNT);
    let trace = Set { counts: None, ..Set::single() }.run();
    assert_eq!((findings(&trace), verdict(&trace, CheckId::Gpu17)), (vec![], Verdict::NotShown));
    assert_eq!(Set { counts: Some((1, 0)), ..Set::none() }.findings(), COUNT, "withheld devices");
}

#[test]
fn gpu_17_renewals_rest_on_the_earlier_count() {
    let earlier =
        |gpus, switches| Some(EarlierDevices { boot: Hex([0; 32]), appraised_at: NOW, gpus, switches });
    let renewal =
        |earlier| Set { earlier, counts: Some((8, 4)), launched: Some(8), boot: Some((8, 8)), ..Set::none() };
    let trace = renewal(earlier(8, 4)).run();
    assert_eq!((findings(&trace), verdict(&trace, CheckId::Gpu15)), (vec![], Verdict::NotApplicable));
    assert_eq!(renewal(earlier(8, 3)).findings(), COUNT);
    assert_eq!(renewal(None).findings(), COUNT);
    // Devices that are there count themselves.
    assert_eq!(Set { earlier: earlier(8, 4), counts: Some((8, 4)), ..Set::single() }.findings(), COUNT);
}

#[test]
fn gpu_18_links_to_other_switches() {
    let links = |numbers: &[u8]| {
        let report = SpdmFields::ppcie(numbers);
        move |_| report
    };
    assert_eq!(
        Set::fabric().with(7, links(&[1, 2, 3, 9])).findings(),
        FABRIC,
        "a switch that is not attested"
    );
    assert_eq!(Set::fabric().with(0, links(&[1, 2, 3])).findings(), FABRIC, "a switch without a link");
    assert_eq!(Set::fabric().with(0, links(&[1, 2, 3, 4, 5])).findings(), FABRIC, "one more");
    assert_eq!(Set::fabric().with(0, |report| report.without(field::PDI)).findings(), FABRIC, "silent");
    assert_eq!(
        Set::fabric().with(0, |report| report.with(field::PDI, &[0; 144])).findings(),
        FABRIC,
        "all off"
    );
    // Another order of links, and links that are off, are the same fabric.
    assert_eq!(Set::fabric().with(0, links(&[4, 3, 2, 1])).findings(), []);
    let some_off = |report: SpdmFields| {
        let (_, pdis) = report.opaque.iter().find(|(kind, _)| *kind == field::PDI).cloned().unwrap();
        report.with(field::PDI, &[&pdis[..80], &[0; 64]].concat())
    };
    assert_eq!(Set::fabric().with(0, some_off).findings(), []);
    // A GPU writes them the other way round than the switch writes itself.
    let not_turned = (0..18_u8).flat_map(|link| switch_pdi(link % 4 + 1)).collect::<Vec<u8>>();
    assert_eq!(Set::fabric().with(0, |report| report.with(field::PDI, &not_turned)).findings(), FABRIC);
}

#[test]
fn gpu_18_switches_that_do_not_fit() {
    let zero = |report: SpdmFields| report.with(field::PDI, &[0; 8]);
    assert_eq!(Set::fabric().with(11, zero).findings(), FABRIC, "no identifier");
    assert_eq!(Set::fabric().with(11, |report| report.without(field::PDI)).findings(), FABRIC, "silent");
    assert_eq!(
        Set::fabric().with(11, |report| report.with(field::PDI, &switch_pdi(3))).findings(),
        FABRIC,
        "two alike"
    );
    let mut fewer = Set { counts: Some((8, 3)), ..Set::fabric() };
    fewer.devices.pop();
    assert_eq!(fewer.findings(), FABRIC, "a switch withheld");
    let mut none = Set { counts: Some((8, 0)), ..Set::fabric() };
    none.devices.truncate(8);
    assert_eq!(none.findings(), FABRIC, "all withheld");
}

#[test]
fn gpu_18_ports_to_other_gpus() {
    let ports = |gpus: [u8; 8]| move |_| SpdmFields::switch(1, gpus);
    assert_eq!(Set::fabric().with(8, ports([1, 2, 3, 4, 5, 6, 7, 9])).findings(), FABRIC, "a stranger");
    assert_eq!(Set::fabric().with(8, ports([1, 2, 3, 4, 5, 6, 7, 7])).findings(), FABRIC, "one not there");
    assert_eq!(Set::fabric().with(8, |report| report.with(field::GPU_PDIS, &[0; 128])).findings(), FABRIC);
    assert_eq!(Set::fabric().with(8, ports([8, 7, 6, 5, 4, 3, 2, 1])).findings(), [], "another order");
    assert_eq!(Set::fabric().with(8, |report| report.without(field::GPU_PDIS)).findings(), [], "names none");
    let turned = |report: SpdmFields| {
        let (_, mut pdis) = report.opaque.iter().find(|(kind, _)| *kind == field::GPU_PDIS).cloned().unwrap();
        pdis[..64].chunks_mut(8).for_each(|pdi| pdi.reverse());
        report.with(field::GPU_PDIS, &pdis)
    };
    assert_eq!(Set::fabric().with(8, turned).findings(), [], "the other byte order");
    let half = |report: SpdmFields| {
        let (_, mut pdis) = report.opaque.iter().find(|(kind, _)| *kind == field::GPU_PDIS).cloned().unwrap();
        pdis[..32].chunks_mut(8).for_each(|pdi| pdi.reverse());
        report.with(field::GPU_PDIS, &pdis)
    };
    assert_eq!(Set::fabric().with(8, half).findings(), FABRIC, "both byte orders at once");
}

#[test]
fn gpu_18_gpus_whose_certificates_name_no_identifier() {
    let nameless = |edit: fn(&mut DeviceFields)| {
        let pki = Pki::new();
        let mut fields = DeviceFields::hopper(1);
        edit(&mut fields);
        let gpu = (pki.device(&fields), SpdmFields::ppcie(&[1]));
        let switch = (pki.device(&DeviceFields::switch(1)), SpdmFields::switch(1, [1; 8]));
        Set {
            anchors: pki.anchors(),
            devices: vec![gpu, switch],
            counts: Some((1, 1)),
            launched: Some(1),
            boot: Some((1, 1)),
            ..Set::fabric()
        }
    };
    assert_eq!(nameless(|_| ()).findings(), []);
    assert_eq!(nameless(|fields| fields.brom_name = "GH100 A01 GSP".to_owned()).findings(), FABRIC);
    assert_eq!(nameless(|fields| fields.brom_name = "XX100 A01 GSP BROM".to_owned()).findings(), FABRIC);
    assert_eq!(nameless(|fields| fields.brom_serial.truncate(8)).findings(), FABRIC);
    assert_eq!(nameless(|fields| fields.brom_serial[8] = 2).findings(), FABRIC);
}

#[test]
fn gpu_18_without_a_charter_the_reports_decide() {
    let free = |set: Set| Set { mode: None, counts: None, ..set };
    let trace = free(Set::fabric()).run();
    assert_eq!((findings(&trace), verdict(&trace, CheckId::Gpu18)), (vec![], Verdict::Pass));
    let mut gpus_only = free(Set::fabric());
    gpus_only.devices.truncate(1);
    gpus_only.boot = None;
    assert_eq!(verdict(&gpus_only.run(), CheckId::Gpu18), Verdict::NotShown);
    gpus_only.level = Level::Strict;
    assert!(gpus_only.findings().contains(&FABRIC[0]));
    assert_eq!(verdict(&free(Set::single()).run(), CheckId::Gpu18), Verdict::NotApplicable);
}
