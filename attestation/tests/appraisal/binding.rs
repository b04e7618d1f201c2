//! EVD, BND, CHN, POL: the envelope and what binds it to its challenge.

use tiltyard_attestation::binding::{DeviceDigest, KEM_X25519, Runtime};
use tiltyard_attestation::checks::{CHECKS, Check, Part};
use tiltyard_attestation::evidence::{CpuEvidence, DeviceKind};
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{Backend, Challenge, CheckId, Code, Collateral, Hex, Role, TrustAnchors, Verdict};

use crate::minted::{self, CHANNEL, CHARTER, Guest, LEASE, NONCE, NOW, ORDER, Setup, findings, foreign, put};

#[test]
fn minted_guests_pass_and_carry_what_was_shown() {
    for (guest, version) in [(Guest::turin(), 5), (Guest::milan(), 3)] {
        let evidence = guest.evidence();
        let result = Setup::lab().appraise(&evidence).unwrap();
        assert_eq!(result.cpu().snp().unwrap().report_version, version);
        assert_eq!(result.anchors(), Anchors::NotVendor(foreign().digest()));
        assert!(result.anchors().to_string().contains("NOT A VENDOR ROOT"));
        assert_eq!(result.keys().digests(), evidence.keys.digests());
        assert_eq!(result.keys().hpke(), &evidence.keys.hpke);
        assert_eq!(result.keys().tls_spki(), evidence.keys.tls_spki.as_ref());
        assert_eq!(result.config().lease, LEASE);
        assert_eq!(result.runtime().nonce, NONCE);
        assert_eq!(result.cpu().image_name(), "guest");
        assert_eq!(result.level(), Level::Lab);
        assert_eq!(result.appraised_at(), NOW);
        assert_eq!(result.evidence(), evidence.digest());
    }
}

/// Checks that have an object in SNP evidence without devices.
fn due() -> impl Iterator<Item = &'static Check> {
    CHECKS.iter().filter(|row| row.id.covers(Part::Envelope) || row.id.covers(Part::Snp))
}

#[test]
fn every_check_runs_once() {
    let result = Setup::lab().appraise(&Guest::turin().evidence()).unwrap();
    for row in due() {
        let ran = result.trace().iter().filter(|outcome| outcome.check == row.id);
        assert_eq!(ran.count(), 1, "{}", row.id);
    }
    assert!(result.trace().iter().all(|outcome| outcome.verdict != Verdict::Fail));
}

#[test]
fn evd_01_collateral_at_its_limit_and_one_item_more() {
    let lists = |count: usize| {
        let mut setup = Setup::lab();
        let list = setup.collateral.snp_crls[0].clone();
        setup.collateral.snp_crls = vec![list; count];
        setup
    };
    assert!(lists(64).appraise(&Guest::turin().evidence()).is_ok());
    assert_eq!(lists(65).refused(&Guest::turin().evidence()), [(CheckId::Evd01, Code::TooLarge)]);
}

#[test]
fn evd_01_keys_of_another_length() {
    let mut guest = Guest::turin();
    guest.keys.hpke.kem = KEM_X25519;
    assert_eq!(Setup::lab().refused(&guest.evidence()), [(CheckId::Evd01, Code::KeyFormat)]);
    let mut guest = Guest::turin();
    guest.keys.hpke.kem = 0x0010;
    assert_eq!(Setup::lab().refused(&guest.evidence()), [(CheckId::Evd01, Code::KeyFormat)]);
}

#[test]
fn evd_01_more_than_the_limits() {
    let too_large = [(CheckId::Evd01, Code::TooLarge)];
    let mut guest = Guest::turin();
    guest.certificates.resize(9, Default::default());
    assert_eq!(Setup::lab().refused(&guest.evidence()), too_large);
    let mut guest = Guest::turin();
    guest.certificates.push(vec![0; 16 * 1024].into());
    assert_eq!(Setup::lab().refused(&guest.evidence()), too_large);
    let mut evidence = Guest::turin().evidence();
    evidence.runtime = vec![b' '; 16 * 1024 + 1].into();
    assert_eq!(Setup::lab().refused(&evidence), too_large);
    let mut evidence = Guest::turin().evidence();
    evidence.config = vec![b' '; 16 * 1024 + 1].into();
    assert_eq!(Setup::lab().refused(&evidence), too_large);
    let collateral = Collateral { snp_crls: vec![Default::default(); 65], ..Collateral::none() };
    let setup = Setup { collateral, ..Setup::lab() };
    assert_eq!(setup.refused(&Guest::turin().evidence()), too_large);
}

#[test]
fn evd_02_a_report_for_a_backend_that_gives_quotes() {
    let mut guest = Guest::turin();
    guest.config.backend = Backend::Tdx;
    assert_eq!(Setup::lab().refused(&guest.evidence()), [(CheckId::Evd02, Code::WrongTee)]);
}

#[test]
fn chn_02_a_channel_whose_key_is_not_attested() {
    let evidence = Guest::turin().evidence();
    let own = evidence.keys.tls_spki.0.clone();
    let appraise = |spki: Vec<u8>| Setup::lab().appraise_as(&evidence, |challenge| challenge.with_peer(spki));
    assert!(appraise(own.clone()).is_ok());
    let mut other = own;
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(findings(appraise(other)), [(CheckId::Chn02, Code::ChannelPeer)]);
}

#[test]
fn bnd_01_another_nonce() {
    let mut guest = Guest::turin();
    guest.runtime.nonce.0[31] ^= 1;
    assert_eq!(Setup::lab().refused(&guest.evidence()), [(CheckId::Bnd01, Code::NonceMismatch)]);
}

#[test]
fn bnd_02_a_challenge_that_is_too_old_or_of_the_future() {
    let evidence = Guest::turin().evidence();
    let appraise = |issued_at| {
        let challenge = Challenge::new(NONCE, Role::Trainer, CHARTER, Some(ORDER), LEASE, issued_at);
        Setup::lab().verifier().appraise(challenge, &evidence, &Collateral::none(), NOW)
    };
    for issued_at in [NOW, NOW - 60] {
        assert!(appraise(issued_at).is_ok(), "{issued_at}");
    }
    for issued_at in [NOW - 61, NOW + 1, 0, u64::MAX] {
        assert_eq!(findings(appraise(issued_at)), [(CheckId::Bnd02, Code::NonceExpired)], "{issued_at}");
    }
}

#[test]
fn bnd_03_report_data_of_other_bytes() {
    let evidence = Guest::turin().evidence_with(|report| report[0x050] ^= 1);
    assert_eq!(Setup::lab().refused(&evidence), [(CheckId::Bnd03, Code::BindingMismatch)]);
    // Truncated and padded: the first 32 bytes alone never suffice.
    let evidence = Guest::turin().evidence_with(|report| put(report, 0x070, &[0; 32]));
    assert_eq!(Setup::lab().refused(&evidence), [(CheckId::Bnd03, Code::BindingMismatch)]);
}

#[test]
fn bnd_03_runtime_not_in_its_own_form() {
    let guest = Guest::turin();
    let canonical = String::from_utf8(guest.runtime.to_bytes()).unwrap();
    let spaced = canonical.replacen(':', ": ", 1);
    let unknown = canonical.replacen('{', "{\"aaa\":1,", 1);
    let twice = canonical.replacen(
        "{\"additional-evidence\":[],",
        "{\"additional-evidence\":[],\"additional-evidence\":[],",
        1,
    );
    for runtime in [spaced, unknown, twice, String::new(), format!("{canonical} ")] {
        let mut evidence = Guest::turin()
            .evidence_with(|report| put(report, 0x050, Runtime::report_data(runtime.as_bytes()).bytes()));
        evidence.runtime = runtime.clone().into_bytes().into();
        assert_eq!(
            Setup::lab().refused(&evidence),
            [(CheckId::Bnd03, Code::RuntimeNotCanonical)],
            "{runtime}"
        );
    }
}

#[test]
fn bnd_04_plain_kbs_form() {
    let guest = Guest::turin();
    let (nonce, key) = (guest.runtime.nonce, guest.runtime.tee_pubkey);
    let plain = format!(r#"{{"additional-evidence":[],"nonce":"{nonce}","tee-pubkey":"{key}"}}"#);
    let digest = ring::digest::digest(&ring::digest::SHA384, plain.as_bytes());
    let evidence = guest.evidence_with(|report| {
        put(report, 0x050, digest.as_ref());
        put(report, 0x080, &[0; 16]);
    });
    assert_eq!(Setup::lab().refused(&evidence), [(CheckId::Bnd04, Code::BindingMismatch)]);
}

#[test]
fn bnd_06_a_listed_device_that_is_not_there() {
    let mut guest = Guest::turin();
    guest.runtime.additional_evidence =
        vec![DeviceDigest { kind: DeviceKind::Gpu, index: 0, digest: Hex([1; 48]) }];
    assert_eq!(Setup::lab().refused(&guest.evidence()), [(CheckId::Bnd06, Code::CompositeBinding)]);
}

#[test]
fn bnd_07_keys_that_were_swapped_after_signing() {
    let mismatch = [(CheckId::Bnd07, Code::KeyMismatch)];
    let mut evidence = Guest::turin().evidence();
    evidence.keys.hpke.public.0[0] ^= 1;
    assert_eq!(Setup::lab().refused(&evidence), mismatch);
    let mut evidence = Guest::turin().evidence();
    evidence.keys.tls_spki.0[0] ^= 1;
    assert_eq!(Setup::lab().refused(&evidence), mismatch);
    let mut evidence = Guest::turin().evidence();
    evidence.keys.signing.0[0] ^= 1;
    assert_eq!(Setup::lab().refused(&evidence), mismatch);
}

#[test]
fn bnd_07_evidence_for_something_else() {
    let cases: [(fn(&mut Guest), Code); 5] = [
        (|guest| guest.runtime.profile.role = Role::Evaluator, Code::RoleMismatch),
        (|guest| guest.runtime.profile.charter.0[0] ^= 1, Code::CharterMismatch),
        (|guest| guest.runtime.profile.order = None, Code::OrderMismatch),
        (|guest| guest.runtime.profile.order = Some(Hex([0; 32])), Code::OrderMismatch),
        (|guest| guest.runtime.profile.lease.0[0] ^= 1, Code::LeaseMismatch),
    ];
    for (bend, code) in cases {
        let mut guest = Guest::turin();
        bend(&mut guest);
        assert_eq!(Setup::lab().refused(&guest.evidence()), [(CheckId::Bnd07, code)]);
    }
}

#[test]
fn bnd_08_configuration_of_another_guest() {
    let cases: [(fn(&mut Guest), Code); 4] = [
        (|guest| guest.config.role = Role::Evaluator, Code::RoleMismatch),
        (|guest| guest.config.charter.0[0] ^= 1, Code::CharterMismatch),
        (|guest| guest.config.order = Some(Hex([0; 32])), Code::OrderMismatch),
        (|guest| guest.config.lease.0[0] ^= 1, Code::LeaseMismatch),
    ];
    for (bend, code) in cases {
        let mut guest = Guest::turin();
        bend(&mut guest);
        assert_eq!(Setup::lab().refused(&guest.evidence()), [(CheckId::Bnd08, code)]);
    }
}

#[test]
fn bnd_08_host_data_of_another_document() {
    let evidence = Guest::turin().evidence_with(|report| report[0x0DF] ^= 1);
    assert_eq!(Setup::lab().refused(&evidence), [(CheckId::Bnd08, Code::HostDataMismatch)]);
    let mut evidence = Guest::turin().evidence();
    let mut config = Guest::turin().config;
    config.vcpus = 64;
    evidence.config = config.to_bytes().into();
    assert_eq!(Setup::lab().refused(&evidence), [(CheckId::Bnd08, Code::HostDataMismatch)]);
    let mut later = Guest::turin();
    later.config.v = 2;
    assert_eq!(Setup::lab().refused(&later.evidence()), [(CheckId::Bnd08, Code::ConfigInvalid)]);
    evidence.config = b"{}".to_vec().into();
    assert_eq!(Setup::lab().refused(&evidence), [(CheckId::Bnd08, Code::ConfigInvalid)]);
}

#[test]
fn bnd_09_other_lengths() {
    let report = |edit: fn(&mut Vec<u8>)| {
        let mut evidence = Guest::turin().evidence();
        let CpuEvidence::Snp { report, .. } = &mut evidence.cpu else { unreachable!() };
        edit(&mut report.0);
        Setup::lab().refused(&evidence)
    };
    assert_eq!(report(Vec::clear), [(CheckId::Bnd09, Code::ReportLength)]);
    assert_eq!(report(|bytes| bytes.truncate(1183)), [(CheckId::Bnd09, Code::ReportLength)]);
    assert_eq!(report(|bytes| bytes.push(0)), [(CheckId::Bnd09, Code::TrailingBytes)]);
}

#[test]
fn chn_01_another_channel_or_none() {
    let channel = [(CheckId::Chn01, Code::ChannelBinding)];
    for bent in [None, Some(Hex([0; 32]))] {
        let mut guest = Guest::turin();
        guest.runtime.profile.channel = bent;
        assert_eq!(Setup::lab().refused(&guest.evidence()), channel);
    }
}

#[test]
fn chn_01_without_a_channel_to_compare_is_not_shown() {
    let challenge = Challenge::new(NONCE, Role::Trainer, CHARTER, Some(ORDER), LEASE, NOW);
    let evidence = Guest::turin().evidence();
    assert_eq!(evidence.runtime.0.windows(64).filter(|w| *w == CHANNEL.to_string().as_bytes()).count(), 1);
    let result = Setup::lab().verifier().appraise(challenge, &evidence, &Collateral::none(), NOW).unwrap();
    let row = result.trace().iter().find(|row| row.check == CheckId::Chn01).unwrap();
    assert_eq!(row.verdict, Verdict::NotShown);
}

#[test]
fn pol_01_backends_that_the_charter_does_not_accept() {
    for (backend, code) in
        [(Backend::Vtpm, Code::BackendBelowCharter), (Backend::Kvm, Code::BackendNotListed)]
    {
        let mut guest = Guest::turin();
        guest.config.backend = backend;
        let got = Setup::lab().refused(&guest.evidence());
        assert!(got.contains(&(CheckId::Pol01, code)), "{got:?}");
    }
    let got = Setup::above(Level::Standard).refused(&Guest::turin().evidence());
    assert!(got.contains(&(CheckId::Pol01, Code::BackendBelowCharter)), "{got:?}");
}

#[test]
fn pol_02_foreign_roots_that_the_charter_does_not_name() {
    let refused = [(CheckId::Pol02, Code::AnchorsNotVendor)];
    for named in [None, Some(Hex([0; 32]))] {
        let mut setup = Setup::lab();
        setup.reference.foreign_anchors = named;
        assert_eq!(setup.refused(&Guest::turin().evidence()), refused);
    }
    // Everything else meets the levels above; named or not, the foreign set alone refuses.
    for level in [Level::Standard, Level::Strict] {
        for named in [None, Some(foreign().digest())] {
            let mut setup = Setup::above(level);
            setup.reference.foreign_anchors = named;
            let mut guest = Guest::turin();
            guest.config.backend = Backend::Snp;
            assert_eq!(setup.refused(&guest.evidence()), refused, "{level:?}");
        }
    }
}

#[test]
fn pol_02_vendor_roots_refuse_every_minted_item() {
    let setup = Setup { anchors: TrustAnchors::vendor(), ..Setup::lab() };
    for guest in [Guest::turin(), Guest::milan()] {
        assert_eq!(setup.refused(&guest.evidence()), [(CheckId::Snp06, Code::UntrustedRoot)]);
    }
}

#[test]
fn gpu_17_a_charter_that_wants_devices() {
    let setup = Setup { gpus: 1, ..Setup::lab() };
    assert_eq!(setup.refused(&Guest::turin().evidence()), [(CheckId::Gpu17, Code::TopologyMismatch)]);
}

#[test]
fn a_stopped_appraisal_shows_what_it_did_not_reach() {
    let mut guest = Guest::turin();
    guest.runtime.nonce.0[0] ^= 1;
    let refusal = Setup::lab().appraise(&guest.evidence()).unwrap_err();
    let row = |id| refusal.trace.iter().find(|row| row.check == id).unwrap();
    assert_eq!(row(CheckId::Snp04).verdict, Verdict::NotShown);
    assert_eq!(refusal.trace.len(), due().count());
    assert_eq!(minted::findings(Err(refusal)).len(), 1);
}
