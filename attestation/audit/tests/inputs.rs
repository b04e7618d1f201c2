//! Files and arguments of `tiltyard-audit`: what is taken, what is refused with which exit code, and what reaches the
//! terminal.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/");
const REPORT: &str = "snp/virtee_milan_report.hex";
const VCEK: &str = "snp/virtee_milan_vcek.der";
const CHAIN: &str = "snp/ask_ark_milan.pem";
const GPU: [&str; 2] = ["nvidia/device/hopperAttestationReport.txt", "nvidia/device/hopperCertChain.txt"];
const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";

fn vector(name: &str) -> String {
    format!("{VECTORS}{name}")
}

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-inputs").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn audit(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tiltyard-audit")).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs `appraise` on the genuine Milan report, each file replaced by what stands in `with`.
fn milan(with: &[(&str, &str)], more: &[&str]) -> Output {
    let mut args = vec!["appraise".to_owned()];
    for (flag, name) in [("--snp-report", REPORT), ("--vcek", VCEK), ("--cert-chain", CHAIN)] {
        let path = with.iter().find(|(other, _)| *other == flag).map(|(_, path)| (*path).to_owned());
        args.extend([flag.to_owned(), path.unwrap_or_else(|| vector(name))]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    audit(&args)
}

#[test]
fn what_has_not_the_form_at_all_is_1_for_every_option() {
    let folder = folder("form");
    let [report, certs] = GPU.map(vector);
    let quote = vector("tdx/dcapqvl_tdx_quote");
    for (name, bytes) in [("empty", &b""[..]), ("garbage", b"0 garbage\xff\x00\x80 of nobody's")] {
        let bad = folder.join(name);
        fs::write(&bad, bytes).unwrap();
        let bad = bad.to_str().unwrap();
        for line in [
            &["appraise", "--snp-report", bad, "--vcek", &vector(VCEK)][..],
            &["appraise", "--vcek", bad],
            &["appraise", "--vcek", &vector(VCEK), "--cert-chain", bad],
            &["appraise", "--tdx-quote", bad],
            &["appraise", "--tdx-quote", &quote, "--ccel", bad],
            &["appraise", "--tdx-quote", &quote, "--tdx-collateral", bad],
            &["appraise", "--gpu-report", bad, "--gpu-certs", &certs],
            &["appraise", "--gpu-report", &report, "--gpu-certs", bad],
            &["appraise", "--gpu-evidence", bad],
            &["appraise", "--rim", bad],
            &["appraise", "--vcek", &vector(VCEK), "--crl", bad],
            &["appraise", "--vcek", &vector(VCEK), "--ocsp", bad],
            &["appraise", "--vcek", &vector(VCEK), "--collateral", bad, "--collateral-key", KEY],
            &["appraise", "--vcek", &vector(VCEK), "--policy", bad],
            &["appraise", "--vcek", &vector(VCEK), "--trust-anchors", bad],
            &["explain", "--tdx-quote", bad],
            &["verify", bad],
            &["collateral", "inspect", bad, "--key", KEY],
            &["token", bad, "--key", KEY, "--guest-key", KEY, "--audience", "a"],
        ] {
            let output = audit(line);
            assert_eq!(output.status.code(), Some(1), "{name} {line:?}: {}", stderr(&output));
            assert!(stderr(&output).contains(name), "{line:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn evidence_that_has_the_form_and_fails_is_3() {
    let folder = folder("fails");
    let mut bytes = fs::read(vector("snp/gosev_milan_v2_report.bin")).unwrap();
    bytes[0x90] ^= 1;
    let bent = folder.join("bent");
    fs::write(&bent, &bytes).unwrap();
    assert_eq!(milan(&[("--snp-report", bent.to_str().unwrap())], &[]).status.code(), Some(3));
    bytes.pop();
    fs::write(&bent, &bytes).unwrap();
    assert_eq!(milan(&[("--snp-report", bent.to_str().unwrap())], &[]).status.code(), Some(3));
}

#[test]
fn arguments_that_do_not_go_together_are_2() {
    let (vcek, chain) = (vector(VCEK), vector(CHAIN));
    let (certs, whole) = (vector(GPU[1]), "00".repeat(64));
    for (line, says) in [
        (&["appraise", "--vcek", &vcek, "--cert-chain", &chain, "--ccel", &chain][..], "--tdx-quote"),
        (&["appraise", "--vcek", &vcek, "--cert-chain", &chain, "--collateral-key", KEY], "--collateral"),
        (&["appraise", "--vcek", &vcek, "--policy", "strikt"], "expected strict, standard, lab or a file"),
        (&["appraise"], "no evidence"),
        (&["appraise", "--gpu-certs", &certs, "--nonce", &whole], "as devices are asked with"),
        (&["appraise", "--vcek", &vcek, "--at", "+5"], "expected RFC 3339"),
        (&["appraise", "--vcek", &vcek, "--at", " 5"], "expected RFC 3339"),
    ] {
        let output = audit(line);
        assert_eq!(output.status.code(), Some(2), "{line:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{line:?}: {}", stderr(&output));
    }
    for (flags, limit) in
        [(&["--gpu-certs"][..], "at most 16 GPUs"), (&["--gpu-report", "--gpu-certs"], "at most 16 GPUs")]
    {
        let [report, certs] = GPU.map(vector);
        let mut line = vec!["appraise"];
        for _ in 0..17 {
            for flag in flags {
                line.extend([*flag, if *flag == "--gpu-certs" { certs.as_str() } else { report.as_str() }]);
            }
        }
        let output = audit(&line);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(
            stderr(&output).contains(limit) && stderr(&output).contains("found 17"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn roots_are_a_folder() {
    let folder = folder("roots");
    let file = folder.join("file");
    fs::write(&file, "x").unwrap();
    for (path, says) in
        [(&file, "expected a folder, found a file"), (&folder.join("none"), "expected a folder, found none")]
    {
        let output = milan(&[], &["--trust-anchors", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
}

#[test]
fn certificates_are_read_as_other_programs_write_them_and_each_counts_once() {
    let folder = folder("chain");
    let pem = fs::read_to_string(vector(CHAIN)).unwrap();
    let told = folder.join("told.pem");
    let text = format!("\u{feff}Certificate:\n    Data:\n        Version: 3 (0x2)\n{pem}\ntrailing words\n");
    fs::write(&told, text).unwrap();
    let told = told.to_str().unwrap();
    let output = milan(&[("--cert-chain", told)], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output =
        milan(&[("--cert-chain", told)], &["--cert-chain", &vector(CHAIN), "--cert-chain", &vector(VCEK)]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        stderr(&output)
    );
}

#[test]
fn hex_with_a_mistake_is_told_and_not_taken_for_binary() {
    let folder = folder("hex");
    let mut text = fs::read(vector(REPORT)).unwrap();
    text[100] = b'O';
    let path = folder.join("report.hex");
    fs::write(&path, &text).unwrap();
    let output = milan(&[("--snp-report", path.to_str().unwrap())], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("not hex at position 100"), "{}", stderr(&output));
    let text = [b"\xEF\xBB\xBF".to_vec(), fs::read(vector(REPORT)).unwrap()].concat();
    fs::write(&path, text).unwrap();
    assert_eq!(milan(&[("--snp-report", path.to_str().unwrap())], &[]).status.code(), Some(0));
}

#[test]
fn only_regular_files_are_read() {
    let folder = folder("kinds");
    let socket = folder.join("socket");
    let _listens = UnixListener::bind(&socket).unwrap();
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, what) in [
        (pipe.to_str().unwrap(), "a pipe"),
        (socket.to_str().unwrap(), "a device or socket"),
        ("/dev/zero", "a device or socket"),
        (folder.to_str().unwrap(), "a folder"),
    ] {
        for output in [milan(&[("--vcek", path)], &[]), audit(&["verify", path])] {
            assert_eq!(output.status.code(), Some(1), "{path}");
            let says = format!(
                "expected a regular file, found {what}\n  write it to a file first: a stream is not read"
            );
            assert!(stderr(&output).contains(&says), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_page_is_whole_or_the_old_one_stays() {
    let folder = folder("page");
    let vcek = folder.join("vcek.der");
    fs::copy(vector(VCEK), &vcek).unwrap();
    let page = folder.join("page.html");
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let given = vcek.to_str().unwrap();
    let write = |target: &Path| milan(&[("--vcek", given)], &["--html", target.to_str().unwrap()]);
    // Never over what it reports on, also by another name, and never into a folder, pipe or device.
    let link = folder.join("link");
    std::os::unix::fs::symlink(&vcek, &link).unwrap();
    let before = fs::read(&vcek).unwrap();
    for target in [&vcek, &link, &folder, &pipe, &PathBuf::from("/dev/null")] {
        let output = write(target);
        assert_eq!(output.status.code(), Some(2), "{target:?} {}", stderr(&output));
        assert!(stderr(&output).contains("\n  name another file with --html"), "{}", stderr(&output));
    }
    assert_eq!(fs::read(&vcek).unwrap(), before);
    fs::write(&page, "old").unwrap();
    // A limit on file sizes is a disk that is full.
    let line = format!(
        "ulimit -f 1; trap '' XFSZ; exec {} appraise --snp-report {} --vcek {given} --cert-chain {} --html {}",
        env!("CARGO_BIN_EXE_tiltyard-audit"),
        vector(REPORT),
        vector(CHAIN),
        page.display()
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&page).unwrap(), "old");
    let names = || fs::read_dir(&folder).unwrap().count();
    let count = names();
    assert_eq!(write(&page).status.code(), Some(0));
    assert!(fs::read_to_string(&page).unwrap().ends_with("</html>"));
    assert_eq!(names(), count, "nothing is left beside it");
}

#[test]
fn nothing_in_a_name_or_a_document_speaks_to_the_terminal() {
    let folder = folder("terminal");
    let hostile = "a\u{1b}[2J\nGOOD\u{202e}";
    let output = audit(&["appraise", "--vcek", hostile]);
    let text = stderr(&output);
    assert!(text.contains("a\u{fffd}[2J\u{fffd}GOOD\u{fffd}: "), "{text:?}");
    let name = folder.join("policy.json");
    let anchors = folder.join("anchors.json");
    let document = "{\"v\":1,\"x\\u001b[2J\\n  GOOD\\u202e\":1}";
    fs::write(&name, document).unwrap();
    fs::write(&anchors, document.replace("\"v\":1,", "")).unwrap();
    for option in [["--policy", name.to_str().unwrap()], ["--trust-anchors", folder.to_str().unwrap()]] {
        let output = milan(&[], &option);
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        assert!(!text.chars().any(|c| c != '\n' && c.is_control() || c == '\u{202e}'), "{text:?}");
        assert!(text.contains('\u{fffd}') && text.lines().count() == 1, "{text:?}");
    }
    // What the parser of arguments repeats.
    let text = stderr(&audit(&["appraise", "--at", "\u{1b}[2J\u{202e}"]));
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
}

#[test]
fn errors_are_json_where_results_are() {
    let quote = vector("tdx/dcapqvl_tdx_quote");
    for (line, code, name) in [
        (&["appraise", "--vcek", "no-such-file"][..], 1, "E_IO"),
        (&["explain", "--vcek", &quote], 1, "E_SYNTAX"),
        (&["verify", &quote], 1, "E_SYNTAX"),
        (&["appraise"], 2, "E_USAGE"),
        (&["appraise", "--no-such-flag"], 2, "E_USAGE"),
        (&["verify", &quote, "--at", "yesterday"], 2, "E_USAGE"),
    ] {
        let output = audit(&[line, &["--output", "json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{line:?}");
        let document: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(document["code"], name, "{document}");
        assert!(document["error"].as_str().is_some_and(|text| !text.is_empty()), "{document}");
    }
}

/// What a tournament's bundle is held against.
#[test]
fn files_beside_a_bundle_have_the_same_exit_codes() {
    let folder = folder("beside");
    let (bundle, bad) = (folder.join("bundle.tar"), folder.join("bad"));
    fs::write(&bundle, tiltyard_provisioning::bundle::BundleWriter::new().finish()).unwrap();
    fs::write(&bad, "garbage").unwrap();
    let (bundle, bad) = (bundle.to_str().unwrap(), bad.to_str().unwrap());
    for (more, code) in [
        (&["--anchors", bad][..], 1),
        (&["--collateral", bad, "--collateral-key", KEY], 1),
        (&["--collateral", bundle, "--collateral-key", KEY], 3),
        (&["--collateral", bundle], 2),
    ] {
        let output = audit(&[&["verify", bundle], more].concat());
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", stderr(&output));
        assert_eq!(output.stdout, b"", "{more:?}");
    }
}

#[test]
fn times_are_rfc_3339_or_seconds_everywhere() {
    let bundle = folder("times").join("bundle.tar");
    fs::write(&bundle, tiltyard_provisioning::bundle::BundleWriter::new().finish()).unwrap();
    let shown = |at: &str| audit(&["verify", bundle.to_str().unwrap(), "--at", at]).stdout;
    assert_eq!(shown("2026-11-22T00:00:00Z"), shown("1795305600"));
    assert!(!shown("1795305600").is_empty());
}
