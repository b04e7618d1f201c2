//! `collateral sign`: the vendors' files of one folder as a signed bundle; and the reading of collateral.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tiltyard_attestation::collateral::{
    BUNDLE_MAX_BYTES, Bundle, BundleError, CollateralReadError, Fetched, ITEMS_MAX, ItemKind, Manifest,
};
use tiltyard_attestation::nvidia::rim::{AuthenticRim, RimError};
use tiltyard_attestation::{Collateral, Hex, Links, TrustAnchors};

use super::unlock;
use crate::cli::{CollateralSignArgs, Facts, OutputForm, path_text};
use crate::error::shown;
use crate::file::{Target, read_regular};
use crate::identity::Secret;
use crate::{BrokerError, now, read_limited};

const DAY_S: u64 = 86_400;
/// Largest file of collateral, in bytes: a bundle, or as JSON.
const COLLATERAL_MAX_BYTES: u64 = BUNDLE_MAX_BYTES as u64;

/// What this signature does not say.
const UNCHECKED: &str = "The vendors' own signatures inside are checked when the bundle is used, not here.";

#[derive(Serialize)]
struct Signed {
    #[serde(serialize_with = "path_text")]
    bundle: PathBuf,
    items: usize,
    /// SHA-256 of the manifest.
    manifest: Hex<32>,
    /// Ed25519 key to open it with.
    key: Hex<32>,
    /// Unix seconds.
    expires_at: u64,
    /// Items whose vendor will have replaced them before the bundle expires.
    stale_before: Vec<String>,
    note: &'static str,
}

pub(super) fn sign(args: &CollateralSignArgs, form: OutputForm) -> Result<(), BrokerError> {
    let out = Target::new(&args.out, &[&args.home.dir, &args.from])?;
    let files = read_folder(&args.from)?;
    let refused =
        |error: BundleError| BrokerError::Document { path: args.from.clone(), what: error.to_string() };
    let created_at = now();
    let expires_at = created_at.saturating_add(u64::from(args.expires_days).saturating_mul(DAY_S));
    let manifest = Manifest::list(&files, created_at, expires_at).map_err(refused)?;

    let home = unlock(&args.home)?;
    let key = home.broker("collateral sign")?.signing_key;
    let signature = home.ed25519(Secret::Signing)?.sign(&manifest.signed_bytes());
    let signature =
        signature.as_ref().try_into().map_err(|_| BrokerError::Internal { what: "a signature" })?;
    let contents = files.into_iter().map(|(path, file)| (path, file.content)).collect();
    let bundle = manifest.archive(signature, &contents);
    // Read as a site will read it: what it would refuse is not handed out.
    Bundle::open(&bundle, &key).and_then(|bundle| bundle.collateral()).map_err(refused)?;
    out.write(&bundle)?;

    let stale = |item: &&tiltyard_attestation::collateral::Item| {
        item.not_after.is_some_and(|not_after| not_after < expires_at)
    };
    Signed {
        bundle: args.out.clone(),
        items: manifest.items.len(),
        manifest: Hex::sha256(&manifest.to_bytes()),
        key,
        expires_at,
        stale_before: manifest.items.iter().filter(stale).map(ToString::to_string).collect(),
        note: UNCHECKED,
    }
    .print(form)
}

/// Collateral as it stands in a file: a bundle that `key` signed, or JSON.
pub(super) fn read(path: &Path, key: &Hex<32>) -> Result<Collateral, BrokerError> {
    let bytes = read_limited(path, COLLATERAL_MAX_BYTES)?;
    Collateral::from_file(&bytes, Some(key)).map_err(|error| match error {
        // Signed by somebody else, or changed since.
        CollateralReadError::Bundle(error) if !matches!(error, BundleError::Archive(_)) => {
            BrokerError::refused("E_COLLATERAL", format!("{}: {error}", path.display()))
        }
        error => BrokerError::Document { path: path.into(), what: error.to_string() },
    })
}

/// Every file of a folder's folders, by the two names of its path: regular files only, and no more in all than a
/// bundle may hold.
fn read_folder(folder: &Path) -> Result<BTreeMap<String, Fetched>, BrokerError> {
    let mut files = BTreeMap::new();
    let mut left = COLLATERAL_MAX_BYTES;
    let too_many = || BrokerError::Document {
        path: folder.into(),
        what: format!("expected at most {ITEMS_MAX} files and {BUNDLE_MAX_BYTES} bytes in all"),
    };
    for vendor in entries(folder)? {
        // The names of a bundle's folders are fixed, so a link there can only lead away.
        let metadata =
            fs::symlink_metadata(&vendor).map_err(|source| BrokerError::io("read", &vendor, source))?;
        if !metadata.is_dir() {
            let what = "expected folders amd, intel and nvidia, found something else".into();
            return Err(BrokerError::Document { path: vendor, what });
        }
        for path in entries(&vendor)? {
            let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
            let (Some(first), Some(second)) = (name(&vendor), name(&path)) else { continue };
            let (content, at) = read_regular(&path, left).map_err(|error| match error {
                BrokerError::FileTooLarge { .. } => too_many(),
                other => other,
            })?;
            let place = format!("{first}/{second}");
            if matches!(ItemKind::of_path(&place), Some((ItemKind::NvidiaRim, _))) {
                has_the_form_of_a_manifest(&content)
                    .map_err(|error| BrokerError::Document { path, what: error.to_string() })?;
            }
            left = left.saturating_sub(content.len() as u64);
            files.insert(place, Fetched { content, at });
            if files.len() > ITEMS_MAX {
                return Err(too_many());
            }
        }
    }
    if files.is_empty() {
        let what = "expected files as amd/crl-milan or nvidia/rim-ID, found none".into();
        return Err(BrokerError::Document { path: folder.into(), what });
    }
    Ok(files)
}

/// A manifest has no dates that would show its form. Who signed it, and when that holds, is for whoever uses it.
fn has_the_form_of_a_manifest(content: &[u8]) -> Result<(), RimError> {
    let (anchors, links) = (TrustAnchors::vendor(), Links::new());
    match AuthenticRim::open(content, &anchors, &Collateral::none(), &links, 0) {
        Ok(_)
        | Err(
            RimError::DigestMismatch { .. }
            | RimError::SignerKey { .. }
            | RimError::Signature { .. }
            | RimError::Chain(_),
        ) => Ok(()),
        Err(error) => Err(error),
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, BrokerError> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = read().map_err(|source| BrokerError::io("read", folder, source))?;
    paths.sort();
    Ok(paths)
}

impl Facts for Signed {
    fn lines(&self) -> Vec<String> {
        let stale = self.stale_before.iter().map(|item| format!("stale earlier: {item}"));
        [
            format!("bundle   {}, {} items", shown(&self.bundle), self.items),
            format!("manifest {}", self.manifest),
            format!("key      {}", self.key),
            format!("expires  {} (Unix seconds)", self.expires_at),
        ]
        .into_iter()
        .chain(stale)
        .chain([UNCHECKED.to_owned()])
        .collect()
    }
}
