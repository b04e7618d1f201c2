//! What nobody signs in a certificate: DER headers, the algorithm named a second time, padding bits.

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// Whether all that nobody signs is the one possible frame around what is signed (X.690 10.1, RFC 5280 4.1.1.2).
///
/// A parser forgives some bits of the frame, so it is built again from its parts and compared: `signed` with
/// its own header, `algorithm` as it stands within, `signature` as a bit string of whole bytes.
pub(super) fn is_framed(der: &[u8], signed: &[u8], algorithm: &[u8], signature: &[u8]) -> bool {
    let bits = [&header(BIT_STRING, 1 + signature.len()), &[0][..], signature].concat();
    let body_len = signed.len() + algorithm.len() + bits.len();
    [&header(SEQUENCE, body_len), signed, algorithm, &bits].concat() == der
}

/// The AlgorithmIdentifier within a certificate's signed part, with its header: after version and serial number.
pub(super) fn certificate_algorithm<'a>(tbs: &'a [u8], raw_serial: &[u8]) -> Option<&'a [u8]> {
    /// `[0] { INTEGER 2 }`.
    const VERSION_LEN: usize = 5;
    let serial_len = header(0x02, raw_serial.len()).len() + raw_serial.len();
    element(tbs.get(content_at(tbs)? + VERSION_LEN + serial_len..)?)
}

/// First element of `der`, header included; only lengths that one or two bytes tell.
fn element(der: &[u8]) -> Option<&[u8]> {
    let at = content_at(der)?;
    let len = match *der.get(1..at)? {
        [len] => usize::from(len),
        [_, len] => usize::from(len),
        [_, high, low] => usize::from(u16::from_be_bytes([high, low])),
        _ => return None,
    };
    der.get(..at + len)
}

/// Where the content of the first element begins.
fn content_at(der: &[u8]) -> Option<usize> {
    match *der.get(1)? {
        0..=0x7f => Some(2),
        0x81 => Some(3),
        0x82 => Some(4),
        _ => None,
    }
}

/// Tag and length in the only form that DER allows.
fn header(tag: u8, len: usize) -> Vec<u8> {
    let bytes = len.to_be_bytes();
    let skip = bytes.iter().take_while(|&&byte| byte == 0).count();
    match u8::try_from(len) {
        Ok(short @ 0..=0x7f) => vec![tag, short],
        // At most 8 length bytes, so the count fits beside the high bit.
        _ => [&[tag, 0x80 | (bytes.len() - skip) as u8], &bytes[skip..]].concat(),
    }
}
