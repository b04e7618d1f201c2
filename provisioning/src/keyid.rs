//! Names of the keys that brokers release (PROVISIONING 4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;

/// Longest dataset or tournament id, in bytes.
pub const ID_MAX_BYTES: usize = 64;

/// Which half of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    Train,
    Test,
}

/// One key, by what it opens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyId {
    /// `dataset/<id>/<train|test>`
    Dataset { id: String, split: Split },
    /// `submission/<submission id>`
    Submission(Hex<32>),
    /// `artefact/<digest of the train order>`: deposited by the trainer.
    Artefact(Hex<32>),
    /// `log/<digest of the order>`: a trainer's log, or an evaluator's item losses for the owner; deposited by
    /// the guest, released to none.
    Log(Hex<32>),
    /// `draw/<tournament>`: the referee's draw seed, deposited by it.
    Draw(String),
}

/// Key ids as a charter names them: one, or all of a kind whose members come after the charter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPattern {
    One(KeyId),
    /// `submission/*`: entries come after launch; the order pins which.
    Submissions,
    /// `artefact/*`: deposited by trainers; the order pins which.
    Artefacts,
}

impl KeyPattern {
    /// Whether this pattern names `key`.
    pub fn names(&self, key: &KeyId) -> bool {
        match (self, key) {
            (Self::One(one), key) => one == key,
            (Self::Submissions, KeyId::Submission(_)) | (Self::Artefacts, KeyId::Artefact(_)) => true,
            (Self::Submissions | Self::Artefacts, _) => false,
        }
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(key) => key.fmt(f),
            Self::Submissions => f.write_str("submission/*"),
            Self::Artefacts => f.write_str("artefact/*"),
        }
    }
}

impl FromStr for KeyPattern {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        match text {
            "submission/*" => Ok(Self::Submissions),
            "artefact/*" => Ok(Self::Artefacts),
            _ => text.parse().map(Self::One),
        }
    }
}

impl Serialize for KeyPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyPattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a key id was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "key id: expected dataset/<id>/train, dataset/<id>/test, submission/<hex>, artefact/<hex>, log/<hex> or draw/<id>; ids are 1 to {ID_MAX_BYTES} of a-z, 0-9, '-', '_'"
)]
pub struct KeyIdError;

/// True for 1 to [`ID_MAX_BYTES`] characters of `a-z`, `0-9`, `-`, `_`.
pub fn is_id(text: &str) -> bool {
    (1..=ID_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset { id, split: Split::Train } => write!(f, "dataset/{id}/train"),
            Self::Dataset { id, split: Split::Test } => write!(f, "dataset/{id}/test"),
            Self::Submission(id) => write!(f, "submission/{id}"),
            Self::Artefact(order) => write!(f, "artefact/{order}"),
            Self::Log(order) => write!(f, "log/{order}"),
            Self::Draw(tournament) => write!(f, "draw/{tournament}"),
        }
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let parts: Vec<&str> = text.split('/').collect();
        let digest = |hex: &str| hex.parse::<Hex<32>>().map_err(|_| KeyIdError);
        match parts.as_slice() {
            ["dataset", id, "train"] if is_id(id) => {
                Ok(Self::Dataset { id: (*id).into(), split: Split::Train })
            }
            ["dataset", id, "test"] if is_id(id) => {
                Ok(Self::Dataset { id: (*id).into(), split: Split::Test })
            }
            ["submission", hex] => digest(hex).map(Self::Submission),
            ["artefact", hex] => digest(hex).map(Self::Artefact),
            ["log", hex] => digest(hex).map(Self::Log),
            ["draw", id] if is_id(id) => Ok(Self::Draw((*id).into())),
            _ => Err(KeyIdError),
        }
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
