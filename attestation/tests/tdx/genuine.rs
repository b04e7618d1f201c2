//! Each public vector gets its right verdict.

use tiltyard_attestation::policy::{Level, PlatformFlag, TcbStatus};
use tiltyard_attestation::{AppraisalPolicy, CheckId, Code, Hex, Verdict};

use crate::support::{Case, EX_NOW, SHARED, TODAY, V4_NOW, V5_NOW, collateral, file, findings, set, trimmed};

/// Quotes with what is wrong with them by themselves, in an examination under `lab`.
const QUOTES: [(&str, u16, &[(CheckId, Code)]); 8] = [
    ("dcapqvl_tdx_quote", 4, &[]),
    ("dcapqvl_tdx-quote.hex", 4, &[]),
    ("dcapqvl_tdx_quote_outdated", 5, &[]),
    ("dcapqvl_tdx_quote_td15ex", 5, &[]),
    ("gotdx_cos-113-tdx-quote.dat", 4, &[]),
    ("gotdx_tdx_prod_quote_SPR_E4.dat", 4, &[]),
    ("trustee_tdx_quote_4.dat", 4, &[(CheckId::Tdx13, Code::DebugTd)]),
    ("trustee_tdx_quote_5.dat", 5, &[(CheckId::Tdx16, Code::ServiceTd)]),
];

#[test]
fn signature_chains_of_all_quotes_hold() {
    for (name, version, expected) in QUOTES {
        let outcome = Case::of(trimmed(name)).run();
        assert_eq!(outcome.findings(), expected, "{name}");
        assert_eq!(outcome.facts().quote_version, version, "{name}");
        for check in [CheckId::Tdx01, CheckId::Tdx02, CheckId::Tdx03, CheckId::Tdx04, CheckId::Tdx05] {
            assert_eq!(outcome.verdict(check), Verdict::Pass, "{name} {check}");
        }
        // No collateral: revocation is unknown, and printed so.
        assert_eq!(outcome.verdict(CheckId::Tdx07), Verdict::Warning, "{name}");
        for check in [CheckId::Tdx06, CheckId::Tdx08, CheckId::Tdx09, CheckId::Tdx10, CheckId::Tdx18] {
            assert_eq!(outcome.verdict(check), Verdict::NotShown, "{name} {check}");
        }
    }
}

#[test]
fn without_collateral_nothing_above_lab_is_accepted() {
    for level in [Level::Standard, Level::Strict] {
        let case = Case { policy: AppraisalPolicy::preset(level), ..Case::of(trimmed("dcapqvl_tdx_quote")) };
        let got = findings(&case);
        for expected in [
            (CheckId::Tdx06, Code::QeIdentity),
            (CheckId::Tdx07, Code::RevocationUnknown),
            (CheckId::Tdx08, Code::CollateralMissing),
            (CheckId::Tdx09, Code::CollateralMissing),
            (CheckId::Tdx10, Code::TcbEvalTooOld),
            (CheckId::Tdx17, Code::MeasurementMismatch),
            (CheckId::Tdx18, Code::RtmrReplayMismatch),
            (CheckId::Tdx19, Code::UnknownPlatform),
        ] {
            assert!(got.contains(&expected), "{level:?} {expected:?}: {got:?}");
        }
    }
}

#[test]
fn a_charter_without_collateral_refuses_at_every_level() {
    for level in [Level::Lab, Level::Standard, Level::Strict] {
        let case = Case { collateral: collateral(vec![]), ..Case::up_to_date(level) };
        let got = findings(&case);
        for expected in [
            (CheckId::Tdx06, Code::QeIdentity),
            (CheckId::Tdx08, Code::CollateralMissing),
            (CheckId::Tdx09, Code::CollateralMissing),
            (CheckId::Tdx10, Code::CollateralMissing),
        ] {
            assert!(got.contains(&expected), "{level:?} {expected:?}: {got:?}");
        }
    }
}

/// The event log of this quote is not public, so its registers stay unexplained; nothing else is wrong.
#[test]
fn the_up_to_date_quote_is_up_to_date_in_its_window() {
    for level in [Level::Lab, Level::Standard] {
        let outcome = Case::up_to_date(level).run();
        assert_eq!(outcome.findings(), [(CheckId::Tdx18, Code::RtmrReplayMismatch)], "{level:?}");
        let facts = outcome.facts();
        assert_eq!(facts.tcb_status, Some(TcbStatus::UpToDate));
        assert_eq!(facts.tcb_evaluation, Some(17));
        assert_eq!(facts.fmspc, Hex([0xb0, 0xc0, 0x6f, 0, 0, 0]));
        assert_eq!(facts.image_name, "an image");
        assert!(facts.advisories.is_empty());
        assert_eq!(
            facts.platform_flags,
            [PlatformFlag::DynamicPlatform, PlatformFlag::CachedKeys, PlatformFlag::SmtEnabled]
        );
    }
}

/// `strict` wants collateral of the last 7 days, and this is 10 days old.
#[test]
fn strict_accepts_the_collateral_only_while_it_is_new() {
    let late = (CheckId::Col03, Code::CollateralStale);
    let replay = (CheckId::Tdx18, Code::RtmrReplayMismatch);
    assert_eq!(findings(&Case::up_to_date(Level::Strict)), [late, replay]);
    let case = Case { now: V4_NOW - 4 * 86_400, ..Case::up_to_date(Level::Strict) };
    assert_eq!(findings(&case), [replay]);
}

/// The window ends with the PCK's list (2025-07-19T10:00:35Z); the newest item is the QE identity.
#[test]
fn outside_of_its_window_the_same_quote_is_refused() {
    let at = |now| findings(&Case { now, ..Case::up_to_date(Level::Lab) });
    let replay = (CheckId::Tdx18, Code::RtmrReplayMismatch);
    let (first, last) = (1_750_329_147, 1_752_919_235);
    assert_eq!(at(first), [replay]);
    assert_eq!(at(last), [replay]);
    let stale = |check| (check, Code::CollateralStale);
    assert_eq!(at(first - 1), [stale(CheckId::Tdx08), replay]);
    assert_eq!(at(last + 1), [stale(CheckId::Tdx07), replay]);
    // 2025-05-20: before any of it was issued.
    assert_eq!(at(1_747_699_200), [(CheckId::Tdx07, Code::RevocationUnknown), stale(CheckId::Tdx08), replay]);
    let today = at(TODAY);
    assert_eq!(today[..2], [stale(CheckId::Tdx07), stale(CheckId::Tdx08)]);
    // Before the PCK certificate, and after it.
    for (now, code) in [(1_600_000_000, Code::CertNotYetValid), (2_051_222_400, Code::CertExpired)] {
        assert_eq!(at(now), [(CheckId::Tdx07, code)]);
    }
}

#[test]
fn the_outdated_quote_reaches_no_level() {
    let case = Case {
        collateral: collateral(vec![set("dcapqvl_tdx_quote_outdated_collateral.json")]),
        now: V5_NOW,
        ..Case::of(trimmed("dcapqvl_tdx_quote_outdated"))
    };
    let outcome = case.run();
    assert_eq!(outcome.findings(), [(CheckId::Tdx09, Code::TcbStatus)]);
    assert_eq!(outcome.got(CheckId::Tdx09), "no TCB level that the platform reaches at the launch");
    assert_eq!(outcome.facts().tcb_status, None);
    assert_eq!(outcome.facts().tcb_evaluation, Some(18));
}

/// The only public quote of version 5 with collateral that finds it up to date.
#[test]
fn the_extended_quote_is_up_to_date() {
    let case = Case {
        collateral: collateral(vec![set("dcapqvl_tdx_quote_td15ex_collateral.json")]),
        now: EX_NOW,
        ..Case::of(trimmed("dcapqvl_tdx_quote_td15ex"))
    };
    let outcome = case.run();
    assert_eq!(outcome.findings(), []);
    assert_eq!(outcome.facts().tcb_status, Some(TcbStatus::UpToDate));
    assert_eq!(outcome.facts().tcb_evaluation, Some(20));
    for check in [CheckId::Tdx06, CheckId::Tdx07, CheckId::Tdx08, CheckId::Tdx09, CheckId::Tdx16] {
        assert_eq!(outcome.verdict(check), Verdict::Pass, "{check}");
    }
}

#[test]
fn tdx_01_an_sgx_quote_shows_no_trust_domain() {
    let case = Case {
        collateral: collateral(vec![set("dcapqvl_tdx_quote_collateral.json")]),
        now: V4_NOW,
        ..Case::of(file("dcapqvl_sgx_quote"))
    };
    assert_eq!(findings(&case), [(CheckId::Tdx01, Code::WrongTee)]);
}

#[test]
fn bnd_09_buffers_are_not_trimmed_here() {
    for (name, spare) in [
        ("dcapqvl_tdx_quote", 70),
        ("gotdx_tdx_prod_quote_SPR_E4.dat", 39),
        ("gotdx_cos-113-tdx-quote.dat", 3_065),
    ] {
        assert_eq!(file(name).len() - trimmed(name).len(), spare, "{name}");
        assert_eq!(findings(&Case::of(file(name))), [(CheckId::Bnd09, Code::TrailingBytes)], "{name}");
    }
}

#[test]
fn tdx_13_a_debuggable_guest_is_refused_at_every_level() {
    for level in [Level::Lab, Level::Standard, Level::Strict] {
        let case =
            Case { policy: AppraisalPolicy::preset(level), ..Case::of(trimmed("trustee_tdx_quote_4.dat")) };
        assert!(findings(&case).contains(&(CheckId::Tdx13, Code::DebugTd)), "{level:?}");
    }
}

/// Key Locker on, and page removal can raise an exception in the guest.
#[test]
fn tdx_14_attributes_are_as_required_above_lab() {
    let quote = trimmed("gotdx_tdx_prod_quote_SPR_E4.dat");
    assert_eq!(Case::of(quote.clone()).run().verdict(CheckId::Tdx14), Verdict::Warning);
    for level in [Level::Standard, Level::Strict] {
        let case = Case { policy: AppraisalPolicy::preset(level), ..Case::of(quote.clone()) };
        assert!(findings(&case).contains(&(CheckId::Tdx14, Code::SeptVe)), "{level:?}");
    }
}

#[test]
fn tdx_16_a_bound_service_td_is_refused_at_every_level() {
    for level in [Level::Lab, Level::Standard, Level::Strict] {
        let case =
            Case { policy: AppraisalPolicy::preset(level), ..Case::of(trimmed("trustee_tdx_quote_5.dat")) };
        assert!(findings(&case).contains(&(CheckId::Tdx16, Code::ServiceTd)), "{level:?}");
    }
}

/// The copies here are those of the workspace's vector collection, where that is at hand.
#[test]
fn vectors_are_the_published_bytes() {
    if !std::path::Path::new(SHARED).exists() {
        println!("SKIPPED: the shared vector collection is absent");
        return;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tdx");
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let published = std::fs::read(format!("{SHARED}{}", name.trim_end_matches(".unfilled")));
        // The extended quote and its collateral are in the crate only.
        let Ok(published) = published else { continue };
        let mut ours = std::fs::read(format!("{folder}/{name}")).unwrap();
        if name.ends_with(".unfilled") {
            ours.resize(published.len(), 0xff);
        }
        assert_eq!(ours, published, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 18);
}
