//! dcap-qvl under the simulator's root.

use dcap_qvl::verify::{QuoteVerifier, VerifiedReport};
use dcap_qvl::{QuoteClaims, QuoteCollateralV3, QuotePolicy};
use tiltyard_simulator::intel::{Draft, Form, Issued, SimulatedTdx};

/// 2026-11-23.
pub(crate) const NOW: u64 = 1_795_392_000;

pub(crate) const FORMS: [Form; 3] = [Form::V4, Form::V5Td10, Form::V5Td15];

pub(crate) fn machine() -> SimulatedTdx {
    SimulatedTdx::from_seed(&[0x7d; 32])
}

/// An honest TD's evidence after `edit`, signed.
pub(crate) fn issued(form: Form, edit: impl FnOnce(&mut Draft)) -> Issued {
    let machine = machine();
    let mut draft = machine.draft(form, NOW);
    edit(&mut draft);
    machine.issue(&draft)
}

/// The collateral as the peer reads it from a file.
pub(crate) fn collateral(issued: &Issued) -> QuoteCollateralV3 {
    serde_json::from_str(&issued.collateral.to_json()).expect("the peer's file form")
}

/// The peer's verdict at `now`, or its whole chain of reasons.
pub(crate) fn verdict_at(issued: &Issued, now: u64) -> Result<VerifiedReport, String> {
    QuoteVerifier::new(machine().root())
        .verify(&issued.quote, &collateral(issued), now)
        .map_err(|error| format!("{error:#}"))
}

/// The same for an honest TD's evidence after `edit`.
pub(crate) fn verdict(form: Form, edit: impl FnOnce(&mut Draft)) -> Result<VerifiedReport, String> {
    verdict_at(&issued(form, edit), NOW)
}

/// The peer's claims under its own strict policy.
pub(crate) fn strict(form: Form, edit: impl FnOnce(&mut Draft)) -> Result<QuoteClaims, String> {
    let issued = issued(form, edit);
    QuoteVerifier::new(machine().root())
        .verify_with_policy(&issued.quote, collateral(&issued), NOW, &QuotePolicy::strict(NOW))
        .map_err(|error| format!("{error:#}"))
}
