//! The little of DER that the DICE extensions need: single-byte tags, definite lengths in their shortest form
//! (X.690 8.1, 10.1).

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_ID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;

/// Elements that stand one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The content of the only element in `der`, which has this tag.
    pub(super) fn within(der: &'a [u8], tag: u8) -> Option<Self> {
        let mut outer = Self(der);
        let content = outer.next(tag)?;
        outer.is_empty().then_some(Self(content))
    }

    /// The elements of a content.
    pub(super) fn of(content: &'a [u8]) -> Self {
        Self(content)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Content of the next element, which must have this tag.
    pub(super) fn next(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.any()?;
        (found == tag).then_some(content)
    }

    /// Tag and content of the next element.
    pub(super) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        /// A tag number that goes on in the next byte.
        const LONG_TAG: u8 = 0x1f;
        let (tag, len, rest) = match *self.0 {
            [tag, len @ 0..=0x7f, ref rest @ ..] => (tag, usize::from(len), rest),
            [tag, 0x81, len @ 0x80..=0xff, ref rest @ ..] => (tag, usize::from(len), rest),
            [tag, 0x82, high @ 1..=0xff, low, ref rest @ ..] => {
                (tag, usize::from(high) << 8 | usize::from(low), rest)
            }
            _ => return None,
        };
        if tag & LONG_TAG == LONG_TAG {
            return None;
        }
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form_and_nothing_follows() {
        let long = [&[SEQUENCE, 0x81, 0x80][..], &[0; 0x80]].concat();
        assert!(Elements::within(&long, SEQUENCE).is_some());
        assert!(Elements::within(&[SEQUENCE, 0], SEQUENCE).is_some_and(|content| content.is_empty()));
        let bad: [&[u8]; 8] = [
            &[],
            &[SEQUENCE],
            &[SEQUENCE, 1],
            &[SEQUENCE, 0, 0],
            &[SEQUENCE, 0x81, 1, 0],
            &[SEQUENCE, 0x82, 0, 1, 0],
            &[SEQUENCE, 0x80, 0, 0],
            &[INTEGER, 0],
        ];
        for der in bad {
            assert!(Elements::within(der, SEQUENCE).is_none(), "{der:?}");
        }
        assert!(Elements::within(&[0x3f, 0], 0x3f).is_none(), "long tag");
    }
}
