//! What `tiltyard-simulator mint` writes, read back by the peer and by the production verifier.

use std::path::Path;
use std::process::{Command, Output};

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::QuoteVerifier;
use tiltyard_attestation::policy::PolicyDocument;
use tiltyard_attestation::tdx::PcsAnswers;
use tiltyard_attestation::{
    Base64Bytes, Collateral, CpuExhibit, Examination, Exhibits, ForeignAnchors, Hex, Nonce, TdxCollateral,
    TrustAnchors, Verifier,
};
use tiltyard_simulator::NOTICE;
use tiltyard_simulator::hostile::{composite, snp, tdx};
use tiltyard_simulator::intel::Form;

use crate::peer::{NOW, issued};

const SIMULATOR: &str = env!("CARGO_BIN_EXE_tiltyard-simulator");

fn run(arguments: &[&str]) -> Output {
    Command::new(SIMULATOR).args(arguments).output().expect("run")
}

/// A folder of files, and what the evidence in it was asked with.
struct Minted {
    folder: tempfile::TempDir,
    nonce: Hex<64>,
}

impl Minted {
    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join("out").join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// Files of `mint` with these arguments, in a folder of their own.
fn mint(arguments: &[&str]) -> Minted {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("seed"), "7d".repeat(32)).expect("seed");
    let cache = option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp");
    let (seed, at, out) = (path("seed"), NOW.to_string(), path("out"));
    let fixed = ["mint", "--seed-file", &seed, "--at", &at, "--out", &out, "--key-cache", cache];
    let output = run(&[&fixed, arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains(NOTICE));
    assert!(String::from_utf8_lossy(&output.stderr).contains(NOTICE));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    let nonce = line["nonce"].as_str().and_then(|text| text.parse().ok()).expect("a nonce");
    let minted = Minted { folder, nonce };
    assert_eq!(minted.read("NOTICE"), format!("{NOTICE}\n").into_bytes());
    minted
}

/// The production verifier's look at the files, under the policy and the roots beside them.
fn examine(minted: &Minted) -> Examination {
    let policy = PolicyDocument::from_bytes(&minted.read("policy.json")).expect("policy");
    let anchors = ForeignAnchors::from_bytes(&minted.read("anchors.json")).expect("anchors");
    let anchors = TrustAnchors::foreign(anchors).expect("anchors");
    let mut collateral = Collateral::none();
    let cpu = if minted.folder.path().join("out/quote.bin").exists() {
        collateral.tdx.push(TdxCollateral::from_json(&minted.read("collateral.json")).expect("collateral"));
        CpuExhibit::Tdx { quote: minted.read("quote.bin"), event_log: Some(minted.read("ccel.bin")) }
    } else {
        collateral.snp_crls.push(minted.read("crl.der").into());
        let certificates = ["vek.der", "ask.der", "ark.der"];
        CpuExhibit::Snp {
            report: Some(minted.read("report.bin")),
            certificates: certificates.map(|name| Base64Bytes(minted.read(name))).to_vec(),
        }
    };
    let exhibits =
        Exhibits { cpu: Some(cpu), nonce: Some(Nonce::Whole(minted.nonce)), ..Exhibits::default() };
    Verifier::for_examination(anchors, &policy).expect("policy").examine(&exhibits, &collateral, NOW)
}

fn findings(minted: &Minted) -> Vec<String> {
    examine(minted).findings.iter().map(|row| format!("{} {}", row.check, row.code)).collect()
}

#[test]
fn honest_files_pass() {
    for form in ["v4", "v5-td10", "v5"] {
        assert_eq!(findings(&mint(&["--tdx", form])), [""; 0], "{form}");
    }
    for product in ["milan", "genoa", "turin"] {
        assert_eq!(findings(&mint(&["--snp", product])), [""; 0], "{product}");
    }
}

#[test]
fn the_peer_accepts_the_files_and_finds_the_report_data_that_was_asked_for() {
    let minted = mint(&["--tdx", "v5", "--report-data", &"05".repeat(64)]);
    let json = minted.read("collateral.json");
    let collateral: QuoteCollateralV3 = serde_json::from_slice(&json).expect("the peer's file form");
    let anchors = ForeignAnchors::from_bytes(&minted.read("anchors.json")).expect("anchors");
    let root = anchors.intel.expect("Intel's root");
    let report =
        QuoteVerifier::new(root.0).verify(&minted.read("quote.bin"), &collateral, NOW).expect("accepted");
    assert_eq!(report.status, "UpToDate");
    assert_eq!(report.report.as_td10().expect("TD").report_data, [5; 64]);
}

#[test]
fn files_of_an_attack_are_refused_for_it() {
    let td = mint(&["--tdx", "v4", "--attack", "tdx-debug"]);
    assert_eq!(findings(&td), ["TDX-13 DebugTd"]);
    let chip = mint(&["--snp", "turin", "--attack", "vlek-as-vcek"]);
    assert_eq!(findings(&chip), ["SNP-09 SigningKey"]);
    // The policy beside an attack that `lab` accepts is of the level that refuses it, and refuses the roots too.
    let above_lab = mint(&["--tdx", "v4", "--attack", "sept-ve-off"]);
    assert_eq!(findings(&above_lab), ["POL-02 AnchorsNotVendor", "TDX-14 SeptVe"]);
}

#[test]
fn attacks_are_listed_and_others_refused() {
    let listed = run(&["attacks"]);
    let lines = String::from_utf8_lossy(&listed.stdout).lines().count();
    let listed = snp::variants().count() + tdx::variants().count() + composite::variants().count();
    assert_eq!(lines, listed);
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("seed"), "7d".repeat(32)).expect("seed");
    let (seed, out) = (path("seed"), path("out"));
    let common = ["mint", "--seed-file", &seed, "--out", &out];
    let unknown = run(&[&common[..], &["--tdx", "v4", "--attack", "snp-debug"]].concat());
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("no attack on this evidence is named snp-debug")
    );
    assert_eq!(run(&common).status.code(), Some(2), "neither form nor product");
    assert!(!folder.path().join("out").exists());
}

#[test]
fn what_is_there_is_neither_written_over_nor_waited_for() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let seed = path("seed");
    assert!(run(&["seed", "--out", &seed]).status.success());
    let first = std::fs::read(&seed).expect("seed");
    let again = run(&["seed", "--out", &seed]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("a seed is never overwritten"));
    assert_eq!(std::fs::read(&seed).expect("seed"), first);

    nix::unistd::mkfifo(folder.path().join("pipe").as_path(), nix::sys::stat::Mode::S_IRWXU).expect("pipe");
    let mint = |seed: &str, out: &str| {
        run(&["mint", "--seed-file", seed, "--tdx", "v4", "--at", &NOW.to_string(), "--out", out])
    };
    for endless in ["/dev/zero", &path("pipe")] {
        let refused = mint(endless, &path("out"));
        assert_eq!(refused.status.code(), Some(1), "{endless}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("expected a regular file"), "{endless}");
    }
    assert!(mint(&seed, &path("out")).status.success());
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let before = names(&folder.path().join("out"));
    let mixed = mint(&seed, &path("out"));
    assert_eq!(mixed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&mixed.stderr).contains("evidence of two guests is never mixed"));
    assert_eq!(names(&folder.path().join("out")), before);
    assert_eq!(names(folder.path()), ["out", "pipe", "seed"], "nothing is left beside");
}

#[test]
fn answers_of_the_service_are_the_same_collateral() {
    let minted = issued(Form::V4, |_| {}).collateral;
    let [tcb_info, qe_identity, pck_crl, root_crl] = minted.to_pcs([0xb0, 0xc0, 0x6f, 0, 0, 0]);
    let chain = |header: Option<(&str, String)>| decoded(&header.expect("a chain").1);
    let answers = PcsAnswers {
        tcb_info: &tcb_info.body,
        tcb_info_issuer_chain: &chain(tcb_info.issuer_chain),
        qe_identity: &qe_identity.body,
        qe_identity_issuer_chain: &chain(qe_identity.issuer_chain),
        pck_crl: &pck_crl.body,
        pck_crl_issuer_chain: &chain(pck_crl.issuer_chain),
        root_ca_crl: &root_crl.body,
    };
    let read = TdxCollateral::from_pcs(&answers).expect("answers");
    assert_eq!(read, minted.to_tdx());
    assert_eq!(TdxCollateral::from_json(minted.to_json().as_bytes()), Ok(minted.to_tdx()));
}

/// RFC 3986 2.1.
fn decoded(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        out.push(u8::from_str_radix(digits, 16).expect("hex"));
        out.extend_from_slice(rest.as_bytes());
    }
    out
}
