use super::*;
use crate::Hex;
use crate::checks::{CHECKS, CheckId, Part};
use crate::policy::{GpuMode, PlatformId};

fn facts(kind: DeviceKind) -> DeviceFacts {
    let (architecture, driver, mode) = match kind {
        DeviceKind::Gpu => (Architecture::Hopper, "550.90.07", Some(GpuMode::Spt)),
        DeviceKind::Switch => (Architecture::Ls10, "", None),
    };
    DeviceFacts {
        device_key: None,
        kind,
        index: 0,
        architecture,
        ueid: PlatformId::from(Hex([1, 0])),
        driver: driver.to_owned(),
        vbios: "96.00.9F.00.01".to_owned(),
        mode,
        matched: 12,
        revocation: Revocation::Good { as_of: 5 },
    }
}

fn passed(kind: DeviceKind) -> Vec<CheckOutcome> {
    let outcome = |check: CheckId, submod: String| CheckOutcome {
        check,
        submod,
        verdict: Verdict::Pass,
        expected: String::new(),
        got: String::new(),
    };
    let own = CHECKS.iter().filter(|row| row.id.covers(kind.part()));
    let envelope = CHECKS.iter().filter(|row| row.id.covers(Part::Envelope));
    let own = own.map(|row| outcome(row.id, kind.submod(0).to_string()));
    own.chain(envelope.map(|row| outcome(row.id, "envelope".to_owned()))).collect()
}

/// Serial numbers as the service wrote them, against the bytes of the same numbers.
#[test]
fn serial_numbers_are_decimal() {
    for (bytes, text) in [
        (&[][..], "0"),
        (&[0], "0"),
        (&[9], "9"),
        (&[1, 0], "256"),
        (&[0, 0xff, 0xff], "65535"),
        (&[0xff; 8], "18446744073709551615"),
        (
            &[
                0x53, 0xc2, 0x2b, 0xa1, 0x5e, 0x5d, 0x68, 0x08, 0x82, 0x82, 0xda, 0x07, 0x4e, 0xd9, 0xfb,
                0x37, 0xaa, 0x58, 0x57, 0x71,
            ],
            "478176379286082186618948445787393647364802107249",
        ),
    ] {
        assert_eq!(decimal(bytes), text);
    }
    assert_eq!(decimal(&[0xff; 64]).len(), 155);
}

#[test]
fn passed_checks_are_the_service_s_claims() {
    let gpu = serde_json::to_value(DeviceFindings::of(&facts(DeviceKind::Gpu), &passed(DeviceKind::Gpu)));
    let gpu = gpu.unwrap_or_default();
    assert_eq!(gpu["x-nvidia-gpu-attestation-report-signature-verified"], true);
    assert_eq!(gpu["x-nvidia-gpu-vbios-index-no-conflict"], true);
    assert_eq!(gpu["x-nvidia-gpu-driver-rim-cert-chain"]["x-nvidia-cert-status"], "valid");
    assert_eq!(gpu["x-nvidia-gpu-driver-rim-cert-chain"]["x-nvidia-cert-ocsp-status"], "good");
    assert_eq!((&gpu["measres"], &gpu["dbgstat"]), (&"success".into(), &"disabled".into()));
    assert_eq!(gpu.as_object().map(serde_json::Map::len), Some(16 + 3 + 2));
    let switch =
        serde_json::to_value(DeviceFindings::of(&facts(DeviceKind::Switch), &passed(DeviceKind::Switch)));
    assert_eq!(switch.unwrap_or_default()["x-nvidia-switch-bios-rim-fetched"], true);
}

#[test]
fn what_is_not_shown_is_not_claimed_and_what_failed_is_false() {
    let of = |id: &str, verdict| {
        let mut trace = passed(DeviceKind::Gpu);
        trace.iter_mut().filter(|row| row.check == *id).for_each(|row| row.verdict = verdict);
        serde_json::to_value(DeviceFindings::of(&facts(DeviceKind::Gpu), &trace)).unwrap_or_default()
    };
    let absent = of("GPU-05", Verdict::NotApplicable);
    assert!(absent.get("x-nvidia-gpu-attestation-report-cert-chain-fwid-match").is_none());
    let failed = of("GPU-10", Verdict::Fail);
    assert_eq!(failed["measres"], "fail");
    assert_eq!(failed["x-nvidia-gpu-vbios-index-no-conflict"], false);
    let unbound = of("BND-05", Verdict::Fail);
    assert_eq!(unbound["x-nvidia-gpu-attestation-report-nonce-match"], false);
    assert_eq!(unbound["x-nvidia-gpu-attestation-report-signature-verified"], true);
}

#[test]
fn reported_claims() {
    let gpu = reported(&facts(DeviceKind::Gpu));
    assert_eq!(gpu["ueid"], "256");
    assert_eq!(gpu["x-nvidia-gpu-driver-version"], "550.90.07");
    let switch = reported(&facts(DeviceKind::Switch));
    assert_eq!(switch["x-nvidia-switch-bios-version"], "96.00.9F.00.01");
    assert_eq!(switch.len(), 3);
}

/// Names in the service's answers about an H100 (claims version 3) and an LS10.
const KNOWN: [(DeviceKind, &[&str]); 2] = [
    (
        DeviceKind::Gpu,
        &[
            "dbgstat",
            "eat_nonce",
            "exp",
            "hwmodel",
            "iat",
            "iss",
            "jti",
            "measres",
            "nbf",
            "oemid",
            "secboot",
            "ueid",
            "x-nvidia-attestation-warning",
            "x-nvidia-gpu-arch-check",
            "x-nvidia-gpu-attestation-report-cert-chain",
            "x-nvidia-gpu-attestation-report-cert-chain-fwid-match",
            "x-nvidia-gpu-attestation-report-nonce-match",
            "x-nvidia-gpu-attestation-report-parsed",
            "x-nvidia-gpu-attestation-report-signature-verified",
            "x-nvidia-gpu-driver-rim-cert-chain",
            "x-nvidia-gpu-driver-rim-fetched",
            "x-nvidia-gpu-driver-rim-measurements-available",
            "x-nvidia-gpu-driver-rim-schema-validated",
            "x-nvidia-gpu-driver-rim-signature-verified",
            "x-nvidia-gpu-driver-rim-version-match",
            "x-nvidia-gpu-driver-version",
            "x-nvidia-gpu-vbios-index-no-conflict",
            "x-nvidia-gpu-vbios-rim-cert-chain",
            "x-nvidia-gpu-vbios-rim-fetched",
            "x-nvidia-gpu-vbios-rim-measurements-available",
            "x-nvidia-gpu-vbios-rim-schema-validated",
            "x-nvidia-gpu-vbios-rim-signature-verified",
            "x-nvidia-gpu-vbios-rim-version-match",
            "x-nvidia-gpu-vbios-version",
        ],
    ),
    (
        DeviceKind::Switch,
        &[
            "dbgstat",
            "eat_nonce",
            "exp",
            "hwmodel",
            "iat",
            "iss",
            "jti",
            "measres",
            "nbf",
            "oemid",
            "secboot",
            "ueid",
            "x-nvidia-attestation-warning",
            "x-nvidia-switch-arch-check",
            "x-nvidia-switch-attestation-report-cert-chain",
            "x-nvidia-switch-attestation-report-cert-chain-fwid-match",
            "x-nvidia-switch-attestation-report-nonce-match",
            "x-nvidia-switch-attestation-report-parsed",
            "x-nvidia-switch-attestation-report-signature-verified",
            "x-nvidia-switch-bios-rim-cert-chain",
            "x-nvidia-switch-bios-rim-fetched",
            "x-nvidia-switch-bios-rim-measurements-available",
            "x-nvidia-switch-bios-rim-schema-validated",
            "x-nvidia-switch-bios-rim-signature-verified",
            "x-nvidia-switch-bios-rim-version-match",
            "x-nvidia-switch-bios-version",
        ],
    ),
];

#[test]
fn names_are_those_of_the_service() {
    for (kind, known) in KNOWN {
        let ours = serde_json::to_value(DeviceFindings::of(&facts(kind), &passed(kind))).unwrap_or_default();
        let names = ours.as_object().into_iter().flat_map(|claims| claims.keys().map(String::as_str));
        let names: Vec<_> = names.chain(reported(&facts(kind)).into_keys()).collect();
        for name in &names {
            assert!(known.contains(name), "{name}");
        }
        for name in known.iter().filter(|name| name.starts_with("x-nvidia-") && !names.contains(*name)) {
            assert_eq!(*name, "x-nvidia-attestation-warning", "not claimed");
        }
    }
}
