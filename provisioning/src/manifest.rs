//! The owner's signed list of one split's sealed objects: in-toto Statement v1 in a DSSE envelope (PROVISIONING 3).
//!
//! It holds digests of ciphertext only, so it may be read by anyone. A guest holds each object's 56-byte
//! header against it and then relies on commitment and tags; hosts and auditors, who have no key, check
//! `sha256` and `parts_root`.

mod document;

use ring::signature::Ed25519KeyPair;
use serde::{Deserialize, Serialize};
use tiltyard_attestation::{Base64Bytes, Hex};

use crate::charter;
use crate::container::{HEADER_BYTES, ObjectContext, ObjectKind, SEALED_CHUNK_BYTES};
use crate::dsse::{Envelope, EnvelopeError};
use crate::keyid::{ID_MAX_BYTES, KeyId, Split, is_id};
use crate::ledger::merkle_root;

/// DSSE payload type of a manifest.
pub const MANIFEST_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Largest manifest payload, in bytes.
pub const MANIFEST_MAX_BYTES: usize = 1024 * 1024;
/// Ciphertext of one upload part, in bytes: 64 whole chunks; the first part holds the header besides.
pub const PART_BYTES: usize = 64 * SEALED_CHUNK_BYTES;

/// One split of one version of a dataset, as its owner signed it. Made by reading only, so its set rule holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub tenant: String,
    pub dataset_id: String,
    pub version: u64,
    /// Digest of the manifest of the version before; none at version 1.
    pub prev: Option<Hex<32>>,
    pub split: Split,
    pub length_bucket: Padding,
    pub licence: String,
    /// Equal in the manifests of both splits.
    pub split_commitment: Hex<32>,
    /// Unix seconds, inclusive.
    pub not_after: u64,
    /// Ascending by index: the shards, then the one index object.
    pub objects: Vec<ManifestObject>,
    pub keys: Vec<WrappedKey>,
    sha256: Hex<32>,
}

/// One sealed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestObject {
    /// 16 random bytes.
    pub name: Hex<16>,
    /// Salt and commitment.
    pub header: Hex<56>,
    /// Length of the ciphertext, in bytes.
    pub len: u64,
    /// Of the ciphertext.
    pub sha256: Hex<32>,
    /// [`parts_root`] of the ciphertext.
    pub parts_root: Hex<32>,
    pub index: u32,
    /// `dataset` for a shard of rows, `index` for the facts about them.
    pub kind: ObjectKind,
}

/// A data key under the owner's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    pub key_id: KeyId,
    pub kek_id: Hex<16>,
    pub wrapped_dek: Base64Bytes,
    /// [`crate::dek::WRAP_ALGORITHM`]
    pub wrap_alg: String,
}

/// How object lengths are hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    None,
    /// At most 12 % longer; leaks O(log log length) bits.
    #[default]
    Padme,
    /// To the next multiple of so many bytes.
    Bucket(u64),
}

/// A manifest whose signature was checked, with the bytes that were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    manifest: Manifest,
    payload: Vec<u8>,
    owner: Hex<32>,
}

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    #[error("E_MANIFEST_SIG: {0}")]
    Signature(#[from] EnvelopeError),
    #[error("E_DIGEST: manifest: expected digest {expected}, found {got}")]
    Digest { expected: Hex<32>, got: Hex<32> },
    #[error("E_TOO_LARGE: manifest: expected at most {MANIFEST_MAX_BYTES} bytes, found {got}")]
    TooLarge { got: usize },
    #[error("E_SYNTAX: manifest: {what}")]
    Syntax { what: String },
    #[error("E_MANIFEST_SET: {what}")]
    Set { what: String },
    #[error("E_MANIFEST_SCOPE: manifest: expected {field} {expected}, found {got}")]
    Scope { field: &'static str, expected: String, got: String },
    #[error("E_ROLLBACK: manifest: expected version {least} or above, found {got}")]
    Rollback { least: u64, got: u64 },
}

impl ManifestError {
    /// The stable name of this refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature(_) => "E_MANIFEST_SIG",
            Self::Digest { .. } => "E_DIGEST",
            Self::TooLarge { .. } => "E_TOO_LARGE",
            Self::Syntax { .. } => "E_SYNTAX",
            Self::Set { .. } => "E_MANIFEST_SET",
            Self::Scope { .. } => "E_MANIFEST_SCOPE",
            Self::Rollback { .. } => "E_ROLLBACK",
        }
    }
}

impl Manifest {
    /// Reads the payload whose digest a trusted document names.
    pub fn parse(payload: &[u8], expected_sha256: &Hex<32>) -> Result<Self, ManifestError> {
        within(payload)?;
        let got = Hex::sha256(payload);
        if got != *expected_sha256 {
            return Err(ManifestError::Digest { expected: *expected_sha256, got });
        }
        document::read(payload, got)
    }

    /// Reads the payload that a charter's dataset entry names, and holds it against that entry.
    pub fn admit(payload: &[u8], tenant: &str, dataset: &charter::Dataset) -> Result<Self, ManifestError> {
        let manifest = Self::parse(payload, &dataset.manifest_sha256)?;
        let scope = |field, expected: &str, got: &str| {
            if expected == got {
                return Ok(());
            }
            Err(ManifestError::Scope { field, expected: expected.into(), got: got.into() })
        };
        scope("tenant", tenant, &manifest.tenant)?;
        scope("dataset", &dataset.dataset_id, &manifest.dataset_id)?;
        scope("split", split_name(dataset.split), split_name(manifest.split))?;
        if manifest.version < dataset.min_version {
            return Err(ManifestError::Rollback { least: dataset.min_version, got: manifest.version });
        }
        Ok(manifest)
    }

    /// SHA-256 of the payload's bytes: how charters name this manifest.
    pub fn sha256(&self) -> Hex<32> {
        self.sha256
    }

    /// Name of the key that opens the objects.
    pub fn key_id(&self) -> KeyId {
        KeyId::Dataset { id: self.dataset_id.clone(), split: self.split }
    }

    /// What `object` was sealed as.
    pub fn context(&self, object: &ManifestObject) -> ObjectContext {
        ObjectContext {
            tenant: self.tenant.clone(),
            kind: object.kind,
            id: self.dataset_id.clone(),
            version: self.version,
            split: Some(self.split),
            name: object.name,
            index: object.index,
        }
    }

    /// A manifest that is being made; its objects, keys and terms follow.
    pub(crate) fn draft(
        tenant: String,
        dataset_id: String,
        version: u64,
        split: Split,
        split_commitment: Hex<32>,
    ) -> Self {
        Self {
            tenant,
            dataset_id,
            version,
            prev: None,
            split,
            length_bucket: Padding::default(),
            licence: String::new(),
            split_commitment,
            not_after: 0,
            objects: Vec::new(),
            keys: Vec::new(),
            sha256: Hex([0; 32]),
        }
    }

    /// Checks what needs no document but this one: set rule, names, version.
    fn checked(self) -> Result<Self, ManifestError> {
        let syntax = |what: &str| Err(ManifestError::Syntax { what: what.into() });
        if !is_id(&self.dataset_id) || self.tenant.is_empty() || self.tenant.len() > ID_MAX_BYTES {
            return syntax("expected tenant and dataset ids of 1 to 64 characters");
        }
        if (self.version == 1) != self.prev.is_none() || self.version == 0 {
            return syntax("expected a previous manifest for every version but 1");
        }
        self.set_rule()
    }

    /// Indices 0..n once each, names once each, one index object behind at least one shard.
    fn set_rule(mut self) -> Result<Self, ManifestError> {
        let set = |what: &str| Err(ManifestError::Set { what: what.into() });
        self.objects.sort_by_key(|object| object.index);
        if self.objects.iter().zip(0..).any(|(object, index)| object.index != index) {
            return set("expected object indices 0, 1, .. once each");
        }
        let mut names: Vec<_> = self.objects.iter().map(|object| object.name).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() != self.objects.len() {
            return set("expected every object name once");
        }
        match self.objects.split_last() {
            Some((index, shards))
                if index.kind == ObjectKind::Index
                    && !shards.is_empty()
                    && shards.iter().all(|shard| shard.kind == ObjectKind::Dataset) =>
            {
                Ok(self)
            }
            _ => set("expected shards of kind dataset, then one object of kind index"),
        }
    }
}

impl SignedManifest {
    /// Checks the owner's signature over an envelope, then reads its payload.
    pub fn open(envelope: &[u8], owner: &Hex<32>) -> Result<Self, ManifestError> {
        let envelope = Envelope::parse(envelope)?;
        let payload = envelope.verify(MANIFEST_PAYLOAD_TYPE, owner)?;
        let manifest = Manifest::parse(payload, &Hex::sha256(payload))?;
        Ok(Self { manifest, payload: payload.to_vec(), owner: *owner })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes that were signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The key that signed.
    pub fn owner(&self) -> Hex<32> {
        self.owner
    }
}

impl Envelope {
    /// Payload and signed envelope of a manifest that is being made.
    pub(crate) fn of_manifest(manifest: &Manifest, owner: &Ed25519KeyPair) -> Self {
        Self::sign(MANIFEST_PAYLOAD_TYPE, document::write(manifest), owner)
    }
}

/// RFC 6962 root over an object's upload parts: the first holds the header and 64 chunks, each further one
/// the next 64 chunks.
pub fn parts_root(sealed: &[u8]) -> Hex<32> {
    let (first, rest) = sealed.split_at(sealed.len().min(HEADER_BYTES + PART_BYTES));
    merkle_root(std::iter::once(first).chain(rest.chunks(PART_BYTES)))
}

fn split_name(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Test => "test",
    }
}

fn within(payload: &[u8]) -> Result<(), ManifestError> {
    if payload.len() > MANIFEST_MAX_BYTES {
        return Err(ManifestError::TooLarge { got: payload.len() });
    }
    Ok(())
}
