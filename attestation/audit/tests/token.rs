//! `tiltyard-audit token`, on the golden token.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;
use tiltyard_attestation::Hex;
use tiltyard_attestation::token::key_id;

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

/// The golden token with its claims edited, signed by an issuer of this test's own.
fn issued(edit: impl FnOnce(&mut Value)) -> (String, String) {
    let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let golden = fs::read_to_string(TOKEN).unwrap();
    let parts: Vec<&str> = golden.trim().split('.').collect();
    let (mut header, mut claims) = (part(parts[0]), part(parts[1]));
    let issuer = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let key = Hex::<32>::from_slice(issuer.public_key().as_ref()).unwrap();
    header["kid"] = key_id(&key).to_string().into();
    edit(&mut claims);
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()));
    (format!("{signed}.{signature}"), key.to_string())
}

#[test]
fn a_token_that_contradicts_itself_is_refused() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-token");
    fs::create_dir_all(&folder).unwrap();
    let charter = "22".repeat(32);
    let audience = format!("urn:tiltyard:charter:{charter}");
    let read = |name: &str, edit: &dyn Fn(&mut Value)| {
        let (token, key) = issued(|claims| {
            claims["aud"] = audience.clone().into();
            edit(claims);
        });
        let path = folder.join(name);
        fs::write(&path, token).unwrap();
        let output = run(path.to_str().unwrap(), &key, ["--charter", &charter], GUEST, AT, &[]);
        (output.status.code(), text(&output.stdout))
    };
    let (code, shown) = read("own.jwt", &|_| {});
    assert_eq!(code, Some(0), "{shown}");
    let of = |edit: &dyn Fn(&mut Value), why: &str| {
        let (code, shown) = read("edited.jwt", edit);
        assert_eq!(code, Some(3), "{shown}");
        assert!(shown.contains(why) && !shown.contains("AUTHENTIC"), "{shown}");
    };
    of(&|claims| claims["tiltyard_lease"]["charter"] = "00".repeat(32).into(), "a lease of charter 0000");
    of(&|claims| claims["tiltyard_log_proof"] = "junk".into(), "its log proof");
    of(&|claims| claims["iat"] = (claims["exp"].as_u64().unwrap() + 1).into(), "iat at most");
    // The audience by itself names the same charter.
    let (token, key) = issued(|claims| {
        claims["aud"] = audience.clone().into();
        claims["tiltyard_lease"]["charter"] = "00".repeat(32).into();
    });
    let path = folder.join("audience.jwt");
    fs::write(&path, token).unwrap();
    let output = run(path.to_str().unwrap(), &key, ["--audience", &audience], GUEST, AT, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    // Nobody signed it: refused as such, whatever its header says.
    let (token, key) = issued(|_| {});
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let (header, rest) = token.split_once('.').unwrap();
    for header in [header, &none] {
        let unsigned = folder.join("unsigned.jwt");
        fs::write(&unsigned, format!("{header}.{}.", rest.split('.').next().unwrap())).unwrap();
        let output = run(unsigned.to_str().unwrap(), &key, ["--audience", AUDIENCE], GUEST, AT, &[]);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
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
