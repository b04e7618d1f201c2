//! The tournament's append-only log: leaves in memory, durable at the host before anything follows from them.

use ring::signature::Ed25519KeyPair;
use tiltyard_attestation::{Base64Bytes, Hex};
use tiltyard_provisioning::channel::{Document, LogAppend, Service, StoredLog};
use tiltyard_provisioning::ledger::{Checkpoint, MerkleLog, NoteKey, TlogProof};
use tiltyard_provisioning::record::log_origin;

use crate::broker::LogProof;
use crate::error::GuestError;
use crate::session::Guest;

/// The referee's log with the checkpoint over all of it.
pub(crate) struct TournamentLog {
    origin: String,
    leaves: Vec<Vec<u8>>,
    tree: MerkleLog,
    checkpoint: String,
    /// Size that the owner's broker has seen and will hold us to.
    witnessed: u64,
}

impl TournamentLog {
    /// An empty log of one tournament.
    pub(crate) fn new(tenant: &str, tournament: &str) -> Self {
        Self {
            origin: log_origin(tenant, tournament),
            leaves: Vec::new(),
            tree: MerkleLog::new(),
            checkpoint: String::new(),
            witnessed: 0,
        }
    }

    /// A log as the host kept it, under the key of the boot that signed its last checkpoint.
    ///
    /// The key comes from the log's own last boot leaf, so this alone proves nothing: the owner's broker is then
    /// shown the checkpoint with its consistency proof, and refuses a log that is not the one it remembers.
    pub(crate) fn restore(
        tenant: &str,
        tournament: &str,
        stored: StoredLog,
        key: Hex<32>,
        own: &Ed25519KeyPair,
    ) -> Result<Self, GuestError> {
        let mut log = Self::new(tenant, tournament);
        let key = NoteKey { name: log.origin.clone(), public: key };
        let checkpoint = Checkpoint::open(&stored.checkpoint, &key).map_err(refused)?;
        let size = usize::try_from(checkpoint.size).map_err(refused)?;
        if stored.leaves.len() < size {
            return Err(GuestError::Log(format!("expected {size} leaves, found {}", stored.leaves.len())));
        }
        // Leaves beyond the checkpoint were never signed for: they are dropped, and their work is done again.
        for leaf in stored.leaves.into_iter().take(size) {
            log.tree.append(&leaf.0);
            log.leaves.push(leaf.0);
        }
        if log.tree.root() != checkpoint.root {
            return Err(GuestError::Log("the leaves don't give the checkpoint's root".to_owned()));
        }
        // Signed anew by this boot: the broker may never have heard of the key that signed it last.
        log.checkpoint = log.sign(own);
        Ok(log)
    }

    /// Appends leaves, signs the new checkpoint, and returns once the host says that both are durable.
    pub(crate) async fn append(
        &mut self,
        guest: &Guest,
        leaves: Vec<Vec<u8>>,
        documents: Vec<Document>,
    ) -> Result<(), GuestError> {
        if leaves.is_empty() && documents.is_empty() {
            return Ok(());
        }
        let first = self.tree.size();
        for leaf in &leaves {
            self.tree.append(leaf);
        }
        self.checkpoint = self.sign(guest.attester.signing());
        let message = LogAppend {
            first,
            leaves: leaves.iter().cloned().map(Base64Bytes).collect(),
            checkpoint: self.checkpoint.clone(),
            documents,
        };
        self.leaves.extend(leaves);
        guest.tell(Service::Log, &message).await
    }

    /// What the owner's broker is shown at a renewal, and the size that it has seen once it accepts.
    pub(crate) fn proof(&self) -> (LogProof, u64) {
        if self.leaves.is_empty() {
            return (LogProof::default(), 0);
        }
        let size = self.tree.size();
        let consistency = self.tree.consistency(self.witnessed, size);
        (LogProof { checkpoint: Some(self.checkpoint.clone()), consistency }, size)
    }

    pub(crate) fn witnessed(&mut self, size: u64) {
        self.witnessed = size;
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    pub(crate) fn root(&self) -> Hex<32> {
        self.tree.root()
    }

    pub(crate) fn leaves(&self) -> &[Vec<u8>] {
        &self.leaves
    }

    pub(crate) fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// `c2sp.org/tlog-proof@v1` text of one leaf under the current checkpoint.
    pub(crate) fn inclusion(&self, index: u64) -> String {
        TlogProof::of(&self.tree, index, &self.checkpoint).to_text()
    }

    fn sign(&self, key: &Ed25519KeyPair) -> String {
        Checkpoint::of(&self.origin, &self.tree).sign(key, &self.origin)
    }
}

fn refused(error: impl std::fmt::Display) -> GuestError {
    GuestError::Log(error.to_string())
}
