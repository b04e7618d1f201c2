//! The program from outside: exit codes, forms of output, files that are no bundle.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tiltyard_provisioning::bundle::BundleWriter;

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-cli").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn audit(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tiltyard-audit")).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn file(name: &str, bytes: &[u8]) -> String {
    let path = folder(name).join("bundle.tar");
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_missing_file_is_1_and_says_which() {
    let output = audit(&["verify", "no-such-bundle.tar"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("tiltyard-audit: no-such-bundle.tar: "), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_report_that_cannot_be_written_is_1() {
    let bundle = file("unwritable", b"");
    let valid = file("unwritable-valid", &BundleWriter::new().finish());
    assert_eq!(audit(&["verify", &valid, "--html", "no/such/folder/report.html"]).status.code(), Some(1));
    assert_eq!(audit(&["verify", &bundle, "--anchors", "no-such-file"]).status.code(), Some(1));
}

#[test]
fn usage_is_2() {
    let bundle = file("usage", b"");
    for args in [
        &[][..],
        &["verify"],
        &["verify", &bundle, "--output", "xml"],
        &["verify", &bundle, "--owner-key", "00ff"],
        &["verify", &bundle, "--operator-key", &"GG".repeat(32)],
        &["verify", &bundle, "--at", "yesterday"],
        &["verify", &bundle, "--at", "2026-11-22"],
        &["verify", &bundle, "--now"],
        &["convince"],
    ] {
        assert_eq!(audit(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn what_is_no_bundle_at_all_is_1_and_a_bundle_that_fails_is_3() {
    for (name, bytes) in [
        ("empty-file", &b""[..]),
        ("no-tar", b"PK\x03\x04 this is no tar"),
        ("zeros", &[0; 1024]),
        ("text", &[b'a'; 10_240]),
    ] {
        let output = audit(&["verify", &file(name, bytes)]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(
            stderr(&output).contains("expected a bundle: an archive (ustar)"),
            "{name}: {}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "");
    }
    let mut cut = BundleWriter::new().finish();
    cut.truncate(1024);
    let output = audit(&["verify", &file("cut", &cut)]);
    assert_eq!(output.status.code(), Some(3));
    let text = stdout(&output);
    assert!(text.contains("FAIL       BDL-1  bundle "), "{text}");
    assert!(text.contains("FAIL: 0 shown, 1 contradicted, 0 not shown  NOT A VENDOR ROOT"), "{text}");
}

/// A file as long as a bundle may be, with nothing in it, costs nothing.
#[test]
fn what_is_no_bundle_is_not_read() {
    let path = folder("sparse").join("bundle.tar");
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    // Less memory than the file is long; reading it would end the program.
    let line = format!(
        "ulimit -v 524288; exec {} verify {}",
        env!("CARGO_BIN_EXE_tiltyard-audit"),
        path.to_str().unwrap()
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("expected a bundle"), "{}", stderr(&output));
}

#[test]
fn an_empty_bundle_in_text() {
    let bundle = file("empty-bundle", &BundleWriter::new().finish());
    let output = audit(&["verify", &bundle]);
    assert_eq!(output.status.code(), Some(3));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "roots    none could be told",
            "",
            "PASS       BDL-1  bundle              the file is a bundle: sorted regular members, exactly as its index lists them  (by format, lengths and SHA-256 of every member)",
            "PASS       BDL-2  bundle              every member is a document of the format  (by its name and its syntax)",
            "FAIL       CHT-1  charter             the charter is signed by owner and operator, and keeps every rule",
            "                  expected a charter",
            "                  found    none",
            "NOT SHOWN  TRN-1  record              the rules, replayed from the record's inputs, give this record byte for byte",
            "                  there is no rulebook to replay under",
            "",
            "Outside of any bundle: R1 to R13; the report (--html) lists them.",
            "FAIL: 2 shown, 1 contradicted, 1 not shown  NOT A VENDOR ROOT",
        ]
    );
}

#[test]
fn json_and_page_carry_the_verdict() {
    let bundle = file("forms", &BundleWriter::new().finish());
    let page = folder("forms").join("report.html");
    let output = audit(&["verify", &bundle, "--output", "json", "--html", page.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["verdict"].as_str(), json["anchors"].is_null()), (Some("fail"), true));
    for member in ["claims", "promises", "entrants", "guests"] {
        assert!(json[member].is_array(), "{member}");
    }
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<b>FAIL</b>") && page.contains("NOT A VENDOR ROOT") && page.contains("CHT-1"));
}

#[test]
fn a_hostile_member_name_or_content_stays_text() {
    let mut writer = BundleWriter::new();
    writer.add("guests/x.json", b"{\"lease\":\"<script>alert(1)</script>\x1b[2J\"}".to_vec()).unwrap();
    writer.add("roll/000001.json", b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[".to_vec()).unwrap();
    writer.add("log/entries/000000.json", vec![0xff; 100]).unwrap();
    writer.add("log/proofs/000000.tlog-proof", vec![0xff; 100]).unwrap();
    writer.add("charter/charter.dsse.json", b"{\"payloadType\":\"<b>\"}".to_vec()).unwrap();
    writer.add("charter/rulebook.toml", vec![0xff; 10]).unwrap();
    writer.add("record/record.json", b"null".to_vec()).unwrap();
    let bundle = file("hostile", &writer.finish());
    let page = folder("hostile").join("report.html");
    let output = audit(&["verify", &bundle, "--all", "--html", page.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(!stdout(&output).contains('\u{1b}'));
    let page = fs::read_to_string(page).unwrap();
    assert!(!page.contains("<script") && !page.contains("<b>&#"), "{page}");
    for name in ["guests/x.json", "log/proofs/000000.tlog-proof", "record/record.json", "roll/000001.json"] {
        assert!(stdout(&output).contains(name), "{name}");
    }
}

#[test]
fn the_checklist_is_printed_in_both_forms() {
    let text = stdout(&audit(&["checks"]));
    assert!(
        text.lines().any(|line| line.starts_with("SNP-04  always  the endorsement key signed")),
        "{text}"
    );
    let json: Value = serde_json::from_slice(&audit(&["checks", "--output", "json"]).stdout).unwrap();
    let rows = json.as_array().unwrap();
    assert_eq!(rows.len(), text.lines().count());
    for row in rows {
        for member in ["id", "title", "class", "source", "error"] {
            assert!(!row[member].is_null(), "{row}");
        }
    }
}
