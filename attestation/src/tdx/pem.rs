//! PEM certificate chains in the one text that their DER bytes have (RFC 7468 section 3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----\n";
const END: &str = "-----END CERTIFICATE-----\n";
const COLUMNS: usize = 64;
/// Longest chain text, in bytes.
const CHAIN_MAX_BYTES: usize = 16 * 1024;
const CERTIFICATES_MAX: usize = 8;

/// Why a text is not a canonical chain of certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    #[error("expected at most {limit} bytes of PEM, found {got}")]
    TooLarge { limit: usize, got: usize },
    #[error("expected at most {limit} certificates, found more")]
    TooMany { limit: usize },
    #[error("expected certificates in PEM, found other text at byte {at}")]
    Frame { at: usize },
    #[error("expected base64 in certificate {place}, found something else")]
    Base64 { place: usize },
    #[error("expected LF, {COLUMNS} columns and at most one final NUL: the text differs at byte {at}")]
    NotCanonical { at: usize },
}

/// DER bytes of each certificate, in order.
///
/// The text must be what encoding those bytes gives: LF after each line, 64 columns, nothing between, and at
/// most one NUL at its end. So no byte of it can change without a change of a certificate.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    if text.len() > CHAIN_MAX_BYTES {
        return Err(PemError::TooLarge { limit: CHAIN_MAX_BYTES, got: text.len() });
    }
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    if let Some(certificates) = laid_out(text) {
        return Ok(certificates);
    }
    // What is wrong with it.
    let mut certificates = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if certificates.len() == CERTIFICATES_MAX {
            return Err(PemError::TooMany { limit: CERTIFICATES_MAX });
        }
        let frame = PemError::Frame { at: text.len() - rest.len() };
        let inner = rest.strip_prefix(BEGIN.as_bytes()).ok_or(frame.clone())?;
        let len = find_end(inner).ok_or(frame)?;
        let (body, after) = inner.split_at(len);
        let mut digits = Vec::with_capacity(body.len());
        body.split(|&byte| byte == b'\n').for_each(|line| digits.extend_from_slice(line));
        let place = certificates.len();
        certificates.push(STANDARD.decode(digits).map_err(|_| PemError::Base64 { place })?);
        rest = after.get(END.len()..).unwrap_or_default();
    }
    let canonical = encode(&certificates);
    if canonical.as_bytes() == text {
        return Ok(certificates);
    }
    let at = canonical.bytes().zip(text).take_while(|(expected, got)| expected == *got).count();
    Err(PemError::NotCanonical { at })
}

/// The certificates of a canonical text, without encoding them again: whole lines but for the last one of each, and
/// base64 that has one text for each byte string (its reader takes neither other padding nor spare bits).
fn laid_out(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut certificates = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if certificates.len() == CERTIFICATES_MAX {
            return None;
        }
        let inner = rest.strip_prefix(BEGIN.as_bytes())?;
        let (body, after) = inner.split_at_checked(find_end(inner)?)?;
        let mut digits = Vec::with_capacity(body.len());
        let (whole, last) = body.as_chunks::<{ COLUMNS + 1 }>();
        for [line @ .., end] in whole {
            if *end != b'\n' {
                return None;
            }
            digits.extend_from_slice(line);
        }
        match last {
            [] => {}
            [line @ .., b'\n'] if !line.is_empty() => digits.extend_from_slice(line),
            _ => return None,
        }
        certificates.push(STANDARD.decode(digits).ok()?);
        rest = after.strip_prefix(END.as_bytes())?;
    }
    Some(certificates)
}

/// The canonical text of a chain, without a final NUL.
fn encode(certificates: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for der in certificates {
        text.push_str(BEGIN);
        let digits = STANDARD.encode(der);
        let mut rest = digits.as_str();
        while let Some((line, after)) = rest.split_at_checked(COLUMNS) {
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        if !rest.is_empty() {
            text.push_str(rest);
            text.push('\n');
        }
        text.push_str(END);
    }
    text
}

/// Where the end line begins. Base64 has no hyphen, so that its first byte is met once.
fn find_end(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|&byte| byte == END.as_bytes()[0])?;
        if text[at..].starts_with(END.as_bytes()) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        encode(&[vec![1; 100], vec![2; 48]])
    }

    #[test]
    fn the_canonical_text_is_read_with_or_without_a_final_nul() {
        let expected = Ok(vec![vec![1; 100], vec![2; 48]]);
        assert_eq!(certificates(text().as_bytes()), expected);
        assert_eq!(certificates(format!("{}\0", text()).as_bytes()), expected);
        assert_eq!(certificates(b""), Ok(vec![]));
    }

    #[test]
    fn any_other_text_is_refused() {
        let text = text();
        assert_eq!(certificates(format!("{text}\0\0").as_bytes()), Err(PemError::Frame { at: text.len() }));
        assert_eq!(certificates(format!("{text}\n").as_bytes()), Err(PemError::Frame { at: text.len() }));
        assert_eq!(certificates(text.replace('\n', "\r\n").as_bytes()), Err(PemError::Frame { at: 0 }));
        let end = text.len() - 1;
        assert!(certificates(&text.as_bytes()[..end]).is_err(), "no final LF");
        let wide: String = text.replacen("AQEB\n", "AQEB", 1);
        assert!(matches!(certificates(wide.as_bytes()), Err(PemError::NotCanonical { .. })), "{wide}");
        // "AQ==" and "AR==" decode alike in a careless reader.
        let loose = encode(&[vec![1]]).replace("AQ==", "AR==");
        assert_eq!(certificates(loose.as_bytes()), Err(PemError::Base64 { place: 0 }));
        let many = encode(&vec![vec![1]; CERTIFICATES_MAX + 1]);
        assert_eq!(certificates(many.as_bytes()), Err(PemError::TooMany { limit: CERTIFICATES_MAX }));
        let large = vec![b'A'; CHAIN_MAX_BYTES + 1];
        assert_eq!(
            certificates(&large),
            Err(PemError::TooLarge { limit: CHAIN_MAX_BYTES, got: CHAIN_MAX_BYTES + 1 })
        );
    }

    #[test]
    fn texts_of_every_length_are_read_without_encoding_them_again() {
        for len in 0..200 {
            let ders = vec![vec![0xa5; len], vec![len as u8; 96]];
            let text = encode(&ders);
            assert_eq!(laid_out(text.as_bytes()), Some(ders.clone()), "{len}");
            assert_eq!(certificates(text.as_bytes()), Ok(ders), "{len}");
        }
    }

    #[test]
    fn no_single_bit_can_change_without_changing_a_certificate() {
        let text = text().into_bytes();
        let original = certificates(&text).unwrap_or_default();
        for at in 0..text.len() * 8 {
            let mut bent = text.clone();
            bent[at / 8] ^= 1 << (at % 8);
            assert_ne!(certificates(&bent).as_ref(), Ok(&original), "bit {at}");
        }
    }
}
