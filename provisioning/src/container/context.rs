use serde::Serialize;
use tiltyard_attestation::Hex;

use crate::keyid::Split;

/// What an object is: everything that must be the same when it is opened as when it was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectContext {
    pub tenant: String,
    pub kind: ObjectKind,
    /// Dataset id; for what a guest makes, the order's digest in hex.
    pub id: String,
    pub version: u64,
    pub split: Option<Split>,
    /// The object's pseudonym.
    pub name: Hex<16>,
    /// Position among the objects of its set.
    pub index: u32,
}

/// What a container is bound to beside its key: 32 bytes that are the same when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context([u8; 32]);

impl Context {
    /// Any 32 bytes, for containers of others; objects of ours have [`ObjectContext`].
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<&ObjectContext> for Context {
    fn from(object: &ObjectContext) -> Self {
        Self(object.digest())
    }
}

/// What an object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    /// Rows of one split.
    Dataset,
    /// Facts about the objects of one split.
    Index,
    /// An entrant's content.
    Submission,
    /// Trained weights.
    Artefact,
    /// A trainer's log.
    Log,
    /// Losses per held-out item.
    Losses,
}

impl ObjectContext {
    /// SHA-256(`tiltyard-object-v1 NUL` || JCS of the fields and `v: 1`): the container's context (PROVISIONING 13).
    pub fn digest(&self) -> [u8; 32] {
        let document = Document {
            v: 1,
            tenant: &self.tenant,
            kind: self.kind,
            id: &self.id,
            version: self.version,
            split: match self.split {
                None => "none",
                Some(Split::Train) => "train",
                Some(Split::Test) => "test",
            },
            name: self.name,
            index: self.index,
        };
        // Strings and integers only, which always serialise.
        Hex::tagged("tiltyard-object-v1", &serde_jcs::to_vec(&document).unwrap_or_default()).0
    }
}

#[derive(Serialize)]
struct Document<'a> {
    v: u8,
    tenant: &'a str,
    kind: ObjectKind,
    id: &'a str,
    version: u64,
    split: &'a str,
    name: Hex<16>,
    index: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_over_the_documented_text() {
        let context = ObjectContext {
            tenant: "acme".into(),
            kind: ObjectKind::Dataset,
            id: "nouns".into(),
            version: 3,
            split: Some(Split::Test),
            name: Hex([0xab; 16]),
            index: 7,
        };
        let text = "tiltyard-object-v1\0{\"id\":\"nouns\",\"index\":7,\"kind\":\"dataset\",\"name\":\"abababababababababababababababab\",\"split\":\"test\",\"tenant\":\"acme\",\"v\":1,\"version\":3}";
        assert_eq!(context.digest(), Hex::sha256(text.as_bytes()).0);
    }
}
