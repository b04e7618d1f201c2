//! Signed notes (C2SP signed-note v1.0.0), Ed25519 only.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use tiltyard_attestation::Hex;

use super::{LedgerError, ORIGIN_MAX_BYTES};

/// Largest note, in bytes.
pub const NOTE_MAX_BYTES: usize = 64 * 1024;
/// Most signature lines of one note.
pub const NOTE_SIGNATURES_MAX: usize = 64;

/// Type byte of a plain Ed25519 note signature.
const TYPE_ED25519: u8 = 0x01;
/// Begins a signature line: em dash, space.
const LINE_START: &str = "\u{2014} ";

/// A key that signs notes; its text form is `name+hex8+base64(01 || public key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    pub name: String,
    /// Ed25519.
    pub public: Hex<32>,
}

impl NoteKey {
    /// First 4 bytes of SHA-256(name || 0A || 01 || public key).
    pub fn id(&self) -> [u8; 4] {
        let mut input = self.name.as_bytes().to_vec();
        input.extend_from_slice(&[b'\n', TYPE_ED25519]);
        input.extend_from_slice(self.public.bytes());
        let [a, b, c, d, ..] = Hex::sha256(&input).0;
        [a, b, c, d]
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![TYPE_ED25519];
        key.extend_from_slice(self.public.bytes());
        write!(f, "{}+{}+{}", self.name, Hex(self.id()), STANDARD.encode(key))
    }
}

impl FromStr for NoteKey {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, LedgerError> {
        let wrong = |what| LedgerError::VerifierKey { what };
        // The base64 part may hold '+' itself; a name may not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it has fewer than three parts"));
        };
        check_name(name)?;
        let key = STANDARD.decode(key).map_err(|_| wrong("the key is not base64"))?;
        let Some((&TYPE_ED25519, public)) = key.split_first() else {
            return Err(wrong("the key is not of type Ed25519"));
        };
        let public = Hex::from_slice(public).ok_or_else(|| wrong("the key is not 32 bytes"))?;
        let parsed = Self { name: name.into(), public };
        if id != Hex(parsed.id()).to_string() {
            return Err(wrong("the key id is not that of name and key"));
        }
        Ok(parsed)
    }
}

/// The note of `text`, which ends in a newline, with one signature.
pub(super) fn sign(text: &str, name: &str, key: &Ed25519KeyPair) -> String {
    let mut public = [0; 32];
    public.copy_from_slice(key.public_key().as_ref());
    let signer = NoteKey { name: name.into(), public: Hex(public) };
    let mut blob = signer.id().to_vec();
    blob.extend_from_slice(key.sign(text.as_bytes()).as_ref());
    format!("{text}\n{LINE_START}{name} {}\n", STANDARD.encode(blob))
}

/// The text of a note that `key` signed. Signatures by other keys are passed over unread.
pub(super) fn open<'a>(note: &'a str, key: &NoteKey) -> Result<&'a str, LedgerError> {
    if note.len() > NOTE_MAX_BYTES {
        return Err(LedgerError::NoteTooLarge { got: note.len() });
    }
    let wrong = |what| LedgerError::NoteSyntax { what };
    if note.chars().any(|c| c.is_ascii_control() && c != '\n') {
        return Err(wrong("it holds a control character"));
    }
    let at = note.rfind("\n\n").ok_or_else(|| wrong("no blank line before the signatures"))?;
    let (text, lines) = (&note[..=at], &note[at + 2..]);
    let lines = lines.strip_suffix('\n').ok_or_else(|| wrong("the last line does not end"))?;
    let mut signed = false;
    for (count, line) in lines.split('\n').enumerate() {
        if count == NOTE_SIGNATURES_MAX {
            return Err(wrong("too many signatures"));
        }
        let (name, blob) = parse_line(line)?;
        let Some((id, signature)) = blob.split_first_chunk::<4>() else {
            return Err(wrong("a signature is shorter than its key id"));
        };
        if name != key.name || *id != key.id() {
            continue;
        }
        UnparsedPublicKey::new(&ED25519, key.public.bytes())
            .verify(text.as_bytes(), signature)
            .map_err(|_| LedgerError::NoteSignature { name: name.into(), key: key.public })?;
        signed = true;
    }
    if signed { Ok(text) } else { Err(LedgerError::NoteUnsigned { name: key.name.clone(), key: key.public }) }
}

/// Signed-note, "Signatures": `— <key name> base64(key id || signature)`.
fn parse_line(line: &str) -> Result<(&str, Vec<u8>), LedgerError> {
    let wrong = |what| LedgerError::NoteSyntax { what };
    let (name, blob) = line
        .strip_prefix(LINE_START)
        .and_then(|rest| rest.split_once(' '))
        .ok_or_else(|| wrong("a signature line is not \"\u{2014} name base64\""))?;
    check_name(name)?;
    let blob = STANDARD.decode(blob).map_err(|_| wrong("a signature is not base64"))?;
    Ok((name, blob))
}

/// Signed-note: a key name is not empty and has no Unicode spaces and no plus.
pub(super) fn check_name(name: &str) -> Result<(), LedgerError> {
    let fits = (1..=ORIGIN_MAX_BYTES).contains(&name.len())
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+');
    if fits { Ok(()) } else { Err(LedgerError::KeyName) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The example of the Go package `golang.org/x/mod/sumdb/note`.
    #[test]
    fn a_note_signed_by_a_foreign_implementation_opens() {
        let key: NoteKey =
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        let line = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert_eq!(open(&format!("{text}\n{line}"), &key), Ok(text));
        let changed = text.replace("cryptography", "steganography");
        let refused = open(&format!("{changed}\n{line}"), &key).unwrap_err();
        assert!(matches!(refused, LedgerError::NoteSignature { .. }), "{refused}");
    }
}
