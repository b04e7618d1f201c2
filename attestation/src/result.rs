//! What an appraisal gives.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::binding::{HpkePublicKey, KeyDigests, PresentedKeys, Runtime};
use crate::chain::Revocation;
use crate::challenge::EarlierDevices;
use crate::checks::CheckOutcome;
use crate::evidence::DeviceKind;
use crate::policy::{Architecture, GpuMode, Level, PlatformFlag, PlatformId, Product, Tcb, TcbStatus};
use crate::{Hex, LaunchConfig};

/// Whose roots the evidence was verified to. Part of every result, receipt, record and page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchors {
    /// The compiled-in vendor roots.
    Vendor,
    /// Another set, by digest: nothing that it vouches for is hardware-backed.
    NotVendor(Hex<32>),
}

impl fmt::Display for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vendor => f.write_str("vendor root"),
            Self::NotVendor(digest) => write!(f, "NOT A VENDOR ROOT (anchor set {digest})"),
        }
    }
}

/// Keys that were inside the quote; only an appraisal makes this value.
#[derive(Debug)]
pub struct AttestedKeys(PresentedKeys);

impl AttestedKeys {
    pub(crate) fn new(keys: PresentedKeys) -> Self {
        Self(keys)
    }

    /// HPKE public key: what keys are released to.
    pub fn hpke(&self) -> &HpkePublicKey {
        &self.0.hpke
    }

    /// Ed25519 public key.
    pub fn signing(&self) -> &Hex<32> {
        &self.0.signing
    }

    /// DER SubjectPublicKeyInfo of the TLS certificate.
    pub fn tls_spki(&self) -> &[u8] {
        &self.0.tls_spki.0
    }

    /// Digests of the three keys (PROVISIONING 13).
    pub fn digests(&self) -> KeyDigests {
        self.0.digests()
    }
}

/// Facts of the CPU evidence, for printing; nothing decides on them any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuFacts {
    Snp(Box<SnpFacts>),
    Tdx(Box<TdxFacts>),
}

/// Facts of an AMD SEV-SNP report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnpFacts {
    pub product: Product,
    pub report_version: u32,
    /// Security versions that the endorsement key is derived from.
    pub reported_tcb: Tcb,
    pub committed_tcb: Tcb,
    pub current_tcb: Tcb,
    pub launch_tcb: Tcb,
    /// All zero when the platform masks it.
    pub chip_id: Hex<64>,
    pub measurement: Hex<48>,
    pub vmpl: u32,
    pub guest_svn: u32,
    pub guest_policy: u64,
    pub platform_info: u64,
    pub signing_key: SigningKey,
    pub revocation: Revocation,
    /// Name of the reference image that the measurement belongs to; empty in an examination without one.
    pub image_name: String,
}

/// Facts of an Intel TDX quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TdxFacts {
    /// 4 or 5.
    pub quote_version: u16,
    pub tee_tcb_svn: Hex<16>,
    pub mrseam: Hex<48>,
    pub td_attributes: u64,
    pub xfam: u64,
    pub mrtd: Hex<48>,
    pub rtmr: [Hex<48>; 4],
    pub mrconfigid: Hex<48>,
    pub fmspc: Hex<6>,
    pub ppid: Hex<16>,
    pub platform_flags: Vec<PlatformFlag>,
    /// Merged over platform, module and quoting enclave; none without collateral.
    pub tcb_status: Option<TcbStatus>,
    pub advisories: Vec<String>,
    pub tcb_evaluation: Option<u32>,
    /// Events of the log that replayed; none without a log.
    pub events: Option<usize>,
    pub revocation: Revocation,
    /// Name of the reference image that the measurement belongs to; empty in an examination without one.
    pub image_name: String,
}

/// Facts of one GPU's or switch's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceFacts {
    pub kind: DeviceKind,
    pub index: u8,
    pub architecture: Architecture,
    /// Serial number of the leaf certificate.
    pub ueid: PlatformId,
    /// SHA-256 of the device's own public key, which outlives a change of firmware; none where its chain holds none.
    pub device_key: Option<Hex<32>>,
    /// Empty on a switch.
    pub driver: String,
    pub vbios: String,
    pub mode: Option<GpuMode>,
    /// Reference measurements that were compared, and equal.
    pub matched: usize,
    pub revocation: Revocation,
}

impl CpuFacts {
    /// Name of the reference image that the measurement belongs to.
    pub fn image_name(&self) -> &str {
        match self {
            Self::Snp(facts) => &facts.image_name,
            Self::Tdx(facts) => &facts.image_name,
        }
    }

    /// MEASUREMENT or MRTD.
    pub fn measurement(&self) -> Hex<48> {
        match self {
            Self::Snp(facts) => facts.measurement,
            Self::Tdx(facts) => facts.mrtd,
        }
    }

    /// Product and security versions, as people read them.
    pub fn hardware(&self) -> String {
        match self {
            Self::Snp(facts) => format!("{:?}; {}", facts.product, facts.reported_tcb),
            Self::Tdx(facts) => {
                let status = facts.tcb_status.map_or("no status".to_owned(), |status| format!("{status:?}"));
                format!("TDX; {status}, platform family {}", facts.fmspc)
            }
        }
    }

    /// CHIP_ID or PPID.
    pub fn platform_id(&self) -> PlatformId {
        match self {
            Self::Snp(facts) => facts.chip_id.into(),
            Self::Tdx(facts) => facts.ppid.into(),
        }
    }

    pub fn revocation(&self) -> Revocation {
        match self {
            Self::Snp(facts) => facts.revocation,
            Self::Tdx(facts) => facts.revocation,
        }
    }

    /// The facts of an SNP report, where it is one.
    pub fn snp(&self) -> Option<&SnpFacts> {
        match self {
            Self::Snp(facts) => Some(facts),
            Self::Tdx(_) => None,
        }
    }

    /// The facts of a TDX quote, where it is one.
    pub fn tdx(&self) -> Option<&TdxFacts> {
        match self {
            Self::Snp(_) => None,
            Self::Tdx(facts) => Some(facts),
        }
    }
}

/// Kind of AMD endorsement key that signed the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SigningKey {
    /// Derived from the chip.
    Vcek,
    /// Loaded by a cloud provider; it usually hides the chip.
    Vlek,
}

/// Evidence that passed: only [`crate::Verifier::appraise`] makes it, and nothing reads it back in.
#[derive(Debug)]
pub struct AttestationResult {
    pub(crate) keys: AttestedKeys,
    pub(crate) config: LaunchConfig,
    pub(crate) runtime: Runtime,
    pub(crate) anchors: Anchors,
    pub(crate) level: Level,
    pub(crate) cpu: CpuFacts,
    pub(crate) devices: Vec<DeviceFacts>,
    pub(crate) evidence: Hex<32>,
    pub(crate) appraised_at: u64,
    pub(crate) trace: Vec<CheckOutcome>,
}

impl AttestationResult {
    pub fn keys(&self) -> &AttestedKeys {
        &self.keys
    }

    pub fn config(&self) -> &LaunchConfig {
        &self.config
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub fn anchors(&self) -> Anchors {
        self.anchors
    }

    pub fn level(&self) -> Level {
        self.level
    }

    pub fn cpu(&self) -> &CpuFacts {
        &self.cpu
    }

    /// GPUs and switches, in envelope order.
    pub fn devices(&self) -> &[DeviceFacts] {
        &self.devices
    }

    /// What renewals of this boot may rest on for an hour (BND-10); none where no device was shown, so that a renewal
    /// can't be the ground of the next one.
    pub fn devices_shown(&self) -> Option<EarlierDevices> {
        let count = |kind| {
            let count = self.devices.iter().filter(|device| device.kind == kind).count();
            // An envelope has at most 24 devices.
            u8::try_from(count).unwrap_or(u8::MAX)
        };
        (!self.devices.is_empty()).then(|| EarlierDevices {
            boot: self.runtime.profile.boot,
            appraised_at: self.appraised_at,
            gpus: count(DeviceKind::Gpu),
            switches: count(DeviceKind::Switch),
        })
    }

    /// SHA-256 of the canonical envelope: a log key, never an identity.
    pub fn evidence(&self) -> Hex<32> {
        self.evidence
    }

    /// Unix seconds.
    pub fn appraised_at(&self) -> u64 {
        self.appraised_at
    }

    /// Every check with its verdict, in the order in which they ran.
    pub fn trace(&self) -> &[CheckOutcome] {
        &self.trace
    }
}
