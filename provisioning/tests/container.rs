//! The sealed container through its public functions: lengths, hostile bytes, wrong contexts, a second implementation.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io;
use std::sync::Mutex;

use ring::rand::{SecureRandom, SystemRandom};
use tiltyard_attestation::Hex;
use tiltyard_provisioning::container::{
    CHUNK_BYTES, ContainerError, Context, HEADER_BYTES, ObjectContext, ObjectKind, Opener,
    SEALED_CHUNK_BYTES, Sealer, WriteAt, open, open_between, open_expected, plaintext_len, seal,
    seal_between, sealed_len,
};
use tiltyard_provisioning::dek::{Dek, KeyError};
use tiltyard_provisioning::keyid::Split;
use zeroize::Zeroizing;

const LENGTHS: [usize; 14] =
    [0, 1, 15, 16, 17, 16_367, 16_368, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 17 * 16_384 + 5];

fn context() -> ObjectContext {
    ObjectContext {
        tenant: "acme".into(),
        kind: ObjectKind::Dataset,
        id: "contracts".into(),
        version: 2,
        split: Some(Split::Train),
        name: Hex([7; 16]),
        index: 3,
    }
}

fn bound() -> Context {
    Context::from(&context())
}

fn dek() -> Dek {
    Dek::generate(&SystemRandom::new()).unwrap()
}

fn bytes(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    SystemRandom::new().fill(&mut out).unwrap();
    out
}

fn sealed(dek: &Dek, plaintext: &[u8]) -> Vec<u8> {
    seal(dek, &context(), plaintext, &SystemRandom::new()).unwrap()
}

fn refusal<T>(result: Result<T, ContainerError>) -> &'static str {
    result.err().expect("must be refused").code()
}

#[test]
fn every_length_round_trips_whole_streamed_and_by_position() {
    let dek = dek();
    for len in LENGTHS {
        let plaintext = bytes(len);
        let whole = sealed(&dek, &plaintext);
        assert_eq!(whole.len() as u64, sealed_len(len as u64));
        assert_eq!(plaintext_len(whole.len() as u64).unwrap(), len as u64);
        assert_eq!(*open(&dek, &context(), &whole).unwrap(), plaintext);

        let mut sealer = Sealer::new(&dek, &context(), Vec::new(), &SystemRandom::new()).unwrap();
        for piece in plaintext.chunks(5_003) {
            sealer.write(piece).unwrap();
        }
        let streamed = sealer.finish().unwrap();
        assert_eq!(streamed.len_bytes, streamed.inner.len() as u64);
        assert_eq!(streamed.header.bytes()[..], streamed.inner[..HEADER_BYTES]);
        assert_eq!(*open(&dek, &context(), &streamed.inner).unwrap(), plaintext);

        let opener = Opener::new(&dek, &context(), &whole[..], whole.len() as u64).unwrap();
        for offset in [0, len / 3, len.saturating_sub(1), len, len + 1, usize::MAX] {
            let mut buffer = [0; 20_000];
            let filled = opener.read_at(offset as u64, &mut buffer).unwrap();
            let rest = plaintext.get(offset..).unwrap_or_default();
            assert_eq!(
                buffer[..filled],
                rest[..rest.len().min(buffer.len())],
                "length {len}, offset {offset}"
            );
        }
        assert_eq!(opener.plaintext_len().unwrap(), len as u64);
    }
}

#[test]
fn two_seals_of_one_plaintext_share_no_salt() {
    let dek = dek();
    assert_ne!(sealed(&dek, b"row")[..24], sealed(&dek, b"row")[..24]);
}

#[test]
fn every_flipped_header_bit_is_a_commitment_failure() {
    let dek = dek();
    let good = sealed(&dek, b"row");
    for bit in 0..HEADER_BYTES * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(refusal(open(&dek, &context(), &bad)), "E_COMMITMENT", "bit {bit}");
    }
}

#[test]
fn every_flipped_body_bit_names_its_chunk() {
    let dek = dek();
    let good = sealed(&dek, &bytes(CHUNK_BYTES + 3));
    for (at, index) in [
        (HEADER_BYTES, 0),
        (HEADER_BYTES + SEALED_CHUNK_BYTES - 1, 0),
        (HEADER_BYTES + SEALED_CHUNK_BYTES, 1),
        (good.len() - 1, 1),
    ] {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let error = open(&dek, &context(), &bad).err();
            assert!(
                matches!(error, Some(ContainerError::ChunkAuth { index: found }) if found == index),
                "byte {at}"
            );
        }
    }
}

#[test]
fn every_cut_is_refused() {
    let dek = dek();
    let good = sealed(&dek, &bytes(CHUNK_BYTES + 40));
    let near_borders = (0..good.len()).filter(|len| {
        *len < 200 || good.len() - len < 100 || len.abs_diff(HEADER_BYTES + SEALED_CHUNK_BYTES) < 60
    });
    for len in near_borders {
        let body = len.checked_sub(HEADER_BYTES);
        let expected = match body.map(|body| body % SEALED_CHUNK_BYTES) {
            None => "E_HEADER_SHORT",
            Some(0..=15) => "E_TRUNCATED",
            Some(_) => "E_CHUNK_AUTH",
        };
        assert_eq!(refusal(open(&dek, &context(), &good[..len])), expected, "cut to {len} bytes");
    }
}

#[test]
fn moved_repeated_and_added_chunks_are_refused() {
    let dek = dek();
    let good = sealed(&dek, &bytes(3 * CHUNK_BYTES + 9));
    let chunk = |index: usize| {
        let from = HEADER_BYTES + index * SEALED_CHUNK_BYTES;
        good[from..good.len().min(from + SEALED_CHUNK_BYTES)].to_vec()
    };
    let (header, last) = (good[..HEADER_BYTES].to_vec(), chunk(3));
    let other = sealed(&dek, &bytes(3 * CHUNK_BYTES + 9));
    let foreign = other[HEADER_BYTES..HEADER_BYTES + SEALED_CHUNK_BYTES].to_vec();
    for (name, parts) in [
        ("swapped", vec![header.clone(), chunk(1), chunk(0), chunk(2), last.clone()]),
        ("repeated", vec![header.clone(), chunk(0), chunk(0), chunk(2), last.clone()]),
        ("left out", vec![header.clone(), chunk(0), chunk(2), last.clone()]),
        ("of another object", vec![header.clone(), foreign, chunk(1), chunk(2), last.clone()]),
        ("added behind", vec![header.clone(), chunk(0), chunk(1), chunk(2), last.clone(), last.clone()]),
        ("added in front of the last", vec![header, chunk(0), chunk(1), chunk(2), chunk(0), last]),
    ] {
        assert_eq!(refusal(open(&dek, &context(), &parts.concat())), "E_CHUNK_AUTH", "{name}");
    }
}

#[test]
fn a_cut_object_shows_before_its_length_is_believed() {
    let dek = dek();
    let good = sealed(&dek, &bytes(2 * CHUNK_BYTES + 100));
    let cut = &good[..good.len() - 50];
    let opener = Opener::new(&dek, &context(), cut, cut.len() as u64).unwrap();
    assert_eq!(opener.chunk(0).unwrap().len(), CHUNK_BYTES);
    assert_eq!(refusal(opener.plaintext_len()), "E_CHUNK_AUTH");
    assert_eq!(refusal(opener.read_at(10 * CHUNK_BYTES as u64, &mut [0; 4])), "E_CHUNK_AUTH");
    assert_eq!(refusal(opener.chunk(3)), "E_CHUNK_RANGE");
}

#[test]
fn another_key_or_context_fails_at_the_commitment() {
    let right = dek();
    // The body is garbage: whoever looked at a chunk first would answer E_CHUNK_AUTH.
    let mut object = sealed(&right, b"row");
    for byte in &mut object[HEADER_BYTES..] {
        *byte = 0;
    }
    assert_eq!(refusal(open(&right, &context(), &object)), "E_CHUNK_AUTH");
    assert_eq!(refusal(open(&dek(), &context(), &object)), "E_COMMITMENT");
    let others = [
        ObjectContext { tenant: "evil".into(), ..context() },
        ObjectContext { kind: ObjectKind::Index, ..context() },
        ObjectContext { id: "contracts2".into(), ..context() },
        ObjectContext { version: 3, ..context() },
        ObjectContext { split: Some(Split::Test), ..context() },
        ObjectContext { split: None, ..context() },
        ObjectContext { name: Hex([8; 16]), ..context() },
        ObjectContext { index: 4, ..context() },
    ];
    for other in others {
        assert_eq!(refusal(open(&right, &other, &object)), "E_COMMITMENT", "{other:?}");
        assert_eq!(refusal(Opener::new(&right, &other, &object[..], object.len() as u64)), "E_COMMITMENT");
    }
}

#[test]
fn an_object_that_was_not_named_is_refused_by_its_header() {
    let dek = dek();
    let (named, given) = (sealed(&dek, b"row"), sealed(&dek, b"row"));
    let header = Hex::from_slice(&named[..HEADER_BYTES]).unwrap();
    assert!(open_expected(&dek, &context(), &header, &named).is_ok());
    assert_eq!(refusal(open_expected(&dek, &context(), &header, &given)), "E_HEADER_MISMATCH");
}

#[test]
fn lengths_above_the_cap_are_refused_before_anything_is_read() {
    assert_eq!(refusal(plaintext_len((1 << 40) + 1)), "E_TOO_LARGE");
    assert_eq!(refusal(plaintext_len(u64::MAX)), "E_TOO_LARGE");
    assert_eq!(refusal(Opener::new(&dek(), &context(), &[][..], u64::MAX)), "E_TOO_LARGE");
}

#[test]
fn keys_of_another_length_are_refused() {
    for len in [0, 16, 31, 33, 64] {
        let error = Dek::from_bytes(Zeroizing::new(vec![1; len])).err();
        assert_eq!(error, Some(KeyError::Length { got: len }));
    }
}

/// Memory that is written at any place, as a file is.
#[derive(Default)]
struct Memory(Mutex<Vec<u8>>);

impl WriteAt for Memory {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let (mut memory, from) = (self.0.lock().unwrap(), usize::try_from(offset).unwrap());
        let end = from + buf.len();
        if memory.len() < end {
            memory.resize(end, 0);
        }
        memory[from..end].copy_from_slice(buf);
        Ok(())
    }
}

#[test]
fn several_threads_seal_and_open_what_one_does() {
    let (dek, rng) = (dek(), SystemRandom::new());
    let range = 32 * CHUNK_BYTES;
    for len in [0, 1, CHUNK_BYTES, range - 1, range, range + 1, 5 * range, 7 * range + 3 * CHUNK_BYTES + 5] {
        let plaintext = bytes(len);
        for threads in [0, 1, 2, 3, 200] {
            let object = Memory::default();
            let source = (&&plaintext[..], len as u64);
            let header = seal_between(&dek, &bound(), source, &object, threads, &rng).unwrap();
            let object = object.0.into_inner().unwrap();
            assert_eq!(
                (object.len() as u64, &object[..HEADER_BYTES]),
                (sealed_len(len as u64), &header.0[..])
            );
            assert_eq!(*open(&dek, &context(), &object).unwrap(), plaintext, "{len} by {threads}");
            let opener = Opener::of(&dek, &bound(), &object[..], object.len() as u64).unwrap();
            let out = Memory::default();
            assert_eq!(open_between(&opener, &out, threads).unwrap(), len as u64);
            assert_eq!(out.0.into_inner().unwrap(), plaintext, "{len} by {threads}");
        }
        let short = (&&plaintext[..], len as u64 + 1);
        assert_eq!(refusal(seal_between(&dek, &bound(), short, &Memory::default(), 2, &rng)), "E_IO");
    }
}

#[test]
fn several_threads_name_the_first_bad_chunk() {
    let dek = dek();
    let mut object = sealed(&dek, &bytes(300 * CHUNK_BYTES));
    for chunk in [70, 131, 290] {
        object[HEADER_BYTES + chunk * SEALED_CHUNK_BYTES] ^= 1;
    }
    for _ in 0..20 {
        let opener = Opener::of(&dek, &bound(), &object[..], object.len() as u64).unwrap();
        let error = open_between(&opener, &Memory::default(), 4).err();
        assert!(matches!(error, Some(ContainerError::ChunkAuth { index: 70 })), "{error:?}");
    }
}

/// Every cut, every flipped bit, and chunks that were swapped, repeated, dropped or spliced in from another object of the
/// same key and context: none gives a byte of plaintext to whoever asked for the whole.
#[test]
fn no_damage_to_an_object_of_four_chunks_is_opened() {
    let dek = dek();
    let plaintext = bytes(3 * CHUNK_BYTES + 100);
    let good = sealed(&dek, &plaintext);
    let other = sealed(&dek, &bytes(3 * CHUNK_BYTES + 100));
    assert_eq!(*open(&dek, &context(), &good).unwrap(), plaintext);
    for len in 0..good.len() {
        assert!(open(&dek, &context(), &good[..len]).is_err(), "cut to {len}");
    }
    for more in 1..=64 {
        let longer = [good.as_slice(), &vec![0; more]].concat();
        assert!(open(&dek, &context(), &longer).is_err(), "{more} bytes more");
    }
    let mut bent = good.clone();
    for bit in 0..good.len() * 8 {
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&dek, &context(), &bent).is_err(), "bit {bit}");
        bent[bit / 8] ^= 1 << (bit % 8);
    }
    let parts = |object: &[u8]| -> Vec<Vec<u8>> {
        let (header, body) = object.split_at(HEADER_BYTES);
        [header.to_vec()].into_iter().chain(body.chunks(SEALED_CHUNK_BYTES).map(<[u8]>::to_vec)).collect()
    };
    let (own, foreign) = (parts(&good), parts(&other));
    let refused = |what: String, parts: Vec<Vec<u8>>| {
        assert!(open(&dek, &context(), &parts.concat()).is_err(), "{what}");
    };
    for a in 1..own.len() {
        for b in a + 1..own.len() {
            let mut swapped = own.clone();
            swapped.swap(a, b);
            refused(format!("chunks {a} and {b} swapped"), swapped);
        }
        let mut dropped = own.clone();
        dropped.remove(a);
        refused(format!("chunk {a} dropped"), dropped);
        let mut twice = own.clone();
        twice.insert(a, own[a].clone());
        refused(format!("chunk {a} twice"), twice);
        let mut spliced = own.clone();
        spliced[a] = foreign[a].clone();
        refused(format!("chunk {a} of another object"), spliced);
    }
    let mut header = own;
    header[0] = foreign[0].clone();
    refused("the header of another object".into(), header);
}

#[test]
fn a_second_implementation_reads_ours_and_is_read() {
    let mut length = [0; 2];
    let mut lengths = LENGTHS.to_vec();
    for _ in 0..40 {
        SystemRandom::new().fill(&mut length).unwrap();
        lengths.push(usize::from(u16::from_le_bytes(length)));
    }
    for len in lengths {
        let (dek, plaintext) = (dek(), bytes(len));
        let peer_key = cobblestone::Key256::from_bytes(dek.expose());
        let ours = sealed(&dek, &plaintext);
        assert_eq!(cobblestone::decrypt(&peer_key, &context().digest(), &ours).unwrap(), plaintext);
        let theirs = cobblestone::encrypt(&peer_key, &context().digest(), &plaintext).unwrap();
        assert_eq!(*open(&dek, &context(), &theirs).unwrap(), plaintext);

        let mut bad = ours;
        let at = bad.len() / 2;
        bad[at] ^= 1;
        assert!(cobblestone::decrypt(&peer_key, &context().digest(), &bad).is_err());
        assert!(open(&dek, &context(), &bad).is_err());
    }
}
