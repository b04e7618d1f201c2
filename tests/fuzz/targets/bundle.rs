//! The archive form, and the signed bundle of collateral in it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ring::signature::{Ed25519KeyPair, KeyPair};
use tiltyard_attestation::archive::{self, Limits};
use tiltyard_attestation::collateral::{
    BUNDLE_MAX_BYTES, Bundle, ITEMS_MAX, Item, ItemKind, MANIFEST, Manifest, SIGNATURE,
};
use tiltyard_attestation::{Collateral, Hex};

use super::Target;
use super::ground::{NOW, put, vector};
use super::tdx::MACHINE;

pub const TARGET: Target = Target {
    name: "bundle",
    run,
    seeds,
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
    let item = |kind, id: &str, content: &[u8]| Item {
        kind,
        id: id.to_owned(),
        sha256: Hex::sha256(content),
        len_bytes: content.len() as u64,
        not_before: Some(NOW - DAY_S),
        not_after: Some(NOW + DAY_S),
        fetched_at: NOW - DAY_S,
    };
    let mut items: Vec<Item> = contents.iter().map(|(kind, id, content)| item(*kind, id, content)).collect();
    let content = |(kind, id, content): &(ItemKind, &str, Vec<u8>)| {
        (item(*kind, id, content).to_string(), content.clone())
    };
    let files = contents.iter().map(content).collect();
    items.sort();
    let manifest = Manifest { v: 1, created_at: NOW - DAY_S, expires_at: NOW + DAY_S, items };
    let bytes = manifest.archive([0; 64], &files);
    let bytes = signed(&bytes).unwrap_or(bytes);
    let opened = Bundle::open(&bytes, &SIGNER.1).and_then(|bundle| bundle.collateral());
    assert!(opened.is_ok(), "an honest bundle opens: {opened:?}");
    bytes
}

fn run(data: &[u8]) {
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
        let collateral = Collateral::from_bundle(bytes, &SIGNER.1);
        assert_eq!(
            bundle.collateral().ok().map(|set| set.digest()),
            Some(collateral.digest()).filter(|_| bundle.collateral().is_ok())
        );
    }
}

fn signature(manifest: &Manifest) -> [u8; 64] {
    SIGNER.0.sign(&manifest.signed_bytes()).as_ref().first_chunk().copied().unwrap_or([0; 64])
}

/// The archive with checksums that fit wherever a header may stand: mutation would not find one.
fn mended(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let mut at = 0;
    while let Some(block) = bytes.get_mut(at..at + BLOCK) {
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        if block[0] == 0 {
            break;
        }
        let digits: String = block[124..135].iter().map(|byte| char::from(*byte)).collect();
        put(block, 148, format!("{sum:06o}\0 ").as_bytes());
        let Ok(len) = usize::from_str_radix(&digits, 8) else { break };
        at = at.saturating_add(BLOCK).saturating_add(len.min(1 << 30).next_multiple_of(BLOCK));
    }
    if let Some(block) = bytes.get_mut(at..).filter(|rest| rest.first() == Some(&0)) {
        put(block, 148, data.get(at + 148..at + 156).unwrap_or_default());
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
