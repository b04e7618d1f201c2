//! The few DER forms that Intel's certificate extension uses, in their only encoding (X.690 section 10).

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;

/// The next element: tag, content, and what follows it. Lengths of at most two bytes, in their shortest form.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (len, content) = match der {
        [_, len @ 0..=0x7f, content @ ..] => (usize::from(*len), content),
        [_, 0x81, len @ 0x80.., content @ ..] => (usize::from(*len), content),
        [_, 0x82, high @ 1.., low, content @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), content),
        _ => return None,
    };
    let (content, rest) = content.split_at_checked(len)?;
    Some((*der.first()?, content, rest))
}

/// Content of the only element, which must have this tag.
fn only(der: &[u8], tag: u8) -> Option<&[u8]> {
    match element(der)? {
        (found, content, []) if found == tag => Some(content),
        _ => None,
    }
}

/// Members of a SEQUENCE of (OID, value) pairs: the OID's content, and the value with its header.
pub(super) fn pairs(der: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut rest = only(der, SEQUENCE)?;
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (SEQUENCE, pair, after) = element(rest)? else { return None };
        let (OID, id, value) = element(pair)? else { return None };
        let (_, _, []) = element(value)? else { return None };
        pairs.push((id, value));
        rest = after;
    }
    Some(pairs)
}

/// An OCTET STRING of exactly `N` bytes.
pub(super) fn octets<const N: usize>(der: &[u8]) -> Option<[u8; N]> {
    only(der, OCTET_STRING)?.try_into().ok()
}

/// An INTEGER of 0..=65535.
pub(super) fn integer(der: &[u8]) -> Option<u16> {
    unsigned(only(der, INTEGER)?)
}

/// An ENUMERATED of 0..=65535.
pub(super) fn enumerated(der: &[u8]) -> Option<u16> {
    unsigned(only(der, ENUMERATED)?)
}

pub(super) fn boolean(der: &[u8]) -> Option<bool> {
    match only(der, BOOLEAN)? {
        [0] => Some(false),
        [0xff] => Some(true),
        _ => None,
    }
}

fn unsigned(content: &[u8]) -> Option<u16> {
    match *content {
        [value @ 0..=0x7f] => Some(value.into()),
        [0, value @ 0x80..] => Some(value.into()),
        [high @ 1..=0x7f, low] => Some(u16::from_be_bytes([high, low])),
        [0, high @ 0x80.., low] => Some(u16::from_be_bytes([high, low])),
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
            &[2, 0x81, 1, 0],
            &[4, 1, 0],
            &[2],
            &[],
        ] {
            assert_eq!(integer(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn booleans_and_octets() {
        assert_eq!(boolean(&[1, 1, 0xff]), Some(true));
        assert_eq!(boolean(&[1, 1, 0]), Some(false));
        assert_eq!(boolean(&[1, 1, 1]), None);
        assert_eq!(octets(&[4, 2, 7, 8]), Some([7, 8]));
        assert_eq!(octets::<3>(&[4, 2, 7, 8]), None);
        assert_eq!(enumerated(&[10, 1, 1]), Some(1));
    }

    #[test]
    fn pairs_are_whole() {
        let pair = [0x30, 6, 6, 1, 42, 2, 1, 5];
        let list = [&[0x30, 8][..], &pair].concat();
        assert_eq!(pairs(&list), Some(vec![(&[42][..], &[2, 1, 5][..])]));
        for bad in [
            &[0x30, 9, 0x30, 7, 6, 1, 42, 2, 1, 5, 0][..],
            &[0x30, 7, 0x30, 5, 6, 1, 42, 2, 1],
            &[0x30, 8, 0x31, 6, 6, 1, 42, 2, 1, 5],
            &[0x30, 8, 0x30, 6, 5, 1, 42, 2, 1, 5],
        ] {
            assert_eq!(pairs(bad), None, "{bad:?}");
        }
    }
}
