//! One verifier, one machine, one guest; each test changes one thing.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use tiltyard_attestation::evidence::{CpuEvidence, Evidence};
use tiltyard_attestation::policy::{
    Architecture, DeviceFloor, GpuFloor, GpuMode, Level, Platform, PlatformKind, Product, SnpFloor, Tcb,
    TeeFloor,
};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::{
    AppraisalPolicy, AttestationResult, Backend, Challenge, Collateral, Hex, Refusal, Role, TrustAnchors,
    Verifier,
};
use tiltyard_simulator::SimulatedPlatform;
use tiltyard_simulator::certificates::CertificateFields;
use tiltyard_simulator::mint::{Draft, Guest, mint_edited, sample_config};

/// 2026-11-23, within every certificate's life.
pub(crate) const NOW: u64 = 1_795_392_000;
pub(crate) const NONCE: Hex<32> = Hex([0x4e; 32]);
const SEED: [u8; 32] = [0x5a; 32];
const CHARTER: Hex<32> = Hex([0xc4; 32]);
const IMAGE: Hex<32> = Hex([0x1a; 32]);
const MEASUREMENT: Hex<48> = Hex([0x3e; 48]);

/// Any H100 or B200 by itself.
fn devices() -> DeviceFloor {
    DeviceFloor {
        architectures: vec![Architecture::Hopper, Architecture::Blackwell],
        mode: GpuMode::Spt,
        driver: "535.86".to_owned(),
        vbios: "96.00.00.00.00".to_owned(),
        switches: 0,
    }
}

/// Everything that one appraisal takes.
pub(crate) struct Bench {
    pub(crate) platform: Arc<SimulatedPlatform>,
    pub(crate) version: u32,
    pub(crate) guest: Guest,
    pub(crate) level: Level,
    pub(crate) backends: Vec<Backend>,
    pub(crate) floors: Vec<SnpFloor>,
    pub(crate) gpu_count: u8,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) mitigations: u64,
    pub(crate) anchors: TrustAnchors,
    pub(crate) reference: ReferenceValues,
    pub(crate) collateral: Collateral,
    pub(crate) issued_at: u64,
    pub(crate) now: u64,
}

/// One machine a product with its list, made once: each certificate costs an RSA signature.
fn machine(product: Product) -> (Arc<SimulatedPlatform>, Collateral) {
    static MACHINES: OnceLock<Vec<(Arc<SimulatedPlatform>, Collateral)>> = OnceLock::new();
    let machines = MACHINES.get_or_init(|| {
        let cache = Path::new(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp"));
        let root = SimulatedPlatform::from_seed(&SEED, Product::Genoa, Some(cache)).expect("platform");
        [Product::Milan, Product::Genoa, Product::Turin]
            .map(|product| Arc::new(root.sibling(product).expect("platform")))
            .map(|platform| (Arc::clone(&platform), platform.collateral(NOW - 3_600).expect("collateral")))
            .to_vec()
    });
    machines.iter().find(|(platform, _)| platform.product() == product).cloned().expect("every product")
}

/// Another simulator's machine, under authority keys of its own.
pub(crate) fn stranger() -> Arc<SimulatedPlatform> {
    let cache = Path::new(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp"));
    Arc::new(SimulatedPlatform::from_seed(&[0x5b; 32], Product::Genoa, Some(cache)).expect("platform"))
}

impl Bench {
    /// A lab charter: backend `Process`, the simulator's anchors named.
    pub(crate) fn lab(product: Product, version: u32) -> Self {
        Self::at(Level::Lab, Backend::Process, product, version)
    }

    /// A charter above `lab`, which must refuse foreign anchors whatever else holds.
    pub(crate) fn above_lab(level: Level, product: Product, version: u32) -> Self {
        Self::at(level, Backend::Snp, product, version)
    }

    fn at(level: Level, backend: Backend, product: Product, version: u32) -> Self {
        let (platform, collateral) = machine(product);
        let mut config = sample_config(Role::Referee, CHARTER, IMAGE);
        config.backend = backend;
        let anchors = platform.anchors();
        Self {
            version,
            guest: Guest::sample(config, MEASUREMENT, 7),
            level,
            backends: vec![backend],
            floors: [Product::Milan, Product::Genoa, Product::Turin]
                .into_iter()
                .filter(|product| product.satisfies(level))
                .map(floor)
                .collect(),
            gpu_count: 0,
            platforms: match level {
                Level::Lab => Vec::new(),
                Level::Standard | Level::Strict => vec![enrolled(platform.chip_id())],
            },
            mitigations: 0,
            reference: ReferenceValues {
                images: vec![ReferenceImage {
                    name: "sample".to_owned(),
                    backend,
                    image: IMAGE,
                    measurement: MEASUREMENT,
                    tdx: None,
                }],
                foreign_anchors: Some(anchors.digest()),
            },
            anchors: TrustAnchors::foreign(anchors).expect("anchors"),
            collateral,
            issued_at: NOW - 5,
            now: NOW,
            platform,
        }
    }

    /// The same, changed.
    pub(crate) fn with(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    /// The same machine with other certificates under the same keys; its list comes with them.
    pub(crate) fn reissued(mut self, edit: impl FnOnce(&mut CertificateFields)) -> Self {
        let reissued = self.platform.reissued(|fields| {
            fields.crl.this_update = NOW - 3_600;
            edit(fields);
        });
        self.platform = Arc::new(reissued.expect("certificates"));
        self.collateral = Collateral { snp_crls: vec![self.platform.crl().into()], ..Collateral::none() };
        self
    }

    pub(crate) fn evidence(&self, edit: impl FnOnce(&mut Draft)) -> Evidence {
        mint_edited(&self.platform, &self.guest, self.version, NONCE, edit)
    }

    pub(crate) fn challenge(&self) -> Challenge {
        self.guest.challenge(NONCE, self.issued_at)
    }

    pub(crate) fn verifier(&self) -> Verifier {
        let (tee, gpu) = (
            TeeFloor { snp: self.floors.clone(), tdx: None },
            GpuFloor { count: self.gpu_count, devices: Some(devices()) },
        );
        let policy = AppraisalPolicy::from_floors(self.level, &self.backends, &tee, &gpu, &self.platforms)
            .expect("policy")
            .require_mitigations(self.mitigations);
        Verifier::new(self.anchors.clone(), policy, self.reference.clone())
    }

    pub(crate) fn appraise(&self, evidence: &Evidence) -> Result<AttestationResult, Refusal> {
        self.verifier().appraise(self.challenge(), evidence, &self.collateral, self.now)
    }

    /// Findings as `id code`, for evidence changed by `edit`.
    pub(crate) fn findings(&self, edit: impl FnOnce(&mut Draft)) -> Vec<String> {
        findings(self.appraise(&self.evidence(edit)))
    }

    /// Findings for a report changed after it was signed.
    pub(crate) fn findings_raw(&self, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
        let mut evidence = self.evidence(|_| {});
        edit(report_of(&mut evidence));
        findings(self.appraise(&evidence))
    }

    /// Findings for a report changed and signed again.
    pub(crate) fn findings_signed(&self, edit: impl FnOnce(&mut [u8])) -> Vec<String> {
        self.findings_raw(|report| {
            edit(report);
            self.platform.sign_raw(report).expect("signed");
        })
    }
}

pub(crate) fn findings(result: Result<AttestationResult, Refusal>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(refusal) => refusal.findings.iter().map(|row| format!("{} {}", row.check, row.code)).collect(),
    }
}

pub(crate) fn report_of(evidence: &mut Evidence) -> &mut Vec<u8> {
    match &mut evidence.cpu {
        CpuEvidence::Snp { report, .. } => &mut report.0,
        CpuEvidence::Tdx { .. } => panic!("expected SNP evidence"),
    }
}

/// An allow-list row.
pub(crate) fn enrolled(id: Hex<64>) -> Platform {
    Platform {
        kind: PlatformKind::ChipId,
        id: id.into(),
        custody: "rack 1".to_owned(),
        enrolled_at: 0,
        revoked_at: None,
    }
}

fn floor(product: Product) -> SnpFloor {
    let tcb = Tcb { fmc: 0, bootloader: 1, tee: 0, snp: 1, microcode: 1 };
    SnpFloor { product, tcb, guest_svn: 0, vmpl: 0, mitigations: None }
}
