//! The process that reads a device: the real one without hardware, and others that misbehave in its place.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_enclave::collect::{CollectError, Collected, Collector, ReaderEnd};

use crate::kernel::{ASKED, Machine, report};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tiltyard-enclave");
const QUESTION: &str = concat!(
    r#"{"report_data":""#,
    "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
    "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
    r#""}"#
);

/// A guest that has the device and no configfs, with a script in the reader's place.
fn with(script: &str) -> (Machine, Result<Collected, CollectError>) {
    let machine = Machine::new();
    fs::write(machine.at("sev-guest"), b"").unwrap();
    machine.reader(script);
    let collected = machine.collect();
    (machine, collected)
}

fn refused(script: &str) -> CollectError {
    with(script).1.unwrap_err()
}

fn base64(bytes: &[u8]) -> String {
    serde_json::to_string(&tiltyard_attestation::Base64Bytes(bytes.to_vec())).unwrap()
}

fn answer(report: &[u8], certificates: &[&[u8]]) -> String {
    let certificates: Vec<_> = certificates.iter().map(|der| base64(der)).collect();
    format!(r#"{{"answer":{{"report":{},"certificates":[{}]}}}}"#, base64(report), certificates.join(","))
}

#[test]
fn what_a_reader_answers_is_the_evidence() {
    let answer = answer(&report(3), &[b"vcek", b"ask", b"ark"]);
    let (_, collected) = with(&format!("[ \"$1\" = read-sev-guest ] && [ -z \"$HOME\" ] && echo '{answer}'"));
    let CpuEvidence::Snp { report: collected, certificates } = collected.unwrap().into_evidence() else {
        panic!("TDX");
    };
    assert_eq!(collected.0, report(3));
    assert_eq!(certificates.iter().map(|der| &der.0[..]).collect::<Vec<_>>(), [&b"vcek"[..], b"ask", b"ark"]);
}

#[test]
fn a_reader_is_told_the_report_data_and_nothing_else() {
    let (machine, _) = with("/bin/cat > \"${0%reader}heard\"; /usr/bin/env > \"${0%reader}environment\"");
    assert_eq!(fs::read_to_string(machine.at("heard")).unwrap(), QUESTION);
    let environment = fs::read_to_string(machine.at("environment")).unwrap();
    // The shell itself makes these.
    let of_the_shell =
        |line: &str| ["PWD=", "SHLVL=", "_=", "OLDPWD="].iter().any(|own| line.starts_with(own));
    assert!(environment.lines().all(of_the_shell), "{environment}");
}

#[test]
fn a_reader_is_believed_no_more_than_a_device() {
    let short = refused(&format!("echo '{}'", answer(&report(1)[..1183], &[])));
    assert!(matches!(short, CollectError::Length { what: "SNP report", got: 1183, .. }), "{short}");
    let other = refused(&format!("echo '{}'", answer(&[0; 1184], &[])));
    assert!(matches!(other, CollectError::NotOurs { .. }), "{other}");
    let many = refused(&format!("echo '{}'", answer(&report(1), &[&b"der"[..]; 9])));
    assert!(matches!(many, CollectError::TooLarge { what: "certificates", limit: 8 }), "{many}");
    let long = refused(&format!("echo '{}'", answer(&report(1), &[&[0; 16385]])));
    assert!(matches!(long, CollectError::TooLarge { what: "certificate bytes", .. }), "{long}");
}

#[test]
fn a_reader_that_breaks_is_named_by_how() {
    let why = |script: &str| match refused(script) {
        CollectError::Reader { device: "/dev/sev-guest", why } => why,
        error => panic!("{script}: {error}"),
    };
    assert_eq!(why("exit 101"), ReaderEnd::Code(101));
    assert_eq!(why("kill -SEGV $$"), ReaderEnd::Signal(11));
    assert_eq!(why("exit 0"), ReaderEnd::Code(0));
    for said in [
        "{",
        "{}",
        "null",
        "[]",
        r#"{"answer":{}}"#,
        r#"{"answer":{"report":"","certificates":[],"more":1}}"#,
    ] {
        assert_eq!(why(&format!("echo '{said}'")), ReaderEnd::Garbled, "{said}");
    }
    assert_eq!(why("printf '\\0'"), ReaderEnd::Garbled);
    assert_eq!(why("/usr/bin/head -c 1048577 /dev/zero"), ReaderEnd::TooLarge(1_048_576));
    assert_eq!(why("/usr/bin/yes"), ReaderEnd::TooLarge(1_048_576));
}

#[test]
fn a_reader_that_hangs_is_killed() {
    let machine = Machine::new();
    fs::write(machine.at("sev-guest"), b"").unwrap();
    machine.reader("echo $$ > \"${0%reader}pid\"; exec /bin/sleep 600");
    let mut places = machine.places();
    places.reader.deadline = Duration::from_millis(500);
    let began = Instant::now();
    let error = Collector::find(places).unwrap().cpu("entry", &ASKED).unwrap_err();
    assert!(matches!(error, CollectError::Reader { why: ReaderEnd::Late(500), .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60));
    let pid = fs::read_to_string(machine.at("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it is gone and waited for");
}

#[test]
fn a_reader_that_cannot_be_started_is_named() {
    let machine = Machine::new();
    fs::write(machine.at("sev-guest"), b"").unwrap();
    let error = machine.collect().unwrap_err();
    assert!(matches!(error, CollectError::Reader { why: ReaderEnd::NotStarted, .. }), "{error}");
}

#[test]
fn a_device_that_refuses_is_named_by_step_and_code() {
    let error = refused(r#"echo '{"failed":{"step":"report","code":-5}}'"#);
    assert_eq!(error.to_string(), "/dev/sev-guest: the report failed with code -5");
    let error = refused(r#"echo '{"failed":{"step":"escape","code":0}}'"#);
    assert!(matches!(error, CollectError::Reader { why: ReaderEnd::Garbled, .. }), "{error}");
}

/// The real program, asked directly.
fn program(device: &str, question: &[u8]) -> String {
    let mut child = Command::new(PROGRAM)
        .arg(device)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(question).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_program_reads_a_device_only_for_a_question_that_is_one() {
    let refused = r#"{"failed":{"step":"question","code":0}}"#;
    let long = format!("{}{QUESTION}", " ".repeat(8192));
    for question in
        ["", "{}", "null", r#"{"report_data":"00"}"#, &QUESTION.replace('}', ",\"vmpl\":1}"), &long]
    {
        assert_eq!(program("read-sev-guest", question.as_bytes()), refused, "{question}");
        assert_eq!(program("read-gpu", question.as_bytes()), refused, "{question}");
    }
}

#[test]
fn the_program_says_that_there_is_no_device() {
    if Path::new("/dev/sev-guest").exists() {
        return eprintln!("SKIPPED: this machine has the device");
    }
    let machine = Machine::new();
    fs::write(machine.at("sev-guest"), b"").unwrap();
    let mut places = machine.places();
    places.reader.program = PROGRAM.into();
    let error = Collector::find(places).unwrap().cpu("entry", &ASKED).unwrap_err();
    // ENOENT.
    let expected = "/dev/sev-guest: opening it failed with code 2";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_file_in_the_devices_place_gives_no_report() {
    // A file system of its own over /dev, in which a plain file has the device's name.
    let script = "mount -t tmpfs none /dev && : > /dev/sev-guest && exec \"$0\" read-sev-guest || exit 9";
    let unshare = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c", script, PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = unshare else { return eprintln!("SKIPPED: unshare is absent here") };
    // A machine without namespaces does not listen.
    let _ = child.stdin.take().unwrap().write_all(QUESTION.as_bytes());
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        return eprintln!("SKIPPED: user namespaces are absent here: {output:?}");
    }
    assert_eq!(String::from_utf8(output.stdout).unwrap(), r#"{"failed":{"step":"report","code":0}}"#);
}
