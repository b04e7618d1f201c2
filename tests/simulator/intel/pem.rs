//! Certificates as text (RFC 7468), as a quote carries them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How a chain is written. Only the first form is genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PemForm {
    /// 64 columns, a line feed after each line.
    Canonical,
    /// The same, then one NUL, as some quoting services leave it.
    CanonicalNul,
    /// Carriage return and line feed.
    CrLf,
    /// The same certificates in lines of 76 columns.
    Wide,
    /// A line of text before each certificate.
    Commented,
}

/// The certificates (DER), leaf first.
pub fn chain(certificates: &[&[u8]], form: PemForm) -> Vec<u8> {
    let (columns, end, before) = match form {
        PemForm::Canonical | PemForm::CanonicalNul => (64, "\n", ""),
        PemForm::CrLf => (64, "\r\n", ""),
        PemForm::Wide => (76, "\n", ""),
        PemForm::Commented => (64, "\n", "certificate:\n"),
    };
    let mut out = String::new();
    for certificate in certificates {
        out.push_str(before);
        out.push_str("-----BEGIN CERTIFICATE-----");
        out.push_str(end);
        let text = STANDARD.encode(certificate);
        for (at, character) in text.chars().enumerate() {
            if at > 0 && at % columns == 0 {
                out.push_str(end);
            }
            out.push(character);
        }
        out.push_str(end);
        out.push_str("-----END CERTIFICATE-----");
        out.push_str(end);
    }
    let mut bytes = out.into_bytes();
    if form == PemForm::CanonicalNul {
        bytes.push(0);
    }
    bytes
}
