//! `collateral sign`, and what `serve` takes.

use tiltyard_attestation::collateral::{Bundle, ItemKind};
use tiltyard_attestation::{Collateral, Hex};

use super::charter::signed;
use super::*;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../attestation/tests/vectors/");
const SIGN: &str =
    "collateral sign --dir owner --from vendors --expires-days 30 --out site.tar --passphrase-fd 0";

const RIM: &str = "nvidia/rim/nvat_NV_GPU_DRIVER_GH100_550.144.03.xml";

fn place(trial: &Trial, path: &str, vector: &str) {
    let path = trial.path("vendors").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(format!("{VECTORS}{vector}"), path).unwrap();
}

/// A trial whose owner has a folder with two lists, a chain and a VCEK of AMD's.
fn trial() -> (Trial, Hex<32>) {
    let trial = signed();
    let owner = trial.run_with("identity --dir owner", "").out;
    place(&trial, "amd/crl-turin", "minted/good.crl");
    place(&trial, "amd/crl-genoa", "minted/past.crl");
    place(&trial, "amd/chain-milan", "snp/ask_ark_milan.pem");
    place(&trial, "amd/vcek-milan-1", "snp/virtee_milan_vcek.der");
    (trial, owner["signing_key"].as_str().unwrap().parse().unwrap())
}

#[test]
fn a_folder_becomes_a_bundle_that_opens_with_the_homes_key() {
    let (trial, key) = trial();
    let facts = trial.facts(SIGN);
    assert_eq!((&facts["items"], &facts["key"]), (&json(4), &Value::from(key.to_string())));
    // A list that ends before the bundle does is named.
    assert_eq!(facts["stale_before"], serde_json::json!(["amd/crl-genoa"]));
    let bytes = fs::read(trial.path("site.tar")).unwrap();
    let bundle = Bundle::open(&bytes, &key).unwrap();
    assert_eq!(bundle.items(ItemKind::AmdCrl).map(|(id, _)| id).collect::<Vec<_>>(), ["genoa", "turin"]);
    let Collateral { snp_certificates, snp_crls, .. } = bundle.collateral().unwrap();
    assert_eq!((snp_certificates.len(), snp_crls.len()), (3, 2));
    assert!(Bundle::open(&bytes, &Hex([1; 32])).is_err());
    let life_s = bundle.manifest().expires_at - bundle.manifest().created_at;
    assert_eq!(life_s, 30 * 86_400);
}

fn json(number: u64) -> Value {
    Value::from(number)
}

#[test]
fn what_a_site_would_refuse_is_not_signed() {
    let (trial, _) = trial();
    let refused = |what: &str| {
        let answer = trial.run(SIGN);
        assert!([1, 3].contains(&answer.code), "{what}: {}", answer.code);
        assert!(answer.stderr.contains(what), "{what}: {}", answer.stderr);
        assert!(!trial.path("site.tar").exists(), "{what}");
    };
    place(&trial, "amd/notes.txt", "minted/good.crl");
    refused("amd/notes.txt: expected the place of an item");
    fs::remove_file(trial.path("vendors/amd/notes.txt")).unwrap();
    place(&trial, "amd/crl-milan", "snp/virtee_milan_vcek.der");
    refused("amd/crl-milan: expected a DER revocation list");
    fs::remove_file(trial.path("vendors/amd/crl-milan")).unwrap();
    place(&trial, "intel/rootcrl-root", "tdx/gotdx_rootcrl.der");
    place(&trial, "intel/pckcrl-platform", "minted/good.crl");
    trial.facts(SIGN);
    fs::remove_file(trial.path("site.tar")).unwrap();
    // TCB info alone makes no set.
    place(&trial, "intel/tcbinfo-50806f000000", "tdx/gotdx_sample_tcbInfo_response");
    refused("intel/pckcrl-chain-platform");
    fs::remove_dir_all(trial.path("vendors")).unwrap();
    refused("vendors");
    fs::create_dir(trial.path("vendors")).unwrap();
    refused("expected files as amd/crl-milan or nvidia/rim-ID, found none");
    for days in ["0", "367", "-1", "x"] {
        let line = SIGN.replace("30", days);
        assert_eq!(trial.run(&line).code, 2, "{days}");
    }
}

/// Whoever may write to the folder must not have the owner sign what lies elsewhere, or nothing.
#[test]
fn links_pipes_and_texts_that_are_no_manifest_are_not_signed() {
    let (trial, _) = trial();
    let facts = trial.facts(SIGN);
    assert!(facts["note"].as_str().unwrap().contains("checked when the bundle is used, not here"), "{facts}");
    fs::remove_file(trial.path("site.tar")).unwrap();
    let secret = trial.write("secret", "the owner's own");
    let at = trial.path("vendors/nvidia/rim-h100");
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    let refused = |what: &str| {
        let answer = trial.run(SIGN);
        assert_ne!(answer.code, 0, "{what}");
        assert!(answer.stderr.contains(what), "{what}: {}", answer.stderr);
        assert!(!trial.path("site.tar").exists(), "{what}");
    };
    std::os::unix::fs::symlink(&secret, &at).unwrap();
    refused("found a link");
    fs::remove_file(&at).unwrap();
    // Nobody writes to it: a reader that opens it as a file would wait for ever.
    nix::unistd::mkfifo(&at, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("found something else");
    fs::remove_file(&at).unwrap();
    fs::create_dir(&at).unwrap();
    refused("found a folder");
    fs::remove_dir(&at).unwrap();
    for (text, what) in [
        (&b"the owner's own"[..], "expected well-formed XML"),
        (b"<?xml version='1.0'?><note xmlns='http://example.org/'/>", "nvidia/rim-h100"),
        (b"", "nvidia/rim-h100"),
    ] {
        trial.write("vendors/nvidia/rim-h100", text);
        refused(what);
    }
    fs::File::create(&at).unwrap().set_len(33 << 20).unwrap();
    refused("bytes in all");
    fs::remove_dir_all(trial.path("vendors/nvidia")).unwrap();
    std::os::unix::fs::symlink(trial.path("vendors/amd"), trial.path("vendors/intel")).unwrap();
    refused("expected folders amd, intel and nvidia");
    fs::remove_file(trial.path("vendors/intel")).unwrap();
    place(&trial, "nvidia/rim-h100", RIM);
    assert_eq!(trial.facts(SIGN)["items"], json(5));
}

/// A file's name reaches the terminal in errors.
#[test]
fn names_of_files_say_nothing_to_the_terminal() {
    let trial = Trial::new();
    let name = "no\u{1b}[2Jsuch\nGOOD\u{202e}";
    let output = Command::new(env!("CARGO_BIN_EXE_tiltyard-broker"))
        .current_dir(trial.path("."))
        .args(["charter", "show", name])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no\u{fffd}[2Jsuch\u{fffd}GOOD\u{fffd}"), "{text:?}");
    assert_eq!(text.lines().count(), 1, "{text:?}");
    // A second line of ours stays one.
    let output = Command::new(env!("CARGO_BIN_EXE_tiltyard-broker"))
        .current_dir(trial.path("."))
        .args(["identity", "--dir", name])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(text.ends_with("\n  make one with `tiltyard-broker init`\n"), "{text:?}");
}

/// What the parser of arguments repeats; and help that was asked for, in whole sentences.
#[test]
fn usage_says_nothing_to_the_terminal_and_help_is_whole() {
    let run =
        |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_tiltyard-broker")).args(args).output().unwrap();
    let output = run(&["charter", "\u{1b}[2J\u{202e}"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains('\u{fffd}') && text.contains("\n\nUsage: "), "{text:?}");
    let output = run(&["charter", "sign", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("Sign a charter, once its changes and its digest p were shown\n"), "{text}");
}

#[test]
fn serve_takes_a_bundle_of_its_own_key_or_of_the_named_one() {
    let (trial, key) = trial();
    trial.facts(SIGN);
    let serve = |more: &str| {
        let line =
            format!("serve --dir owner --charter signed.json --passphrase-fd 0 --listen 127.0.0.1:0 {more}");
        let mut child = broker(trial.folder.path(), &line).spawn().unwrap();
        let _ = writeln!(child.stdin.take().unwrap(), "{PASSPHRASE}");
        let mut first = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut first)
            .unwrap();
        let _ = child.kill();
        (first, String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap())
    };
    for more in ["", &format!("--collateral-key {key}")] {
        let (first, stderr) = serve(&format!("--collateral site.tar {more}"));
        assert!(first.contains("vendor root"), "{more}: {stderr}");
    }
    let (first, stderr) = serve(&format!("--collateral site.tar --collateral-key {}", "01".repeat(32)));
    assert_eq!(first, "");
    assert!(stderr.contains("the signature is not by key 0101"), "{stderr}");
    let mut bent = fs::read(trial.path("site.tar")).unwrap();
    let at = bent.len() / 2;
    bent[at] ^= 1;
    trial.write("site.tar", bent);
    assert_eq!(serve("--collateral site.tar").0, "");
    let (_, stderr) = serve("--collateral-key 00");
    assert!(stderr.contains("--collateral-key"), "{stderr}");
}

/// A broker goes on while its collateral is replaced, and keeps the old one when the new one is none.
#[test]
fn serve_reads_collateral_again_when_it_is_told_to() {
    use std::io::{BufRead as _, BufReader};
    let (trial, _) = trial();
    trial.facts(SIGN);
    let line = "serve --dir owner --charter signed.json --passphrase-fd 0 --collateral site.tar";
    let mut child = broker(trial.folder.path(), line).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSPHRASE}").unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut serving = String::new();
    stdout.read_line(&mut serving).unwrap();
    assert!(serving.contains("vendor root"), "{serving}");
    let told = |stderr: &mut dyn std::io::BufRead| {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
        let mut said = String::new();
        stderr.read_line(&mut said).unwrap();
        said
    };
    assert_eq!(told(&mut stderr), "collateral site.tar: read again\n");
    trial.write("site.tar", b"\x1b[2Jnothing of the kind");
    let refused = told(&mut stderr);
    assert!(refused.starts_with("site.tar: not a document of the expected kind"), "{refused}");
    let mut kept = String::new();
    stderr.read_line(&mut kept).unwrap();
    assert_eq!(kept, "  the collateral before it stays in use\n");
    trial.facts(SIGN);
    assert_eq!(told(&mut stderr), "collateral site.tar: read again\n", "it still serves");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What a command reads or a home keeps is never written over, and what it leaves is told whole.
#[test]
fn a_result_goes_to_a_file_of_its_own() {
    let (trial, _) = trial();
    let kept = ["owner/kek", "owner/store.sqlite", "vendors/amd/crl-turin", "charter.json"];
    let before = kept.map(|name| fs::read(trial.path(name)).unwrap());
    std::os::unix::fs::symlink(trial.path("owner/kek"), trial.path("link")).unwrap();
    for out in
        ["owner/kek", "owner/store.sqlite", "owner/new", "vendors/amd/crl-turin", "vendors/new", "link"]
    {
        let answer = trial.run(&SIGN.replace("site.tar", out));
        assert_eq!(answer.failure(), (1, "E_KEPT"), "{out}: {}", answer.stderr);
    }
    let sign = "charter sign --dir owner --charter charter.json --confirm 00000000 --passphrase-fd 0 --out";
    for out in ["owner/store.sqlite", "charter.json"] {
        assert_eq!(trial.run(&format!("{sign} {out}")).failure(), (1, "E_KEPT"), "{out}");
    }
    let serve = "serve --dir owner --charter signed.json --passphrase-fd 0 --port-file";
    for out in ["owner/kek", "owner/store.sqlite", "signed.json"] {
        assert_eq!(trial.run(&format!("{serve} {out}")).failure(), (1, "E_KEPT"), "{out}");
    }
    nix::unistd::mkfifo(&trial.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(trial.path("socket")).unwrap();
    for out in ["pipe", "vendors", "socket"] {
        assert_eq!(trial.run(&SIGN.replace("site.tar", out)).failure(), (1, "E_NOT_A_FILE"), "{out}");
    }
    assert_eq!(kept.map(|name| fs::read(trial.path(name)).unwrap()), before);

    // A name that is no Unicode is told as near as can be, in both forms.
    use std::os::unix::ffi::OsStrExt as _;
    let name = std::ffi::OsStr::from_bytes(b"s\xff\x1b[31m.tar");
    for form in ["json", "text"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiltyard-broker"));
        command.current_dir(trial.folder.path()).args(SIGN.replace("--out site.tar", "").split_whitespace());
        command.arg("--out").arg(name).args(["--output", form]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSPHRASE}").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && trial.path("").join(name).exists(), "{form}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("s\u{fffd}") && !told.contains('\u{1b}'), "{form}: {told}");
    }
}

#[test]
fn a_result_that_cannot_be_printed_is_an_error() {
    let (trial, _) = trial();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiltyard-broker"));
    let output = command
        .current_dir(trial.folder.path())
        .args(["identity", "--dir", "owner", "--output", "json"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write standard output"));
}
