//! Forms that a file may have, told by its bytes alone.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What a file is as hex.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Digits {
    Spell(Vec<u8>),
    /// This many digits.
    Odd(usize),
    /// Meant as hex, but for the byte at this position, counted from 0.
    Stray(usize),
    None,
}

/// Fewest digits of a text that is taken for hex with a mistake in it.
const STRAY_LEAST_DIGITS: usize = 32;
/// Such a text has at most one other character in so many.
const STRAY_ONE_IN: usize = 32;

/// Hex digits and white space, after an optional `0x`.
pub(super) fn digits(text: &[u8]) -> Digits {
    let begin = text.len() - text.trim_ascii_start().len();
    let begin = begin + if text[begin..].starts_with(b"0x") { 2 } else { 0 };
    let mut nibbles = Vec::with_capacity(text.len());
    let (mut stray, mut strays) = (None, 0);
    for (at, &byte) in text.iter().enumerate().skip(begin) {
        match char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()) {
            Some(nibble) => nibbles.push(nibble),
            None if byte.is_ascii_whitespace() => {}
            None => {
                stray.get_or_insert(at);
                strays += 1;
            }
        }
    }
    match stray {
        Some(at) if nibbles.len() >= STRAY_LEAST_DIGITS && strays <= text.len() / STRAY_ONE_IN => {
            Digits::Stray(at)
        }
        Some(_) => Digits::None,
        None if nibbles.is_empty() => Digits::None,
        None if nibbles.len() % 2 == 1 => Digits::Odd(nibbles.len()),
        None => Digits::Spell(nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
    }
}

/// The bytes that a text of hex digits and white space spells; none when it is anything else.
pub(crate) fn hex(text: &[u8]) -> Option<Vec<u8>> {
    match digits(text) {
        Digits::Spell(bytes) => Some(bytes),
        Digits::Odd(_) | Digits::Stray(_) | Digits::None => None,
    }
}

/// Fewest characters of a text that is taken for base64: any word is some.
const BASE64_LEAST_CHARS: usize = 128;

/// The bytes that a text of base64 spells, of either alphabet, padded or not, with white space.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let unpadded = digits.iter().rposition(|&byte| byte != b'=').map_or(0, |last| last + 1);
    if digits.len() < BASE64_LEAST_CHARS || digits.len() - unpadded > 2 {
        return None;
    }
    let digits = &digits[..unpadded];
    STANDARD_NO_PAD.decode(digits).or_else(|_| URL_SAFE_NO_PAD.decode(digits)).ok()
}

/// What a file is that is nothing known.
pub(super) fn beginning(bytes: &[u8]) -> String {
    const SHOWN: usize = 8;
    if bytes.is_empty() {
        return "nothing: it is empty".to_owned();
    }
    let first: Vec<String> = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes that begin with {}", bytes.len(), first.join(" "))
}

/// One ASN.1 SEQUENCE whose length lies within the bytes (X.690 8.1.3).
pub(super) fn is_der(bytes: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = bytes else { return false };
    match first {
        0..=0x7F => rest.len() >= usize::from(*first),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7F);
            let Some((len, content)) = rest.split_at_checked(count) else { return false };
            let len = len.iter().fold(0_usize, |len, &byte| len << 8 | usize::from(byte));
            content.len() >= len
        }
        _ => false,
    }
}

/// An SNP report: its exact length, or at least a version at its start. What is wrong with it is for the checks.
pub(super) fn is_snp_report(bytes: &[u8]) -> bool {
    const REPORT_LEN: usize = 1184;
    const LEAST_LEN: usize = 64;
    const VERSIONS: std::ops::RangeInclusive<u32> = 1..=15;
    let version = bytes.first_chunk().map(|&version| u32::from_le_bytes(version));
    bytes.len() == REPORT_LEN
        || bytes.len() >= LEAST_LEN && version.is_some_and(|version| VERSIONS.contains(&version))
}

/// A quote: a version and a whole header (DCAP quote format, 48 bytes).
pub(super) fn is_quote(bytes: &[u8]) -> bool {
    const HEADER_LEN: usize = 48;
    const VERSIONS: std::ops::RangeInclusive<u16> = 1..=15;
    let version = bytes.first_chunk().map(|&version| u16::from_le_bytes(version));
    bytes.len() >= HEADER_LEN && version.is_some_and(|version| VERSIONS.contains(&version))
}

/// An event log: its first event names the specification (TCG PC Client PFP 10.4.5.1).
pub(super) fn is_event_log(bytes: &[u8]) -> bool {
    const NAMED_WITHIN: usize = 64;
    let head = &bytes[..bytes.len().min(NAMED_WITHIN)];
    head.windows(13).any(|window| window == b"Spec ID Event")
}

/// A SWID tag, as reference manifests are.
pub(super) fn is_manifest(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'<') && contains(text, b"SoftwareIdentity")
}

/// An archive of POSIX.1-1988, by its first header.
pub(crate) fn is_archive(bytes: &[u8]) -> bool {
    const BLOCK: usize = 512;
    const MAGIC_AT: usize = 257;
    bytes.len() >= BLOCK && bytes[MAGIC_AT..].starts_with(b"ustar")
}

pub(super) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// What stands in the blocks of a PEM file (RFC 7468); text around them explains them.
pub(super) fn pem_blocks(text: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    const OPEN: &str = "a block that does not end";
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in text.lines().map(str::trim) {
        let begins = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let ends = line.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----"));
        match (open.take(), begins, ends) {
            (None, Some(label), _) => open = Some((label, String::new())),
            (Some((label, body)), None, Some(end)) if label == end => {
                blocks.push(STANDARD.decode(body).map_err(|_| "a block that is not base64")?);
            }
            (Some((label, mut body)), None, None) => {
                body.push_str(line);
                open = Some((label, body));
            }
            (None, None, None) => {}
            _ => return Err(OPEN),
        }
    }
    if open.is_none() { Ok(blocks) } else { Err(OPEN) }
}

/// Certificates as a PEM file without anything around them.
pub(super) fn to_pem(certificates: &[Vec<u8>]) -> Vec<u8> {
    const LINE: usize = 64;
    let mut out = String::new();
    for der in certificates {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let body = STANDARD.encode(der);
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(LINE));
            out.push_str(line);
            out.push('\n');
            rest = after;
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_recognised_and_nothing_else() {
        assert_eq!(hex(b" 0xAb\n01 "), Some(vec![0xAB, 0x01]));
        for other in [&b"abc"[..], b"xy", b"", b"\x02\x00", b"  "] {
            assert_eq!(hex(other), None, "{other:?}");
        }
    }

    #[test]
    fn base64_is_recognised_in_its_alphabets() {
        let bytes: Vec<u8> = (0..=255).collect();
        let standard = STANDARD.encode(&bytes);
        let lines: String = standard
            .as_bytes()
            .chunks(64)
            .map(|line| format!("{}\r\n", std::str::from_utf8(line).unwrap_or_default()))
            .collect();
        let url = URL_SAFE_NO_PAD.encode(&bytes);
        for text in [&standard, &lines, &url, standard.trim_end_matches('=')] {
            assert_eq!(base64(text.as_bytes()), Some(bytes.clone()), "{text}");
        }
        let mixed = standard.replacen('+', "-", 1);
        for other in
            [mixed.as_str(), "a text of words", &standard[..64], &format!("{standard}=="), &"=".repeat(200)]
        {
            assert_eq!(base64(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn hex_with_a_mistake_is_no_binary() {
        let mut text = b"0011223344556677".repeat(4);
        assert!(matches!(digits(&text), Digits::Spell(_)));
        text[9] = b'o';
        assert_eq!(digits(&text), Digits::Stray(9));
        text.pop();
        assert_eq!(digits(&text), Digits::Stray(9));
        text[9] = b'0';
        assert_eq!(digits(&text), Digits::Odd(63));
        for binary in [&[0x30, 0x82, 0x41, 0x42].repeat(40)[..], b"a text of words"] {
            assert_eq!(digits(binary), Digits::None);
        }
    }

    #[test]
    fn der_has_a_length() {
        assert!(is_der(&[0x30, 0]) && is_der(&[0x30, 0x81, 1, 5]) && is_der(&[0x30, 1, 5, 0]));
        for bad in
            [&[][..], &[0x30], &[0x30, 2, 5], &[0x30, 0x82, 1], &[0x31, 0], &[0x30, 0x80, 0, 0], b"0random"]
        {
            assert!(!is_der(bad), "{bad:?}");
        }
    }

    #[test]
    fn pem_blocks_are_whole() {
        let good =
            "note\n-----BEGIN X-----\r\nMAA=\r\n-----END X-----\n-----BEGIN Y-----\nMAE=\n-----END Y-----";
        let blocks = vec![vec![0x30, 0], vec![0x30, 1]];
        assert_eq!(pem_blocks(good), Ok(blocks.clone()));
        assert_eq!(pem_blocks(std::str::from_utf8(&to_pem(&blocks)).unwrap_or_default()), Ok(blocks));
        for bad in [
            "-----BEGIN X-----\nMAA=\n",
            "-----BEGIN X-----\nMAA=\n-----END Y-----\n",
            "-----BEGIN X-----\n-----BEGIN X-----\nMAA=\n-----END X-----\n",
            "-----END X-----\n",
            "-----BEGIN X-----\n!!\n-----END X-----\n",
        ] {
            assert!(pem_blocks(bad).is_err(), "{bad}");
        }
    }
}
