//! COL-01, COL-02, COL-04: collateral in one signed file.

use std::collections::BTreeMap;

use ring::signature::{Ed25519KeyPair, KeyPair};
use tiltyard_attestation::collateral::{Bundle, BundleError, Item, ItemKind, Manifest};
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{CheckId, Code, Collateral, Hex, Verdict};

use crate::minted::{Guest, NOW, Setup, file, findings};

const DAY_S: u64 = 86_400;

fn signer() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap()
}

fn key() -> Hex<32> {
    Hex::from_slice(signer().public_key().as_ref()).unwrap()
}

/// A bundle with one list of AMD's, edited before it is signed and after.
fn bundle(edit: impl FnOnce(&mut Manifest), bend: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Vec<u8> {
    let list = file("good.crl").0;
    let item = Item {
        kind: ItemKind::AmdCrl,
        id: "turin".to_owned(),
        sha256: Hex::sha256(&list),
        len_bytes: list.len() as u64,
        not_before: Some(NOW - DAY_S),
        not_after: Some(NOW + DAY_S),
        fetched_at: NOW - DAY_S,
    };
    let mut items = BTreeMap::from([(item.to_string(), list)]);
    let mut manifest = Manifest { v: 1, created_at: NOW - DAY_S, expires_at: NOW + DAY_S, items: vec![item] };
    edit(&mut manifest);
    let signature = signer().sign(&manifest.signed_bytes());
    bend(&mut items);
    manifest.archive(signature.as_ref().try_into().unwrap(), &items)
}

fn with(bytes: &[u8], key: &Hex<32>, level: Level) -> Setup {
    let setup = if level == Level::Lab { Setup::lab() } else { Setup::above(level) };
    Setup { collateral: Collateral::from_bundle(bytes, key), ..setup }
}

#[test]
fn a_whole_bundle_in_its_time_is_used() {
    let bytes = bundle(|_| {}, |_| {});
    let result = with(&bytes, &key(), Level::Lab).appraise(&Guest::turin().evidence()).unwrap();
    for id in [CheckId::Col01, CheckId::Col02, CheckId::Col04, CheckId::Snp08] {
        let row = result.trace().iter().find(|row| row.check == id).unwrap();
        assert_eq!(row.verdict, Verdict::Pass, "{id}");
    }
}

#[test]
fn col_01_another_key_and_another_item() {
    let evidence = Guest::turin().evidence();
    let bytes = bundle(|_| {}, |_| {});
    let refused = |bytes: &[u8], key| findings(with(bytes, key, Level::Lab).appraise(&evidence));
    let signature = (CheckId::Col01, Code::BundleSignature);
    assert_eq!(refused(&bytes, &Hex([1; 32])), [signature]);
    let changed = bundle(|_| {}, |items| items.values_mut().for_each(|list| list[9] ^= 1));
    assert_eq!(refused(&changed, &key()), [(CheckId::Col01, Code::ItemDigest)]);
    let dropped = bundle(|_| {}, BTreeMap::clear);
    assert!(matches!(Bundle::open(&dropped, &key()), Err(BundleError::NotThere { .. })));
    let added = bundle(|_| {}, |items| drop(items.insert("amd/crl-more".to_owned(), vec![1])));
    assert!(matches!(Bundle::open(&added, &key()), Err(BundleError::NotListed { .. })));
    for len in [0, 1, 511, 512, bytes.len() - 1] {
        assert!(Bundle::open(&bytes[..len], &key()).is_err(), "{len}");
    }
    assert!(Bundle::open(&[bytes.as_slice(), &[0]].concat(), &key()).is_err());
    let version = bundle(|manifest| manifest.v = 2, |_| {});
    assert_eq!(Bundle::open(&version, &key()).map(|_| ()), Err(BundleError::Manifest));
}

#[test]
fn col_02_a_bundle_without_what_the_evidence_needs() {
    let bytes = bundle(|manifest| manifest.items.clear(), BTreeMap::clear);
    let got = findings(with(&bytes, &key(), Level::Lab).appraise(&Guest::turin().evidence()));
    assert_eq!(got, [(CheckId::Col02, Code::CollateralMissing)]);
}

#[test]
fn col_04_a_bundle_that_expired_or_is_of_the_future() {
    let evidence = Guest::turin().evidence();
    let at = |edit: fn(&mut Manifest), level| with(&bundle(edit, |_| {}), &key(), level).appraise(&evidence);
    let expired: fn(&mut Manifest) = |manifest| manifest.expires_at = NOW - 1;
    let future: fn(&mut Manifest) = |manifest| manifest.created_at = NOW + 1;
    for (edit, code) in [(expired, Code::CollateralStale), (future, Code::ClockBehind)] {
        for level in [Level::Standard, Level::Strict] {
            assert!(findings(at(edit, level)).contains(&(CheckId::Col04, code)), "{level:?}");
        }
        assert!(at(edit, Level::Lab).is_ok(), "lab warns");
    }
}

/// A set is made for each FMSPC and each authority, with copies of what they share: a bundle within its limits could
/// ask for hundreds of gigabytes of them.
#[test]
fn more_sets_than_any_verifier_takes_are_refused_before_they_are_made() {
    let content = b"not looked at";
    let item = |kind, id: String| Item {
        kind,
        id,
        sha256: Hex::sha256(content),
        len_bytes: content.len() as u64,
        not_before: None,
        not_after: None,
        fetched_at: NOW,
    };
    let sets = |fmspcs: usize, authorities: usize| {
        let infos = (0..fmspcs).map(|at| item(ItemKind::IntelTcbInfo, format!("{at:04}")));
        let lists = (0..authorities).map(|at| item(ItemKind::IntelPckCrl, format!("{at:04}")));
        let items: Vec<Item> = infos.chain(lists).collect();
        let files = items.iter().map(|item| (item.to_string(), content.to_vec())).collect();
        let manifest = Manifest { v: 1, created_at: NOW - DAY_S, expires_at: NOW + DAY_S, items };
        let signature = signer().sign(&manifest.signed_bytes());
        let bytes = manifest.archive(signature.as_ref().try_into().unwrap(), &files);
        Bundle::open(&bytes, &key()).unwrap().collateral().unwrap_err()
    };
    assert_eq!(sets(65, 1), BundleError::TooManySets { limit: 64, got: 65 });
    assert_eq!(sets(512, 510), BundleError::TooManySets { limit: 64, got: 261_120 });
    assert!(matches!(sets(32, 2), BundleError::NotThere { .. } | BundleError::Item { .. }));
}

/// `tcbinfo-` and `chain-x` make the same name as `tcbinfo-chain-` and `x`: one member can't be two items.
#[test]
fn a_member_stands_for_one_item() {
    let content = b"one member".to_vec();
    let item = |kind, id: &str| Item {
        kind,
        id: id.to_owned(),
        sha256: Hex::sha256(&content),
        len_bytes: content.len() as u64,
        not_before: None,
        not_after: None,
        fetched_at: NOW,
    };
    let items = vec![item(ItemKind::IntelTcbInfo, "chain-x"), item(ItemKind::IntelTcbInfoChain, "x")];
    let name = items[0].to_string();
    assert_eq!(name, items[1].to_string());
    let manifest = Manifest { v: 1, created_at: NOW - DAY_S, expires_at: NOW + DAY_S, items };
    let signature = signer().sign(&manifest.signed_bytes());
    let files = BTreeMap::from([(name.clone(), content.clone())]);
    let bytes = manifest.archive(signature.as_ref().try_into().unwrap(), &files);
    assert_eq!(Bundle::open(&bytes, &key()).map(|_| ()), Err(BundleError::NotThere { name }));
}
