//! SNP-18, SNP-19, SNP-21..SNP-24: the guest itself; and policies that are none.

use tiltyard_attestation::policy::{
    Architecture, DeviceFloor, GpuFloor, GpuMode, Level, ModuleFloor, Platform, PlatformId, PlatformKind,
    PolicyError, Product, SnpFloor, TdxFloor, TeeFloor,
};
use tiltyard_attestation::{AppraisalPolicy, Backend, CheckId, Code, Hex, measure};

use crate::minted::{Guest, PROGRAM, Setup, put};

fn lab(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<(CheckId, Code)> {
    Setup::lab().refused(&Guest::turin().evidence_with(edit))
}

#[test]
fn snp_18_debug_and_migration_at_every_level() {
    assert_eq!(lab(|report| report[0x00A] |= 1 << 3), [(CheckId::Snp18, Code::PolicyDebug)]);
    assert_eq!(lab(|report| report[0x00A] |= 1 << 2), [(CheckId::Snp18, Code::PolicyMigration)]);
    assert_eq!(lab(|report| report[0x00A] &= !(1 << 1)), [(CheckId::Snp18, Code::PolicyMismatch)]);
    assert_eq!(lab(|report| report[0x17F] = 0), [(CheckId::Snp18, Code::PolicyMigration)]);
}

#[test]
fn snp_19_bits_that_strict_asks_for() {
    let mismatch = (CheckId::Snp19, Code::PolicyMismatch);
    // SMT allowed; ciphertext hiding off; page swap on.
    for (at, bit) in [(0x00A, 1), (0x00B, 1), (0x00B, 2)] {
        let bend = |report: &mut Vec<u8>| report[at] ^= bit;
        let mut guest = Guest::turin();
        guest.config.backend = Backend::Snp;
        let got = Setup::above(Level::Strict).refused(&guest.evidence_with(bend));
        assert!(got.contains(&mismatch), "{at:#x}: {got:?}");
        let mut guest = Guest::turin();
        guest.config.backend = Backend::Snp;
        let got = Setup::above(Level::Standard).refused(&guest.evidence_with(bend));
        assert!(!got.contains(&mismatch), "{at:#x}: {got:?}");
        assert!(Setup::lab().appraise(&Guest::turin().evidence_with(bend)).is_ok());
    }
}

#[test]
fn snp_21_another_privilege_level() {
    assert_eq!(lab(|report| report[0x030] = 1), [(CheckId::Snp21, Code::VmplMismatch)]);
    assert_eq!(lab(|report| report[0x033] = 1), [(CheckId::Snp21, Code::VmplMismatch)]);
    let mut setup = Setup::lab();
    setup.tee.snp[0].vmpl = 2;
    assert_eq!(setup.refused(&Guest::turin().evidence()), [(CheckId::Snp21, Code::VmplMismatch)]);
}

#[test]
fn snp_22_another_measurement_image_or_backend() {
    let mismatch = [(CheckId::Snp22, Code::MeasurementMismatch)];
    assert_eq!(lab(|report| report[0x090] ^= 1), mismatch);
    let other = measure::process_measurement(b"another program");
    assert_eq!(lab(|report| put(report, 0x090, other.bytes())), mismatch);
    let mut guest = Guest::turin();
    guest.config.image = Hex([0; 32]);
    assert_eq!(Setup::lab().refused(&guest.evidence()), mismatch);
    let mut setup = Setup::lab();
    setup.reference.images.remove(0);
    assert_eq!(setup.refused(&Guest::turin().evidence()), mismatch);
    setup.reference.images.clear();
    assert_eq!(setup.refused(&Guest::turin().evidence()), mismatch);
}

#[test]
fn snp_23_identity_blocks_and_security_versions() {
    for (at, code) in [
        (0x0E0, Code::IdKeyMismatch),
        (0x13F, Code::IdKeyMismatch),
        (0x010, Code::ImageIdMismatch),
        (0x02F, Code::ImageIdMismatch),
    ] {
        assert_eq!(lab(|report| report[at] = 1), [(CheckId::Snp23, code)], "{at:#x}");
    }
    let mut setup = Setup::lab();
    setup.tee.snp[0].guest_svn = 2;
    let at = |svn: u8| Guest::turin().evidence_with(move |report| report[0x004] = svn);
    assert_eq!(setup.refused(&at(1)), [(CheckId::Snp23, Code::SvnTooLow)]);
    assert!(setup.appraise(&at(2)).is_ok());
}

#[test]
fn snp_24_mitigations_that_are_off() {
    let missing = [(CheckId::Snp24, Code::MitigationMissing)];
    let setup = Setup { mitigations: 0b101, ..Setup::lab() };
    let with = |launch: u8, current: u8| {
        Guest::turin().evidence_with(move |report| {
            report[0x1F8] = launch;
            report[0x200] = current;
        })
    };
    assert!(setup.appraise(&with(0b111, 0b101)).is_ok());
    assert_eq!(setup.refused(&with(0b100, 0b101)), missing);
    assert_eq!(setup.refused(&with(0b101, 0b001)), missing);
    assert_eq!(setup.refused(&Guest::milan().evidence()), missing);
}

#[test]
fn the_measurement_of_a_process_is_tagged() {
    let tagged = [b"tiltyard-process-measurement-v1\0", PROGRAM].concat();
    let digest = ring::digest::digest(&ring::digest::SHA384, &tagged);
    assert_eq!(measure::process_measurement(PROGRAM).bytes(), digest.as_ref());
}

#[test]
fn device_floors_that_no_device_can_be_held_to() {
    let floor = DeviceFloor {
        architectures: vec![Architecture::Hopper],
        mode: GpuMode::Spt,
        driver: "550.90.07".to_owned(),
        vbios: "96.00.9F.00.01".to_owned(),
        switches: 0,
    };
    let lab = Setup::lab();
    let policy = |devices: DeviceFloor| {
        let gpu = GpuFloor { count: 1, devices: Some(devices) };
        AppraisalPolicy::from_floors(Level::Lab, &lab.backends, &lab.tee, &gpu, &[])
    };
    assert!(policy(floor.clone()).is_ok());
    let refused = |devices| match policy(devices) {
        Err(PolicyError::Floor { member, got, .. }) => (member, got),
        other => panic!("{other:?}"),
    };
    for driver in ["", "any", "550", "550.90.07.1.1", "550.-1", "5500000.1", " 550.90"] {
        let devices = DeviceFloor { driver: driver.to_owned(), ..floor.clone() };
        assert_eq!(refused(devices), ("devices.driver", driver.to_owned()));
    }
    for vbios in ["", "none", "96.00.9F.00", "96.00.9F.00.01.02", "9600.9F.00.01", "96.00.9G.00.01"] {
        let devices = DeviceFloor { vbios: vbios.to_owned(), ..floor.clone() };
        assert_eq!(refused(devices), ("devices.vbios", vbios.to_owned()));
    }
    for (mode, architecture) in
        [(GpuMode::Mpt, Architecture::Hopper), (GpuMode::Ppcie, Architecture::Blackwell)]
    {
        let devices = DeviceFloor { mode, architectures: vec![architecture], ..floor.clone() };
        assert_eq!(refused(devices).0, "devices.architectures");
        let both = vec![Architecture::Hopper, Architecture::Blackwell];
        assert!(policy(DeviceFloor { mode, architectures: both, ..floor.clone() }).is_ok());
    }
    let none = DeviceFloor { architectures: vec![], ..floor };
    assert_eq!(refused(none), ("devices.architectures", "none".to_owned()));
}

#[test]
fn gpus_without_a_floor_rows_beyond_the_limit_and_modules_twice() {
    let lab = Setup::lab();
    let policy = |tee: &TeeFloor, gpu: &GpuFloor, platforms: &[Platform]| {
        AppraisalPolicy::from_floors(Level::Lab, &lab.backends, tee, gpu, platforms)
    };
    let none = GpuFloor::none();
    for (count, missing) in [(0, false), (1, true), (8, true)] {
        let got = policy(&lab.tee, &GpuFloor { count, devices: None }, &[]);
        let refused = matches!(got, Err(PolicyError::Missing { member: "gpu_floor.devices", .. }));
        assert_eq!((refused, got.is_err()), (missing, missing), "{count}");
    }
    let rows = |count: usize| -> Vec<Platform> {
        let id = |at: usize| PlatformId::new(&(at as u64 + 1).to_be_bytes()).unwrap();
        (0..count)
            .map(|at| Platform {
                kind: PlatformKind::GpuUeid,
                id: id(at),
                custody: String::new(),
                enrolled_at: 0,
                revoked_at: None,
            })
            .collect()
    };
    for count in [4095, 4096] {
        assert!(policy(&lab.tee, &none, &rows(count)).is_ok(), "{count}");
    }
    let over = policy(&lab.tee, &none, &rows(4097));
    assert_eq!(over, Err(PolicyError::TooLarge { limit: 4096, got: 4097 }));
    let modules = |majors: &[u8]| {
        let module = |&major: &u8| ModuleFloor { major, svn: 1, mrseam: vec![] };
        let tdx = TdxFloor {
            tcb_evaluation: 18,
            modules: majors.iter().map(module).collect(),
            platform_flags: vec![],
            refused_advisories: vec![],
            xfam: 0,
        };
        policy(&TeeFloor { tdx: Some(tdx), ..lab.tee.clone() }, &none, &[])
    };
    assert!(modules(&[0, 1]).is_ok());
    for majors in [&[1, 1][..], &[0, 1, 0]] {
        assert!(matches!(modules(majors), Err(PolicyError::Duplicate { .. })), "{majors:?}");
    }
}

#[test]
fn floors_that_are_no_policy() {
    let lab = Setup::lab();
    let strict = Setup::above(Level::Strict);
    let policy = |level, backends: &[Backend], tee: &TeeFloor, platforms: &[_]| {
        AppraisalPolicy::from_floors(level, backends, tee, &GpuFloor::none(), platforms)
    };
    assert!(policy(Level::Lab, &lab.backends, &lab.tee, &[]).is_ok());
    assert!(policy(Level::Strict, &strict.backends, &strict.tee, &strict.platforms).is_ok());
    assert!(matches!(
        policy(Level::Strict, &strict.backends, &strict.tee, &[]),
        Err(PolicyError::Missing { member: "platforms", .. })
    ));
    assert!(matches!(
        policy(Level::Lab, &[], &lab.tee, &[]),
        Err(PolicyError::Missing { member: "backends", .. })
    ));
    for (level, backend) in [
        (Level::Strict, Backend::Process),
        (Level::Standard, Backend::Tcg),
        (Level::Standard, Backend::Kvm),
        (Level::Lab, Backend::Vtpm),
    ] {
        let got = policy(level, &[Backend::Snp, backend], &strict.tee, &strict.platforms);
        assert_eq!(got, Err(PolicyError::BackendBelowCharter { backend, level }));
    }
    for (level, product) in
        [(Level::Strict, Product::Milan), (Level::Strict, Product::Genoa), (Level::Standard, Product::Milan)]
    {
        let tee = TeeFloor { snp: vec![SnpFloor { product, ..lab.tee.snp[0] }], tdx: None };
        let got = policy(level, &[Backend::Snp], &tee, &strict.platforms);
        assert_eq!(got, Err(PolicyError::ProductBelowCharter { product, level }));
    }
    let twice = TeeFloor { snp: vec![lab.tee.snp[0], lab.tee.snp[0]], tdx: None };
    assert!(matches!(policy(Level::Lab, &lab.backends, &twice, &[]), Err(PolicyError::Duplicate { .. })));
    let platforms = [strict.platforms[0].clone(), strict.platforms[0].clone()];
    assert!(matches!(
        policy(Level::Lab, &lab.backends, &lab.tee, &platforms),
        Err(PolicyError::Duplicate { .. })
    ));
}
