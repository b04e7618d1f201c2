//! Collateral for sites without a network: one signed file with an expiry of its own (ATTESTATION 8).
//!
//! The signature vouches for transport only: every item is still verified to its vendor's root when it is used.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{COLLATERAL_ITEMS_MAX, Collateral, Source, TdxCollateral};
use crate::archive::{self, ArchiveError, Limits};
use crate::ed25519;
use crate::tdx::{self, PcsAnswers};
use crate::{Base64Bytes, Hex};

/// Largest bundle, in bytes.
pub const BUNDLE_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Most items of one bundle.
pub const ITEMS_MAX: usize = 1024;
/// The member that lists all others.
pub const MANIFEST: &str = "manifest.json";
/// The member that signs the manifest: 64 bytes, Ed25519.
pub const SIGNATURE: &str = "manifest.sig";

const DOMAIN: &[u8] = b"tiltyard-collateral-v1\0";
const LIMITS: Limits = Limits { bytes: BUNDLE_MAX_BYTES, members: ITEMS_MAX + 2 };
const ID_MAX_BYTES: usize = 80;

/// What a bundle holds, and until when it may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always 1.
    pub v: u8,
    /// Unix seconds.
    pub created_at: u64,
    /// Unix seconds; the bundle is stale afterwards, whatever its items say.
    pub expires_at: u64,
    /// Sorted by kind and id.
    pub items: Vec<Item>,
}

/// One item of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    pub kind: ItemKind,
    /// Product, FMSPC, manifest name or serial number: 1 to 80 of `a-z`, `0-9`, `.`, `_` and `-`.
    pub id: String,
    pub sha256: Hex<32>,
    pub len_bytes: u64,
    /// When the vendor issued it, where it says so; Unix seconds.
    pub not_before: Option<u64>,
    /// When the vendor will replace it, where it says so; Unix seconds.
    pub not_after: Option<u64>,
    pub fetched_at: u64,
}

/// Kind of an item, and with it the folder and form of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// Endorsement certificate of one chip at one TCB, DER.
    AmdVcek,
    /// ASK and ARK of a product, PEM.
    AmdChain,
    /// Revocation list of a product, DER.
    AmdCrl,
    /// Answer of the certification service with `tcbInfo` of one FMSPC, JSON.
    IntelTcbInfo,
    /// PEM.
    IntelTcbInfoChain,
    /// Answer with `enclaveIdentity`, JSON.
    IntelQeIdentity,
    /// PEM.
    IntelQeIdentityChain,
    /// DER; id `platform` or `processor`.
    IntelPckCrl,
    /// PEM.
    IntelPckCrlChain,
    /// DER.
    IntelRootCrl,
    /// Reference integrity manifest, XML.
    NvidiaRim,
    /// OCSP answer, DER.
    NvidiaOcsp,
    /// DER.
    NvidiaCrl,
}

/// What is known of the bundle that collateral came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// SHA-256 of the manifest.
    pub manifest: Hex<32>,
    pub created_at: u64,
    pub expires_at: u64,
    /// The latest issue date that any item names.
    pub newest: u64,
}

/// Why a bundle was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    #[error("collateral bundle: {0}")]
    Archive(#[from] ArchiveError),
    #[error("collateral bundle: no member {name}")]
    Missing { name: &'static str },
    #[error("collateral bundle: the signature is not by key {key}\n  give the key of whoever signed it")]
    Signature { key: Hex<32> },
    #[error("collateral bundle: {MANIFEST} is no canonical manifest of version 1, sorted by kind and id")]
    Manifest,
    #[error("collateral bundle: {name}: expected SHA-256 {expected}, found {got}")]
    Digest { name: String, expected: Hex<32>, got: Hex<32> },
    #[error("collateral bundle: {name} is not in {MANIFEST}")]
    NotListed { name: String },
    #[error("collateral bundle: {MANIFEST} lists {name}, which is missing")]
    NotThere { name: String },
    #[error("collateral bundle: {name}: {what}")]
    Item { name: String, what: String },
    #[error(
        "collateral bundle: expected at most {limit} sets of Intel's (FMSPC, PCK authority), found {got}"
    )]
    TooManySets { limit: usize, got: usize },
}

/// A bundle whose signature and digests held.
#[derive(Debug, Clone)]
pub struct Bundle {
    manifest: Manifest,
    provenance: Provenance,
    items: Vec<(Item, Vec<u8>)>,
}

impl ItemKind {
    /// Where an item of this kind and id stands in the archive.
    pub fn path(self, id: &str) -> String {
        let (folder, name) = match self {
            Self::AmdVcek => ("amd/vcek", id),
            Self::AmdChain => ("amd/chain", id),
            Self::AmdCrl => ("amd/crl", id),
            Self::IntelTcbInfo => ("intel/tcbinfo", id),
            Self::IntelTcbInfoChain => ("intel/tcbinfo-chain", id),
            Self::IntelQeIdentity => ("intel/qeidentity", id),
            Self::IntelQeIdentityChain => ("intel/qeidentity-chain", id),
            Self::IntelPckCrl => ("intel/pckcrl", id),
            Self::IntelPckCrlChain => ("intel/pckcrl-chain", id),
            Self::IntelRootCrl => ("intel/rootcrl", id),
            Self::NvidiaRim => ("nvidia/rim", id),
            Self::NvidiaOcsp => ("nvidia/ocsp", id),
            Self::NvidiaCrl => ("nvidia/crl", id),
        };
        format!("{folder}-{name}")
    }
}

impl Item {
    pub(super) fn is_id(id: &str) -> bool {
        (1..=ID_MAX_BYTES).contains(&id.len())
            && id.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
    }

    /// An id that makes a place of no other kind.
    fn has_its_own_place(&self) -> bool {
        Self::is_id(&self.id) && ItemKind::of_path(&self.to_string()) == Some((self.kind, self.id.as_str()))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.path(&self.id))
    }
}

impl Manifest {
    /// The canonical bytes (RFC 8785).
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, integers and lists only, which always serialise.
        serde_jcs::to_vec(self).unwrap_or_default()
    }

    /// What Ed25519 signs: the domain tag, one NUL byte, the canonical bytes.
    pub fn signed_bytes(&self) -> Vec<u8> {
        [DOMAIN, &self.to_bytes()].concat()
    }

    /// The archive of these items under this manifest and its signature.
    pub fn archive(&self, signature: [u8; 64], items: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
        let mut members = items.clone();
        members.insert(MANIFEST.to_owned(), self.to_bytes());
        members.insert(SIGNATURE.to_owned(), signature.to_vec());
        archive::write(&members)
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(bytes).ok()?;
        let sound = manifest.v == 1
            && manifest.items.len() <= ITEMS_MAX
            && manifest.items.iter().all(Item::has_its_own_place)
            && manifest.items.is_sorted_by(|a, b| (a.kind, &a.id) < (b.kind, &b.id))
            && manifest.to_bytes() == bytes;
        sound.then_some(manifest)
    }
}

impl Bundle {
    /// Reads a bundle: the archive's one form, the signature by `key` (Ed25519), every item's digest, and no member
    /// beside those.
    pub fn open(bytes: &[u8], key: &Hex<32>) -> Result<Self, BundleError> {
        let mut members: BTreeMap<String, &[u8]> = archive::members(bytes, LIMITS)?
            .into_iter()
            .map(|(name, range)| (name, bytes.get(range).unwrap_or_default()))
            .collect();
        let manifest_bytes = members.remove(MANIFEST).ok_or(BundleError::Missing { name: MANIFEST })?;
        let signature = members.remove(SIGNATURE).ok_or(BundleError::Missing { name: SIGNATURE })?;
        if !ed25519::verifies(key, &[DOMAIN, manifest_bytes].concat(), signature) {
            return Err(BundleError::Signature { key: *key });
        }
        let manifest = Manifest::read(manifest_bytes).ok_or(BundleError::Manifest)?;
        let mut items = Vec::with_capacity(manifest.items.len());
        for item in &manifest.items {
            let name = item.to_string();
            let Some(content) = members.remove(&name) else { return Err(BundleError::NotThere { name }) };
            let got = Hex::sha256(content);
            if got != item.sha256 || content.len() as u64 != item.len_bytes {
                return Err(BundleError::Digest { name, expected: item.sha256, got });
            }
            items.push((item.clone(), content.to_vec()));
        }
        if let Some((name, _)) = members.pop_first() {
            return Err(BundleError::NotListed { name });
        }
        let provenance = Provenance {
            manifest: Hex::sha256(manifest_bytes),
            created_at: manifest.created_at,
            expires_at: manifest.expires_at,
            newest: manifest.items.iter().filter_map(|item| item.not_before).max().unwrap_or(0),
        };
        Ok(Self { manifest, provenance, items })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Items of one kind: id and content.
    pub fn items(&self, kind: ItemKind) -> impl Iterator<Item = (&str, &[u8])> {
        let of_kind = self.items.iter().filter(move |(item, _)| item.kind == kind);
        of_kind.map(|(item, content)| (item.id.as_str(), content.as_slice()))
    }

    /// The items as the verifier takes them.
    pub fn collateral(&self) -> Result<Collateral, BundleError> {
        let all = |kind| self.items(kind).map(|(_, content)| Base64Bytes(content.to_vec())).collect();
        Ok(Collateral {
            snp_certificates: self.amd_certificates()?,
            snp_crls: all(ItemKind::AmdCrl),
            tdx: self.intel()?,
            rims: all(ItemKind::NvidiaRim),
            ocsp: all(ItemKind::NvidiaOcsp),
            nvidia_crls: all(ItemKind::NvidiaCrl),
            source: Source::Bundle(self.provenance.clone()),
        })
    }

    /// VCEKs, and the certificates of each product's chain.
    fn amd_certificates(&self) -> Result<Vec<Base64Bytes>, BundleError> {
        let mut all: Vec<Base64Bytes> =
            self.items(ItemKind::AmdVcek).map(|(_, der)| der.to_vec().into()).collect();
        for (id, pem) in self.items(ItemKind::AmdChain) {
            let chain = tdx::certificates(pem).map_err(|error| BundleError::Item {
                name: ItemKind::AmdChain.path(id),
                what: error.to_string(),
            })?;
            all.extend(chain.into_iter().map(Base64Bytes));
        }
        if all.len() > ITEMS_MAX {
            let what = format!("expected at most {ITEMS_MAX} certificates in all, found {}", all.len());
            return Err(BundleError::Item { name: ItemKind::AmdChain.path("*"), what });
        }
        Ok(all)
    }

    /// One set for each FMSPC and each kind of PCK authority.
    fn intel(&self) -> Result<Vec<TdxCollateral>, BundleError> {
        let one = |kind: ItemKind| {
            self.items(kind).next().map(|(_, content)| content).ok_or_else(|| BundleError::Item {
                name: kind.path("*"),
                what: "missing beside TCB info".to_owned(),
            })
        };
        // Counted first: each set has copies of what all share, so that a small bundle could fill the memory.
        let (limit, count) = (COLLATERAL_ITEMS_MAX, |kind| self.items(kind).count());
        let got = count(ItemKind::IntelTcbInfo) * count(ItemKind::IntelPckCrl);
        if got > limit {
            return Err(BundleError::TooManySets { limit, got });
        }
        let mut sets = Vec::with_capacity(got);
        for (fmspc, tcb_info) in self.items(ItemKind::IntelTcbInfo) {
            for (authority, pck_crl) in self.items(ItemKind::IntelPckCrl) {
                let chain = self.items(ItemKind::IntelPckCrlChain).find(|(id, _)| *id == authority);
                let pck_crl_issuer_chain = chain.map(|(_, content)| content).ok_or_else(|| {
                    BundleError::NotThere { name: ItemKind::IntelPckCrlChain.path(authority) }
                })?;
                let answers = PcsAnswers {
                    tcb_info,
                    tcb_info_issuer_chain: one(ItemKind::IntelTcbInfoChain)?,
                    qe_identity: one(ItemKind::IntelQeIdentity)?,
                    qe_identity_issuer_chain: one(ItemKind::IntelQeIdentityChain)?,
                    pck_crl,
                    pck_crl_issuer_chain,
                    root_ca_crl: one(ItemKind::IntelRootCrl)?,
                };
                sets.push(TdxCollateral::from_pcs(&answers).map_err(|error| BundleError::Item {
                    name: ItemKind::IntelTcbInfo.path(fmspc),
                    what: error.to_string(),
                })?);
            }
        }
        Ok(sets)
    }
}

impl Collateral {
    /// The collateral of a bundle. One that does not hold gives none, and every verdict on evidence then says so
    /// (COL-01).
    pub fn from_bundle(bytes: &[u8], key: &Hex<32>) -> Self {
        Bundle::open(bytes, key)
            .and_then(|bundle| bundle.collateral())
            .unwrap_or_else(|error| Self { source: Source::Refused(error), ..Self::none() })
    }

    /// Collateral as it stands in a file: JSON, or a bundle that `key` (Ed25519) signed.
    pub fn from_file(bytes: &[u8], key: Option<&Hex<32>>) -> Result<Self, CollateralReadError> {
        if bytes.trim_ascii_start().starts_with(b"{") {
            return serde_json::from_slice(bytes)
                .map_err(|error| CollateralReadError::Json(error.to_string()));
        }
        let key = key.ok_or(CollateralReadError::NoKey)?;
        Ok(Bundle::open(bytes, key)?.collateral()?)
    }
}

/// Why a file gives no collateral.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollateralReadError {
    #[error("collateral: {0}")]
    Json(String),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("collateral: a bundle needs the key of whoever signed it")]
    NoKey,
}
