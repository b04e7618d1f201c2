//! `tiltyard-audit token`, on the golden token.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const TOKEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/token/token.jwt");
/// Public key of the golden issuer (`jwks.json` there), and that of the golden guest.
const KEY: &str = "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12";
const GUEST: &str = "0909090909090909090909090909090909090909090909090909090909090909";
const AUDIENCE: &str = "https://auditor.example";
/// A second in the life of the golden token.
const AT: &str = "1795371100";

fn run(token: &str, key: &str, audience: [&str; 2], guest: &str, at: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tiltyard-audit"))
        .args(["token", token, "--key", key, audience[0], audience[1], "--guest-key", guest, "--at", at])
        .args(more)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_good_token_is_printed_with_what_it_says_and_under_whose_roots() {
    let output = run(TOKEN, KEY, ["--audience", AUDIENCE], GUEST, AT, &[]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    for line in [
        "status     warning",
        "roots      NOT A VENDOR ROOT (anchor set ",
        "level      lab",
        "guest      trainer of charter 2222",
        "ends       2026-11-22 18:25:00 UTC",
        "cpu0        warning          identity 32, configuration 2,",
        "Numbers: 2 to 31 affirming, 32 warning, 96 contraindicated, 0 nothing said",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    // The last line is read alone: it says no more than the token does.
    let last = shown.lines().last().unwrap();
    assert!(last.starts_with("AUTHENTIC: ") && last.ends_with("; status warning"), "{last}");
    assert!(!shown.contains("GOOD"), "{shown}");
    let output = run(TOKEN, KEY, ["--audience", AUDIENCE], GUEST, AT, &["--output", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["key"], KEY);
    assert_eq!(document["claims"]["submods"]["cpu0"]["ear_status"], "warning");
    // A file that ends with a line break is the same token.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-token");
    fs::create_dir_all(&folder).unwrap();
    let lined = folder.join("lined.jwt");
    fs::write(&lined, text(&fs::read(TOKEN).unwrap()).trim_end().to_owned() + "\n").unwrap();
    let output = run(lined.to_str().unwrap(), KEY, ["--audience", AUDIENCE], GUEST, AT, &[]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_token_that_is_not_for_this_reader_guest_or_time_is_refused_and_says_nothing() {
    let other = "01".repeat(32);
    for (key, audience, guest, at, check) in [
        (&*other, ["--audience", AUDIENCE], GUEST, AT, "TOK-01"),
        (KEY, ["--audience", "https://else.example"], GUEST, AT, "TOK-02"),
        (KEY, ["--charter", &other], GUEST, AT, "TOK-02"),
        (KEY, ["--audience", AUDIENCE], GUEST, "1795371900", "TOK-02"),
        (KEY, ["--audience", AUDIENCE], GUEST, "1795370000", "TOK-02"),
        (KEY, ["--audience", AUDIENCE], &*other, AT, "TOK-04"),
    ] {
        let output = run(TOKEN, key, audience, guest, at, &[]);
        let shown = text(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "{shown}");
        assert!(shown.starts_with(&format!("REFUSED: token refused by {check}: ")), "{shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
        let output = run(TOKEN, key, audience, guest, at, &["--output", "json"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document.get("claims"), None, "{document}");
    }
}

#[test]
fn files_that_are_no_token_and_arguments_that_name_no_reader() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-token");
    fs::create_dir_all(&folder).unwrap();
    let noise = folder.join("noise.jwt");
    for (bytes, code) in [(&b"\xff\xfe"[..], 1), (b"", 1), (b"a.b.c", 3), (b"\x1b[2J.a.b", 1)] {
        fs::write(&noise, bytes).unwrap();
        let output = run(noise.to_str().unwrap(), KEY, ["--audience", AUDIENCE], GUEST, AT, &[]);
        assert_eq!(output.status.code(), Some(code), "{bytes:?} {}", text(&output.stderr));
        assert!(!output.stdout.contains(&0x1b), "nothing of it speaks to the terminal");
    }
    let absent = run("no-such-file", KEY, ["--audience", AUDIENCE], GUEST, AT, &[]);
    assert_eq!(absent.status.code(), Some(1));
    for args in [
        &["token", TOKEN, "--key", KEY, "--guest-key", GUEST][..],
        &["token", TOKEN, "--audience", AUDIENCE, "--guest-key", GUEST],
        &["token", TOKEN, "--key", KEY, "--audience", AUDIENCE],
        &["token", TOKEN, "--key", KEY, "--guest-key", GUEST, "--audience", "a", "--charter", KEY],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tiltyard-audit")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
