//! SNP-01..SNP-03, SNP-05, SNP-09..SNP-17, SNP-20: structure, chip and firmware.

use tiltyard_attestation::policy::{Level, PlatformId};
use tiltyard_attestation::{Backend, CheckId, Code, Verdict};

use crate::minted::{Guest, NOW, Setup, put, put_tcb};

fn lab(edit: impl FnOnce(&mut Vec<u8>)) -> Vec<(CheckId, Code)> {
    Setup::lab().refused(&Guest::turin().evidence_with(edit))
}

/// Findings above `lab`, less POL-02, which foreign roots always give there.
fn above(level: Level, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<(CheckId, Code)> {
    refused(&Setup::above(level), edit)
}

fn refused(setup: &Setup, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<(CheckId, Code)> {
    let mut guest = Guest::turin();
    guest.config.backend = Backend::Snp;
    let mut found = setup.refused(&guest.evidence_with(edit));
    found.retain(|&(check, _)| check != CheckId::Pol02);
    found
}

#[test]
fn the_minted_turin_guest_meets_strict_and_standard_but_for_its_roots() {
    assert_eq!(above(Level::Strict, |_| {}), []);
    assert_eq!(above(Level::Standard, |_| {}), []);
}

#[test]
fn snp_01_versions() {
    for version in [0, 1, 6, u32::MAX] {
        let got = lab(|report| put(report, 0, &version.to_le_bytes()));
        assert_eq!(got, [(CheckId::Snp01, Code::ReportVersion)], "{version}");
    }
}

#[test]
fn snp_02_algorithms() {
    for algorithm in [0u32, 2, 1 << 31 | 1] {
        let got = lab(|report| put(report, 0x034, &algorithm.to_le_bytes()));
        assert_eq!(got, [(CheckId::Snp02, Code::SigAlgo)], "{algorithm}");
    }
}

#[test]
fn snp_03_padding() {
    for at in [0x2D0, 0x2E7, 0x318, 0x32F, 0x330, 0x49F] {
        let got = lab(|report| report[at] = 1);
        assert_eq!(got, [(CheckId::Snp03, Code::SigPaddingNonZero)], "{at:#x}");
    }
}

#[test]
fn snp_05_reserved_bytes_and_bits() {
    let reserved = [(CheckId::Snp05, Code::ReservedNonZero)];
    for at in [0x04C, 0x04F, 0x18B, 0x19F, 0x1EB, 0x1EF, 0x208, 0x29F] {
        let got = lab(|report| report[at] = 1);
        assert!(got.contains(&reserved[0]), "{at:#x}: {got:?}");
    }
    // Policy bits 26 and 63, platform bits 8 and 15, key bits 5 and 31.
    for (at, bit) in [(0x00B, 4), (0x00F, 0x80), (0x041, 0x80), (0x041, 1), (0x048, 0x20), (0x04B, 0x80)] {
        let got = lab(|report| report[at] |= bit);
        assert_eq!(got, reserved, "{at:#x} {bit:#x}");
    }
    let got = lab(|report| put_tcb(report, &[2, 3, 1, 4, 0, 1, 0, 75]));
    assert_eq!(got, reserved);
    let milan = Guest::milan().evidence_with(|report| report[0x1F8] = 1);
    assert_eq!(Setup::lab().refused(&milan), reserved);
}

#[test]
fn snp_09_signing_keys() {
    let refused = (CheckId::Snp09, Code::SigningKey);
    for selector in [1, 2, 6, 7] {
        let got = lab(|report| report[0x048] |= selector << 2);
        assert_eq!(got, [refused], "{selector}");
    }
    let vlek = || {
        let mut guest = Guest::milan().certificates(&["vlek_milan.der", "asvk_milan.der"]);
        put(&mut guest.report, 0x1A0, &[0; 64]);
        guest
    };
    let evidence = vlek().evidence_with(|report| report[0x048] = 1 << 2);
    assert!(Setup::lab().appraise(&evidence).is_ok());
    // A provider's key that claims to be the chip's.
    assert_eq!(Setup::lab().refused(&vlek().evidence()), [refused]);
    let got = Setup::above(Level::Standard).refused(&evidence);
    assert!(got.contains(&refused), "{got:?}");
}

#[test]
fn snp_10_products_that_disagree() {
    let mismatch = (CheckId::Snp10, Code::ProductMismatch);
    for cpuid in [[0x19, 0x01, 0x01], [0x1A, 0x12, 0x00], [0x00, 0x00, 0x00], [0x17, 0x31, 0x00]] {
        assert_eq!(lab(|report| put(report, 0x188, &cpuid)), [mismatch], "{cpuid:x?}");
    }
    let guest = Guest::turin().certificates(&["vcek_says_genoa.der", "ask_turin.der"]);
    let got = Setup::lab().refused(&guest.evidence());
    assert!(got.contains(&mismatch), "{got:?}");
}

#[test]
fn snp_11_products_without_a_floor() {
    let refused = (CheckId::Snp11, Code::ProductRefused);
    let mut setup = Setup::lab();
    setup.tee.snp.remove(0);
    assert_eq!(setup.refused(&Guest::turin().evidence()), [refused]);
    // Version 2 has no CPUID, and passes in lab only.
    let v2 = |report: &mut Vec<u8>| {
        report[0] = 2;
        put(report, 0x188, &[0; 3]);
    };
    assert!(Setup::lab().appraise(&Guest::turin().evidence_with(v2)).is_ok());
    for level in [Level::Standard, Level::Strict] {
        assert_eq!(above(level, v2), [refused]);
        let got = Setup::above(level).refused(&Guest::milan().evidence());
        assert!(got.contains(&refused), "{level:?} {got:?}");
    }
}

#[test]
fn snp_12_versions_that_the_certificate_is_not_for() {
    for (component, tcb) in [
        ("fmc", [3, 3, 1, 4, 0, 0, 0, 75]),
        ("bootloader", [2, 4, 1, 4, 0, 0, 0, 75]),
        ("tee", [2, 3, 2, 4, 0, 0, 0, 75]),
        ("snp", [2, 3, 1, 5, 0, 0, 0, 75]),
        ("microcode", [2, 3, 1, 4, 0, 0, 0, 76]),
    ] {
        assert_eq!(lab(|report| put_tcb(report, &tcb)), [(CheckId::Snp12, Code::TcbMismatch)], "{component}");
    }
}

#[test]
fn snp_13_each_component_of_committed_reported_and_launch() {
    let too_old = (CheckId::Snp13, Code::TcbTooOld);
    for at in [0x1E0, 0x180, 0x1F0] {
        for byte in [0, 1, 2, 3, 7] {
            let got = lab(|report| report[at + byte] -= 1);
            assert!(got.contains(&too_old), "{at:#x} {byte}: {got:?}");
        }
    }
    // The floor rises above the chip.
    let mut setup = Setup::lab();
    setup.tee.snp[0].tcb.microcode += 1;
    assert_eq!(setup.refused(&Guest::turin().evidence()), [too_old]);
}

#[test]
fn snp_14_provisional_firmware() {
    let provisional = [(CheckId::Snp14, Code::TcbProvisional)];
    for at in [0x038, 0x1E8, 0x1E9, 0x1EA] {
        assert_eq!(above(Level::Strict, |report| report[at] += 1), provisional, "{at:#x}");
        assert_eq!(above(Level::Standard, |report| report[at] += 1), [], "{at:#x}");
    }
}

#[test]
fn snp_15_another_chip() {
    let mismatch = [(CheckId::Snp15, Code::ChipIdMismatch)];
    assert_eq!(lab(|report| report[0x1A0] ^= 1), mismatch);
    assert_eq!(lab(|report| report[0x1A8] = 1), mismatch);
    let milan = Guest::milan().evidence_with(|report| report[0x1DF] ^= 1);
    assert_eq!(Setup::lab().refused(&milan), mismatch);
    let long = Guest::turin().certificates(&["vcek_long_hwid.der", "ask_turin.der"]);
    assert_eq!(Setup::lab().refused(&long.evidence()), mismatch);
}

#[test]
fn snp_16_masked_chips() {
    let masked = (CheckId::Snp16, Code::ChipIdMasked);
    let zero = |report: &mut Vec<u8>| put(report, 0x1A0, &[0; 64]);
    for level in [Level::Standard, Level::Strict] {
        assert_eq!(above(level, zero), [masked, (CheckId::Snp17, Code::UnknownChip)]);
        assert_eq!(above(level, |report| report[0x048] |= 2), [masked]);
    }
    let result = Setup::lab().appraise(&Guest::turin().evidence_with(zero)).unwrap();
    let row = result.trace().iter().find(|row| row.check == CheckId::Snp16).unwrap();
    assert_eq!(row.verdict, Verdict::Warning);
    // A lab charter that has a list holds to it.
    let setup = Setup { platforms: Setup::above(Level::Strict).platforms, ..Setup::lab() };
    let got = setup.refused(&Guest::turin().evidence_with(zero));
    assert_eq!(got, [masked, (CheckId::Snp17, Code::UnknownChip)]);
}

#[test]
fn snp_17_unknown_and_revoked_chips() {
    for level in [Level::Lab, Level::Standard, Level::Strict] {
        let mut setup = Setup::above(level);
        let enrolled = setup.platforms[0].id.clone();
        let mut other = enrolled.bytes().to_vec();
        other[0] ^= 1;
        setup.platforms[0].id = PlatformId::new(&other).unwrap();
        assert_eq!(refused(&setup, |_| {}), [(CheckId::Snp17, Code::UnknownChip)], "{level:?}");
        setup.platforms[0].id = enrolled;
        setup.platforms[0].revoked_at = Some(NOW);
        assert_eq!(refused(&setup, |_| {}), [(CheckId::Snp17, Code::PlatformRevoked)], "{level:?}");
    }
    // Not yet revoked at the time of the appraisal.
    let mut setup = Setup::above(Level::Strict);
    setup.platforms[0].revoked_at = Some(NOW + 1);
    assert_eq!(refused(&setup, |_| {}), []);
}

#[test]
fn snp_20_the_alias_check() {
    let unchecked = |report: &mut Vec<u8>| report[0x040] = 0;
    for level in [Level::Standard, Level::Strict] {
        assert_eq!(above(level, unchecked), [(CheckId::Snp20, Code::PlatformInfo)]);
    }
    assert!(Setup::lab().appraise(&Guest::turin().evidence_with(unchecked)).is_ok());
}
