//! Words that occur nowhere else, and the search for them in every form in which text leaves a program.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;

/// Words planted.
pub const CANARIES: usize = 8;
const LETTERS: usize = 20;

/// Random words, half for instructions and half for outputs.
pub fn draw() -> Vec<String> {
    let word = |_| {
        let mut letters = [0; LETTERS];
        SystemRandom::new().fill(&mut letters).unwrap();
        letters.iter().map(|byte| char::from(b'a' + byte % 26)).collect()
    };
    (0..CANARIES).map(word).collect()
}

/// Puts one word into four rows of five.
pub fn plant(canaries: &[String], index: usize, line: &str) -> String {
    let Some(canary) = canaries.get(index % (CANARIES + 2)) else { return line.to_owned() };
    let column = if index.is_multiple_of(2) { "instruction" } else { "output" };
    let mut row: Value = serde_json::from_str(line).unwrap();
    let text = row[column].as_str().unwrap();
    row[column] = format!("{text} {canary}").into();
    row.to_string()
}

/// Byte strings to look for, each with what it is.
pub struct Needles {
    needles: Vec<(Vec<u8>, String)>,
    /// Whether a needle begins with these two bytes.
    begins: Vec<bool>,
    longest: usize,
}

impl Needles {
    /// Every canary as it is, in hex, in base64 at each of its alignments, and in UTF-16.
    pub fn new(canaries: &[String]) -> Self {
        let mut needles = Vec::new();
        for (index, canary) in canaries.iter().enumerate() {
            let mut add =
                |form: &str, bytes: Vec<u8>| needles.push((bytes, format!("canary {index}, {form}")));
            for (form, bytes) in forms(canary) {
                add(form, bytes);
            }
        }
        let mut begins = vec![false; 1 << 16];
        for (bytes, _) in &needles {
            begins[usize::from(bytes[0]) << 8 | usize::from(bytes[1])] = true;
        }
        let longest = needles.iter().map(|(bytes, _)| bytes.len()).max().unwrap();
        Self { needles, begins, longest }
    }

    pub fn longest(&self) -> usize {
        self.longest
    }

    /// What of it is in `bytes`.
    pub fn find(&self, bytes: &[u8]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (at, pair) in bytes.windows(2).enumerate() {
            if self.begins[usize::from(pair[0]) << 8 | usize::from(pair[1])] {
                let here = self.needles.iter().filter(|(needle, _)| bytes[at..].starts_with(needle));
                found.extend(here.map(|(_, name)| name.clone()));
            }
        }
        found
    }

    /// What of it is in the files of a folder, or in their names.
    pub fn find_below(&self, folder: &Path) -> Searched {
        let mut searched = Searched::default();
        let mut waiting = vec![folder.to_owned()];
        while let Some(path) = waiting.pop() {
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            let mut found = self.find(name);
            if kind.is_dir() {
                waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if kind.is_file() {
                let bytes = fs::read(&path).unwrap();
                searched.files += 1;
                searched.bytes += bytes.len() as u64;
                found.extend(self.find(&bytes));
            }
            searched.found.extend(found.into_iter().map(|what| (path.clone(), what)));
        }
        searched
    }
}

/// What was searched in folders, and what was there.
#[derive(Debug, Default)]
pub struct Searched {
    pub files: u64,
    pub bytes: u64,
    pub found: Vec<(PathBuf, String)>,
}

fn forms(canary: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |upper: bool| -> Vec<u8> {
        let digits = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        canary.as_bytes().iter().flat_map(|byte| digits(byte).into_bytes()).collect()
    };
    let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { canary.encode_utf16().flat_map(bytes).collect() };
    let mut forms = vec![
        ("raw", canary.as_bytes().to_vec()),
        ("hex", hex(false)),
        ("HEX", hex(true)),
        ("UTF-16LE", utf16(u16::to_le_bytes)),
        ("UTF-16BE", utf16(u16::to_be_bytes)),
    ];
    for (skip, name) in [(0, "base64, first alignment"), (1, "base64, second"), (2, "base64, third")] {
        // Of the encoded text, what depends on the canary alone. Letters never give '+' or '/'... in either alphabet
        // they may, so both are looked for.
        for engine in [&STANDARD, &URL_SAFE] {
            let mut text = vec![0; skip];
            text.extend_from_slice(canary.as_bytes());
            let whole = text.len() / 3 * 4;
            let encoded = engine.encode(&text).into_bytes();
            forms.push((name, encoded[if skip == 0 { 0 } else { 4 }..whole].to_vec()));
        }
    }
    forms
}
