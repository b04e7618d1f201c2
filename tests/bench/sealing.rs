//! What the owner's side does with bytes and keys: the sealed container, a released key, the log.

use std::error::Error;
use std::io;
use std::sync::Mutex;
use std::time::Instant;

use cobblestone::Key256;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::error::Unspecified;
use ring::rand::{SecureRandom as _, SystemRandom};
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{KEM_X25519, KEM_XWING};
use tiltyard_provisioning::container::{
    CHUNK_BYTES, Context, ObjectContext, ObjectKind, Opener, WriteAt, open, open_between, seal,
};
use tiltyard_provisioning::dek::Dek;
use tiltyard_provisioning::hpke::{HpkeError, HpkeSecret, release_aad, release_info, seal_to};
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::ledger::{LedgerError, MerkleLog, verify_inclusion};

use crate::measure::{Leg, Row, Samples, Unit, interleave, timed};

const OBJECT_MIB: usize = 64;
const LEAVES: u64 = 100_000;
const LEAF_BYTES: usize = 256;

/// Seal and open an object in memory. Every leg reads one buffer and returns a new one.
pub(crate) fn container() -> Result<Vec<Row>, Box<dyn Error>> {
    let rng = SystemRandom::new();
    let dek = Dek::generate(&rng)?;
    let context = ObjectContext {
        tenant: "insurer".into(),
        kind: ObjectKind::Dataset,
        id: "claims".into(),
        version: 1,
        split: Some(Split::Train),
        name: Hex([7; 16]),
        index: 0,
    };
    let (raw, peer) = (Raw::new(dek.expose())?, Key256::from_bytes(dek.expose()));
    let mut plaintext = vec![0; OBJECT_MIB << 20];
    rng.fill(&mut plaintext)?;
    let (plaintext, digest) = (&plaintext[..], &context.digest()[..]);
    let unit = || Unit::rate(OBJECT_MIB as f64, "MiB");
    // PROVISIONING 11: at least 0.85 of raw ring from memory to memory, and faster than the second implementation.
    let peers =
        [("ring AES-256-GCM, same chunks, memory to memory", Some(0.85)), ("cobblestone 0.2.0", Some(1.0))];

    let legs: Vec<Leg<'_>> = vec![
        Box::new(|| timed(|| seal(&dek, &context, plaintext, &rng))),
        Box::new(|| timed(|| raw.seal(plaintext))),
        Box::new(|| timed(|| cobblestone::encrypt(&peer, digest, plaintext))),
    ];
    let sealing = Samples::of("container seal, 64 MiB", unit(), interleave(9, legs)?, &peers);

    let (sealed, raw_sealed) = (seal(&dek, &context, plaintext, &rng)?, raw.seal(plaintext)?);
    let legs: Vec<Leg<'_>> = vec![
        Box::new(|| timed(|| open(&dek, &context, &sealed))),
        Box::new(|| timed(|| raw.open(&raw_sealed))),
        Box::new(|| timed(|| cobblestone::decrypt(&peer, digest, &sealed))),
    ];
    let opening = Samples::of("container open, 64 MiB", unit(), interleave(9, legs)?, &peers);

    // PROVISIONING 11: 1.7 times on two threads, on a machine that does nothing else.
    let object_len = sealed.len();
    let bound = Context::from(&context);
    let [once, twice] = [1, 2].map(|threads| {
        let (dek, bound, sealed) = (&dek, &bound, &sealed);
        let leg: Leg<'_> = Box::new(move || {
            let opener = Opener::of(dek, bound, &sealed[..], object_len as u64)?;
            let out = Memory::of(OBJECT_MIB << 20);
            timed(|| open_between(&opener, &out, threads))
        });
        leg
    });
    let peers = [("the same by one thread", Some(1.7))];
    let scaling =
        Samples::of("container open, 64 MiB, two threads", unit(), interleave(9, vec![twice, once])?, &peers);
    Ok(vec![sealing.row(), opening.row(), scaling.row()])
}

/// Memory that two threads write at once: each range of chunks falls into a part of its own.
struct Memory(Vec<Mutex<Vec<u8>>>);

impl Memory {
    const PART_BYTES: usize = 32 * CHUNK_BYTES;

    fn of(len: usize) -> Self {
        Self(
            (0..len.div_ceil(Self::PART_BYTES).max(1) + 1)
                .map(|_| Mutex::new(vec![0; Self::PART_BYTES]))
                .collect(),
        )
    }
}

impl WriteAt for Memory {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let (part, at) = (offset as usize / Self::PART_BYTES, offset as usize % Self::PART_BYTES);
        let part = self.0.get(part).ok_or(io::ErrorKind::InvalidInput)?;
        let mut part = part.lock().map_err(|_| io::ErrorKind::Other)?;
        part.get_mut(at..at + buf.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(buf);
        Ok(())
    }
}

/// ring alone over the container's chunks: no header, no commitment, no checks of length.
struct Raw(LessSafeKey);

impl Raw {
    fn new(key: &[u8]) -> Result<Self, Unspecified> {
        UnboundKey::new(&AES_256_GCM, key).map(|key| Self(LessSafeKey::new(key)))
    }

    fn nonce(index: usize) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&(index as u64).to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let tags = plaintext.len().div_ceil(CHUNK_BYTES) * AES_256_GCM.tag_len();
        let mut out = Vec::with_capacity(plaintext.len() + tags);
        for (index, chunk) in plaintext.chunks(CHUNK_BYTES).enumerate() {
            let from = out.len();
            out.extend_from_slice(chunk);
            let tag =
                self.0.seal_in_place_separate_tag(Self::nonce(index), Aad::empty(), &mut out[from..])?;
            out.extend_from_slice(tag.as_ref());
        }
        Ok(out)
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut out = Vec::with_capacity(sealed.len());
        for (index, chunk) in sealed.chunks(CHUNK_BYTES + AES_256_GCM.tag_len()).enumerate() {
            let from = out.len();
            out.extend_from_slice(chunk);
            let len = self.0.open_in_place(Self::nonce(index), Aad::empty(), &mut out[from..])?.len();
            out.truncate(from + len);
        }
        Ok(out)
    }
}

/// One data key from broker to guest and opened there.
pub(crate) fn release() -> Result<Vec<Row>, Box<dyn Error>> {
    let rng = SystemRandom::new();
    let (charter, key_id) = (Hex([9; 32]), KeyId::Dataset { id: "claims".into(), split: Split::Train });
    let (info, aad) = (release_info(&charter), release_aad(&Hex([1; 16]), &key_id, 1, &charter, None));
    let dek = Dek::generate(&rng)?;
    let leg = |kem| -> Result<Leg<'_>, HpkeError> {
        let secret = HpkeSecret::generate(kem, &rng)?;
        let to = secret.public();
        let (info, aad, dek, rng) = (&info, &aad, &dek, &rng);
        Ok(Box::new(move || {
            timed(|| {
                let (enc, ct) = seal_to(&to, info, aad, dek.expose(), rng)?;
                secret.open(&enc, &ct, info, aad)
            })
        }))
    };
    let seconds = interleave(300, vec![leg(KEM_XWING)?, leg(KEM_X25519)?])?;
    let peers = [("the same under DHKEM(X25519): what the post-quantum half costs", None)];
    let samples = Samples::of("HPKE release, X-Wing, seal and open", Unit::Microseconds, seconds, &peers);
    // PROVISIONING 11: the cryptographic part of a release.
    Ok(vec![samples.below(1e-3).row()])
}

/// Append to the log, and prove what is in it.
pub(crate) fn log() -> Result<Vec<Row>, Box<dyn Error>> {
    let leaf = |index: u64| {
        let mut leaf = [0x5a; LEAF_BYTES];
        leaf[..8].copy_from_slice(&index.to_be_bytes());
        leaf
    };
    let append = || -> Result<MerkleLog, LedgerError> {
        let mut log = MerkleLog::new();
        (0..LEAVES).for_each(|index| _ = log.append(&leaf(index)));
        Ok(log)
    };
    let hash = || -> Result<u8, Unspecified> {
        // As many hashes of the same lengths: entries with their prefix, then nodes of two hashes.
        let mut node = [1; 65];
        for index in 0..LEAVES {
            let mut entry = [0; LEAF_BYTES + 1];
            entry[1..].copy_from_slice(&leaf(index));
            node[1..33].copy_from_slice(digest(&SHA256, &entry).as_ref());
        }
        for _ in 1..LEAVES {
            let hash = digest(&SHA256, &node);
            node[33..].copy_from_slice(hash.as_ref());
        }
        Ok(node[64])
    };
    let legs: Vec<Leg<'_>> = vec![Box::new(|| timed(append)), Box::new(|| timed(hash))];
    let peers = [("ring SHA-256 of as many leaves and nodes, kept nowhere", None)];
    let unit = Unit::rate(LEAVES as f64, "leaves");
    let appending = Samples::of("log append, 100 000 leaves", unit, interleave(7, legs)?, &peers);

    let log = append()?;
    let (root, mut index) = (log.root(), 0);
    let prove: Leg<'_> = Box::new(move || {
        index = (index + 7_919) % LEAVES;
        let entry = leaf(index);
        let start = Instant::now();
        let proof = log.inclusion(index, LEAVES);
        verify_inclusion(&entry, index, LEAVES, &proof, &root)?;
        Ok(start.elapsed())
    });
    let seconds = interleave(1_000, vec![prove])?;
    let proving = Samples::of("inclusion in 100 000, proved and verified", Unit::Microseconds, seconds, &[]);
    Ok(vec![appending.row(), proving.row()])
}
