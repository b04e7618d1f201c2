//! Tokens of results that no evidence at hand can give: vendors' roots above `lab`, with devices.

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::Value;

use super::*;
use crate::binding::{HpkePublicKey, KEM_X25519, PresentedKeys, Runtime};
use crate::chain::Revocation;
use crate::checks::CHECKS;
use crate::evidence::DeviceKind;
use crate::policy::{Architecture, GpuMode, PlatformId, Product, Tcb, TcbStatus};
use crate::result::{AttestedKeys, SnpFacts, TdxFacts};
use crate::token::{Demands, Holder, sign, verify};
use crate::{LaunchConfig, Role};

const NOW: u64 = 1_795_371_000;
const REVOCATION: Revocation = Revocation::Good { as_of: NOW - 5 };

fn tdx() -> TdxFacts {
    TdxFacts {
        quote_version: 4,
        tee_tcb_svn: Hex([1; 16]),
        mrseam: Hex([2; 48]),
        td_attributes: 1 << 28,
        xfam: u64::MAX,
        mrtd: Hex([3; 48]),
        rtmr: [Hex([4; 48]); 4],
        mrconfigid: Hex([5; 48]),
        fmspc: Hex([6; 6]),
        ppid: Hex([7; 16]),
        platform_flags: Vec::new(),
        tcb_status: Some(TcbStatus::UpToDate),
        advisories: Vec::new(),
        tcb_evaluation: Some(18),
        events: Some(43),
        revocation: REVOCATION,
        image_name: "guest".to_owned(),
    }
}

fn snp(product: Product, signing_key: SigningKey) -> SnpFacts {
    let tcb = Tcb { fmc: 1, bootloader: 2, tee: 3, snp: 4, microcode: 5 };
    SnpFacts {
        product,
        report_version: 5,
        reported_tcb: tcb,
        committed_tcb: tcb,
        current_tcb: tcb,
        launch_tcb: tcb,
        chip_id: Hex([8; 64]),
        measurement: Hex([3; 48]),
        vmpl: 0,
        guest_svn: 0,
        guest_policy: u64::MAX,
        platform_info: 32,
        signing_key,
        revocation: REVOCATION,
        image_name: "guest".to_owned(),
    }
}

fn device(kind: DeviceKind, index: u8) -> DeviceFacts {
    DeviceFacts {
        device_key: None,
        kind,
        index,
        architecture: match kind {
            DeviceKind::Gpu => Architecture::Hopper,
            DeviceKind::Switch => Architecture::Ls10,
        },
        ueid: PlatformId::from(Hex([0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, index])),
        driver: "550.90.07".to_owned(),
        vbios: "96.00.9F.00.01".to_owned(),
        mode: Some(GpuMode::Ppcie),
        matched: 12,
        revocation: REVOCATION,
    }
}

/// A result in which every check of every part passed.
fn passed(cpu: CpuFacts, devices: Vec<DeviceFacts>) -> AttestationResult {
    let part = match cpu {
        CpuFacts::Snp(_) => Part::Snp,
        CpuFacts::Tdx(_) => Part::Tdx,
    };
    let own = devices.iter().map(|facts| (facts.kind.part(), facts.kind.submod(facts.index)));
    let parts = [(Part::Envelope, Submod::Envelope), (part, Submod::Cpu)].into_iter().chain(own);
    let trace = parts.flat_map(|(part, submod)| {
        CHECKS.iter().filter(move |row| row.id.covers(part)).map(move |row| CheckOutcome {
            check: row.id,
            submod: submod.to_string(),
            verdict: Verdict::Pass,
            expected: String::new(),
            got: String::new(),
        })
    });
    let trace = trace.collect();
    let keys = PresentedKeys {
        tls_spki: vec![7; 91].into(),
        hpke: HpkePublicKey { kem: KEM_X25519, public: vec![8; 32].into() },
        signing: Hex([9; 32]),
    };
    let (charter, order, lease) = (Hex([1; 32]), Some(Hex([2; 32])), Hex([3; 16]));
    let role = Role::Trainer;
    let profile =
        Profile { charter, role, order, lease, keys: keys.digests(), channel: None, boot: Hex([4; 32]) };
    AttestationResult {
        keys: AttestedKeys::new(keys),
        config: LaunchConfig {
            v: 1,
            role,
            charter,
            order,
            lease,
            backend: if part == Part::Tdx { Backend::Tdx } else { Backend::Snp },
            image: Hex([5; 32]),
            vcpus: 2,
            memory_mib: 1024,
            gpus: Vec::new(),
            disks: Vec::new(),
        },
        runtime: Runtime {
            nonce: Hex([6; 32]),
            tee_pubkey: Hex([4; 65]),
            additional_evidence: Vec::new(),
            profile,
        },
        anchors: Anchors::Vendor,
        level: Level::Strict,
        cpu,
        devices,
        evidence: Hex([7; 32]),
        appraised_at: NOW,
        trace,
    }
}

fn claims(result: &AttestationResult, image: Image, data: Data) -> Claims {
    let (policy, collateral) = (AppraisalPolicy::preset(result.level()), Collateral::none());
    let proof = "p".repeat(LOG_PROOF_MAX_BYTES);
    let issue = Issue {
        issuer: "https://broker.example",
        audience: "https://auditor.example",
        id: Hex([0; 16]),
        issued_at: NOW,
        expires_at: NOW + 900,
        policy: &policy,
        collateral: &collateral,
        verifier: Build { developer: "https://tiltyard.example", build: "broker 1", sha256: Hex([8; 32]) },
        image,
        data,
        log_proof: Some(&proof),
    };
    Claims::from_result(result, &issue).expect("issuable")
}

fn payload(claims: &Claims) -> Value {
    serde_json::from_slice(&claims.to_bytes()).expect("JSON")
}

fn vector(result: &AttestationResult, submod: &str) -> Value {
    let claims = payload(&claims(result, Image::RootHashAndScratch, Data::Pinned));
    claims["submods"][submod]["ear_trustworthiness_vector"].clone()
}

#[test]
fn a_guest_of_vendors_with_devices_is_affirmed() {
    let devices = vec![device(DeviceKind::Gpu, 0), device(DeviceKind::Gpu, 1), device(DeviceKind::Switch, 0)];
    let result = passed(CpuFacts::Tdx(Box::new(tdx())), devices);
    let claims = payload(&claims(&result, Image::RootHashAndScratch, Data::Pinned));
    let submods = claims["submods"].as_object().expect("a map");
    assert_eq!(submods.keys().collect::<Vec<_>>(), ["cpu0", "gpu0", "gpu1", "nvswitch0"]);
    assert_eq!(claims["ear_status"], "affirming");
    assert_eq!(claims["ear_all_submods_bound"], "true");
    assert_eq!(claims["tiltyard_anchors"], "vendor root");
    assert_eq!(claims["tiltyard_level"], "strict");
    let members = |vector: &Value| -> Vec<i64> {
        let order = [
            "instance-identity",
            "configuration",
            "executables",
            "file-system",
            "hardware",
            "runtime-opaque",
            "storage-opaque",
            "sourced-data",
        ];
        assert_eq!(vector.as_object().map(serde_json::Map::len), Some(order.len()));
        order.iter().filter_map(|name| vector[name].as_i64()).collect()
    };
    assert_eq!(members(&vector(&result, "cpu0")), [2, 2, 3, 2, 2, 2, 2, 2]);
    for name in ["gpu0", "gpu1", "nvswitch0"] {
        assert_eq!(members(&vector(&result, name)), [2, 2, 3, 0, 2, 0, 0, 0], "{name}");
        assert_eq!(submods[name]["ear_status"], "affirming");
        assert_eq!(submods[name]["ear_verifier_claims"]["measres"], "success");
        assert_eq!(submods[name]["ear_verifier_claims"]["tiltyard_warnings"], Value::Array(Vec::new()));
    }
    assert_eq!(submods["gpu1"]["ear_attester_claims"]["ueid"], "9223372036854775553");
    assert_eq!(submods["cpu0"]["ear_attester_claims"]["tiltyard_tdx_xfam"], "0xffffffffffffffff");
}

#[test]
fn what_the_issuer_does_not_state_is_not_claimed() {
    let result = passed(CpuFacts::Snp(Box::new(snp(Product::Turin, SigningKey::Vcek))), Vec::new());
    let of = |image, data| {
        let claims = payload(&claims(&result, image, data));
        let vector = &claims["submods"]["cpu0"]["ear_trustworthiness_vector"];
        ["file-system", "storage-opaque", "sourced-data"].map(|name| vector[name].as_i64().unwrap_or(-1))
    };
    assert_eq!(of(Image::Program, Data::NotPinned), [0, 0, 0]);
    assert_eq!(of(Image::RootHash, Data::NotPinned), [2, 0, 0]);
    assert_eq!(of(Image::RootHashAndScratch, Data::NotPinned), [2, 2, 0]);
    assert_eq!(of(Image::Program, Data::Pinned), [0, 0, 2]);
}

/// What `standard` would refuse has a known weakness, even where every check of a lab passed.
#[test]
fn hardware_that_only_a_lab_accepts_is_a_warning() {
    let hardware = |cpu: CpuFacts| {
        let result = AttestationResult { level: Level::Lab, ..passed(cpu, Vec::new()) };
        vector(&result, "cpu0")["hardware"].clone()
    };
    let of_snp = |product, key| hardware(CpuFacts::Snp(Box::new(snp(product, key))));
    assert_eq!(of_snp(Product::Turin, SigningKey::Vcek), 2);
    assert_eq!(of_snp(Product::Genoa, SigningKey::Vcek), 2);
    assert_eq!(of_snp(Product::Milan, SigningKey::Vcek), 32);
    assert_eq!(of_snp(Product::Turin, SigningKey::Vlek), 32);
    let of_tdx = |tcb_status| hardware(CpuFacts::Tdx(Box::new(TdxFacts { tcb_status, ..tdx() })));
    assert_eq!(of_tdx(Some(TcbStatus::UpToDate)), 2);
    assert_eq!(of_tdx(Some(TcbStatus::SWHardeningNeeded)), 2);
    assert_eq!(of_tdx(Some(TcbStatus::OutOfDate)), 32);
    assert_eq!(of_tdx(None), 32);
}

#[test]
fn foreign_roots_taint_every_submodule() {
    let devices = vec![device(DeviceKind::Gpu, 0)];
    let honest = passed(CpuFacts::Tdx(Box::new(tdx())), devices);
    let result =
        AttestationResult { anchors: Anchors::NotVendor(Hex([0xAB; 32])), level: Level::Lab, ..honest };
    let claims = payload(&claims(&result, Image::Program, Data::NotPinned));
    let taint = format!("NOT A VENDOR ROOT (anchor set {})", "ab".repeat(32));
    assert_eq!(claims["tiltyard_anchors"], taint);
    assert_eq!(claims["ear_status"], "warning");
    for name in ["cpu0", "gpu0"] {
        assert_eq!(vector(&result, name)["hardware"], 32, "{name}");
        assert_eq!(vector(&result, name)["runtime-opaque"], 0, "{name}");
    }
}

/// One device that is only warned about makes the whole a warning, and says why.
#[test]
fn the_status_is_the_worst_member() {
    let devices = vec![device(DeviceKind::Gpu, 0), device(DeviceKind::Gpu, 1)];
    let mut result = passed(CpuFacts::Tdx(Box::new(tdx())), devices);
    let warned = result.trace.iter_mut().filter(|row| row.submod == "gpu1" && row.check == "GPU-06");
    warned.for_each(|row| row.verdict = Verdict::Warning);
    let claims = payload(&claims(&result, Image::Program, Data::NotPinned));
    let status = |name: &str| claims["submods"][name]["ear_status"].clone();
    assert_eq!([status("cpu0"), status("gpu0"), status("gpu1")], ["affirming", "affirming", "warning"]);
    assert_eq!(claims["ear_status"], "warning");
    assert_eq!(claims["submods"]["gpu1"]["ear_verifier_claims"]["tiltyard_warnings"][0], "GPU-06");
    // A warning that feeds no claim of the vector speaks against its part all the same.
    let quiet = result.trace.iter_mut().filter(|row| row.submod == "gpu0" && row.check == "RIM-01");
    quiet.for_each(|row| row.verdict = Verdict::Warning);
    let claims = payload(&super::tests::claims(&result, Image::Program, Data::NotPinned));
    assert_eq!(claims["submods"]["gpu0"]["ear_status"], "warning");
    assert_eq!(vector(&result, "gpu0")["executables"], 3);
}

#[test]
fn what_is_not_bound_is_said_so() {
    for (id, verdict, bound) in [
        ("BND-03", Verdict::NotShown, "false"),
        ("BND-01", Verdict::NotApplicable, "false"),
        ("BND-06", Verdict::Fail, "false"),
        ("BND-05", Verdict::NotApplicable, "true"),
    ] {
        let mut result = passed(CpuFacts::Tdx(Box::new(tdx())), Vec::new());
        result.trace.iter_mut().filter(|row| row.check == *id).for_each(|row| row.verdict = verdict);
        let claims = payload(&claims(&result, Image::Program, Data::NotPinned));
        assert_eq!(claims["ear_all_submods_bound"], bound, "{id} {verdict:?}");
    }
}

/// 16 GPUs, 8 switches and the longest log proof fit into one token, which reads back.
#[test]
fn the_largest_guest_has_a_token() {
    let gpus = (0..16).map(|index| device(DeviceKind::Gpu, index));
    let switches = (0..8).map(|index| device(DeviceKind::Switch, index));
    let result = passed(
        CpuFacts::Snp(Box::new(snp(Product::Turin, SigningKey::Vcek))),
        gpus.chain(switches).collect(),
    );
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("a seed");
    let key = Hex::from_slice(pair.public_key().as_ref()).expect("32 bytes");
    let signer = |message: &[u8]| pair.sign(message).as_ref().try_into().expect("64 bytes");
    let token = sign(&claims(&result, Image::RootHashAndScratch, Data::Pinned), &key, signer).expect("fits");
    let keys = result.keys().digests();
    let demands =
        Demands { keys: &[key], audience: "https://auditor.example", now: NOW, holder: Holder::Keys(&keys) };
    let read = verify(&token, &demands, |_, _| true).expect("reads back");
    assert_eq!(read.claims().submods.len(), 25);
    assert_eq!(read.claims().ear_status, Tier::Affirming);
    assert_eq!(read.claims().tiltyard_anchors, Anchors::Vendor);
}
