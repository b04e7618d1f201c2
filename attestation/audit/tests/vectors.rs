//! Every genuine piece of evidence at hand gets its right verdict, through the program itself; one test prints the table.
//!
//! Files come from the workspace's vector collection where that is there, else from the copies in the attestation
//! package; a row whose files are nowhere says so.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// 2026-11-22.
const NOW: &str = "1795371000";

/// One run of `tiltyard-audit appraise`.
struct Row {
    /// What the evidence is, and what its right verdict rests on.
    what: &'static str,
    /// `--flag file` pairs; files by their names in the collection.
    evidence: &'static [(&'static str, &'static str)],
    /// Further arguments.
    with: &'static [&'static str],
    /// Findings, `CHECK Code`; none is a good verdict.
    findings: &'static [&'static str],
    /// Checks that must have passed all the same.
    passed: &'static [&'static str],
}

macro_rules! rows {
    ($($what:literal: [$($flag:literal $file:literal),*] [$($with:expr),*] => [$($finding:literal),*] [$($passed:literal),*];)*) => {
        &[$(Row {
            what: $what,
            evidence: &[$(($flag, $file)),*],
            with: &[$($with),*],
            findings: &[$($finding),*],
            passed: &[$($passed),*],
        }),*]
    };
}

const ROWS: &[Row] = rows! {
    "Milan V2, debug": ["--snp-report" "gosev_milan_v2_report.bin", "--vcek" "gosev_milan_vcek.der", "--cert-chain" "ask_ark_milan.pem"] ["--at", NOW] => ["SNP-18 PolicyDebug"] ["SNP-04", "SNP-06", "SNP-07", "SNP-12"];
    "the same after its VCEK": ["--snp-report" "gosev_milan_v2_report.bin", "--vcek" "gosev_milan_vcek.der", "--cert-chain" "ask_ark_milan.pem"] ["--at", "2035-01-01T00:00:00Z"] => ["SNP-07 CertExpired"] [];
    "Milan V2 with another chip's VCEK": ["--snp-report" "gosev_milan_v2_report.bin", "--vcek" "virtee_milan_vcek.der", "--cert-chain" "ask_ark_milan.pem"] ["--at", NOW] => ["SNP-04 ReportSignature"] [];
    "Milan V2 under Genoa's chain": ["--snp-report" "gosev_milan_v2_report.bin", "--vcek" "gosev_milan_vcek.der", "--cert-chain" "ask_ark_genoa.pem"] ["--at", NOW] => ["SNP-06 IssuerMismatch"] [];
    "Milan V2 under Turin's chain": ["--snp-report" "gosev_milan_v2_report.bin", "--vcek" "gosev_milan_vcek.der", "--cert-chain" "ask_ark_turin.pem"] ["--at", NOW] => ["SNP-06 IssuerMismatch"] [];
    "Milan V2, hex": ["--snp-report" "virtee_milan_report.hex", "--vcek" "virtee_milan_vcek.der", "--cert-chain" "ask_ark_milan.pem"] ["--at", NOW] => [] ["SNP-04", "SNP-12", "SNP-15", "SNP-18"];
    "the same before its VCEK": ["--snp-report" "virtee_milan_report.hex", "--vcek" "virtee_milan_vcek.der", "--cert-chain" "ask_ark_milan.pem"] ["--at", "2023-04-01T00:00:00Z"] => ["SNP-07 CertNotYetValid"] [];
    "Milan V2": ["--snp-report" "trustee_test-report.bin", "--vcek" "trustee_test-vcek.der", "--cert-chain" "ask_ark_milan.pem"] ["--at", NOW] => [] ["SNP-04"];
    "the same, chain file with the ASVK too": ["--snp-report" "trustee_test-report.bin", "--vcek" "trustee_test-vcek.der", "--cert-chain" "trustee_milan_ask_ark_asvk.pem"] ["--at", NOW] => [] ["SNP-04"];
    "Milan V2 under the other products' files": ["--snp-report" "trustee_test-report.bin", "--vcek" "trustee_test-vcek.der", "--cert-chain" "trustee_genoa_ask_ark_asvk.pem"] ["--at", NOW] => ["SNP-06 ChainShape"] [];
    "the same, Turin's": ["--snp-report" "trustee_test-report.bin", "--vcek" "trustee_test-vcek.der", "--cert-chain" "trustee_turin_ask_ark_asvk.pem"] ["--at", NOW] => ["SNP-06 ChainShape"] [];
    "Milan V3 by VLEK, asked for at VMPL 1": ["--snp-report" "trustee_test-vlek-report.bin", "--vcek" "trustee_test-vlek.der", "--cert-chain" "asvk_ark_milan_vlek.pem"] ["--at", "1748736000"] => ["SNP-21 VmplMismatch"] ["SNP-04", "SNP-09", "SNP-10"];
    "the same after its year": ["--snp-report" "trustee_test-vlek-report.bin", "--vcek" "trustee_test-vlek.der", "--cert-chain" "asvk_ark_milan_vlek.pem"] ["--at", NOW] => ["SNP-07 CertExpired"] ["SNP-06"];
    "the same under Genoa's ASVK": ["--snp-report" "trustee_test-vlek-report.bin", "--vcek" "trustee_test-vlek.der", "--cert-chain" "asvk_ark_genoa_vlek.pem"] ["--at", "1748736000"] => ["SNP-06 IssuerMismatch"] [];
    "the same under Turin's ASVK": ["--snp-report" "trustee_test-vlek-report.bin", "--vcek" "trustee_test-vlek.der", "--cert-chain" "asvk_ark_turin_vlek.pem"] ["--at", "1748736000"] => ["SNP-06 IssuerMismatch"] [];
    "Genoa V5": ["--snp-report" "routex_genoa_v5_report.bin", "--vcek" "routex_genoa_v5_vcek.der", "--cert-chain" "ask_ark_genoa.pem"] ["--at", NOW] => [] ["SNP-04", "SNP-05", "SNP-12", "SNP-15", "SNP-20"];
    "Turin V5, IOMMU write safe": ["--snp-report" "routex_turin_v5_report.bin", "--vcek" "routex_turin_v5_vcek.der", "--cert-chain" "ask_ark_turin.pem"] ["--at", NOW] => [] ["SNP-04", "SNP-05", "SNP-12", "SNP-15", "SNP-20"];
    "the same under Genoa's chain": ["--snp-report" "routex_turin_v5_report.bin", "--vcek" "routex_turin_v5_vcek.der", "--cert-chain" "ask_ark_genoa.pem"] ["--at", NOW] => ["SNP-06 IssuerMismatch"] [];
    "Turin V5 with another chip's VCEK": ["--snp-report" "routex_turin_v5_report.bin", "--vcek" "virtee_turin_vcek.der", "--cert-chain" "ask_ark_turin.pem"] ["--at", NOW] => ["SNP-04 ReportSignature"] [];
    "Turin VCEK, no report": ["--vcek" "virtee_turin_vcek.der", "--cert-chain" "virtee_cert_chain_turin.pem"] ["--at", NOW] => [] ["SNP-06", "SNP-07"];

    "TDX v4 with collateral in its time": ["--tdx-quote" "dcapqvl_tdx_quote", "--tdx-collateral" "dcapqvl_tdx_quote_collateral.json"] ["--at", "1751155200"] => [] ["TDX-03", "TDX-04", "TDX-05", "TDX-06", "TDX-07", "TDX-08", "TDX-09"];
    "the same today": ["--tdx-quote" "dcapqvl_tdx_quote", "--tdx-collateral" "dcapqvl_tdx_quote_collateral.json"] ["--at", NOW] => ["TDX-07 CollateralStale", "TDX-08 CollateralStale"] ["TDX-04"];
    "the same before its collateral": ["--tdx-quote" "dcapqvl_tdx_quote", "--tdx-collateral" "dcapqvl_tdx_quote_collateral.json"] ["--at", "2025-05-20T00:00:00Z"] => ["TDX-07 RevocationUnknown", "TDX-08 CollateralStale"] ["TDX-04"];
    "TDX v5, no matching TCB level": ["--tdx-quote" "dcapqvl_tdx_quote_outdated", "--tdx-collateral" "dcapqvl_tdx_quote_outdated_collateral.json"] ["--at", "2026-02-28T00:00:00Z"] => ["TDX-09 TcbStatus"] ["TDX-04", "TDX-05", "TDX-07", "TDX-08"];
    "the same without collateral": ["--tdx-quote" "dcapqvl_tdx_quote_outdated"] ["--at", "2026-02-28T00:00:00Z"] => [] ["TDX-04", "TDX-05"];
    "an SGX quote": ["--tdx-quote" "dcapqvl_sgx_quote", "--tdx-collateral" "dcapqvl_sgx_quote_collateral.json"] ["--at", "1751155200"] => ["TDX-01 WrongTee"] [];
    "TDX v4, hex, no collateral": ["--tdx-quote" "dcapqvl_tdx-quote.hex"] ["--at", NOW] => [] ["TDX-04", "TDX-05"];
    "TDX v4 with 39 bytes of text behind it": ["--tdx-quote" "gotdx_tdx_prod_quote_SPR_E4.dat"] ["--at", "1688000000"] => ["BND-09 TrailingBytes"] [];
    "TDX v4 of COS-113 in its buffer, with its log": ["--tdx-quote" "gotdx_cos-113-tdx-quote.dat", "--ccel" "gotdx_ccel_data.dat"] ["--at", NOW] => [] ["TDX-04", "TDX-05"];
    "TDX v4, debug": ["--tdx-quote" "trustee_tdx_quote_4.dat"] ["--at", NOW] => ["TDX-13 DebugTd"] ["TDX-04", "TDX-05"];
    "the same with the log of another boot": ["--tdx-quote" "trustee_tdx_quote_4.dat", "--ccel" "trustee_CCEL_data_ovmf"] ["--at", NOW] => ["TDX-13 DebugTd", "TDX-18 RtmrReplayMismatch"] ["TDX-04"];
    "TDX v5 with a service TD": ["--tdx-quote" "trustee_tdx_quote_5.dat"] ["--at", NOW] => ["TDX-16 ServiceTd"] ["TDX-04", "TDX-05"];

    "H100, driver 550.90.07": ["--gpu-report" "nvtrust_hopperAttestationReport.txt", "--gpu-certs" "nvtrust_hopperCertChain.txt"] ["--at", NOW] => [] ["GPU-01", "GPU-03", "GPU-04", "GPU-05"];
    "H100, driver 535.86.09": ["--gpu-report" "nvat_sample_hopperAttestationReport.txt", "--gpu-certs" "nvat_sample_hopperCertChain.txt"] ["--at", NOW] => [] ["GPU-03", "GPU-04"];
    "the same with its VBIOS manifest in its time": ["--gpu-report" "nvat_sample_hopperAttestationReport.txt", "--gpu-certs" "nvat_sample_hopperCertChain.txt", "--rim" "nvtrust_VBIOS_1010_0200_882_96005E0001_PROD.swidtag"] ["--at", "2024-06-01T00:00:00Z"] => [] ["GPU-04", "GPU-10", "RIM-03", "RIM-04"];
    "the same, manifest out of date": ["--gpu-report" "nvat_sample_hopperAttestationReport.txt", "--gpu-certs" "nvat_sample_hopperCertChain.txt", "--rim" "nvtrust_VBIOS_1010_0200_882_96005E0001_PROD.swidtag"] ["--at", NOW] => ["RIM-04 CertExpired"] ["GPU-04"];
    "the same with a test manifest": ["--gpu-report" "nvat_sample_hopperAttestationReport.txt", "--gpu-certs" "nvat_sample_hopperCertChain.txt", "--rim" "nvtrust_VBIOS_1010_0200_882_96005E0001_test_no_gpu.swidtag"] ["--at", "2024-06-01T00:00:00Z"] => ["GPU-10 MeasurementMismatch"] ["RIM-03"];
    "the same, index 9 differs": ["--gpu-report" "nvat_sample_hopperAttestationReport.txt", "--gpu-certs" "nvat_sample_hopperCertChain.txt", "--rim" "nvat_NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml"] ["--at", "2024-06-01T00:00:00Z"] => ["GPU-10 MeasurementMismatch"] ["RIM-03"];
    "the same, edited driver manifest": ["--gpu-report" "nvat_sample_hopperAttestationReport.txt", "--gpu-certs" "nvat_sample_hopperCertChain.txt", "--rim" "nvat_NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml"] ["--at", "2024-06-01T00:00:00Z"] => ["RIM-03 RimDigestMismatch"] ["GPU-04"];
    "the same, driver manifest of another version": ["--gpu-report" "nvat_sample_hopperAttestationReport.txt", "--gpu-certs" "nvat_sample_hopperCertChain.txt", "--rim" "nvat_NV_GPU_DRIVER_GH100_550.144.03.xml"] ["--at", NOW] => ["GPU-09 RimVersionMismatch", "GPU-10 MeasurementMismatch"] ["RIM-03"];
    "H100, driver 570.124.03": ["--gpu-report" "nvat_sample_hopperAttestationReportExpired.txt", "--gpu-certs" "nvat_sample_hopperCertChainExpired.txt"] ["--at", NOW] => [] ["GPU-04"];
    "the same with its VBIOS manifest, index 9 differs": ["--gpu-report" "nvat_sample_hopperAttestationReportExpired.txt", "--gpu-certs" "nvat_sample_hopperCertChainExpired.txt", "--rim" "nvtrust_VBIOS_1010_0205_862_96005E0004_PROD.swidtag"] ["--at", "2024-06-01T00:00:00Z"] => ["GPU-10 MeasurementMismatch"] ["RIM-03"];
    "H100, broken signature": ["--gpu-report" "nvat_sample_hopperAttestationReportInvalidSignature.txt", "--gpu-certs" "nvat_sample_hopperCertChain.txt"] ["--at", NOW] => ["GPU-04 ReportSignature"] ["GPU-03"];
    "H100 with the root alone": ["--gpu-report" "nvat_sample_hopperAttestationReport.txt", "--gpu-certs" "trustee_hopper_cert_chain_case2.txt"] ["--at", NOW] => ["GPU-03 ChainShape"] [];
    "a leaf without its issuers": ["--gpu-certs" "trustee_hopper_signing_cert.pem"] ["--at", NOW] => ["GPU-03 UntrustedRoot"] [];
    "Blackwell GB100, driver 575.32": ["--gpu-report" "nvat_sample_blackwellAttestationReport.txt", "--gpu-certs" "nvat_sample_blackwellCertChain.txt"] ["--at", NOW] => [] ["GPU-03", "GPU-04", "GPU-05"];
    "RTX PRO 6000 (GB202), driver 595.58.03": ["--gpu-report" "blackwell_coco_report.txt", "--gpu-certs" "blackwell_coco_certs.txt"] ["--at", NOW, "--nonce", "d622979b6c3ab8b8e7b30a43f2dc7f553ebbc187536231d531effa496ec03fb5"] => [] ["GPU-03", "GPU-04", "GPU-05", "GPU-06"];
    "LS10": ["--gpu-report" "nvat_sample_switchAttestationReport.txt", "--gpu-certs" "nvat_sample_switchCertChain.txt"] ["--at", NOW] => [] ["GPU-03", "GPU-04"];
    "LS10 with its manifest, 31 of 31": ["--gpu-report" "nvat_sample_switchAttestationReport.txt", "--gpu-certs" "nvat_sample_switchCertChain.txt", "--rim" "nvat_switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml"] ["--at", NOW] => [] ["GPU-09", "GPU-10", "RIM-03", "RIM-04"];
    "H100 590.12 in protected PCIe mode": ["--gpu-evidence" "nvat_hopper_evidence.json"] ["--at", NOW] => [] ["GPU-04", "GPU-05"];
    "H100 whose certificate is on hold, without an answer": ["--gpu-evidence" "nvat_hopper_evidence_cert_hold.json"] ["--at", NOW] => [] ["GPU-04"];
    "one switch four times": ["--gpu-evidence" "nvat_multi_switch_ls10.json"] ["--at", NOW] => ["GPU-15 DuplicateDevice"] ["GPU-04"];

    "driver manifest 550.144.03": ["--rim" "nvat_NV_GPU_DRIVER_GH100_550.144.03.xml"] ["--at", NOW] => [] ["RIM-01", "RIM-02", "RIM-03", "RIM-04"];
    "driver manifest, wrong signature": ["--rim" "nvat_incorrect_signature_driver_rim.xml"] ["--at", NOW] => ["RIM-03 RimSignature"] [];
    "driver manifest, edited": ["--rim" "nvat_NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml"] ["--at", NOW] => ["RIM-03 RimDigestMismatch"] [];
    "driver manifest, edited and expired": ["--rim" "nvat_NV_GPU_DRIVER_GH100_570.124.03_expired.xml"] ["--at", NOW] => ["RIM-03 RimDigestMismatch"] [];
    "driver manifest 545.00 in its time": ["--rim" "nvtrust_Driver_RIM_test_no_gpu.swidtag"] ["--at", "2024-06-01T00:00:00Z"] => [] ["RIM-04"];
    "the same after it": ["--rim" "nvtrust_Driver_RIM_test_no_gpu.swidtag"] ["--at", NOW] => ["RIM-04 CertExpired"] ["RIM-03"];
    "VBIOS manifest, index 9 differs, out of date": ["--rim" "nvat_NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml"] ["--at", NOW] => ["RIM-04 CertExpired"] ["RIM-03"];
    "VBIOS manifest for 570.124.03": ["--rim" "nvtrust_VBIOS_1010_0205_862_96005E0004_PROD.swidtag"] ["--at", "2024-06-01T00:00:00Z"] => [] ["RIM-04"];
    "switch manifest": ["--rim" "nvat_switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml"] ["--at", NOW] => [] ["RIM-04"];
    "switch manifest, broken": ["--rim" "nvat_NV_SWITCH_BIOS_5612_0002_890_9610550001_invalid_signature.xml"] ["--at", NOW] => ["RIM-03 RimDigestMismatch"] [];
};

/// Files of the collection that are no evidence by themselves, and why.
const NOT_EVIDENCE: &[(&str, &str)] = &[
    ("MANIFEST.md", "the collection's table"),
    ("ovmf_AmdSev_suffix.bin", "firmware: tests of the launch measurement"),
    ("ovmf_OvmfX64_suffix.bin", "firmware: tests of the launch measurement"),
    ("gotdx_ccel_table.dat", "ACPI table: tests of the event log"),
    ("gotdx_nonce.dat", "text that COS-113's report data was made of"),
    ("gotdx_pckcrl", "list without the TCB signing chain that a whole set needs"),
    ("gotdx_rootcrl.der", "list without the TCB signing chain that a whole set needs"),
    ("gotdx_sample_qeIdentity_response", "answer without its header's chain"),
    ("gotdx_sample_tcbInfo_response", "answer without its header's chain"),
    ("intel_sgx_root_ca.pem", "root, compiled in"),
    ("gpu_device_identity_root.pem", "root, compiled in"),
    ("rim_root.pem", "root, compiled in"),
    ("switch_device_root.pem", "root, compiled in"),
    ("switch_rim_root.pem", "root, compiled in"),
    ("nvat_rim_root.crt", "root, compiled in"),
    ("trustee_parse_tdx_claims_expected.json", "another parser's output"),
    ("trustee_hopperAttestationReport-claims.txt", "another parser's output"),
    ("nvat_spdm_parsed_output.json", "another parser's output"),
    ("nvat_hopperClaimsv3_decoded.json", "claims of a remote service"),
    ("nvat_hopperClaimsv3_detached_eat.json", "token of a remote service"),
    ("nvat_switch_decoded.json", "claims of a remote service"),
    ("nvat_switch_detached_eat.json", "token of a remote service"),
];

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors");
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");

/// Every file below a folder, by name.
fn files(folder: &Path, into: &mut BTreeMap<String, PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.entry(path.file_name().unwrap().to_string_lossy().into_owned()).or_insert(path);
        }
    }
}

fn collection() -> (BTreeMap<String, PathBuf>, bool) {
    let mut all = BTreeMap::new();
    let whole = Path::new(SHARED).is_dir();
    if whole {
        files(Path::new(SHARED), &mut all);
    } else {
        eprintln!(
            "SKIPPED: the shared vector collection is absent; rows run on the package's own copies only"
        );
    }
    (all, whole)
}

#[test]
fn every_vector_gets_its_verdict() {
    let (mut collected, whole) = collection();
    files(Path::new(OWN), &mut collected);
    let files = collected;
    let (mut ran, mut absent, mut wrong) = (0, 0, Vec::new());
    println!("{:<52} {:<8} findings", "evidence", "verdict");
    for row in ROWS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiltyard-audit"));
        command.args(["appraise", "--output", "json"]).args(row.with);
        let missing = row.evidence.iter().find(|(_, file)| !files.contains_key(*file));
        if let Some((_, file)) = missing {
            assert!(!whole, "{}: {file} is not in the collection", row.what);
            println!("{:<52} ABSENT   {file}", row.what);
            absent += 1;
            continue;
        }
        row.evidence.iter().for_each(|(flag, file)| {
            command.arg(flag).arg(&files[*file]);
        });
        let output = command.output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}: {}", row.what, String::from_utf8_lossy(&output.stderr)));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let findings: Vec<String> = json["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| format!("{} {}", text(&finding["check"]), text(&finding["code"])))
            .collect();
        let good = findings.is_empty();
        println!("{:<52} {:<8} {}", row.what, if good { "good" } else { "refused" }, findings.join(", "));
        let failed = row.passed.iter().find(|id| {
            let rows = json["checks"].as_array().unwrap().iter();
            let verdicts: Vec<&Value> =
                rows.filter(|check| check["check"] == **id).map(|check| &check["verdict"]).collect();
            verdicts.is_empty() || verdicts.iter().any(|verdict| **verdict != "pass")
        });
        let code = if row.findings.is_empty() { 0 } else { 3 };
        if findings != row.findings || failed.is_some() || output.status.code() != Some(code) {
            wrong.push(format!(
                "{}: found {findings:?}, exit {:?}, not passed {failed:?}",
                row.what,
                output.status.code()
            ));
        }
        ran += 1;
    }
    println!("{ran} rows run, {absent} absent");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran >= 20, "the package's own copies cover {ran} rows");
}

#[test]
fn every_file_of_the_collection_is_named_here() {
    let (files, whole) = collection();
    if !whole {
        return;
    }
    for name in files.keys() {
        let used = ROWS.iter().any(|row| row.evidence.iter().any(|(_, file)| file == name));
        let listed = NOT_EVIDENCE.iter().any(|(file, _)| file == name);
        assert!(used != listed, "{name}: used {used}, listed as no evidence {listed}");
    }
}
