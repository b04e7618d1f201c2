//! Whole evidence: as JSON, and as parts that are bound together and signed again, with one GPU.

use std::sync::LazyLock;

use tiltyard_attestation::binding::{
    BootDocument, DeviceDigest, DeviceState, HpkePublicKey, PresentedKeys, Runtime, Switched,
};
use tiltyard_attestation::evidence::{CpuEvidence, DeviceEvidence, DeviceKind, EVIDENCE_MAX_BYTES, Evidence};
use tiltyard_attestation::policy::GpuFloor;
use tiltyard_attestation::{
    AttestationResult, Base64Bytes, Challenge, Collateral, ForeignAnchors, Hex, LaunchConfig, Refusal, Role,
    TrustAnchors, Verifier,
};
use tiltyard_simulator::nvidia::formats::chain_txt;

use super::Target;
use super::ground::{NOW, joined, parts, put, vector};
use super::snp::{MINTED, golden, policy, reference, resigned};
use super::spdm::DEVICES;
use super::tdx::MACHINE;

pub const TARGET: Target = Target {
    name: "envelope",
    run,
    seeds,
    costly,
    limit_bytes: EVIDENCE_MAX_BYTES,
    mutated_bytes: 24 * 1024,
    words: &[
        "\\\"additional-evidence\\\":[",
        "\\\"profile\\\":{",
        "\\\"role\\\":\\\"trainer\\\"",
        "\\\"devices\\\":[",
        "\\\"kind\\\":\\\"gpu\\\"",
        "\\\"kind\\\":\\\"switch\\\"",
        "\\\"tdx\\\":{\\\"quote\\\":\\\"",
        "\\\"snp\\\":{\\\"report\\\":\\\"",
        "\\\"boot\\\":\\\"",
    ],
};

const NONCE: Hex<32> = Hex([0x11; 32]);
const REPORT_DATA: usize = 0x050;
const HOST_DATA: usize = 0x0c0;

/// The golden evidence; its parts without and with a GPU.
fn seeds() -> Vec<Vec<u8>> {
    let Evidence { runtime, config, keys, cpu, .. } = golden();
    let CpuEvidence::Snp { report, .. } = cpu else { return Vec::new() };
    let gpu = &DEVICES.sets[0].evidence[0];
    let state = DeviceState { cc_mode: Switched::On, protected_pcie: Switched::Off, devtools: Switched::Off };
    let boot = BootDocument { v: 1, random: Hex([5; 32]), pci_gpus: 1, gpus: vec![state] }.to_bytes();
    // A guest with a GPU was launched with one.
    let launched = LaunchConfig::from_bytes(&config.0)
        .map(|config| LaunchConfig { gpus: vec!["0000:41:00.0".to_owned()], ..config }.to_bytes())
        .unwrap_or_default();
    let of = |config: &[u8], boot: &[u8], device: &[u8]| {
        joined(&[&runtime.0, config, &keys.tls_spki.0, boot, &report.0, device])
    };
    vec![vector("token/evidence.json"), of(&config.0, b"", b""), of(&launched, &boot, &gpu.report)]
}

/// As many devices as a guest may have, each with as long a chain as it may have; and a log of the longest.
fn costly() -> Vec<Vec<u8>> {
    let gpu = &DEVICES.sets[0].evidence[0];
    let chain = (chain_txt(&gpu.chain) + "\n").repeat(5);
    let device = |kind, index| DeviceEvidence {
        kind,
        index,
        report: gpu.report.clone().into(),
        chain: chain.clone().into_bytes().into(),
    };
    let gpus = (0..16).map(|index| device(DeviceKind::Gpu, index));
    let devices = gpus.chain((0..8).map(|index| device(DeviceKind::Switch, index))).collect();
    let issued = &MACHINE.issued[0];
    let cpu = CpuEvidence::Tdx {
        quote: issued.quote.clone().into(),
        event_log: issued.event_log.iter().copied().cycle().take(256 * 1024).collect::<Vec<u8>>().into(),
    };
    let written = |evidence: &Evidence| serde_json::to_vec(evidence).unwrap_or_default();
    vec![written(&Evidence { devices, ..golden() }), written(&Evidence { cpu, ..golden() })]
}

fn run(data: &[u8]) {
    if data.first() == Some(&b'{') {
        return as_json(data);
    }
    let evidence = bound(data);
    let appraised = if evidence.devices.is_empty() { &ALONE } else { &WITH_GPU }.appraise(&evidence);
    match appraised {
        Ok(result) => accepted(&evidence, &result),
        Err(refusal) => refused(&refusal),
    }
}

/// What came over a connection: nothing but the golden guest's evidence is accepted.
fn as_json(data: &[u8]) {
    if data.len() > EVIDENCE_MAX_BYTES {
        // Whoever reads a connection stops there.
        return;
    }
    let Ok(evidence) = serde_json::from_slice::<Evidence>(data) else { return };
    let again = serde_json::to_vec(&evidence).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<Evidence>(&again).ok().as_ref(), Some(&evidence));
    match ALONE.appraise(&evidence) {
        Ok(result) => {
            let golden = golden();
            let report = |cpu: &CpuEvidence| match cpu {
                CpuEvidence::Snp { report, .. } => Some(report.clone()),
                CpuEvidence::Tdx { .. } => None,
            };
            assert_eq!(report(&evidence.cpu), report(&golden.cpu), "a forged report is accepted");
            assert_eq!((&evidence.runtime, &evidence.config), (&golden.runtime, &golden.config));
            assert_eq!((&evidence.keys, evidence.devices.len()), (&golden.keys, 0));
            accepted(&evidence, &result);
        }
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) {
    assert!(!refusal.findings.is_empty(), "a refusal has a finding");
    for finding in &refusal.findings {
        assert!(finding.check.row().error.contains(&finding.code), "the table lacks {finding}");
    }
    assert!(!refusal.to_string().is_empty());
}

/// What any acceptance promises.
fn accepted(evidence: &Evidence, result: &AttestationResult) {
    assert_eq!(result.runtime().nonce, NONCE, "an answer to another challenge is accepted");
    assert_eq!(result.runtime().to_bytes(), evidence.runtime.0);
    assert_eq!(result.config().to_bytes(), evidence.config.0);
    assert_eq!(result.keys().digests(), evidence.keys.digests());
    assert_eq!(result.runtime().profile.keys, evidence.keys.digests(), "a key that nobody attested");
    assert_eq!(result.devices().len(), evidence.devices.len());
    assert_eq!(result.runtime().profile.role, Role::Trainer);
}

/// A verifier, and what it is given.
struct Desk {
    verifier: Verifier,
    collateral: Collateral,
}

static ALONE: LazyLock<Desk> = LazyLock::new(|| {
    let desk = desk(MINTED.foreign.clone(), &GpuFloor::none(), MINTED.collateral.clone());
    let parts = desk.appraise(&bound(&seeds()[1]));
    assert!(desk.appraise(&golden()).is_ok() && parts.is_ok(), "the golden evidence is accepted: {parts:?}");
    desk
});
static WITH_GPU: LazyLock<Desk> = LazyLock::new(|| {
    let set = &DEVICES.sets[0];
    let simulated = set.anchors();
    let foreign = ForeignAnchors {
        nvidia_device: simulated.nvidia_device,
        nvidia_rim: simulated.nvidia_rim,
        ..MINTED.foreign.clone()
    };
    let collateral = Collateral { snp_crls: MINTED.collateral.snp_crls.clone(), ..set.collateral() };
    let desk = desk(foreign, &set.expected.floor, collateral);
    let honest = desk.appraise(&bound(&seeds()[2]));
    assert!(honest.is_ok(), "an honest guest with a GPU is accepted: {honest:?}");
    desk
});

fn desk(foreign: ForeignAnchors, gpus: &GpuFloor, collateral: Collateral) -> Desk {
    let reference = reference(&foreign);
    let anchors = TrustAnchors::foreign(foreign).unwrap_or_else(|error| panic!("{error}"));
    Desk { verifier: Verifier::new(anchors, policy(gpus), reference), collateral }
}

impl Desk {
    fn appraise(&self, evidence: &Evidence) -> Result<AttestationResult, Refusal> {
        let challenge = Challenge::new(
            NONCE,
            Role::Trainer,
            Hex([0x22; 32]),
            Some(Hex([0x33; 32])),
            Hex([0x44; 16]),
            NOW - 5,
        );
        let challenge = challenge.with_channel(Hex([0x55; 32]));
        self.verifier.appraise(challenge, evidence, &self.collateral, NOW)
    }
}

/// Evidence of runtime document, configuration, TLS key, boot document, report and device report, in which everything
/// binds what it must and every signature verifies: what is refused then is refused for what it says.
fn bound(data: &[u8]) -> Evidence {
    let [runtime, config, spki, boot, report, device] = parts(data);
    let mut evidence = golden();
    evidence.keys = PresentedKeys {
        tls_spki: spki.to_vec().into(),
        hpke: HpkePublicKey { ..evidence.keys.hpke },
        ..evidence.keys
    };
    evidence.config = Base64Bytes(config.to_vec());
    evidence.boot = (!boot.is_empty()).then(|| boot.to_vec().into());
    evidence.runtime = Base64Bytes(runtime.to_vec());
    if let Ok(mut read) = serde_json::from_slice::<Runtime>(runtime) {
        let nonce = Runtime::device_nonce(&read.nonce, &read.tee_pubkey);
        evidence.devices = devices(device, &nonce);
        read.additional_evidence = evidence
            .devices
            .iter()
            .map(|one| DeviceDigest { kind: one.kind, index: one.index, digest: one.digest() })
            .collect();
        read.profile.keys = evidence.keys.digests();
        if !boot.is_empty() {
            read.profile.boot = Hex::sha256(boot);
        }
        evidence.runtime = read.to_bytes().into();
    }
    let mut report = report.to_vec();
    put(&mut report, REPORT_DATA, Runtime::report_data(&evidence.runtime.0).bytes());
    put(&mut report, HOST_DATA, LaunchConfig::d256(config).bytes());
    let report = resigned(&report);
    if let CpuEvidence::Snp { report: place, .. } = &mut evidence.cpu {
        *place = report.into();
    }
    evidence
}

/// No device, or one GPU that was asked with this nonce.
fn devices(report: &[u8], nonce: &Hex<32>) -> Vec<DeviceEvidence> {
    /// After version, code and two parameters (DSP0274, GET_MEASUREMENTS).
    const ASKED: usize = 4;
    if report.is_empty() {
        return Vec::new();
    }
    let kind = DeviceKind::Gpu;
    let mut report = report.to_vec();
    put(&mut report, ASKED, nonce.bytes());
    let report = DEVICES.resigned(kind, &report).into();
    let chain = chain_txt(&DEVICES.sets[0].evidence[0].chain) + "\n";
    vec![DeviceEvidence { kind, index: 0, report, chain: chain.into_bytes().into() }]
}
