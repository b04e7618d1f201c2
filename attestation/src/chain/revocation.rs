//! AMD's revocation lists, one a product, signed by its root (SNP-08, RFC 5280 5).

use std::fmt;

use serde::Serialize;
use x509_parser::prelude::*;

use super::Link;
use super::certificate::{Chain, OID_RSASSA_PSS, rsa_pss};
use crate::Base64Bytes;

/// Whether a chain is revoked; unknown is its own answer, never a good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Revocation {
    /// No certificate of the chain is on the newest list, issued at `as_of` (Unix seconds).
    Good {
        as_of: u64,
    },
    Revoked {
        link: &'static str,
    },
    Unknown {
        why: Gap,
    },
}

/// Why nothing is known about revocation; of several lists the one that came nearest to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// No list of this product's root was given.
    NoList,
    /// A list of the root is malformed or has a critical extension nobody here understands.
    Format,
    /// The root did not sign it.
    Signature,
    /// It was issued after the time of the appraisal.
    NotYetIssued,
    /// Its next update is past, or it names none.
    Expired,
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good { as_of } => write!(f, "not revoked as of {as_of}"),
            Self::Revoked { link } => write!(f, "{link} revoked"),
            Self::Unknown { why } => f.write_str(match why {
                Gap::NoList => "unknown: no revocation list of this root",
                Gap::Format => "unknown: the revocation list is malformed",
                Gap::Signature => "unknown: the root did not sign the revocation list",
                Gap::NotYetIssued => "unknown: the revocation list was issued later than now",
                Gap::Expired => "unknown: the revocation list is past its next update",
            }),
        }
    }
}

/// The strongest answer that the given lists support: one revocation outweighs every good list.
pub(crate) fn revocation(chain: &Chain<'_>, lists: &[Base64Bytes], now: u64) -> Revocation {
    lists.iter().map(|list| one_list(chain, list.as_ref(), now)).fold(
        Revocation::Unknown { why: Gap::NoList },
        |best, next| match (best, next) {
            (Revocation::Revoked { .. }, _) => best,
            (_, Revocation::Revoked { .. }) => next,
            (Revocation::Good { as_of: old }, Revocation::Good { as_of: new }) => {
                Revocation::Good { as_of: old.max(new) }
            }
            (Revocation::Good { .. }, Revocation::Unknown { .. }) => best,
            (Revocation::Unknown { .. }, Revocation::Good { .. }) => next,
            (Revocation::Unknown { why: old }, Revocation::Unknown { why: new }) => {
                Revocation::Unknown { why: old.max(new) }
            }
        },
    )
}

fn one_list(chain: &Chain<'_>, der: &[u8], now: u64) -> Revocation {
    let unknown = |why| Revocation::Unknown { why };
    let Ok((rest, list)) = CertificateRevocationList::from_der(der) else {
        return unknown(Gap::Format);
    };
    if list.issuer().as_raw() != chain.ark.subject().as_raw() {
        return unknown(Gap::NoList);
    }
    let same_algorithm = list.signature_algorithm == list.tbs_cert_list.signature
        && list.signature_algorithm.algorithm.to_id_string() == OID_RSASSA_PSS;
    let critical = list.extensions().iter().any(|extension| extension.critical);
    if !rest.is_empty() || !same_algorithm || critical || list.signature_value.unused_bits != 0 {
        return unknown(Gap::Format);
    }
    if rsa_pss(&chain.ark, list.tbs_cert_list.as_ref(), &list.signature_value.data).is_none() {
        return unknown(Gap::Signature);
    }
    let at = i64::try_from(now).unwrap_or(i64::MAX);
    if list.last_update().timestamp() > at {
        return unknown(Gap::NotYetIssued);
    }
    // A VEK's serial is compared too, though the ASK issued it: a list may be indirect, and a false hit
    // refuses. A past list still revokes what it names.
    for (link, certificate) in [(Link::Ask, &chain.ask), (Link::Vek, &chain.vek)] {
        if list.iter_revoked_certificates().any(|entry| entry.serial() == &certificate.tbs_certificate.serial)
        {
            let link = if link == Link::Ask { "ASK" } else { "VEK" };
            return Revocation::Revoked { link };
        }
    }
    match list.next_update() {
        Some(next) if next.timestamp() >= at => {
            Revocation::Good { as_of: u64::try_from(list.last_update().timestamp()).unwrap_or(0) }
        }
        _ => unknown(Gap::Expired),
    }
}
