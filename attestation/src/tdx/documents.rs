//! The two documents that Intel signs: TCB info of a platform family, identity of the quoting enclave (PCS API
//! v4, TCB Info V3 and Enclave Identity V2).

use serde::Deserialize;

use super::json::{self, Date, HexText, JsonError};
use super::qe::QeReport;
use crate::policy::TcbStatus;

/// Components of one TCB level, SGX or TDX.
pub(super) const COMPONENTS: usize = 16;
/// Most TCB levels, module identities or advisories of one list.
const ROWS_MAX: usize = 256;
/// Longest name of an advisory or a module, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// TCB info of one platform family, for TDX.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TcbInfo {
    id: String,
    version: u32,
    pub(super) issue_date: Date,
    pub(super) next_update: Date,
    pub(super) fmspc: HexText<6>,
    pub(super) pce_id: HexText<2>,
    tcb_type: u32,
    #[serde(rename = "tcbEvaluationDataNumber")]
    pub(super) evaluation: u32,
    /// What TDX 1.0 modules must be.
    pub(super) tdx_module: ModuleSigner,
    /// What modules of later major versions must be.
    #[serde(rename = "tdxModuleIdentities", default)]
    pub(super) modules: Vec<ModuleIdentity>,
    /// Best first.
    #[serde(rename = "tcbLevels")]
    pub(super) levels: Vec<Level<PlatformTcb>>,
}

/// Who may have signed a module, and what its attributes must be where the mask is set.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModuleSigner {
    pub(super) mrsigner: HexText<48>,
    pub(super) attributes: HexText<8>,
    pub(super) attributes_mask: HexText<8>,
}

/// One major version of the TDX module.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModuleIdentity {
    /// `TDX_` and the major version in hex.
    id: String,
    #[serde(flatten)]
    pub(super) signer: ModuleSigner,
    /// Best first.
    #[serde(rename = "tcbLevels")]
    pub(super) levels: Vec<Level<EnclaveTcb>>,
}

/// One level, with the status of what reaches it and no better one.
#[derive(Debug, Deserialize)]
pub(super) struct Level<T> {
    pub(super) tcb: T,
    #[serde(rename = "tcbStatus")]
    pub(super) status: TcbStatus,
    #[serde(rename = "advisoryIDs", default)]
    pub(super) advisories: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PlatformTcb {
    #[serde(rename = "sgxtcbcomponents")]
    pub(super) sgx: [Component; COMPONENTS],
    #[serde(rename = "tdxtcbcomponents")]
    pub(super) tdx: [Component; COMPONENTS],
    #[serde(rename = "pcesvn")]
    pub(super) pce_svn: u16,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Component {
    pub(super) svn: u8,
}

/// Version of an enclave or of a TDX module.
#[derive(Debug, Deserialize)]
pub(super) struct EnclaveTcb {
    pub(super) isvsvn: u16,
}

/// Identity of the quoting enclave for TDs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QeIdentity {
    id: String,
    version: u32,
    pub(super) issue_date: Date,
    pub(super) next_update: Date,
    #[serde(rename = "tcbEvaluationDataNumber")]
    pub(super) evaluation: u32,
    /// MISCSELECT and its mask, in the byte order of the report.
    pub(super) miscselect: HexText<4>,
    pub(super) miscselect_mask: HexText<4>,
    pub(super) attributes: HexText<16>,
    pub(super) attributes_mask: HexText<16>,
    pub(super) mrsigner: HexText<32>,
    #[serde(rename = "isvprodid")]
    pub(super) prod_id: u16,
    /// Best first.
    #[serde(rename = "tcbLevels")]
    pub(super) levels: Vec<Level<EnclaveTcb>>,
}

/// Why a signed document is not one that this verifier can appraise with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("expected {what} {expected}, found another kind (version {version})")]
    Kind { what: &'static str, expected: &'static str, version: u32 },
    #[error("expected TCB components of type 0, found type {got}")]
    TcbType { got: u32 },
    #[error("expected at most {ROWS_MAX} {what}, found {got}")]
    Rows { what: &'static str, got: usize },
    #[error("expected {what} of at most {NAME_MAX_BYTES} bytes, found {got}")]
    Name { what: &'static str, got: usize },
    /// A status that only an appraisal, or another kind of document, gives.
    #[error("expected a status of {what}, found {got:?}")]
    Status { what: &'static str, got: TcbStatus },
}

impl TcbInfo {
    /// Reads the signed text.
    pub(super) fn read(text: &[u8]) -> Result<Self, DocumentError> {
        let info: Self = json::read(text, "TCB info")?;
        if info.id != "TDX" || info.version != 3 {
            let (what, version) = ("TCB info", info.version);
            return Err(DocumentError::Kind { what, expected: "TDX, version 3", version });
        }
        // The type says how levels are compared: another one needs other rules.
        if info.tcb_type != 0 {
            return Err(DocumentError::TcbType { got: info.tcb_type });
        }
        rows("TCB levels", info.levels.len())?;
        rows("TDX module identities", info.modules.len())?;
        check_levels("a platform", &info.levels)?;
        for module in &info.modules {
            name("a module's name", &module.id)?;
            check_levels("a TDX module", &module.levels)?;
        }
        Ok(info)
    }

    /// The identity of modules of this major version; none for TDX 1.0, which `tdx_module` describes.
    pub(super) fn module(&self, major: u8) -> Option<&ModuleIdentity> {
        let id = format!("TDX_{major:02X}");
        self.modules.iter().find(|module| module.id.eq_ignore_ascii_case(&id))
    }
}

impl QeIdentity {
    /// Reads the signed text.
    pub(super) fn read(text: &[u8]) -> Result<Self, DocumentError> {
        let identity: Self = json::read(text, "QE identity")?;
        if identity.id != "TD_QE" || identity.version != 2 {
            let (what, version) = ("QE identity", identity.version);
            return Err(DocumentError::Kind { what, expected: "TD_QE, version 2", version });
        }
        check_levels("a quoting enclave", &identity.levels)?;
        Ok(identity)
    }

    /// What of an enclave's report is not as the identity says; nothing when it is that enclave.
    pub(super) fn differing(&self, report: &QeReport<'_>) -> Option<&'static str> {
        /// ATTRIBUTES.DEBUG: nothing that a debuggable enclave signs is worth anything.
        const DEBUG: u8 = 1 << 1;
        let masked = |got: &[u8], expected: &[u8], mask: &[u8]| {
            got.iter().zip(expected).zip(mask).all(|((got, expected), mask)| got & mask == expected & mask)
        };
        let QeIdentity { miscselect, miscselect_mask, attributes, attributes_mask, .. } = self;
        let [flags, ..] = report.attributes();
        if report.mrsigner() != self.mrsigner.0 {
            Some("MRSIGNER")
        } else if report.prod_id() != self.prod_id {
            Some("ISVPRODID")
        } else if !masked(&report.miscselect(), miscselect.0.bytes(), miscselect_mask.0.bytes()) {
            Some("MISCSELECT")
        } else if flags & DEBUG != 0
            || !masked(&report.attributes(), attributes.0.bytes(), attributes_mask.0.bytes())
        {
            Some("ATTRIBUTES")
        } else if !self.levels.iter().any(|level| report.svn() >= level.tcb.isvsvn) {
            Some("ISVSVN than any level's")
        } else {
            None
        }
    }
}

fn rows(what: &'static str, got: usize) -> Result<(), DocumentError> {
    if got <= ROWS_MAX { Ok(()) } else { Err(DocumentError::Rows { what, got }) }
}

fn name(what: &'static str, name: &str) -> Result<(), DocumentError> {
    let got = name.len();
    if got <= NAME_MAX_BYTES { Ok(()) } else { Err(DocumentError::Name { what, got }) }
}

fn check_levels<T>(what: &'static str, levels: &[Level<T>]) -> Result<(), DocumentError> {
    rows("levels", levels.len())?;
    for level in levels {
        rows("advisories", level.advisories.len())?;
        level.advisories.iter().try_for_each(|advisory| name("an advisory's name", advisory))?;
        if matches!(
            level.status,
            TcbStatus::TDRelaunchAdvised | TcbStatus::TDRelaunchAdvisedConfigurationNeeded
        ) {
            return Err(DocumentError::Status { what, got: level.status });
        }
    }
    Ok(())
}
