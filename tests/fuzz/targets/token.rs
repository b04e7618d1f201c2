//! Result tokens: as they come, and claims that the issuer would sign.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::KeyDigests;
use tiltyard_attestation::token::{
    Demands, EAR_PROFILE, Holder, TOKEN_MAX_BYTES, TokenError, VerifiedToken, key_id, verify,
};

use super::Target;
use super::ground::{NOW, vector};
use super::snp::golden;

pub const TARGET: Target = Target {
    name: "token",
    run,
    seeds,
    costly,
    limit_bytes: TOKEN_MAX_BYTES,
    mutated_bytes: 8 * 1024,
    words: &[
        "\\\"ear_status\\\":\\\"affirming\\\"",
        "\\\"ear_status\\\":\\\"warning\\\"",
        "\\\"ear_trustworthiness_vector\\\":{",
        "\\\"submods\\\":{",
        "\\\"eat_profile\\\":\\\"tag:ietf.org,2026:rats/ear#04\\\"",
        "\\\"alg\\\":\\\"EdDSA\\\"",
        "\\\"typ\\\":\\\"eat+jwt\\\"",
        "\\\"kid\\\":\\\"",
        "\\\"exp\\\":9007199254740991",
        "\\\"nbf\\\":",
        "\\\"aud\\\":\\\"https://auditor.example\\\"",
        "9007199254740992",
        "[[[[[[[[[[[[[[[[",
        "eyJ",
    ],
};

const AUDIENCE: &str = "https://auditor.example";
/// Between header and claims of an input that is no token yet.
const SPLIT: u8 = b'\n';

struct Issuer {
    pair: Ed25519KeyPair,
    trusted: [Hex<32>; 2],
    /// The golden guest's keys.
    keys: KeyDigests,
    tokens: [String; 2],
}

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[0x42; 32]).unwrap_or_else(|error| panic!("{error}"));
    let public = Hex::from_slice(pair.public_key().as_ref()).unwrap_or(Hex([0; 32]));
    let token = |name: &str| {
        let text = String::from_utf8(vector(&format!("token/{name}"))).unwrap_or_default();
        text.trim_end().to_owned()
    };
    let tokens = [token("token.jwt"), token("token_endless.jwt")];
    let issuer = Issuer { pair, trusted: [Hex([1; 32]), public], keys: golden().keys.digests(), tokens };
    for token in &issuer.tokens {
        assert!(issuer.read(token).is_ok(), "the golden token is accepted");
    }
    issuer
});

/// Tokens, then header and claims of each.
fn seeds() -> Vec<Vec<u8>> {
    let tokens = ISSUER.tokens.iter().map(|token| token.clone().into_bytes());
    let opened = ISSUER.tokens.iter().map(|token| {
        let parts: Vec<Vec<u8>> =
            token.split('.').filter_map(|part| URL_SAFE_NO_PAD.decode(part).ok()).collect();
        [&parts[0][..], &[SPLIT], &parts[1]].concat()
    });
    tokens.chain(opened).collect()
}

/// Claims of many members and of deep ones, and a token of many parts.
fn costly() -> Vec<Vec<u8>> {
    const ROOM: usize = TOKEN_MAX_BYTES / 4 * 3 - 512;
    let members: Vec<String> = (0..ROOM / 10).map(|at| format!(r#""{at:05}":0"#)).collect();
    vec![
        format!("{{{}}}", members.join(",")).into_bytes(),
        [vec![b'['; ROOM / 2], vec![b']'; ROOM / 2]].concat(),
        vec![b'.'; TOKEN_MAX_BYTES],
        vec![b'A'; TOKEN_MAX_BYTES],
    ]
}

fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(read) = ISSUER.read(text)
    {
        assert!(ISSUER.tokens.iter().any(|token| token == text), "a forged token is accepted");
        assert_eq!(read.key(), ISSUER.trusted[1]);
    }
    let split = data.iter().position(|byte| *byte == SPLIT);
    let (header, payload) = match split {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (&b""[..], data),
    };
    ISSUER.reissued(header, payload);
    let kid = key_id(&ISSUER.trusted[1]);
    ISSUER.reissued(format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"eat+jwt"}}"#).as_bytes(), payload);
}

impl Issuer {
    fn read(&self, token: &str) -> Result<VerifiedToken, TokenError> {
        let holder = Holder::Keys(&self.keys);
        let demands = Demands { keys: &self.trusted, audience: AUDIENCE, now: NOW, holder };
        verify(token, &demands, |_, _| true)
    }

    /// Claims that the issuer signed: what a reader must still ask of them.
    fn reissued(&self, header: &[u8], payload: &[u8]) {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.pair.sign(signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let Ok(read) = self.read(&token) else { return };
        assert!(token.len() <= TOKEN_MAX_BYTES);
        assert_eq!(read.payload(), payload, "the claims are those that were signed");
        let claims = read.claims();
        assert_eq!((claims.aud.as_str(), claims.eat_profile.as_str()), (AUDIENCE, EAR_PROFILE));
        assert!(claims.exp > NOW && claims.nbf <= NOW + 30, "a token that does not hold now is accepted");
        assert_eq!(claims.tiltyard_keys, self.keys, "a token about another guest is accepted");
        for submod in claims.submods.values() {
            let worst = submod.ear_trustworthiness_vector.tier();
            assert!(
                submod.ear_status as u8 == 0 || submod.ear_status >= worst,
                "a status that promises more"
            );
        }
    }
}
