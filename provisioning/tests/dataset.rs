//! Sealing a dataset and opening its splits: the draw, the manifests, and what a host could swap.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use tiltyard_attestation::Hex;
use tiltyard_provisioning::charter;
use tiltyard_provisioning::dataset::{
    Fields, Format, Layout, Mapping, OpenError, OpenedSplit, SealError, SealKeys, SealParams, SealedDataset,
    SealedSplit, loss_leaf, losses_root, open_split, read_rows, seal_dataset,
};
use tiltyard_provisioning::dek::{Dek, Kek, WrapAad, WrapKind};
use tiltyard_provisioning::dsse::Envelope;
use tiltyard_provisioning::keyid::Split;
use tiltyard_provisioning::manifest::{
    MANIFEST_PAYLOAD_TYPE, Manifest, ManifestError, ManifestObject, Padding, SignedManifest, parts_root,
};
use tiltyard_provisioning::order::ItemLoss;
use zeroize::Zeroizing;

struct Owner {
    train: Dek,
    test: Dek,
    kek: Kek,
    signing: Ed25519KeyPair,
}

impl Owner {
    fn new() -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
        Self {
            train: Dek::generate(&rng).unwrap(),
            test: Dek::generate(&rng).unwrap(),
            kek: Kek::generate(&rng).unwrap(),
            signing: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap(),
        }
    }

    fn key(&self) -> Hex<32> {
        Hex::from_slice(self.signing.public_key().as_ref()).unwrap()
    }

    fn dek(&self, split: Split) -> &Dek {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }

    fn seal(&self, source: &str, params: &SealParams) -> Result<SealedDataset, SealError> {
        let rows = read_rows(Format::Jsonl, source.as_bytes(), &params.mapping).unwrap().rows;
        let keys = SealKeys { train: &self.train, test: &self.test, kek: &self.kek, owner: &self.signing };
        seal_dataset(rows, params, &keys, &SystemRandom::new())
    }

    fn open(&self, split: &SealedSplit) -> Result<OpenedSplit, OpenError> {
        open_with(split, self.dek(split.manifest.split), |name| object(split, name))
    }
}

fn open_with(
    split: &SealedSplit,
    dek: &Dek,
    fetch: impl Fn(&Hex<16>) -> io::Result<Vec<u8>>,
) -> Result<OpenedSplit, OpenError> {
    let manifest = Manifest::parse(&split.payload, &split.manifest.sha256()).unwrap();
    open_split(&manifest, dek, &mut |object: &ManifestObject| fetch(&object.name))
}

fn object(split: &SealedSplit, name: &Hex<16>) -> io::Result<Vec<u8>> {
    let found = split.objects.iter().find(|(own, _)| own == name);
    found.map(|(_, bytes)| bytes.clone()).ok_or(io::ErrorKind::NotFound.into())
}

fn params() -> SealParams {
    SealParams {
        tenant: "acme".into(),
        dataset_id: "contracts".into(),
        version: 1,
        prev: None,
        mapping: Mapping {
            fields: Fields::Instruct {
                instruction: "q".into(),
                input: None,
                output: "a".into(),
                system: None,
            },
            group_columns: vec![],
        },
        test_rows: 20,
        licence: "internal".into(),
        not_after: 1_800_000_000,
        layout: Layout { shard_bytes: 2048, ..Layout::default() },
    }
}

fn source(rows: usize) -> String {
    (0..rows)
        .map(|i| format!("{{\"q\":\"question {i}\",\"a\":\"answer {i}\",\"customer\":\"c{}\"}}\n", i / 5))
        .collect()
}

fn texts(split: &OpenedSplit) -> Vec<String> {
    split.rows.iter().map(|row| String::from_utf8(row.to_vec()).unwrap()).collect()
}

fn code(result: Result<OpenedSplit, OpenError>) -> &'static str {
    result.err().expect("must be refused").code()
}

#[test]
fn rows_come_back_exactly_once_on_one_side() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(200), &params()).unwrap();
    let (train, test) = (owner.open(&sealed.train).unwrap(), owner.open(&sealed.test).unwrap());
    assert_eq!((train.rows.len(), test.rows.len()), (180, 20));
    assert!(sealed.train.objects.len() > 3, "several shards");
    let all: BTreeSet<_> = texts(&train).into_iter().chain(texts(&test)).collect();
    let expected: BTreeSet<_> =
        (0..200).map(|i| format!("{{\"instruction\":\"question {i}\",\"output\":\"answer {i}\"}}")).collect();
    assert_eq!(all, expected);
    assert_eq!(train.fields, ["instruction", "output"]);
    // The seed is the test key's secret.
    assert!(train.split_seed.is_none());
    assert!(test.split_seed.is_some());
    assert_eq!(sealed.train.manifest.split_commitment, sealed.test.manifest.split_commitment);
}

#[test]
fn source_order_is_hidden() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(200), &params()).unwrap();
    let numbers: Vec<usize> = texts(&owner.open(&sealed.train).unwrap())
        .iter()
        .map(|row| row.split(['"', ' ']).filter_map(|word| word.parse().ok()).next().unwrap())
        .collect();
    assert!(!numbers.is_sorted(), "rows of a split are ordered by tag");
}

#[test]
fn every_sealing_draws_another_test_set() {
    let owner = Owner::new();
    let draws: Vec<_> = (0..2).map(|_| owner.seal(&source(200), &params()).unwrap()).collect();
    let tests: Vec<BTreeSet<_>> =
        draws.iter().map(|sealed| texts(&owner.open(&sealed.test).unwrap()).into_iter().collect()).collect();
    assert_ne!(tests[0], tests[1]);
    assert_ne!(draws[0].test.manifest.split_commitment, draws[1].test.manifest.split_commitment);
}

#[test]
fn equal_rows_and_groups_stay_on_one_side() {
    let owner = Owner::new();
    // Each row four times, far apart.
    let doubled = source(40).repeat(4);
    let sealed = owner.seal(&doubled, &params()).unwrap();
    let (train, test) = (owner.open(&sealed.train).unwrap(), owner.open(&sealed.test).unwrap());
    let sides = [texts(&train), texts(&test)].map(BTreeSet::from_iter);
    assert!(sides[0].is_disjoint(&sides[1]));
    assert_eq!(test.rows.len(), 20);
    assert_eq!(train.rows.len() + test.rows.len(), 160);

    let mut grouped = params();
    grouped.mapping.group_columns = vec!["customer".into()];
    grouped.test_rows = 12;
    let sealed = owner.seal(&source(100), &grouped).unwrap();
    let test = texts(&owner.open(&sealed.test).unwrap());
    assert_eq!(test.len(), 15, "whole groups of five");
    let mut customers = BTreeMap::new();
    for row in &test {
        let number: usize = row.split(['"', ' ']).filter_map(|word| word.parse().ok()).next().unwrap();
        *customers.entry(number / 5).or_insert(0) += 1;
    }
    assert!(customers.values().all(|rows| *rows == 5), "{customers:?}");
}

#[test]
fn equal_rows_of_two_groups_join_them() {
    let mut grouped = params();
    grouped.mapping.group_columns = vec!["customer".into()];
    grouped.test_rows = 1;
    // Customers 0-1-2 share rows in a chain; 3 stands alone.
    let source: String = [("x", 0), ("x", 1), ("y", 1), ("y", 2), ("z", 3)]
        .map(|(q, customer)| format!("{{\"q\":\"{q}\",\"a\":\"A\",\"customer\":{customer}}}\n"))
        .concat();
    let owner = Owner::new();
    for _ in 0..20 {
        let sealed = owner.seal(&source, &grouped).unwrap();
        let test = owner.open(&sealed.test).unwrap().rows.len();
        assert!(test == 1 || test == 4, "{test} rows for test");
    }
    let error = owner.seal(&source[..source.find("{\"q\":\"z\"").unwrap()], &grouped).err();
    assert!(matches!(error, Some(SealError::SplitEmpty(empty)) if empty.groups == 1));
}

#[test]
fn an_empty_side_is_refused() {
    let owner = Owner::new();
    for (rows, test_rows) in [(0, 1), (1, 1), (10, 0), (10, 10), (10, 11), (10, u64::MAX)] {
        let error = owner.seal(&source(rows), &SealParams { test_rows, ..params() }).err();
        let error = error.expect("must be refused");
        assert!(matches!(error, SealError::SplitEmpty(_)), "{rows} rows, {test_rows} for test");
        assert!(error.to_string().starts_with("E_SPLIT_EMPTY"), "{error}");
    }
    let same = "{\"q\":\"x\",\"a\":\"y\"}\n".repeat(50);
    assert!(matches!(owner.seal(&same, &params()), Err(SealError::SplitEmpty(empty)) if empty.groups == 1));
}

#[test]
fn plaintext_is_nowhere_in_what_is_handed_out() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(60), &params()).unwrap();
    for split in [&sealed.train, &sealed.test] {
        let handed_out: Vec<u8> = [
            split.envelope.clone(),
            split.payload.clone(),
            split.objects.iter().flat_map(|(_, b)| b.clone()).collect(),
        ]
        .concat();
        for canary in ["question 1", "answer 1", "instruction", "customer"] {
            assert!(!handed_out.windows(canary.len()).any(|window| window == canary.as_bytes()), "{canary}");
        }
        assert!(handed_out.windows(9).any(|window| window == b"contracts"), "positive control");
    }
}

#[test]
fn lengths_are_padded() {
    let owner = Owner::new();
    let lengths = |padding| {
        let layout = Layout { shard_bytes: 1 << 20, padding };
        let sealed = owner.seal(&source(60), &SealParams { layout, ..params() }).unwrap();
        assert_eq!(sealed.train.manifest.length_bucket, padding);
        assert_eq!(owner.open(&sealed.train).unwrap().rows.len(), 40);
        sealed.train.objects.iter().map(|(_, bytes)| bytes.len() as u64 - 72).collect::<Vec<_>>()
    };
    assert!(lengths(Padding::Bucket(8192)).iter().all(|len| len % 8192 == 0));
    assert!(lengths(Padding::None)[0] < lengths(Padding::Padme)[0]);
    for (shard_bytes, padding) in [
        (0, Padding::None),
        (1 << 31, Padding::None),
        (2048, Padding::Bucket(0)),
        (2048, Padding::Bucket(u64::MAX)),
    ] {
        let layout = Layout { shard_bytes, padding };
        let error = owner.seal(&source(60), &SealParams { layout, ..params() }).err();
        assert!(matches!(error, Some(SealError::Layout { .. })), "{layout:?}");
    }
}

#[test]
fn manifests_are_signed_and_say_what_hosts_check() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(200), &params()).unwrap();
    for (split, name) in [(&sealed.train, Split::Train), (&sealed.test, Split::Test)] {
        let signed = SignedManifest::open(&split.envelope, &owner.key()).unwrap();
        assert_eq!(signed.payload(), split.payload);
        let manifest = signed.manifest();
        assert_eq!(manifest, &split.manifest);
        assert_eq!(manifest.sha256(), Hex::sha256(&split.payload));
        assert_eq!(manifest.split, name);
        assert_eq!(manifest.objects.len(), split.objects.len());
        for (object, (name, bytes)) in manifest.objects.iter().zip(&split.objects) {
            assert_eq!(object.name, *name);
            assert_eq!(object.len, bytes.len() as u64);
            assert_eq!(object.sha256, Hex::sha256(bytes));
            assert_eq!(object.parts_root, parts_root(bytes));
        }
        let [key] = &manifest.keys[..] else { panic!("one key") };
        assert_eq!(key.key_id, manifest.key_id());
        let aad =
            WrapAad { key_id: key.key_id.to_string(), kek_id: key.kek_id, version: 1, kind: WrapKind::Dek };
        assert_eq!(owner.kek.unwrap(&key.wrapped_dek.0, &aad).unwrap()[..], owner.dek(name).expose()[..]);
    }
    let error = SignedManifest::open(&sealed.train.envelope, &Owner::new().key()).err().unwrap();
    assert_eq!(error.code(), "E_MANIFEST_SIG");
}

#[test]
fn every_changed_bit_of_a_manifest_is_refused() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(60), &SealParams { layout: Layout::default(), ..params() }).unwrap();
    let digest = sealed.train.manifest.sha256();
    for at in 0..sealed.train.payload.len() {
        let mut payload = sealed.train.payload.clone();
        payload[at] ^= 1;
        assert_eq!(Manifest::parse(&payload, &digest).unwrap_err().code(), "E_DIGEST");
        let mut envelope = Envelope::parse(&sealed.train.envelope).unwrap();
        envelope.payload = payload.into();
        let error = SignedManifest::open(&envelope.to_bytes(), &owner.key()).unwrap_err();
        assert_eq!(error.code(), "E_MANIFEST_SIG", "byte {at}");
    }
    let mut envelope = Envelope::parse(&sealed.train.envelope).unwrap();
    envelope.payload_type = "application/vnd.tiltyard.charter.v1+json".into();
    assert_eq!(
        SignedManifest::open(&envelope.to_bytes(), &owner.key()).unwrap_err().code(),
        "E_MANIFEST_SIG"
    );
}

/// The owner's own key signs them, so only the reader's rules stand in the way.
#[test]
fn manifests_that_break_the_set_rule_are_refused() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(200), &params()).unwrap();
    let good: serde_json::Value = serde_json::from_slice(&sealed.train.payload).unwrap();
    let refusal = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        let payload = serde_json::to_vec(&changed).unwrap();
        let envelope = Envelope::sign(MANIFEST_PAYLOAD_TYPE, payload, &owner.signing);
        SignedManifest::open(&envelope.to_bytes(), &owner.key()).map(|_| ()).map_err(|error| error.code())
    };
    fn list<'a>(value: &'a mut serde_json::Value, pointer: &str) -> &'a mut Vec<serde_json::Value> {
        value.pointer_mut(pointer).unwrap().as_array_mut().unwrap()
    }
    const OBJECTS: &str = "/predicate/objects";
    assert_eq!(refusal(&|_| ()), Ok(()));
    assert_eq!(refusal(&|m| drop(list(m, OBJECTS).remove(0))), Err("E_MANIFEST_SET"));
    assert_eq!(refusal(&|m| drop(list(m, "/subject").remove(0))), Err("E_MANIFEST_SET"));
    assert_eq!(refusal(&|m| list(m, "/subject").swap(0, 1)), Err("E_MANIFEST_SET"));
    let repeat = |m: &mut serde_json::Value, index: u64| {
        for pointer in [OBJECTS, "/subject"] {
            let first = list(m, pointer)[0].clone();
            list(m, pointer).push(first);
        }
        list(m, OBJECTS).last_mut().unwrap()["index"] = index.into();
    };
    assert_eq!(refusal(&|m| repeat(m, 0)), Err("E_MANIFEST_SET"));
    assert_eq!(refusal(&|m| repeat(m, list(&mut m.clone(), OBJECTS).len() as u64)), Err("E_MANIFEST_SET"));
    assert_eq!(refusal(&|m| list(m, OBJECTS)[0]["index"] = 99.into()), Err("E_MANIFEST_SET"));
    assert_eq!(refusal(&|m| list(m, OBJECTS)[0]["kind"] = "index".into()), Err("E_MANIFEST_SET"));
    for pointer in [OBJECTS, "/subject"] {
        assert!(refusal(&|m| list(m, pointer).clear()).is_err());
    }
    assert_eq!(
        refusal(&|m| {
            list(m, OBJECTS).clear();
            list(m, "/subject").clear();
        }),
        Err("E_MANIFEST_SET")
    );
    for (pointer, value) in [
        ("/predicate/version", serde_json::json!(2)),
        ("/predicate/version", serde_json::json!(0)),
        ("/predicate/version", serde_json::json!(1.0)),
        ("/predicate/not_after", serde_json::json!(1u64 << 53)),
        ("/predicate/kind", serde_json::json!("artefact")),
        ("/predicate/dataset_id", serde_json::json!("../contracts")),
        ("/predicate/split_commitment", serde_json::json!("00")),
        ("/predicateType", serde_json::json!("https://slsa.dev/provenance/v1")),
        ("/_type", serde_json::json!("https://in-toto.io/Statement/v0.1")),
    ] {
        assert_eq!(
            refusal(&|m| *m.pointer_mut(pointer).unwrap() = value.clone()),
            Err("E_SYNTAX"),
            "{pointer}"
        );
    }
    assert_eq!(refusal(&|m| m["predicate"]["extra"] = 1.into()), Err("E_SYNTAX"));
}

#[test]
fn the_charter_entry_decides_which_manifest_is_admitted() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(60), &params()).unwrap();
    let entry = charter::Dataset {
        dataset_id: "contracts".into(),
        split: Split::Train,
        manifest_sha256: sealed.train.manifest.sha256(),
        min_version: 1,
    };
    let admit = |payload: &[u8], tenant: &str, entry: &charter::Dataset| {
        Manifest::admit(payload, tenant, entry).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(admit(&sealed.train.payload, "acme", &entry), Ok(()));
    assert_eq!(admit(&sealed.test.payload, "acme", &entry), Err("E_DIGEST"));
    assert_eq!(admit(&sealed.train.payload, "evil", &entry), Err("E_MANIFEST_SCOPE"));
    let other = charter::Dataset { dataset_id: "letters".into(), ..entry.clone() };
    assert_eq!(admit(&sealed.train.payload, "acme", &other), Err("E_MANIFEST_SCOPE"));
    let swapped = charter::Dataset { split: Split::Test, ..entry.clone() };
    assert_eq!(admit(&sealed.train.payload, "acme", &swapped), Err("E_MANIFEST_SCOPE"));
    let newer = charter::Dataset { min_version: 2, ..entry.clone() };
    assert!(matches!(
        Manifest::admit(&sealed.train.payload, "acme", &newer),
        Err(ManifestError::Rollback { least: 2, got: 1 })
    ));
    assert_eq!(admit(&vec![b' '; 1024 * 1024 + 1], "acme", &entry), Err("E_TOO_LARGE"));
}

#[test]
fn the_other_splits_key_opens_nothing() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(60), &params()).unwrap();
    for (split, wrong) in [(&sealed.train, &owner.test), (&sealed.test, &owner.train)] {
        assert_eq!(code(open_with(split, wrong, |name| object(split, name))), "E_COMMITMENT");
    }
}

#[test]
fn swapped_objects_are_refused() {
    // One key for both datasets and splits: the manifest's headers and the contexts must do it alone.
    let owner = Owner::new();
    let (one, other) =
        (owner.seal(&source(60), &params()).unwrap(), owner.seal(&source(60), &params()).unwrap());
    let give = |bytes: Vec<u8>| move |_: &Hex<16>| Ok(bytes.clone());
    let index_of = |split: &SealedSplit| split.objects.last().unwrap().1.clone();
    let swapped = index_of(&other.train);
    let own_len = index_of(&one.train).len();
    let result = open_with(&one.train, &owner.train, give(swapped.clone()));
    assert_eq!(code(result), if swapped.len() == own_len { "E_HEADER_MISMATCH" } else { "E_DIGEST" });

    // First shards are padded to one length, so only header and context tell them apart.
    let first = |split: &SealedSplit| split.objects[0].clone();
    let (own_name, foreign) = (first(&one.train).0, first(&other.train).1);
    let fetch = |name: &Hex<16>| {
        if *name == own_name { Ok(foreign.clone()) } else { object(&one.train, name) }
    };
    assert_eq!(code(open_with(&one.train, &owner.train, fetch)), "E_HEADER_MISMATCH");

    // The owner signs a manifest over another dataset's objects by mistake: contexts still differ.
    let mut misnamed: serde_json::Value = serde_json::from_slice(&one.train.payload).unwrap();
    misnamed["predicate"]["dataset_id"] = "letters".into();
    let payload = serde_json::to_vec(&misnamed).unwrap();
    let manifest = Manifest::parse(&payload, &Hex::sha256(&payload)).unwrap();
    let opened = open_split(&manifest, &owner.train, &mut |o: &ManifestObject| object(&one.train, &o.name));
    assert_eq!(code(opened), "E_COMMITMENT");
}

#[test]
fn changed_missing_and_cut_objects_are_refused() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(200), &params()).unwrap();
    let with = |target: usize, change: fn(&mut Vec<u8>)| {
        let name = sealed.train.objects[target].0;
        let result = open_with(&sealed.train, &owner.train, |asked| {
            let mut bytes = object(&sealed.train, asked)?;
            if *asked == name {
                change(&mut bytes);
            }
            Ok(bytes)
        });
        code(result)
    };
    for target in 0..sealed.train.objects.len() {
        assert_eq!(with(target, |bytes| bytes[0] ^= 1), "E_HEADER_MISMATCH");
        assert_eq!(with(target, |bytes| bytes[60] ^= 1), "E_CHUNK_AUTH");
        assert_eq!(with(target, |bytes| bytes.truncate(bytes.len() - 1)), "E_DIGEST");
        assert_eq!(with(target, |bytes| bytes.clear()), "E_DIGEST");
    }
    let missing = open_with(&sealed.train, &owner.train, |_| Err(io::ErrorKind::NotFound.into()));
    assert_eq!(code(missing), "E_IO");
}

#[test]
fn a_commitment_to_another_seed_is_refused() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(60), &params()).unwrap();
    let mut changed: serde_json::Value = serde_json::from_slice(&sealed.test.payload).unwrap();
    changed["predicate"]["split_commitment"] = Hex([9; 32]).to_string().into();
    let payload = serde_json::to_vec(&changed).unwrap();
    let manifest = Manifest::parse(&payload, &Hex::sha256(&payload)).unwrap();
    let opened = open_split(&manifest, &owner.test, &mut |o: &ManifestObject| object(&sealed.test, &o.name));
    assert_eq!(code(opened), "E_SPLIT_COMMITMENT");
}

#[test]
fn item_ids_and_salts_come_from_the_seed() {
    let owner = Owner::new();
    let sealed = owner.seal(&source(60), &params()).unwrap();
    let first = owner.open(&sealed.test).unwrap();
    let again = owner.open(&sealed.test).unwrap();
    let (seed, row) = (first.split_seed.unwrap(), &first.rows[0]);
    let item = seed.item_id(row);
    assert_eq!(item, again.split_seed.unwrap().item_id(&again.rows[0]));
    let ids: BTreeSet<_> = first.rows.iter().map(|row| seed.item_id(row)).collect();
    assert_eq!(ids.len(), first.rows.len());
    assert_ne!(seed.loss_salt(&Hex([1; 32]), &item), seed.loss_salt(&Hex([2; 32]), &item));

    let loss = |loss_micro, labels| ItemLoss {
        item,
        loss_micro,
        labels,
        salt: seed.loss_salt(&Hex([1; 32]), &item),
    };
    let leaves = [loss(None, 3), loss(Some(0), 3), loss(Some(3), 3), loss(Some(3), 4)];
    let distinct: BTreeSet<_> = leaves.iter().map(loss_leaf).collect();
    assert_eq!(distinct.len(), leaves.len());
    assert_ne!(losses_root(&leaves), losses_root(&leaves[..3]));
}

#[test]
fn a_thousand_rows_keep_their_bytes() {
    let owner = Owner::new();
    let long: String = (0..1000)
        .map(|i| format!("{{\"q\":\"{}\",\"a\":\"\\u0000\\t\u{1f600}{i}\"}}\n", "é".repeat(i % 300) + "x"))
        .collect();
    let rows = read_rows(Format::Jsonl, long.as_bytes(), &params().mapping).unwrap().rows;
    let expected: BTreeSet<Vec<u8>> = rows.iter().map(|row| row.canonical().to_vec()).collect();
    let sealed = owner.seal(&long, &params()).unwrap();
    let opened: Vec<Zeroizing<Vec<u8>>> =
        [&sealed.train, &sealed.test].into_iter().flat_map(|split| owner.open(split).unwrap().rows).collect();
    assert_eq!(opened.len(), 1000);
    assert_eq!(opened.iter().map(|row| row.to_vec()).collect::<BTreeSet<_>>(), expected);
}
