//! `open`: the owner opens an artefact, a trainer's log or item losses, whose keys guests deposited.

use serde::Serialize;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::container::header_of;
use tiltyard_provisioning::dek::{Dek, WrapAad, WrapKind};
use tiltyard_provisioning::keyid::KeyId;
use tiltyard_provisioning::order::ObjectRef;
use tiltyard_provisioning::output::{AdapterFiles, OUTPUT_MAX_BYTES, OutputKind, open_output};
use zeroize::Zeroizing;

use super::unlock;
use crate::cli::{Facts, OpenArgs, OutputForm};
use crate::error::shown;
use crate::file::make_folder;
use crate::identity::Unlocked;
use crate::store::{self, deks};
use crate::{BrokerError, StoreError, read_limited, write_private};

#[derive(Serialize)]
struct Opened {
    key_id: KeyId,
    files: Vec<String>,
    /// Of all that was opened: what a score claim calls `artefact_sha256`.
    sha256: Hex<32>,
    len_bytes: u64,
}

pub(super) fn open(args: &OpenArgs, form: OutputForm) -> Result<(), BrokerError> {
    let home = unlock(&args.home)?;
    home.broker("open")?;
    open_object(&home, args)?.print(form)
}

fn open_object(home: &Unlocked, args: &OpenArgs) -> Result<Opened, BrokerError> {
    let tenant = store::fact(home.store.read(), store::TENANT)?
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| BrokerError::refused("ResourceNotFound", "this home has not served a charter yet"))?;
    let wrapped = deks::newest(home.store.read(), &args.key_id)?.ok_or_else(|| {
        BrokerError::refused("ResourceNotFound", format!("no {} was deposited", args.key_id))
    })?;
    let aad = WrapAad {
        key_id: args.key_id.to_string(),
        kek_id: home.kek.id(),
        version: wrapped.version,
        kind: WrapKind::Dek,
    };
    let key = home.kek.unwrap(&wrapped.bytes, &aad).map_err(BrokerError::coded)?;
    let dek = Dek::from_bytes(key).map_err(|_| StoreError::Damaged { what: "a deposited key" })?;

    let bytes = read_limited(&args.object, OUTPUT_MAX_BYTES)?;
    let object = ObjectRef {
        name: args.name,
        header: header_of(&bytes).map_err(BrokerError::coded)?,
        sha256: Hex::sha256(&bytes),
        len_bytes: bytes.len() as u64,
    };
    let opened = |kind| open_output(kind, &tenant, &args.order, &dek, &object, &bytes);
    let (plaintext, parts) = match args.key_id {
        // A trainer deposits its log's key under this name, an evaluator that of the item losses.
        KeyId::Log(_) => match opened(OutputKind::Log) {
            Ok(log) => (log.clone(), vec![("log.jsonl", log)]),
            Err(_) => {
                let losses = opened(OutputKind::Losses).map_err(BrokerError::coded)?;
                (losses.clone(), vec![("losses.json", losses)])
            }
        },
        // The command line lets artefact and log through only.
        _ => {
            let blob = opened(OutputKind::Artefact).map_err(BrokerError::coded)?;
            let AdapterFiles { config, weights } =
                AdapterFiles::from_bytes(&blob).map_err(BrokerError::coded)?;
            let parts = vec![
                ("adapter_config.json", Zeroizing::new(config)),
                ("adapter_model.safetensors", Zeroizing::new(weights)),
            ];
            (blob, parts)
        }
    };
    make_folder(&args.out)?;
    let mut files = Vec::with_capacity(parts.len());
    for (name, part) in parts {
        let file = args.out.join(name);
        write_private(&file, &part)?;
        files.push(shown(&file));
    }
    let (sha256, len_bytes) = (Hex::sha256(&plaintext), plaintext.len() as u64);
    Ok(Opened { key_id: args.key_id.clone(), files, sha256, len_bytes })
}

impl Facts for Opened {
    fn lines(&self) -> Vec<String> {
        let files = self.files.iter().map(|file| format!("  {file}"));
        std::iter::once(format!("opened {}, {} bytes", self.key_id, self.len_bytes)).chain(files).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ring::rand::SystemRandom;
    use tiltyard_provisioning::charter::BrokerOwner;
    use tiltyard_provisioning::output::seal_output;

    use super::*;
    use crate::PassphraseSource;
    use crate::cli::HomeArgs;
    use crate::store::deks::Wrapped;

    /// A home that served tenant `acme` and holds the key of one artefact and its log, as deposits left them.
    fn home(dir: &std::path::Path, order: &Hex<32>, dek: &Dek) -> Unlocked {
        let mut home = Unlocked::for_tests(dir, BrokerOwner::Owner);
        let kek_id = home.kek.id();
        for key_id in [KeyId::Artefact(*order), KeyId::Log(*order)] {
            let aad = WrapAad { key_id: key_id.to_string(), kek_id, version: 1, kind: WrapKind::Dek };
            let bytes = home.kek.wrap(dek.expose(), &aad, &SystemRandom::new()).unwrap();
            let add =
                |c: &rusqlite::Connection| deks::add(c, &key_id, &Wrapped { version: 1, bytes }, None, 0);
            home.store.write::<_, StoreError>(add).unwrap();
        }
        home.store.write::<_, StoreError>(|c| store::set_fact(c, store::TENANT, b"acme")).unwrap();
        home
    }

    #[test]
    fn an_artefact_opens_under_its_own_order_name_and_kind_only() {
        let folder = tempfile::tempdir().unwrap();
        let rng = SystemRandom::new();
        let (order, dek) = (Hex([3; 32]), Dek::generate(&rng).unwrap());
        let home = home(folder.path(), &order, &dek);
        let adapter = AdapterFiles { config: b"{}".to_vec(), weights: b"weights".to_vec() };
        let (object, bytes) =
            seal_output(OutputKind::Artefact, "acme", &order, &dek, &adapter.to_bytes(), &rng).unwrap();
        let path = folder.path().join("object");
        fs::write(&path, &bytes).unwrap();
        let args = |key_id, name| OpenArgs {
            home: HomeArgs { dir: folder.path().into(), passphrase: PassphraseSource::Descriptor(0) },
            key_id,
            object: path.clone(),
            name,
            order,
            out: folder.path().join("out"),
        };
        let code = |args: &OpenArgs| open_object(&home, args).err().map(|error| error.code().to_owned());
        let refused = Some("E_COMMITMENT".to_owned());
        assert_eq!(code(&args(KeyId::Artefact(order), Hex([0; 16]))), refused, "another name");
        assert_eq!(code(&args(KeyId::Log(order), object.name)), refused, "an artefact as a log");
        let unknown = args(KeyId::Artefact(Hex([4; 32])), object.name);
        assert_eq!(code(&unknown).as_deref(), Some("ResourceNotFound"));
        assert!(!folder.path().join("out").exists());

        let good = args(KeyId::Artefact(order), object.name);
        let opened = open_object(&home, &good).unwrap();
        let read: Vec<Vec<u8>> = opened.files.iter().map(|file| fs::read(file).unwrap()).collect();
        assert_eq!(read, [adapter.config, adapter.weights]);
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(code(&good).as_deref(), Some("E_CHUNK_AUTH"));
    }
}
