//! A revocation list as it stands (RFC 5280 5.1): DER without copies, since lists of thousands of entries are read for
//! each appraisal to look up one or two.

use super::der::{Malformed, Reader, tag};

/// id-ce-cRLReasons (5.3.1), content octets.
const REASON: &[u8] = &[0x55, 0x1d, 0x15];
/// The only version that is named: 2.
const VERSION_2: &[u8] = &[1];

/// A list whose form is sound; nothing in it is believed yet.
#[derive(Debug)]
pub(super) struct List<'a> {
    /// TBSCertList with its header: what is signed.
    pub(super) signed: &'a [u8],
    /// Distinguished name, DER.
    pub(super) issuer: &'a [u8],
    /// Content of the object identifier of the signature's algorithm, which both places name alike.
    pub(super) algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
    /// Unix seconds.
    pub(super) this_update: u64,
    pub(super) next_update: Option<u64>,
    /// Whether an extension of the list is critical.
    pub(super) critical: bool,
    entries: Reader<'a>,
}

impl<'a> List<'a> {
    /// Reads a whole list: every entry in its form, lengths in their one encoding, nothing left over.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut list = Reader::only(der, tag::SEQUENCE)?;
        let signed = list.any()?.raw;
        let outer = list.any()?;
        let signature = list.bits()?;
        list.end()?;

        let mut tbs = Reader::only(signed, tag::SEQUENCE)?;
        if tbs.optional(tag::INTEGER)?.is_some_and(|version| version.rest() != VERSION_2) {
            return Err(Malformed);
        }
        let inner = tbs.any()?;
        // Nobody signs the outer one.
        if inner.raw != outer.raw {
            return Err(Malformed);
        }
        let algorithm = Reader::only(inner.raw, tag::SEQUENCE)?.content(tag::OID)?;
        let issuer = tbs.any()?.raw;
        let this_update = tbs.either_time()?.ok_or(Malformed)?;
        let next_update = tbs.either_time()?;
        let entries = tbs.optional(tag::SEQUENCE)?.unwrap_or(Reader::new(&[]));
        let extensions = tbs.optional(tag::explicit(0))?;
        tbs.end()?;
        let mut critical = false;
        if let Some(mut explicit) = extensions {
            let list = explicit.enter(tag::SEQUENCE)?;
            explicit.end()?;
            each(list, |extension| {
                critical |= Extension::read(extension)?.critical;
                Ok(())
            })?;
        }
        each(entries, |entry| Entry::read(entry).map(|_| ()))?;
        Ok(Self { signed, issuer, algorithm, signature, this_update, next_update, critical, entries })
    }

    /// The code of the reason for which the certificate of this serial number is on the list; none where no reason
    /// is given.
    pub(super) fn find(&self, serial: &[u8]) -> Option<Option<u8>> {
        let mut found = None;
        // Read before, so that no entry fails any more.
        let _ = each(self.entries, |entry| {
            let entry = Entry::read(entry)?;
            if found.is_none() && entry.serial == serial {
                found = Some(entry.reason);
            }
            Ok(())
        });
        found
    }
}

/// One revoked certificate.
struct Entry<'a> {
    /// Content of the INTEGER.
    serial: &'a [u8],
    reason: Option<u8>,
}

impl<'a> Entry<'a> {
    fn read(mut entry: Reader<'a>) -> Result<Self, Malformed> {
        let serial = entry.content(tag::INTEGER)?;
        entry.either_time()?.ok_or(Malformed)?;
        let extensions = entry.optional(tag::SEQUENCE)?;
        entry.end()?;
        let mut reason = None;
        if let Some(list) = extensions {
            each(list, |extension| {
                let extension = Extension::read(extension)?;
                if extension.oid == REASON {
                    let [code] = Reader::only(extension.value, tag::ENUMERATED)?.rest() else {
                        return Err(Malformed);
                    };
                    reason = Some(*code);
                }
                Ok(())
            })?;
        }
        Ok(Self { serial, reason })
    }
}

struct Extension<'a> {
    oid: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> Extension<'a> {
    fn read(mut extension: Reader<'a>) -> Result<Self, Malformed> {
        let oid = extension.content(tag::OID)?;
        // FALSE is the default, and so never written.
        let critical = match extension.optional(tag::BOOLEAN)? {
            None => false,
            Some(value) if value.rest() == [0xff] => true,
            Some(_) => return Err(Malformed),
        };
        let value = extension.content(tag::OCTET_STRING)?;
        extension.end()?;
        Ok(Self { oid, critical, value })
    }
}

/// Shows each SEQUENCE of a list to `read`.
fn each<'a>(
    mut list: Reader<'a>,
    mut read: impl FnMut(Reader<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !list.is_empty() {
        read(list.enter(tag::SEQUENCE)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{CertificateRevocationList, FromDer};

    use super::*;

    /// Lists that other programs made, of all three vendors' kinds.
    const LISTS: [&[u8]; 8] = [
        include_bytes!("../../tests/vectors/minted/good.crl"),
        include_bytes!("../../tests/vectors/minted/old.crl"),
        include_bytes!("../../tests/vectors/minted/future.crl"),
        include_bytes!("../../tests/vectors/minted/other_root.crl"),
        include_bytes!("../../tests/vectors/minted/past_revokes.crl"),
        include_bytes!("../../tests/vectors/minted/revokes_ask.crl"),
        include_bytes!("../../tests/vectors/minted/revokes_vcek.crl"),
        include_bytes!("../../tests/vectors/tdx/gotdx_rootcrl.der"),
    ];

    /// The same list by another reader, in the same order of members.
    fn by_other(der: &[u8]) -> CertificateRevocationList<'_> {
        let (rest, list) = CertificateRevocationList::from_der(der).expect("a list");
        assert!(rest.is_empty());
        list
    }

    #[test]
    fn another_reader_finds_the_same() {
        let mut revoked = 0;
        for der in LISTS {
            let (list, other) = (List::read(der).expect("a list"), by_other(der));
            assert_eq!(list.signed, other.tbs_cert_list.as_ref());
            assert_eq!(list.issuer, other.issuer().as_raw());
            assert_eq!(list.algorithm, other.signature_algorithm.algorithm.as_bytes());
            assert_eq!(list.signature, other.signature_value.data.as_ref());
            let seconds = |at: i64| u64::try_from(at).expect("since 1970");
            assert_eq!(list.this_update, seconds(other.last_update().timestamp()));
            assert_eq!(list.next_update, other.next_update().map(|next| seconds(next.timestamp())));
            assert!(!list.critical && other.extensions().iter().all(|extension| !extension.critical));
            for entry in other.iter_revoked_certificates() {
                let reason = entry.reason_code().map(|(_, code)| code.0);
                assert_eq!(list.find(entry.raw_serial()), Some(reason));
                revoked += 1;
            }
            assert_eq!(list.find(&[0x5a; 9]), None);
        }
        assert!(revoked >= 3, "{revoked}");
    }

    /// Nobody signs the frame, so that no bit of it may be free.
    #[test]
    fn no_bit_outside_of_what_is_signed_and_the_signature_is_free() {
        for der in LISTS {
            let list = List::read(der).expect("a list");
            let within = |part: &[u8], at: usize| {
                let from = part.as_ptr().addr() - der.as_ptr().addr();
                (from..from + part.len()).contains(&at)
            };
            for at in (0..der.len()).filter(|&at| !within(list.signed, at) && !within(list.signature, at)) {
                for bit in 0..8 {
                    let mut bent = der.to_vec();
                    bent[at] ^= 1 << bit;
                    assert!(List::read(&bent).is_err(), "byte {at}, bit {bit}");
                }
            }
            assert!(List::read(&[der, &[0]].concat()).is_err(), "a byte behind it");
            assert!(List::read(&der[..der.len() - 1]).is_err(), "a byte less");
        }
    }
}
