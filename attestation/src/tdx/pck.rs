//! What a PCK certificate says of its platform (Intel SGX PCK Certificate and CRL Profile Specification 1.5,
//! extension 1.2.840.113741.1.13.1).

use crate::Hex;
use crate::chain::der::{Reader, tag};
use crate::chain::ec::Certificate;
use crate::policy::PlatformFlag;

const OID_SGX: &str = "1.2.840.113741.1.13.1";
/// Content of that OID, the stem of every id below.
const STEM: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];
const PPID: &[u8] = &[1];
const TCB: &[u8] = &[2];
const PCE_ID: &[u8] = &[3];
const FMSPC: &[u8] = &[4];
const SGX_TYPE: &[u8] = &[5];
const PLATFORM_INSTANCE: &[u8] = &[6];
const CONFIGURATION: &[u8] = &[7];
/// Under `TCB`: 16 component versions, then these two.
const PCE_SVN: u8 = 17;
const CPU_SVN: u8 = 18;
const COMPONENTS: usize = 16;

/// Platform facts under the PCK authority's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pck {
    /// Which processor package, or platform, the certificate is for.
    pub(crate) ppid: Hex<16>,
    /// Security versions of the platform's components, 1 to 16.
    pub(crate) components: [u8; COMPONENTS],
    pub(crate) pce_svn: u16,
    /// The same versions as the processor encodes them.
    pub(crate) cpu_svn: Hex<16>,
    pub(crate) pce_id: Hex<2>,
    pub(crate) fmspc: Hex<6>,
    pub(crate) sgx_type: SgxType,
    /// Only from the platform authority.
    pub(crate) platform_instance: Option<Hex<16>>,
    /// Flags that the certificate states as true; the processor authority states none.
    pub(crate) flags: Vec<PlatformFlag>,
}

/// How the platform's memory is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SgxType {
    Standard,
    Scalable,
    ScalableWithIntegrity,
}

/// Why the extension is not what the profile says: the member, by its place in the profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} in the PCK certificate's SGX extension")]
pub struct PckError {
    expected: &'static str,
}

impl Pck {
    /// Reads the extension: every required member once, in its one encoding. What a later profile may add is
    /// signed, and left alone.
    pub(super) fn read(certificate: &Certificate<'_>) -> Result<Self, PckError> {
        let members = certificate
            .extension(OID_SGX)
            .and_then(|value| Members::read(value, &STEM))
            .ok_or(PckError { expected: "a list of members, each once" })?;
        let tcb_stem = [&STEM[..], TCB].concat();
        let tcb = members
            .get(TCB)
            .and_then(|value| Members::read(value, &tcb_stem))
            .ok_or(PckError { expected: "a TCB" })?;
        let mut components = [0; COMPONENTS];
        for (id, component) in (1..).zip(&mut components) {
            *component = tcb
                .get(&[id])
                .and_then(integer)
                .and_then(|svn| u8::try_from(svn).ok())
                .ok_or(PckError { expected: "16 component versions of one byte" })?;
        }
        let error = |expected| PckError { expected };
        Ok(Self {
            ppid: members.octets(PPID).ok_or(error("a PPID"))?,
            components,
            pce_svn: tcb.get(&[PCE_SVN]).and_then(integer).ok_or(error("a PCESVN"))?,
            cpu_svn: tcb.octets(&[CPU_SVN]).ok_or(error("a CPUSVN"))?,
            pce_id: members.octets(PCE_ID).ok_or(error("a PCE-ID"))?,
            fmspc: members.octets(FMSPC).ok_or(error("an FMSPC"))?,
            sgx_type: members.sgx_type().ok_or(error("an SGX type of 0, 1 or 2"))?,
            platform_instance: match members.get(PLATFORM_INSTANCE) {
                None => None,
                Some(value) => Some(Hex(octets(value).ok_or(error("a platform instance id"))?)),
            },
            flags: match members.get(CONFIGURATION) {
                None => Vec::new(),
                Some(value) => flags(value).ok_or(error("configuration flags"))?,
            },
        })
    }
}

/// Members of one level: the last arc of each id, and its value.
struct Members<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Members<'a> {
    /// `None` when the form is another, an id stands twice, or one is not below `stem`.
    fn read(der: &'a [u8], stem: &[u8]) -> Option<Self> {
        let mut members: Vec<(&[u8], &[u8])> = Vec::new();
        let mut list = Reader::only(der, tag::SEQUENCE).ok()?;
        while !list.is_empty() {
            let mut member = list.enter(tag::SEQUENCE).ok()?;
            let arc = member.content(tag::OID).ok()?.strip_prefix(stem)?;
            let value = member.any().ok()?.raw;
            member.end().ok()?;
            if members.iter().any(|(earlier, _)| *earlier == arc) {
                return None;
            }
            members.push((arc, value));
        }
        Some(Self(members))
    }

    fn get(&self, arc: &[u8]) -> Option<&'a [u8]> {
        self.0.iter().find(|(id, _)| *id == arc).map(|(_, value)| *value)
    }

    fn octets<const N: usize>(&self, arc: &[u8]) -> Option<Hex<N>> {
        self.get(arc).and_then(octets).map(Hex)
    }

    fn sgx_type(&self) -> Option<SgxType> {
        match unsigned(content(self.get(SGX_TYPE)?, tag::ENUMERATED)?)? {
            0 => Some(SgxType::Standard),
            1 => Some(SgxType::Scalable),
            2 => Some(SgxType::ScalableWithIntegrity),
            _ => None,
        }
    }
}

/// Each flag is optional, and false unless stated.
fn flags(der: &[u8]) -> Option<Vec<PlatformFlag>> {
    const KNOWN: [(u8, PlatformFlag); 3] =
        [(1, PlatformFlag::DynamicPlatform), (2, PlatformFlag::CachedKeys), (3, PlatformFlag::SmtEnabled)];
    let members = Members::read(der, &[&STEM[..], CONFIGURATION].concat())?;
    let mut flags = Vec::new();
    for (arc, flag) in KNOWN {
        if let Some(value) = members.get(&[arc])
            && boolean(value)?
        {
            flags.push(flag);
        }
    }
    Some(flags)
}

/// Content of a single element with this tag.
fn content(der: &[u8], tag: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(der);
    let content = reader.content(tag).ok()?;
    reader.end().ok()?;
    Some(content)
}

fn octets<const N: usize>(der: &[u8]) -> Option<[u8; N]> {
    content(der, tag::OCTET_STRING)?.try_into().ok()
}

fn integer(der: &[u8]) -> Option<u16> {
    unsigned(content(der, tag::INTEGER)?)
}

fn boolean(der: &[u8]) -> Option<bool> {
    match content(der, tag::BOOLEAN)? {
        [0] => Some(false),
        [0xff] => Some(true),
        _ => None,
    }
}

/// 0..=65535 in the shortest form (X.690 8.3.2).
fn unsigned(content: &[u8]) -> Option<u16> {
    match *content {
        [value @ 0..=0x7f] => Some(value.into()),
        [0, value @ 0x80..=0xff] => Some(value.into()),
        [high @ 1..=0x7f, low] => Some(u16::from_be_bytes([high, low])),
        [0, high @ 0x80..=0xff, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form() {
        for (der, value) in [
            (&[2, 1, 0][..], 0),
            (&[2, 1, 0x7f], 0x7f),
            (&[2, 2, 0, 0x80], 0x80),
            (&[2, 2, 1, 0], 0x100),
            (&[2, 3, 0, 0xff, 0xff], 0xffff),
        ] {
            assert_eq!(integer(der), Some(value), "{der:?}");
        }
        for bad in [
            &[2, 0][..],
            &[2, 1, 0x80],
            &[2, 2, 0, 0x7f],
            &[2, 3, 0, 1, 0],
            &[2, 3, 1, 0, 0],
            &[2, 1, 0, 0],
            &[4, 1, 0],
            &[],
        ] {
            assert_eq!(integer(bad), None, "{bad:?}");
        }
        assert_eq!(boolean(&[1, 1, 1]), None);
        assert_eq!(octets::<3>(&[4, 2, 7, 8]), None);
    }

    #[test]
    fn flags_stand_once_under_their_own_stem() {
        let member = |stem: &[u8], arc: u8, value: u8| {
            let id = [stem, &[7, arc]].concat();
            let body = [&[tag::OID, id.len() as u8][..], &id, &[tag::BOOLEAN, 1, value]].concat();
            [&[tag::SEQUENCE, body.len() as u8][..], &body].concat()
        };
        let list = |members: &[Vec<u8>]| {
            let body = members.concat();
            [&[tag::SEQUENCE, body.len() as u8][..], &body].concat()
        };
        let smt = member(&STEM, 3, 0xff);
        assert_eq!(flags(&list(std::slice::from_ref(&smt))), Some(vec![PlatformFlag::SmtEnabled]));
        assert_eq!(flags(&list(&[member(&STEM, 1, 0), smt.clone()])), Some(vec![PlatformFlag::SmtEnabled]));
        assert_eq!(flags(&list(&[smt.clone(), smt.clone()])), None);
        assert_eq!(flags(&list(&[member(&[0x2a, 1], 3, 0xff)])), None);
        assert_eq!(flags(&list(&[member(&STEM, 3, 1)])), None);
        assert_eq!(flags(&[&list(&[smt])[..], &[0]].concat()), None);
    }
}
