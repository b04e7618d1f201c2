//! The manifest's wire form (in-toto Statement v1), read strictly and written canonically.

use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;

use super::{MANIFEST_MAX_BYTES, Manifest, ManifestError, ManifestObject, Padding, WrappedKey};
use crate::container::ObjectKind;
use crate::json;
use crate::keyid::Split;

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://tiltyard/manifest/v1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: Hex<16>,
    digest: DigestSet,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestSet {
    sha256: Hex<32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    tenant: String,
    dataset_id: String,
    version: u64,
    prev_manifest_sha256: Option<Hex<32>>,
    kind: ObjectKind,
    split: Split,
    length_bucket: Padding,
    licence: String,
    split_commitment: Hex<32>,
    not_after: u64,
    objects: Vec<Object>,
    keys: Vec<WrappedKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    name: Hex<16>,
    kind: ObjectKind,
    header: Hex<56>,
    len: u64,
    parts_root: Hex<32>,
    index: u32,
}

pub(super) fn read(payload: &[u8], sha256: Hex<32>) -> Result<Manifest, ManifestError> {
    let statement: Statement = json::read(payload, MANIFEST_MAX_BYTES)
        .map_err(|error| ManifestError::Syntax { what: error.to_string() })?;
    if statement.statement_type != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
        return Err(ManifestError::Syntax {
            what: format!("expected a statement {STATEMENT_TYPE} with predicate {PREDICATE_TYPE}"),
        });
    }
    let predicate = statement.predicate;
    if predicate.kind != ObjectKind::Dataset {
        return Err(ManifestError::Syntax { what: "expected kind dataset".into() });
    }
    Manifest {
        objects: joined(&statement.subject, predicate.objects)?,
        tenant: predicate.tenant,
        dataset_id: predicate.dataset_id,
        version: predicate.version,
        prev: predicate.prev_manifest_sha256,
        split: predicate.split,
        length_bucket: predicate.length_bucket,
        licence: predicate.licence,
        split_commitment: predicate.split_commitment,
        not_after: predicate.not_after,
        keys: predicate.keys,
        sha256,
    }
    .checked()
}

/// Each subject belongs to the object at its place; so neither list can have one that the other lacks.
fn joined(subjects: &[Subject], objects: Vec<Object>) -> Result<Vec<ManifestObject>, ManifestError> {
    if subjects.len() != objects.len() {
        return Err(ManifestError::Set {
            what: format!("expected {} subjects, found {}", objects.len(), subjects.len()),
        });
    }
    let pairs = subjects.iter().zip(objects);
    pairs
        .map(|(subject, object)| {
            if subject.name != object.name {
                return Err(ManifestError::Set {
                    what: format!("expected subject {}, found {}", object.name, subject.name),
                });
            }
            Ok(ManifestObject {
                name: object.name,
                header: object.header,
                len: object.len,
                sha256: subject.digest.sha256,
                parts_root: object.parts_root,
                index: object.index,
                kind: object.kind,
            })
        })
        .collect()
}

pub(super) fn write(manifest: &Manifest) -> Vec<u8> {
    let statement = Statement {
        statement_type: STATEMENT_TYPE.into(),
        subject: manifest
            .objects
            .iter()
            .map(|object| Subject { name: object.name, digest: DigestSet { sha256: object.sha256 } })
            .collect(),
        predicate_type: PREDICATE_TYPE.into(),
        predicate: Predicate {
            tenant: manifest.tenant.clone(),
            dataset_id: manifest.dataset_id.clone(),
            version: manifest.version,
            prev_manifest_sha256: manifest.prev,
            kind: ObjectKind::Dataset,
            split: manifest.split,
            length_bucket: manifest.length_bucket,
            licence: manifest.licence.clone(),
            split_commitment: manifest.split_commitment,
            not_after: manifest.not_after,
            objects: manifest
                .objects
                .iter()
                .map(|object| Object {
                    name: object.name,
                    kind: object.kind,
                    header: object.header,
                    len: object.len,
                    parts_root: object.parts_root,
                    index: object.index,
                })
                .collect(),
            keys: manifest.keys.clone(),
        },
    };
    // Strings, integers and lists only, which always serialise.
    serde_jcs::to_vec(&statement).unwrap_or_default()
}
