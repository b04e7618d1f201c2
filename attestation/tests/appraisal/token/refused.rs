//! One refusal for each way in which a token is not what a reader may believe (TOK-01 to TOK-04).

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tiltyard_attestation::binding::{HpkePublicKey, KEM_XWING, KeyDigests};
use tiltyard_attestation::token::{
    DEPTH_MAX, Demands, Holder, NOT_BEFORE_LEEWAY_S, TOKEN_MAX_BYTES, TokenError, key_id, sign, verify,
};
use tiltyard_attestation::{CheckId, Hex};

use super::{
    AUDIENCE, LEASE_END, by, check_of, claims_of, edited, forge, header, honest, issuer, parts, public, read,
    refusing, result, url,
};
use crate::minted::NOW;

fn payload(token: &str) -> Vec<u8> {
    serde_json::to_vec(&parts(token).1).unwrap()
}

fn with_header(edit: impl FnOnce(&mut Value)) -> (String, KeyDigests) {
    let (token, keys) = honest();
    let mut header = header();
    edit(&mut header);
    (forge(&serde_json::to_vec(&header).unwrap(), &payload(&token)), keys)
}

#[test]
fn tok_01_another_algorithm() {
    for alg in ["none", "None", "", "eddsa", "EDDSA", "Ed25519", "HS256", "ES256", "EdDSA "] {
        let (token, keys) = with_header(|header| header["alg"] = alg.into());
        assert_eq!(refusing(&token, &keys), CheckId::Tok01, "{alg:?}");
    }
}

/// The classic: an HMAC under the public key as its secret; and no signature at all.
#[test]
fn tok_01_confused_algorithms() {
    let (token, keys) = honest();
    for alg in ["HS256", "none"] {
        let mut header = header();
        header["alg"] = alg.into();
        let signed = format!("{}.{}", url(&serde_json::to_vec(&header).unwrap()), url(&payload(&token)));
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public(&issuer()).bytes());
        let tag = ring::hmac::sign(&secret, signed.as_bytes());
        for signature in [url(tag.as_ref()), String::new()] {
            assert_eq!(refusing(&format!("{signed}.{signature}"), &keys), CheckId::Tok01, "{alg}");
        }
    }
}

#[test]
fn tok_01_unknown_key() {
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[0x43; 32]).unwrap();
    let result = result();
    let keys = result.keys().digests();
    let token = sign(&claims_of(&result), &public(&stranger), by(&stranger)).unwrap();
    assert_eq!(refusing(&token, &keys), CheckId::Tok01);
    // Under the issuer's name, and under names that are none.
    let known = header()["kid"].as_str().unwrap().to_owned();
    for kid in
        [key_id(&public(&stranger)).to_string(), known.to_uppercase(), known[..62].to_owned(), String::new()]
    {
        let (token, keys) = with_header(|header| header["kid"] = kid.clone().into());
        assert_eq!(refusing(&token, &keys), CheckId::Tok01, "{kid}");
    }
    let signed = format!("{}.{}", url(&serde_json::to_vec(&header()).unwrap()), url(&payload(&token)));
    let forged = format!("{signed}.{}", url(stranger.sign(signed.as_bytes()).as_ref()));
    assert_eq!(refusing(&forged, &keys), CheckId::Tok01);
    // A reader that trusts nobody.
    let demands = Demands { keys: &[], audience: AUDIENCE, now: NOW, holder: Holder::Keys(&keys) };
    let error = verify(&honest().0, &demands, |_, _| true).expect_err("accepted");
    assert_eq!(check_of(error), CheckId::Tok01);
}

/// The header may bring no key, no pointer to one, and nothing critical.
#[test]
fn tok_01_members_beyond_the_three() {
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[0x43; 32]).unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": url(stranger.public_key().as_ref())});
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://stranger.example/keys")),
        ("x5c", json!(["AA=="])),
        ("x5u", json!("https://stranger.example/chain")),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ] {
        let (token, keys) = with_header(|header| header[name] = value);
        assert_eq!(refusing(&token, &keys), CheckId::Tok01, "{name}");
    }
    for name in ["alg", "kid", "typ"] {
        let (token, keys) = with_header(|header| {
            header.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(refusing(&token, &keys), CheckId::Tok01, "without {name}");
    }
    for typ in ["JWT", "eat+cwt", "application/eat+jwt", ""] {
        let (token, keys) = with_header(|header| header["typ"] = typ.into());
        assert_eq!(refusing(&token, &keys), CheckId::Tok01, "{typ}");
    }
    let (token, keys) = honest();
    for header in ["[]", "null", "\"EdDSA\"", "{\"alg\":[\"EdDSA\"]}"] {
        assert_eq!(refusing(&forge(header.as_bytes(), &payload(&token)), &keys), CheckId::Tok01, "{header}");
    }
}

#[test]
fn tok_01_other_bytes_under_the_signature() {
    let (token, keys) = honest();
    let (head, rest) = token.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let mut other: Value = parts(&token).1;
    other["aud"] = "https://another.example".into();
    let other = url(&serde_json::to_vec(&other).unwrap());
    for bent in [
        format!("{head}.{other}.{signature}"),
        format!("{head}.{body}.{}", url(&[0; 64])),
        format!("{head}.{body}.{}", url(&[0; 63])),
        format!("{head}.{body}.{signature}AA"),
        format!("{head}.{body}."),
        format!("{head}.{body}"),
        format!("{head}..{signature}"),
        format!("{head}.{body}.{signature}.{signature}"),
        format!("{head}.{body}.{signature}="),
        format!("{head}.{body}.{signature}\n"),
        format!(" {token}"),
        String::new(),
    ] {
        assert_eq!(refusing(&bent, &keys), CheckId::Tok01, "{bent}");
    }
    // One spare bit in the last character of a part is another text of the same bytes.
    let (spare, last) = signature.split_at(signature.len() - 1);
    let next = char::from(last.as_bytes()[0] + 1);
    assert!("AQgw".contains(last), "64 bytes leave 4 spare bits");
    assert_eq!(refusing(&format!("{head}.{body}.{spare}{next}"), &keys), CheckId::Tok01);
}

#[test]
fn tok_01_sizes() {
    let (_, keys) = honest();
    let long = "A".repeat(TOKEN_MAX_BYTES + 1);
    let error = read(&long, &keys).expect_err("accepted");
    assert_eq!(
        error,
        TokenError::TokenInvalid {
            check: CheckId::Tok01,
            expected: "at most 131072 bytes".to_owned(),
            got: "131073".to_owned(),
        }
    );
    let (token, keys) = with_header(|header| header["kid"] = "a".repeat(300).into());
    assert_eq!(refusing(&token, &keys), CheckId::Tok01);
    // A signed token over the limit is refused whatever its signature.
    let (token, keys) = edited(|payload| payload["tiltyard_log_proof"] = "p".repeat(TOKEN_MAX_BYTES).into());
    assert_eq!(refusing(&token, &keys), CheckId::Tok01);
    let (token, keys) =
        edited(|payload| payload["tiltyard_log_proof"] = "p".repeat(TOKEN_MAX_BYTES / 2).into());
    assert!(read(&token, &keys).is_ok());
}

#[test]
fn tok_02_another_audience() {
    let (token, keys) = honest();
    let trusted = [public(&issuer())];
    for audience in ["https://auditor.example/", "HTTPS://AUDITOR.EXAMPLE", ""] {
        let demands = Demands { keys: &trusted, audience, now: NOW, holder: Holder::Keys(&keys) };
        let error = verify(&token, &demands, |_, _| true).expect_err("accepted");
        assert_eq!(check_of(error), CheckId::Tok02, "{audience}");
    }
}

#[test]
fn tok_02_outside_its_time() {
    let (token, keys) = honest();
    let trusted = [public(&issuer())];
    let at = |now| {
        let demands = Demands { keys: &trusted, audience: AUDIENCE, now, holder: Holder::Keys(&keys) };
        verify(&token, &demands, |_, _| true)
    };
    assert!(at(NOW - NOT_BEFORE_LEEWAY_S).is_ok());
    assert_eq!(check_of(at(NOW - NOT_BEFORE_LEEWAY_S - 1).expect_err("early")), CheckId::Tok02);
    assert!(at(LEASE_END - 1).is_ok());
    for now in [LEASE_END, LEASE_END + 1, u64::MAX] {
        assert_eq!(check_of(at(now).expect_err("late")), CheckId::Tok02, "{now}");
    }
    assert_eq!(check_of(at(0).expect_err("early")), CheckId::Tok02);
}

/// The id is asked about last, once, and only for a token that is sound otherwise.
#[test]
fn tok_02_used_before() {
    let (token, keys) = honest();
    let trusted = [public(&issuer())];
    let demands = Demands { keys: &trusted, audience: AUDIENCE, now: NOW, holder: Holder::Keys(&keys) };
    let mut used = std::collections::BTreeMap::new();
    let mut present = |token: &str, demands: &Demands<'_>| {
        verify(token, demands, |id, until| used.insert(*id, until).is_none()).map(|_| ())
    };
    let elsewhere = Demands { audience: "elsewhere", ..demands };
    assert_eq!(present(&token, &elsewhere).map_err(check_of), Err(CheckId::Tok02));
    assert_eq!(present(&token, &demands), Ok(()));
    let again = present(&token, &demands).expect_err("twice");
    assert!(again.to_string().contains("an id never seen before"), "{again}");
    assert_eq!(check_of(again), CheckId::Tok02);
    assert_eq!(used, [(Hex([0x77; 16]), LEASE_END)].into());
}

#[test]
fn tok_03_members_twice() {
    let (token, keys) = honest();
    let text = String::from_utf8(payload(&token)).unwrap();
    for (from, to) in [
        ("{\"aud\":", "{\"aud\":\"x\",\"aud\":"),
        ("{\"aud\":", "{\"\\u0061ud\":\"x\",\"aud\":"),
        ("\"cpu0\":{", "\"cpu0\":{\"ear_status\":\"affirming\","),
        ("\"hardware\":32", "\"hardware\":2,\"hardware\":32"),
        ("\"kty\":", "\"kty\":\"RSA\",\"kty\":"),
        ("{\"aud\":", "{\"unknown\":[{\"a\":{\"b\":1,\"b\":1}}],\"aud\":"),
    ] {
        assert!(text.contains(from), "{from}");
        let bent = text.replacen(from, to, 1);
        let token = forge(&serde_json::to_vec(&header()).unwrap(), bent.as_bytes());
        assert_eq!(refusing(&token, &keys), CheckId::Tok03, "{to}");
    }
    let twice = format!(r#"{{"alg":"none",{}"#, &header().to_string()[1..]);
    assert_eq!(refusing(&forge(twice.as_bytes(), text.as_bytes()), &keys), CheckId::Tok03);
}

#[test]
fn tok_03_too_deep() {
    let nested = |depth: usize| -> Value {
        serde_json::from_str(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))).unwrap()
    };
    // The claims themselves are the first level.
    let (token, keys) = edited(|payload| payload["unknown"] = nested(DEPTH_MAX - 1));
    assert!(read(&token, &keys).is_ok());
    let (token, keys) = edited(|payload| payload["unknown"] = nested(DEPTH_MAX));
    assert_eq!(refusing(&token, &keys), CheckId::Tok03);
    let bomb = forge(&serde_json::to_vec(&header()).unwrap(), "[".repeat(60_000).as_bytes());
    assert_eq!(refusing(&bomb, &keys), CheckId::Tok03);
}

#[test]
fn tok_03_not_the_claims_of_the_profile() {
    let (token, keys) = honest();
    for payload in ["", "{}", "[]", "null", "{\"aud\":", "{}{}", "\u{feff}{}"] {
        let token = forge(&serde_json::to_vec(&header()).unwrap(), payload.as_bytes());
        assert_eq!(refusing(&token, &keys), CheckId::Tok03, "{payload}");
    }
    let names: Vec<String> = parts(&token).1.as_object().unwrap().keys().cloned().collect();
    for name in names.iter().filter(|name| *name != "tiltyard_log_proof") {
        let (token, keys) = edited(|payload| {
            payload.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(refusing(&token, &keys), CheckId::Tok03, "without {name}");
    }
    for name in names {
        let (token, keys) = edited(|payload| payload[&name] = json!(true));
        assert_eq!(refusing(&token, &keys), CheckId::Tok03, "{name} of another type");
    }
    for (name, value) in [
        ("eat_profile", json!("tag:github.com,2023:veraison/ear")),
        ("exp", json!(-1)),
        ("exp", json!(1.5)),
        ("exp", json!("1795371900")),
        ("nbf", json!(9_007_199_254_740_992_u64)),
        ("jti", json!("77")),
        ("eat_nonce", json!("EREREQ==")),
        ("submods", json!({})),
        ("ear_status", json!("trusted")),
        ("tiltyard_anchors", json!("vendor root (more or less)")),
        ("tiltyard_anchors", json!("NOT A VENDOR ROOT (anchor set 00)")),
        ("ear_all_submods_bound", json!("TRUE")),
    ] {
        let (token, keys) = edited(|payload| payload[name] = value.clone());
        assert_eq!(refusing(&token, &keys), CheckId::Tok03, "{name} {value}");
    }
}

/// A status that promises more than what it sums up (EAR 3, 3.1).
#[test]
fn tok_03_statuses_better_than_their_parts() {
    let (token, keys) = edited(|payload| payload["ear_status"] = "affirming".into());
    assert_eq!(refusing(&token, &keys), CheckId::Tok03);
    let (token, keys) = edited(|payload| payload["submods"]["cpu0"]["ear_status"] = "affirming".into());
    assert_eq!(refusing(&token, &keys), CheckId::Tok03);
    let (token, keys) = edited(|payload| {
        payload["submods"]["cpu0"]["ear_trustworthiness_vector"]["executables"] = 96.into();
    });
    assert_eq!(refusing(&token, &keys), CheckId::Tok03);
    let (token, keys) = edited(|payload| {
        let part = &mut payload["submods"]["cpu0"];
        part["ear_status"] = "affirming".into();
        part["ear_trustworthiness_vector"]
            .as_object_mut()
            .unwrap()
            .values_mut()
            .for_each(|value| *value = 0.into());
        payload["ear_status"] = "affirming".into();
    });
    assert_eq!(refusing(&token, &keys), CheckId::Tok03, "affirmed by nothing");
    // Worse, or no statement at all, is the issuer's right.
    for status in ["none", "contraindicated"] {
        let (token, keys) = edited(|payload| payload["ear_status"] = status.into());
        assert!(read(&token, &keys).is_ok(), "{status}");
    }
}

/// What a later issuer may add, a reader ignores (EAR 4).
#[test]
fn members_that_nobody_knows_are_ignored() {
    let (token, keys) = edited(|payload| {
        payload["later"] = json!({"a": [1, null]});
        payload["submods"]["cpu0"]["later"] = json!(1);
    });
    assert!(read(&token, &keys).is_ok());
}

#[test]
fn tok_04_another_attested_key() {
    let (token, keys) = honest();
    let trusted = [public(&issuer())];
    let against = |holder: Holder<'_>| {
        let demands = Demands { keys: &trusted, audience: AUDIENCE, now: NOW, holder };
        verify(&token, &demands, |_, _| true).map(|_| ()).map_err(check_of)
    };
    let hpke = |public: Vec<u8>| HpkePublicKey { kem: KEM_XWING, public: public.into() };
    assert_eq!(against(Holder::Keys(&keys)), Ok(()));
    assert_eq!(against(Holder::Signing(&Hex([9; 32]))), Ok(()));
    assert_eq!(against(Holder::Tls(&[7; 91])), Ok(()));
    assert_eq!(against(Holder::Hpke(&hpke(vec![8; 1216]))), Ok(()));

    let other = Hex([0; 32]);
    for bent in [
        KeyDigests { tls: other, ..keys },
        KeyDigests { hpke: other, ..keys },
        KeyDigests { signing: other, ..keys },
    ] {
        assert_eq!(against(Holder::Keys(&bent)), Err(CheckId::Tok04));
    }
    assert_eq!(against(Holder::Signing(&Hex([8; 32]))), Err(CheckId::Tok04));
    assert_eq!(against(Holder::Tls(&[7; 90])), Err(CheckId::Tok04));
    assert_eq!(against(Holder::Hpke(&hpke(vec![8; 1215]))), Err(CheckId::Tok04));
    let classic = HpkePublicKey { kem: 0x20, ..hpke(vec![8; 1216]) };
    assert_eq!(against(Holder::Hpke(&classic)), Err(CheckId::Tok04));
}

/// `cnf` of one guest beside the digests of another; and keys that are not of the one kind.
#[test]
fn tok_04_a_confirmation_of_somebody_else() {
    let (token, keys) = edited(|payload| payload["cnf"]["jwk"]["x"] = url(&[5; 32]).into());
    assert_eq!(refusing(&token, &keys), CheckId::Tok04);
    let trusted = [public(&issuer())];
    let demands = Demands { keys: &trusted, audience: AUDIENCE, now: NOW, holder: Holder::Tls(&[7; 91]) };
    assert_eq!(check_of(verify(&token, &demands, |_, _| true).expect_err("accepted")), CheckId::Tok04);
    for (name, value) in [("kty", "EC"), ("crv", "Ed448"), ("x", "AA")] {
        let (token, keys) = edited(|payload| payload["cnf"]["jwk"][name] = value.into());
        assert_eq!(refusing(&token, &keys), CheckId::Tok03, "{name}");
    }
}
