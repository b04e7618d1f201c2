//! Signed facts that a policy or a rule without exception refuses (SNP-09..SNP-24).
//!
//! Foreign anchors are refused above `lab` in any case, so the rules of the higher levels show as a second finding.

use tiltyard_attestation::Hex;
use tiltyard_attestation::policy::{Level, Product};
use tiltyard_simulator::mint::Draft;

use crate::accepted::strict_guest;
use crate::bench::{Bench, NOW, enrolled};

fn lab() -> Bench {
    Bench::lab(Product::Genoa, 3)
}

/// A Standard charter's findings besides the foreign anchors.
fn standard(edit: impl FnOnce(&mut Draft)) -> Vec<String> {
    beyond_anchors(Bench::above_lab(Level::Standard, Product::Genoa, 3).findings(edit))
}

/// A Strict charter's findings besides the foreign anchors, for a guest that is otherwise as it asks.
fn strict(edit: impl FnOnce(&mut Draft)) -> Vec<String> {
    let bench = Bench::above_lab(Level::Strict, Product::Turin, 5);
    beyond_anchors(bench.findings(|draft| {
        strict_guest(draft);
        edit(draft);
    }))
}

fn beyond_anchors(mut found: Vec<String>) -> Vec<String> {
    assert_eq!(found.first().map(String::as_str), Some("POL-02 AnchorsNotVendor"), "{found:?}");
    found.split_off(1)
}

#[test]
fn snp_09_no_signing_key_or_one_that_is_not_certified() {
    for kind in [1, 2, 7] {
        let found = lab().findings(|draft| draft.report.key_info = kind << 2);
        assert_eq!(found, ["SNP-09 SigningKey"], "{kind}");
    }
}

#[test]
fn snp_10_certificate_of_another_product() {
    let bench = lab().reissued(|fields| fields.vcek.product_name = "Milan-B0".to_owned());
    assert_eq!(bench.findings(|_| {}), ["SNP-10 ProductMismatch"]);
}

#[test]
fn snp_10_cpuid_of_another_product() {
    for cpuid in [[0x19, 0x01, 1], [0x1a, 0x02, 1], [0x1a, 0x50, 0], [0x17, 0x31, 0]] {
        let found = lab().findings(|draft| draft.report.cpuid = cpuid);
        assert_eq!(found, ["SNP-10 ProductMismatch"], "{cpuid:02x?}");
    }
}

#[test]
fn snp_11_product_without_a_floor() {
    let bench = lab().with(|bench| bench.floors.retain(|row| row.product != Product::Genoa));
    assert_eq!(bench.findings(|_| {}), ["SNP-11 ProductRefused"]);
}

#[test]
fn snp_11_milan_and_version_2_above_lab() {
    let milan = Bench::above_lab(Level::Standard, Product::Milan, 3);
    assert_eq!(beyond_anchors(milan.findings(|_| {})), ["SNP-11 ProductRefused"]);
    let no_cpuid = Bench::above_lab(Level::Standard, Product::Genoa, 2);
    assert_eq!(beyond_anchors(no_cpuid.findings(|_| {})), ["SNP-11 ProductRefused"]);
    let genoa = Bench::above_lab(Level::Strict, Product::Genoa, 3);
    assert_eq!(beyond_anchors(genoa.findings(strict_guest)), ["SNP-11 ProductRefused"]);
}

#[test]
fn snp_12_reported_tcb_that_the_certificate_is_not_for() {
    let edits: [fn(&mut Draft); 4] = [
        |draft| draft.report.reported_tcb.bootloader -= 1,
        |draft| draft.report.reported_tcb.tee += 1,
        |draft| draft.report.reported_tcb.snp += 1,
        |draft| draft.report.reported_tcb.microcode -= 1,
    ];
    for edit in edits {
        assert_eq!(lab().findings(edit), ["SNP-12 TcbMismatch"]);
    }
    let turin = Bench::lab(Product::Turin, 5);
    assert_eq!(turin.findings(|draft| draft.report.reported_tcb.fmc += 1), ["SNP-12 TcbMismatch"]);
}

#[test]
fn snp_13_versions_under_the_floor() {
    assert_eq!(lab().findings(|draft| draft.report.committed_tcb.snp = 0), ["SNP-13 TcbTooOld"]);
    assert_eq!(lab().findings(|draft| draft.report.launch_tcb.microcode = 0), ["SNP-13 TcbTooOld"]);
    let bench = lab().with(|bench| bench.floors.iter_mut().for_each(|row| row.tcb.snp = 25));
    assert_eq!(bench.findings(|_| {}), ["SNP-13 TcbTooOld"]);
    let turin =
        Bench::lab(Product::Turin, 5).with(|bench| bench.floors.iter_mut().for_each(|row| row.tcb.fmc = 2));
    assert_eq!(turin.findings(|_| {}), ["SNP-13 TcbTooOld"]);
}

#[test]
fn snp_14_provisional_firmware_under_strict() {
    assert_eq!(strict(|draft| draft.report.current_tcb.snp += 1), ["SNP-14 TcbProvisional"]);
    assert_eq!(strict(|draft| draft.report.current_firmware[0] += 1), ["SNP-14 TcbProvisional"]);
    assert!(standard(|draft| draft.report.current_tcb.snp += 1).is_empty());
}

#[test]
fn snp_15_report_of_another_chip() {
    assert_eq!(lab().findings(|draft| draft.report.chip_id[63] ^= 1), ["SNP-15 ChipIdMismatch"]);
    let turin = Bench::lab(Product::Turin, 5);
    assert_eq!(turin.findings(|draft| draft.report.chip_id[8] = 1), ["SNP-15 ChipIdMismatch"]);
}

#[test]
fn snp_15_certificate_with_an_id_of_the_wrong_length() {
    let bench = lab().reissued(|fields| fields.vcek.hwid.truncate(8));
    assert_eq!(bench.findings(|_| {}), ["SNP-15 ChipIdMismatch"]);
    let turin = Bench::lab(Product::Turin, 5).reissued(|fields| fields.vcek.hwid.resize(64, 0));
    assert_eq!(turin.findings(|_| {}), ["SNP-15 ChipIdMismatch"]);
}

#[test]
fn snp_16_masked_chip() {
    let found = standard(|draft| draft.report.chip_id = [0; 64]);
    assert_eq!(found, ["SNP-16 ChipIdMasked", "SNP-17 UnknownChip"]);
    assert_eq!(standard(|draft| draft.report.key_info |= 1 << 1), ["SNP-16 ChipIdMasked"]);
    assert!(lab().findings(|draft| draft.report.chip_id = [0; 64]).is_empty());
}

#[test]
fn snp_17_chip_that_is_not_enrolled() {
    let bench = lab().with(|bench| bench.platforms = vec![enrolled(Hex([1; 64]))]);
    assert_eq!(bench.findings(|_| {}), ["SNP-17 UnknownChip"]);
}

#[test]
fn snp_17_chip_whose_enrolment_was_revoked() {
    let revoked = |at| {
        lab().with(|bench| {
            bench.platforms = vec![enrolled(bench.platform.chip_id())];
            bench.platforms[0].revoked_at = Some(at);
        })
    };
    assert_eq!(revoked(NOW).findings(|_| {}), ["SNP-17 PlatformRevoked"]);
    assert!(revoked(NOW + 1).findings(|_| {}).is_empty());
}

#[test]
fn snp_18_debug() {
    assert_eq!(lab().findings(|draft| draft.report.policy |= 1 << 19), ["SNP-18 PolicyDebug"]);
}

#[test]
fn snp_18_migration_agent() {
    assert_eq!(lab().findings(|draft| draft.report.policy |= 1 << 18), ["SNP-18 PolicyMigration"]);
    assert_eq!(lab().findings(|draft| draft.report.report_id_ma[31] = 0), ["SNP-18 PolicyMigration"]);
}

#[test]
fn snp_18_reserved_one_is_zero() {
    assert_eq!(lab().findings(|draft| draft.report.policy &= !(1 << 17)), ["SNP-18 PolicyMismatch"]);
}

#[test]
fn snp_19_guest_policy_of_a_strict_charter() {
    assert!(strict(|_| {}).is_empty());
    assert_eq!(strict(|draft| draft.report.policy |= 1 << 16), ["SNP-19 PolicyMismatch"]);
    assert_eq!(strict(|draft| draft.report.policy &= !(1 << 24)), ["SNP-19 PolicyMismatch"]);
    assert_eq!(strict(|draft| draft.report.policy &= !(1 << 25)), ["SNP-19 PolicyMismatch"]);
}

#[test]
fn snp_20_alias_check_not_complete() {
    assert_eq!(standard(|draft| draft.report.platform_info &= !(1 << 5)), ["SNP-20 PlatformInfo"]);
    assert_eq!(strict(|draft| draft.report.platform_info &= !(1 << 5)), ["SNP-20 PlatformInfo"]);
}

#[test]
fn snp_21_other_privilege_level() {
    for vmpl in [1, 3, u32::MAX] {
        assert_eq!(lab().findings(|draft| draft.report.vmpl = vmpl), ["SNP-21 VmplMismatch"], "{vmpl}");
    }
}

#[test]
fn snp_22_measurement_of_another_program() {
    let found = lab().findings(|draft| draft.report.measurement[47] ^= 1);
    assert_eq!(found, ["SNP-22 MeasurementMismatch"]);
}

#[test]
fn snp_22_measurement_of_another_image_or_backend() {
    let image = lab().with(|bench| bench.reference.images[0].image = Hex([1; 32]));
    assert_eq!(image.findings(|_| {}), ["SNP-22 MeasurementMismatch"]);
    let backend = lab().with(|bench| bench.reference.images[0].backend = tiltyard_attestation::Backend::Snp);
    assert_eq!(backend.findings(|_| {}), ["SNP-22 MeasurementMismatch"]);
}

#[test]
fn snp_23_identity_block_that_no_reference_names() {
    assert_eq!(lab().findings(|draft| draft.report.id_key_digest[0] = 1), ["SNP-23 IdKeyMismatch"]);
    assert_eq!(lab().findings(|draft| draft.report.author_key_digest[0] = 1), ["SNP-23 IdKeyMismatch"]);
    assert_eq!(lab().findings(|draft| draft.report.family_id[0] = 1), ["SNP-23 ImageIdMismatch"]);
    assert_eq!(lab().findings(|draft| draft.report.image_id[15] = 1), ["SNP-23 ImageIdMismatch"]);
}

#[test]
fn snp_23_guest_svn_under_the_floor() {
    let bench = lab().with(|bench| bench.floors.iter_mut().for_each(|row| row.guest_svn = 3));
    assert_eq!(bench.findings(|draft| draft.report.guest_svn = 2), ["SNP-23 SvnTooLow"]);
    assert!(bench.findings(|draft| draft.report.guest_svn = 3).is_empty());
}

#[test]
fn snp_24_mitigation_that_is_off() {
    let bench = Bench::lab(Product::Turin, 5).with(|bench| bench.mitigations = 0b11);
    let with = |launch, current| {
        bench.findings(|draft| {
            (draft.report.launch_mitigations, draft.report.current_mitigations) = (launch, current);
        })
    };
    assert!(with(0b11, 0b111).is_empty());
    assert_eq!(with(0b01, 0b11), ["SNP-24 MitigationMissing"]);
    assert_eq!(with(0b11, 0b01), ["SNP-24 MitigationMissing"]);
    let no_vector = lab().with(|bench| bench.mitigations = 1);
    assert_eq!(no_vector.findings(|_| {}), ["SNP-24 MitigationMissing"]);
}
