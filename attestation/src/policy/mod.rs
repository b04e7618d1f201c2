//! Floors and allow-lists: the whole policy language (ATTESTATION 2).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::chain::Revocation;
use crate::checks::Code;
use crate::trace::Judged;
use crate::{Backend, Hex, Role};

pub use self::device::{Architecture, DeviceFloor, GpuFloor, GpuMode};
pub use self::document::{POLICY_MAX_BYTES, PolicyDocument};
pub use self::platform::{Platform, PlatformId, PlatformKind};
pub use self::tdx::{ModuleFloor, PlatformFlag, TcbStatus, TdxFloor};

mod device;
mod digest;
mod document;
mod platform;
mod tdx;

/// How strict a charter is. Simulator roots and backends other than SNP and TDX exist in `lab` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Lab,
    Standard,
    Strict,
}

/// AMD product line, as in the VCEK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    Milan,
    Genoa,
    Turin,
}

/// Security version of each firmware component (TCB_VERSION).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcb {
    /// Turin only; 0 elsewhere.
    pub fmc: u8,
    pub bootloader: u8,
    pub tee: u8,
    pub snp: u8,
    pub microcode: u8,
}

/// Least security version for one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpFloor {
    pub product: Product,
    pub tcb: Tcb,
    pub guest_svn: u32,
    /// Privilege level that the guest program must run at; 0 without an SVSM.
    pub vmpl: u8,
    /// Mitigation bits that must be set at launch and now, big endian (SNP-24; 0x1F8 and 0x200 of a version 5 report).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigations: Option<Hex<8>>,
}

/// CPU floors of a charter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeeFloor {
    /// One row per allowed AMD product; a product without a row is refused.
    pub snp: Vec<SnpFloor>,
    /// Without it TDX evidence is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tdx: Option<TdxFloor>,
}

/// What the verifier demands: one level's preset, narrowed by floors and lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppraisalPolicy {
    level: Level,
    purpose: Purpose,
    backends: Vec<Backend>,
    snp: Vec<SnpFloor>,
    tdx: Option<TdxFloor>,
    gpu: GpuFloor,
    platforms: Vec<Platform>,
    mitigations: u64,
}

/// What an appraisal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A charter's: what is not there is refused.
    Charter,
    /// To look at evidence: a floor that nobody named is none, and at `lab` what is not there is not shown.
    Examination,
}

/// Most rows of one list.
pub const POLICY_ROWS_MAX: usize = 4096;

/// Why floors are not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    #[error("policy: {member} is missing\n  a {level:?} charter must name it")]
    Missing { member: &'static str, level: Level },
    /// Not JSON, an unknown member, or one that stands twice.
    #[error("policy: {0}")]
    Syntax(String),
    #[error("policy: expected at most {limit}, found {got}")]
    TooLarge { limit: usize, got: usize },
    #[error("policy: expected version 1, found {got}")]
    Version { got: u8 },
    #[error("policy: a platform id of kind {kind:?} cannot have {got} bytes")]
    PlatformId { kind: PlatformKind, got: usize },
    #[error("policy: {member}: expected {expected}, found {got:?}")]
    Floor { member: &'static str, expected: String, got: String },
    #[error("policy: {member}: {what} twice")]
    Duplicate { member: &'static str, what: String },
    #[error(
        "policy: backend {backend:?} cannot satisfy a {level:?} charter\n  use snp or tdx, or a lab charter"
    )]
    BackendBelowCharter { backend: Backend, level: Level },
    #[error(
        "policy: product {product:?} cannot satisfy a {level:?} charter\n  remove its row from the floors of snp"
    )]
    ProductBelowCharter { product: Product, level: Level },
}

impl AppraisalPolicy {
    /// The policy of a charter: preset of its level, then its own floors and lists.
    pub fn from_floors(
        level: Level,
        backends: &[Backend],
        tee: &TeeFloor,
        gpu: &GpuFloor,
        platforms: &[Platform],
    ) -> Result<Self, PolicyError> {
        if backends.is_empty() {
            return Err(PolicyError::Missing { member: "backends", level });
        }
        if let Some(&backend) = backends.iter().find(|backend| !backend.satisfies(level)) {
            return Err(PolicyError::BackendBelowCharter { backend, level });
        }
        if platforms.is_empty() && level != Level::Lab {
            return Err(PolicyError::Missing { member: "platforms", level });
        }
        if gpu.count > 0 && gpu.devices.is_none() {
            return Err(PolicyError::Missing { member: "gpu_floor.devices", level });
        }
        Self {
            level,
            purpose: Purpose::Charter,
            backends: backends.to_vec(),
            snp: tee.snp.clone(),
            tdx: tee.tdx.clone(),
            gpu: gpu.clone(),
            platforms: platforms.to_vec(),
            mitigations: 0,
        }
        .checked()
    }

    /// A preset by itself, to examine evidence that answers no charter: every backend, no floor, no list.
    pub fn preset(level: Level) -> Self {
        use Backend::{Kvm, Process, Snp, Tcg, Tdx};
        let backends = [Process, Tcg, Kvm, Snp, Tdx].into_iter().filter(|backend| backend.satisfies(level));
        Self {
            level,
            purpose: Purpose::Examination,
            backends: backends.collect(),
            snp: Vec::new(),
            tdx: None,
            gpu: GpuFloor::none(),
            platforms: Vec::new(),
            mitigations: 0,
        }
    }

    /// Refuses rows that stand twice, rows that the level forbids, and limits exceeded.
    fn checked(self) -> Result<Self, PolicyError> {
        let level = self.level;
        let rows = self.snp.len().max(self.platforms.len());
        if rows > POLICY_ROWS_MAX {
            return Err(PolicyError::TooLarge { limit: POLICY_ROWS_MAX, got: rows });
        }
        if let Some(row) = self.snp.iter().find(|row| !row.product.satisfies(level)) {
            return Err(PolicyError::ProductBelowCharter { product: row.product, level });
        }
        for (at, row) in self.snp.iter().enumerate() {
            if self.snp[..at].iter().any(|earlier| earlier.product == row.product) {
                let what = format!("{:?}", row.product);
                return Err(PolicyError::Duplicate { member: "floors of snp", what });
            }
        }
        if let Some(floor) = &self.gpu.devices {
            floor.check()?;
        }
        let mut ids = std::collections::BTreeSet::new();
        for row in &self.platforms {
            if !row.kind.fits(row.id.bytes().len()) {
                let got = row.id.bytes().len();
                return Err(PolicyError::PlatformId { kind: row.kind, got });
            }
            if !ids.insert((row.kind, &row.id)) {
                return Err(PolicyError::Duplicate { member: "platforms", what: row.id.to_string() });
            }
        }
        if let Some(tdx) = &self.tdx {
            for (at, row) in tdx.modules.iter().enumerate() {
                if tdx.modules[..at].iter().any(|earlier| earlier.major == row.major) {
                    let what = format!("major {}", row.major);
                    return Err(PolicyError::Duplicate { member: "floors of tdx.modules", what });
                }
            }
        }
        Ok(self)
    }

    /// Demands these bits of the mitigation vectors of a version 5 report (SNP-24).
    pub fn require_mitigations(self, bits: u64) -> Self {
        Self { mitigations: bits, ..self }
    }

    pub fn level(&self) -> Level {
        self.level
    }

    pub(crate) fn lists(&self, backend: Backend) -> bool {
        self.backends.contains(&backend)
    }

    pub(crate) fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// Whether the level, and the charter's rows where there is a charter, allow this product.
    pub(crate) fn allows(&self, product: Product) -> bool {
        let listed = match (self.purpose, self.snp.as_slice()) {
            (Purpose::Examination, []) => true,
            (_, rows) => rows.iter().any(|row| row.product == product),
        };
        listed && product.satisfies(self.level)
    }

    /// Floor of a product that the level and the charter both allow.
    pub(crate) fn floor(&self, product: Product) -> Option<&SnpFloor> {
        self.snp.iter().find(|row| row.product == product && product.satisfies(self.level))
    }

    /// TDX floors; none in an examination without them, where `allows_tdx` still holds.
    pub(crate) fn tdx(&self) -> Option<&TdxFloor> {
        self.tdx.as_ref()
    }

    /// Whether TDX evidence is accepted at all: a charter must have a row for it.
    pub(crate) fn allows_tdx(&self) -> bool {
        self.purpose == Purpose::Examination || self.tdx.is_some()
    }

    /// What devices must be; none in an examination without a floor.
    pub(crate) fn device_floor(&self) -> Option<&DeviceFloor> {
        self.gpu.devices.as_ref()
    }

    /// GPUs and switches that a guest of this role must show: a referee is CPU only.
    pub(crate) fn device_count(&self, role: Role) -> (usize, usize) {
        match role {
            Role::Referee => (0, 0),
            Role::Trainer | Role::Evaluator => self.counts(),
        }
    }

    /// GPUs and switches that the floor names.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let switches = self.gpu.devices.as_ref().map_or(0, |floor| floor.switches);
        (self.gpu.count.into(), switches.into())
    }

    /// Whether an allow-list of this kind must hold: above `lab` always, in `lab` wherever there is one.
    pub(crate) fn list_required(&self, kind: PlatformKind) -> bool {
        self.level != Level::Lab || self.platforms.iter().any(|row| row.kind == kind)
    }

    /// Verdict on one id against the allow-list of its kind (ATTESTATION 7); `unknown` names its absence.
    pub(crate) fn enrolled(
        &self,
        kind: PlatformKind,
        id: Option<&PlatformId>,
        unknown: Code,
        now: u64,
    ) -> Judged {
        const EXPECTED: &str = "an enrolled platform";
        if !self.list_required(kind) {
            return Judged::warning(EXPECTED, "no allow-list at level lab");
        }
        let Some(id) = id else { return Judged::fail(unknown, EXPECTED, "no id") };
        match self.platforms.iter().find(|row| row.kind == kind && row.id == *id) {
            None => Judged::fail(unknown, EXPECTED, id),
            Some(Platform { enrolled_at: at, .. }) if *at > now => {
                Judged::fail(unknown, EXPECTED, format_args!("{id}, enrolled only from {at} on"))
            }
            Some(Platform { revoked_at: Some(at), .. }) if *at <= now => Judged::fail(
                Code::PlatformRevoked,
                "a platform still enrolled",
                format_args!("revoked at {at}"),
            ),
            Some(_) => Judged::pass(EXPECTED, id),
        }
    }

    /// Oldest collateral that the level accepts, in days (ATTESTATION 2).
    pub(crate) fn collateral_days(&self) -> u64 {
        match self.level {
            Level::Strict => 7,
            Level::Standard => 30,
            Level::Lab => 365,
        }
    }

    /// Whether the policy is for looking at evidence by itself.
    pub(crate) fn is_examination(&self) -> bool {
        self.purpose == Purpose::Examination
    }

    /// Something that a verdict needs was not given: not shown in a `lab` examination, else refused as `code`.
    /// This can't be waived: a charter's appraisal and the presets above `lab` always refuse.
    pub(crate) fn absent(&self, code: Code, expected: impl fmt::Display, got: impl fmt::Display) -> Judged {
        match (self.purpose, self.level) {
            (Purpose::Examination, Level::Lab) => Judged::not_shown(got),
            _ => Judged::fail(code, expected, got),
        }
    }

    /// Verdict on what is known about revocation; unknown is refused above `lab` (ATTESTATION 2, 8).
    pub(crate) fn revocation(&self, revocation: Revocation) -> Judged {
        const EXPECTED: &str = "not revoked";
        match (revocation, self.level) {
            (Revocation::Good { .. }, _) => Judged::pass(EXPECTED, revocation),
            (Revocation::Revoked { .. }, _) => Judged::fail(Code::CertRevoked, EXPECTED, revocation),
            (Revocation::Unknown { .. }, Level::Lab) => Judged::warning(EXPECTED, revocation),
            (Revocation::Unknown { .. }, Level::Standard | Level::Strict) => {
                Judged::fail(Code::RevocationUnknown, EXPECTED, revocation)
            }
        }
    }

    /// GPUs and switches that an examination wants; none where its policy names no devices.
    pub(crate) fn examined_count(&self) -> Option<(usize, usize)> {
        let named = self.gpu.count > 0 || self.gpu.devices.is_some();
        named.then(|| {
            let switches = self.gpu.devices.as_ref().map_or(0, |floor| floor.switches);
            (self.gpu.count.into(), switches.into())
        })
    }

    /// Mitigation bits that reports of this product must have set.
    pub(crate) fn mitigations(&self, product: Product) -> u64 {
        let of_product = self.floor(product).and_then(|floor| floor.mitigations);
        self.mitigations | of_product.map_or(0, |bits| u64::from_be_bytes(bits.0))
    }
}

impl Backend {
    /// Whether a guest of this backend can satisfy a charter of `level` (HOST 2).
    pub fn satisfies(self, level: Level) -> bool {
        match self {
            Self::Snp | Self::Tdx => true,
            Self::Process | Self::Tcg | Self::Kvm => level == Level::Lab,
            Self::Vtpm => false,
        }
    }
}

impl Product {
    /// Whether a chip of this product can satisfy a charter of `level` (ATTESTATION 2).
    ///
    /// The VCEK seed of Milan can be extracted in software (arXiv 2605.12990): forged reports at any
    /// security version.
    pub fn satisfies(self, level: Level) -> bool {
        match self {
            Self::Milan => level == Level::Lab,
            Self::Genoa => level != Level::Strict,
            Self::Turin => true,
        }
    }
}
