//! Floors, lists and reference values that a genuine quote does not meet.

use tiltyard_attestation::policy::{Level, ModuleFloor, PlatformFlag, PlatformKind, TdxFloor};
use tiltyard_attestation::{AppraisalPolicy, Backend, CheckId, Code, Hex, Verdict};

use crate::support::{
    Case, EX_NOW, TODAY, V4_NOW, V5_NOW, body_at, charter, collateral, field, findings, floor, ppid,
    reference, set, trimmed,
};

/// What the UpToDate quote has against it in any charter: its event log is not public.
const REPLAY: (CheckId, Code) = (CheckId::Tdx18, Code::RtmrReplayMismatch);

fn with_floor(level: Level, edit: impl FnOnce(&mut TdxFloor)) -> Case {
    let case = Case::up_to_date(level);
    let mut floor = floor();
    edit(&mut floor);
    Case { policy: charter(level, &floor, &case.quote), ..case }
}

#[test]
fn tdx_04_the_attestation_key_signs_header_and_body() {
    let quote = trimmed("dcapqvl_tdx_quote");
    // User data, MRTD, REPORT_DATA, the signature.
    for at in [28, 184, 568, 636] {
        let mut bent = quote.clone();
        bent[at] ^= 1;
        assert_eq!(findings(&Case::of(bent)), [(CheckId::Tdx04, Code::QuoteSignature)], "{at}");
    }
    let other = trimmed("dcapqvl_tdx-quote.hex");
    let mut grafted = quote.clone();
    grafted[48..632].copy_from_slice(&other[48..632]);
    assert_eq!(findings(&Case::of(grafted)), [(CheckId::Tdx04, Code::QuoteSignature)]);
}

#[test]
fn tdx_05_the_quoting_enclave_names_the_attestation_key() {
    let quote = trimmed("dcapqvl_tdx_quote");
    // Attestation key, authentication data.
    for at in [700, 1_220] {
        let mut bent = quote.clone();
        bent[at] ^= 1;
        assert_eq!(findings(&Case::of(bent)), [(CheckId::Tdx05, Code::QeBinding)], "{at}");
    }
    // QE report, and the PCK's signature on it.
    for at in [770, 1_100, 1_154] {
        let mut bent = quote.clone();
        bent[at] ^= 1;
        assert_eq!(findings(&Case::of(bent)), [(CheckId::Tdx05, Code::QeReportSignature)], "{at}");
    }
    // Key and signature of another platform's quote, with the body that they sign.
    let other = trimmed("trustee_tdx_quote_4.dat");
    let mut grafted = quote;
    grafted[..764].copy_from_slice(&other[..764]);
    assert_eq!(findings(&Case::of(grafted)), [(CheckId::Tdx05, Code::QeBinding)]);
}

#[test]
fn tdx_07_the_platform_is_certified_in_its_time() {
    let case = |now| Case { now, ..Case::of(trimmed("dcapqvl_tdx_quote")) };
    // The PCK certificate is valid from 2025-02-06T23:25:51Z to 2032-02-06T23:25:51Z.
    let (first, last) = (1_738_884_351, 1_959_722_751);
    assert_eq!(findings(&case(first)), []);
    assert_eq!(findings(&case(last)), []);
    assert_eq!(findings(&case(first - 1)), [(CheckId::Tdx07, Code::CertNotYetValid)]);
    assert_eq!(findings(&case(last + 1)), [(CheckId::Tdx07, Code::CertExpired)]);
}

#[test]
fn tdx_09_a_platform_must_reach_a_level_that_the_policy_accepts() {
    for level in [Level::Lab, Level::Standard, Level::Strict] {
        let quote = trimmed("dcapqvl_tdx_quote_outdated");
        let case = Case {
            collateral: collateral(vec![set("dcapqvl_tdx_quote_outdated_collateral.json")]),
            policy: charter(level, &floor(), &quote),
            now: V5_NOW,
            ..Case::of(quote)
        };
        assert!(findings(&case).contains(&(CheckId::Tdx09, Code::TcbStatus)), "{level:?}");
    }
    // Microcode that was up to date in 2025, by TCB info of 2026.
    let quote = trimmed("dcapqvl_tdx_quote");
    for (level, accepted) in [(Level::Lab, true), (Level::Standard, false), (Level::Strict, false)] {
        let case = Case {
            collateral: collateral(vec![set("dcapqvl_tdx_quote_td15ex_collateral.json")]),
            policy: charter(level, &floor(), &quote),
            now: EX_NOW,
            ..Case::of(quote.clone())
        };
        let outcome = case.run();
        let got = "OutOfDate (INTEL-SA-01192 INTEL-SA-01245 INTEL-SA-01312 INTEL-SA-01313)";
        assert_eq!(outcome.got(CheckId::Tdx09), got);
        assert_eq!(!outcome.findings().contains(&(CheckId::Tdx09, Code::TcbStatus)), accepted, "{level:?}");
        // A status that is allowed, with an advisory that is not.
        let mut floor = floor();
        floor.refused_advisories = vec!["INTEL-SA-01245".to_owned()];
        let case = Case { policy: charter(level, &floor, &quote), ..case };
        let rejected = findings(&case).contains(&(CheckId::Tdx09, Code::AdvisoryRejected));
        assert_eq!(rejected, accepted, "{level:?}");
    }
}

#[test]
fn tdx_10_the_evaluation_number_is_at_or_above_the_floor() {
    assert_eq!(findings(&with_floor(Level::Lab, |floor| floor.tcb_evaluation = 17)), [REPLAY]);
    for level in [Level::Lab, Level::Standard] {
        let case = with_floor(level, |floor| floor.tcb_evaluation = 18);
        assert_eq!(findings(&case), [(CheckId::Tdx10, Code::TcbEvalTooOld), REPLAY], "{level:?}");
    }
    // What the caller accepted before counts like a floor; a lower one lifts nothing.
    let remembered = |accepted_evaluation, floor_at| Case {
        accepted_evaluation,
        ..with_floor(Level::Standard, |floor| floor.tcb_evaluation = floor_at)
    };
    assert_eq!(findings(&remembered(17, 1)), [REPLAY]);
    for (accepted, floor_at) in [(18, 1), (18, 17), (1, 18)] {
        let found = findings(&remembered(accepted, floor_at));
        assert_eq!(found, [(CheckId::Tdx10, Code::TcbEvalTooOld), REPLAY], "{accepted}, {floor_at}");
    }
}

#[test]
fn tdx_11_strict_wants_each_flag_named() {
    let named = |floor: &mut TdxFloor| floor.platform_flags = vec![PlatformFlag::SmtEnabled];
    for (level, expected) in [(Level::Lab, Verdict::Warning), (Level::Standard, Verdict::Warning)] {
        let outcome = with_floor(level, named).run();
        assert_eq!(outcome.verdict(CheckId::Tdx11), expected, "{level:?}");
        assert_eq!(outcome.got(CheckId::Tdx11), "DynamicPlatform, CachedKeys");
    }
    let now = V4_NOW - 4 * 86_400;
    let case = Case { now, ..with_floor(Level::Strict, named) };
    assert_eq!(findings(&case), [(CheckId::Tdx11, Code::PlatformFlag), REPLAY]);
    let case = Case { now, ..with_floor(Level::Strict, |_| {}) };
    assert_eq!(findings(&case), [REPLAY]);
}

/// The quote's module is 1.x at version 6.
#[test]
fn tdx_12_the_module_is_at_or_above_the_floor() {
    let quote = trimmed("dcapqvl_tdx_quote");
    let mrseam = field(&quote, 16);
    let row = |major, svn, mrseam: &[Hex<48>]| ModuleFloor { major, svn, mrseam: mrseam.to_vec() };
    let rows = |rows: &[ModuleFloor]| with_floor(Level::Lab, |floor| floor.modules = rows.to_vec());
    assert_eq!(findings(&rows(&[row(0, 3, &[]), row(1, 6, &[])])), [REPLAY]);
    assert_eq!(findings(&rows(&[row(1, 6, &[Hex([0; 48]), mrseam])])), [REPLAY]);
    for refused in [
        &[row(1, 7, &[])][..],
        // No row for this major version.
        &[row(0, 0, &[]), row(3, 0, &[])],
        &[row(1, 6, &[Hex([0; 48])])],
    ] {
        assert_eq!(findings(&rows(refused)), [(CheckId::Tdx12, Code::TdxModule), REPLAY], "{refused:?}");
    }
}

/// Launched at version 7, running version 13: the floor holds for both.
#[test]
fn tdx_12_the_floor_holds_for_the_launch_too() {
    let quote = trimmed("dcapqvl_tdx_quote_outdated");
    for (svn, refused) in [(7, false), (8, true), (13, true)] {
        let mut floor = floor();
        floor.modules = vec![ModuleFloor { major: 1, svn, mrseam: vec![] }];
        let case =
            Case { policy: charter(Level::Lab, &floor, &quote), now: TODAY, ..Case::of(quote.clone()) };
        assert_eq!(findings(&case).contains(&(CheckId::Tdx12, Code::TdxModule)), refused, "{svn}");
    }
}

#[test]
fn tdx_15_features_are_within_the_mask() {
    let quote = trimmed("dcapqvl_tdx_quote");
    let xfam = u64::from_le_bytes(field::<8>(&quote, 128).0);
    assert_eq!(xfam, 0x6_02e7);
    assert_eq!(findings(&with_floor(Level::Lab, |floor| floor.xfam = xfam)), [REPLAY]);
    for bit in (0..64).filter(|bit| xfam >> bit & 1 == 1) {
        for level in [Level::Lab, Level::Standard] {
            let case = with_floor(level, |floor| floor.xfam = xfam & !(1 << bit));
            assert_eq!(findings(&case), [(CheckId::Tdx15, Code::Xfam), REPLAY], "{level:?} {bit}");
        }
    }
}

#[test]
fn tdx_17_the_measurement_and_the_owner_are_those_of_the_image() {
    let mut case = Case::up_to_date(Level::Lab);
    assert_eq!(case.run().facts().image_name, "an image");
    let good = reference(&case.quote, &[]);
    let mut refused = |edit: fn(&mut tiltyard_attestation::reference::ReferenceImage)| {
        let mut values = good.clone();
        edit(&mut values.images[0]);
        case.reference = Some(values);
        findings(&case)
    };
    let measurement = refused(|image| image.measurement.0[47] ^= 1);
    assert_eq!(measurement, [(CheckId::Tdx17, Code::MeasurementMismatch), REPLAY]);
    let owner = [(CheckId::Tdx17, Code::OwnerMismatch), REPLAY];
    assert_eq!(refused(|image| image.tdx.as_mut().unwrap().mrowner = Hex([1; 48])), owner);
    assert_eq!(refused(|image| image.tdx.as_mut().unwrap().mrownerconfig = Hex([1; 48])), owner);
    let none = refused(|image| image.tdx = None);
    assert_eq!(none, [REPLAY], "zero owner fields");
    let case = Case {
        reference: Some(tiltyard_attestation::reference::ReferenceValues {
            images: vec![],
            foreign_anchors: None,
        }),
        ..Case::up_to_date(Level::Lab)
    };
    assert_eq!(findings(&case)[0], (CheckId::Tdx17, Code::MeasurementMismatch));
}

#[test]
fn tdx_19_the_platform_is_enrolled_and_not_revoked() {
    use tiltyard_attestation::policy::{GpuFloor, Platform, TeeFloor};
    let case = Case::up_to_date(Level::Lab);
    let id = ppid(&case.quote);
    let policy = |kind, id: &[u8], revoked_at| {
        let id = tiltyard_attestation::policy::PlatformId::new(id).unwrap();
        let row = Platform { kind, id, custody: String::new(), enrolled_at: 0, revoked_at };
        let tee = TeeFloor { snp: vec![], tdx: Some(floor()) };
        AppraisalPolicy::from_floors(Level::Standard, &[Backend::Tdx], &tee, &GpuFloor::none(), &[row])
            .unwrap()
    };
    let found = |policy| findings(&Case { policy, ..Case::up_to_date(Level::Lab) });
    assert_eq!(found(policy(PlatformKind::Ppid, &id.0, None)), [REPLAY]);
    assert_eq!(found(policy(PlatformKind::Ppid, &id.0, Some(V4_NOW + 1))), [REPLAY]);
    let unknown = [(CheckId::Tdx19, Code::UnknownPlatform), REPLAY];
    assert_eq!(found(policy(PlatformKind::Ppid, &[7; 16], None)), unknown);
    assert_eq!(found(policy(PlatformKind::GpuUeid, &id.0, None)), unknown);
    let from = |enrolled_at| {
        let id = tiltyard_attestation::policy::PlatformId::new(&id.0).unwrap();
        let kind = PlatformKind::Ppid;
        let row = Platform { kind, id, custody: String::new(), enrolled_at, revoked_at: None };
        let tee = TeeFloor { snp: vec![], tdx: Some(floor()) };
        AppraisalPolicy::from_floors(Level::Standard, &[Backend::Tdx], &tee, &GpuFloor::none(), &[row])
            .unwrap()
    };
    assert_eq!(found(from(V4_NOW)), [REPLAY]);
    assert_eq!(found(from(V4_NOW + 1)), unknown, "enrolled later than now");
    let revoked = [(CheckId::Tdx19, Code::PlatformRevoked), REPLAY];
    assert_eq!(found(policy(PlatformKind::Ppid, &id.0, Some(V4_NOW))), revoked);
}

/// Fields stand where the expected claims that were published with one of the quotes say.
#[test]
fn facts_are_those_of_the_body() {
    let quote = trimmed("dcapqvl_tdx_quote_outdated");
    let outcome = Case::of(quote.clone()).run();
    let facts = outcome.facts();
    assert_eq!(body_at(&quote), 54);
    assert_eq!(facts.tee_tcb_svn, field(&quote, 0));
    assert_eq!(facts.mrseam, field(&quote, 16));
    assert_eq!(facts.td_attributes, 0x1000_0000);
    assert_eq!(facts.xfam, 0x6_18e7);
    assert_eq!(facts.mrtd, field(&quote, 136));
    assert_eq!(facts.mrconfigid, field(&quote, 184));
    assert_eq!(facts.rtmr, [328, 376, 424, 472].map(|at| field(&quote, at)));
    assert_eq!(facts.fmspc.to_string(), "90c06f000000");
}
