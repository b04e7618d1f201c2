//! Which of many certificates belong to one report. What is chosen here is verified like any other chain.

use x509_parser::prelude::{FromDer, X509Certificate};

use super::authentic::{OID_HWID, OID_PRODUCT, certified_tcb, extension, product};
use super::report::{Report, tcb};
use crate::Base64Bytes;
use crate::trace::Trace;

/// Endorsement key, its issuer, AMD's root.
const CHAIN_LEN: usize = 3;

/// The certificates of one chain out of a file that may hold several: the VEK, its issuer, that issuer's root.
///
/// Files of endorsement services hold ASK, ARK and ASVK beside each other. What can't be read stays, to be refused.
pub fn pick_chain(vek: &[u8], others: Vec<Base64Bytes>) -> Vec<Base64Bytes> {
    let names = |der: &[u8]| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some((certificate.issuer().as_raw().to_vec(), certificate.subject().as_raw().to_vec()))
    };
    let mut wanted = vec![names(vek).map(|(issuer, _)| issuer)];
    let issuer_given =
        others.iter().any(|other| names(&other.0).is_some_and(|(_, subject)| wanted[0] == Some(subject)));
    if !issuer_given {
        return [vec![vek.to_vec().into()], others].concat();
    }
    // Two rounds: an issuer may stand before or after the one that it issued.
    for _ in 0..2 {
        for (issuer, subject) in others.iter().filter_map(|other| names(&other.0)) {
            if wanted.contains(&Some(subject)) && !wanted.contains(&Some(issuer.clone())) {
                wanted.push(Some(issuer));
            }
        }
    }
    let mut chain = vec![vek.to_vec().into()];
    chain.extend(
        others
            .into_iter()
            .filter(|other| names(&other.0).is_none_or(|(_, subject)| wanted.contains(&Some(subject)))),
    );
    chain
}

/// The chain of the chip and versions that a report names, out of certificates of any chips that are valid at `now`
/// (Unix seconds); empty when the chip's key is not among them, which `trace` remembers.
pub(crate) fn chain_of(
    report: &Report<'_>,
    certificates: &[Base64Bytes],
    now: u64,
    trace: &mut Trace,
) -> Vec<Base64Bytes> {
    // One that was renewed may lie beside the old one; both have one name.
    let at = i64::try_from(now).unwrap_or(i64::MAX);
    let is_valid = |der: &Base64Bytes| {
        X509Certificate::from_der(&der.0).is_ok_and(|(_, certificate)| {
            let validity = certificate.validity();
            (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&at)
        })
    };
    let mut known: Vec<Base64Bytes> = certificates.iter().filter(|der| is_valid(der)).cloned().collect();
    known.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    known.dedup();
    let chain = match known.iter().position(|der| is_of_chip(report, &der.0)) {
        Some(at) => {
            let vek = known.remove(at);
            pick_chain(&vek.0, known)
        }
        None => Vec::new(),
    };
    if chain.len() < CHAIN_LEN {
        let what =
            if chain.is_empty() { "endorsement key of this chip" } else { "issuers of this chip's key" };
        trace.lacks(what);
    }
    chain
}

/// Whether a certificate is of the report's chip at its reported versions.
fn is_of_chip(report: &Report<'_>, der: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let (Some(hwid), Some(product)) =
        (extension(&certificate, OID_HWID), extension(&certificate, OID_PRODUCT).and_then(product))
    else {
        return false;
    };
    let chip_id = report.chip_id();
    // Turin certificates name the first eight bytes, and the rest of its ids is zero.
    let rest = chip_id.0.strip_prefix(hwid);
    !hwid.is_empty()
        && rest.is_some_and(|rest| rest.iter().all(|&byte| byte == 0))
        && certified_tcb(&certificate, product) == Some(tcb(product, report.reported_tcb()))
}
