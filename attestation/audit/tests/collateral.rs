//! A signed bundle of collateral, through the program: looked into, held to its time, used beside genuine evidence.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../../tests/shared/pcs.rs"]
mod pcs;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::Value;
use tiltyard_attestation::Hex;
use tiltyard_attestation::collateral::{Fetched, Manifest};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/");
/// 2025-06-29, in the time of Intel's answers.
const NOW: u64 = 1_751_155_200;
const DAY_S: u64 = 86_400;

fn vector(path: &str) -> Vec<u8> {
    fs::read(format!("{VECTORS}{path}")).unwrap()
}

fn signer() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap()
}

fn key() -> String {
    Hex::<32>::from_slice(signer().public_key().as_ref()).unwrap().to_string()
}

/// AMD's chain and one chip's key, and Intel's answers for one platform, as their services give them.
fn items() -> Vec<(&'static str, Vec<u8>)> {
    let mut items = pcs::answers();
    items.push(("amd/vcek-milan-1", vector("snp/virtee_milan_vcek.der")));
    items.push(("amd/chain-milan", vector("snp/ask_ark_milan.pem")));
    items
}

/// A bundle of those items in a file of the test's own.
fn bundle(test: &str, expires_at: u64) -> PathBuf {
    let files: BTreeMap<String, Fetched> =
        items().into_iter().map(|(path, content)| (path.to_owned(), Fetched { content, at: NOW })).collect();
    let manifest = Manifest::list(&files, NOW - DAY_S, expires_at).unwrap();
    let signature = signer().sign(&manifest.signed_bytes());
    let contents = files.into_iter().map(|(path, file)| (path, file.content)).collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-collateral");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{test}.tar"));
    fs::write(&path, manifest.archive(signature.as_ref().try_into().unwrap(), &contents)).unwrap();
    path
}

/// Exit code and the document on stdout.
fn audit(line: &str, more: &[&str]) -> (i32, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tiltyard-audit"))
        .args(line.split(' '))
        .args(more)
        .args(["--output", "json"])
        .output()
        .unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), document, String::from_utf8(output.stderr).unwrap())
}

fn findings(document: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = document["findings"].as_array().unwrap().iter();
    rows.map(|row| format!("{} {}", text(&row["check"]), text(&row["code"]))).collect()
}

#[test]
fn a_bundle_is_looked_into_and_held_to_its_time() {
    let path = bundle("inspected", NOW + DAY_S);
    let path = path.to_str().unwrap();
    let run = |command: &str, key: &str, at: u64| {
        audit(&format!("collateral {command}"), &[path, "--key", key, "--at", &at.to_string()])
    };
    for command in ["inspect", "verify"] {
        let (code, document, stderr) = run(command, &key(), NOW);
        assert_eq!(code, 0, "{command}: {stderr}");
        assert_eq!(document["manifest"]["items"].as_array().unwrap().len(), items().len());
        assert_eq!(document["current"], true);
    }
    for at in [NOW - 2 * DAY_S, NOW + DAY_S + 1] {
        assert_eq!((run("inspect", &key(), at).0, run("verify", &key(), at).0), (0, 3), "{at}");
        assert_eq!(run("inspect", &key(), at).1["current"], false);
    }
    for command in ["inspect", "verify"] {
        let (code, document, _) = run(command, &"01".repeat(32), NOW);
        assert_eq!(code, 3, "{command}");
        assert!(document["refused"].as_str().unwrap().contains("the signature is not by key 0101"));
        assert_eq!(document["manifest"], Value::Null, "nothing of it is shown as if it were known");
    }
    let mut bent = fs::read(path).unwrap();
    let at = bent.len() - 2000;
    bent[at] ^= 1;
    let bent_path = format!("{path}.bent");
    fs::write(&bent_path, bent).unwrap();
    let (code, document, _) =
        audit("collateral verify", &[&bent_path, "--key", &key(), "--at", "1751155200"]);
    assert_eq!(code, 3, "{document}");
    let (_, document, _) = run("verify", &key(), NOW);
    assert!(document["note"].as_str().unwrap().contains("checked when the bundle is used, not here"));
    let noise = format!("{path}.noise");
    fs::write(&noise, [7; 2048]).unwrap();
    let (code, _, stderr) = run_on("collateral verify", &noise);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("ustar"), "{stderr}");
    assert_eq!(audit("collateral verify", &["no-such-file", "--key", &key()]).0, 1);
    assert_eq!(audit("collateral verify", &[path, "--key", "00"]).0, 2);
}

fn run_on(command: &str, path: &str) -> (i32, Value, String) {
    audit(command, &[path, "--key", &key(), "--at", &NOW.to_string()])
}

#[test]
fn a_quote_is_appraised_with_the_bundles_answers() {
    let path = bundle("quote", NOW + DAY_S);
    let quote = format!("{VECTORS}tdx/dcapqvl_tdx_quote");
    let run = |key: &str, at: u64, policy: &str| {
        let (path, at) = (path.to_str().unwrap(), at.to_string());
        let more = ["--collateral", path, "--collateral-key", key, "--at", &at, "--policy", policy];
        audit(&format!("appraise --tdx-quote {quote}"), &more)
    };
    let (code, document, stderr) = run(&key(), NOW, "lab");
    assert_eq!((code, findings(&document)), (0, vec![]), "{stderr}");
    for check in ["COL-01", "COL-02", "COL-04", "TDX-07", "TDX-08", "TDX-09"] {
        let row = document["checks"].as_array().unwrap().iter().find(|row| row["check"] == check).unwrap();
        assert_eq!(row["verdict"], "pass", "{check}");
    }
    let (code, document, _) = run(&"01".repeat(32), NOW, "lab");
    assert_eq!((code, findings(&document)), (3, vec!["COL-01 BundleSignature".to_owned()]));
    // Intel's answers hold still, the bundle does not: above `lab` that is a failure.
    let (code, document, _) = run(&key(), NOW + 2 * DAY_S, "standard");
    assert_eq!(code, 3);
    assert!(findings(&document).contains(&"COL-04 CollateralStale".to_owned()), "{:?}", findings(&document));
}

#[test]
fn a_report_is_appraised_with_the_bundles_certificates() {
    let path = bundle("report", NOW + DAY_S);
    let (path, key) = (path.to_str().unwrap(), key());
    let with = ["--collateral", path, "--collateral-key", &key, "--at", "1751155200"];
    let report = |name: &str| format!("appraise --snp-report {VECTORS}snp/{name}");
    let (code, document, stderr) = audit(&report("virtee_milan_report.hex"), &with);
    // The bundle has the chip's key and no revocation list, and says so.
    assert_eq!((code, findings(&document)), (3, vec!["COL-02 CollateralMissing".to_owned()]), "{stderr}");
    for check in ["SNP-04", "SNP-06", "SNP-07", "SNP-12", "SNP-15"] {
        let row = document["checks"].as_array().unwrap().iter().find(|row| row["check"] == check).unwrap();
        assert_eq!(row["verdict"], "pass", "{check}");
    }
    // Another chip's report finds no key in it.
    let (code, document, _) = audit(&report("gosev_milan_v2_report.bin"), &with);
    let findings = findings(&document);
    assert_eq!(code, 3);
    assert!(findings.contains(&"SNP-06 ChainShape".to_owned()), "{findings:?}");
    // Without a bundle, or with certificates that belong to no VCEK, the command says what it needs.
    let (code, _, stderr) = audit(&report("virtee_milan_report.hex"), &[]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("--vcek, or --collateral with a bundle that holds it"), "{stderr}");
    let chain = format!("{VECTORS}snp/ask_ark_milan.pem");
    assert_eq!(
        audit(&report("virtee_milan_report.hex"), &[&with[..], &["--cert-chain", &chain]].concat()).0,
        2
    );
}
