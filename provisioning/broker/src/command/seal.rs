//! `seal`: rows of a file become sealed objects, two manifests, and two keys in the store.

use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use serde::Serialize;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::dataset::{
    Layout, PrevManifests, Rows, SealKeys, SealParams, SealedDataset, SealedSplit, seal_dataset,
};
use tiltyard_provisioning::dek::{Dek, WrapAad, WrapKind};
use tiltyard_provisioning::keyid::{KeyId, Split};

use super::{progress, unlock, write_object};
use crate::cli::{Facts, OutputForm, SealArgs, path_text};
use crate::error::shown;
use crate::file::make_folder;
use crate::identity::{Secret, Unlocked};
use crate::store::deks::{self, Wrapped};
use crate::{BrokerError, StoreError, now, write_private};

/// What was sealed. Row counts are for the owner at its own machine; the manifests don't hold them.
#[derive(Serialize)]
struct Sealed {
    tenant: String,
    dataset_id: String,
    version: u64,
    source_rows: u64,
    splits: Vec<SplitFacts>,
}

#[derive(Serialize)]
struct SplitFacts {
    split: Split,
    key_id: KeyId,
    /// Digest of the manifest's payload: what a charter names.
    manifest_sha256: Hex<32>,
    #[serde(serialize_with = "path_text")]
    envelope: PathBuf,
    objects: Vec<ObjectFacts>,
}

#[derive(Serialize)]
struct ObjectFacts {
    name: Hex<16>,
    sha256: Hex<32>,
    len_bytes: u64,
}

pub(super) fn seal(args: &SealArgs, form: OutputForm) -> Result<(), BrokerError> {
    let mut home = unlock(&args.home)?;
    home.broker("seal")?;
    let Rows { rows, report } = super::check::read(&args.source)?.map_err(BrokerError::coded)?;
    let source_rows = report.source_rows;
    progress(&format!("{source_rows} rows read, sealing"));

    let rng = SystemRandom::new();
    let now = now();
    let (version, prev) = next_version(&home, args)?;
    let params = SealParams {
        tenant: args.tenant.clone(),
        dataset_id: args.dataset_id.clone(),
        version,
        prev,
        mapping: args.source.mapping.clone(),
        test_rows: args.test_rows,
        licence: args.licence.clone(),
        not_after: now.saturating_add(u64::from(args.valid_days) * 86_400),
        layout: Layout::default(),
    };
    let owner = home.ed25519(Secret::Signing)?;
    let (train, test) = (new_dek(&rng)?, new_dek(&rng)?);
    let keys = SealKeys { train: &train, test: &test, kek: &home.kek, owner: &owner };
    let sealed = seal_dataset(rows, &params, &keys, &rng).map_err(BrokerError::coded)?;

    // Keys before files: an object whose key is lost would be lost itself.
    keep_keys(&mut home, args, version, &sealed, [&train, &test], now)?;
    make_folder(&args.out)?;
    let splits = vec![
        write_split(&args.out, &args.dataset_id, Split::Train, &sealed.train)?,
        write_split(&args.out, &args.dataset_id, Split::Test, &sealed.test)?,
    ];
    let tenant = params.tenant;
    Sealed { tenant, dataset_id: params.dataset_id, version, source_rows, splits }.print(form)
}

/// A version goes on from the newest one that was sealed here.
fn next_version(home: &Unlocked, args: &SealArgs) -> Result<(u64, Option<PrevManifests>), BrokerError> {
    let newest = |split| deks::newest_source(home.store.read(), &key_id(&args.dataset_id, split));
    match (newest(Split::Train)?, newest(Split::Test)?) {
        (None, None) => Ok((1, None)),
        (Some((version, train)), Some((_, test))) => Ok((version + 1, Some(PrevManifests { train, test }))),
        (Some(_), None) | (None, Some(_)) => Err(StoreError::Damaged { what: "a dataset" }.into()),
    }
}

fn keep_keys(
    home: &mut Unlocked,
    args: &SealArgs,
    version: u64,
    sealed: &SealedDataset,
    [train, test]: [&Dek; 2],
    now: u64,
) -> Result<(), BrokerError> {
    let rng = SystemRandom::new();
    let kek = &home.kek;
    let wrap = |split, dek: &Dek| {
        let key_id = key_id(&args.dataset_id, split);
        let aad = WrapAad { key_id: key_id.to_string(), kek_id: kek.id(), version, kind: WrapKind::Dek };
        let bytes = kek.wrap(dek.expose(), &aad, &rng).map_err(BrokerError::coded)?;
        Ok::<_, BrokerError>((key_id, Wrapped { version, bytes }))
    };
    let rows = [
        (wrap(Split::Train, train)?, Hex::sha256(&sealed.train.payload)),
        (wrap(Split::Test, test)?, Hex::sha256(&sealed.test.payload)),
    ];
    home.store.write(|connection| {
        rows.iter()
            .try_for_each(|((key_id, wrapped), manifest)| {
                deks::add(connection, key_id, wrapped, Some(manifest), now)
            })
            .map_err(BrokerError::from)
    })
}

fn write_split(
    out: &Path,
    dataset: &str,
    split: Split,
    sealed: &SealedSplit,
) -> Result<SplitFacts, BrokerError> {
    let mut objects = Vec::with_capacity(sealed.objects.len());
    for (name, bytes) in &sealed.objects {
        let (sha256, _) = write_object(out, bytes)?;
        objects.push(ObjectFacts { name: *name, sha256, len_bytes: bytes.len() as u64 });
    }
    let (manifest_sha256, _) = write_object(out, &sealed.payload)?;
    let split_name = match split {
        Split::Train => "train",
        Split::Test => "test",
    };
    let envelope = out.join(format!("{dataset}.{split_name}.manifest.json"));
    write_private(&envelope, &sealed.envelope)?;
    Ok(SplitFacts { split, key_id: key_id(dataset, split), manifest_sha256, envelope, objects })
}

fn key_id(dataset: &str, split: Split) -> KeyId {
    KeyId::Dataset { id: dataset.into(), split }
}

fn new_dek(rng: &SystemRandom) -> Result<Dek, BrokerError> {
    Dek::generate(rng).map_err(BrokerError::coded)
}

impl Facts for Sealed {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "sealed {} version {} of {}: {} rows",
            self.dataset_id, self.version, self.tenant, self.source_rows
        )];
        for split in &self.splits {
            let bytes: u64 = split.objects.iter().map(|object| object.len_bytes).sum();
            lines.push(format!(
                "{}\n  manifest {} ({})\n  {} objects, {bytes} bytes",
                split.key_id,
                split.manifest_sha256,
                shown(&split.envelope),
                split.objects.len(),
            ));
        }
        lines
    }
}
