//! A reader's side: the token against the keys, the name, the time and the attested key that the reader brings.

use super::{Appraisal, EAR_PROFILE, Ear, Tier, TokenError, json, jws, key_id};
use crate::Hex;
use crate::binding::{HpkePublicKey, KeyDigests};

/// How far a reader's clock may be behind the issuer's, in seconds.
pub const NOT_BEFORE_LEEWAY_S: u64 = 30;

/// What a reader demands of a token.
#[derive(Debug, Clone, Copy)]
pub struct Demands<'a> {
    /// Ed25519 public keys of the issuers that the reader trusts.
    pub keys: &'a [Hex<32>],
    /// The reader's own name.
    pub audience: &'a str,
    /// Unix seconds.
    pub now: u64,
    pub holder: Holder<'a>,
}

/// The attested key that the reader holds the token against.
#[derive(Debug, Clone, Copy)]
pub enum Holder<'a> {
    /// All three, by digest: as a receipt names them.
    Keys(&'a KeyDigests),
    /// Ed25519 public key.
    Signing(&'a Hex<32>),
    /// SubjectPublicKeyInfo of a channel's peer, DER.
    Tls(&'a [u8]),
    Hpke(&'a HpkePublicKey),
}

/// A token that met every demand.
#[derive(Debug)]
pub struct VerifiedToken {
    claims: Ear<Appraisal>,
    payload: Vec<u8>,
    key: Hex<32>,
}

impl VerifiedToken {
    pub fn claims(&self) -> &Ear<Appraisal> {
        &self.claims
    }

    /// The claims as they were signed, with those that only print.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The issuer's key.
    pub fn key(&self) -> Hex<32> {
        self.key
    }
}

/// Verifies a token (TOK-01 to TOK-04). `first_use` is asked last, with `jti` and `exp`: it remembers the id until
/// then, and says whether it is new.
pub fn verify(
    token: &str,
    demands: &Demands<'_>,
    first_use: impl FnOnce(&Hex<16>, u64) -> bool,
) -> Result<VerifiedToken, TokenError> {
    let jws::Opened { payload, key } = jws::open(token, demands.keys)?;
    json::check(&payload)?;
    let claims: Ear<Appraisal> = json::read(&payload, "the claims of an attestation result")?;
    consistent(&claims)?;
    for_this_reader(&claims, demands)?;
    held_by(&claims, &demands.holder)?;
    if !first_use(&claims.jti, claims.exp) {
        return Err(TokenError::terms("an id never seen before", claims.jti));
    }
    Ok(VerifiedToken { claims, payload, key })
}

/// The profile, and statuses that promise no more than what they sum up (EAR 3, 3.1).
fn consistent(claims: &Ear<Appraisal>) -> Result<(), TokenError> {
    if claims.eat_profile != EAR_PROFILE {
        return Err(TokenError::form(EAR_PROFILE, "another profile"));
    }
    // Nothing stated supports nothing good, though no statement ranks before a good one.
    let promises = |status: Tier, worst: Tier| {
        (status != Tier::None && status < worst) || (status == Tier::Affirming && worst == Tier::None)
    };
    let submods = claims.submods.values();
    let worst = submods.clone().map(|submod| submod.ear_status).max();
    let worst = worst.ok_or_else(|| TokenError::form("a submodule", "none"))?;
    let submod = submods
        .map(|submod| (submod.ear_status, submod.ear_trustworthiness_vector.tier()))
        .find(|&(status, vector)| promises(status, vector));
    match submod.or_else(|| promises(claims.ear_status, worst).then_some((claims.ear_status, worst))) {
        Some((status, worst)) => {
            Err(TokenError::form(format_args!("a status of {worst:?} or worse"), format_args!("{status:?}")))
        }
        None => Ok(()),
    }
}

/// Audience and time (RFC 7519 4.1.3 to 4.1.5).
fn for_this_reader(claims: &Ear<Appraisal>, demands: &Demands<'_>) -> Result<(), TokenError> {
    let now = demands.now;
    if claims.aud != demands.audience {
        return Err(TokenError::terms("this reader's audience", Hex::sha256(claims.aud.as_bytes())));
    }
    let latest = now.saturating_add(NOT_BEFORE_LEEWAY_S);
    if claims.nbf > latest {
        return Err(TokenError::terms(format_args!("nbf at most {latest}"), claims.nbf));
    }
    if claims.exp <= now {
        return Err(TokenError::terms(format_args!("exp after {now}"), claims.exp));
    }
    if claims.iat > claims.exp {
        return Err(TokenError::terms(format_args!("iat at most {}", claims.exp), claims.iat));
    }
    Ok(())
}

/// The attested key is the one that the reader has before it; `cnf` and the digests are of one guest.
fn held_by(claims: &Ear<Appraisal>, holder: &Holder<'_>) -> Result<(), TokenError> {
    let equal = |expected: Hex<32>, got: Hex<32>| {
        if expected == got { Ok(()) } else { Err(TokenError::holder(expected, got)) }
    };
    let keys = &claims.tiltyard_keys;
    let cnf = key_id(&claims.cnf.jwk.0);
    equal(keys.signing, cnf)?;
    match holder {
        Holder::Keys(digests) => {
            equal(digests.signing, cnf)?;
            equal(digests.tls, keys.tls)?;
            equal(digests.hpke, keys.hpke)
        }
        Holder::Signing(key) => equal(key_id(key), cnf),
        Holder::Tls(spki) => equal(Hex::sha256(spki), keys.tls),
        Holder::Hpke(key) => equal(key.digest(), keys.hpke),
    }
}
