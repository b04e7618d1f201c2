//! dcap-qvl on the same inputs; where it differs, this says why.

use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteCollateralV3, QuotePolicy};
use tiltyard_attestation::{CheckId, Code};

use crate::support::{Case, EX_NOW, TODAY, V4_NOW, V5_NOW, collateral, file, findings, set, trimmed};

fn peer(quote: &[u8], collateral: &str, now: u64) -> Result<String, String> {
    let mut collateral: QuoteCollateralV3 = serde_json::from_slice(&file(collateral)).unwrap();
    // A chain in the collateral goes before the quote's own there; here a quote speaks for itself.
    collateral.pck_certificate_chain = None;
    QuoteVerifier::new_prod()
        .verify(quote, &collateral, now)
        .map(|report| report.status)
        .map_err(|error| format!("{error:#}"))
}

fn ours(quote: Vec<u8>, collateral_name: &str, now: u64) -> Vec<(CheckId, Code)> {
    findings(&Case { collateral: collateral(vec![set(collateral_name)]), now, ..Case::of(quote) })
}

const V4: &str = "dcapqvl_tdx_quote_collateral.json";
const V5: &str = "dcapqvl_tdx_quote_outdated_collateral.json";
const EX: &str = "dcapqvl_tdx_quote_td15ex_collateral.json";

#[test]
fn verdicts_agree_where_both_have_one() {
    let quote = |name| trimmed(name);
    for (quote, collateral, now, status) in [
        (quote("dcapqvl_tdx_quote"), V4, V4_NOW, Some("UpToDate")),
        (quote("dcapqvl_tdx_quote_td15ex"), EX, EX_NOW, Some("UpToDate")),
        // The platform of 2025 before the TCB info of 2026.
        (quote("dcapqvl_tdx_quote"), EX, EX_NOW, Some("OutOfDate")),
        (quote("dcapqvl_tdx_quote_outdated"), V5, V5_NOW, None),
        // Stale, early, of another family.
        (quote("dcapqvl_tdx_quote"), V4, TODAY, None),
        (quote("dcapqvl_tdx_quote"), V4, 1_747_699_200, None),
        (quote("dcapqvl_tdx_quote"), V5, V5_NOW, None),
        (quote("trustee_tdx_quote_4.dat"), V4, V4_NOW, None),
        (quote("trustee_tdx_quote_5.dat"), V4, V4_NOW, None),
    ] {
        let case = Case {
            collateral: crate::support::collateral(vec![set(collateral)]),
            now,
            ..Case::of(quote.clone())
        };
        let outcome = case.run();
        let found = outcome.facts.as_ref().and_then(|facts| facts.tcb_status);
        let accepted = outcome.findings().is_empty().then(|| format!("{:?}", found.unwrap()));
        assert_eq!(peer(&quote, collateral, now).ok(), accepted);
        assert_eq!(accepted.as_deref(), status);
    }
}

/// It verifies SGX quotes too, and this one's status is one that only a policy would refuse.
#[test]
fn the_peer_accepts_an_sgx_quote() {
    let quote = file("dcapqvl_sgx_quote");
    let collateral = "dcapqvl_sgx_quote_collateral.json";
    assert_eq!(peer(&quote, collateral, V4_NOW).as_deref(), Ok("ConfigurationAndSWHardeningNeeded"));
    assert_eq!(ours(quote, collateral, V4_NOW), [(CheckId::Tdx01, Code::WrongTee)]);
}

/// It stops reading where the signature data ends, and looks at no length twice.
#[test]
fn the_peer_ignores_trailing_bytes_and_some_of_the_structure() {
    let whole = file("dcapqvl_tdx_quote");
    assert_eq!(peer(&whole, V4, V4_NOW).as_deref(), Ok("UpToDate"));
    assert_eq!(ours(whole, V4, V4_NOW), [(CheckId::Bnd09, Code::TrailingBytes)]);
    // A length that covers the bytes behind the chain too.
    let mut longer = file("dcapqvl_tdx_quote");
    let len = u32::try_from(longer.len() - 636).unwrap();
    longer[632..636].copy_from_slice(&len.to_le_bytes());
    assert_eq!(peer(&longer, V4, V4_NOW).as_deref(), Ok("UpToDate"));
    assert_eq!(ours(longer, V4, V4_NOW), [(CheckId::Tdx02, Code::TrailingBytes)]);
    let quote = trimmed("dcapqvl_tdx_quote");
    for (at, value, expected) in [
        // Type of the certification data, an LF of the PEM text.
        (764, 7, (CheckId::Tdx02, Code::QuoteFormat)),
        (1_258 + 27, b' ', (CheckId::Tdx03, Code::PckChainEncoding)),
    ] {
        let mut bent = quote.clone();
        bent[at] = value;
        assert_eq!(peer(&bent, V4, V4_NOW).as_deref(), Ok("UpToDate"), "{at}");
        assert_eq!(ours(bent, V4, V4_NOW), [expected], "{at}");
    }
}

/// Its strict policy wants each configuration flag allowed by hand; so does our level of that name, by the charter.
#[test]
fn the_peers_strict_policy_refuses_the_platforms_flags() {
    let quote = trimmed("dcapqvl_tdx_quote");
    let collateral: QuoteCollateralV3 = serde_json::from_slice(&file(V4)).unwrap();
    let verdict = |policy: QuotePolicy| {
        QuoteVerifier::new_prod()
            .verify_with_policy(&quote, collateral.clone(), V4_NOW, &policy)
            .map_err(|error| format!("{error:#}"))
    };
    assert!(verdict(QuotePolicy::strict(V4_NOW)).is_err_and(|error| error.contains("Dynamic platform")));
    let allowed =
        QuotePolicy::strict(V4_NOW).allow_dynamic_platform(true).allow_cached_keys(true).allow_smt(true);
    let claims = verdict(allowed).unwrap();
    let outcome = Case::up_to_date(tiltyard_attestation::policy::Level::Standard).run();
    let facts = outcome.facts();
    assert_eq!(claims.platform.pck.fmspc, facts.fmspc.0);
    assert_eq!(claims.platform.pck.ppid, facts.ppid.0);
    assert_eq!(Some(claims.tcb.eval_data_number), facts.tcb_evaluation);
    assert_eq!(claims.tcb.advisory_ids, facts.advisories);
}

/// Without the attribute that keeps the host from raising exceptions in the guest neither accepts a quote; ours
/// prints it in an examination under `lab`.
#[test]
fn both_refuse_a_guest_without_sept_ve_disable() {
    use tiltyard_attestation::policy::Level;
    let quote = trimmed("gotdx_tdx_prod_quote_SPR_E4.dat");
    let case =
        Case { policy: tiltyard_attestation::AppraisalPolicy::preset(Level::Strict), ..Case::of(quote) };
    assert!(findings(&case).contains(&(CheckId::Tdx14, Code::SeptVe)));
}
