//! Intel TDX: a genuine quote at a time when its collateral was valid.

use std::error::Error;

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::QuoteVerifier;
use tiltyard_attestation::policy::{Level, PolicyDocument};
use tiltyard_attestation::tdx::declared_len;
use tiltyard_attestation::{Collateral, CpuExhibit, Exhibits, TdxCollateral, TrustAnchors};

use super::{RUST, examine, examiner, vector};
use crate::measure::{Leg, Row, Samples, Unit, interleave, timed};

const ROUNDS: usize = 300;
/// 2025-06-29, in the window of the first pair's collateral.
const V4_NOW: u64 = 1_751_155_200;
/// 2026-10-14, in the window of the second pair's.
const V5_NOW: u64 = 1_791_936_000;

const CHECKS: &str = "certificates, lists, TCB info, QE identity, quote; no duplicate members or trailing bytes, \
                      attributes, policy document";
const PEER: &str = "crate dcap-qvl 0.7.1 (ring)";
const PEER_CHECKS: &str = "certificates, lists, TCB info, QE identity, quote, debug attributes";

pub(crate) fn rows() -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = pair("TDX, genuine quote, version 4", "dcapqvl_tdx_quote", V4_NOW)?;
    rows.extend(pair("TDX, genuine quote, version 5", "dcapqvl_tdx_quote_td15ex", V5_NOW)?);
    Ok(rows)
}

/// A quote and its collateral as files: both sides read the JSON, and both find the platform up to date.
fn pair(figure: &str, name: &str, now: u64) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut quote = vector(&format!("tdx/{name}"))?;
    // The file's buffer is longer than its quote: a collector cuts it there.
    quote.truncate(declared_len(&quote)?);
    let collateral = vector(&format!("tdx/{name}_collateral.json"))?;
    let cpu = CpuExhibit::Tdx { quote: quote.clone(), event_log: None };
    let exhibits = Exhibits { cpu: Some(cpu), ..Exhibits::default() };
    let (anchors, policy) = (TrustAnchors::vendor(), PolicyDocument::preset(Level::Lab));
    let kept = examiner(&anchors, &policy)?;
    let look = |verifier: &_| {
        let tdx = vec![TdxCollateral::from_json(&collateral)?];
        examine(verifier, &exhibits, &Collateral { tdx, ..Collateral::none() }, now)
    };
    let legs: Vec<Leg<'_>> = vec![
        Box::new(|| timed(|| look(&examiner(&anchors, &policy)?))),
        Box::new(|| timed(|| by_dcap_qvl(&quote, &collateral, now))),
        Box::new(|| timed(|| look(&kept))),
    ];
    let mut seconds = interleave(ROUNDS, legs)?;
    let kept = seconds.pop().unwrap_or_default();
    let cold = Samples::of(figure, Unit::Microseconds, seconds, &[(PEER, RUST)]);
    let kept = Samples::of(&format!("{figure}, kept verifier"), Unit::Microseconds, vec![kept], &[]);
    let remembered = "the same; all signatures but the quote's are remembered";
    Ok(vec![cold.checking(CHECKS, &[PEER_CHECKS]).row(), kept.checking(remembered, &[]).row()])
}

fn by_dcap_qvl(quote: &[u8], collateral: &[u8], now: u64) -> Result<(), Box<dyn Error>> {
    let mut collateral: QuoteCollateralV3 = serde_json::from_slice(collateral)?;
    // A chain there would go before the quote's own.
    collateral.pck_certificate_chain = None;
    let report =
        QuoteVerifier::new_prod().verify(quote, &collateral, now).map_err(|error| format!("{error:#}"))?;
    if report.status == "UpToDate" { Ok(()) } else { Err(report.status.into()) }
}
