//! Evidence that is genuine but for somebody or something else (BND, CHN, POL, GPU-17).

use tiltyard_attestation::binding::DeviceDigest;
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::policy::Product;
use tiltyard_attestation::{Backend, Hex, LaunchConfig, Role};
use tiltyard_simulator::mint::{Draft, sample_keys};

use crate::bench::Bench;

fn lab() -> Bench {
    Bench::lab(Product::Genoa, 3)
}

/// A document with one member changed.
fn other_config(edit: impl FnOnce(&mut LaunchConfig)) -> Vec<u8> {
    let mut config = lab().guest.config;
    edit(&mut config);
    config.to_bytes()
}

#[test]
fn bnd_01_nonce_of_another_challenge() {
    let found = lab().findings(|draft| draft.runtime.nonce = Hex([1; 32]));
    assert_eq!(found, ["BND-01 NonceMismatch"]);
}

#[test]
fn bnd_01_nonce_with_a_common_prefix() {
    let found = lab().findings(|draft| draft.runtime.nonce.0[31] ^= 1);
    assert_eq!(found, ["BND-01 NonceMismatch"]);
}

#[test]
fn bnd_02_challenge_older_than_a_minute() {
    let bench = lab().with(|bench| bench.issued_at = bench.now - 61);
    assert_eq!(bench.findings(|_| {}), ["BND-02 NonceExpired"]);
    let bench = lab().with(|bench| bench.issued_at = bench.now - 60);
    assert!(bench.findings(|_| {}).is_empty());
}

#[test]
fn bnd_02_challenge_of_the_future() {
    let bench = lab().with(|bench| bench.issued_at = bench.now + 1);
    assert_eq!(bench.findings(|_| {}), ["BND-02 NonceExpired"]);
}

#[test]
fn bnd_03_report_data_of_another_document() {
    let found = lab().findings(|draft| draft.report_data = Some(Hex([0xdd; 64])));
    assert_eq!(found, ["BND-03 BindingMismatch"]);
}

#[test]
fn bnd_03_runtime_document_in_another_layout() {
    let found = lab().findings(|draft| {
        draft.runtime_bytes = Some([draft.runtime.to_bytes(), b" ".to_vec()].concat());
    });
    assert_eq!(found, ["BND-03 RuntimeNotCanonical"]);
}

#[test]
fn bnd_06_device_that_is_not_in_the_envelope() {
    let found = lab().findings(|draft| {
        let gpu = DeviceDigest { kind: DeviceKind::Gpu, index: 0, digest: Hex([6; 48]) };
        draft.runtime.additional_evidence.push(gpu);
    });
    assert_eq!(found, ["BND-06 CompositeBinding"]);
}

#[test]
fn bnd_07_keys_of_another_guest() {
    let edits: [fn(&mut Draft); 3] = [
        |draft| draft.keys.tls_spki = sample_keys(9).tls_spki,
        |draft| draft.keys.hpke = sample_keys(9).hpke,
        |draft| draft.keys.signing = sample_keys(9).signing,
    ];
    for edit in edits {
        assert_eq!(lab().findings(edit), ["BND-07 KeyMismatch"]);
    }
}

#[test]
fn bnd_07_role_of_another_guest() {
    assert_eq!(lab().findings(|draft| draft.runtime.profile.role = Role::Trainer), ["BND-07 RoleMismatch"]);
}

#[test]
fn bnd_07_other_charter() {
    let found = lab().findings(|draft| draft.runtime.profile.charter = Hex([1; 32]));
    assert_eq!(found, ["BND-07 CharterMismatch"]);
}

#[test]
fn bnd_07_order_where_none_was_given() {
    let found = lab().findings(|draft| draft.runtime.profile.order = Some(Hex([1; 32])));
    assert_eq!(found, ["BND-07 OrderMismatch"]);
}

#[test]
fn bnd_07_lease_of_another_launch() {
    let found = lab().findings(|draft| draft.runtime.profile.lease = Hex([1; 16]));
    assert_eq!(found, ["BND-07 LeaseMismatch"]);
}

#[test]
fn bnd_08_host_data_of_another_configuration() {
    let found = lab().findings(|draft| draft.host_data = Some(Hex([1; 32])));
    assert_eq!(found, ["BND-08 HostDataMismatch"]);
}

#[test]
fn bnd_08_configuration_for_another_charter() {
    let found = lab().findings(|draft| draft.config = other_config(|config| config.charter = Hex([1; 32])));
    assert_eq!(found, ["BND-08 CharterMismatch"]);
}

#[test]
fn bnd_08_configuration_of_another_lease() {
    let found = lab().findings(|draft| draft.config = other_config(|config| config.lease = Hex([1; 16])));
    assert_eq!(found, ["BND-08 LeaseMismatch"]);
}

#[test]
fn bnd_08_trainer_without_an_order() {
    let found = lab().findings(|draft| draft.config = other_config(|config| config.role = Role::Trainer));
    assert_eq!(found, ["BND-08 ConfigInvalid"]);
}

#[test]
fn chn_01_evidence_without_the_channel_that_was_asked_for() {
    let bench = lab().with(|bench| bench.guest.channel = Some(Hex([0xc0; 32])));
    assert!(bench.findings(|_| {}).is_empty());
    assert_eq!(bench.findings(|draft| draft.runtime.profile.channel = None), ["CHN-01 ChannelBinding"]);
}

#[test]
fn chn_01_evidence_relayed_from_another_channel() {
    let bench = lab().with(|bench| bench.guest.channel = Some(Hex([0xc0; 32])));
    let found = bench.findings(|draft| draft.runtime.profile.channel = Some(Hex([0xc1; 32])));
    assert_eq!(found, ["CHN-01 ChannelBinding"]);
}

#[test]
fn pol_01_backend_that_the_charter_does_not_list() {
    let bench = lab().with(|bench| bench.backends = vec![Backend::Snp]);
    assert_eq!(bench.findings(|_| {}), ["POL-01 BackendNotListed"]);
}

#[test]
fn pol_02_anchors_that_the_charter_does_not_name() {
    for named in [None, Some(Hex([1; 32]))] {
        let bench = lab().with(|bench| bench.reference.foreign_anchors = named);
        assert_eq!(bench.findings(|_| {}), ["POL-02 AnchorsNotVendor"]);
    }
}

#[test]
fn gpu_17_trainer_without_its_gpu() {
    let bench = lab().with(|bench| {
        bench.gpu_count = 1;
        bench.guest.config.role = Role::Trainer;
        bench.guest.config.order = Some(Hex([0x0d; 32]));
    });
    assert_eq!(bench.findings(|_| {}), ["GPU-17 TopologyMismatch"]);
}
