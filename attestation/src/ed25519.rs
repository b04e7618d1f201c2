//! Ed25519 signatures (RFC 8032): of bundles and tokens.

use ring::signature::{ED25519, UnparsedPublicKey};

use crate::Hex;

/// Whether the holder of `key` made `signature` over `message`.
pub(crate) fn verifies(key: &Hex<32>, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key.bytes()).verify(message, signature).is_ok()
}
