//! `tiltyard-audit explain`, on genuine evidence: every sentence follows from what was found.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/");
/// 2026-11-22.
const NOW: &str = "1795371000";
const MILAN: &str = "--snp-report snp/virtee_milan_report.hex --vcek snp/virtee_milan_vcek.der --cert-chain snp/ask_ark_milan.pem";
const H100: &str =
    "--gpu-report nvidia/device/hopperAttestationReport.txt --gpu-certs nvidia/device/hopperCertChain.txt";
const QUOTE: &str =
    "--tdx-quote tdx/dcapqvl_tdx_quote --tdx-collateral tdx/dcapqvl_tdx_quote_collateral.json";

/// The paragraphs on one line, and whether the evidence was refused.
fn explain(line: &str, at: &str, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiltyard-audit"));
    command.arg("explain");
    for word in line.split(' ') {
        match word.starts_with("--") || word.starts_with('/') {
            true => command.arg(word),
            false => command.arg(format!("{VECTORS}{word}")),
        };
    }
    let output = command.args(["--at", at]).args(more).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        [Some(0), Some(3)].contains(&output.status.code()),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn says(text: &str, yes: &[&str], no: &[&str]) {
    for part in yes {
        assert!(text.contains(part), "{part}\n{text}");
    }
    for part in no {
        assert!(!text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn the_verdict_and_its_level_come_first() {
    let text = explain(MILAN, NOW, &[]);
    let begin = "The verdict Nothing that was looked at is contradicted at level lab: ";
    assert!(text.starts_with(begin), "{text}");
    says(&text, &["no ground to trust the machine with a secret"], &[]);
    let text = explain(MILAN, NOW, &["--policy", "standard"]);
    assert!(text.starts_with("The verdict The evidence is refused at level standard by "), "{text}");
}

#[test]
fn collateral_that_rates_no_such_platform_was_given_all_the_same() {
    let line = "--tdx-quote tdx/dcapqvl_tdx_quote_outdated --tdx-collateral tdx/dcapqvl_tdx_quote_outdated_collateral.json";
    let text = explain(line, "2026-02-28T00:00:00Z", &[]);
    says(&text, &["it rates no platform like this one (no "], &["No collateral was given"]);
    let text = explain("--tdx-quote tdx/dcapqvl_tdx_quote_outdated", NOW, &[]);
    says(&text, &["No collateral was given"], &["it rates no platform"]);
}

#[test]
fn collateral_of_another_time_says_so() {
    let text = explain(QUOTE, "1751155200", &[]);
    says(&text, &["Intel's collateral, as of 2025-", "rates the platform UpToDate."], &["is past"]);
    let text = explain(QUOTE, NOW, &[]);
    says(
        &text,
        &[
            "rates the platform UpToDate as of a time which is past (to be replaced by 1752920163 (2025-07-19 10:16:03 UTC)",
        ],
        &[],
    );
    let text = explain(QUOTE, "2025-05-20T00:00:00Z", &[]);
    says(&text, &["as of a time which is yet to come"], &["is past"]);
}

#[test]
fn a_log_of_another_boot_was_given_all_the_same() {
    let quote = "--tdx-quote tdx/trustee_tdx_quote_4.dat";
    let text = explain(&format!("{quote} --ccel tdx/trustee_CCEL_data_ovmf.unfilled"), NOW, &[]);
    says(&text, &["An event log was given, but is not that of this boot"], &["No event log was given"]);
    says(&text, &["This is a debug guest: the host can read and change its memory"], &[]);
    says(&explain(quote, NOW, &[]), &["No event log was given"], &["An event log was given"]);
}

#[test]
fn a_nonce_is_equal_other_or_not_given() {
    let other = "01".repeat(32);
    for line in [MILAN, H100] {
        says(&explain(line, NOW, &[]), &["No nonce was given"], &["nonce that you gave"]);
        let text = explain(line, NOW, &["--nonce", &other]);
        says(&text, &["does not answer the nonce that you gave"], &["No nonce was", "it was made after"]);
    }
    // The request stands before the response, with the nonce at its fourth byte.
    let report = fs::read_to_string(format!("{VECTORS}nvidia/device/hopperAttestationReport.txt")).unwrap();
    let text = explain(H100, NOW, &["--nonce", &report[8..72]]);
    says(&text, &["The evidence answers the nonce that you gave"], &[]);
    // A nonce that its own file names is not one that anybody gave.
    let device = |name: &str| fs::read(format!("{VECTORS}nvidia/device/{name}")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-prose-nonce");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("evidence.json");
    let bytes: Vec<u8> = report
        .trim()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let entry = json!([{
        "arch": "HOPPER", "nonce": &report[8..72], "evidence": STANDARD.encode(bytes),
        "certificate": STANDARD.encode(device("hopperCertChain.txt")),
    }]);
    fs::write(&file, entry.to_string()).unwrap();
    let both = format!("{MILAN} --gpu-evidence {}", file.display());
    let text = explain(&both, NOW, &["--nonce", &"00".repeat(64)]);
    says(&text, &["does not answer the nonce that you gave"], &["Part of the evidence answers"]);
    let line = format!("--gpu-evidence {}", file.display());
    says(&explain(&line, NOW, &["--device-nonce", &report[8..72]]), &["was made after that nonce"], &[]);
    // Its signature does not hold, so there is nothing to compare.
    let broken = broken("freshness");
    let text = explain(&broken, NOW, &["--nonce", &report[8..72]]);
    says(&text, &["was compared with nothing"], &["it was made after", "does not answer"]);
}

#[test]
fn certificates_and_manifests_alone_are_authentic() {
    for (line, part) in [
        (
            "--vcek snp/virtee_milan_vcek.der --cert-chain snp/ask_ark_milan.pem",
            "The key's certificate chains to AMD's root",
        ),
        ("--gpu-certs nvidia/device/hopperCertChain.txt", "The certificates of gpu0 chain to NVIDIA's root"),
        (
            "--rim nvidia/rim/nvat_NV_GPU_DRIVER_GH100_550.144.03.xml",
            "rim0: authentic, signed under NVIDIA's root",
        ),
    ] {
        says(
            &explain(line, NOW, &[]),
            &[part, "verified to roots of AMD"],
            &["Nothing authentic", "No nonce"],
        );
    }
    let other = MILAN.replace("virtee_milan_vcek", "gosev_milan_vcek");
    says(
        &explain(&other, NOW, &[]),
        &["The report that was given is not shown to be signed by this key"],
        &["An AMD SEV-SNP guest"],
    );
}

/// A signature that does not hold takes the report or quote away, and not the chain.
#[test]
fn a_chain_is_authentic_without_what_it_signed() {
    let text = explain(&broken("chain"), NOW, &[]);
    says(
        &text,
        &["The certificates of gpu0 chain to NVIDIA's root", "The report of gpu0 is refused"],
        &["Nothing authentic"],
    );
    let mut quote = fs::read(format!("{VECTORS}tdx/dcapqvl_tdx_quote")).unwrap();
    // In the trust domain's own report data.
    quote[600] ^= 1;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-prose/quote");
    fs::write(&path, quote).unwrap();
    let text = explain(&format!("--tdx-quote {}", path.display()), NOW, &[]);
    says(
        &text,
        &["A PCK certificate of Intel", "not shown to be signed under it"],
        &["Nothing authentic", "trust domain was"],
    );
}

#[test]
fn what_is_not_authentic_was_verified_to_nothing() {
    let text = explain("--tdx-quote tdx/dcapqvl_sgx_quote", NOW, &[]);
    says(&text, &["Nothing authentic", "Nothing was verified to a root"], &["was verified to roots"]);
}

#[test]
fn milan_and_debug_are_told() {
    let text = explain(MILAN, NOW, &[]);
    says(
        &text,
        &["extractable in software, so such a report can be forged", "only level lab"],
        &["debug guest", "only this chip"],
    );
    let debug =
        MILAN.replace("virtee_milan_report.hex", "gosev_milan_v2_report.bin").replace("virtee", "gosev");
    says(&explain(&debug, NOW, &[]), &["This is a debug guest: the host can read"], &[]);
}

#[test]
fn each_device_is_told_by_its_own_checks() {
    let text = explain(&format!("{H100} {}", broken("devices")), NOW, &[]);
    says(
        &text,
        &["gpu0, a Hopper GPU", "a key that only this device at this firmware holds"],
        &["Each device"],
    );
    says(&text, &["gpu1 was refused (GPU-04 ReportSignature)"], &[]);
    let text = explain(&format!("{H100} {H100}"), NOW, &[]);
    says(&text, &["listed several times (gpu0, gpu1): there are fewer devices than reports"], &[]);
    // A switch names no firmware.
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/nvidia");
    let Some([report, certs]) =
        in_folder(shared, ["nvat_sample_switchAttestationReport.txt", "nvat_sample_switchCertChain.txt"])
    else {
        eprintln!("SKIPPED: the shared vector collection is absent, and with it the switch");
        return;
    };
    let text = explain(&format!("--gpu-report {report} --gpu-certs {certs}"), NOW, &[]);
    says(&text, &["at which firmware is not shown"], &["only this device at this firmware"]);
}

/// These files somewhere below a folder.
fn in_folder<const N: usize>(folder: &str, names: [&str; N]) -> Option<[String; N]> {
    fn find(folder: &Path, name: &str) -> Option<PathBuf> {
        fs::read_dir(folder).ok()?.find_map(|entry| {
            let path = entry.ok()?.path();
            if path.is_dir() { find(&path, name) } else { path.ends_with(name).then_some(path) }
        })
    }
    let found: Option<Vec<String>> =
        names.iter().map(|name| Some(find(Path::new(folder), name)?.to_str()?.to_owned())).collect();
    found?.try_into().ok()
}

/// The GPU's report with another signature.
fn broken(test: &str) -> String {
    let mut report = fs::read(format!("{VECTORS}nvidia/device/hopperAttestationReport.txt")).unwrap();
    let at = report.trim_ascii_end().len() - 1;
    report[at] = if report[at] == b'0' { b'1' } else { b'0' };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-prose").join(test);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("report.txt");
    fs::write(&path, report).unwrap();
    format!("--gpu-report {} --gpu-certs nvidia/device/hopperCertChain.txt", path.display())
}

#[test]
fn equal_measurements_are_told_with_those_that_differ() {
    let with = |rim: &str| format!("{H100} --rim nvidia/rim/{rim}");
    let text = explain(&with("nvat_NV_GPU_DRIVER_GH100_550.144.03.xml"), NOW, &[]);
    says(
        &text,
        &["reference values and others differ (", "is of another version than the device's software"],
        &[],
    );
    says(&explain(H100, NOW, &[]), &["none of its measurements was compared"], &["others differ"]);
}

#[test]
fn the_same_paragraphs_as_json_with_files_and_notes() {
    let folder: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-prose");
    fs::create_dir_all(&folder).unwrap();
    let page = folder.join("page.html");
    let quote = format!("{VECTORS}tdx/dcapqvl_tdx_quote");
    let run = |command: &str, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tiltyard-audit"))
            .args([command, "--tdx-quote", &quote, "--at", NOW])
            .args(more)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let document: Value = serde_json::from_str(&run("explain", &["--output", "json"])).unwrap();
    assert_eq!(
        (&document["schema"], &document["paragraphs"][0]["title"]),
        (&"explanation/1".into(), &"The verdict".into())
    );
    let appraised: Value = serde_json::from_str(&run("appraise", &["--output", "json"])).unwrap();
    assert_eq!(
        (&appraised["conclusion"], &appraised["level"]),
        (&"nothing_contradicted".into(), &"lab".into())
    );
    let digest = tiltyard_attestation::Hex::<32>::sha256(&fs::read(&quote).unwrap()).to_string();
    for document in [&document, &appraised] {
        let file = &document["files"][0];
        assert_eq!((&file["sha256"], &file["len_bytes"]), (&digest.clone().into(), &5006.into()));
        assert_eq!(file["given_as"], "--tdx-quote");
        assert!(document["notes"][0].as_str().unwrap().contains("left out"));
    }
    let text = run("appraise", &["--html", page.to_str().unwrap()]);
    let page = fs::read_to_string(&page).unwrap();
    for shown in [&text, &page, &run("explain", &[])] {
        assert!(shown.contains(&digest) && shown.contains("5006 bytes; the last 70"), "{shown}");
    }
    for shown in [&text, &page] {
        assert!(shown.contains("NOTHING CONTRADICTED (level lab)") && !shown.contains("GOOD"), "{shown}");
        for debug in ["(so)", "Some(", "None", "[DynamicPlatform"] {
            assert!(!shown.contains(debug), "{debug}: {shown}");
        }
    }
    assert!(text.starts_with("as of 2026-11-22 18:10:00 UTC, level lab, vendor root\n"), "{text}");
}
