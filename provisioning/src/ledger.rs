//! Append-only logs: RFC 6962 trees, C2SP signed notes, checkpoints, tiles and proofs (FEDERATION 5).
//!
//! One log per tournament, kept by its referee, and one per broker. Nothing here does I/O.

mod checkpoint;
mod merkle;
mod note;
mod proof;
mod tiles;

pub use checkpoint::{Checkpoint, ORIGIN_MAX_BYTES};
pub use merkle::{
    Consistent, Included, MerkleLog, PROOF_MAX_HASHES, empty_root, leaf_hash, merkle_root, node_hash,
    verify_consistency, verify_inclusion,
};
pub use note::{NOTE_MAX_BYTES, NOTE_SIGNATURES_MAX, NoteKey};
pub use proof::TlogProof;
pub use tiles::{TILE_WIDTH, entries_path, tile_path, tiles};

use tiltyard_attestation::Hex;

/// Largest entry of a log of ours, in bytes: statements with digests, never blobs.
pub const ENTRY_MAX_BYTES: usize = 16_384;

/// Why a log, note or proof was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    #[error("log: expected an index below the size {size}, found {index}")]
    IndexOutOfRange { index: u64, size: u64 },
    /// A size that goes down is a rolled-back log.
    #[error("log: expected a size of at least {old}, found {new}")]
    LogRolledBack { old: u64, new: u64 },
    /// Two roots at one size are a forked log.
    #[error("log: two roots at size {size}: expected {expected}, found {got}")]
    LogForked { size: u64, expected: Hex<32>, got: Hex<32> },
    #[error("log: expected a proof of {expected} hashes, found {got}")]
    ProofLength { expected: usize, got: usize },
    #[error("log: the inclusion proof of entry {index} leads to root {got}, expected {expected}")]
    NotIncluded { index: u64, expected: Hex<32>, got: Hex<32> },
    #[error("log: the consistency proof from {old} to {new} does not lead to the {which} root")]
    Inconsistent { old: u64, new: u64, which: &'static str },
    #[error("log: expected entries of at most {ENTRY_MAX_BYTES} bytes, entry {index} has {got}")]
    EntryTooLarge { index: u64, got: usize },
    #[error("log: expected the entries 0 to {expected}, found {got} of them")]
    EntriesMissing { expected: u64, got: u64 },
    #[error("log: expected origin {expected}, found {got}")]
    WrongOrigin { expected: String, got: String },
    #[error("note: {what}")]
    NoteSyntax { what: &'static str },
    #[error("note: expected at most {NOTE_MAX_BYTES} bytes, found {got}")]
    NoteTooLarge { got: usize },
    #[error("note: no signature by {name} with key {key}")]
    NoteUnsigned { name: String, key: Hex<32> },
    #[error("note: the signature by {name} does not verify under key {key}")]
    NoteSignature { name: String, key: Hex<32> },
    #[error("note: not a verifier key: {what}\n  expected name+8 hex digits+base64(01 || public key)")]
    VerifierKey { what: &'static str },
    #[error(
        "note: not a key name: expected 1 to {ORIGIN_MAX_BYTES} bytes without spaces, control characters and '+'"
    )]
    KeyName,
    #[error("checkpoint: {what}\n  expected three lines: origin, size, base64 root")]
    CheckpointSyntax { what: &'static str },
    #[error("proof: {what}")]
    ProofSyntax { what: &'static str },
}
