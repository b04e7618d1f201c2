//! `charter sign`, `charter diff`, `charter show`.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tiltyard_attestation::Hex;
use tiltyard_attestation::policy::Level;
use tiltyard_provisioning::charter::{
    self, Change, ChangeKind, Charter, CharterError, OpenCharter, read_payload, unverified_payload,
};

use super::{DOCUMENT_MAX_BYTES, unlock};
use crate::cli::{CharterSignArgs, Facts, OutputForm, path_text};
use crate::error::shown;
use crate::file::Target;
use crate::identity::Secret;
use crate::{BrokerError, now, read_limited};

/// Digits of `p` that a signer types back.
const CONFIRM_DIGITS: usize = 8;

#[derive(Serialize)]
struct Signed {
    p: Hex<32>,
    signer: Hex<32>,
    #[serde(serialize_with = "path_text")]
    envelope: PathBuf,
    complete: bool,
}

#[derive(Serialize)]
struct Changes {
    p: Hex<32>,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Shown {
    p: Hex<32>,
    charter_id: String,
    tenant: String,
    version: u64,
    level: Level,
    not_before: u64,
    not_after: u64,
    tournament: String,
    owner: Hex<32>,
    operator: Hex<32>,
    in_force: bool,
}

pub(super) fn sign(args: &CharterSignArgs, form: OutputForm) -> Result<(), BrokerError> {
    // The other party's half may be where the whole goes.
    let inputs = [Some(&args.charter), args.previous.as_ref(), Some(&args.home.dir)];
    let kept: Vec<&Path> = inputs.into_iter().flatten().map(|path| path.as_path()).collect();
    let out = Target::new(&args.out, &kept)?;
    let payload = read_limited(&args.charter, DOCUMENT_MAX_BYTES)?;
    let new = read_payload(&payload).map_err(refused)?;
    let p = Hex::sha256(&payload);
    let existing = args.envelope.as_deref().map(|path| read_limited(path, DOCUMENT_MAX_BYTES)).transpose()?;
    let previous = args.previous.as_deref().map(read_charter).transpose()?.map(|(_, charter)| charter);
    show_changes(&charter::diff(previous.as_ref(), &new), &p);
    confirm(&p, args.confirm.as_deref())?;

    let home = unlock(&args.home)?;
    let signer = home.broker("charter sign")?.signing_key;
    let key = home.ed25519(Secret::Signing)?;
    let envelope = charter::sign(&payload, existing.as_deref(), &key).map_err(refused)?;
    out.write(&envelope)?;
    let complete = OpenCharter::open(&envelope).is_ok();
    Signed { p, signer, envelope: args.out.clone(), complete }.print(form)
}

pub(super) fn diff(old: &Path, new: &Path, form: OutputForm) -> Result<(), BrokerError> {
    let (_, old) = read_charter(old)?;
    let (p, new) = read_charter(new)?;
    Changes { p, changes: charter::diff(Some(&old), &new) }.print(form)
}

pub(super) fn show(path: &Path, form: OutputForm) -> Result<(), BrokerError> {
    let charter = OpenCharter::open(&read_limited(path, DOCUMENT_MAX_BYTES)?).map_err(refused)?;
    Shown {
        p: charter.p(),
        charter_id: charter.charter_id.clone(),
        tenant: charter.tenant.clone(),
        version: charter.version,
        level: charter.level,
        not_before: charter.not_before,
        not_after: charter.not_after,
        tournament: charter.tournament.id.clone(),
        owner: charter.signers.owner,
        operator: charter.signers.operator,
        in_force: charter.at(now()).is_ok(),
    }
    .print(form)
}

/// A charter from its own file or from an envelope, signed by whomever: for showing, not for trusting.
fn read_charter(path: &Path) -> Result<(Hex<32>, Charter), BrokerError> {
    let bytes = read_limited(path, DOCUMENT_MAX_BYTES)?;
    let payload = unverified_payload(&bytes).unwrap_or(bytes);
    Ok((Hex::sha256(&payload), read_payload(&payload).map_err(refused)?))
}

fn show_changes(changes: &[Change], p: &Hex<32>) {
    let mut stderr = io::stderr().lock();
    for line in changes.iter().map(line).chain([format!("p = {p}")]) {
        // A closed terminal shows nothing; the confirmation below still stands in the way.
        let _ = writeln!(stderr, "{line}");
    }
}

fn line(change: &Change) -> String {
    let mark = if change.widens { "WIDENS" } else { "      " };
    let old = change.old.as_deref().unwrap_or_default();
    let new = change.new.as_deref().unwrap_or_default();
    match change.kind {
        ChangeKind::Added => format!("{mark} + {}: {new}", change.path),
        ChangeKind::Removed => format!("{mark} - {}: {old}", change.path),
        ChangeKind::Changed => format!("{mark} ~ {}: {old} -> {new}", change.path),
    }
}

/// PROVISIONING 4: the signer types the first 8 hex digits of `p` back, and so has seen which `p`.
fn confirm(p: &Hex<32>, given: Option<&str>) -> Result<(), BrokerError> {
    let expected: String = p.to_string().chars().take(CONFIRM_DIGITS).collect();
    let got = match given {
        Some(given) => given.to_owned(),
        None => ask()
            .map_err(|source| BrokerError::io("ask for confirmation on", Path::new("/dev/tty"), source))?,
    };
    if got == expected { Ok(()) } else { Err(BrokerError::NotConfirmed { expected, got }) }
}

fn ask() -> io::Result<String> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    write!(&terminal, "To sign, type the first {CONFIRM_DIGITS} digits of p: ")?;
    let mut line = String::new();
    BufReader::new(io::Read::take(&terminal, 64)).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn refused(error: CharterError) -> BrokerError {
    BrokerError::refused(error.code(), error)
}

impl Facts for Signed {
    fn lines(&self) -> Vec<String> {
        let state = if self.complete { "signed by both parties" } else { "the other party signs next" };
        vec![format!("p        {}", self.p), format!("envelope {} ({state})", shown(&self.envelope))]
    }
}

impl Facts for Changes {
    fn lines(&self) -> Vec<String> {
        self.changes.iter().map(line).chain([format!("p = {}", self.p)]).collect()
    }
}

impl Facts for Shown {
    fn lines(&self) -> Vec<String> {
        vec![
            format!("charter    {} version {} of {}", self.charter_id, self.version, self.tenant),
            format!("p          {}", self.p),
            format!("level      {:?}", self.level),
            format!("tournament {}", self.tournament),
            format!("window     {} to {}, in force: {}", self.not_before, self.not_after, self.in_force),
            format!("owner      {}", self.owner),
            format!("operator   {}", self.operator),
        ]
    }
}
