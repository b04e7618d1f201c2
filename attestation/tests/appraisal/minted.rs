//! A guest whose report is signed by a test key under test roots (`vectors/minted`).

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use tiltyard_attestation::binding::{HpkePublicKey, KEM_XWING, PresentedKeys, Profile, Runtime};
use tiltyard_attestation::evidence::{CpuEvidence, Evidence};
use tiltyard_attestation::policy::{
    Architecture, DeviceFloor, GpuFloor, GpuMode, Level, Platform, PlatformKind, Product, SnpFloor, Tcb,
    TeeFloor,
};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::{
    AppraisalPolicy, AttestationResult, Backend, Base64Bytes, Challenge, CheckId, Code, Collateral,
    ForeignAnchors, ForeignArk, Hex, LaunchConfig, Refusal, Role, TrustAnchors, Verdict, Verifier, measure,
};

/// 2026-11-22, two days after the newest minted revocation list.
pub const NOW: u64 = 1_795_371_000;
pub const NONCE: Hex<32> = Hex([0x11; 32]);
pub const CHARTER: Hex<32> = Hex([0x22; 32]);
pub const ORDER: Hex<32> = Hex([0x33; 32]);
pub const LEASE: Hex<16> = Hex([0x44; 16]);
pub const CHANNEL: Hex<32> = Hex([0x55; 32]);
pub const PROGRAM: &[u8] = b"the guest program";
pub const TURIN_TCB: Tcb = Tcb { fmc: 2, bootloader: 3, tee: 1, snp: 4, microcode: 75 };
pub const MILAN_TCB: Tcb = Tcb { fmc: 0, bootloader: 4, tee: 0, snp: 24, microcode: 219 };

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/minted/");

pub fn file(name: &str) -> Base64Bytes {
    std::fs::read(format!("{FOLDER}{name}")).unwrap().into()
}

pub fn files(names: &[&str]) -> Vec<Base64Bytes> {
    names.iter().map(|name| file(name)).collect()
}

/// One guest's evidence in the making; every part can be bent before it is signed.
pub struct Guest {
    pub report: Vec<u8>,
    pub runtime: Runtime,
    pub config: LaunchConfig,
    pub keys: PresentedKeys,
    pub certificates: Vec<Base64Bytes>,
}

impl Guest {
    /// Version 5 report of a Turin chip that meets the strict preset.
    pub fn turin() -> Self {
        let mut report = base(5);
        put(&mut report, 0x008, &(1u64 << 17 | 1 << 24 | 1 << 25).to_le_bytes());
        put(&mut report, 0x188, &[0x1A, 0x02, 0x01]);
        put(&mut report, 0x1A0, &[0x1E, 0x55, 0x0A, 0x8E, 0xE5, 0xCF, 0x9F, 0x4D]);
        put_tcb(&mut report, &[2, 3, 1, 4, 0, 0, 0, 75]);
        Self::with(report, files(&["vcek_turin.der", "ask_turin.der"]))
    }

    /// Version 3 report of a Milan chip.
    pub fn milan() -> Self {
        let mut report = base(3);
        put(&mut report, 0x188, &[0x19, 0x01, 0x01]);
        let chip: Vec<u8> = (1..=64).collect();
        put(&mut report, 0x1A0, &chip);
        put_tcb(&mut report, &[4, 0, 0, 0, 0, 0, 24, 219]);
        Self::with(report, files(&["vcek_milan.der", "ask_milan.der", "ark_milan.der"]))
    }

    fn with(report: Vec<u8>, certificates: Vec<Base64Bytes>) -> Self {
        let keys = PresentedKeys {
            tls_spki: vec![7; 91].into(),
            hpke: HpkePublicKey { kem: KEM_XWING, public: vec![8; 1216].into() },
            signing: Hex([9; 32]),
        };
        let profile = Profile {
            charter: CHARTER,
            role: Role::Trainer,
            order: Some(ORDER),
            lease: LEASE,
            keys: keys.digests(),
            channel: Some(CHANNEL),
            boot: Hex([0x66; 32]),
        };
        let runtime =
            Runtime { nonce: NONCE, tee_pubkey: Hex([4; 65]), additional_evidence: Vec::new(), profile };
        let config = LaunchConfig {
            v: 1,
            role: Role::Trainer,
            charter: CHARTER,
            order: Some(ORDER),
            lease: LEASE,
            backend: Backend::Process,
            image: Hex::sha256(PROGRAM),
            vcpus: 2,
            memory_mib: 1024,
            gpus: Vec::new(),
            disks: Vec::new(),
        };
        Self { report, runtime, config, keys, certificates }
    }

    pub fn certificates(self, names: &[&str]) -> Self {
        Self { certificates: files(names), ..self }
    }

    pub fn evidence(self) -> Evidence {
        self.evidence_with(|_| {})
    }

    /// Binds the documents, lets `edit` change the report, then signs it.
    pub fn evidence_with(mut self, edit: impl FnOnce(&mut Vec<u8>)) -> Evidence {
        let runtime = self.runtime.to_bytes();
        let config = self.config.to_bytes();
        put(&mut self.report, 0x050, Runtime::report_data(&runtime).bytes());
        put(&mut self.report, 0x0C0, LaunchConfig::d256(&config).bytes());
        edit(&mut self.report);
        sign(&mut self.report);
        Evidence {
            runtime: runtime.into(),
            config: config.into(),
            keys: self.keys,
            cpu: CpuEvidence::Snp { report: self.report.into(), certificates: self.certificates },
            devices: Vec::new(),
            boot: None,
        }
    }
}

fn base(version: u32) -> Vec<u8> {
    let mut report = vec![0; 1184];
    put(&mut report, 0x000, &version.to_le_bytes());
    put(&mut report, 0x008, &(1u64 << 17).to_le_bytes());
    put(&mut report, 0x034, &1u32.to_le_bytes());
    put(&mut report, 0x040, &(1u64 << 5).to_le_bytes());
    put(&mut report, 0x090, measure::process_measurement(PROGRAM).bytes());
    put(&mut report, 0x160, &[0xFF; 32]);
    put(&mut report, 0x1E8, &[1, 55, 1, 0, 1, 55, 1, 0]);
    report
}

pub fn put(report: &mut [u8], at: usize, bytes: &[u8]) {
    report[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Sets current, reported, committed and launch TCB.
pub fn put_tcb(report: &mut [u8], tcb: &[u8; 8]) {
    [0x038, 0x180, 0x1E0, 0x1F0].into_iter().for_each(|at| put(report, at, tcb));
}

fn sign(report: &mut [u8]) {
    let random = SystemRandom::new();
    let key = file("vcek_key.p8");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &key.0, &random).unwrap();
    let signature = key.sign(&random, &report[..0x2A0]).unwrap();
    let (r, s) = signature.as_ref().split_at(48);
    let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
    put(report, 0x2A0, &reversed(r));
    put(report, 0x2E8, &reversed(s));
}

pub fn foreign() -> ForeignAnchors {
    ForeignAnchors::of_snp(vec![
        ForeignArk { product: Product::Turin, ark_der: file("ark_turin.der") },
        ForeignArk { product: Product::Milan, ark_der: file("ark_milan.der") },
    ])
}

/// A verifier in the making: the strictest of its level that accepts the minted guests.
pub struct Setup {
    pub level: Level,
    pub backends: Vec<Backend>,
    pub tee: TeeFloor,
    pub gpus: u8,
    pub platforms: Vec<Platform>,
    pub mitigations: u64,
    pub reference: ReferenceValues,
    pub collateral: Collateral,
    pub anchors: TrustAnchors,
    pub now: u64,
}

fn devices() -> DeviceFloor {
    DeviceFloor {
        architectures: vec![Architecture::Hopper],
        mode: GpuMode::Spt,
        driver: "535.86".to_owned(),
        vbios: "96.00.00.00.00".to_owned(),
        switches: 0,
    }
}

impl Setup {
    pub fn lab() -> Self {
        let floor = |product, tcb| SnpFloor { product, tcb, guest_svn: 0, vmpl: 0, mitigations: None };
        let image = |backend| ReferenceImage {
            name: "guest".to_owned(),
            backend,
            image: Hex::sha256(PROGRAM),
            measurement: measure::process_measurement(PROGRAM),
            tdx: None,
        };
        Self {
            level: Level::Lab,
            backends: vec![Backend::Process, Backend::Snp],
            tee: TeeFloor {
                snp: vec![floor(Product::Turin, TURIN_TCB), floor(Product::Milan, MILAN_TCB)],
                tdx: None,
            },
            gpus: 0,
            platforms: Vec::new(),
            mitigations: 0,
            reference: ReferenceValues {
                images: vec![image(Backend::Process), image(Backend::Snp)],
                foreign_anchors: Some(foreign().digest()),
            },
            collateral: Collateral { snp_crls: files(&["good.crl"]), ..Collateral::none() },
            anchors: TrustAnchors::foreign(foreign()).unwrap(),
            now: NOW,
        }
    }

    /// Above `lab`: Turin, backend Snp, an enrolled chip. The roots stay foreign, so POL-02 always fails.
    pub fn above(level: Level) -> Self {
        let lab = Self::lab();
        let tee = TeeFloor { snp: lab.tee.snp[..1].to_vec(), tdx: None };
        let mut id = [0; 64];
        id[..8].copy_from_slice(&[0x1E, 0x55, 0x0A, 0x8E, 0xE5, 0xCF, 0x9F, 0x4D]);
        let platforms = vec![Platform {
            kind: PlatformKind::ChipId,
            id: Hex(id).into(),
            custody: "rack 1".to_owned(),
            enrolled_at: NOW - 1000,
            revoked_at: None,
        }];
        Self { level, backends: vec![Backend::Snp], tee, platforms, ..lab }
    }

    pub fn verifier(&self) -> Verifier {
        let gpu = GpuFloor { count: self.gpus, devices: (self.gpus > 0).then(devices) };
        let policy =
            AppraisalPolicy::from_floors(self.level, &self.backends, &self.tee, &gpu, &self.platforms)
                .unwrap()
                .require_mitigations(self.mitigations);
        Verifier::new(self.anchors.clone(), policy, self.reference.clone())
    }

    pub fn appraise(&self, evidence: &Evidence) -> Result<AttestationResult, Refusal> {
        self.appraise_as(evidence, |challenge| challenge)
    }

    /// The same, as the answer to a challenge that demands more.
    pub fn appraise_as(
        &self,
        evidence: &Evidence,
        demand: impl FnOnce(Challenge) -> Challenge,
    ) -> Result<AttestationResult, Refusal> {
        self.verifier().appraise(demand(challenge()), evidence, &self.collateral, self.now)
    }

    /// The failures of this evidence, which must be refused; each must be one that the table names.
    pub fn refused(&self, evidence: &Evidence) -> Vec<(CheckId, Code)> {
        findings(self.appraise(evidence))
    }
}

/// The failures of a refusal; panics on an acceptance.
pub fn findings(result: Result<AttestationResult, Refusal>) -> Vec<(CheckId, Code)> {
    let refusal = result.expect_err("accepted");
    assert!(!refusal.findings.is_empty(), "a refusal without a finding");
    for finding in &refusal.findings {
        assert!(finding.check.row().error.contains(&finding.code), "the table lacks {finding}");
        assert!(refusal.to_string().contains(&finding.to_string()), "{finding} is not displayed");
        let failed = |row: &&tiltyard_attestation::CheckOutcome| {
            row.check == finding.check && row.verdict == Verdict::Fail
        };
        assert_eq!(refusal.trace.iter().filter(failed).count(), 1);
    }
    refusal.findings.iter().map(|finding| (finding.check, finding.code)).collect()
}

pub fn challenge() -> Challenge {
    challenge_at(NOW - 5)
}

pub fn challenge_at(issued_at: u64) -> Challenge {
    Challenge::new(NONCE, Role::Trainer, CHARTER, Some(ORDER), LEASE, issued_at).with_channel(CHANNEL)
}
