//! Revocation of a whole ECDSA chain, from OCSP answers and lists together.

use super::ec::EcChain;
use super::ocsp::{Asked, by_answers};
use super::{Gap, Links, Revocation};
use crate::Base64Bytes;

/// How results name the certificates of a chain; at most eight are given, and the root is not asked about.
const NAMES: [&str; 8] =
    ["leaf", "issuer 1", "issuer 2", "issuer 3", "issuer 4", "issuer 5", "issuer 6", "issuer 7"];

/// What is known of every certificate from place `from` (0 is the leaf) up to the root, which nobody revokes.
///
/// Each certificate needs an answer or a list of its issuer; one revoked certificate revokes the chain, and
/// one without answer leaves it unknown.
pub(crate) fn chain_revocation(
    chain: &EcChain<'_>,
    from: usize,
    answers: &[Base64Bytes],
    lists: &[Base64Bytes],
    now: u64,
    links: &Links,
) -> Revocation {
    let pairs = chain.certificates().windows(2).zip(NAMES).skip(from);
    pairs
        .filter_map(|(pair, name)| match pair {
            [subject, issuer] => Some((subject, issuer, name)),
            _ => None,
        })
        .map(|(subject, issuer, name)| {
            by_answers(Asked { subject, issuer, name }, answers, now, links).or(issuer.revocation(
                &[(name, subject.serial())],
                lists,
                now,
                links,
            ))
        })
        .reduce(Revocation::and)
        .unwrap_or(Revocation::Unknown { why: Gap::NoList })
}
