//! NVIDIA's file formats, and what is none of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tiltyard_attestation::nvidia::files::{self, FileError};
use tiltyard_attestation::nvidia::{PEM_MAX_BYTES, PemError};
use tiltyard_attestation::policy::Architecture;

use crate::support::own;

const NONCE: &str = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";

fn entry() -> Value {
    let report = files::report(&own("hopperAttestationReport.txt")).unwrap();
    json!({
        "arch": "HOPPER",
        "nonce": NONCE,
        "evidence": STANDARD.encode(report),
        "certificate": STANDARD.encode(own("hopperCertChain.txt")),
    })
}

fn read(value: &Value) -> Result<Vec<files::DeviceFile>, FileError> {
    files::evidence(value.to_string().as_bytes())
}

#[test]
fn reports_in_hex_or_binary() {
    let text = own("hopperAttestationReport.txt");
    let report = files::report(&text).unwrap();
    assert_eq!(report.len(), 4117);
    assert_eq!(files::report(&report), Ok(report.clone()));
    assert_eq!(files::report(&[&text[..], b"\r\n"].concat()), Ok(report.clone()));
    assert_eq!(files::report(&text.to_ascii_uppercase()), Ok(report));
    assert_eq!(files::report(b"11e0 01ff"), Err(FileError::ReportText { at: 4 }));
    assert_eq!(files::report(b" 11e0"), Err(FileError::ReportText { at: 0 }));
    assert_eq!(files::report(b"0x11e0"), Err(FileError::ReportText { at: 1 }));
    assert_eq!(files::report(b"11e"), Err(FileError::ReportDigits { got: 3 }));
    assert_eq!(files::report(b""), Err(FileError::ReportDigits { got: 0 }));
    let limit = 2 * 8192 + 2;
    let got = limit + 1;
    assert_eq!(
        files::report(&vec![b'1'; got]),
        Err(FileError::TooLarge { what: "report bytes", limit, got })
    );
}

#[test]
fn lists_of_entries_old_and_new() {
    let devices = read(&json!([entry()])).unwrap();
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0].architecture, Architecture::Hopper);
    assert_eq!(devices[0].nonce.map(|nonce| nonce.to_string()).as_deref(), Some(NONCE));
    assert_eq!((devices[0].report.len(), devices[0].certificates.len()), (4117, 5));
    let mut new = entry();
    new["version"] = "1.0".into();
    new["driver_version"] = "550.90.07".into();
    new["vbios_version"] = "96.00.9F.00.01".into();
    new["nonce"] = NONCE.to_uppercase().into();
    assert_eq!(read(&json!([new])).unwrap(), devices);
}

#[test]
fn requests_to_the_remote_service() {
    let device = entry();
    let list = json!([{"evidence": device["evidence"], "certificate": device["certificate"]}]);
    let request = json!({"arch": "HOPPER", "nonce": NONCE, "evidence_list": list, "claims_version": "3.0"});
    assert_eq!(read(&request).unwrap(), read(&json!([device])).unwrap());
}

/// Each device gets a copy of the request's nonce: 20,000 of a nonce of 300,000 digits would be 6 GB.
#[test]
fn a_request_for_too_many_devices_is_refused_before_they_are_made() {
    let device = json!({"evidence": "", "certificate": ""});
    let list = vec![device; 20_000];
    let request = json!({"arch": "HOPPER", "nonce": "0".repeat(300_000), "evidence_list": list});
    assert_eq!(read(&request), Err(FileError::TooLarge { what: "devices", limit: 16, got: 20_000 }));
}

#[test]
fn other_shapes_are_refused_with_their_place() {
    let place = |bytes: &[u8]| match files::evidence(bytes) {
        Err(FileError::Shape { line, expected, .. }) => Some((line, expected)),
        _ => None,
    };
    assert_eq!(place(b""), Some((1, "a list of entries, or a request with evidence_list")));
    assert_eq!(place(b"\"text\""), Some((1, "a list of entries, or a request with evidence_list")));
    assert_eq!(place(b"[\n{"), Some((2, "JSON")));
    assert_eq!(place(b"[] x"), Some((1, "JSON")));
    let data = Some((1, "the known members, each once and of its type"));
    assert_eq!(place(br#"{"evidences": []}"#), data);
    assert_eq!(place(br#"[{"arch": "HOPPER"}]"#), data);
    assert_eq!(place(br#"[{"arch": "HOPPER", "arch": "HOPPER"}]"#), data);
    let mut unknown = entry();
    unknown["extra"] = 1.into();
    assert_eq!(place(json!([unknown]).to_string().as_bytes()), data);
    let mut number = entry();
    number["nonce"] = 1.into();
    assert_eq!(place(json!([number]).to_string().as_bytes()), data);
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert!(matches!(files::evidence(&deep), Err(FileError::Shape { .. })));
    assert_eq!(files::evidence(b"[]"), Err(FileError::NoDevice));
}

#[test]
fn members_of_another_form() {
    let with = |member: &str, value: &str| {
        let mut changed = entry();
        changed[member] = value.into();
        match read(&json!([entry(), changed])) {
            Err(FileError::Member { at: 1, member, .. }) => member,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with("arch", "AMPERE"), "arch");
    assert_eq!(with("arch", "hopper"), "arch");
    assert_eq!(with("version", "2.0"), "version");
    assert_eq!(with("nonce", &NONCE[2..]), "nonce");
    assert_eq!(with("nonce", &format!("0x{}", &NONCE[2..])), "nonce");
    assert_eq!(with("evidence", "EeAB*w=="), "evidence");
    assert_eq!(with("evidence", "EeAB/w"), "evidence");
    assert_eq!(with("certificate", "x"), "certificate");
}

#[test]
fn limits() {
    let many = vec![entry(); 17];
    assert_eq!(read(&json!(many)), Err(FileError::TooLarge { what: "devices", limit: 16, got: 17 }));
    assert_eq!(read(&json!(vec![entry(); 16])).map(|devices| devices.len()), Ok(16));
    let limit = 1024 * 1024;
    let big = vec![b' '; limit + 1];
    assert_eq!(
        files::evidence(&big),
        Err(FileError::TooLarge { what: "evidence bytes", limit, got: limit + 1 })
    );
}

fn pem(edit: impl FnOnce(String) -> String) -> Result<usize, PemError> {
    let text = edit(String::from_utf8(own("hopperCertChain.txt")).unwrap());
    let mut changed = entry();
    changed["certificate"] = STANDARD.encode(text).into();
    match read(&json!([changed])) {
        Ok(devices) => Ok(devices[0].certificates.len()),
        Err(FileError::Certificates { at: 0, source }) => Err(source),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn chains_in_pem() {
    assert_eq!(pem(|text| text), Ok(5));
    assert_eq!(pem(|text| text + "\n\n"), Ok(5));
    assert_eq!(pem(|text| text.replace('\n', "\r\n")), Ok(5));
    assert_eq!(pem(|_| String::new()), Err(PemError::None));
    let begin = "-----BEGIN CERTIFICATE-----";
    assert_eq!(pem(|text| format!("subject\n{text}")), Err(PemError::Line { line: 1, expected: begin }));
    assert_eq!(pem(|text| text + "\nx"), Err(PemError::Line { line: text_lines() + 1, expected: begin }));
    assert!(matches!(pem(|text| text.replacen("\nMII", "\n\nMII", 1)), Err(PemError::Line { line: 2, .. })));
    assert!(matches!(
        pem(|text| text.replacen("CERTIFICATE", "X509", 1)),
        Err(PemError::Line { line: 1, .. })
    ));
    assert!(matches!(pem(|text| text[..text.len() - 30].to_owned()), Err(PemError::Line { .. })));
    assert!(matches!(pem(|text| text.replacen("\nMII", "\n-II", 1)), Err(PemError::Base64 { .. })));
    assert_eq!(
        pem(|text| format!("{text}\u{e4}")),
        Err(PemError::Text { at: own("hopperCertChain.txt").len() })
    );
    let one = format!("{begin}\nAAAA\n-----END CERTIFICATE-----\n");
    assert_eq!(pem(|_| one.repeat(8)), Ok(8));
    assert_eq!(pem(|_| one.repeat(9)), Err(PemError::TooMany { limit: 8 }));
    let got = PEM_MAX_BYTES + 1;
    assert_eq!(pem(|_| "\n".repeat(got)), Err(PemError::TooLarge { limit: PEM_MAX_BYTES, got }));
}

fn text_lines() -> usize {
    String::from_utf8(own("hopperCertChain.txt")).unwrap().lines().count()
}
