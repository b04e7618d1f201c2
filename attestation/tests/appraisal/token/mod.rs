//! Result tokens: what they claim, who can read them, and what a reader refuses.

mod claims;
mod golden;
mod hostile;
mod refused;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tiltyard_attestation::binding::KeyDigests;
use tiltyard_attestation::policy::GpuFloor;
use tiltyard_attestation::token::{
    Build, Claims, Data, Demands, Holder, Image, Issue, TokenError, VerifiedToken, key_id, sign, verify,
};
use tiltyard_attestation::{AppraisalPolicy, AttestationResult, CheckId, Collateral, Hex};

use crate::minted::{Guest, NOW, Setup};

pub const AUDIENCE: &str = "https://auditor.example";
pub const LEASE_END: u64 = NOW + 900;
pub const LOG_PROOF: &str = "c2sp.org/tlog-proof@v1\nindex 0\n\nlog.example\n1\n";

/// The issuer's key of every test.
pub fn issuer() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[0x42; 32]).unwrap()
}

pub fn public(key: &Ed25519KeyPair) -> Hex<32> {
    Hex::from_slice(key.public_key().as_ref()).unwrap()
}

pub fn by(key: &Ed25519KeyPair) -> impl FnOnce(&[u8]) -> [u8; 64] {
    |message| key.sign(message).as_ref().try_into().unwrap()
}

pub fn policy(setup: &Setup) -> AppraisalPolicy {
    AppraisalPolicy::from_floors(
        setup.level,
        &setup.backends,
        &setup.tee,
        &GpuFloor::none(),
        &setup.platforms,
    )
    .unwrap()
}

pub fn result() -> AttestationResult {
    Setup::lab().appraise(&Guest::turin().evidence()).unwrap()
}

pub fn issue<'a>(policy: &'a AppraisalPolicy, collateral: &'a Collateral) -> Issue<'a> {
    Issue {
        issuer: "https://broker.example",
        audience: AUDIENCE,
        id: Hex([0x77; 16]),
        issued_at: NOW,
        expires_at: LEASE_END,
        policy,
        collateral,
        verifier: Build {
            developer: "https://tiltyard.example",
            build: "tiltyard-broker 0.1.0",
            sha256: Hex([0x88; 32]),
        },
        image: Image::RootHashAndScratch,
        data: Data::Pinned,
        log_proof: Some(LOG_PROOF),
    }
}

pub fn claims_of(result: &AttestationResult) -> Claims {
    let setup = Setup::lab();
    Claims::from_result(result, &issue(&policy(&setup), &setup.collateral)).unwrap()
}

/// A token that every reader of these tests accepts, and the keys that it is about.
pub fn honest() -> (String, KeyDigests) {
    let (result, key) = (result(), issuer());
    (sign(&claims_of(&result), &public(&key), by(&key)).unwrap(), result.keys().digests())
}

/// Reads as the audience, at the time of the appraisal, against all three attested keys, with no id used before.
pub fn read(token: &str, keys: &KeyDigests) -> Result<VerifiedToken, TokenError> {
    let trusted = [Hex([1; 32]), public(&issuer())];
    let demands = Demands { keys: &trusted, audience: AUDIENCE, now: NOW, holder: Holder::Keys(keys) };
    verify(token, &demands, |_, _| true)
}

/// The check that refuses `token`.
pub fn refusing(token: &str, keys: &KeyDigests) -> CheckId {
    check_of(read(token, keys).expect_err("accepted"))
}

pub fn check_of(error: TokenError) -> CheckId {
    match error {
        TokenError::TokenInvalid { check, .. } => {
            assert!(check.row().error.contains(&error.code().unwrap()), "the table lacks {error}");
            check
        }
        other => panic!("{other}"),
    }
}

pub fn url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Header and payload of a token, as JSON.
pub fn parts(token: &str) -> (Value, Value) {
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let parts: Vec<_> = token.split('.').collect();
    (json(parts[0]), json(parts[1]))
}

pub fn header() -> Value {
    json!({"alg": "EdDSA", "kid": key_id(&public(&issuer())).to_string(), "typ": "eat+jwt"})
}

/// Signs any header and payload as the issuer: what follows a signature check must stand by itself.
pub fn forge(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", url(header), url(payload));
    let signature = issuer().sign(signed.as_bytes());
    format!("{signed}.{}", url(signature.as_ref()))
}

/// The honest token with an edited payload, signed again.
pub fn edited(edit: impl FnOnce(&mut Value)) -> (String, KeyDigests) {
    let (token, keys) = honest();
    let (header, mut payload) = parts(&token);
    edit(&mut payload);
    (forge(&serde_json::to_vec(&header).unwrap(), &serde_json::to_vec(&payload).unwrap()), keys)
}
