//! What a token says of a result.

use serde_json::{Value, json};
use tiltyard_attestation::json::INTEGER_MAX;
use tiltyard_attestation::policy::{Level, Platform, PlatformKind};
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::token::{
    AllBound, Build, Claims, Data, EAR_PROFILE, Image, Issue, LOG_PROOF_MAX_BYTES, TEXT_MAX_BYTES, Tier,
    TokenError, sign,
};
use tiltyard_attestation::{Collateral, Hex};

use super::{
    AUDIENCE, LEASE_END, by, claims_of, honest, issue, issuer, parts, policy, public, read, result, url,
};
use crate::minted::{CHARTER, Guest, LEASE, NONCE, NOW, ORDER, Setup, foreign};

fn payload(claims: &Claims) -> Value {
    serde_json::from_slice(&claims.to_bytes()).unwrap()
}

#[test]
fn claims_are_those_of_the_result() {
    let result = result();
    let claims = payload(&claims_of(&result));
    let digest = policy(&Setup::lab()).digest();
    let expected = json!({
        "eat_profile": EAR_PROFILE,
        "iat": NOW, "nbf": NOW, "exp": LEASE_END,
        "jti": "77".repeat(16),
        "iss": "https://broker.example", "aud": AUDIENCE,
        "eat_nonce": url(NONCE.bytes()),
        "ear_status": "warning",
        "ear_verifier_id": {"developer": "https://tiltyard.example", "build": "tiltyard-broker 0.1.0"},
        "ear_all_submods_bound": "true",
        "cnf": {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": url(&[9; 32])}},
        "tiltyard_anchors": format!("NOT A VENDOR ROOT (anchor set {})", foreign().digest()),
        "tiltyard_level": "lab",
        "tiltyard_keys": result.keys().digests(),
        "tiltyard_lease": {"role": "trainer", "charter": CHARTER, "order": ORDER, "lease": LEASE},
        "tiltyard_digests": {
            "policy": digest, "collateral": Setup::lab().collateral.digest(),
            "evidence": result.evidence(), "verifier": "88".repeat(32),
        },
        "tiltyard_log_proof": super::LOG_PROOF,
        "submods": {"cpu0": {
            "ear_status": "warning",
            "ear_trustworthiness_vector": {
                // No allow-list; foreign roots, so no memory encryption is shown; a process, so no file system is.
                "instance-identity": 32, "configuration": 2, "executables": 3, "file-system": 0,
                "hardware": 32, "runtime-opaque": 0, "storage-opaque": 0, "sourced-data": 2,
            },
            "ear_appraisal_policy_ids": [format!("ni:///sha-256;{}", url(digest.bytes()))],
            "ear_attester_claims": {
                "tiltyard_tee": "amd-sev-snp",
                "tiltyard_image": "guest",
                "tiltyard_measurement": result.cpu().measurement(),
                "tiltyard_platform_id": result.cpu().platform_id(),
                "tiltyard_hardware": result.cpu().hardware(),
                "tiltyard_snp_policy": "0x3020000",
                "tiltyard_snp_platform_info": "0x20",
            },
            "ear_verifier_claims": {"tiltyard_warnings": ["SNP-17"]},
        }},
    });
    assert_eq!(claims, expected, "{claims:#}");
}

#[test]
fn a_reader_learns_what_was_claimed() {
    let (token, keys) = honest();
    let token = read(&token, &keys).unwrap();
    let claims = token.claims();
    assert_eq!(claims.eat_nonce, NONCE);
    assert_eq!(claims.ear_status, Tier::Warning);
    assert_eq!(claims.ear_all_submods_bound, AllBound::True);
    assert_eq!(claims.cnf.jwk.0, Hex([9; 32]));
    assert_eq!(claims.tiltyard_anchors, Anchors::NotVendor(foreign().digest()));
    assert_eq!(claims.tiltyard_level, Level::Lab);
    assert_eq!((claims.tiltyard_lease.lease, claims.tiltyard_lease.order), (LEASE, Some(ORDER)));
    assert_eq!(claims.submods["cpu0"].ear_trustworthiness_vector.hardware, 32);
    assert_eq!(token.key(), public(&issuer()));
    let payload: Value = serde_json::from_slice(token.payload()).unwrap();
    assert_eq!(payload["submods"]["cpu0"]["ear_attester_claims"]["tiltyard_tee"], "amd-sev-snp");
}

#[test]
fn a_lab_without_a_list_or_revocation_data_warns_and_a_list_affirms() {
    let vector = |setup: &Setup| {
        let result = setup.appraise(&Guest::turin().evidence()).unwrap();
        let claims = Claims::from_result(&result, &issue(&policy(setup), &setup.collateral)).unwrap();
        let claims = payload(&claims);
        let warnings = claims["submods"]["cpu0"]["ear_verifier_claims"]["tiltyard_warnings"].clone();
        (claims["submods"]["cpu0"]["ear_trustworthiness_vector"].clone(), warnings)
    };
    let mut id = [0; 64];
    id[..8].copy_from_slice(&[0x1E, 0x55, 0x0A, 0x8E, 0xE5, 0xCF, 0x9F, 0x4D]);
    let enrolled = Platform {
        kind: PlatformKind::ChipId,
        id: Hex(id).into(),
        custody: "rack 1".to_owned(),
        enrolled_at: NOW - 1000,
        revoked_at: None,
    };
    let (listed, warnings) = vector(&Setup { platforms: vec![enrolled], ..Setup::lab() });
    assert_eq!((&listed["instance-identity"], &warnings), (&json!(2), &json!([])));
    let (unknown, warnings) = vector(&Setup { collateral: Collateral::none(), ..Setup::lab() });
    assert_eq!((&unknown["hardware"], &warnings), (&json!(32), &json!(["SNP-08", "SNP-17"])));
}

/// What the issuer does not state of image and data is not claimed.
#[test]
fn image_and_data_are_the_issuer_s_to_state() {
    let (result, setup) = (result(), Setup::lab());
    let policy = policy(&setup);
    let of = |image, data| {
        let issue = Issue { image, data, ..issue(&policy, &setup.collateral) };
        let vector = payload(&Claims::from_result(&result, &issue).unwrap());
        vector["submods"]["cpu0"]["ear_trustworthiness_vector"].clone()
    };
    // A process has no measured file system, whatever is stated of its image.
    for image in [Image::Program, Image::RootHash, Image::RootHashAndScratch] {
        assert_eq!(of(image, Data::NotPinned)["file-system"], 0);
        assert_eq!(of(image, Data::NotPinned)["sourced-data"], 0);
        assert_eq!(of(image, Data::Pinned)["sourced-data"], 2);
    }
}

#[test]
fn what_no_reader_would_accept_is_not_issued() {
    let (result, setup) = (result(), Setup::lab());
    let policy = policy(&setup);
    let strict = super::policy(&Setup::above(Level::Strict));
    let (name, long) = ("n".repeat(TEXT_MAX_BYTES), "n".repeat(TEXT_MAX_BYTES + 1));
    let proof = "p".repeat(LOG_PROOF_MAX_BYTES + 1);
    let base = issue(&policy, &setup.collateral);
    let build = |build| Build { build, ..base.verifier };
    let developer = |developer| Build { developer, ..base.verifier };
    let issued = |issue: &Issue<'_>| Claims::from_result(&result, issue).map(|_| ());
    for (text, issue) in [
        ("names of 1 to 256 bytes, found 257", Issue { issuer: &long, ..base }),
        ("names of 1 to 256 bytes, found 0", Issue { issuer: "", ..base }),
        ("names of 1 to 256 bytes, found 257", Issue { audience: &long, ..base }),
        ("names of 1 to 256 bytes, found 0", Issue { audience: "", ..base }),
        ("names of 1 to 256 bytes, found 257", Issue { verifier: build(&long), ..base }),
        ("names of 1 to 256 bytes, found 0", Issue { verifier: developer(""), ..base }),
        ("at most 16384 bytes, found 16385", Issue { log_proof: Some(&proof), ..base }),
        ("an issue at or after", Issue { issued_at: NOW - 1, ..base }),
        ("an end after", Issue { expires_at: NOW, ..base }),
        ("an end after", Issue { expires_at: INTEGER_MAX + 1, ..base }),
        ("an end after", Issue { issued_at: u64::MAX, ..base }),
        ("level Lab, found level Strict", Issue { policy: &strict, ..base }),
    ] {
        let error = issued(&issue).expect_err(text);
        assert!(matches!(error, TokenError::NotIssued { .. }) && error.code().is_none());
        assert!(error.to_string().contains(text), "{error}");
    }
    for issue in [
        Issue { issuer: &name, ..base },
        Issue { log_proof: Some(&proof[1..]), ..base },
        Issue { log_proof: None, ..base },
        Issue { expires_at: INTEGER_MAX, ..base },
        Issue { expires_at: NOW + 1, ..base },
    ] {
        assert_eq!(issued(&issue), Ok(()));
    }
}

/// A signer that has another key, or makes nonsense, issues nothing.
#[test]
fn a_signature_by_another_key_never_leaves() {
    let claims = claims_of(&result());
    let other = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[0x43; 32]).unwrap();
    let expected = TokenError::NotIssued {
        expected: "a signature by the named key".to_owned(),
        got: "another".to_owned(),
    };
    assert_eq!(sign(&claims, &public(&issuer()), by(&other)), Err(expected.clone()));
    assert_eq!(sign(&claims, &public(&issuer()), |_| [0; 64]), Err(expected));
}

/// The longest names and log proof fit into one token, however JSON must write them.
#[test]
fn the_largest_issue_is_readable() {
    let (result, setup, key) = (result(), Setup::lab(), issuer());
    let policy = policy(&setup);
    let (name, proof) = ("\u{1}".repeat(TEXT_MAX_BYTES), "\n".repeat(LOG_PROOF_MAX_BYTES));
    let issue = Issue { issuer: &name, log_proof: Some(&proof), ..issue(&policy, &setup.collateral) };
    let token = sign(&Claims::from_result(&result, &issue).unwrap(), &public(&key), by(&key)).unwrap();
    assert!(read(&token, &result.keys().digests()).is_ok());
    assert_eq!(parts(&token).1["iss"], name);
}

#[test]
fn claims_are_canonical() {
    let bytes = claims_of(&result()).to_bytes();
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(serde_jcs::to_vec(&value).unwrap(), bytes);
}
