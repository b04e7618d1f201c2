//! The envelope of a guest on Intel.

use tiltyard_attestation::binding::{PresentedKeys, Runtime};
use tiltyard_attestation::evidence::{CpuEvidence, Evidence};
use tiltyard_attestation::{Hex, LaunchConfig};

use super::Guest;
use crate::intel::{self, Form, Issued, SimulatedTdx};

/// Everything that goes into one envelope and beside it, before it is signed.
///
/// REPORT_DATA and MRCONFIGID follow `runtime` and `config`, unless they are overridden; RTMR0..3 follow the log.
#[derive(Debug, Clone)]
pub struct TdxDraft {
    pub runtime: Runtime,
    /// Sent instead of the canonical bytes of `runtime`, and hashed instead of them.
    pub runtime_bytes: Option<Vec<u8>>,
    /// Canonical bytes of the launch configuration.
    pub config: Vec<u8>,
    pub keys: PresentedKeys,
    pub td: intel::Draft,
    pub report_data: Option<Hex<64>>,
    pub mrconfigid: Option<Hex<48>>,
}

/// An envelope with what Intel signed beside it.
#[derive(Debug, Clone)]
pub struct MintedTd {
    pub evidence: Evidence,
    pub issued: Issued,
}

/// The evidence of an honest `guest` on `machine` for a verifier's `nonce` at `now` (Unix seconds), after `edit`:
/// everything but what was changed still holds, and everything is signed last.
pub fn mint_tdx(
    machine: &SimulatedTdx,
    guest: &Guest,
    form: Form,
    nonce: Hex<32>,
    now: u64,
    edit: impl FnOnce(&mut TdxDraft),
) -> MintedTd {
    let mut draft = TdxDraft {
        runtime: guest.runtime(nonce),
        runtime_bytes: None,
        config: guest.config.to_bytes(),
        keys: guest.keys.clone(),
        td: machine.draft(form, now),
        report_data: None,
        mrconfigid: None,
    };
    draft.td.quote.report.mrtd = guest.measurement.0;
    edit(&mut draft);
    let runtime = draft.runtime_bytes.unwrap_or_else(|| draft.runtime.to_bytes());
    let report = &mut draft.td.quote.report;
    report.report_data = draft.report_data.unwrap_or_else(|| Runtime::report_data(&runtime)).0;
    report.mrconfigid = draft.mrconfigid.unwrap_or_else(|| LaunchConfig::d384(&draft.config)).0;
    let issued = machine.issue(&draft.td);
    let evidence = Evidence {
        runtime: runtime.into(),
        config: draft.config.into(),
        keys: draft.keys,
        cpu: CpuEvidence::Tdx {
            quote: issued.quote.clone().into(),
            event_log: issued.event_log.clone().into(),
        },
        devices: Vec::new(),
        boot: None,
    };
    MintedTd { evidence, issued }
}
