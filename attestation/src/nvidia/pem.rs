//! Certificates of a device as NVIDIA's tools write them: PEM, leaf first (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Largest chain, in bytes of PEM.
pub const PEM_MAX_BYTES: usize = 32 * 1024;
/// Most certificates of one chain.
const CERTIFICATES_MAX: usize = crate::chain::ec::CERTIFICATES_MAX;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
const LINE_MAX: usize = 64;

/// Why a text is not a list of certificates. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    #[error("certificates: expected at most {limit} bytes, found {got}")]
    TooLarge { limit: usize, got: usize },
    #[error("certificates: expected at most {limit}, found more")]
    TooMany { limit: usize },
    #[error("certificates: expected text, found another byte at {at}")]
    Text { at: usize },
    #[error("certificates: line {line}: expected {expected}")]
    Line { line: usize, expected: &'static str },
    #[error("certificates: the one before line {line} is not base64")]
    Base64 { line: usize },
    #[error("certificates: expected at least one, found none")]
    None,
}

/// The DER certificates of a PEM text, in its order.
///
/// Lines end in LF or CR LF; outside of the certificates nothing but empty lines may stand.
pub fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    if pem.len() > PEM_MAX_BYTES {
        return Err(PemError::TooLarge { limit: PEM_MAX_BYTES, got: pem.len() });
    }
    if let Some(at) = pem.iter().position(|byte| !byte.is_ascii_graphic() && !b" \r\n".contains(byte)) {
        return Err(PemError::Text { at });
    }
    let text = std::str::from_utf8(pem).map_err(|error| PemError::Text { at: error.valid_up_to() })?;
    let mut found = Vec::new();
    let mut body: Option<String> = None;
    let mut last = 0;
    for (line, content) in (1..).zip(text.split('\n')) {
        last = line;
        let content = content.strip_suffix('\r').unwrap_or(content);
        body = match (body.take(), content) {
            (None, "") => None,
            (None, BEGIN) if found.len() < CERTIFICATES_MAX => Some(String::new()),
            (None, BEGIN) => return Err(PemError::TooMany { limit: CERTIFICATES_MAX }),
            (None, _) => return Err(PemError::Line { line, expected: BEGIN }),
            (Some(base64), END) => {
                found.push(STANDARD.decode(base64).map_err(|_| PemError::Base64 { line })?);
                None
            }
            (Some(mut base64), data) if (1..=LINE_MAX).contains(&data.len()) => {
                base64.push_str(data);
                Some(base64)
            }
            (Some(_), _) => {
                return Err(PemError::Line { line, expected: "1 to 64 characters of base64, or the end" });
            }
        };
    }
    match (body, found.is_empty()) {
        (Some(_), _) => Err(PemError::Line { line: last, expected: END }),
        (None, true) => Err(PemError::None),
        (None, false) => Ok(found),
    }
}
