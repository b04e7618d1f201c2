//! Wrapped keys, and the key file under a passphrase.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use ring::rand::SystemRandom;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::dek::{Kek, KeyError, WRAP_OVERHEAD_BYTES, WrapAad, WrapKind};
use tiltyard_provisioning::keyfile::{self, Cost, KEY_FILE_BYTES, KeyFileError};

const PASSPHRASE: &[u8] = b"correct horse battery staple";
/// The cheapest that is within bounds.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 1, lanes: 1 };

fn kek() -> Kek {
    Kek::generate(&SystemRandom::new()).unwrap()
}

fn aad(kek: &Kek) -> WrapAad {
    WrapAad { key_id: "dataset/contracts/test".into(), kek_id: kek.id(), version: 2, kind: WrapKind::Dek }
}

#[test]
fn a_wrapped_key_opens_in_its_own_row_only() {
    let kek = kek();
    let wrapped = kek.wrap(&[7; 32], &aad(&kek), &SystemRandom::new()).unwrap();
    assert_eq!(wrapped.len(), 32 + WRAP_OVERHEAD_BYTES);
    assert_eq!(*kek.unwrap(&wrapped, &aad(&kek)).unwrap(), [7; 32]);
    for other in [
        WrapAad { key_id: "dataset/contracts/train".into(), ..aad(&kek) },
        WrapAad { version: 1, ..aad(&kek) },
        WrapAad { kind: WrapKind::Seed, ..aad(&kek) },
    ] {
        let error = kek.unwrap(&wrapped, &other).err();
        assert!(matches!(error, Some(KeyError::Unwrap { .. })), "{other:?}");
    }
}

#[test]
fn every_changed_bit_and_every_cut_of_a_wrapped_key_is_refused() {
    let kek = kek();
    let wrapped = kek.wrap(&[7; 32], &aad(&kek), &SystemRandom::new()).unwrap();
    for bit in 0..wrapped.len() * 8 {
        let mut bad = wrapped.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(kek.unwrap(&bad, &aad(&kek)), Err(KeyError::Unwrap { .. })), "bit {bit}");
    }
    for len in 0..wrapped.len() {
        assert!(kek.unwrap(&wrapped[..len], &aad(&kek)).is_err(), "cut to {len}");
    }
    assert!(matches!(kek.unwrap(&[0; 5000], &aad(&kek)), Err(KeyError::TooLarge { .. })));
}

#[test]
fn another_wrapping_key_is_named_before_it_is_tried() {
    let (right, other) = (kek(), kek());
    let wrapped = right.wrap(&[7; 32], &aad(&right), &SystemRandom::new()).unwrap();
    assert_eq!(
        other.unwrap(&wrapped, &aad(&right)).err(),
        Some(KeyError::OtherKek { expected: other.id(), got: right.id() })
    );
    assert!(matches!(other.unwrap(&wrapped, &aad(&other)), Err(KeyError::Unwrap { .. })));
}

#[test]
fn a_key_file_opens_with_its_passphrase_only() {
    let kek = kek();
    let file = keyfile::create(PASSPHRASE, &kek, COST, &SystemRandom::new()).unwrap();
    assert_eq!(file.len(), KEY_FILE_BYTES);
    assert_eq!(&file[..8], b"TYKEK\0\0\x01");
    assert_eq!(keyfile::open(&file, PASSPHRASE).unwrap().id(), kek.id());
    assert!(matches!(keyfile::open(&file, b"correct horse battery stapl"), Err(KeyFileError::Sealed)));
    // The header is the context of what is sealed: each part of it counts.
    for at in [20, 51, 52, 75, 76, 107, 108, 155] {
        let mut bad = file.clone();
        bad[at] ^= 1;
        assert!(matches!(keyfile::open(&bad, PASSPHRASE), Err(KeyFileError::Sealed)), "byte {at}");
    }
    assert!(matches!(
        keyfile::create(b"short", &kek, COST, &SystemRandom::new()),
        Err(KeyFileError::Passphrase { got: 5 })
    ));
}

#[test]
fn other_files_are_refused_as_what_they_are() {
    let mut file = hostile(COST);
    assert!(matches!(keyfile::open(&file[..155], PASSPHRASE), Err(KeyFileError::Length { got: 155 })));
    assert!(matches!(keyfile::open(&[], PASSPHRASE), Err(KeyFileError::Length { got: 0 })));
    file[7] = 2;
    assert!(matches!(keyfile::open(&file, PASSPHRASE), Err(KeyFileError::Header)));
    file[0] = b'X';
    assert!(matches!(keyfile::open(&file, PASSPHRASE), Err(KeyFileError::Header)));
}

/// 4 TiB of memory can't be there: an answer at all shows that nothing was allocated.
#[test]
fn parameters_out_of_bounds_are_refused_before_allocating() {
    let cases = [
        (Cost { memory_kib: u32::MAX, ..COST }, "memory_kib"),
        (Cost { memory_kib: 1024 * 1024 + 1, ..COST }, "memory_kib"),
        (Cost { memory_kib: 64 * 1024 - 1, ..COST }, "memory_kib"),
        (Cost { memory_kib: 0, ..COST }, "memory_kib"),
        (Cost { passes: 0, ..COST }, "passes"),
        (Cost { passes: 17, ..COST }, "passes"),
        (Cost { lanes: 0, ..COST }, "lanes"),
        (Cost { lanes: 5, ..COST }, "lanes"),
    ];
    for (cost, field) in cases {
        for error in [
            keyfile::open(&hostile(cost), PASSPHRASE).err(),
            keyfile::create(PASSPHRASE, &kek(), cost, &SystemRandom::new()).err(),
        ] {
            assert!(matches!(error, Some(KeyFileError::Params { name, .. }) if name == field), "{cost:?}");
        }
    }
}

fn hostile(cost: Cost) -> Vec<u8> {
    let mut file = b"TYKEK\0\0\x01".to_vec();
    for field in [cost.memory_kib, cost.passes, cost.lanes] {
        file.extend_from_slice(&field.to_be_bytes());
    }
    file.resize(KEY_FILE_BYTES, 0);
    file
}

#[test]
fn ids_tell_keys_apart() {
    let (one, other) = (kek(), kek());
    assert_ne!(one.id(), other.id());
    assert_ne!(one.id(), Hex([0; 16]));
}
