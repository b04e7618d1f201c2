//! A whole evidence envelope for tests: what an honest guest on a simulated machine would send.

use ring::signature::{Ed25519KeyPair, KeyPair};
use tiltyard_attestation::binding::{HpkePublicKey, KEM_XWING, PresentedKeys, Profile, Runtime};
use tiltyard_attestation::evidence::{CpuEvidence, DeviceEvidence, Evidence};
use tiltyard_attestation::{Backend, Challenge, Hex, LaunchConfig, Role};

use crate::{ReportFields, SimulatedPlatform};

/// What one guest is and holds.
#[derive(Debug, Clone)]
pub struct Guest {
    pub config: LaunchConfig,
    /// MEASUREMENT of its image.
    pub measurement: Hex<48>,
    pub keys: PresentedKeys,
    pub tee_pubkey: Hex<65>,
    pub boot: Hex<32>,
    pub channel: Option<Hex<32>>,
}

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

impl Guest {
    /// A guest of `config` with keys drawn from `label`.
    pub fn sample(config: LaunchConfig, measurement: Hex<48>, label: u8) -> Self {
        Self {
            config,
            measurement,
            keys: sample_keys(label),
            tee_pubkey: Hex(p256_point(label)),
            boot: Hex::sha256(&[label]),
            channel: None,
        }
    }

    /// The challenge that this guest answers; `issued_at` in Unix seconds.
    pub fn challenge(&self, nonce: Hex<32>, issued_at: u64) -> Challenge {
        let LaunchConfig { role, charter, order, lease, .. } = self.config;
        let challenge = Challenge::new(nonce, role, charter, order, lease, issued_at);
        match self.channel {
            Some(exporter) => challenge.with_channel(exporter),
            None => challenge,
        }
    }
}

/// A launch configuration for one role of one charter: CPU only, backend `Process`.
pub fn sample_config(role: Role, charter: Hex<32>, image: Hex<32>) -> LaunchConfig {
    LaunchConfig {
        v: 1,
        role,
        charter,
        order: match role {
            Role::Referee => None,
            Role::Trainer | Role::Evaluator => Some(Hex([0x0d; 32])),
        },
        lease: Hex([0x1e; 16]),
        backend: Backend::Process,
        image,
        vcpus: 1,
        memory_mib: 1024,
        gpus: Vec::new(),
        disks: Vec::new(),
    }
}

/// Public keys in their right shapes; only the Ed25519 one has a known secret, the seed `[label; 32]`.
pub fn sample_keys(label: u8) -> PresentedKeys {
    let signing = Ed25519KeyPair::from_seed_unchecked(&[label; 32])
        .ok()
        .and_then(|pair| Hex::from_slice(pair.public_key().as_ref()))
        .unwrap_or(Hex([label; 32]));
    let mut spki = P256_SPKI_PREFIX.to_vec();
    spki.extend_from_slice(&p256_point(label));
    PresentedKeys {
        tls_spki: spki.into(),
        hpke: HpkePublicKey { kem: KEM_XWING, public: vec![label; XWING_PUBLIC_BYTES].into() },
        signing,
    }
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
    let LaunchConfig { role, charter, order, lease, .. } = guest.config;
    let profile = Profile {
        charter,
        role,
        order,
        lease,
        keys: guest.keys.digests(),
        channel: guest.channel,
        boot: guest.boot,
    };
    let mut report = platform.fields(version);
    report.measurement = guest.measurement.0;
    Draft {
        runtime: Runtime { nonce, tee_pubkey: guest.tee_pubkey, additional_evidence: Vec::new(), profile },
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

/// An uncompressed point's shape; not on the curve, as nothing here agrees on a secret with it.
fn p256_point(label: u8) -> [u8; 65] {
    let mut point = [label; 65];
    point[0] = 0x04;
    point
}

/// SubjectPublicKeyInfo of an uncompressed P-256 point, up to the point.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// ML-KEM-768 key and X25519 key.
const XWING_PUBLIC_BYTES: usize = 1216;
