//! A whole evidence envelope for tests: what an honest guest on a simulated machine would send.

mod snp;
mod tdx;

pub use snp::{Draft, mint_edited, mint_evidence};
pub use tdx::{MintedTd, TdxDraft, mint_tdx};

use ring::signature::{Ed25519KeyPair, KeyPair};
use tiltyard_attestation::binding::{HpkePublicKey, KEM_XWING, PresentedKeys, Profile, Runtime};
use tiltyard_attestation::{Backend, Challenge, Hex, LaunchConfig, Role};

/// What one guest is and holds.
#[derive(Debug, Clone)]
pub struct Guest {
    pub config: LaunchConfig,
    /// MEASUREMENT or MRTD of its image.
    pub measurement: Hex<48>,
    pub keys: PresentedKeys,
    pub tee_pubkey: Hex<65>,
    pub boot: Hex<32>,
    pub channel: Option<Hex<32>>,
}

impl Guest {
    /// A guest of `config` with keys drawn from `label`.
    pub fn sample(config: LaunchConfig, measurement: Hex<48>, label: u8) -> Self {
        Self {
            config,
            measurement,
            keys: sample_keys(label),
            tee_pubkey: Self::sample_tee_pubkey(label),
            boot: Hex::sha256(&[label]),
            channel: None,
        }
    }

    /// The `tee-pubkey` of a sample guest with this label.
    pub fn sample_tee_pubkey(label: u8) -> Hex<65> {
        Hex(p256_point(label))
    }

    /// The runtime document of its answer to `nonce`.
    pub fn runtime(&self, nonce: Hex<32>) -> Runtime {
        let LaunchConfig { role, charter, order, lease, .. } = self.config;
        let keys = self.keys.digests();
        let profile = Profile { charter, role, order, lease, keys, channel: self.channel, boot: self.boot };
        Runtime { nonce, tee_pubkey: self.tee_pubkey, additional_evidence: Vec::new(), profile }
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
