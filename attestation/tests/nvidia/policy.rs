//! The signed facts of one device against policy (GPU-06 to GPU-14, GPU-16).

use tiltyard_attestation::binding::{DeviceState, Switched};
use tiltyard_attestation::chain::{Reason, Revocation};
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::rim::Library;
use tiltyard_attestation::nvidia::{AuthenticDevice, DeviceDemands, field};
use tiltyard_attestation::policy::{
    Architecture, DeviceFloor, GpuFloor, GpuMode, Level, Platform, PlatformId, PlatformKind, PolicyDocument,
};
use tiltyard_attestation::result::DeviceFacts;
use tiltyard_attestation::{
    AppraisalPolicy, Base64Bytes, CheckId, Code, Collateral, Links, Trace, TrustAnchors, Verdict,
};

use crate::mint::{DeviceFields, Pki, SpdmFields, nonce};
use crate::support::{Bench, NOW, findings, verdict};

const ON: DeviceState =
    DeviceState { cc_mode: Switched::On, protected_pcie: Switched::Off, devtools: Switched::Off };
/// Above `lab` manifests and what revokes them must be there; `tests/rim` has them.
const WITHOUT_MANIFESTS: [(CheckId, Code); 3] = [
    (CheckId::Gpu09, Code::RimMissing),
    (CheckId::Gpu12, Code::MeasurementsMissing),
    (CheckId::Gpu08, Code::RevocationUnknown),
];

/// Judges without manifest, state or revocation data.
pub fn judge(
    policy: &AppraisalPolicy,
    device: &AuthenticDevice<'_>,
    trace: &mut Trace,
) -> Option<DeviceFacts> {
    let (collateral, links) = (Collateral::none(), Links::new());
    let library = Library::open(&collateral, &TrustAnchors::vendor(), &links, NOW);
    let (library, collateral, links) = (&library, &collateral, &links);
    DeviceDemands { named: None, policy, index: 0, state: None, library, collateral, links, now: NOW }
        .judge(device, trace)
}

pub fn judge_in_lab(device: &AuthenticDevice<'_>, trace: &mut Trace) -> Option<DeviceFacts> {
    judge(&AppraisalPolicy::preset(Level::Lab), device, trace)
}

/// One minted device under one policy; everything that policy asks is shown, but for manifests.
struct Setup {
    level: Level,
    floor: Option<DeviceFloor>,
    fields: DeviceFields,
    report: SpdmFields,
    state: Option<DeviceState>,
    /// Serial numbers that the device's authorities revoke.
    revoked: Vec<Vec<u8>>,
    platforms: Vec<Platform>,
}

fn floor() -> DeviceFloor {
    DeviceFloor {
        architectures: vec![Architecture::Hopper],
        mode: GpuMode::Spt,
        driver: "550.90.07".to_owned(),
        vbios: "96.00.9F.00.01".to_owned(),
        switches: 0,
    }
}

fn enrolled(kind: PlatformKind, serial: &[u8]) -> Platform {
    let id = PlatformId::ueid(serial).unwrap();
    Platform { kind, id, custody: String::new(), enrolled_at: 0, revoked_at: None }
}

impl Setup {
    fn strict() -> Self {
        Self {
            level: Level::Strict,
            floor: Some(floor()),
            fields: DeviceFields::hopper(1),
            report: SpdmFields::gpu(),
            state: Some(ON),
            revoked: Vec::new(),
            platforms: vec![enrolled(PlatformKind::GpuUeid, &[0x53, 1])],
        }
    }

    fn lab() -> Self {
        Self { level: Level::Lab, platforms: Vec::new(), ..Self::strict() }
    }

    fn run(self) -> (Option<DeviceFacts>, Trace) {
        let gpu = self.floor.map(|devices| GpuFloor { count: 1, devices: Some(devices) });
        let document =
            PolicyDocument { gpu, platforms: self.platforms, ..PolicyDocument::preset(self.level) };
        let policy = document.policy().unwrap();
        let pki = Pki::new();
        let device = pki.device(&self.fields);
        let bench = Bench { anchors: pki.anchors(), nonce: nonce(), ..Bench::vendor() };
        let report = device.report(&self.report);
        let collateral = Collateral {
            nvidia_crls: pki.lists(&self.revoked).into_iter().map(Base64Bytes).collect(),
            ..Collateral::none()
        };
        let links = Links::new();
        let library = Library::open(&collateral, &bench.anchors, &links, NOW);
        let (facts, trace) = bench.run(device.kind, &report, &device.certificates(), |device, trace| {
            let demands = DeviceDemands {
                named: None,
                policy: &policy,
                index: 3,
                state: self.state.as_ref(),
                library: &library,
                collateral: &collateral,
                links: &links,
                now: NOW,
            };
            demands.judge(device, trace)
        });
        (facts.unwrap(), trace)
    }

    /// Findings, but for those that only manifests can settle.
    fn findings(self) -> Vec<(CheckId, Code)> {
        let above_lab = self.level != Level::Lab;
        let mut found = findings(&self.run().1);
        if above_lab {
            let before = found.len();
            found.retain(|finding| !WITHOUT_MANIFESTS.contains(finding));
            assert_eq!(found.len() + WITHOUT_MANIFESTS.len(), before);
        }
        found
    }
}

#[test]
fn a_device_that_meets_strict_but_for_manifests() {
    let (facts, trace) = Setup::strict().run();
    assert_eq!(findings(&trace), WITHOUT_MANIFESTS);
    let facts = facts.unwrap();
    assert_eq!((facts.kind, facts.index, facts.architecture), (DeviceKind::Gpu, 3, Architecture::Hopper));
    assert_eq!((facts.driver.as_str(), facts.vbios.as_str()), ("550.90.07", "96.00.9F.00.01"));
    assert_eq!((facts.mode, facts.matched), (Some(GpuMode::Spt), 0));
    for check in [CheckId::Gpu06, CheckId::Gpu07, CheckId::Gpu13, CheckId::Gpu14, CheckId::Gpu16] {
        assert_eq!(verdict(&trace, check), Verdict::Pass, "{check}");
    }
}

#[test]
fn gpu_06_a_report_without_firmware_id() {
    let silent = || SpdmFields::gpu().without(field::FWID);
    assert_eq!(
        Setup { report: silent(), ..Setup::strict() }.findings(),
        [(CheckId::Gpu06, Code::FwidMissing)]
    );
    let (_, trace) = Setup { report: silent(), ..Setup::lab() }.run();
    assert_eq!((findings(&trace), verdict(&trace, CheckId::Gpu06)), (vec![], Verdict::Warning));
}

#[test]
fn gpu_07_architectures() {
    let refused = [(CheckId::Gpu07, Code::ArchMismatch)];
    let blackwell = || Setup { fields: DeviceFields::blackwell(1), ..Setup::lab() };
    assert_eq!(blackwell().findings(), refused, "not listed");
    let floor_of =
        |architectures: &[Architecture]| DeviceFloor { architectures: architectures.to_vec(), ..floor() };
    let listed = Some(floor_of(&[Architecture::Blackwell]));
    assert_eq!(Setup { floor: listed.clone(), ..blackwell() }.findings(), []);
    let chip = |chip: &[u8]| SpdmFields::gpu().with(field::CHIP, chip);
    assert_eq!(Setup { floor: listed, report: chip(b"GB100\0"), ..blackwell() }.findings(), []);
    for other in [&b"GB100\0"[..], b"XX100\0", b"GH1000\0", b"LS_10\0"] {
        assert_eq!(Setup { report: chip(other), ..Setup::lab() }.findings(), refused, "{other:?}");
    }
    let names = [
        "GR100 A01 GSP FMC LF",
        "GH100 A01 GSP FMC",
        "GH100 A01 FSP FMC LF",
        "GH100 A01 GSP BROM",
        "GH1OO A01 GSP FMC LF",
        "LS_10 A01 FSP FMC LF",
    ];
    for name in names {
        let fields = DeviceFields { leaf_name: name.to_owned(), ..DeviceFields::hopper(1) };
        let (facts, trace) = Setup { fields, ..Setup::lab() }.run();
        assert_eq!((facts, findings(&trace)), (None, refused.to_vec()), "{name}");
    }
}

#[test]
fn gpu_07_versions_below_the_floor() {
    let refused = [(CheckId::Gpu07, Code::RimVersionMismatch)];
    let driver = |text: &str| Some(DeviceFloor { driver: text.to_owned(), ..floor() });
    let vbios = |text: &str| Some(DeviceFloor { vbios: text.to_owned(), ..floor() });
    for floor in [driver("550.90.08"), driver("551.0"), vbios("96.00.9F.00.02")] {
        assert_eq!(Setup { floor, ..Setup::lab() }.findings(), refused);
    }
    for floor in [driver("535.86.09"), vbios("96.00.5E.00.01")] {
        assert_eq!(Setup { floor, ..Setup::lab() }.findings(), []);
    }
    let (_, trace) = Setup { floor: None, ..Setup::lab() }.run();
    assert_eq!((findings(&trace), verdict(&trace, CheckId::Gpu07)), (vec![], Verdict::NotShown));
    let found = Setup { floor: None, ..Setup::strict() }.findings();
    assert_eq!(found, [(CheckId::Gpu07, Code::RimVersionMismatch), (CheckId::Gpu14, Code::GpuMode)]);
}

#[test]
fn gpu_08_a_revoked_authority_or_device() {
    let brom = DeviceFields::hopper(1).brom_serial;
    for (revoked, link) in [(brom, "issuer 1"), (Pki::FAMILY_SERIAL.to_vec(), "issuer 2")] {
        let (facts, trace) = Setup { revoked: vec![revoked], ..Setup::lab() }.run();
        assert_eq!(findings(&trace), [(CheckId::Gpu08, Code::CertRevoked)], "a hold is a revocation");
        let held = Revocation::Revoked { link, reason: Reason::CertificateHold };
        assert_eq!(facts.unwrap().revocation, held);
    }
    let (_, trace) = Setup { revoked: vec![vec![0x41, 9]], ..Setup::lab() }.run();
    assert_eq!((findings(&trace), verdict(&trace, CheckId::Gpu08)), (vec![], Verdict::Warning));
}

#[test]
fn gpu_13_modes_that_the_guest_read() {
    let state = |cc_mode, devtools| Some(DeviceState { cc_mode, protected_pcie: Switched::Off, devtools });
    let cases = [
        (state(Switched::Off, Switched::Off), Code::CcModeOff),
        (state(Switched::Off, Switched::On), Code::CcModeOff),
        (state(Switched::On, Switched::On), Code::DevToolsMode),
    ];
    for (state, code) in cases {
        assert_eq!(Setup { state, ..Setup::lab() }.findings(), [(CheckId::Gpu13, code)]);
    }
    // Protected PCIe takes the place of confidential mode where the charter wants it, and nowhere else.
    let protected = |cc_mode, devtools| Some(DeviceState { cc_mode, protected_pcie: Switched::On, devtools });
    let board = Some(DeviceFloor { mode: GpuMode::Ppcie, ..floor() });
    let gpu_13 = |setup: Setup| {
        let found = setup.findings();
        found.into_iter().find(|(check, _)| *check == CheckId::Gpu13).map(|(_, code)| code)
    };
    let run =
        |floor: &Option<DeviceFloor>, state| gpu_13(Setup { floor: floor.clone(), state, ..Setup::lab() });
    assert_eq!(run(&board, protected(Switched::Off, Switched::Off)), None);
    assert_eq!(run(&board, protected(Switched::Off, Switched::On)), Some(Code::DevToolsMode));
    assert_eq!(run(&board, state(Switched::Off, Switched::Off)), Some(Code::CcModeOff));
    assert_eq!(run(&Some(floor()), protected(Switched::Off, Switched::Off)), Some(Code::CcModeOff));
    assert_eq!(Setup { state: None, ..Setup::strict() }.findings(), [(CheckId::Gpu13, Code::CcModeOff)]);
}

#[test]
fn gpu_14_modes_of_the_report() {
    let refused = [(CheckId::Gpu14, Code::GpuMode)];
    let architectures = vec![Architecture::Hopper, Architecture::Blackwell];
    let want = |mode| Some(DeviceFloor { mode, architectures: architectures.clone(), ..floor() });
    let report = |protected: u8, feature: Option<u8>| {
        let report = SpdmFields::gpu().with(field::PROTECTED_PCIE, &[protected]);
        feature.map_or(report.clone(), |feature| report.with(field::FEATURE, &[feature, 0]))
    };
    let met = [
        (GpuMode::Spt, report(0x55, None)),
        (GpuMode::Spt, report(0x55, Some(0))),
        (GpuMode::Mpt, report(0x55, Some(1))),
        (GpuMode::Mpt, report(0x55, Some(1)).without(field::PROTECTED_PCIE)),
        (GpuMode::Ppcie, report(0xAA, None)),
        (GpuMode::Ppcie, report(0xAA, Some(2))),
    ];
    for (mode, report) in met {
        for other in [GpuMode::Spt, GpuMode::Mpt, GpuMode::Ppcie] {
            let found = Setup { floor: want(other), report: report.clone(), ..Setup::lab() }.findings();
            assert_eq!(
                found,
                if other == mode { vec![] } else { refused.to_vec() },
                "{mode:?} for {other:?}"
            );
        }
    }
    let unclear = [
        report(0x55, Some(2)),
        report(0xAA, Some(0)),
        report(0xAA, Some(1)),
        report(0x55, Some(3)),
        SpdmFields::gpu().without(field::PROTECTED_PCIE),
    ];
    for report in unclear {
        for mode in [GpuMode::Spt, GpuMode::Mpt, GpuMode::Ppcie] {
            let found = Setup { floor: want(mode), report: report.clone(), ..Setup::lab() }.findings();
            assert_eq!(found, refused, "{mode:?}");
        }
    }
}

#[test]
fn gpu_16_devices_that_are_not_enrolled() {
    let found = |platform: Platform, setup| Setup { platforms: vec![platform], ..setup }.findings();
    let refused = [(CheckId::Gpu16, Code::UnknownDevice)];
    assert_eq!(
        found(enrolled(PlatformKind::GpuUeid, &[0x53, 2]), Setup::lab()),
        refused,
        "another serial number"
    );
    assert_eq!(
        found(enrolled(PlatformKind::SwitchUeid, &[0x53, 1]), Setup::strict()),
        refused,
        "another kind"
    );
    let gone = Platform { revoked_at: Some(NOW), ..enrolled(PlatformKind::GpuUeid, &[0x53, 1]) };
    assert_eq!(found(gone.clone(), Setup::lab()), [(CheckId::Gpu16, Code::PlatformRevoked)]);
    assert_eq!(found(Platform { revoked_at: Some(NOW + 1), ..gone }, Setup::lab()), []);
    assert_eq!(Setup { platforms: Vec::new(), ..Setup::strict() }.findings(), refused);
}

#[test]
fn switches_have_no_mode_and_no_firmware_id() {
    let switch = || Setup {
        fields: DeviceFields::switch(1),
        report: SpdmFields::switch(1, [1, 2, 3, 4, 5, 6, 7, 8]),
        state: None,
        platforms: vec![enrolled(PlatformKind::SwitchUeid, &[0x79, 1])],
        floor: Some(DeviceFloor { switches: 4, mode: GpuMode::Ppcie, ..floor() }),
        ..Setup::strict()
    };
    assert_eq!(switch().findings(), []);
    let (facts, trace) = switch().run();
    let facts = facts.unwrap();
    assert_eq!((facts.architecture, facts.driver.as_str(), facts.mode), (Architecture::Ls10, "", None));
    for check in [CheckId::Gpu05, CheckId::Gpu06, CheckId::Gpu13, CheckId::Gpu14] {
        assert_eq!(verdict(&trace, check), Verdict::NotApplicable, "{check}");
    }
    let unwanted = Setup { floor: Some(floor()), ..switch() };
    assert_eq!(unwanted.findings(), [(CheckId::Gpu07, Code::ArchMismatch)]);
}
