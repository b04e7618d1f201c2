//! What every vendor's certificates have in common (RFC 5280).

use crate::der;

/// First and last second, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before: u64,
    pub not_after: u64,
}

/// basicConstraints of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraints {
    Ca { path_len: Option<u8> },
    NotCa,
    Absent,
}

#[derive(Clone, Copy)]
pub(crate) enum Criticality {
    Critical,
    Not,
}

impl Validity {
    pub(crate) fn encode(self) -> Vec<u8> {
        der::sequence(&[&der::time(self.not_before), &der::time(self.not_after)])
    }
}

impl Constraints {
    /// The extension; nothing when absent.
    pub(crate) fn encode(self) -> Vec<u8> {
        let value = match self {
            Self::Absent => return Vec::new(),
            Self::NotCa => der::sequence(&[]),
            Self::Ca { path_len } => {
                let path_len = path_len.map(|len| der::integer(u64::from(len))).unwrap_or_default();
                der::sequence(&[&der::tlv(der::BOOLEAN, &[0xff]), &path_len])
            }
        };
        extension(BASIC_CONSTRAINTS, Criticality::Critical, &value)
    }
}

pub(crate) fn extension(oid: &[u32], criticality: Criticality, value: &[u8]) -> Vec<u8> {
    let critical = match criticality {
        Criticality::Critical => der::tlv(der::BOOLEAN, &[0xff]),
        Criticality::Not => Vec::new(),
    };
    der::sequence(&[&der::oid(oid), &critical, &der::tlv(der::OCTET_STRING, value)])
}

/// keyUsage from the content of its BIT STRING: unused bits, then the bits.
pub(crate) fn key_usage(unused: u8, bits: u8) -> Vec<u8> {
    extension(KEY_USAGE, Criticality::Critical, &der::tlv(der::BIT_STRING, &[unused, bits]))
}

pub(crate) const BASIC_CONSTRAINTS: &[u32] = &[2, 5, 29, 19];
pub(crate) const KEY_USAGE: &[u32] = &[2, 5, 29, 15];
pub(crate) const CRL_NUMBER: &[u32] = &[2, 5, 29, 20];
pub(crate) const REASON_CODE: &[u32] = &[2, 5, 29, 21];
pub(crate) const EC_PUBLIC_KEY: &[u32] = &[1, 2, 840, 10_045, 2, 1];
