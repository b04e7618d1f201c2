//! The vendors' file formats, written for other programs: `tests/peers/nvidia.py` gives them to NVIDIA's verifier.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tiltyard_simulator::nvidia::formats;

use crate::sets;

#[test]
fn every_file_of_every_set() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("simulated_nvidia");
    for ((name, set), count) in
        sets().iter().zip([2 + 1 + 2 + 6 + 2, 16 + 1 + 2 + 13 + 2, 24 + 2 + 3 + 21 + 2])
    {
        let files = formats::files(set);
        assert_eq!(files.len(), count, "{name}");
        std::fs::create_dir_all(folder.join(name)).expect("folder");
        for (file, bytes) in files {
            std::fs::write(folder.join(name).join(file), bytes).expect("file");
        }
    }
}

#[test]
fn evidence_has_the_collectors_shape() {
    for (name, set) in sets() {
        let text = formats::evidence_json(&set.evidence);
        let Ok(Value::Array(rows)) = serde_json::from_str(&text) else { panic!("{name}: an array") };
        assert_eq!(rows.len(), set.evidence.len());
        for (row, one) in rows.iter().zip(&set.evidence) {
            let members: Vec<&String> = row.as_object().expect("object").keys().collect();
            assert_eq!(members, ["arch", "certificate", "evidence", "nonce"]);
            let decoded =
                |member: &str| STANDARD.decode(row[member].as_str().expect("text")).expect("base64");
            assert_eq!(decoded("evidence"), one.report);
            let pem = String::from_utf8(decoded("certificate")).expect("PEM");
            assert_eq!(pem, formats::chain_txt(&one.chain) + "\n");
            assert_eq!(pem.matches("-----BEGIN CERTIFICATE-----\n").count(), 5);
            assert_eq!(
                row["nonce"],
                set.expected.nonce.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
            );
        }
        let first = text.lines().take(3).collect::<Vec<_>>().join("\n");
        let arch =
            ["HOPPER", "BLACKWELL", "HOPPER"][sets().iter().position(|(one, _)| one == name).expect("set")];
        assert_eq!(first, format!("[\n  {{\n    \"arch\": \"{arch}\","));
        assert!(text.ends_with("\n  }\n]\n"));
    }
}

#[test]
fn text_files_have_the_genuine_lines() {
    let one = &sets()[0].1.evidence[0];
    let report = formats::report_txt(one);
    assert!(report.starts_with("11e001ff") && report.len() == 2 * 4117);
    assert!(report.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
    let chain = formats::chain_txt(&one.chain);
    assert!(
        chain.ends_with("=\n-----END CERTIFICATE-----") || chain.ends_with("\n-----END CERTIFICATE-----")
    );
    assert!(chain.lines().all(|line| line.len() <= 64));
}
