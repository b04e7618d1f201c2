//! Claims about NVIDIA devices under the names of NVIDIA's own attestation service (NRAS, claims version 3).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::chain::Revocation;
use crate::checks::{CheckOutcome, Verdict};
use crate::evidence::DeviceKind;
use crate::policy::Architecture;
use crate::result::DeviceFacts;
use crate::trace::Submod;

/// Boolean claims of a GPU: name without its prefix, and the checks that must have passed.
const GPU: Names = Names {
    prefix: "x-nvidia-gpu-",
    flags: &[
        ("attestation-report-parsed", &["GPU-01", "GPU-02"]),
        ("attestation-report-signature-verified", &["GPU-04"]),
        ("attestation-report-nonce-match", &["GPU-04", "BND-05"]),
        ("attestation-report-cert-chain-fwid-match", &["GPU-05"]),
        ("arch-check", &["GPU-07"]),
        ("driver-rim-fetched", &["GPU-09"]),
        ("driver-rim-version-match", &["GPU-09"]),
        ("driver-rim-schema-validated", &["RIM-01", "RIM-02"]),
        ("driver-rim-signature-verified", &["RIM-03"]),
        ("driver-rim-measurements-available", &["GPU-12"]),
        ("vbios-rim-fetched", &["GPU-09"]),
        ("vbios-rim-version-match", &["GPU-09"]),
        ("vbios-rim-schema-validated", &["RIM-01", "RIM-02"]),
        ("vbios-rim-signature-verified", &["RIM-03"]),
        ("vbios-rim-measurements-available", &["GPU-12"]),
        ("vbios-index-no-conflict", &["GPU-10"]),
    ],
    chains: &[
        ("attestation-report-cert-chain", "GPU-03"),
        ("driver-rim-cert-chain", "RIM-04"),
        ("vbios-rim-cert-chain", "RIM-04"),
    ],
};

/// The same of a switch.
const SWITCH: Names = Names {
    prefix: "x-nvidia-switch-",
    flags: &[
        ("attestation-report-parsed", &["GPU-01", "GPU-02"]),
        ("attestation-report-signature-verified", &["GPU-04"]),
        ("attestation-report-nonce-match", &["GPU-04", "BND-05"]),
        ("attestation-report-cert-chain-fwid-match", &["GPU-05"]),
        ("arch-check", &["GPU-07"]),
        ("bios-rim-fetched", &["GPU-09"]),
        ("bios-rim-version-match", &["GPU-09"]),
        ("bios-rim-schema-validated", &["RIM-01", "RIM-02"]),
        ("bios-rim-signature-verified", &["RIM-03"]),
        ("bios-rim-measurements-available", &["GPU-12"]),
    ],
    chains: &[("attestation-report-cert-chain", "GPU-03"), ("bios-rim-cert-chain", "RIM-04")],
};

struct Names {
    prefix: &'static str,
    flags: &'static [(&'static str, &'static [&'static str])],
    chains: &'static [(&'static str, &'static str)],
}

/// What the verifier found of one device. A claim that no check shows is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DeviceFindings {
    #[serde(flatten)]
    flags: BTreeMap<String, bool>,
    #[serde(flatten)]
    chains: BTreeMap<String, CertChain>,
    /// Whether the measurements are those of the manifests.
    #[serde(skip_serializing_if = "Option::is_none")]
    measres: Option<&'static str>,
    /// Developer tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    dbgstat: Option<&'static str>,
}

/// State of one chain; `facts` hold no dates, so no date is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct CertChain {
    x_nvidia_cert_status: &'static str,
    x_nvidia_cert_ocsp_status: &'static str,
}

impl DeviceFindings {
    pub(super) fn of(facts: &DeviceFacts, trace: &[CheckOutcome]) -> Self {
        let (names, submod) = match facts.kind {
            DeviceKind::Gpu => (GPU, Submod::Gpu(facts.index)),
            DeviceKind::Switch => (SWITCH, Submod::Switch(facts.index)),
        };
        let view = View { trace, own: submod.to_string(), envelope: Submod::Envelope.to_string() };
        let named = |suffix: &str| format!("{}{suffix}", names.prefix);
        let flags = names.flags.iter().filter_map(|(suffix, ids)| Some((named(suffix), view.all(ids)?)));
        let chains = names.chains.iter().filter_map(|(suffix, id)| {
            let chain = CertChain {
                x_nvidia_cert_status: if view.all(&[id])? { "valid" } else { "invalid" },
                x_nvidia_cert_ocsp_status: match facts.revocation {
                    Revocation::Good { .. } => "good",
                    Revocation::Revoked { .. } => "revoked",
                    Revocation::Unknown { .. } => "unknown",
                },
            };
            Some((named(suffix), chain))
        });
        Self {
            flags: flags.collect(),
            chains: chains.collect(),
            measres: view.all(&["GPU-10"]).map(|same| if same { "success" } else { "fail" }),
            dbgstat: view.all(&["GPU-13"]).map(|off| if off { "disabled" } else { "enabled" }),
        }
    }
}

/// What the device itself signed.
pub(super) fn reported(facts: &DeviceFacts) -> BTreeMap<&'static str, String> {
    let mut claims = BTreeMap::from([
        ("ueid", decimal(facts.ueid.bytes())),
        ("hwmodel", model(facts.architecture).to_owned()),
    ]);
    match facts.kind {
        DeviceKind::Gpu => {
            claims.insert("x-nvidia-gpu-driver-version", facts.driver.clone());
            claims.insert("x-nvidia-gpu-vbios-version", facts.vbios.clone());
        }
        DeviceKind::Switch => {
            claims.insert("x-nvidia-switch-bios-version", facts.vbios.clone());
        }
    }
    claims
}

/// Generation; the service's own value, the leaf's common name, is not among the facts.
fn model(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Hopper => "Hopper",
        Architecture::Blackwell => "Blackwell",
        Architecture::Ls10 => "LS10",
    }
}

/// The checks that ran on one device.
struct View<'a> {
    trace: &'a [CheckOutcome],
    own: String,
    envelope: String,
}

impl View<'_> {
    /// True when all passed, false when one failed, else nothing.
    fn all(&self, ids: &[&str]) -> Option<bool> {
        let verdicts = ids.iter().map(|id| {
            let mut rows = self.trace.iter();
            let row =
                rows.find(|row| row.check == *id && (row.submod == self.own || row.submod == self.envelope));
            row.map_or(Verdict::NotShown, |row| row.verdict)
        });
        verdicts
            .map(|verdict| match verdict {
                Verdict::Pass => Some(true),
                Verdict::Fail => Some(false),
                Verdict::Warning | Verdict::NotShown | Verdict::NotApplicable => None,
            })
            .reduce(|a, b| match (a, b) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            })
            .flatten()
    }
}

/// A big-endian number as decimal digits: how the service writes serial numbers.
fn decimal(bytes: &[u8]) -> String {
    // Digits, least significant first; 64 bytes make at most 155 of them.
    let mut digits = vec![0u8];
    for &byte in bytes {
        let mut carry = u16::from(byte);
        for digit in &mut digits {
            let value = u16::from(*digit) * 256 + carry;
            *digit = (value % 10) as u8;
            carry = value / 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}

#[cfg(test)]
mod tests;
