//! The result token: an EAT Attestation Result (draft-ietf-rats-ear-04) as a JWT signed by Ed25519 (ATTESTATION 12).
//!
//! It tells auditors and relying parties what an appraisal found. Nothing is released for a token: no function here
//! turns one back into an [`AttestationResult`](crate::AttestationResult).
//!
//! Claims come from a result alone ([`Claims::from_result`]); the issuer signs them with a key that this crate never
//! sees ([`sign`]); a reader holds the token against keys it trusts, its own name, the time and the attested key
//! ([`verify`]).

mod ar4si;
mod base64url;
mod claims;
mod ear;
mod error;
mod json;
mod jws;
mod nras;
mod verify;

pub use ar4si::{Tier, Vector};
pub use claims::{Build, Claims, Data, Image, Issue, LOG_PROOF_MAX_BYTES, TEXT_MAX_BYTES};
pub use ear::{AllBound, Appraisal, Confirmation, Digests, EAR_PROFILE, Ear, Jwk, Lease, VerifierId};
pub use error::TokenError;
pub use json::DEPTH_MAX;
pub use jws::{TOKEN_MAX_BYTES, key_id};
pub use verify::{Demands, Holder, NOT_BEFORE_LEEWAY_S, VerifiedToken, verify};

use crate::Hex;

/// Signs claims as the issuer whose Ed25519 public key is `key`; `signer` makes the signature over the bytes it is
/// given. A signature by another key, or a token over its limit, is [`TokenError::NotIssued`].
pub fn sign(
    claims: &Claims,
    key: &Hex<32>,
    signer: impl FnOnce(&[u8]) -> [u8; 64],
) -> Result<String, TokenError> {
    jws::sign(&claims.to_bytes(), key, signer)
}
