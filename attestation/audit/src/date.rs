//! Unix seconds as people read them.

const DAY_S: u64 = 86_400;

/// `2026-11-23 02:30:00 UTC` (proleptic Gregorian; days to date by Howard Hinnant's civil calendar).
pub(crate) fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / DAY_S, seconds % DAY_S);
    // Years begin in March here, so that the leap day is the last one.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The text with the date beside each number that can only be a time: ten digits by themselves, of the years 2001 to
/// 2099. No size and no version in a check's text is as large.
pub(crate) fn with_utc(text: &str) -> String {
    const TIMES: std::ops::Range<u64> = 1_000_000_000..4_102_444_800;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        // A number inside a word or a digest is none.
        let begins = at - rest[..at].chars().rev().take_while(char::is_ascii_alphanumeric).count();
        let end = rest[at..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(rest.len(), |len| at + len);
        out.push_str(&rest[..end]);
        if let Some(seconds) = rest[begins..end].parse().ok().filter(|time| TIMES.contains(time)) {
            out.push_str(&format!(" ({})", utc(seconds)));
        }
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::{utc, with_utc};

    #[test]
    fn dates_of_the_system_tool() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_795_392_000, "2026-11-23 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }

    #[test]
    fn any_number_is_some_date() {
        assert!(utc(u64::MAX).ends_with("UTC"));
    }

    #[test]
    fn times_have_their_date_and_other_numbers_none() {
        for (text, shown) in [
            ("1795392000", "1795392000 (2026-11-23 00:00:00 UTC)"),
            ("from 1795392000, to", "from 1795392000 (2026-11-23 00:00:00 UTC), to"),
            (
                "a1795392000 1795392000f 17953920001 0x1795392000 7",
                "a1795392000 1795392000f 17953920001 0x1795392000 7",
            ),
            ("", ""),
        ] {
            assert_eq!(with_utc(text), shown);
        }
    }
}
