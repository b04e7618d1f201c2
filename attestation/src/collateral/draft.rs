//! Lists files for a bundle: kind and id from each one's place, dates from its content.

use std::collections::BTreeMap;

use super::bundle::{BundleError, Item, ItemKind, Manifest};
use crate::Hex;
use crate::chain::period::{self, Period};
use crate::tdx;

/// One file on its way into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub content: Vec<u8>,
    /// When it was fetched, Unix seconds.
    pub at: u64,
}

impl ItemKind {
    /// Every kind; a longer folder stands before one that it begins with.
    const ALL: [Self; 13] = [
        Self::AmdVcek,
        Self::AmdChain,
        Self::AmdCrl,
        Self::IntelTcbInfoChain,
        Self::IntelTcbInfo,
        Self::IntelQeIdentityChain,
        Self::IntelQeIdentity,
        Self::IntelPckCrlChain,
        Self::IntelPckCrl,
        Self::IntelRootCrl,
        Self::NvidiaRim,
        Self::NvidiaOcsp,
        Self::NvidiaCrl,
    ];

    /// Kind and id of the item that stands at this place in an archive.
    pub fn of_path(path: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|kind| Some((kind, path.strip_prefix(&kind.path(""))?)))
    }

    /// Whether the content has the form of this kind, or what was expected; who signed it, and when it holds, shows when
    /// it is used. Of a manifest only its reader can tell, so any content is taken for one.
    pub fn check(self, content: &[u8]) -> Result<(), &'static str> {
        self.period(content).map(|_| ())
    }

    /// What the content says of its own time; an error when the content is of another form.
    fn period(self, content: &[u8]) -> Result<Option<Period>, &'static str> {
        match self {
            Self::AmdVcek => {
                period::of_certificates([content].into_iter()).map(Some).ok_or("expected a DER certificate")
            }
            Self::AmdChain
            | Self::IntelTcbInfoChain
            | Self::IntelQeIdentityChain
            | Self::IntelPckCrlChain => {
                let all = tdx::certificates(content).map_err(|_| "expected PEM certificates")?;
                period::of_certificates(all.iter().map(Vec::as_slice))
                    .map(Some)
                    .ok_or("expected PEM certificates")
            }
            Self::AmdCrl | Self::IntelPckCrl | Self::IntelRootCrl | Self::NvidiaCrl => {
                period::of_list(content).map(Some).ok_or("expected a DER revocation list")
            }
            Self::IntelTcbInfo | Self::IntelQeIdentity => tdx::period(content)
                .map(|(issued, next)| Some((issued, Some(next))))
                .ok_or("expected an answer of Intel's certification service (JSON)"),
            Self::NvidiaOcsp => period::of_answer(content).map(Some).ok_or("expected a DER OCSP answer"),
            // A manifest has no dates of its own.
            Self::NvidiaRim => Ok(None),
        }
    }
}

impl Manifest {
    /// Lists `files`, each under its place in the archive ([`ItemKind::path`]). Times in Unix seconds.
    ///
    /// Refuses a place that is no item's, and content that is not of its kind. Whether vendors signed it shows when
    /// it is used.
    pub fn list(
        files: &BTreeMap<String, Fetched>,
        created_at: u64,
        expires_at: u64,
    ) -> Result<Self, BundleError> {
        let mut items = Vec::with_capacity(files.len());
        for (path, Fetched { content, at }) in files {
            let refused = |what: &str| BundleError::Item { name: path.clone(), what: what.to_owned() };
            let (kind, id) = ItemKind::of_path(path)
                .filter(|(_, id)| Item::is_id(id))
                .ok_or_else(|| refused("expected the place of an item, as amd/crl-milan or nvidia/rim-ID"))?;
            let period = kind.period(content).map_err(refused)?;
            items.push(Item {
                kind,
                id: id.to_owned(),
                sha256: Hex::sha256(content),
                len_bytes: content.len() as u64,
                not_before: period.map(|(from, _)| from),
                not_after: period.and_then(|(_, to)| to),
                fetched_at: *at,
            });
        }
        items.sort();
        let manifest = Self { v: 1, created_at, expires_at, items };
        // What would be refused when it is opened is refused here, before it is signed.
        if Self::read(&manifest.to_bytes()).is_none() {
            return Err(BundleError::Manifest);
        }
        Ok(manifest)
    }
}
