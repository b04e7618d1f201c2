//! Compact JWS (RFC 7515) by Ed25519 (RFC 8037): one algorithm, three header members, keys by name only.

use serde::{Deserialize, Serialize};

use super::{TokenError, base64url, json};
use crate::Hex;
use crate::ed25519::verifies;

/// Largest token, in bytes of its compact form: 24 devices and a log proof fit in.
pub const TOKEN_MAX_BYTES: usize = 128 * 1024;
/// Longest header, in characters of its base64url form.
const HEADER_MAX_LEN: usize = 256;
const SIGNATURE_LEN: usize = 64;

const ALGORITHM: &str = "EdDSA";
/// Media type of an EAT in JWT form, without `application/` (RFC 9782); keeps other JWTs of a key apart.
const TYPE: &str = "eat+jwt";

/// The whole header. A closed set: `crit`, `jwk`, `jku`, `x5c` and their like have no place here.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// A payload whose signature verified.
pub(super) struct Opened {
    pub(super) payload: Vec<u8>,
    pub(super) key: Hex<32>,
}

/// Name of a key in a token's header: SHA-256 of the Ed25519 public key (PROVISIONING 13).
pub fn key_id(key: &Hex<32>) -> Hex<32> {
    Hex::sha256(key.bytes())
}

/// Signs a payload as `key`, whose private half `signer` has. What it gives is held against `key` before it leaves.
pub(super) fn sign(
    payload: &[u8],
    key: &Hex<32>,
    signer: impl FnOnce(&[u8]) -> [u8; SIGNATURE_LEN],
) -> Result<String, TokenError> {
    let header = Header { alg: ALGORITHM.to_owned(), kid: key_id(key).to_string(), typ: TYPE.to_owned() };
    // Three strings, which always serialise.
    let header = serde_jcs::to_vec(&header).unwrap_or_default();
    let mut token = format!("{}.{}", base64url::encode(&header), base64url::encode(payload));
    let signature = signer(token.as_bytes());
    if !verifies(key, token.as_bytes(), &signature) {
        return Err(TokenError::not_issued("a signature by the named key", "another"));
    }
    token.push('.');
    token.push_str(&base64url::encode(&signature));
    if token.len() > TOKEN_MAX_BYTES {
        return Err(TokenError::not_issued(format_args!("at most {TOKEN_MAX_BYTES} bytes"), token.len()));
    }
    Ok(token)
}

/// The payload of a token that one of `keys` (Ed25519) signed. The key is found by name, never read from the token.
pub(super) fn open(token: &str, keys: &[Hex<32>]) -> Result<Opened, TokenError> {
    if token.len() > TOKEN_MAX_BYTES {
        return Err(TokenError::signature(format_args!("at most {TOKEN_MAX_BYTES} bytes"), token.len()));
    }
    let not_compact = || TokenError::signature("three parts of base64url", "another form");
    let (signed, signature) = token.rsplit_once('.').ok_or_else(not_compact)?;
    let (header, payload) = signed.split_once('.').ok_or_else(not_compact)?;
    if header.len() > HEADER_MAX_LEN {
        return Err(TokenError::signature(
            format_args!("a header of at most {HEADER_MAX_LEN}"),
            header.len(),
        ));
    }
    // A fourth part would stand within the payload, where a full stop is no base64url.
    let header = base64url::decode(header).ok_or_else(not_compact)?;
    let payload = base64url::decode(payload).ok_or_else(not_compact)?;
    let signature = base64url::decode(signature).ok_or_else(not_compact)?;
    let key = key_of(&header, keys)?;
    if !verifies(&key, signed.as_bytes(), &signature) {
        return Err(TokenError::signature(format_args!("a signature by key {}", key_id(&key)), "another"));
    }
    Ok(Opened { payload, key })
}

/// The trusted key that the header names, when the header is of the one kind.
fn key_of(header: &[u8], keys: &[Hex<32>]) -> Result<Hex<32>, TokenError> {
    json::check(header)?;
    let other = || TokenError::signature("alg, kid and typ alone", "another header");
    let Header { alg, kid, typ } = serde_json::from_slice(header).map_err(|_| other())?;
    if alg != ALGORITHM {
        return Err(TokenError::signature(ALGORITHM, "another algorithm"));
    }
    if typ != TYPE {
        return Err(TokenError::signature(TYPE, "another type"));
    }
    let unknown = || TokenError::signature("a known key", Hex::sha256(kid.as_bytes()));
    let named = kid.parse::<Hex<32>>().map_err(|_| unknown())?;
    keys.iter().copied().find(|key| key_id(key) == named).ok_or_else(unknown)
}
