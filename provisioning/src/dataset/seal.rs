use ring::rand::SecureRandom;
use ring::signature::Ed25519KeyPair;
use tiltyard_attestation::Hex;
use zeroize::Zeroizing;

use super::index::{Drawn, Index, IndexShard, SealedSeed};
use super::mapping::Mapping;
use super::rows::Row;
use super::shard::{SHARD_MAX_BYTES, next_shard};
use super::split::{SplitEmpty, SplitSeed, SplitTerms, draw};
use crate::container::{self, ContainerError, ObjectKind};
use crate::dek::{Dek, Kek, KeyError, WRAP_ALGORITHM, WrapAad, WrapKind};
use crate::dsse::Envelope;
use crate::keyid::Split;
use crate::manifest::{
    MANIFEST_MAX_BYTES, Manifest, ManifestError, ManifestObject, Padding, WrappedKey, parts_root,
};

/// Plaintext of one shard, in bytes, unless asked otherwise.
pub const SHARD_BYTES: u64 = 256 << 20;

/// What the owner says about a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealParams {
    pub tenant: String,
    pub dataset_id: String,
    /// From 1; rises with every sealing of this dataset.
    pub version: u64,
    /// Manifest digests of the version before; none at version 1.
    pub prev: Option<PrevManifests>,
    /// The mapping that the rows were read with.
    pub mapping: Mapping,
    /// Least number of test rows; whole groups are taken, so there may be more.
    pub test_rows: u64,
    pub licence: String,
    /// Unix seconds, inclusive.
    pub not_after: u64,
    pub layout: Layout,
}

/// Manifest digests of the version before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrevManifests {
    pub train: Hex<32>,
    pub test: Hex<32>,
}

/// How rows are cut into objects, and how their lengths are hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Plaintext of one shard, in bytes; at most 1 GiB.
    pub shard_bytes: u64,
    pub padding: Padding,
}

/// The keys of one sealing: each split has its own data key.
pub struct SealKeys<'a> {
    pub train: &'a Dek,
    pub test: &'a Dek,
    /// Wraps both in the manifests.
    pub kek: &'a Kek,
    /// Signs both manifests.
    pub owner: &'a Ed25519KeyPair,
}

/// Both splits, ready to be handed to anyone.
pub struct SealedDataset {
    pub train: SealedSplit,
    pub test: SealedSplit,
}

/// One split: ciphertext and its signed manifest.
pub struct SealedSplit {
    pub manifest: Manifest,
    /// DSSE envelope of the manifest.
    pub envelope: Vec<u8>,
    /// The signed bytes, whose digest charters name.
    pub payload: Vec<u8>,
    /// Pseudonym and ciphertext of each object, in the manifest's order.
    pub objects: Vec<(Hex<16>, Vec<u8>)>,
}

/// Why a dataset could not be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    #[error(transparent)]
    SplitEmpty(#[from] SplitEmpty),
    #[error("E_LAYOUT: expected shards and buckets of 1 to {SHARD_MAX_BYTES} bytes, found {got}")]
    Layout { got: u64 },
    #[error("E_TOO_LARGE: the manifest would exceed {MANIFEST_MAX_BYTES} bytes\nChoose larger shards.")]
    TooManyShards,
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Container(#[from] ContainerError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Default for Layout {
    fn default() -> Self {
        Self { shard_bytes: SHARD_BYTES, padding: Padding::default() }
    }
}

/// Splits rows by a fresh secret seed, and seals and signs both sides.
///
/// Errors: `E_SPLIT_EMPTY`, `E_LAYOUT`, and whatever the manifest's own rules refuse.
pub fn seal_dataset(
    rows: Vec<Row>,
    params: &SealParams,
    keys: &SealKeys<'_>,
    rng: &dyn SecureRandom,
) -> Result<SealedDataset, SealError> {
    params.layout.check()?;
    let seed = SplitSeed::draw(rng)?;
    let terms = SplitTerms::new(&params.mapping, params.test_rows, rows.len() as u64);
    let sides = draw(rows, &seed, params.test_rows)?;
    let sealing = Sealing { params, keys, seed: &seed, commitment: seed.commitment(&terms), rng };
    let drawn = Drawn { seed: SealedSeed::of(&seed), terms };
    Ok(SealedDataset {
        train: sealing.split(Split::Train, &sides.train, None)?,
        test: sealing.split(Split::Test, &sides.test, Some(drawn))?,
    })
}

impl Layout {
    fn check(&self) -> Result<(), SealError> {
        let bucket = match self.padding {
            Padding::Bucket(bytes) => bytes,
            Padding::None | Padding::Padme => 1,
        };
        match [self.shard_bytes, bucket].into_iter().find(|bytes| !(1..=SHARD_MAX_BYTES).contains(bytes)) {
            Some(got) => Err(SealError::Layout { got }),
            None => Ok(()),
        }
    }
}

struct Sealing<'a> {
    params: &'a SealParams,
    keys: &'a SealKeys<'a>,
    seed: &'a SplitSeed,
    commitment: Hex<32>,
    rng: &'a dyn SecureRandom,
}

impl Sealing<'_> {
    fn split(
        &self,
        split: Split,
        rows: &[Zeroizing<Vec<u8>>],
        drawn: Option<Drawn>,
    ) -> Result<SealedSplit, SealError> {
        let Layout { shard_bytes, padding } = self.params.layout;
        let mut manifest = self.manifest(split)?;
        let mut index = Index {
            v: 1,
            split,
            kind: self.params.mapping.fields.kind().into(),
            fields: self.params.mapping.canonical_fields(),
            rows: rows.len() as u64,
            shards: Vec::new(),
            rows_root: self.seed.rows_root(rows),
            drawn,
        };
        let mut objects = Vec::new();
        let mut left = rows;
        while !left.is_empty() {
            let (plaintext, taken) = next_shard(&mut left, shard_bytes, padding);
            let object = self.object(&mut manifest, ObjectKind::Dataset, &plaintext)?;
            index.shards.push(IndexShard { name: object.0, rows: taken.len() as u64 });
            objects.push(object);
        }
        objects.push(self.object(&mut manifest, ObjectKind::Index, &index.to_plaintext(padding))?);

        let envelope = Envelope::of_manifest(&manifest, self.keys.owner);
        if envelope.payload.0.len() > MANIFEST_MAX_BYTES {
            return Err(SealError::TooManyShards);
        }
        // Reading it back holds what was written to the rules that every reader will apply.
        let manifest = Manifest::parse(&envelope.payload.0, &Hex::sha256(&envelope.payload.0))?;
        Ok(SealedSplit { manifest, envelope: envelope.to_bytes(), payload: envelope.payload.0, objects })
    }

    /// Seals one object and lists it.
    fn object(
        &self,
        manifest: &mut Manifest,
        kind: ObjectKind,
        plaintext: &[u8],
    ) -> Result<(Hex<16>, Vec<u8>), SealError> {
        let mut object = ManifestObject {
            name: container::random_name(self.rng)?,
            header: Hex([0; 56]),
            len: 0,
            sha256: Hex([0; 32]),
            parts_root: Hex([0; 32]),
            index: manifest.objects.len() as u32,
            kind,
        };
        let bytes =
            container::seal(self.dek(manifest.split), &manifest.context(&object), plaintext, self.rng)?;
        object.header = container::header_of(&bytes)?;
        object.len = bytes.len() as u64;
        object.sha256 = Hex::sha256(&bytes);
        object.parts_root = parts_root(&bytes);
        let name = object.name;
        manifest.objects.push(object);
        Ok((name, bytes))
    }

    /// The manifest without its objects.
    fn manifest(&self, split: Split) -> Result<Manifest, SealError> {
        let prev = self.params.prev.map(|prev| match split {
            Split::Train => prev.train,
            Split::Test => prev.test,
        });
        let mut manifest = Manifest::draft(
            self.params.tenant.clone(),
            self.params.dataset_id.clone(),
            self.params.version,
            split,
            self.commitment,
        );
        manifest.prev = prev;
        manifest.length_bucket = self.params.layout.padding;
        manifest.licence.clone_from(&self.params.licence);
        manifest.not_after = self.params.not_after;
        manifest.keys.push(self.wrapped(&manifest)?);
        Ok(manifest)
    }

    fn wrapped(&self, manifest: &Manifest) -> Result<WrappedKey, SealError> {
        let (key_id, kek_id) = (manifest.key_id(), self.keys.kek.id());
        let aad =
            WrapAad { key_id: key_id.to_string(), kek_id, version: manifest.version, kind: WrapKind::Dek };
        let wrapped = self.keys.kek.wrap(self.dek(manifest.split).expose(), &aad, self.rng)?;
        Ok(WrappedKey { key_id, kek_id, wrapped_dek: wrapped.into(), wrap_alg: WRAP_ALGORITHM.into() })
    }

    fn dek(&self, split: Split) -> &Dek {
        match split {
            Split::Train => self.keys.train,
            Split::Test => self.keys.test,
        }
    }
}
