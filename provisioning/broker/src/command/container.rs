//! `container`: single files sealed and opened under a key at hand, so that other implementations can be compared.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use serde::Serialize;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::container::{self, ContainerError, Context, HEADER_BYTES, Opener, ReadAt as _};
use tiltyard_provisioning::dek::{Dek, KEY_BYTES};
use zeroize::Zeroizing;

use crate::BrokerError;
use crate::cli::{ContainerArgs, Facts, OutputForm, path_text};
use crate::error::shown;
use crate::file::{Target, open_regular, read_opened};
use crate::object::{SealedFile, open_file, seal_file};

/// 64 digits and a line break, with room for white space.
const KEY_FILE_MAX_BYTES: u64 = 1024;

#[derive(Serialize)]
struct Made {
    #[serde(serialize_with = "path_text")]
    file: PathBuf,
    /// Salt and commitment of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Hex<56>>,
    len_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

#[derive(Serialize)]
struct Inspected {
    salt: Hex<24>,
    commitment: Hex<32>,
    len_bytes: u64,
    chunks: u64,
    /// True only once the last chunk has opened.
    plaintext_len: u64,
    /// Whether key and context belong to it, and its last chunk verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// A data key, and what is to be said of its file.
struct Key {
    dek: Dek,
    note: Option<&'static str>,
}

pub(super) fn seal(args: &ContainerArgs, form: OutputForm) -> Result<(), BrokerError> {
    let out = Target::new(&args.out, &[&args.key_file, &args.input])?;
    let Key { dek, note } = Key::read(&args.key_file)?;
    let source = open_regular(&args.input)?;
    let (context, rng) = (Context::from_bytes(args.context.0), SystemRandom::new());
    let SealedFile { header, len_bytes } = seal_file(&dek, &context, &source, out.path(), args.threads, &rng)
        .map_err(|error| failed(error, &args.input))?;
    Made { file: args.out.clone(), header: Some(header), len_bytes, note }.print(form)
}

pub(super) fn open(args: &ContainerArgs, form: OutputForm) -> Result<(), BrokerError> {
    let out = Target::new(&args.out, &[&args.key_file, &args.input])?;
    let Key { dek, note } = Key::read(&args.key_file)?;
    let sealed = open_regular(&args.input)?;
    let context = Context::from_bytes(args.context.0);
    let len_bytes = open_file(&dek, &context, &sealed, out.path(), args.threads)
        .map_err(|error| failed(error, &args.input))?;
    Made { file: args.out.clone(), header: None, len_bytes, note }.print(form)
}

pub(super) fn inspect(
    input: &Path,
    key_file: Option<(PathBuf, Hex<32>)>,
    form: OutputForm,
) -> Result<(), BrokerError> {
    let sealed = open_regular(input)?;
    let len_bytes = sealed.metadata().map_err(|source| BrokerError::io("read", input, source))?.len();
    let refused = |error| failed(error, input);
    let plaintext_len = container::plaintext_len(len_bytes).map_err(refused)?;
    let mut header = [0; HEADER_BYTES];
    sealed.read_exact_at(&mut header, 0).map_err(|source| BrokerError::io("read", input, source))?;
    let (verified, note) = match &key_file {
        None => (None, None),
        Some((path, context)) => {
            let Key { dek, note } = Key::read(path)?;
            let opener =
                Opener::of(&dek, &Context::from_bytes(context.0), &sealed, len_bytes).map_err(refused)?;
            (Some(opener.plaintext_len().map_err(refused)? == plaintext_len), note)
        }
    };
    let part = |range: std::ops::Range<usize>| &header[range];
    let (Some(salt), Some(commitment)) =
        (Hex::from_slice(part(0..24)), Hex::from_slice(part(24..HEADER_BYTES)))
    else {
        return Err(BrokerError::Internal { what: "a header" });
    };
    let chunks = plaintext_len / container::CHUNK_BYTES as u64 + 1;
    Inspected { salt, commitment, len_bytes, chunks, plaintext_len, verified, note }.print(form)
}

impl Key {
    /// The data key of a file: 32 bytes as they are, or in hex.
    fn read(path: &Path) -> Result<Self, BrokerError> {
        let file = open_regular(path)?;
        let metadata = file.metadata().map_err(|source| BrokerError::io("read", path, source))?;
        let bytes = Zeroizing::new(read_opened(file, path, KEY_FILE_MAX_BYTES)?);
        let key = match bytes.len() {
            KEY_BYTES => bytes,
            _ => {
                let text = std::str::from_utf8(bytes.trim_ascii()).ok();
                let key = text.and_then(|text| text.parse::<Hex<KEY_BYTES>>().ok());
                let key = key.map(|key| Zeroizing::new(key.0)).ok_or_else(|| {
                    let what = format!("{}: expected 32 bytes, or 64 hex digits", shown(path));
                    BrokerError::refused("E_KEY_LEN", what)
                })?;
                Zeroizing::new(key.to_vec())
            }
        };
        let open_to_others = metadata.permissions().mode() & 0o077 != 0;
        Ok(Self {
            dek: Dek::from_bytes(key).map_err(BrokerError::coded)?,
            note: open_to_others.then_some("others than its owner may read or write the key file"),
        })
    }
}

/// What does not verify is refused; what can't be read or written is a failure.
fn failed(error: ContainerError, input: &Path) -> BrokerError {
    match error {
        ContainerError::Io(source) => BrokerError::io("seal or open", input, source),
        error => BrokerError::coded(error),
    }
}

impl Facts for Made {
    fn lines(&self) -> Vec<String> {
        let header = self.header.map(|header| format!("header {header}"));
        let note = self.note.map(str::to_owned);
        let file = format!("{}, {} bytes", shown(&self.file), self.len_bytes);
        [file].into_iter().chain(header).chain(note).collect()
    }
}

impl Facts for Inspected {
    fn lines(&self) -> Vec<String> {
        let of = |what: &str, value: &dyn std::fmt::Display| format!("{what:<11} {value}");
        let mut lines = vec![
            of("salt", &self.salt),
            of("commitment", &self.commitment),
            of("object", &format_args!("{} bytes, {} chunks", self.len_bytes, self.chunks)),
        ];
        lines.push(match self.verified {
            Some(_) => of("plaintext", &format_args!("{} bytes, by its last chunk", self.plaintext_len)),
            None => of("plaintext", &format_args!("{} bytes, if it is whole", self.plaintext_len)),
        });
        lines.extend(self.note.map(str::to_owned));
        lines
    }
}
