//! What `tiltyard-simulator mint --devices` writes: the vendors' own files for an auditor, and the whole envelope.

use std::path::Path;
use std::process::{Command, Output};

use tiltyard_attestation::binding::Runtime;
use tiltyard_attestation::evidence::{DeviceKind, Evidence};
use tiltyard_attestation::nvidia::{Certificates, files};
use tiltyard_attestation::policy::PolicyDocument;
use tiltyard_attestation::{
    Base64Bytes, CheckId, Collateral, Conclusion, CpuExhibit, DeviceExhibit, Examination, Exhibits,
    ForeignAnchors, Nonce, TdxCollateral, TrustAnchors, Verdict, Verifier,
};
use tiltyard_simulator::NOTICE;
use tiltyard_simulator::hostile::composite;

use crate::{NOW, draft, issue};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tiltyard-simulator")).args(arguments).output().expect("run")
}

/// Files of `mint` with these arguments and the test site's seed, and the command that it prints.
fn mint(folder: &Path, arguments: &[&str]) -> (Output, Vec<String>) {
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(path("seed"), "5a".repeat(32)).expect("seed");
    let cache = option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp");
    let (seed, at, out) = (path("seed"), NOW.to_string(), path("out"));
    let fixed = ["mint", "--seed-file", &seed, "--out", &out, "--key-cache", cache];
    let at: &[&str] = if arguments.contains(&"--at") { &[] } else { &["--at", &at] };
    let output = run(&[&fixed, at, arguments].concat());
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let words = line["appraise"].as_str().unwrap_or_default().split(' ').map(str::to_owned).collect();
    (output, words)
}

/// The production verifier's look at the files that the printed command names.
fn examine(folder: &Path, words: &[String]) -> Examination {
    let out = folder.join("out");
    let read = |name: &str| std::fs::read(out.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let named = |flag: &str| -> Vec<Vec<u8>> {
        let pairs = words.windows(2).filter(|pair| pair[0] == flag);
        pairs.map(|pair| std::fs::read(&pair[1]).expect("a named file")).collect()
    };
    let evidence: Evidence = serde_json::from_slice(&read("evidence.json")).expect("envelope");
    let mut collateral = Collateral::none();
    collateral.rims = named("--rim").into_iter().map(Base64Bytes).collect();
    collateral.ocsp = named("--ocsp").into_iter().map(Base64Bytes).collect();
    collateral.snp_crls = named("--crl").into_iter().map(Base64Bytes).collect();
    let sets = named("--tdx-collateral").into_iter();
    collateral.tdx = sets.map(|set| TdxCollateral::from_json(&set).expect("collateral")).collect();
    let cpu = match (named("--snp-report").pop(), named("--tdx-quote").pop()) {
        (None, Some(quote)) => CpuExhibit::Tdx { quote, event_log: named("--ccel").pop() },
        (report, _) => {
            let chain = [named("--vcek"), named("--cert-chain")].concat();
            CpuExhibit::Snp { report, certificates: chain.into_iter().map(Base64Bytes).collect() }
        }
    };
    let pairs = named("--gpu-report").into_iter().zip(named("--gpu-certs"));
    let devices = pairs.map(|(report, chain)| DeviceExhibit {
        architecture: None,
        nonce: None,
        kind: files::kind_of(&report),
        certificates: Certificates::from_pem(&chain),
        report: Some(report),
    });
    let nonce = Nonce::Whole(Runtime::report_data(&evidence.runtime.0));
    let device_nonce = words.windows(2).find(|pair| pair[0] == "--device-nonce");
    let device_nonce = device_nonce.and_then(|pair| pair[1].parse().ok());
    let exhibits = Exhibits { cpu: Some(cpu), devices: devices.collect(), nonce: Some(nonce), device_nonce };
    let policy = PolicyDocument::from_bytes(&read("policy.json")).expect("policy");
    let anchors = ForeignAnchors::from_bytes(&read("anchors.json")).expect("anchors");
    let anchors = TrustAnchors::foreign(anchors).expect("anchors");
    Verifier::for_examination(anchors, &policy).expect("policy").examine(&exhibits, &collateral, NOW)
}

fn findings(examination: &Examination) -> Vec<String> {
    examination.findings.iter().map(|row| format!("{} {}", row.check, row.code)).collect()
}

/// How a form is asked for.
const CPUS: [(&[&str], composite::Cpu); 4] = [
    (&["--snp", "genoa"], composite::Cpu::Genoa),
    (&["--snp", "turin"], composite::Cpu::Turin),
    (&["--tdx", "v4"], composite::Cpu::TdxV4),
    (&["--tdx", "v5"], composite::Cpu::TdxV5),
];
const BOARDS: [(&str, composite::Board); 4] = [
    ("none", composite::Board::Bare),
    ("h100", composite::Board::OneH100),
    ("ppcie", composite::Board::ProtectedPcie),
    ("mpt", composite::Board::EightB200),
];

#[test]
fn honest_guests_pass_file_by_file_and_their_envelope_is_the_librarys() {
    for (at, (arguments, cpu)) in CPUS.into_iter().enumerate() {
        // Each form, and each board, once.
        let (name, board) = BOARDS[at];
        let folder = tempfile::tempdir().expect("folder");
        let (output, words) = mint(folder.path(), &[arguments, &["--devices", name]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains(NOTICE));
        let envelope = std::fs::read(folder.path().join("out/evidence.json")).expect("envelope");
        let envelope: Evidence = serde_json::from_slice(&envelope).expect("envelope");
        assert_eq!(envelope, issue(&draft(cpu, board)).evidence, "{cpu:?} with {board:?}");
        let examination = examine(folder.path(), &words);
        assert_eq!(findings(&examination), [""; 0], "{cpu:?} with {board:?}");
        assert_eq!(examination.conclusion, Conclusion::NothingContradicted);
        let of = |kind| examination.facts.devices.iter().filter(|device| device.kind == kind).count();
        let counts = (of(DeviceKind::Gpu), of(DeviceKind::Switch));
        assert_eq!(counts, (board.counts().0.into(), board.counts().1.into()));
    }
}

/// The CPU's report data is not what devices are asked with: without their own nonce nothing says that they are fresh.
#[test]
fn bnd_01_devices_whose_nonce_nobody_gave_show_no_freshness() {
    let folder = tempfile::tempdir().expect("folder");
    let (_, words) = mint(folder.path(), &["--tdx", "v5", "--devices", "h100"]);
    let verdicts = |words: &[String]| -> Vec<Verdict> {
        let checks = examine(folder.path(), words).checks;
        checks.iter().filter(|row| row.check == CheckId::Bnd01).map(|row| row.verdict).collect()
    };
    assert_eq!(verdicts(&words), [Verdict::Pass]);
    let at = words.iter().position(|word| word == "--device-nonce").expect("the flag");
    let without = [&words[..at], &words[at + 2..]].concat();
    assert_eq!(verdicts(&without), [Verdict::Pass, Verdict::NotShown]);
}

#[test]
fn files_of_an_attack_are_refused_for_it() {
    let folder = tempfile::tempdir().expect("folder");
    let arguments = ["--tdx", "v5", "--devices", "none", "--attack", "one-gpu-twice"];
    let (output, words) = mint(folder.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The attack chose its board.
    let examination = examine(folder.path(), &words);
    assert_eq!(examination.facts.devices.len(), 8);
    assert_eq!(findings(&examination), ["GPU-15 DuplicateDevice"]);
    let folder = tempfile::tempdir().expect("folder");
    let arguments = ["--snp", "turin", "--devices", "h100", "--attack", "gpu-asked-by-another-guest"];
    let (_, words) = mint(folder.path(), &arguments);
    assert_eq!(findings(&examine(folder.path(), &words)), ["GPU-04 NonceMismatch"]);
}

#[test]
fn what_no_whole_guest_can_be_is_refused() {
    let cases: [(&[&str], &str); 4] = [
        (&["--snp", "milan", "--devices", "h100"], "no whole guest is minted on this CPU"),
        (&["--tdx", "v5-td10", "--devices", "h100"], "no whole guest is minted on this CPU"),
        (&["--tdx", "v4", "--devices", "h100", "--attack", "snp-debug"], "no attack on this evidence"),
        (&["--tdx", "v4", "--devices", "h100", "--at", "1710000000"], "devices at 1710000000"),
    ];
    for (arguments, expected) in cases {
        let folder = tempfile::tempdir().expect("folder");
        let (output, _) = mint(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(!folder.path().join("out").exists());
    }
    let folder = tempfile::tempdir().expect("folder");
    let both = ["--tdx", "v4", "--devices", "h100", "--report-data", &"05".repeat(64)];
    assert_eq!(mint(folder.path(), &both).0.status.code(), Some(2), "report data of nobody's envelope");
}

#[test]
fn attacks_on_whole_guests_are_listed() {
    let listed = run(&["attacks"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let whole = text.lines().filter(|line| line.contains("\"evidence\":\"composite\"")).count();
    assert_eq!(whole, composite::variants().count());
}
