//! Versions of drivers and of VBIOS images, as reports and reference manifests write them.

use std::fmt;
use std::str::FromStr;

/// Driver version: two to four decimal numbers, such as `550.90.07`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverVersion {
    /// As written: reference manifests are named by it.
    text: String,
    numbers: [u32; 4],
}

/// VBIOS or switch BIOS version: five bytes in upper-case hex, such as `96.00.9F.00.01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VbiosVersion([u8; 5]);

/// A text that is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found another form")]
pub struct VersionError {
    pub expected: &'static str,
}

impl DriverVersion {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this version is `floor` or a later one, number by number; a number that is not there is 0.
    pub fn is_at_least(&self, floor: &Self) -> bool {
        self.numbers >= floor.numbers
    }
}

impl FromStr for DriverVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        const DIGITS_MAX: usize = 6;
        let error = VersionError { expected: "two to four decimal numbers, as in 550.90.07" };
        let mut numbers = [0; 4];
        let mut count = 0;
        for part in text.split('.') {
            let slot = numbers.get_mut(count).ok_or(error)?;
            let digits = part.len() <= DIGITS_MAX && part.bytes().all(|byte| byte.is_ascii_digit());
            *slot = part.parse().ok().filter(|_| digits).ok_or(error)?;
            count += 1;
        }
        if count < 2 { Err(error) } else { Ok(Self { text: text.to_owned(), numbers }) }
    }
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl VbiosVersion {
    /// From the eight bytes of a GPU's report: `b3.b2.b1.b0.b4`, the rest zero.
    pub(super) fn from_packed(bytes: [u8; 8]) -> Option<Self> {
        match bytes {
            [b0, b1, b2, b3, b4, 0, 0, 0] => Some(Self([b3, b2, b1, b0, b4])),
            _ => None,
        }
    }

    /// Without dots, as in the name of a reference manifest.
    pub fn compact(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02X}")).collect()
    }
}

impl FromStr for VbiosVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = VersionError { expected: "five bytes in hex, as in 96.00.9F.00.01" };
        let mut bytes = [0; 5];
        let mut parts = text.split('.');
        for byte in &mut bytes {
            let part = parts.next().ok_or(error)?;
            let digits = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16).ok().filter(|_| digits).ok_or(error)?;
        }
        if parts.next().is_some() { Err(error) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for VbiosVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e] = self.0;
        write!(f, "{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}")
    }
}

impl fmt::Debug for VbiosVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let driver = |text: &str| DriverVersion::from_str(text);
        for (floor, later) in
            [("550.90.07", "550.90.7"), ("550.90.07", "550.144.03"), ("575.32", "575.32.01")]
        {
            let (floor, later) = (driver(floor).unwrap(), driver(later).unwrap());
            assert!(later.is_at_least(&floor), "{floor} {later}");
        }
        assert!(!driver("550.90.07").unwrap().is_at_least(&driver("550.90.12").unwrap()));
        assert!("96.00.A5.00.01".parse::<VbiosVersion>().unwrap() > "96.00.9F.00.FF".parse().unwrap());
    }

    #[test]
    fn other_texts_are_no_versions() {
        for bad in
            ["", "550", "550.", ".550", "550..1", "550.90.07.1.2", "550.-1", "550.+1", "550.9x", "1234567.1"]
        {
            assert!(bad.parse::<DriverVersion>().is_err(), "{bad}");
        }
        for bad in
            ["", "96.00.9F.00", "96.00.9F.00.01.02", "96.00.9F.00.1", "96.00.9F.00.+1", "9600.9F.00.01.00"]
        {
            assert!(bad.parse::<VbiosVersion>().is_err(), "{bad}");
        }
        assert_eq!(VbiosVersion::from_packed([0, 0x9f, 0, 0x96, 1, 0, 0, 1]), None);
    }

    #[test]
    fn packed_bytes_give_the_text_that_the_driver_prints() {
        let version = VbiosVersion::from_packed([0, 0x9f, 0, 0x96, 1, 0, 0, 0]).unwrap();
        assert_eq!(version.to_string(), "96.00.9F.00.01");
        assert_eq!(version.compact(), "96009F0001");
        assert_eq!("96.00.9f.00.01".parse(), Ok(version));
    }
}
