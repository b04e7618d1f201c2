//! Floors and allow-lists: the whole policy language (ATTESTATION 2).

use serde::{Deserialize, Serialize};

use crate::{Backend, Hex, Role};

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
}

/// CPU floors of a charter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeeFloor {
    /// One row per allowed AMD product; a product without a row is refused.
    pub snp: Vec<SnpFloor>,
}

/// GPU floors of a charter: how many devices a trainer or evaluator must show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuFloor {
    pub count: u8,
}

/// One enrolled machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    pub kind: PlatformKind,
    pub id: Hex<64>,
    pub custody: String,
    pub enrolled_at: u64,
    pub revoked_at: Option<u64>,
}

/// What a platform id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformKind {
    /// CHIP_ID of an SNP report.
    ChipId,
}

/// What the verifier demands: one level's preset, narrowed by a charter's floors and lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppraisalPolicy {
    level: Level,
    backends: Vec<Backend>,
    snp: Vec<SnpFloor>,
    gpu_count: u8,
    platforms: Vec<Platform>,
    mitigations: u64,
}

/// Why a charter's floors are not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    #[error("policy: {member} is missing\n  a {level:?} charter must name it")]
    Missing { member: &'static str, level: Level },
    #[error("policy: {member} holds {what} twice")]
    Duplicate { member: &'static str, what: String },
    #[error(
        "policy: backend {backend:?} cannot satisfy a {level:?} charter\n  use snp or tdx, or a lab charter"
    )]
    BackendBelowCharter { backend: Backend, level: Level },
    #[error(
        "policy: product {product:?} cannot satisfy a {level:?} charter\n  remove its row from tee_floor"
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
        if let Some(row) = tee.snp.iter().find(|row| !row.product.satisfies(level)) {
            return Err(PolicyError::ProductBelowCharter { product: row.product, level });
        }
        for (at, row) in tee.snp.iter().enumerate() {
            if tee.snp[..at].iter().any(|earlier| earlier.product == row.product) {
                return Err(PolicyError::Duplicate {
                    member: "tee_floor.snp",
                    what: format!("{:?}", row.product),
                });
            }
        }
        if platforms.is_empty() && level != Level::Lab {
            return Err(PolicyError::Missing { member: "platforms", level });
        }
        for (at, row) in platforms.iter().enumerate() {
            if platforms[..at].iter().any(|earlier| (earlier.kind, earlier.id) == (row.kind, row.id)) {
                return Err(PolicyError::Duplicate { member: "platforms", what: row.id.to_string() });
            }
        }
        Ok(Self {
            level,
            backends: backends.to_vec(),
            snp: tee.snp.clone(),
            gpu_count: gpu.count,
            platforms: platforms.to_vec(),
            mitigations: 0,
        })
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

    /// Floor of a product that the level and the charter both allow.
    pub(crate) fn floor(&self, product: Product) -> Option<&SnpFloor> {
        self.snp.iter().find(|row| row.product == product && product.satisfies(self.level))
    }

    /// Devices that a guest of this role must show: a referee is CPU only.
    pub(crate) fn device_count(&self, role: Role) -> usize {
        match role {
            Role::Referee => 0,
            Role::Trainer | Role::Evaluator => self.gpu_count.into(),
        }
    }

    pub(crate) fn platforms(&self) -> &[Platform] {
        &self.platforms
    }

    pub(crate) fn mitigations(&self) -> u64 {
        self.mitigations
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
