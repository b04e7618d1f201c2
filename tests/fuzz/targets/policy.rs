//! Documents in JSON: policies, launch configurations, foreign roots, image manifests, boot and runtime documents.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tiltyard_attestation::binding::{BootDocument, DeviceState, Runtime, Switched};
use tiltyard_attestation::measure::manifest::{ImageManifest, MANIFEST_MAX_BYTES};
use tiltyard_attestation::policy::{
    Level, POLICY_MAX_BYTES, PlatformFlag, PolicyDocument, Product, SnpFloor, Tcb, TdxFloor,
};
use tiltyard_attestation::reference::ReferenceValues;
use tiltyard_attestation::{Backend, ForeignAnchors, Hex, LaunchConfig, TrustAnchors, Verifier};

use super::Target;
use super::measure::manifest;
use super::snp::{MINTED, golden};
use super::spdm::DEVICES;

pub const TARGET: Target = Target {
    name: "policy",
    run,
    seeds,
    costly,
    limit_bytes: POLICY_MAX_BYTES,
    mutated_bytes: 16 * 1024,
    words: &[
        "\\\"v\\\":1",
        "\\\"preset\\\":\\\"lab\\\"",
        "\\\"preset\\\":\\\"standard\\\"",
        "\\\"preset\\\":\\\"strict\\\"",
        "\\\"backends\\\":[\\\"snp\\\"]",
        "\\\"snp\\\":[",
        "\\\"tdx\\\":{",
        "\\\"gpu\\\":{",
        "\\\"platforms\\\":[",
        "\\\"reference\\\":{",
        "\\\"mitigations\\\":",
        "\\\"driver\\\":\\\"550.90.07\\\"",
        "18446744073709551615",
        "1e400",
        "-0",
        "\\\\u0000",
        "[[[[[[[[",
    ],
};

const TCB: Tcb = Tcb { fmc: 2, bootloader: 3, tee: 1, snp: 4, microcode: 75 };

fn seeds() -> Vec<Vec<u8>> {
    let set = &DEVICES.sets[0].expected;
    let full = PolicyDocument {
        backends: vec![Backend::Snp, Backend::Tdx],
        snp: vec![SnpFloor { product: Product::Turin, tcb: TCB, guest_svn: 0, vmpl: 0, mitigations: None }],
        tdx: Some(TdxFloor {
            tcb_evaluation: 17,
            modules: vec![],
            platform_flags: vec![PlatformFlag::DynamicPlatform, PlatformFlag::SmtEnabled],
            refused_advisories: vec!["INTEL-SA-00837".to_owned()],
            xfam: 0x6_1ae7,
        }),
        gpu: Some(set.floor.clone()),
        platforms: set.platforms.clone(),
        mitigations: Some(3),
        reference: Some(MINTED.reference.clone()),
        ..PolicyDocument::preset(Level::Lab)
    };
    let mut seeds: Vec<Vec<u8>> = [Level::Lab, Level::Standard, Level::Strict]
        .map(|level| written(&PolicyDocument::preset(level)))
        .into();
    let boot = BootDocument {
        v: 1,
        random: Hex([5; 32]),
        pci_gpus: 1,
        gpus: vec![DeviceState {
            cc_mode: Switched::On,
            protected_pcie: Switched::Off,
            devtools: Switched::Off,
        }],
    };
    let golden = golden();
    seeds.extend([
        written(&full),
        MINTED.foreign.to_bytes(),
        boot.to_bytes(),
        golden.runtime.0,
        golden.config.0,
    ]);
    seeds.push(manifest().to_bytes());
    seeds
}

/// More platforms than a policy takes, more images, and nesting without end.
fn costly() -> Vec<Vec<u8>> {
    let rows = |member: &str, row: &str| {
        let count = (POLICY_MAX_BYTES - 256) / (row.len() + 1);
        let list = vec![row; count].join(",");
        format!(r#"{{"v":1,"preset":"lab",{}}}"#, member.replace("ROWS", &list)).into_bytes()
    };
    let platform = r#"{"kind":"gpu_ueid","id":"01","custody":"","enrolled_at":0,"revoked_at":null}"#;
    let image = serde_json::to_string(&MINTED.reference.images[0]).unwrap_or_default();
    vec![
        rows(r#""platforms":[ROWS]"#, platform),
        rows(r#""reference":{"images":[ROWS],"foreign_anchors":null}"#, &image),
        rows(r#""backends":[ROWS]"#, r#""snp""#),
        vec![b'['; POLICY_MAX_BYTES],
        rows(r#""x":"ROWS""#, r"\u0041"),
    ]
}

fn written(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

fn run(data: &[u8]) {
    policy(data);
    if data.len() > TARGET.mutated_bytes {
        return;
    }
    if let Ok(config) = LaunchConfig::from_bytes(data) {
        assert_eq!(config.to_bytes(), data, "a launch configuration has one form");
    }
    if let Ok(manifest) = ImageManifest::from_bytes(data) {
        assert!(data.len() <= MANIFEST_MAX_BYTES);
        assert_eq!(manifest.to_bytes(), data, "an image manifest has one form");
    }
    if let Ok(set) = ForeignAnchors::from_bytes(data) {
        assert_eq!(ForeignAnchors::from_bytes(&set.to_bytes()).as_ref(), Ok(&set));
        let _ = TrustAnchors::foreign(set).map(|anchors| anchors.label());
    }
    same_again::<BootDocument>(data);
    same_again::<Runtime>(data);
    same_again::<ReferenceValues>(data);
}

fn policy(data: &[u8]) {
    let Ok(document) = PolicyDocument::from_bytes(data) else { return };
    assert!(data.len() <= POLICY_MAX_BYTES && document.v == 1);
    if data.len() > TARGET.mutated_bytes {
        let _ = document.policy().map(|policy| policy.digest());
        return;
    }
    assert_eq!(PolicyDocument::from_bytes(&written(&document)).as_ref(), Ok(&document));
    if let Ok(policy) = document.policy() {
        assert_eq!(policy.level(), document.preset, "a document never widens its preset");
        assert_eq!(document.policy().map(|policy| policy.digest()), Ok(policy.digest()));
        assert!(document.backends.iter().all(|backend| backend.satisfies(document.preset)));
        assert!(Verifier::for_examination(TrustAnchors::vendor(), &document).is_ok());
    }
}

/// What is read and written is read as it was.
fn same_again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<T>(data) {
        assert_eq!(serde_json::from_slice::<T>(&written(&document)).ok(), Some(document));
    }
}
