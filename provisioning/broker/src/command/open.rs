//! `open`: the owner opens an artefact or log whose key a trainer deposited.

use std::path::PathBuf;

use serde::Serialize;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::container::header_of;
use tiltyard_provisioning::dek::{Dek, WrapAad, WrapKind};
use tiltyard_provisioning::keyid::KeyId;
use tiltyard_provisioning::order::ObjectRef;
use tiltyard_provisioning::output::{OUTPUT_MAX_BYTES, OutputKind, open_output};

use super::unlock;
use crate::cli::{Facts, OpenArgs, OutputForm};
use crate::file::make_folder;
use crate::store::{self, deks};
use crate::{BrokerError, StoreError, read_limited, write_private};

#[derive(Serialize)]
struct Opened {
    key_id: KeyId,
    file: PathBuf,
    sha256: Hex<32>,
    len_bytes: u64,
}

pub(super) fn open(args: &OpenArgs, form: OutputForm) -> Result<(), BrokerError> {
    let home = unlock(&args.home)?;
    home.broker("open")?;
    let (kind, name) = match args.key_id {
        KeyId::Log(_) => (OutputKind::Log, "log"),
        // The command line lets artefact and log through only.
        _ => (OutputKind::Artefact, "artefact"),
    };
    let tenant = store::fact(home.store.read(), store::TENANT)?
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| BrokerError::refused("ResourceNotFound", "this home has not served a charter yet"))?;
    let wrapped = deks::newest(home.store.read(), &args.key_id)?
        .ok_or_else(|| BrokerError::refused("ResourceNotFound", format!("no {} was deposited", args.key_id)))?;
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
    let plaintext =
        open_output(kind, &tenant, &args.order, &dek, &object, &bytes).map_err(BrokerError::coded)?;
    make_folder(&args.out)?;
    let file = args.out.join(name);
    write_private(&file, &plaintext)?;
    let (sha256, len_bytes) = (Hex::sha256(&plaintext), plaintext.len() as u64);
    Opened { key_id: args.key_id.clone(), file, sha256, len_bytes }.print(form);
    Ok(())
}

impl Facts for Opened {
    fn lines(&self) -> Vec<String> {
        vec![format!("opened {}: {} ({} bytes)", self.key_id, self.file.display(), self.len_bytes)]
    }
}
