//! When certificates, revocation lists and answers say that they hold: for listing them, nothing is verified here.

use x509_parser::prelude::*;

use super::ocsp;

/// Unix seconds; an end that is not named is none.
pub(crate) type Period = (u64, Option<u64>);

/// The time in which all of these certificates (DER) are valid; none when one can't be read.
pub(crate) fn of_certificates<'a>(certificates: impl Iterator<Item = &'a [u8]>) -> Option<Period> {
    let (mut from, mut to) = (0, u64::MAX);
    for der in certificates {
        let (_, certificate) = X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty())?;
        from = from.max(seconds(certificate.validity().not_before));
        to = to.min(seconds(certificate.validity().not_after));
    }
    (to != u64::MAX).then_some((from, Some(to)))
}

/// Of a revocation list (DER).
pub(crate) fn of_list(der: &[u8]) -> Option<Period> {
    let (_, list) = CertificateRevocationList::from_der(der).ok().filter(|(rest, _)| rest.is_empty())?;
    Some((seconds(list.last_update()), list.next_update().map(seconds)))
}

/// Of an OCSP answer (DER): of its first row.
pub(crate) fn of_answer(der: &[u8]) -> Option<Period> {
    ocsp::period(der)
}

fn seconds(time: ASN1Time) -> u64 {
    u64::try_from(time.timestamp()).unwrap_or(0)
}
