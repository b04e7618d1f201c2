//! Checkpoints (C2SP tlog-checkpoint v1.0.0): origin, size and root of a log, as a signed note.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::Ed25519KeyPair;
use tiltyard_attestation::Hex;

use super::note::{self, NoteKey};
use super::{LedgerError, MerkleLog};

/// Longest origin or key name, in bytes.
pub const ORIGIN_MAX_BYTES: usize = 255;

/// One state of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the log: `<operator's domain>/tiltyard/<tournament hex>`, or the broker's own.
    pub origin: String,
    pub size: u64,
    pub root: Hex<32>,
}

impl Checkpoint {
    /// The state of `log` now.
    pub fn of(origin: &str, log: &MerkleLog) -> Self {
        Self { origin: origin.into(), size: log.size(), root: log.root() }
    }

    /// The note of this checkpoint, signed by `key` under `name`.
    ///
    /// An origin or name that breaks the format makes a note that [`Checkpoint::open`] refuses.
    pub fn sign(&self, key: &Ed25519KeyPair, name: &str) -> String {
        note::sign(&self.text(), name, key)
    }

    /// Reads a note that `key` signed. Extension lines are refused: ours have none.
    pub fn open(note: &str, key: &NoteKey) -> Result<Self, LedgerError> {
        Self::parse(note::open(note, key)?)
    }

    /// Goes on only for the log named `origin`: a signer of two logs could show one for the other.
    pub fn for_origin(self, origin: &str) -> Result<Self, LedgerError> {
        if self.origin == origin {
            Ok(self)
        } else {
            Err(LedgerError::WrongOrigin { expected: origin.into(), got: self.origin })
        }
    }

    /// The three lines that are signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.bytes()))
    }

    fn parse(text: &str) -> Result<Self, LedgerError> {
        let wrong = |what| LedgerError::CheckpointSyntax { what };
        let lines: Vec<&str> = text.split('\n').collect();
        let [origin, size, root, ""] = lines.as_slice() else {
            return Err(wrong("it has another number of lines"));
        };
        note::check_name(origin).map_err(|_| wrong("the origin is not a name"))?;
        let root = STANDARD.decode(root).ok().and_then(|root| Hex::from_slice(&root));
        let checkpoint = Self {
            origin: (*origin).into(),
            size: size.parse().map_err(|_| wrong("the size is not a number"))?,
            root: root.ok_or_else(|| wrong("the root is not 32 bytes in base64"))?,
        };
        // Catches what the number parser lets through: leading zeros and a plus sign.
        if checkpoint.text() == text {
            Ok(checkpoint)
        } else {
            Err(wrong("the size is not in plain decimal"))
        }
    }
}
