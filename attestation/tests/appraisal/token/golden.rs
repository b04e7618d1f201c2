//! One token of known bytes, and a reader by other authors (`vectors/token`).

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use tiltyard_attestation::binding::KeyDigests;
use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::json::INTEGER_MAX;
use tiltyard_attestation::token::{Claims, Issue, key_id, sign};

use super::{AUDIENCE, LEASE_END, by, header, issue, issuer, parts, policy, public, read, url};
use crate::minted::{Guest, Setup};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/token/");

fn stored(name: &str) -> String {
    std::fs::read_to_string(format!("{FOLDER}{name}")).unwrap()
}

/// Token and attested keys of the stored evidence. `INTEGER_MAX` is for readers whose clock nobody can set.
fn until(expires_at: u64, evidence: &Evidence) -> (String, KeyDigests) {
    let (setup, key) = (Setup::lab(), issuer());
    let (result, policy) = (setup.appraise(evidence).unwrap(), policy(&setup));
    let issue = Issue { expires_at, ..issue(&policy, &setup.collateral) };
    let claims = Claims::from_result(&result, &issue).unwrap();
    (sign(&claims, &public(&key), by(&key)).unwrap(), result.keys().digests())
}

fn jwks() -> String {
    let key = public(&issuer());
    let (x, kid) = (url(key.bytes()), key_id(&key));
    format!(
        r#"{{"keys":[{{"alg":"EdDSA","crv":"Ed25519","kid":"{kid}","kty":"OKP","use":"sig","x":"{x}"}}]}}"#
    ) + "\n"
}

/// Same evidence, policy, time and key: the same token, byte for byte.
#[test]
fn the_golden_token_is_made_again() {
    const CHANGED: &str = "if the claims were meant to change, run `write_the_golden_token`";
    let evidence: Evidence = serde_json::from_str(&stored("evidence.json")).unwrap();
    let (token, keys) = until(LEASE_END, &evidence);
    assert_eq!(token + "\n", stored("token.jwt"), "{CHANGED}");
    assert_eq!(until(INTEGER_MAX, &evidence).0 + "\n", stored("token_endless.jwt"), "{CHANGED}");
    assert_eq!(jwks(), stored("jwks.json"));
    assert!(read(stored("token.jwt").trim_end(), &keys).is_ok());
}

#[test]
#[ignore = "writes into the source tree, when the claims are meant to change"]
fn write_the_golden_token() {
    let kept = std::fs::read_to_string(format!("{FOLDER}evidence.json")).ok();
    let evidence =
        kept.map_or_else(|| Guest::turin().evidence(), |text| serde_json::from_str(&text).unwrap());
    let write = |name: &str, text: String| std::fs::write(format!("{FOLDER}{name}"), text).unwrap();
    write("evidence.json", serde_json::to_string(&evidence).unwrap() + "\n");
    write("token.jwt", until(LEASE_END, &evidence).0 + "\n");
    write("token_endless.jwt", until(INTEGER_MAX, &evidence).0 + "\n");
    write("jwks.json", jwks());
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&["https://broker.example"]);
    validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss"]);
    validation
}

fn foreign_read(token: &str, validation: &Validation) -> jsonwebtoken::errors::Result<Value> {
    let jwks: Value = serde_json::from_str(&stored("jwks.json")).unwrap();
    let kid = decode_header(token)?.kid.unwrap_or_default();
    let key = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str());
    let x = key.and_then(|key| key["x"].as_str()).unwrap_or_default();
    Ok(decode::<Value>(token, &DecodingKey::from_ed_components(x)?, validation)?.claims)
}

/// `jsonwebtoken` with the curve of `ed25519-dalek`: another JOSE, another Ed25519.
#[test]
fn a_foreign_jose_library_verifies_the_token() {
    let token = stored("token_endless.jwt");
    let token = token.trim_end();
    let claims = foreign_read(token, &validation()).unwrap();
    assert_eq!(claims, parts(token).1);
    assert_eq!(claims["submods"]["cpu0"]["ear_status"], "warning");
    let header = decode_header(token).unwrap();
    assert_eq!(serde_json::to_value(&header).unwrap(), self::header());
}

#[test]
fn the_foreign_library_refuses_what_we_refuse() {
    let evidence: Evidence = serde_json::from_str(&stored("evidence.json")).unwrap();
    let (token, keys) = until(INTEGER_MAX, &evidence);
    let (head, rest) = token.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let mut payload = parts(&token).1;
    payload["aud"] = "https://another.example".into();
    let other = url(&serde_json::to_vec(&payload).unwrap());
    let none = url(br#"{"alg":"none","typ":"eat+jwt"}"#);
    for bent in [
        format!("{head}.{other}.{signature}"),
        format!("{head}.{body}.{}", url(&[0; 64])),
        format!("{head}.{body}."),
        format!("{none}.{body}."),
    ] {
        assert!(foreign_read(&bent, &validation()).is_err(), "{bent}");
        assert!(read(&bent, &keys).is_err(), "{bent}");
    }
    let mut elsewhere = validation();
    elsewhere.set_audience(&["https://another.example"]);
    assert!(foreign_read(&token, &elsewhere).is_err());
    let ended = foreign_read(stored("token.jwt").trim_end(), &validation());
    assert!(ended.is_err(), "a lease that ended on 2026-11-22");
}
