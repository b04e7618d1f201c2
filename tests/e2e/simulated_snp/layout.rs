//! Bytes of the report that break its form or its signature (BND-09, SNP-01..SNP-05).

use tiltyard_attestation::policy::Product;

use crate::bench::Bench;

fn lab() -> Bench {
    Bench::lab(Product::Genoa, 3)
}

#[test]
fn bnd_09_one_byte_short() {
    assert_eq!(lab().findings_raw(|report| report.truncate(1183)), ["BND-09 ReportLength"]);
}

#[test]
fn bnd_09_one_byte_more() {
    assert_eq!(lab().findings_raw(|report| report.push(0)), ["BND-09 TrailingBytes"]);
}

#[test]
fn snp_01_version_6_and_1() {
    for version in [0, 1, 6, 0x0100_0003] {
        let found = lab().findings(|draft| draft.report.version = version);
        assert_eq!(found, ["SNP-01 ReportVersion"], "{version}");
    }
}

#[test]
fn snp_02_another_signature_algorithm() {
    for algorithm in [0, 2, 0x0101] {
        let found = lab().findings(|draft| draft.report.sig_algo = algorithm);
        assert_eq!(found, ["SNP-02 SigAlgo"], "{algorithm}");
    }
}

#[test]
fn snp_03_bytes_beyond_the_scalars_and_the_signature() {
    for at in [0x2A0 + 48, 0x2A0 + 71, 0x2E8 + 48, 0x330, 0x49F] {
        assert_eq!(lab().findings_raw(|report| report[at] = 1), ["SNP-03 SigPaddingNonZero"], "{at:#x}");
    }
}

#[test]
fn snp_04_a_field_changed_after_signing() {
    for at in [0x004, 0x090, 0x180, 0x1A0, 0x1F0, 0x2A0, 0x2E8] {
        assert_eq!(lab().findings_raw(|report| report[at] ^= 1), ["SNP-04 ReportSignature"], "{at:#x}");
    }
}

#[test]
fn snp_04_an_empty_signature() {
    assert_eq!(lab().findings_raw(|report| report[0x2A0..].fill(0)), ["SNP-04 ReportSignature"]);
}

#[test]
fn snp_04_signed_by_another_chip() {
    let bench = Bench::lab(Product::Genoa, 3);
    let other = Bench::lab(Product::Milan, 3);
    let found = bench.findings_raw(|report| other.platform.sign_raw(report).expect("signed"));
    assert_eq!(found, ["SNP-04 ReportSignature"]);
}

#[test]
fn snp_05_reserved_bytes_and_bits() {
    for at in [0x04C, 0x04F, 0x18B, 0x19F, 0x1EB, 0x1EF, 0x1F8, 0x29F, 0x03A, 0x185, 0x1E2, 0x1F5] {
        assert_eq!(lab().findings_signed(|report| report[at] = 1), ["SNP-05 ReservedNonZero"], "{at:#x}");
    }
    for bit in [26, 63] {
        assert_eq!(lab().findings(|draft| draft.report.policy |= 1 << bit), ["SNP-05 ReservedNonZero"]);
    }
    for bit in [8, 63] {
        let found = lab().findings(|draft| draft.report.platform_info |= 1 << bit);
        assert_eq!(found, ["SNP-05 ReservedNonZero"], "{bit}");
    }
    for named in [0, 6, 7] {
        assert_eq!(lab().findings(|draft| draft.report.platform_info |= 1 << named), [""; 0], "{named}");
    }
    assert_eq!(lab().findings(|draft| draft.report.key_info |= 1 << 5), ["SNP-05 ReservedNonZero"]);
}

#[test]
fn snp_05_what_is_reserved_depends_on_the_version_and_the_product() {
    let cpuid_in_v2 = Bench::lab(Product::Milan, 2).findings_signed(|report| report[0x188] = 0x19);
    assert_eq!(cpuid_in_v2, ["SNP-05 ReservedNonZero"]);
    let turin = Bench::lab(Product::Turin, 5);
    assert!(turin.findings(|draft| draft.report.launch_mitigations = 1).is_empty());
    for at in [0x208, 0x03C, 0x1E4] {
        assert_eq!(turin.findings_signed(|report| report[at] = 1), ["SNP-05 ReservedNonZero"], "{at:#x}");
    }
}
