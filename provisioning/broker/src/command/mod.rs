//! The commands: each reads its files, asks the library, writes its files, prints its facts.

mod charter;
mod check;
mod collateral;
mod container;
mod enrol;
mod home;
mod open;
mod seal;
mod serve;
mod submit;
mod token;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use tiltyard_attestation::Hex;

use crate::cli::{Command, HomeArgs, OutputForm};
use crate::file::make_folder;
use crate::identity::Unlocked;
use crate::{BrokerError, Home, Passphrase, read_limited, write_private};

/// Largest document that a command reads, in bytes.
const DOCUMENT_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Runs one command.
pub(crate) fn execute(command: Command, form: OutputForm) -> Result<(), BrokerError> {
    match command {
        Command::Init(args) => home::init(args, form),
        Command::Identity { dir } => home::identity(&dir, form),
        Command::EntrantInit { home, kdf_memory_mib } => home::entrant_init(&home, kdf_memory_mib, form),
        Command::Check(args) => check::check(&args, form),
        Command::Seal(args) => seal::seal(&args, form),
        Command::Submit(args) => submit::submit(args, form),
        Command::Enrol(args) => enrol::enrol(args, form),
        Command::CharterSign(args) => charter::sign(&args, form),
        Command::CharterDiff { old, new } => charter::diff(&old, &new, form),
        Command::CharterShow { envelope } => charter::show(&envelope, form),
        Command::CollateralSign(args) => collateral::sign(&args, form),
        Command::ContainerSeal(args) => container::seal(&args, form),
        Command::ContainerOpen(args) => container::open(&args, form),
        Command::ContainerInspect { input, key } => container::inspect(&input, key, form),
        Command::Serve(args) => serve::serve(&args, form),
        Command::Token { dir, lease } => token::token(&dir, &lease, form),
        Command::Open(args) => open::open(&args, form),
    }
}

fn unlock(home: &HomeArgs) -> Result<Unlocked, BrokerError> {
    // Opened first: asking for a passphrase of a home that isn't there would be rude.
    let opened = Home::open(&home.dir)?;
    opened.unlock(&Passphrase::read(home.passphrase)?)
}

fn read_document<T: DeserializeOwned>(path: &Path) -> Result<T, BrokerError> {
    let bytes = read_limited(path, DOCUMENT_MAX_BYTES)?;
    tiltyard_provisioning::json::read(&bytes, bytes.len())
        .map_err(|error| BrokerError::Document { path: path.into(), what: error.to_string() })
}

/// Writes content under the SHA-256 of its bytes, as guests and hosts look it up.
fn write_object(out: &Path, bytes: &[u8]) -> Result<(Hex<32>, PathBuf), BrokerError> {
    let folder = out.join("objects");
    make_folder(&folder)?;
    let sha256 = Hex::sha256(bytes);
    let path = folder.join(sha256.to_string());
    write_private(&path, bytes)?;
    Ok((sha256, path))
}

/// One line for a person who watches a long command.
fn progress(text: &str) {
    use std::io::IsTerminal as _;
    let stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = writeln!(stderr.lock(), "{text}");
    }
}
