//! Genuine evidence in the wrappings that collectors and services hand out: the same verdict as bare.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/");
/// 2025-06-29, in the time of Intel's answers.
const AT: &str = "1751155200";

fn vector(name: &str) -> Vec<u8> {
    fs::read(format!("{VECTORS}{name}")).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.trim().chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lines(base64: &str) -> String {
    base64.as_bytes().chunks(64).map(|line| String::from_utf8(line.to_vec()).unwrap() + "\n").collect()
}

/// Files of one test.
struct Desk(PathBuf);

impl Desk {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-wrapped").join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Exit code, the checks' verdicts in order, and all that was printed.
fn appraise(args: &[&str]) -> (i32, Vec<String>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiltyard-audit"));
    let output = command.args(["appraise", "--output", "json", "--at", AT]).args(args).output().unwrap();
    let told = String::from_utf8([output.stdout.clone(), output.stderr].concat()).unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let rows = document["checks"].as_array().cloned().unwrap_or_default();
    let row = |row: &Value| format!("{} {} {} {}", row["submod"], row["check"], row["verdict"], row["got"]);
    (output.status.code().unwrap(), rows.iter().map(row).collect(), told)
}

#[test]
fn an_snp_report_and_its_certificates() {
    let desk = Desk::new("snp");
    let report = unhex(&text("snp/virtee_milan_report.hex"));
    let (vcek, chain) = (vector("snp/virtee_milan_vcek.der"), text("snp/ask_ark_milan.pem"));
    let bare = desk.file("report", &report);
    let [vcek_file, chain_file] = [desk.file("vcek", &vcek), desk.file("chain", &chain)];
    let certs = ["--vcek", &vcek_file, "--cert-chain", &chain_file];
    let run = |report: &str, certs: &[&str]| appraise(&[&["--snp-report", report], certs].concat());
    let expected = run(&bare, &certs);
    assert_eq!(expected.0, 0, "{}", expected.2);

    let hcl = [&b"HCLA"[..], &[0; 28], &report, b"runtime data of the paravisor"].concat();
    for (name, content) in [
        ("base64", STANDARD.encode(&report).into_bytes()),
        ("lines", lines(&STANDARD.encode(&report)).into_bytes()),
        ("url", URL_SAFE_NO_PAD.encode(&report).into_bytes()),
        ("hcl", hcl),
    ] {
        let (code, rows, told) = run(&desk.file(name, content), &certs);
        assert_eq!((code, &rows), (0, &expected.1), "{name}: {told}");
        assert_eq!(told.contains("paravisor"), name == "hcl", "{told}");
    }
    // Azure's header without a whole report behind it is no report.
    let cut = desk.file("cut", [&b"HCLA"[..], &[0; 28], &report[..1183]].concat());
    assert_eq!(run(&cut, &certs).0, 1);

    let pem = |der: &[u8]| {
        format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines(&STANDARD.encode(der)))
    };
    let issuers: Vec<Vec<u8>> = chain
        .split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .map(|block| {
            let body = block.split("-----END").next().unwrap();
            STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap()
        })
        .collect();
    let all = pem(&vcek) + &chain;
    let service = json!({"vcekCert": pem(&vcek), "tcbm": "7308000000000003", "certificateChain": chain});
    for (name, content) in [
        ("all.pem", all.clone().into_bytes()),
        ("all.b64", STANDARD.encode(&all).into_bytes()),
        ("table", table(&[&vcek, &issuers[0], &issuers[1]])),
        ("table.b64", STANDARD.encode(table(&[&vcek, &issuers[0], &issuers[1]])).into_bytes()),
        ("service.json", service.to_string().into_bytes()),
    ] {
        let (code, rows, told) = run(&bare, &["--vcek", &desk.file(name, content)]);
        assert_eq!((code, &rows), (0, &expected.1), "{name}: {told}");
    }
    let der64 = desk.file("vcek.b64", STANDARD.encode(&vcek));
    assert_eq!(run(&bare, &["--vcek", &der64, "--cert-chain", &chain_file]).1, expected.1);
    // A table that points outside of itself is another form, not another chain.
    let mut outside = table(&[&vcek, &issuers[0], &issuers[1]]);
    outside[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    let (code, _, told) = run(&bare, &["--vcek", &desk.file("outside", outside)]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("certificate table"), "{told}");
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for bad in [
        json!({}),
        json!({"vcekCert": "", "certificateChain": chain}),
        json!({"vcekCert": all, "certificateChain": chain}),
        json!({"vcekCert": junk, "certificateChain": chain}),
    ] {
        let (code, _, told) = run(&bare, &["--vcek", &desk.file("bad.json", bad.to_string())]);
        assert_eq!(code, 1, "{told}");
    }
}

/// VCEK, ASK and ARK under their GUIDs, as a hypervisor hands them out.
fn table(certificates: &[&[u8]; 3]) -> Vec<u8> {
    const GUIDS: [&str; 3] = [
        "63da758de6644564adc5f4b93be8accd",
        "4ab7b379bbac4fe4a02f05aef327c782",
        "c0b406a4a803495297433fb6014cd0ae",
    ];
    let mut table = Vec::new();
    let mut at = 4 * 24;
    for (guid, certificate) in GUIDS.iter().zip(certificates) {
        table.extend(unhex(guid));
        table.extend(u32::try_from(at).unwrap().to_le_bytes());
        table.extend(u32::try_from(certificate.len()).unwrap().to_le_bytes());
        at += certificate.len();
    }
    table.extend([0; 24]);
    certificates.iter().for_each(|certificate| table.extend_from_slice(certificate));
    table
}

#[test]
fn a_quote() {
    let desk = Desk::new("quote");
    let quote = vector("tdx/dcapqvl_tdx_quote");
    let run = |name: &str, content: &[u8]| appraise(&["--tdx-quote", &desk.file(name, content)]);
    let expected = run("bare", &quote);
    assert_eq!(expected.0, 0, "{}", expected.2);
    let agent = |quote: String| json!({"quote": quote, "event_log": "[]", "vm_config": ""}).to_string();
    for (name, content) in [
        ("base64", STANDARD.encode(&quote)),
        ("hex.json", agent(hex(&quote))),
        ("base64.json", agent(STANDARD.encode(&quote))),
        ("near.json", json!({"intel_quote": hex(&quote), "nvidia_payload": "{}"}).to_string()),
    ] {
        let (code, rows, told) = run(name, content.as_bytes());
        assert_eq!((code, &rows), (0, &expected.1), "{name}: {told}");
        assert_eq!(
            told.contains("what stands beside it was not looked at"),
            name.ends_with("json"),
            "{told}"
        );
    }
    for len in [5_243, 5_247] {
        let mut buffer = quote.clone();
        buffer.resize(len, 0);
        assert_eq!(run("buffer", &buffer).1, expected.1, "{len}");
        let at = buffer.len() - 1;
        buffer[at] = 1;
        assert_eq!(run("buffer", &buffer).0, 3, "{len}: a byte behind the quote");
    }
    for bad in ["{}", r#"{"quote":1}"#, r#"{"quote":"00"}"#, r#"{"quote":"no quote"}"#, "{"] {
        assert_eq!(run("bad.json", bad.as_bytes()).0, 1, "{bad}");
    }
}

#[test]
fn intels_collateral() {
    let desk = Desk::new("intel");
    let quote = desk.file("quote", vector("tdx/dcapqvl_tdx_quote"));
    let set: Value = serde_json::from_slice(&vector("tdx/dcapqvl_tdx_quote_collateral.json")).unwrap();
    let run = |more: &[&str]| appraise(&[&["--tdx-quote", &quote], more].concat());
    let with = |name: &str, set: &Value| run(&["--tdx-collateral", &desk.file(name, set.to_string())]);
    let expected = with("bare", &set);
    assert_eq!(expected.0, 0, "{}", expected.2);

    let string = |member: &str| set[member].as_str().unwrap();
    let answer = |within: &str, document: &str, signature: &str| {
        format!(r#"{{"{within}":{},"signature":"{}"}}"#, string(document), string(signature))
    };
    let tcb_info = answer("tcbInfo", "tcb_info", "tcb_info_signature");
    let qe_identity = answer("enclaveIdentity", "qe_identity", "qe_identity_signature");
    let mut whole = set.clone();
    (whole["tcb_info"], whole["qe_identity"]) = (tcb_info.clone().into(), qe_identity.clone().into());
    let mut without = whole.clone();
    for signature in ["tcb_info_signature", "qe_identity_signature"] {
        without.as_object_mut().unwrap().remove(signature);
    }
    let mut lists = set.clone();
    for list in ["pck_crl", "root_ca_crl"] {
        lists[list] = STANDARD.encode(unhex(string(list))).into();
    }
    for (name, form) in [
        ("whole", &whole),
        ("without", &without),
        ("lists", &lists),
        ("wrapped", &json!({"quote_collateral": set})),
    ] {
        let (code, rows, told) = with(name, form);
        assert_eq!((code, &rows), (0, &expected.1), "{name}: {told}");
    }

    // A file for each answer, chains as the headers have them, lists as lists.
    let encoded = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => out.push(byte.into()),
                _ => write!(out, "%{byte:02X}").unwrap(),
            }
            out
        })
    };
    let files = [
        desk.file("tcb", &tcb_info),
        desk.file("qe", &qe_identity),
        desk.file("tcb_chain", encoded(string("tcb_info_issuer_chain"))),
        desk.file("qe_chain", string("qe_identity_issuer_chain")),
        desk.file("pck_chain", encoded(string("pck_crl_issuer_chain"))),
    ];
    let mut args: Vec<&str> = files.iter().flat_map(|file| ["--tdx-collateral", file]).collect();
    let lists = ["pck_crl", "root_ca_crl"].map(|list| desk.file(list, unhex(string(list))));
    args.extend(lists.iter().flat_map(|file| ["--crl", file]));
    let (code, rows, told) = run(&args);
    assert_eq!((code, &rows), (0, &expected.1), "{told}");
    // Two that differ are two.
    let other = desk.file("other", string("pck_crl_issuer_chain"));
    args.extend(["--tdx-collateral", &other, "--tdx-collateral", &files[0]]);
    assert_eq!(run(&args).0, 0, "the same once more");
    let mut changed = tcb_info.into_bytes();
    changed.push(b'\n');
    let changed = desk.file("changed", changed);
    args.extend(["--tdx-collateral", &changed]);
    let (code, _, told) = run(&args);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("each of Intel's answers once"), "{told}");
}

#[test]
fn a_devices_evidence_and_a_manifest() {
    let desk = Desk::new("device");
    let report = unhex(&text("nvidia/device/hopperAttestationReport.txt"));
    let chain = text("nvidia/device/hopperCertChain.txt");
    let nonce = hex(&report[4..36]);
    let chain_file = desk.file("chain", &chain);
    let expected = appraise(&["--gpu-report", &desk.file("report", &report), "--gpu-certs", &chain_file]);
    assert_eq!(expected.0, 0, "{}", expected.2);
    let (report64, chain64) = (STANDARD.encode(&report), STANDARD.encode(&chain));
    let both = [
        "--gpu-report",
        &desk.file("report.b64", &report64),
        "--gpu-certs",
        &desk.file("chain.b64", &chain64),
    ];
    assert_eq!(appraise(&both).1, expected.1);

    let run = |name: &str, evidence: &Value| {
        appraise(&["--gpu-evidence", &desk.file(name, evidence.to_string()), "--nonce", &nonce])
    };
    let entry = json!({"certificate": chain64, "evidence": report64, "arch": "HOPPER"});
    let named = {
        let mut named = entry.clone();
        named["nonce"] = nonce.clone().into();
        named
    };
    let expected = run("named", &json!([named]));
    assert_eq!(expected.0, 0, "{}", expected.2);
    let request = json!({"nonce": nonce, "evidence_list": [entry], "arch": "HOPPER"});
    for (name, evidence) in [("list", &json!([entry])), ("request", &request)] {
        let (code, rows, told) = run(name, evidence);
        assert_eq!((code, &rows), (0, &expected.1), "{name}: {told}");
    }
    let mut other = request.clone();
    other["evidence_list"][0]["arch"] = "BLACKWELL".into();
    let (code, _, told) = run("other", &other);
    assert_eq!(code, 1, "{told}");
    other["arch"] = "BLACKWELL".into();
    let (code, rows, told) = run("other", &other);
    assert_eq!(code, 3, "{told}");
    assert!(rows.iter().any(|row| row.contains("\"GPU-07\" \"fail\"")), "{rows:?}");

    let rim = vector("nvidia/rim/nvat_NV_GPU_DRIVER_GH100_550.144.03.xml");
    let alone = |name: &str, content: &[u8]| appraise(&["--rim", &desk.file(name, content)]);
    let expected = alone("rim", &rim);
    assert!(expected.1.iter().any(|row| row.contains("RIM-03")), "{}", expected.2);
    let rim64 = STANDARD.encode(&rim);
    let service =
        json!({"id": "NV_GPU_DRIVER_GH100_550.144.03", "rim": rim64, "rim_format": "TCG"}).to_string();
    for (name, content) in [("rim.b64", &rim64), ("rim.json", &service)] {
        assert_eq!(alone(name, content.as_bytes()).1, expected.1, "{name}");
    }
    assert_eq!(alone("rim.json", br#"{"rim":"!"}"#).0, 1);
}

#[test]
fn lists_and_answers_are_told_by_their_form() {
    let desk = Desk::new("form");
    let certificate = desk.file("certificate", vector("snp/virtee_milan_vcek.der"));
    let list = desk.file("list", vector("minted/good.crl"));
    let answer = desk.file("answer", vector("nvidia/minted/good.der"));
    let chain = format!("{VECTORS}snp/ask_ark_milan.pem");
    let with =
        |flag: &str, file: &str| appraise(&["--vcek", &certificate, "--cert-chain", &chain, flag, file]);
    assert_eq!((with("--crl", &list).0, with("--ocsp", &answer).0), (0, 0));
    for (flag, file) in
        [("--crl", &certificate), ("--crl", &answer), ("--ocsp", &certificate), ("--ocsp", &list)]
    {
        let (code, _, told) = with(flag, file);
        assert_eq!(code, 1, "{flag}: {told}");
        assert!(told.contains("E_SYNTAX"), "{told}");
    }
}
