//! The envelope of a guest on AMD.

use tiltyard_attestation::binding::{PresentedKeys, Runtime};
use tiltyard_attestation::evidence::{CpuEvidence, DeviceEvidence, Evidence};
use tiltyard_attestation::{Hex, LaunchConfig};

use super::Guest;
use crate::{ReportFields, SimulatedPlatform};

/// Everything that goes into one envelope, before it is signed.
///
/// REPORT_DATA and HOST_DATA follow `runtime` and `config`, unless they are overridden.
#[derive(Debug, Clone)]
pub struct Draft {
    pub runtime: Runtime,
    /// Sent instead of the canonical bytes of `runtime`, and hashed instead of them.
    pub runtime_bytes: Option<Vec<u8>>,
    /// Canonical bytes of the launch configuration.
    pub config: Vec<u8>,
    pub keys: PresentedKeys,
    pub report: ReportFields,
    pub report_data: Option<Hex<64>>,
    pub host_data: Option<Hex<32>>,
    /// VCEK, ASK, ARK (or VLEK, ASVK, ARK), as a guest collects them from the certificate table.
    pub certificates: Vec<Vec<u8>>,
    pub devices: Vec<DeviceEvidence>,
}

/// The evidence of an honest `guest` on `platform`, report `version` 2 to 5, for a verifier's `nonce`.
pub fn mint_evidence(platform: &SimulatedPlatform, guest: &Guest, version: u32, nonce: Hex<32>) -> Evidence {
    mint_edited(platform, guest, version, nonce, |_| {})
}

/// The same after `edit`: everything but what was changed still holds, and the report is signed last.
pub fn mint_edited(
    platform: &SimulatedPlatform,
    guest: &Guest,
    version: u32,
    nonce: Hex<32>,
    edit: impl FnOnce(&mut Draft),
) -> Evidence {
    let mut draft = draft(platform, guest, version, nonce);
    edit(&mut draft);
    let runtime = draft.runtime_bytes.unwrap_or_else(|| draft.runtime.to_bytes());
    let mut report = draft.report;
    report.report_data = draft.report_data.unwrap_or_else(|| Runtime::report_data(&runtime)).0;
    report.host_data = draft.host_data.unwrap_or_else(|| LaunchConfig::d256(&draft.config)).0;
    Evidence {
        runtime: runtime.into(),
        config: draft.config.into(),
        keys: draft.keys,
        cpu: CpuEvidence::Snp {
            report: platform.report(&report).into(),
            certificates: draft.certificates.into_iter().map(Into::into).collect(),
        },
        devices: draft.devices,
        boot: None,
    }
}

fn draft(platform: &SimulatedPlatform, guest: &Guest, version: u32, nonce: Hex<32>) -> Draft {
    let mut report = platform.fields(version);
    report.measurement = guest.measurement.0;
    Draft {
        runtime: guest.runtime(nonce),
        runtime_bytes: None,
        config: guest.config.to_bytes(),
        keys: guest.keys.clone(),
        report,
        report_data: None,
        host_data: None,
        certificates: [platform.certificates(), vec![platform.ark().to_vec()]].concat(),
        devices: Vec::new(),
    }
}
