//! The few DER forms that vendors' certificates are made of (ITU-T X.690).

/// Universal tags used here.
pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// Context tag `[0]`, primitive.
pub(crate) const CONTEXT: u8 = 0x80;

/// Tag, length and content.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    if content.len() < 0x80 {
        out.push(content.len() as u8);
    } else {
        let length = content.len().to_be_bytes();
        let skip = length.iter().take_while(|byte| **byte == 0).count();
        out.push(0x80 | (length.len() - skip) as u8);
        out.extend_from_slice(&length[skip..]);
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of ready-made members.
pub(crate) fn sequence(members: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &members.concat())
}

/// Context tag `[number]`, constructed.
pub(crate) fn context(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(0xa0 | number, content)
}

/// Non-negative INTEGER.
pub(crate) fn integer(value: u64) -> Vec<u8> {
    unsigned(&value.to_be_bytes())
}

/// Non-negative INTEGER from big-endian bytes.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut content = bytes[skip..].to_vec();
    if content.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    tlv(INTEGER, &content)
}

/// BIT STRING of whole bytes.
pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], bytes].concat())
}

/// OBJECT IDENTIFIER from its arcs.
pub(crate) fn oid(arcs: &[u32]) -> Vec<u8> {
    let mut content = Vec::new();
    let (first, rest) = arcs.split_at(2.min(arcs.len()));
    content.push(first.iter().fold(0, |sum, arc| sum * 40 + *arc as u8));
    for arc in rest {
        let groups = (32 - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group == 0 { 0 } else { 0x80 };
            content.push((arc >> (7 * group) & 0x7f) as u8 | more);
        }
    }
    tlv(OID, &content)
}

/// Time of certificates and revocation lists: UTCTime to 2049, GeneralizedTime after (RFC 5280, 4.1.2.5).
pub(crate) fn time(unix_s: u64) -> Vec<u8> {
    let (year, month, day) = civil_date(unix_s / 86_400);
    let second = unix_s % 86_400;
    let clock = format!("{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60);
    if year < 2050 {
        tlv(UTC_TIME, format!("{:02}{month:02}{day:02}{clock}", year % 100).as_bytes())
    } else {
        tlv(GENERALIZED_TIME, format!("{year:04}{month:02}{day:02}{clock}").as_bytes())
    }
}

/// Year, month and day of the Gregorian calendar, counted in eras of 400 years that begin on 1 March.
pub(crate) fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// GeneralizedTime of any year up to 9999.
pub(crate) fn generalized_time(unix_s: u64) -> Vec<u8> {
    let (year, month, day) = civil_date(unix_s / 86_400);
    let second = unix_s % 86_400;
    let clock = format!("{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60);
    tlv(GENERALIZED_TIME, format!("{year:04}{month:02}{day:02}{clock}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_integers_and_arcs_take_their_shortest_form() {
        assert_eq!(tlv(OCTET_STRING, &[7; 0x7f])[..2], [4, 0x7f]);
        assert_eq!(tlv(OCTET_STRING, &[7; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(tlv(OCTET_STRING, &[7; 0x201])[..4], [4, 0x82, 2, 1]);
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(0x80), [2, 2, 0, 0x80]);
        // 1.3.6.1.4.1.3704.1.3.1, as a genuine VCEK has it.
        let spl = oid(&[1, 3, 6, 1, 4, 1, 3704, 1, 3, 1]);
        assert_eq!(spl, [6, 10, 0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1, 3, 1]);
    }

    #[test]
    fn times_are_utc_until_2049_and_generalized_after() {
        assert_eq!(&time(1_730_927_640)[2..], b"241106211400Z");
        assert_eq!(&time(951_782_400)[2..], b"000229000000Z");
        assert_eq!(&time(2_524_607_999)[2..], b"491231235959Z");
        assert_eq!(&time(2_524_608_000)[2..], b"20500101000000Z");
    }
}
