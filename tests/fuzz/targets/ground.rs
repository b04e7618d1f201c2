//! Genuine vectors, and the ways in which several targets split an input.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// 2026-11-22: the vectors that are valid today are valid then, and so is everything minted.
pub const NOW: u64 = 1_795_371_000;
/// When the simulator's sets are honest.
pub const SIMULATED_NOW: u64 = tiltyard_simulator::nvidia::sets::NOW;
pub const SEED: [u8; 32] = [7; 32];

/// Two packages compile these files, one folder apart.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().find(|folder| folder.join("attestation/tests/vectors").is_dir());
    root.unwrap_or(here).to_owned()
}

/// A file of `attestation/tests/vectors`; `.hex` becomes bytes.
pub fn vector(name: &str) -> Vec<u8> {
    let path = repository().join("attestation/tests/vectors").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if !name.ends_with(".hex") {
        return bytes;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let text = bytes.strip_prefix(b"0x").unwrap_or(&bytes);
    let digits: Vec<u8> = text.iter().filter_map(digit).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Names of the files of one folder of vectors, sorted.
pub fn names(folder: &str) -> Vec<String> {
    let entries = super::files_of(&repository().join("attestation/tests/vectors").join(folder));
    let files = entries.iter().filter(|path| path.is_file());
    let name = |path: &PathBuf| Some(format!("{folder}/{}", path.file_name()?.to_str()?));
    files.filter_map(name).collect()
}

/// Certificates of a PEM file, DER, in order.
pub fn pem(name: &str) -> Vec<Vec<u8>> {
    let text = String::from_utf8(vector(name)).unwrap_or_default();
    let bodies = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    let body = |text: &str| -> String {
        text.split("-----").next().unwrap_or_default().split_whitespace().collect()
    };
    bodies.filter_map(|text| STANDARD.decode(body(text)).ok()).collect()
}

/// As many parts as are asked for, each behind its length (u16, little endian); the last takes what is left, and what
/// is missing is empty.
pub fn parts<const N: usize>(mut data: &[u8]) -> [&[u8]; N] {
    let mut parts: [&[u8]; N] = [&[]; N];
    let Some((last, sized)) = parts.split_last_mut() else { return parts };
    for part in sized {
        let Some((len, rest)) = data.split_first_chunk::<2>() else { break };
        (*part, data) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
    }
    *last = data;
    parts
}

/// What [`parts`] takes apart.
pub fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let Some((last, sized)) = parts.split_last() else { return out };
    for part in sized {
        // A longer part would be cut: no seed has one.
        let len = u16::try_from(part.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&part[..usize::from(len)]);
    }
    out.extend_from_slice(last);
    out
}

/// DER elements that stand one after the other; what is none ends them, as one more element.
pub fn elements(mut data: &[u8]) -> Vec<&[u8]> {
    /// More than any reader here takes.
    const ELEMENTS_MAX: usize = 80;
    let mut found = Vec::new();
    while !data.is_empty() && found.len() < ELEMENTS_MAX {
        let len = match data {
            [_, 0x82, high, low, ..] => 4 + usize::from(*high) * 256 + usize::from(*low),
            [_, 0x81, len, ..] => 3 + usize::from(*len),
            [_, len, ..] if *len < 0x80 => 2 + usize::from(*len),
            _ => data.len(),
        };
        let (element, rest) = data.split_at(len.min(data.len()));
        found.push(element);
        data = rest;
    }
    found
}

/// One DER element.
pub fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u32).to_be_bytes();
    let header = match len {
        [0, 0, 0, len] if len < 0x80 => vec![tag, len],
        [0, 0, 0, len] => vec![tag, 0x81, len],
        [0, 0, high, low] => vec![tag, 0x82, high, low],
        [0, high, mid, low] => vec![tag, 0x83, high, mid, low],
        [a, b, c, d] => vec![tag, 0x84, a, b, c, d],
    };
    [&header[..], content].concat()
}

/// The certificate with other extensions, whose signature then is another's: some readers verify none.
pub fn with_extensions(certificate: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    const EXTENSIONS: u8 = 0xa3;
    /// Of a sequence of 256 bytes or more.
    const HEADER: usize = 4;
    let outer = elements(certificate.get(HEADER..).unwrap_or_default());
    let [signed, rest @ ..] = &outer[..] else { return Vec::new() };
    let mut fields = elements(signed.get(HEADER..).unwrap_or_default());
    let own = fields.pop();
    assert!(own.is_some_and(|own| own.first() == Some(&EXTENSIONS)), "a certificate with extensions");
    let extensions = der(EXTENSIONS, &der(0x30, &extensions.concat()));
    der(0x30, &[&der(0x30, &[&fields.concat()[..], &extensions].concat())[..], &rest.concat()].concat())
}

/// As many extensions of ids of their own as are asked for, each empty.
pub fn many_extensions(count: u16) -> Vec<Vec<u8>> {
    let id = |at: u16| [0x55, 0x1d, 0x81 | (at >> 7) as u8 & 0x7f | 0x80, at as u8 & 0x7f];
    (0..count).map(|at| der(0x30, &[der(0x06, &id(at)), der(0x04, &[])].concat())).collect()
}

/// Writes `bytes` at `at`, if they fit.
pub fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = at.checked_add(bytes.len()).and_then(|end| to.get_mut(at..end)) {
        place.copy_from_slice(bytes);
    }
}

pub fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len().max(1)).any(|window| window == part)
}
