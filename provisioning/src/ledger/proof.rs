//! Proofs as files (C2SP tlog-proof): one entry's place in a log, with the checkpoint over it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tiltyard_attestation::Hex;

use super::verify_inclusion;
use super::{Checkpoint, Included, LedgerError, MerkleLog, NOTE_MAX_BYTES, NoteKey, PROOF_MAX_HASHES};

/// First line of the file.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Largest proof file, in bytes: its hashes and a note.
const PROOF_MAX_BYTES: usize = NOTE_MAX_BYTES + (PROOF_MAX_HASHES + 2) * 64;

/// A proof of one entry. Nothing in it is checked before [`TlogProof::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    pub index: u64,
    pub hashes: Vec<Hex<32>>,
    /// Signed note, as received.
    pub checkpoint: String,
}

impl TlogProof {
    /// The proof of entry `index` under a checkpoint of the whole `log`.
    pub fn of(log: &MerkleLog, index: u64, checkpoint: &str) -> Self {
        Self { index, hashes: log.inclusion(index, log.size()), checkpoint: checkpoint.into() }
    }

    /// The file.
    pub fn to_text(&self) -> String {
        let hashes: String =
            self.hashes.iter().map(|hash| format!("{}\n", STANDARD.encode(hash.bytes()))).collect();
        format!("{HEADER}\nindex {}\n{hashes}\n{}", self.index, self.checkpoint)
    }

    /// Reads the file. An `extra` line is refused: ours have none.
    pub fn from_text(text: &str) -> Result<Self, LedgerError> {
        let wrong = |what| LedgerError::ProofSyntax { what };
        if text.len() > PROOF_MAX_BYTES {
            return Err(wrong("it is too large"));
        }
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or_else(|| wrong("no blank line before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(wrong("expected the first line c2sp.org/tlog-proof@v1"));
        }
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| wrong("expected a line \"index N\""))?;
        let hashes: Option<Vec<Hex<32>>> = lines
            .take(PROOF_MAX_HASHES + 1)
            .map(|line| STANDARD.decode(line).ok().and_then(|hash| Hex::from_slice(&hash)))
            .collect();
        let hashes = hashes.ok_or_else(|| wrong("a hash is not 32 bytes in base64"))?;
        let proof = Self { index, hashes, checkpoint: checkpoint.into() };
        if proof.to_text() == text { Ok(proof) } else { Err(wrong("it is not in the one plain form")) }
    }

    /// Checks the checkpoint's signature and origin, then the place of `leaf` under its root.
    pub fn verify(&self, leaf: &[u8], key: &NoteKey, origin: &str) -> Result<Included, LedgerError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?.for_origin(origin)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)
    }
}
