//! Revocation lists, and what is known about revocation at all (RFC 5280 5).

use std::fmt;

use serde::Serialize;
use x509_parser::asn1_rs::Oid;

use super::is_oid;
use super::list::List;
use crate::Base64Bytes;

/// Whether a chain is revoked; unknown is its own answer, never a good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Revocation {
    /// No certificate of the chain is on the newest list, issued at `as_of` (Unix seconds).
    Good {
        as_of: u64,
    },
    /// A hold counts as revoked.
    Revoked {
        link: &'static str,
        reason: Reason,
    },
    Unknown {
        why: Gap,
    },
}

/// Why a certificate is revoked (RFC 5280 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Unspecified,
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    CertificateHold,
    RemoveFromCrl,
    PrivilegeWithdrawn,
    AaCompromise,
}

/// Why nothing is known about revocation; of several lists the one that came nearest to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// No list of this issuer, or no OCSP answer for this certificate, was given.
    NoList,
    /// It is malformed or has a critical extension nobody here understands.
    Format,
    /// Its issuer did not sign it.
    Signature,
    /// It was issued after the time of the appraisal.
    NotYetIssued,
    /// Its next update is past, or it names none.
    Expired,
    /// An OCSP responder answered that it does not know.
    Undecided,
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good { as_of } => write!(f, "not revoked as of {as_of}"),
            Self::Revoked { link, reason } => write!(f, "{link} revoked: {reason:?}"),
            Self::Unknown { why } => f.write_str(match why {
                Gap::NoList => "unknown: no revocation list or answer of this issuer",
                Gap::Format => "unknown: the revocation list or answer is malformed",
                Gap::Signature => "unknown: the issuer did not sign the revocation list or answer",
                Gap::NotYetIssued => "unknown: the revocation list or answer was issued later than now",
                Gap::Expired => "unknown: the revocation list or answer is past its next update",
                Gap::Undecided => "unknown: the responder does not know the certificate",
            }),
        }
    }
}

/// Who must have signed a list: the name, the algorithm by dotted id, and how its signatures are verified.
pub(crate) struct ListIssuer<'l> {
    pub(crate) subject: &'l [u8],
    pub(crate) algorithm: &'l str,
    pub(crate) verify: &'l dyn Fn(&[u8], &[u8]) -> bool,
}

impl Revocation {
    /// The stronger of two answers: one revocation outweighs every good list, and a good list every gap.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Revoked { .. }, _) => self,
            (_, Self::Revoked { .. }) => other,
            (Self::Good { as_of: old }, Self::Good { as_of: new }) => Self::Good { as_of: old.max(new) },
            (Self::Good { .. }, Self::Unknown { .. }) => self,
            (Self::Unknown { .. }, Self::Good { .. }) => other,
            (Self::Unknown { why: old }, Self::Unknown { why: new }) => Self::Unknown { why: old.max(new) },
        }
    }

    /// Both must hold: a revocation, then a gap, then the older of two good answers.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Revoked { .. }, _) => self,
            (_, Self::Revoked { .. }) => other,
            // What nobody gave can be had; it is named before what was given and is of no use.
            (_, Self::Unknown { why: Gap::NoList }) => other,
            (Self::Unknown { .. }, _) => self,
            (_, Self::Unknown { .. }) => other,
            (Self::Good { as_of: a }, Self::Good { as_of: b }) => Self::Good { as_of: a.min(b) },
        }
    }
}

/// The strongest answer that the given lists support on these serial numbers (name of the certificate, INTEGER).
pub(crate) fn by_lists(
    issuer: &ListIssuer<'_>,
    serials: &[(&'static str, &[u8])],
    lists: &[Base64Bytes],
    now: u64,
) -> Revocation {
    lists
        .iter()
        .map(|list| one_list(issuer, serials, list.as_ref(), now))
        .fold(Revocation::Unknown { why: Gap::NoList }, Revocation::or)
}

fn one_list(issuer: &ListIssuer<'_>, serials: &[(&'static str, &[u8])], der: &[u8], now: u64) -> Revocation {
    let unknown = |why| Revocation::Unknown { why };
    let Ok(list) = List::read(der) else {
        return unknown(Gap::Format);
    };
    if list.issuer != issuer.subject {
        return unknown(Gap::NoList);
    }
    if !is_oid(&Oid::new(list.algorithm.into()), issuer.algorithm) || list.critical {
        return unknown(Gap::Format);
    }
    if !(issuer.verify)(list.signed, list.signature) {
        return unknown(Gap::Signature);
    }
    if list.this_update > now {
        return unknown(Gap::NotYetIssued);
    }
    // A past list still revokes what it names.
    for &(link, serial) in serials {
        if let Some(code) = list.find(serial) {
            return Revocation::Revoked { link, reason: code.map_or(Reason::Unspecified, Reason::from_code) };
        }
    }
    match list.next_update {
        Some(next) if next >= now => Revocation::Good { as_of: list.this_update },
        _ => unknown(Gap::Expired),
    }
}

impl Reason {
    /// CRLReason (RFC 5280 5.3.1); what is not listed there counts as unspecified.
    pub(crate) fn from_code(code: u8) -> Self {
        match code {
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            8 => Self::RemoveFromCrl,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            _ => Self::Unspecified,
        }
    }
}
