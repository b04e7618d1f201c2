//! Revocation lists of the root and of the PCK platform authority (RFC 5280 5).

use super::certificate::{algorithm, authority_key_id, name, signed};
use super::keys::{Key, Keyring};
use crate::der;
use crate::x509::{self, Criticality, extension};

/// What one list says.
#[derive(Debug, Clone)]
pub struct RevocationFields {
    /// Common name.
    pub issuer: String,
    pub signer: Key,
    /// Unix seconds.
    pub this_update: u64,
    /// Unix seconds; left out when `None`.
    pub next_update: Option<u64>,
    pub number: u64,
    /// Serial numbers, big endian.
    pub revoked: Vec<Vec<u8>>,
    /// RFC 5280 5.3.1; key compromise in every genuine entry.
    pub reason: u8,
}

impl RevocationFields {
    pub(super) fn genuine(issuer: &str, signer: Key, this_update: u64, next_update: u64) -> Self {
        Self {
            issuer: issuer.to_owned(),
            signer,
            this_update,
            next_update: Some(next_update),
            number: 1,
            revoked: Vec::new(),
            reason: KEY_COMPROMISE,
        }
    }

    /// The list, DER.
    pub(super) fn issue(&self, keys: &Keyring) -> Vec<u8> {
        let reason = der::tlv(der::ENUMERATED, &[self.reason]);
        let reason = extension(x509::REASON_CODE, Criticality::Not, &reason);
        let entry = |serial: &Vec<u8>| {
            der::sequence(&[
                &der::unsigned(serial),
                &der::time(self.this_update),
                &der::tlv(der::SEQUENCE, &reason),
            ])
        };
        let revoked: Vec<u8> = self.revoked.iter().flat_map(entry).collect();
        let extensions = [
            extension(x509::CRL_NUMBER, Criticality::Not, &der::integer(self.number)),
            authority_key_id(keys, self.signer),
        ]
        .concat();
        let list = der::sequence(&[
            &der::integer(1),
            &algorithm(),
            &name(&self.issuer),
            &der::time(self.this_update),
            &self.next_update.map(der::time).unwrap_or_default(),
            // An empty list is left out, not written empty.
            &if revoked.is_empty() { Vec::new() } else { der::tlv(der::SEQUENCE, &revoked) },
            &der::context(0, &der::tlv(der::SEQUENCE, &extensions)),
        ]);
        signed(keys, self.signer, &list)
    }
}

const KEY_COMPROMISE: u8 = 1;
