//! TCB info of the PCS, version 3, id TDX: members in the order in which the PCS writes and signs them.

use serde::Serialize;

use super::sgx::{self, FMSPC, PCE_ID, PCE_SVN};
use super::text::{time, upper_hex};

/// Status of a level, as the PCS writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TcbStatus {
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded,
    Revoked,
}

/// The signed document.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TcbInfo {
    pub id: String,
    pub version: u8,
    /// Unix seconds.
    #[serde(serialize_with = "time")]
    pub issue_date: u64,
    /// Unix seconds.
    #[serde(serialize_with = "time")]
    pub next_update: u64,
    #[serde(serialize_with = "upper_hex")]
    pub fmspc: [u8; 6],
    #[serde(serialize_with = "upper_hex")]
    pub pce_id: [u8; 2],
    pub tcb_type: u32,
    pub tcb_evaluation_data_number: u32,
    pub tdx_module: ModuleSigner,
    pub tdx_module_identities: Vec<ModuleIdentity>,
    pub tcb_levels: Vec<TcbLevel>,
}

/// Who must have signed a TDX module of version 0, and its attributes.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleSigner {
    #[serde(serialize_with = "upper_hex")]
    pub mrsigner: [u8; 48],
    #[serde(serialize_with = "upper_hex")]
    pub attributes: [u8; 8],
    #[serde(serialize_with = "upper_hex")]
    pub attributes_mask: [u8; 8],
}

/// The same for one later major version, with its levels.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleIdentity {
    /// `TDX_` and the major version in hex.
    pub id: String,
    #[serde(flatten)]
    pub signer: ModuleSigner,
    pub tcb_levels: Vec<IsvLevel>,
}

/// One level of a TDX module or of the quoting enclave, by its own security version.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IsvLevel {
    pub tcb: IsvTcb,
    /// Unix seconds.
    #[serde(serialize_with = "time")]
    pub tcb_date: u64,
    pub tcb_status: TcbStatus,
    #[serde(rename = "advisoryIDs", skip_serializing_if = "Vec::is_empty")]
    pub advisory_ids: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct IsvTcb {
    pub isvsvn: u16,
}

/// One level of the platform.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TcbLevel {
    pub tcb: PlatformTcb,
    /// Unix seconds.
    #[serde(serialize_with = "time")]
    pub tcb_date: u64,
    pub tcb_status: TcbStatus,
    #[serde(rename = "advisoryIDs", skip_serializing_if = "Vec::is_empty")]
    pub advisory_ids: Vec<String>,
}

/// Least versions of a platform's components.
#[derive(Debug, Clone, Serialize)]
pub struct PlatformTcb {
    #[serde(rename = "sgxtcbcomponents")]
    pub sgx: [Component; 16],
    pub pcesvn: u16,
    #[serde(rename = "tdxtcbcomponents")]
    pub tdx: [Component; 16],
}

/// One component's least version, with what it is where the PCS says so.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Component {
    pub svn: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
}

impl TcbInfo {
    /// One level for each status, best first, then of each TDX module; issued at `issue_date` for 30 days.
    pub fn genuine(issue_date: u64) -> Self {
        let signer = ModuleSigner { mrsigner: [0; 48], attributes: [0; 8], attributes_mask: [0xff; 8] };
        let module = |major: u8, tcb_levels| ModuleIdentity {
            id: format!("TDX_{major:02X}"),
            signer: signer.clone(),
            tcb_levels,
        };
        let isv = |isvsvn, status| IsvLevel::of(isvsvn, status);
        Self {
            id: "TDX".to_owned(),
            version: 3,
            issue_date,
            next_update: issue_date + LIFETIME_S,
            fmspc: FMSPC,
            pce_id: PCE_ID,
            tcb_type: 0,
            tcb_evaluation_data_number: EVALUATION,
            tdx_module: signer.clone(),
            tdx_module_identities: vec![
                module(3, vec![isv(3, TcbStatus::UpToDate)]),
                module(
                    1,
                    vec![
                        isv(u16::from(MODULE_SVN), TcbStatus::UpToDate),
                        isv(4, TcbStatus::OutOfDate),
                        isv(2, TcbStatus::Revoked),
                    ],
                ),
            ],
            tcb_levels: STATUSES.into_iter().map(TcbLevel::of).collect(),
        }
    }
}

impl IsvLevel {
    pub(super) fn of(isvsvn: u16, tcb_status: TcbStatus) -> Self {
        Self {
            tcb: IsvTcb { isvsvn },
            tcb_date: tcb_date(tcb_status),
            tcb_status,
            advisory_ids: advisories(tcb_status),
        }
    }
}

impl TcbLevel {
    fn of(tcb_status: TcbStatus) -> Self {
        Self {
            tcb: PlatformTcb {
                sgx: labelled(sgx::component_svns(tcb_status), &SGX_LABELS),
                pcesvn: PCE_SVN,
                tdx: labelled(TDX_SVNS, &TDX_LABELS),
            },
            tcb_date: tcb_date(tcb_status),
            tcb_status,
            advisory_ids: advisories(tcb_status),
        }
    }
}

fn labelled(svns: [u8; 16], labels: &[Label]) -> [Component; 16] {
    let mut components = svns.map(|svn| Component { svn, category: None, kind: None });
    for (at, category, kind) in labels {
        if let Some(component) = components.get_mut(*at) {
            (component.category, component.kind) = (Some(*category), *kind);
        }
    }
    components
}

fn tcb_date(status: TcbStatus) -> u64 {
    match status {
        TcbStatus::UpToDate | TcbStatus::SWHardeningNeeded => NEW_DATE_S,
        TcbStatus::ConfigurationNeeded
        | TcbStatus::ConfigurationAndSWHardeningNeeded
        | TcbStatus::OutOfDate
        | TcbStatus::OutOfDateConfigurationNeeded
        | TcbStatus::Revoked => OLD_DATE_S,
    }
}

fn advisories(status: TcbStatus) -> Vec<String> {
    match status {
        TcbStatus::UpToDate => Vec::new(),
        TcbStatus::SWHardeningNeeded => vec![HARDENING_ADVISORY.to_owned()],
        TcbStatus::ConfigurationNeeded
        | TcbStatus::ConfigurationAndSWHardeningNeeded
        | TcbStatus::OutOfDate
        | TcbStatus::OutOfDateConfigurationNeeded
        | TcbStatus::Revoked => vec!["INTEL-SA-01036".to_owned(), "INTEL-SA-01099".to_owned()],
    }
}

/// Place, category, type.
type Label = (usize, &'static str, Option<&'static str>);

const SGX_LABELS: [Label; 7] = [
    (0, "BIOS", Some("Early Microcode Update")),
    (1, "OS/VMM", Some("SGX Late Microcode Update")),
    (2, "OS/VMM", Some("TXT SINIT")),
    (3, "BIOS", None),
    (4, "BIOS", None),
    (5, "BIOS", None),
    (7, "OS/VMM", Some("SEAMLDR ACM")),
];
const TDX_LABELS: [Label; 3] = [
    (0, "OS/VMM", Some("TDX Module")),
    (1, "OS/VMM", Some("TDX Module")),
    (2, "OS/VMM", Some("TDX Late Microcode Update")),
];
/// Least TEE_TCB_SVN of every level.
const TDX_SVNS: [u8; 16] = [5, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Every status, best first: the order of the levels.
pub const STATUSES: [TcbStatus; 7] = [
    TcbStatus::UpToDate,
    TcbStatus::SWHardeningNeeded,
    TcbStatus::ConfigurationNeeded,
    TcbStatus::ConfigurationAndSWHardeningNeeded,
    TcbStatus::OutOfDate,
    TcbStatus::OutOfDateConfigurationNeeded,
    TcbStatus::Revoked,
];

/// The one advisory of the level `SWHardeningNeeded`.
pub const HARDENING_ADVISORY: &str = "INTEL-SA-00837";
/// tcbEvaluationDataNumber of every genuine document.
pub const EVALUATION: u32 = 19;
/// Least security version of an up-to-date TDX module of major version 1.
pub const MODULE_SVN: u8 = 7;
/// How long a document of the PCS holds.
pub(super) const LIFETIME_S: u64 = 30 * 86_400;
/// 2026-05-13.
const NEW_DATE_S: u64 = 1_778_630_400;
/// 2024-11-13.
const OLD_DATE_S: u64 = 1_731_456_000;
