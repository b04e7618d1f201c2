//! Evidence in an X.509 extension, wrapped as a conceptual message (draft-ietf-rats-msg-wrap 3 and 4.4).
//!
//! What is read here is a claim of whoever made the certificate: it was bound to no channel and to nobody's nonce, so
//! no connection may rest on it alone (ATTESTATION 11).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::chain::der::{Reader, tag};

/// id-pe-cmw, which is written and read.
pub const ID_PE_CMW: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 35];
/// Media type of our evidence document.
pub const EVIDENCE_MEDIA_TYPE: &str = "application/vnd.tiltyard.evidence+json";
/// Largest extension value, in bytes: a TLS library takes a certificate message of at most 64 KiB.
pub const CMW_MAX_BYTES: usize = 48 * 1024;
/// Largest certificate that is searched, in bytes.
pub const CERTIFICATE_MAX_BYTES: usize = 60 * 1024;
/// Longest name of a media type, in bytes.
const MEDIA_TYPE_MAX_BYTES: usize = 128;
const ID_PE_CMW_TEXT: &str = "1.3.6.1.5.5.7.1.35";
/// tcg-dice-conceptual-message-wrapper, which is read only (TCG DICE Attestation Architecture 6.1).
const TCG_DICE_CMW_TEXT: &str = "2.23.133.5.4.9";
const UTF8_STRING: u8 = 0x0c;

/// One wrapped message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    pub kind: MessageType,
    pub value: Vec<u8>,
}

/// How a message says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageType {
    Media(String),
    /// A CoAP content format, by number.
    ContentFormat(u16),
}

/// Why a certificate or an extension holds no readable message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CmwError {
    #[error("{what}: expected at most {max} bytes, found {got}")]
    TooLarge { what: &'static str, max: usize, got: usize },
    #[error("expected one X.509 certificate in DER")]
    Certificate,
    #[error("expected at most one extension with a wrapped message, found {got}")]
    Ambiguous { got: usize },
    /// Neither a UTF8String of JSON nor an OCTET STRING of CBOR.
    #[error("expected a wrapped message in DER, found {got} other bytes")]
    Frame { got: usize },
    /// Neither a record nor a tagged message; collections are not read.
    #[error("expected one record or tagged message, found another document of {got} bytes")]
    Record { got: usize },
    #[error("expected a media type of at most {MEDIA_TYPE_MAX_BYTES} characters, found {got} bytes")]
    MediaType { got: usize },
}

/// The extension's value for one message: DER of a UTF8String that holds the JSON record.
pub fn to_extension(media_type: &str, value: &[u8]) -> Result<Vec<u8>, CmwError> {
    named(media_type.to_owned())?;
    let record = format!("[\"{media_type}\",\"{}\"]", URL_SAFE_NO_PAD.encode(value));
    // The header of a value of up to 64 KiB is four bytes at most.
    within("extension", record.len() + 4, CMW_MAX_BYTES)?;
    let len = u16::try_from(record.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut der = vec![UTF8_STRING];
    match len {
        [0, low @ ..=0x7f] => der.push(low),
        [0, low] => der.extend([0x81, low]),
        [high, low] => der.extend([0x82, high, low]),
    }
    der.extend_from_slice(record.as_bytes());
    Ok(der)
}

/// The message that a certificate carries under either object identifier; none where there is no such extension.
///
/// Nothing of the certificate is verified.
pub fn in_certificate(certificate: &[u8]) -> Result<Option<Wrapped>, CmwError> {
    within("certificate", certificate.len(), CERTIFICATE_MAX_BYTES)?;
    let parsed = X509Certificate::from_der(certificate).ok().filter(|(rest, _)| rest.is_empty());
    let (_, parsed) = parsed.ok_or(CmwError::Certificate)?;
    let found: Vec<_> = parsed
        .extensions()
        .iter()
        .filter(|extension| {
            let oid = extension.oid.to_id_string();
            oid == ID_PE_CMW_TEXT || oid == TCG_DICE_CMW_TEXT
        })
        .collect();
    match found.as_slice() {
        [] => Ok(None),
        [extension] => in_extension(extension.value).map(Some),
        more => Err(CmwError::Ambiguous { got: more.len() }),
    }
}

/// The message in an extension's value: `CHOICE { json UTF8String, cbor OCTET STRING }`, or the octet string alone in
/// a SEQUENCE, as DICE has it.
pub fn in_extension(value: &[u8]) -> Result<Wrapped, CmwError> {
    within("extension", value.len(), CMW_MAX_BYTES)?;
    let frame = CmwError::Frame { got: value.len() };
    let content = |tag| {
        let mut reader = Reader::new(value);
        let content = reader.content(tag).ok()?;
        reader.is_empty().then_some(content)
    };
    if let Some(json) = content(UTF8_STRING) {
        return from_json(json);
    }
    if let Some(cbor) = content(tag::OCTET_STRING) {
        return from_cbor(cbor);
    }
    let mut inside = Reader::only(value, tag::SEQUENCE).map_err(|_| frame.clone())?;
    let cbor = inside.content(tag::OCTET_STRING).map_err(|_| frame.clone())?;
    inside.end().map_err(|_| frame)?;
    from_cbor(cbor)
}

fn within(what: &'static str, got: usize, max: usize) -> Result<(), CmwError> {
    if got <= max { Ok(()) } else { Err(CmwError::TooLarge { what, max, got }) }
}

/// A type, a subtype and perhaps parameters, in printable ASCII without quotes (RFC 6838 4.2).
fn named(name: String) -> Result<MessageType, CmwError> {
    let printable = |c: u8| matches!(c, b' '..=b'~') && c != b'"' && c != b'\\';
    let parts = name.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    if parts && name.len() <= MEDIA_TYPE_MAX_BYTES && name.bytes().all(printable) {
        Ok(MessageType::Media(name))
    } else {
        Err(CmwError::MediaType { got: name.len() })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonType {
    Media(String),
    ContentFormat(u16),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonRecord {
    Plain(JsonType, String),
    /// The third member says which conceptual messages are inside.
    Indicated(JsonType, String, #[allow(dead_code, reason = "only its form counts here")] u32),
}

fn from_json(json: &[u8]) -> Result<Wrapped, CmwError> {
    let other = || CmwError::Record { got: json.len() };
    let (JsonRecord::Plain(kind, value) | JsonRecord::Indicated(kind, value, _)) =
        serde_json::from_slice(json).map_err(|_| other())?;
    let kind = match kind {
        JsonType::Media(name) => named(name)?,
        JsonType::ContentFormat(number) => MessageType::ContentFormat(number),
    };
    let value = URL_SAFE_NO_PAD.decode(value).map_err(|_| other())?;
    Ok(Wrapped { kind, value })
}

/// Major types of CBOR (RFC 8949 3.1).
mod major {
    pub(super) const UNSIGNED: u8 = 0;
    pub(super) const BYTES: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const ARRAY: u8 = 4;
    pub(super) const TAG: u8 = 6;
}

fn from_cbor(cbor: &[u8]) -> Result<Wrapped, CmwError> {
    let other = || CmwError::Record { got: cbor.len() };
    let mut items = Items(cbor);
    let (kind, value) = match items.head().ok_or_else(other)? {
        (major::TAG, number) => {
            let format = content_format(number).ok_or_else(other)?;
            (MessageType::ContentFormat(format), items.string(major::BYTES).ok_or_else(other)?)
        }
        (major::ARRAY, members @ 2..=3) => {
            let kind = match items.head().ok_or_else(other)? {
                (major::TEXT, len) => {
                    let name =
                        items.take(len).and_then(|name| str::from_utf8(name).ok()).ok_or_else(other)?;
                    named(name.to_owned())?
                }
                (major::UNSIGNED, number) => {
                    MessageType::ContentFormat(u16::try_from(number).map_err(|_| other())?)
                }
                _ => return Err(other()),
            };
            let value = items.string(major::BYTES).ok_or_else(other)?;
            if members == 3 && !matches!(items.head(), Some((major::UNSIGNED, 0..=0xffff_ffff))) {
                return Err(other());
            }
            (kind, value)
        }
        _ => return Err(other()),
    };
    if items.0.is_empty() { Ok(Wrapped { kind, value: value.to_vec() }) } else { Err(other()) }
}

/// The content format that a tag number stands for (RFC 9277 4.3): no byte of it is zero.
fn content_format(tag: u64) -> Option<u16> {
    const FIRST: u64 = 0x6374_0101;
    let offset = tag.checked_sub(FIRST).filter(|offset| *offset <= 0xfefe)?;
    let (high, low) = (offset / 256, offset % 256);
    let format = (low < 255).then_some(high * 255 + low)?;
    u16::try_from(format).ok()
}

/// Items of CBOR one after another, of definite length; nothing is nested deeper than a record.
struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    /// Major type and argument of the next item.
    fn head(&mut self) -> Option<(u8, u64)> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        let argument = match first & 0x1f {
            small @ 0..=23 => u64::from(small),
            width @ 24..=27 => {
                let bytes = self.take(1 << (width - 24))?;
                bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
            }
            _ => return None,
        };
        Some((first >> 5, argument))
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(head)
    }

    fn string(&mut self, major: u8) -> Option<&'a [u8]> {
        let (found, len) = self.head()?;
        (found == major).then(|| self.take(len)).flatten()
    }
}
