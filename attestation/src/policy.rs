//! Floors and allow-lists: the whole policy language (ATTESTATION 2).

use serde::{Deserialize, Serialize};

use crate::Hex;

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
