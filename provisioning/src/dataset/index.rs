//! The sealed index of one split: what must not stand in the manifest (PROVISIONING 2, "Hiding metadata").

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tiltyard_attestation::Hex;
use zeroize::Zeroizing;

use super::shard::rounded;
use super::split::{SplitSeed, SplitTerms};
use crate::keyid::Split;
use crate::manifest::Padding;

/// Content of an index object.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    pub(super) v: u8,
    pub(super) split: Split,
    /// What the rows are for: instruct, chat, dpo or grpo.
    pub(super) kind: String,
    /// Fields that rows may have.
    pub(super) fields: Vec<String>,
    pub(super) rows: u64,
    pub(super) shards: Vec<IndexShard>,
    pub(super) rows_root: Hex<32>,
    /// Test split only.
    pub(super) drawn: Option<Drawn>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexShard {
    pub(super) name: Hex<16>,
    pub(super) rows: u64,
}

/// Opens the split commitment.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drawn {
    pub(super) seed: SealedSeed,
    pub(super) terms: SplitTerms,
}

/// The split seed on its way into or out of the sealed index, which is the only place it is written to.
pub(super) struct SealedSeed(pub(super) Zeroizing<[u8; 32]>);

impl Index {
    /// Canonical JSON; spaces behind it hide its length.
    pub(super) fn to_plaintext(&self, padding: Padding) -> Zeroizing<Vec<u8>> {
        // Strings, integers and lists only, which always serialise.
        let text = Zeroizing::new(serde_jcs::to_vec(self).unwrap_or_default());
        let padded = rounded(text.len() as u64, padding) as usize;
        let mut out = Zeroizing::new(Vec::with_capacity(padded));
        out.extend_from_slice(&text);
        out.resize(padded, b' ');
        out
    }

    /// Reads an index; nothing of it is in the error.
    pub(super) fn from_plaintext(plaintext: &[u8]) -> Option<Self> {
        serde_json::from_slice(plaintext).ok().filter(|index: &Self| index.v == 1)
    }
}

impl SealedSeed {
    pub(super) fn of(seed: &SplitSeed) -> Self {
        Self(Zeroizing::new(*seed.expose()))
    }
}

impl Serialize for SealedSeed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(Hex(*self.0).to_string()))
    }
}

impl<'de> Deserialize<'de> for SealedSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let seed: Hex<32> = text.parse().map_err(|_| D::Error::custom("expected 64 hex digits"))?;
        Ok(Self(Zeroizing::new(seed.0)))
    }
}
