//! COL-01, COL-02, COL-04: collateral in one signed file.

use std::collections::BTreeMap;

use ring::signature::{Ed25519KeyPair, KeyPair};
use tiltyard_attestation::collateral::{Bundle, BundleError, Fetched, Item, ItemKind, MANIFEST, Manifest};
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{CheckId, Code, Collateral, Hex, Verdict};

use crate::minted::{Guest, NOW, Setup, file, findings};
use crate::pcs;

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
        let lab = at(edit, Level::Lab);
        match code {
            Code::CollateralStale => assert!(lab.is_ok(), "lab warns"),
            _ => assert_eq!(findings(lab), [(CheckId::Col04, code)], "a clock that is behind shows nothing"),
        }
    }
}

/// A folder's files as they are listed, fetched a day ago.
fn fetched(files: &[(&str, Vec<u8>)]) -> BTreeMap<String, Fetched> {
    let fetched = |content: &Vec<u8>| Fetched { content: content.clone(), at: NOW - DAY_S };
    files.iter().map(|(path, content)| ((*path).to_owned(), fetched(content))).collect()
}

fn vector(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/vectors/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn a_folder_of_every_kind_is_listed_with_its_dates_and_read_back() {
    let mut folder = pcs::answers();
    folder.extend([
        ("amd/vcek-turin-1", file("vcek_turin.der").0),
        ("amd/chain-milan", vector("snp/ask_ark_milan.pem")),
        ("amd/crl-turin", file("good.crl").0),
        ("nvidia/rim-vbios", vector("nvidia/rim/nvtrust_VBIOS_1010_0200_882_96005E0001_PROD.swidtag")),
        ("nvidia/ocsp-1", vector("nvidia/minted/good.der")),
        ("nvidia/crl-1", vector("nvidia/minted/empty.crl")),
    ]);
    let files = fetched(&folder);
    let manifest = Manifest::list(&files, NOW, NOW + DAY_S).unwrap();
    assert_eq!(manifest.items.len(), 13);
    for item in &manifest.items {
        let dated = item.kind != ItemKind::NvidiaRim;
        assert_eq!((item.not_before.is_some(), item.fetched_at), (dated, NOW - DAY_S), "{item}");
        assert!(item.not_after.is_none_or(|to| item.not_before.is_some_and(|from| from < to)), "{item}");
    }
    let dates = |path: &str| {
        let item = manifest.items.iter().find(|item| item.to_string() == path).unwrap();
        (item.not_before, item.not_after)
    };
    // The two dates in the text itself.
    let issued = String::from_utf8(folder[0].1.clone()).unwrap();
    let after = |name: &str| issued.split(&format!(r#""{name}":""#)).nth(1).unwrap()[..10].to_owned();
    let day = |at: Option<u64>| at.unwrap() / DAY_S;
    let (from, to) = dates("intel/tcbinfo-b0c06f000000");
    assert_eq!(day(to) - day(from), 30, "{} to {}", after("issueDate"), after("nextUpdate"));

    let signature = signer().sign(&manifest.signed_bytes());
    let contents = files.into_iter().map(|(path, file)| (path, file.content)).collect();
    let bytes = manifest.archive(signature.as_ref().try_into().unwrap(), &contents);
    let collateral = Bundle::open(&bytes, &key()).unwrap().collateral().unwrap();
    let Collateral { snp_certificates, snp_crls, tdx, rims, ocsp, nvidia_crls, .. } = &collateral;
    let counts = [snp_certificates, snp_crls, rims, ocsp, nvidia_crls].map(Vec::len);
    assert_eq!((counts, tdx.len()), ([3, 1, 1, 1, 1], 1));
    let text = &folder[0].1;
    assert!(text.windows(tdx[0].tcb_info.0.len()).any(|part| part == tdx[0].tcb_info.0), "byte for byte");
}

#[test]
fn what_is_no_item_is_not_listed() {
    let list = |path: &str, content: Vec<u8>| Manifest::list(&fetched(&[(path, content)]), NOW, NOW + DAY_S);
    let crl = || file("good.crl").0;
    for path in [
        "amd/crl",
        "amd/crl-",
        "amd/crl-Turin",
        "amd/crl-../x",
        "amd/list-turin",
        "crl-turin",
        "",
        "amd/crl-a/b",
        "intel/tcbinfo-chain-",
        "nvidia/rim-\u{e9}",
        MANIFEST,
    ] {
        let error = list(path, crl()).unwrap_err().to_string();
        assert!(
            error.ends_with("expected the place of an item, as amd/crl-milan or nvidia/rim-ID"),
            "{error}"
        );
    }
    assert!(list(&format!("amd/crl-{}", "x".repeat(80)), crl()).is_ok());
    assert!(list(&format!("amd/crl-{}", "x".repeat(81)), crl()).is_err());
    for (path, content, expected) in [
        ("amd/crl-turin", file("vcek_turin.der").0, "expected a DER revocation list"),
        ("amd/crl-turin", [crl(), vec![0]].concat(), "expected a DER revocation list"),
        ("amd/vcek-1", crl(), "expected a DER certificate"),
        ("amd/chain-turin", file("ask_turin.der").0, "expected PEM certificates"),
        ("amd/chain-turin", vec![], "expected PEM certificates"),
        ("nvidia/ocsp-1", crl(), "expected a DER OCSP answer"),
        ("intel/tcbinfo-1", b"{}".to_vec(), "expected an answer of Intel's certification service (JSON)"),
    ] {
        let error = list(path, content).unwrap_err().to_string();
        assert_eq!(error, format!("collateral bundle: {path}: {expected}"));
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
fn col_01_a_member_stands_for_one_item() {
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
    assert_eq!(Bundle::open(&bytes, &key()).map(|_| ()), Err(BundleError::Manifest));
}
