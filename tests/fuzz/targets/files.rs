//! NVIDIA's own file formats: reports in hex, and the JSON that its tools collect evidence in.

use tiltyard_attestation::evidence::EVIDENCE_MAX_BYTES;
use tiltyard_attestation::nvidia::files::{FILE_DEVICES_MAX, evidence, kind_of, report};
use tiltyard_attestation::nvidia::{DriverVersion, REPORT_MAX_BYTES, VbiosVersion};
use tiltyard_simulator::nvidia::formats::{evidence_json, report_txt};

use super::Target;
use super::ground::vector;
use super::spdm::DEVICES;

pub const TARGET: Target = Target {
    name: "files",
    run,
    seeds,
    costly,
    limit_bytes: EVIDENCE_MAX_BYTES,
    mutated_bytes: 32 * 1024,
    words: &[
        "\\\"arch\\\":\\\"HOPPER\\\"",
        "\\\"arch\\\":\\\"LS10\\\"",
        "\\\"evidence_list\\\":[",
        "\\\"certificate\\\":\\\"",
        "\\\"nonce\\\":\\\"",
        "\\\"version\\\":\\\"1.0\\\"",
        "\\\"claims_version\\\":",
        "550.90.07",
        "96.00.9F.00.01",
    ],
};

fn seeds() -> Vec<Vec<u8>> {
    let [one, board, _] = &DEVICES.sets;
    let list = evidence_json(&one.evidence).into_bytes();
    let request = serde_json::from_slice::<serde_json::Value>(&list).ok().and_then(|list| {
        let entry = list.get(0)?;
        let inner = serde_json::json!({
            "evidence": entry.get("evidence")?, "certificate": entry.get("certificate")?,
        });
        let request = serde_json::json!({
            "arch": entry.get("arch")?, "nonce": entry.get("nonce")?, "evidence_list": [inner],
        });
        Some(request.to_string().into_bytes())
    });
    let hex = report_txt(&board.evidence[8]).into_bytes();
    let short = [b"550.90.07".to_vec(), b"96.00.9F.00.01".to_vec(), b"[]".to_vec()];
    let genuine = vector("nvidia/device/hopperAttestationReport.txt");
    [list, hex, genuine].into_iter().chain(request).chain(short).collect()
}

/// A request whose every device would get a copy of a long nonce, and a list without end.
fn costly() -> Vec<Vec<u8>> {
    let device = r#"{"evidence":"","certificate":""}"#;
    let list = vec![device; 20_000].join(",");
    let nonce = "0".repeat(300_000);
    let request = format!(r#"{{"arch":"HOPPER","nonce":"{nonce}","evidence_list":[{list}]}}"#);
    vec![request.into_bytes(), vec![b'['; EVIDENCE_MAX_BYTES], vec![b'1'; 2 * REPORT_MAX_BYTES]]
}

fn run(data: &[u8]) {
    if let Ok(bytes) = report(data) {
        assert!(bytes.len() <= 2 * REPORT_MAX_BYTES + 2);
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(bytes == data || report(digits.as_bytes()).as_ref() == Ok(&bytes), "hex is read as hex");
    }
    if let Ok(devices) = evidence(data) {
        assert!(data.len() <= EVIDENCE_MAX_BYTES);
        assert!((1..=FILE_DEVICES_MAX).contains(&devices.len()));
        for device in devices {
            assert!(!device.certificates.is_empty(), "no device without a certificate");
            let _ = (device.kind(), kind_of(&device.report));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(version) = text.parse::<DriverVersion>() {
        assert_eq!(version.as_str(), text);
        assert!(version.is_at_least(&version));
    }
    if let Ok(version) = text.parse::<VbiosVersion>() {
        assert_eq!(version.to_string(), text.to_uppercase());
    }
}
