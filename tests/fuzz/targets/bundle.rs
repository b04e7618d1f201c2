//! The archive form, and the signed bundle of collateral in it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ring::signature::{Ed25519KeyPair, KeyPair};
use tiltyard_attestation::archive::{self, Limits};
use tiltyard_attestation::collateral::{
    BUNDLE_MAX_BYTES, Bundle, ITEMS_MAX, Item, ItemKind, MANIFEST, Manifest, SIGNATURE, Source,
};
use tiltyard_attestation::{Collateral, Hex};

use super::Target;
use super::ground::{NOW, der, put, vector};
use super::tdx::MACHINE;

pub const TARGET: Target = Target {
    name: "bundle",
    run,
    seeds,
    costly,
    limit_bytes: BUNDLE_MAX_BYTES,
    mutated_bytes: 48 * 1024,
    words: &[
        "\\\"items\\\":[",
        "\\\"kind\\\":\\\"amd-crl\\\"",
        "\\\"kind\\\":\\\"intel-tcb-info\\\"",
        "\\\"kind\\\":\\\"nvidia-rim\\\"",
        "\\\"len_bytes\\\":",
        "\\\"sha256\\\":\\\"",
        "manifest.json",
        "manifest.sig",
        "ustar\\x0000",
        "0000444\\x00",
    ],
};

const LIMITS: Limits = Limits { bytes: BUNDLE_MAX_BYTES, members: ITEMS_MAX + 2 };
const BLOCK: usize = 512;
const DAY_S: u64 = 86_400;

static SIGNER: LazyLock<(Ed25519KeyPair, Hex<32>)> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap_or_else(|error| panic!("{error}"));
    let key = Hex::from_slice(pair.public_key().as_ref()).unwrap_or(Hex([0; 32]));
    (pair, key)
});

/// No member, one list, and everything of Intel's: the last as the broker of a site without a network has it.
fn seeds() -> Vec<Vec<u8>> {
    let list = (ItemKind::AmdCrl, "turin", vector("minted/good.crl"));
    let set = &MACHINE.issued[0].collateral;
    let [tcb_info, qe_identity, ..] = set.to_pcs([0; 6]);
    let intel = [
        (ItemKind::IntelTcbInfo, "000000000000", tcb_info.body),
        (ItemKind::IntelTcbInfoChain, "tcb", set.tcb_signing_chain.clone().into_bytes()),
        (ItemKind::IntelQeIdentity, "td", qe_identity.body),
        (ItemKind::IntelQeIdentityChain, "td", set.tcb_signing_chain.clone().into_bytes()),
        (ItemKind::IntelPckCrl, "platform", set.pck_crl.clone()),
        (ItemKind::IntelPckCrlChain, "platform", set.pck_crl_chain.clone().into_bytes()),
        (ItemKind::IntelRootCrl, "root", set.root_crl.clone()),
    ];
    vec![archive::write(&BTreeMap::new()), bundle(&[list]), bundle(&intel)]
}

fn bundle(contents: &[(ItemKind, &str, Vec<u8>)]) -> Vec<u8> {
    let owned = contents.iter().map(|(kind, id, content)| (*kind, (*id).to_owned(), content.clone()));
    let bytes = unread(&owned.collect::<Vec<_>>());
    let opened = Bundle::open(&bytes, &SIGNER.1).and_then(|bundle| bundle.collateral());
    assert!(opened.is_ok(), "an honest bundle opens: {opened:?}");
    bytes
}

/// A signed bundle of these contents, whatever they are.
fn unread(contents: &[(ItemKind, String, Vec<u8>)]) -> Vec<u8> {
    let item = |kind, id: &String, content: &[u8]| Item {
        kind,
        id: id.clone(),
        sha256: Hex::sha256(content),
        len_bytes: content.len() as u64,
        not_before: Some(NOW - DAY_S),
        not_after: Some(NOW + DAY_S),
        fetched_at: NOW - DAY_S,
    };
    let mut items: Vec<Item> = contents.iter().map(|(kind, id, content)| item(*kind, id, content)).collect();
    items.sort();
    let files = contents.iter().map(|(kind, id, content)| (kind.path(id), content.clone())).collect();
    let manifest = Manifest { v: 1, created_at: NOW - DAY_S, expires_at: NOW + DAY_S, items };
    manifest.archive(signature(&manifest), &files)
}

/// As many sets of Intel's as items can ask for, with a long list in each; and the longest bundle.
fn costly() -> Vec<Vec<u8>> {
    let set = &MACHINE.issued[0].collateral;
    let [tcb_info, qe_identity, ..] = set.to_pcs([0; 6]);
    let chain = set.tcb_signing_chain.as_bytes();
    let list = der(0x30, &vec![0; 1_000_000]);
    let of = |fmspcs: u32, authorities: u32| {
        let mut items = vec![
            (ItemKind::IntelTcbInfoChain, "tcb".to_owned(), chain.to_vec()),
            (ItemKind::IntelQeIdentity, "td".to_owned(), qe_identity.body.clone()),
            (ItemKind::IntelQeIdentityChain, "td".to_owned(), chain.to_vec()),
            (ItemKind::IntelRootCrl, "root".to_owned(), list.clone()),
        ];
        items.extend(
            (0..fmspcs).map(|at| (ItemKind::IntelTcbInfo, format!("{at:012}"), tcb_info.body.clone())),
        );
        for at in 0..authorities {
            items.push((ItemKind::IntelPckCrl, format!("{at:04}"), set.pck_crl.clone()));
            items.push((ItemKind::IntelPckCrlChain, format!("{at:04}"), chain.to_vec()));
        }
        unread(&items)
    };
    let long = (0..30).map(|at| (ItemKind::NvidiaRim, format!("{at:04}"), vec![b' '; 1 << 20]));
    vec![of(400, 300), of(32, 2), unread(&long.collect::<Vec<_>>())]
}

fn run(data: &[u8]) {
    if data.len() > TARGET.mutated_bytes {
        let _ = Bundle::open(data, &SIGNER.1).map(|bundle| bundle.collateral());
        return;
    }
    read(data);
    let mended = mended(data);
    read(&mended);
    if let Some(signed) = signed(&mended) {
        read(&signed);
    }
}

fn read(bytes: &[u8]) {
    let members = archive::members(bytes, LIMITS);
    if let Ok(members) = &members {
        assert!(bytes.len() <= BUNDLE_MAX_BYTES && members.len() <= LIMITS.members);
        let content =
            |(name, range): &(String, std::ops::Range<usize>)| (name.clone(), bytes[range.clone()].to_vec());
        let all: BTreeMap<_, _> = members.iter().map(content).collect();
        assert_eq!(archive::write(&all), bytes, "an archive has one form");
    }
    if let Ok(bundle) = Bundle::open(bytes, &SIGNER.1) {
        assert!(members.is_ok());
        let items: BTreeMap<String, Vec<u8>> = bundle
            .manifest()
            .items
            .iter()
            .filter_map(|item| {
                let mut of_kind = bundle.items(item.kind);
                of_kind
                    .find(|(id, _)| *id == item.id)
                    .map(|(_, content)| (item.to_string(), content.to_vec()))
            })
            .collect();
        assert_eq!(items.len(), bundle.manifest().items.len(), "every item is there once");
        assert_eq!(bundle.manifest().archive(signature(bundle.manifest()), &items), bytes);
        let taken = Collateral::from_bundle(bytes, &SIGNER.1);
        match bundle.collateral() {
            Ok(set) => assert_eq!(set, taken),
            Err(error) => assert_eq!(taken.source, Source::Refused(error)),
        }
    }
}

fn signature(manifest: &Manifest) -> [u8; 64] {
    SIGNER.0.sign(&manifest.signed_bytes()).as_ref().first_chunk().copied().unwrap_or([0; 64])
}

/// The archive with checksums that fit wherever a header may stand: mutation would not find one.
fn mended(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let mut at = 0;
    // A block of zeros ends the members.
    while let Some(block) = bytes.get_mut(at..at + BLOCK).filter(|block| block[0] != 0) {
        put(block, 148, b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        put(block, 148, format!("{sum:06o}\0 ").as_bytes());
        let digits: String = block[124..135].iter().map(|byte| char::from(*byte)).collect();
        let Ok(len) = usize::from_str_radix(&digits, 8) else { break };
        at += BLOCK + len.next_multiple_of(BLOCK);
    }
    bytes
}

/// The archive with the manifest's digests and lengths, and its signature, made to fit.
fn signed(bytes: &[u8]) -> Option<Vec<u8>> {
    let members = archive::members(bytes, LIMITS).ok()?;
    let mut all: BTreeMap<String, Vec<u8>> =
        members.into_iter().map(|(name, range)| (name, bytes[range].to_vec())).collect();
    let mut manifest = all.get(MANIFEST)?.clone();
    if let Ok(mut read) = serde_json::from_slice::<Manifest>(&manifest) {
        for item in &mut read.items {
            if let Some(content) = all.get(&item.to_string()) {
                (item.sha256, item.len_bytes) = (Hex::sha256(content), content.len() as u64);
            }
        }
        manifest = read.to_bytes();
    }
    const DOMAIN: &[u8] = b"tiltyard-collateral-v1\0";
    let signature = SIGNER.0.sign(&[DOMAIN, &manifest].concat());
    all.insert(MANIFEST.to_owned(), manifest);
    all.insert(SIGNATURE.to_owned(), signature.as_ref().to_vec());
    Some(archive::write(&all))
}
