//! HPKE: round trips, every changed part refused, and messages that a foreign implementation sealed.

use ring::rand::SystemRandom;
use serde::Deserialize;
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{HpkePublicKey, KEM_X25519, KEM_XWING};
use tiltyard_provisioning::hpke::{
    HpkeError, HpkeSecret, PLAINTEXT_MAX_BYTES, deposit_aad, deposit_info, public_key_len, release_aad,
    release_info, result_aad, result_info, seal_to,
};
use tiltyard_provisioning::keyid::{KeyId, Split};
use zeroize::Zeroizing;

const KEMS: [u16; 2] = [KEM_XWING, KEM_X25519];

fn secret(kem: u16) -> HpkeSecret {
    HpkeSecret::generate(kem, &SystemRandom::new()).unwrap()
}

#[test]
fn what_was_sealed_opens() {
    for (kem, public_len, enc_len) in [(KEM_XWING, 1216, 1120), (KEM_X25519, 32, 32)] {
        let secret = secret(kem);
        assert_eq!(secret.public().kem, kem);
        assert_eq!(secret.public().public.0.len(), public_len);
        assert_eq!(public_key_len(kem), Some(public_len));
        for plaintext in [&b""[..], b"k", &[7; 32], &[9; 70_000]] {
            let (enc, ct) =
                seal_to(&secret.public(), b"info", b"aad", plaintext, &SystemRandom::new()).unwrap();
            assert_eq!((enc.len(), ct.len()), (enc_len, plaintext.len() + 16));
            assert_eq!(*secret.open(&enc, &ct, b"info", b"aad").unwrap(), plaintext);
        }
    }
}

#[test]
fn a_stored_key_opens_what_was_sealed_before() {
    for kem in KEMS {
        let first = secret(kem);
        let (enc, ct) = seal_to(&first.public(), b"i", b"a", b"dek", &SystemRandom::new()).unwrap();
        let again = HpkeSecret::from_seed(kem, Zeroizing::new(**first.seed())).unwrap();
        assert_eq!(again.public(), first.public());
        assert_eq!(*again.open(&enc, &ct, b"i", b"a").unwrap(), b"dek");
    }
}

#[test]
fn two_seals_of_one_message_differ() {
    for kem in KEMS {
        let to = secret(kem).public();
        let seal = || seal_to(&to, b"i", b"a", b"dek", &SystemRandom::new()).unwrap();
        let (first, second) = (seal(), seal());
        assert_ne!(first.0, second.0);
        assert_ne!(first.1, second.1);
    }
}

#[test]
fn any_changed_part_is_one_refusal() {
    for kem in KEMS {
        let secret = secret(kem);
        let (enc, ct) = seal_to(&secret.public(), b"info", b"aad", &[7; 32], &SystemRandom::new()).unwrap();
        let refused = |enc: &[u8], ct: &[u8], info: &[u8], aad: &[u8]| {
            assert_eq!(secret.open(enc, ct, info, aad).unwrap_err(), HpkeError::Open);
        };
        for at in (0..enc.len()).step_by(enc.len() / 16) {
            let mut changed = enc.clone();
            changed[at] ^= 1;
            refused(&changed, &ct, b"info", b"aad");
        }
        for at in 0..ct.len() {
            let mut changed = ct.clone();
            changed[at] ^= 0x80;
            refused(&enc, &changed, b"info", b"aad");
        }
        refused(&enc[1..], &ct, b"info", b"aad");
        refused(&[], &ct, b"info", b"aad");
        refused(&enc, &ct[..ct.len() - 1], b"info", b"aad");
        refused(&enc, &[], b"info", b"aad");
        refused(&enc, &ct, b"inf", b"aad");
        refused(&enc, &ct, b"info", b"");
        refused(&vec![0; enc.len()], &ct, b"info", b"aad");
        let other = self::secret(kem);
        assert_eq!(other.open(&enc, &ct, b"info", b"aad").unwrap_err(), HpkeError::Open);
    }
}

#[test]
fn unusable_keys_are_named() {
    let rng = SystemRandom::new();
    let seal = |kem, public: Vec<u8>| {
        seal_to(&HpkePublicKey { kem, public: public.into() }, b"", b"", b"", &rng).unwrap_err()
    };
    for kem in KEMS {
        let len = public_key_len(kem).unwrap();
        for got in [0, len - 1, len + 1] {
            assert_eq!(seal(kem, vec![9; got]), HpkeError::BadKey { kem, expected: len, got });
        }
    }
    // RFC 9180, 7.1.4: the all-zero shared secret of a point of small order.
    assert_eq!(seal(KEM_X25519, vec![0; 32]).code(), "BadKey");
    // A lattice part whose coefficients are not reduced.
    assert_eq!(seal(KEM_XWING, vec![0xff; 1216]).code(), "BadKey");
    assert_eq!(seal(0x10, vec![4; 65]), HpkeError::UnknownKem { got: 0x10 });
    assert_eq!(HpkeSecret::generate(0x10, &rng).err(), Some(HpkeError::UnknownKem { got: 0x10 }));
    assert_eq!(public_key_len(0), None);
}

#[test]
fn sizes_are_bounded() {
    let secret = secret(KEM_X25519);
    let big = vec![0; PLAINTEXT_MAX_BYTES + 17];
    let error = seal_to(&secret.public(), b"", b"", &big, &SystemRandom::new()).unwrap_err();
    assert_eq!(error.code(), "E_TOO_LARGE");
    assert_eq!(secret.open(&[9; 32], &big, b"", b"").unwrap_err().code(), "E_TOO_LARGE");
}

#[derive(Deserialize)]
struct Foreign {
    kem: u16,
    secret: String,
    public: String,
    info: String,
    aad: String,
    plaintext: String,
    enc: String,
    ct: String,
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Sealed by the npm packages `@hpke/core` 1.9.0 and `@hpke/hybridkem-x-wing` 0.7.0.
#[test]
fn messages_of_a_foreign_implementation_open() {
    let vectors: Vec<Foreign> =
        serde_json::from_str(include_str!("../vectors/hpke/npm_hpke_core_1.9.0.json")).unwrap();
    for kem in KEMS {
        assert_eq!(vectors.iter().filter(|vector| vector.kem == kem).count(), 2);
    }
    for vector in vectors {
        let seed = Zeroizing::new(unhex(&vector.secret).try_into().unwrap());
        let secret = HpkeSecret::from_seed(vector.kem, seed).unwrap();
        assert_eq!(secret.public().public.0, unhex(&vector.public));
        let [enc, ct, info, aad] = [&vector.enc, &vector.ct, &vector.info, &vector.aad].map(|hex| unhex(hex));
        assert_eq!(*secret.open(&enc, &ct, &info, &aad).unwrap(), unhex(&vector.plaintext));
        assert_eq!(secret.open(&enc, &ct, &info, b"other").unwrap_err(), HpkeError::Open);
    }
}

/// PROVISIONING 13, byte for byte.
#[test]
fn info_and_aad() {
    let (p, order, lease) = (Hex([0x11; 32]), Hex([0x22; 32]), Hex([0x33; 16]));
    let key = KeyId::Dataset { id: "claims".into(), split: Split::Train };
    let with_p = |tag: &str| [tag.as_bytes(), b"\0", p.bytes()].concat();
    assert_eq!(release_info(&p), with_p("tiltyard-release-v1"));
    assert_eq!(deposit_info(&p), with_p("tiltyard-deposit-v1"));
    assert_eq!(result_info(&p), with_p("tiltyard-result-v1"));
    assert_eq!(result_aad(&order), [0x22; 32]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(
        text(release_aad(&lease, &key, 3, &p, Some(&order))),
        format!(
            r#"{{"key_id":"dataset/claims/train","key_version":3,"lease":"{lease}","order":"{order}","p":"{p}"}}"#
        )
    );
    assert_eq!(
        text(deposit_aad(&lease, &KeyId::Draw("cup-1".into()), &p, None)),
        format!(r#"{{"key_id":"draw/cup-1","lease":"{lease}","order":null,"p":"{p}"}}"#)
    );
}
