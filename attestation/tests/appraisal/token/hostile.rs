//! Bytes of an adversary that has no key.

use super::{honest, read};

/// Every single-bit flip of a token: not one is accepted.
#[test]
fn no_flip_is_accepted() {
    let (token, keys) = honest();
    let mut tried = 0;
    for at in 0..token.len() {
        for bit in 0..8 {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            // What is no text never reaches the reader.
            let Ok(bent) = String::from_utf8(bytes) else { continue };
            assert!(read(&bent, &keys).is_err(), "byte {at} bit {bit}");
            tried += 1;
        }
    }
    assert!(tried > 6 * token.len(), "{tried}");
}

#[test]
fn no_truncation_and_no_trailing_byte_is_accepted() {
    let (token, keys) = honest();
    assert!(read(&token, &keys).is_ok());
    for len in 0..token.len() {
        assert!(read(&token[..len], &keys).is_err(), "{len} bytes");
    }
    for trailing in ["A", "=", ".", "\n", "\0", " "] {
        for count in 1..=64 {
            let longer = token.clone() + &trailing.repeat(count);
            assert!(read(&longer, &keys).is_err(), "{count} of {trailing:?}");
        }
    }
}
