//! Sealed objects that a host changed or swapped, opened with the key that a broker really released.

use std::collections::BTreeMap;
use std::io;

use tiltyard_attestation::Hex;
use tiltyard_provisioning::container::{self, HEADER_BYTES};
use tiltyard_provisioning::dataset::{OpenedSplit, open_split};
use tiltyard_provisioning::dek::Dek;
use tiltyard_provisioning::keyid::Split;
use tiltyard_provisioning::manifest::Manifest;

use crate::parties::{DATASETS, TENANT, parties, rows};
use crate::yard::{Yard, key_of};

/// The training key of the first dataset, released to an attested trainer.
fn released() -> Dek {
    let yard = Yard::open();
    let trainer = yard.referee().launches_trainer("t1");
    let answer = yard.attest(&trainer, &[key_of(Split::Train)]).unwrap();
    Dek::from_bytes(trainer.opens(&answer, &key_of(Split::Train)).unwrap().into()).unwrap()
}

/// The manifest that the charter names, admitted as a guest admits it.
fn manifest(id: &str) -> Manifest {
    let (named, payload) = parties().dataset(id, Split::Train);
    Manifest::admit(payload, TENANT, named).unwrap()
}

/// What a guest makes of a split whose objects a host hands out.
fn open(
    manifest: &Manifest,
    dek: &Dek,
    hosts: &BTreeMap<Hex<16>, Vec<u8>>,
) -> Result<OpenedSplit, &'static str> {
    open_split(manifest, dek, &mut |object| {
        hosts.get(&object.name).cloned().ok_or(io::ErrorKind::NotFound.into())
    })
    .map_err(|error| error.code())
}

/// Objects by name, as an honest host hands them out.
fn honest(manifest: &Manifest) -> BTreeMap<Hex<16>, Vec<u8>> {
    manifest.objects.iter().map(|object| (object.name, parties().objects[&object.sha256].clone())).collect()
}

#[test]
fn changed_sealed_byte() {
    let (dek, manifest) = (released(), manifest(DATASETS[0]));
    let hosts = honest(&manifest);
    let opened = open(&manifest, &dek, &hosts).unwrap_or_else(|code| panic!("positive control: {code}"));
    let source = rows(DATASETS[0]);
    assert!(opened.rows.iter().all(|row| {
        let row: serde_json::Value = serde_json::from_slice(row).unwrap();
        String::from_utf8_lossy(&source).contains(row["instruction"].as_str().unwrap())
    }));

    for object in &manifest.objects {
        let len = hosts[&object.name].len();
        let after_flipping = |at: usize| {
            let mut hosts = hosts.clone();
            hosts.get_mut(&object.name).unwrap()[at] ^= 1;
            open(&manifest, &dek, &hosts).err()
        };
        assert_eq!(after_flipping(0), Some("E_HEADER_MISMATCH"), "salt");
        assert_eq!(after_flipping(HEADER_BYTES - 1), Some("E_HEADER_MISMATCH"), "commitment");
        assert_eq!(after_flipping(HEADER_BYTES), Some("E_CHUNK_AUTH"), "ciphertext");
        assert_eq!(after_flipping(len - 1), Some("E_CHUNK_AUTH"), "tag");
        let mut cut = hosts.clone();
        cut.get_mut(&object.name).unwrap().pop();
        assert_eq!(open(&manifest, &dek, &cut).err(), Some("E_DIGEST"), "cut");
    }
}

#[test]
fn swapped_objects_of_two_datasets() {
    let dek = released();
    let (own, other) = (manifest(DATASETS[0]), manifest(DATASETS[1]));
    let foreign = honest(&other);
    assert_eq!(own.objects.len(), other.objects.len());
    for (mine, theirs) in own.objects.iter().zip(&other.objects) {
        assert_eq!(mine.len, theirs.len, "only cryptography tells them apart");
        let mut hosts = honest(&own);
        hosts.insert(mine.name, foreign[&theirs.name].clone());
        assert_eq!(open(&own, &dek, &hosts).err(), Some("E_HEADER_MISMATCH"));
        // Without the manifest's header the commitment still refuses: it holds key and purpose.
        let swapped = container::open(&dek, &own.context(mine), &foreign[&theirs.name]);
        assert_eq!(swapped.unwrap_err().code(), "E_COMMITMENT");
    }

    // With the manifest swapped along: the charter names another digest.
    let (named, _) = parties().dataset(DATASETS[0], Split::Train);
    let (_, payload) = parties().dataset(DATASETS[1], Split::Train);
    assert_eq!(Manifest::admit(payload, TENANT, named).unwrap_err().code(), "E_DIGEST");
    // With everything swapped: this key opens nothing of that dataset.
    assert_eq!(open(&other, &dek, &foreign).err(), Some("E_COMMITMENT"));
}

#[test]
fn test_split_in_place_of_the_training_split() {
    let dek = released();
    let (named, payload) = parties().dataset(DATASETS[0], Split::Test);
    let test = Manifest::admit(payload, TENANT, named).unwrap();
    assert_eq!(open(&test, &dek, &honest(&test)).err(), Some("E_COMMITMENT"));
}
