//! A reader of DER elements (X.690 10): one encoding for each value, nothing left over.

/// Universal and context-specific tags that are met here.
pub(crate) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;

    /// `[n]` around a primitive value.
    pub(crate) const fn context(n: u8) -> u8 {
        0x80 | n
    }

    /// `[n]` around elements.
    pub(crate) const fn explicit(n: u8) -> u8 {
        0xa0 | n
    }
}

/// Marks bytes that are not DER of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One element: its content, and itself with its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) raw: &'a [u8],
}

/// Reads elements one after another; it never recurses, so depth is the caller's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The only element of `bytes`, as a reader of its content.
    pub(crate) fn only(bytes: &'a [u8], tag: u8) -> Result<Self, Malformed> {
        let mut reader = Self(bytes);
        let content = reader.content(tag)?;
        reader.end()?;
        Ok(Self(content))
    }

    /// All that is left, unread.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing is left.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// The next element, of any tag of one byte.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, Malformed> {
        const HIGH_TAG: u8 = 0x1f;
        let [tag, first, after @ ..] = self.0 else { return Err(Malformed) };
        if tag & HIGH_TAG == HIGH_TAG {
            return Err(Malformed);
        }
        let (len, after) = match (*first, after) {
            (short @ 0..=0x7f, _) => (usize::from(short), after),
            (0x81, [len @ 0x80..=0xff, after @ ..]) => (usize::from(*len), after),
            (0x82, [high @ 1..=0xff, low, after @ ..]) => {
                (usize::from(u16::from_be_bytes([*high, *low])), after)
            }
            _ => return Err(Malformed),
        };
        let (content, rest) = after.split_at_checked(len).ok_or(Malformed)?;
        let raw = self.0.get(..self.0.len() - rest.len()).ok_or(Malformed)?;
        self.0 = rest;
        Ok(Element { tag: *tag, content, raw })
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn content(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        let element = self.any()?;
        if element.tag == tag { Ok(element.content) } else { Err(Malformed) }
    }

    /// A reader of the next element, which must have this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.content(tag).map(Self)
    }

    /// A reader of the next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Self>, Malformed> {
        if self.0.first() == Some(&tag) { self.enter(tag).map(Some) } else { Ok(None) }
    }

    /// Content of a non-negative INTEGER in its shortest form.
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], Malformed> {
        match self.content(tag::INTEGER)? {
            [] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => Err(Malformed),
            content => Ok(content),
        }
    }

    /// Whole bytes of a BIT STRING.
    pub(crate) fn bits(&mut self) -> Result<&'a [u8], Malformed> {
        match self.content(tag::BIT_STRING)? {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    /// Unix seconds of a GeneralizedTime `YYYYMMDDHHMMSSZ` (X.690 11.7, RFC 5280 4.1.2.5.2).
    pub(crate) fn time(&mut self) -> Result<u64, Malformed> {
        let content = self.content(tag::GENERALIZED_TIME)?;
        unix_seconds(content).ok_or(Malformed)
    }

    /// Unix seconds of the next element if it is a time: GeneralizedTime, or UTCTime `YYMMDDHHMMSSZ` of the years 1950
    /// to 2049 (RFC 5280 4.1.2.5.1).
    pub(crate) fn either_time(&mut self) -> Result<Option<u64>, Malformed> {
        match self.0.first() {
            Some(&tag::GENERALIZED_TIME) => self.time().map(Some),
            Some(&tag::UTC_TIME) => {
                let short: &[u8; 13] = self.content(tag::UTC_TIME)?.try_into().map_err(|_| Malformed)?;
                let century = if short[0] < b'5' { *b"20" } else { *b"19" };
                let mut text = [0; 15];
                text[..2].copy_from_slice(&century);
                text[2..].copy_from_slice(short);
                unix_seconds(&text).map(Some).ok_or(Malformed)
            }
            _ => Ok(None),
        }
    }
}

/// Unix seconds of `YYYYMMDDHHMMSSZ`, from 1970.
pub(crate) fn unix_seconds(text: &[u8]) -> Option<u64> {
    let [digits @ .., b'Z'] = text else { return None };
    if digits.len() != 14 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = digits.get(from..to)?;
        Some(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month_at = usize::try_from(month.checked_sub(1)?).ok()?;
    let in_range = (1..=*months.get(month_at)?).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if year < 1970 || !in_range {
        return None;
    }
    // Leap years up to the last one that is over, less those before 1970.
    let past = year - 1;
    let leap_years = past / 4 - past / 100 + past / 400 - 477;
    let days = (year - 1970) * 365 + leap_years + months.iter().take(month_at).sum::<u64>() + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form() {
        let read = |bytes: &[u8]| Reader::new(bytes).any().map(|element| element.content.len());
        assert_eq!(read(&[0x04, 1, 7]), Ok(1));
        assert_eq!(read(&[&[0x04, 0x81, 0x80][..], &[0; 128]].concat()), Ok(128));
        assert_eq!(read(&[&[0x04, 0x82, 1, 0][..], &[0; 256]].concat()), Ok(256));
        for bad in [
            &[][..],
            &[0x04],
            &[0x04, 2, 7],
            &[0x04, 0x81, 1, 7],
            &[0x04, 0x82, 0, 1, 7],
            &[0x04, 0x80, 0, 0],
            &[0x04, 0x83, 0, 0, 1, 7],
            &[0x1f, 0x20, 0],
        ] {
            assert_eq!(read(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn the_only_element_has_its_tag_and_nothing_follows() {
        let only = |bytes: &[u8]| Reader::only(bytes, tag::SEQUENCE).is_ok();
        assert!(only(&[tag::SEQUENCE, 0]));
        for bad in [&[][..], &[tag::SEQUENCE, 1], &[tag::SEQUENCE, 0, 0], &[tag::INTEGER, 0]] {
            assert!(!only(bad), "{bad:?}");
        }
        assert!(Reader::only(&[0x3f, 0], 0x3f).is_err(), "long tag");
    }

    #[test]
    fn integers_have_one_form() {
        let read = |bytes: &[u8]| Reader::new(bytes).unsigned().map(<[u8]>::to_vec);
        assert_eq!(read(&[2, 1, 0]), Ok(vec![0]));
        assert_eq!(read(&[2, 2, 0, 0x80]), Ok(vec![0, 0x80]));
        for bad in [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 1], &[3, 1, 0]] {
            assert_eq!(read(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn short_times_are_of_1950_to_2049() {
        let read = |text: &[u8]| {
            let mut reader = Reader::new(text);
            reader.either_time().and_then(|time| reader.end().map(|()| time))
        };
        let short = |text: &str| [&[tag::UTC_TIME, 13][..], text.as_bytes()].concat();
        assert_eq!(read(&short("261122181000Z")), Ok(Some(1_795_371_000)));
        assert_eq!(read(&short("700101000000Z")), Ok(Some(0)));
        assert_eq!(read(&short("491231235959Z")), Ok(Some(2_524_607_999)));
        assert_eq!(
            read(&[&[tag::GENERALIZED_TIME, 15][..], b"20261122181000Z"].concat()),
            Ok(Some(1_795_371_000))
        );
        assert_eq!(read(&[]), Ok(None));
        for bad in ["691231235959Z", "261122181000+", "261322181000Z", "a61122181000Z"] {
            assert_eq!(read(&short(bad)), Err(Malformed), "{bad}");
        }
        assert_eq!(read(&[&[tag::UTC_TIME, 11][..], b"2611221810Z"].concat()), Err(Malformed));
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("19700101000000Z", 0),
            ("20000229235959Z", 951_868_799),
            ("20261122181000Z", 1_795_371_000),
            ("20000301000000Z", 951_868_800),
            ("21010101000000Z", 4_133_980_800),
            ("24010101000000Z", 13_601_088_000),
            ("99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(unix_seconds(text.as_bytes()), Some(seconds), "{text}");
        }
        for bad in [
            "20260229000000Z",
            "21000229000000Z",
            "20261301000000Z",
            "20260001000000Z",
            "20260100000000Z",
            "20260101240000Z",
            "20260101006000Z",
            "20260101000060Z",
            "19691231235959Z",
            "20260101000000",
            "20260101000000.0Z",
            "20260101000000+0",
            "2026010100000aZ",
            "",
        ] {
            assert_eq!(unix_seconds(bad.as_bytes()), None, "{bad}");
        }
    }
}
