//! SNP-04, SNP-06..SNP-08, COL-03: chains, dates, revocation; and what a set of roots must be.

use tiltyard_attestation::chain::{ChainError, Link};
use tiltyard_attestation::policy::{Level, Product};
use tiltyard_attestation::{
    Backend, Base64Bytes, CheckId, Code, Collateral, ForeignAnchors, ForeignArk, TrustAnchors, Verdict,
};

use crate::minted::{Guest, NOW, Setup, file, files, foreign};

fn refused(names: &[&str]) -> Vec<(CheckId, Code)> {
    Setup::lab().refused(&Guest::turin().certificates(names).evidence())
}

fn chain(code: Code) -> Vec<(CheckId, Code)> {
    vec![(CheckId::Snp06, code)]
}

#[test]
fn any_order_with_or_without_the_root() {
    for names in [
        &["vcek_turin.der", "ask_turin.der"][..],
        &["ask_turin.der", "vcek_turin.der"],
        &["ark_turin.der", "ask_turin.der", "vcek_turin.der"],
        &["ask_turin.der", "ark_turin.der", "vcek_turin.der"],
    ] {
        let evidence = Guest::turin().certificates(names).evidence();
        assert!(Setup::lab().appraise(&evidence).is_ok(), "{names:?}");
    }
}

#[test]
fn snp_04_another_signer_or_other_bytes() {
    let refused = [(CheckId::Snp04, Code::ReportSignature)];
    let bend = |at: usize| {
        let mut evidence = Guest::turin().evidence();
        let tiltyard_attestation::evidence::CpuEvidence::Snp { report, .. } = &mut evidence.cpu else {
            unreachable!()
        };
        report.0[at] ^= 1;
        Setup::lab().refused(&evidence)
    };
    assert_eq!(bend(0x090), refused);
    assert_eq!(bend(0x2A0), refused);
    assert_eq!(bend(0x2E8), refused);
}

#[test]
fn a_report_without_certificates_takes_those_of_its_chip_from_the_collateral() {
    let known = |names: &[&str]| {
        let mut setup = Setup::lab();
        setup.collateral.snp_certificates = files(names);
        setup
    };
    let bare = || Guest::turin().certificates(&[]).evidence();
    let other_chips = ["vcek_milan.der", "ask_milan.der", "ark_milan.der", "vlek_milan.der", "ark_turin.der"];
    for of_chip in [["vcek_turin.der", "ask_turin.der"], ["ask_turin.der", "vcek_turin.der"]] {
        let all = [&other_chips[..], &of_chip, &of_chip].concat();
        known(&all).appraise(&bare()).unwrap();
    }
    // What is not a certificate is nobody's.
    let mut setup = known(&["vcek_turin.der", "ask_turin.der"]);
    setup.collateral.snp_certificates.push(vec![0x30; 9].into());
    setup.appraise(&bare()).unwrap();

    assert_eq!(known(&other_chips).refused(&bare()), chain(Code::ChainShape), "no key of this chip");
    let tcb_of_another = |at: usize| {
        let mut guest = Guest::turin().certificates(&[]);
        guest.report[at] ^= 1;
        known(&["vcek_turin.der", "ask_turin.der"]).refused(&guest.evidence())
    };
    assert_eq!(tcb_of_another(0x180), chain(Code::ChainShape), "no key of these versions");
    assert_eq!(tcb_of_another(0x1A0), chain(Code::ChainShape), "no key of this chip");
    assert_eq!(tcb_of_another(0x1B0), chain(Code::ChainShape), "no key of an id that only begins alike");

    // What was found is verified like what came along.
    let forged = known(&["vcek_turin.der", "ask_forged.der"]).refused(&bare());
    assert_eq!(forged.len(), 1);
    assert_eq!(forged[0].0, CheckId::Snp06);
    // A chain that came along is the one that counts.
    let came = Guest::turin().certificates(&["vcek_turin.der"]).evidence();
    assert_eq!(known(&["vcek_turin.der", "ask_turin.der"]).refused(&came), chain(Code::ChainShape));
}

#[test]
fn snp_06_too_few_too_many_or_other_certificates() {
    assert_eq!(refused(&[]), chain(Code::ChainShape));
    assert_eq!(refused(&["vcek_turin.der"]), chain(Code::ChainShape));
    assert_eq!(refused(&["vcek_turin.der", "ask_turin.der", "ask_milan.der"]), chain(Code::ChainShape));
    assert_eq!(refused(&["vcek_turin.der", "ask_turin.der", "vcek_turin.der"]), chain(Code::ChainShape));
    assert_eq!(
        refused(&["vcek_turin.der", "ask_turin.der", "ark_turin.der", "ark_milan.der"]),
        chain(Code::ChainShape)
    );
}

#[test]
fn snp_06_a_root_that_is_not_pinned() {
    assert_eq!(refused(&["vcek_turin.der", "ask_turin.der", "ark_stranger.der"]), chain(Code::UntrustedRoot));
    assert_eq!(
        refused(&["vcek_turin.der", "ask_forged.der", "ark_stranger.der"]),
        chain(Code::UntrustedRoot)
    );
    let only_milan = ForeignAnchors::of_snp(foreign().snp[1..].to_vec());
    let setup = Setup { anchors: TrustAnchors::foreign(only_milan).unwrap(), ..Setup::lab() };
    assert_eq!(setup.refused(&Guest::turin().evidence()), chain(Code::UntrustedRoot));
}

#[test]
fn snp_06_links_that_do_not_fit() {
    assert_eq!(refused(&["vcek_turin.der", "ask_milan.der"]), chain(Code::IssuerMismatch));
    assert_eq!(refused(&["vcek_turin.der", "asvk_milan.der"]), chain(Code::IssuerMismatch));
    assert_eq!(refused(&["vcek_turin.der", "ask_turin.der", "ark_milan.der"]), chain(Code::IssuerMismatch));
    assert_eq!(refused(&["vcek_turin.der", "vcek_turin.der"]), chain(Code::IssuerMismatch));
}

#[test]
fn snp_06_issuers_that_may_not_issue() {
    assert_eq!(refused(&["vcek_turin.der", "ask_no_ca.der"]), chain(Code::IssuerNotCa));
    assert_eq!(refused(&["vcek_turin.der", "ask_no_sign.der"]), chain(Code::IssuerNotCa));
}

#[test]
fn snp_06_signatures_by_other_keys() {
    // Right names, but the stranger's root signed the intermediate.
    assert_eq!(refused(&["vcek_turin.der", "ask_forged.der"]), chain(Code::CertSignature));
    // The key below 4,096 bits.
    assert_eq!(refused(&["vcek_by_small.der", "ask_small.der"]), chain(Code::CertSignature));
    let bent = |at: usize| {
        let mut guest = Guest::turin();
        let der = &mut guest.certificates[0].0;
        let at = if at == usize::MAX { der.len() - 1 } else { at };
        der[at] ^= 1;
        Setup::lab().refused(&guest.evidence())
    };
    assert_eq!(bent(usize::MAX), chain(Code::CertSignature));
}

#[test]
fn snp_06_malformed_certificates() {
    assert_eq!(refused(&["vcek_critical.der", "ask_turin.der"]), chain(Code::CertFormat));
    assert_eq!(refused(&["vcek_no_fmc.der", "ask_turin.der"]), chain(Code::CertFormat));
    assert_eq!(refused(&["vcek_both.der", "ask_turin.der"]), chain(Code::CertFormat));
    assert_eq!(refused(&["vcek_rsa.der", "ask_turin.der"]), chain(Code::CertFormat));
    let with = |der: Base64Bytes| {
        let mut guest = Guest::turin();
        guest.certificates[0] = der;
        Setup::lab().refused(&guest.evidence())
    };
    let mut trailing = file("vcek_turin.der");
    trailing.0.push(0);
    assert_eq!(with(trailing), chain(Code::CertFormat));
    let mut short = file("vcek_turin.der");
    short.0.pop();
    assert_eq!(with(short), chain(Code::CertFormat));
    assert_eq!(with(Base64Bytes::default()), chain(Code::CertFormat));
}

#[test]
fn snp_07_dates() {
    let at = |now: u64| {
        let challenge = crate::minted::challenge_at(now);
        let setup = Setup::lab();
        setup.verifier().appraise(challenge, &Guest::turin().evidence(), &Collateral::none(), now)
    };
    // 2024-01-01 to 2049-01-01, both ends included.
    let (first, last) = (1_704_067_200, 2_493_072_000);
    assert!(at(first).is_ok());
    assert!(at(last).is_ok());
    assert_eq!(crate::minted::findings(at(first - 1)), [(CheckId::Snp07, Code::CertNotYetValid)]);
    assert_eq!(crate::minted::findings(at(last + 1)), [(CheckId::Snp07, Code::CertExpired)]);
}

fn with_lists(level: Level, names: &[&str]) -> Setup {
    let collateral = Collateral { snp_crls: files(names), ..Collateral::none() };
    if level == Level::Lab {
        return Setup { collateral, ..Setup::lab() };
    }
    Setup { collateral, ..Setup::above(level) }
}

fn snp_guest() -> Guest {
    let mut guest = Guest::turin();
    guest.config.backend = Backend::Snp;
    guest
}

#[test]
fn snp_08_revoked_at_every_level() {
    for level in [Level::Lab, Level::Standard, Level::Strict] {
        for list in ["revokes_ask.crl", "revokes_vcek.crl"] {
            // A good list beside it, or a past one that revokes, changes nothing.
            for names in
                [&[list][..], &["good.crl", list], &[list, "good.crl"], &["good.crl", "past_revokes.crl"]]
            {
                let got = with_lists(level, names).refused(&snp_guest().evidence());
                assert!(got.contains(&(CheckId::Snp08, Code::CertRevoked)), "{level:?} {names:?}: {got:?}");
            }
        }
    }
}

#[test]
fn snp_08_unknown_is_never_silently_good() {
    let unknown: [&[&str]; 6] =
        [&[], &["past.crl"], &["future.crl"], &["forged.crl"], &["other_root.crl"], &["vcek_turin.der"]];
    for names in unknown {
        for level in [Level::Standard, Level::Strict] {
            let got = with_lists(level, names).refused(&snp_guest().evidence());
            assert!(got.contains(&(CheckId::Snp08, Code::RevocationUnknown)), "{names:?}: {got:?}");
        }
        let result = with_lists(Level::Lab, names).appraise(&snp_guest().evidence()).unwrap();
        let row = result.trace().iter().find(|row| row.check == CheckId::Snp08).unwrap();
        assert_eq!(row.verdict, Verdict::Warning, "{names:?}");
    }
    let result = with_lists(Level::Lab, &["good.crl"]).appraise(&snp_guest().evidence()).unwrap();
    let row = result.trace().iter().find(|row| row.check == CheckId::Snp08).unwrap();
    assert_eq!(row.verdict, Verdict::Pass);
}

#[test]
fn col_03_lists_older_than_the_level_allows() {
    let stale = (CheckId::Col03, Code::CollateralStale);
    let day = 86_400;
    // good.crl is of 2026-11-20.
    let issued = 1_795_132_800;
    for (level, days) in [(Level::Strict, 7), (Level::Standard, 30), (Level::Lab, 365)] {
        for (now, is_stale) in [(issued + days * day, false), (issued + days * day + 1, true)] {
            let setup = with_lists(level, &["good.crl"]);
            let challenge = crate::minted::challenge_at(now);
            let result =
                setup.verifier().appraise(challenge, &snp_guest().evidence(), &setup.collateral, now);
            let found = result.err().is_some_and(|refusal| {
                refusal.findings.iter().any(|finding| (finding.check, finding.code) == stale)
            });
            assert_eq!(found, is_stale, "{level:?} {now}");
        }
    }
    assert!(with_lists(Level::Strict, &["old.crl"]).refused(&snp_guest().evidence()).contains(&stale));
    const { assert!(NOW > 1_795_132_800) };
}

#[test]
fn foreign_sets_that_are_no_roots() {
    let ark = |product, name| ForeignArk { product, ark_der: file(name) };
    let set = |snp: Vec<ForeignArk>| TrustAnchors::foreign(ForeignAnchors::of_snp(snp)).map(|_| ());
    assert_eq!(set(vec![]).unwrap_err().code(), Code::ChainShape);
    let twice = vec![ark(Product::Turin, "ark_turin.der"), ark(Product::Turin, "ark_turin.der")];
    assert_eq!(set(twice), Err(ChainError::DuplicateProduct { product: Product::Turin }));
    for (name, code) in [
        ("ark_short.der", Code::IssuerNotCa),
        ("ark_small.der", Code::CertSignature),
        ("ask_turin.der", Code::IssuerMismatch),
        ("good.crl", Code::CertFormat),
    ] {
        assert_eq!(set(vec![ark(Product::Turin, name)]).unwrap_err().code(), code, "{name}");
    }
    let mut bent = ark(Product::Turin, "ark_turin.der");
    if let Some(last) = bent.ark_der.0.last_mut() {
        *last ^= 1;
    }
    let error = set(vec![bent]).unwrap_err();
    assert!(matches!(error, ChainError::CertSignature { link: Link::Ark, .. }), "{error}");
}

#[test]
fn a_foreign_set_has_one_digest_whatever_its_layout() {
    let set = foreign();
    let pretty = serde_json::to_vec_pretty(&set).unwrap();
    assert_ne!(pretty, set.to_bytes());
    assert_eq!(ForeignAnchors::from_bytes(&pretty).unwrap().digest(), set.digest());
    assert!(ForeignAnchors::from_bytes(br#"{"snp":[],"tdx":[]}"#).is_err());
    assert!(ForeignAnchors::from_bytes(&vec![b' '; 64 * 1024 + 1]).is_err());
}
