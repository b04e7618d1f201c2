//! What the data owner can do at its own machine: open its key file, its store, its splits; read the bundle.

use serde_json::Value;
use tiltyard_attestation::Hex;
use tiltyard_host::demo::{Layout, Party};
use tiltyard_provisioning::bundle::Bundle;
use tiltyard_provisioning::charter::{Charter, OpenCharter};
use tiltyard_provisioning::dataset::{OpenedSplit, open_split};
use tiltyard_provisioning::dek::{Dek, Kek, WrapAad, WrapKind};
use tiltyard_provisioning::keyfile;
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::manifest::Manifest;
use tiltyard_provisioning::order::TrainResult;
use tiltyard_provisioning::record::members;
use tiltyard_provisioning::statement::{Signed, Statement, Verified};

/// The owner's keys, read from its home by hand and not by the broker's program.
pub struct Owner {
    kek: Kek,
    store: rusqlite::Connection,
}

impl Owner {
    pub fn unlock(party: &Party) -> Self {
        let kek =
            keyfile::open(&std::fs::read(party.dir.join("kek")).unwrap(), party.passphrase().as_bytes());
        Self { kek: kek.unwrap(), store: rusqlite::Connection::open(party.dir.join("store.sqlite")).unwrap() }
    }

    /// The newest key of this name.
    pub fn dek(&self, key_id: &KeyId) -> Dek {
        let (version, wrapped): (u32, Vec<u8>) = (self.store)
            .query_row(
                "SELECT version, wrapped FROM deks WHERE key_id = ?1 ORDER BY version DESC LIMIT 1",
                [key_id.to_string()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        let aad = WrapAad {
            key_id: key_id.to_string(),
            kek_id: self.kek.id(),
            version: version.into(),
            kind: WrapKind::Dek,
        };
        Dek::from_bytes(self.kek.unwrap(&wrapped, &aad).unwrap()).unwrap()
    }

    /// One side of a dataset, from the objects that the host was given.
    pub fn open(&self, layout: &Layout, charter: &Charter, id: &str, split: Split) -> OpenedSplit {
        let named = |dataset: &&_| is(dataset, id, split);
        let dataset = charter.datasets.iter().find(named).unwrap();
        let object = |sha256: &Hex<32>| std::fs::read(layout.objects().join(sha256.to_string()));
        let payload = object(&dataset.manifest_sha256).unwrap();
        let manifest = Manifest::admit(&payload, &charter.tenant, dataset).unwrap();
        let dek = self.dek(&KeyId::Dataset { id: id.to_owned(), split });
        open_split(&manifest, &dek, &mut |named| object(&named.sha256)).unwrap()
    }
}

fn is(dataset: &tiltyard_provisioning::charter::Dataset, id: &str, split: Split) -> bool {
    dataset.dataset_id == id && dataset.split == split
}

pub fn charter(envelope: &std::path::Path) -> OpenCharter {
    OpenCharter::open(&std::fs::read(envelope).unwrap()).unwrap()
}

/// The tournament's log, leaf by leaf.
pub fn leaves(bundle: &Bundle) -> Vec<Value> {
    (0..)
        .map_while(|index| bundle.get(&members::leaf(index)))
        .map(|leaf| serde_json::from_slice(leaf).unwrap())
        .collect()
}

/// A signed member of the bundle.
pub fn signed<T: Statement>(bundle: &Bundle, member: &str) -> Option<Verified<T>> {
    let signed: Signed<T> = serde_json::from_slice(bundle.get(member)?).unwrap();
    Some(signed.verify(&signed.key).unwrap())
}

/// The signed result of a train order.
pub fn trained(bundle: &Bundle, order: &str) -> Option<TrainResult> {
    let order = order.parse().unwrap();
    Some(signed::<TrainResult>(bundle, &members::result(&order))?.into_value())
}
