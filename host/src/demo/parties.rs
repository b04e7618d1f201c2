//! Owner, operator and entrants: each a folder of its own, worked by `tiltyard-broker`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use tiltyard_attestation::Hex;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::layout::MODEL_NAME;
use super::scenario::{Entrant, RowsFile, Stance};
use super::show::Show;
use super::{DemoError, Layout, io};

/// Id of the demo's tournament and tenant.
pub(crate) const TOURNAMENT: &str = "demo-spring";
pub(crate) const TENANT: &str = "acme";
/// The operator's fee of the `seed` rulebook, in cents.
const BUY_IN: &str = "8000";
/// argon2id memory: the least that a key file may have, as ten of them are made here in seconds.
const KDF_MIB: &str = "64";

/// One party's folder and passphrase. The passphrase lives in this process only, and travels by pipe.
pub struct Party {
    pub dir: PathBuf,
    /// As `tiltyard-broker init` printed it.
    pub identity: Value,
    passphrase: String,
}

/// Everybody, and what they made.
pub struct Parties {
    pub owner: Party,
    pub operator: Party,
    /// Facts of each sealed dataset, as `tiltyard-broker seal` printed them.
    pub datasets: Vec<Value>,
    pub roll: PathBuf,
}

impl Party {
    /// Runs `tiltyard-broker ARGS --dir DIR --passphrase-fd 0 --output json` and reads its answer.
    pub async fn broker(&self, layout: &Layout, args: &[&str]) -> Result<Value, DemoError> {
        unlocked(layout, &self.dir, &self.passphrase, args).await
    }

    /// What opens this party's key file; for a test that checks by hand what the party would find.
    pub fn passphrase(&self) -> &str {
        &self.passphrase
    }
}

/// Makes everybody's keys, seals the datasets, hands in and admits the submissions.
pub async fn set_up(layout: &Layout, show: &mut Show) -> Result<Parties, DemoError> {
    let (owner, operator) = tokio::try_join!(
        found(layout, "owner", &["init", "--role", "owner", "--kdf-memory-mib", KDF_MIB]),
        found(layout, "operator", &["init", "--role", "operator", "--kdf-memory-mib", KDF_MIB]),
    )?;
    let operator_card = layout.path("operator.identity.json");
    write(&operator_card, operator.identity.to_string().as_bytes())?;
    let mut datasets = Vec::new();
    for RowsFile { id, path } in &layout.scenario().datasets {
        let facts = seal(layout, &owner, id, path).await?;
        show.fact(&format!("  sealed {id}"), &json!({"event": "sealed", "dataset": id, "facts": facts}));
        datasets.push(facts);
    }
    let mut entries = Vec::new();
    for entrant in &layout.scenario().entrants {
        let entry = admit(layout, &operator, &operator_card, entrant).await?;
        let label = &entrant.label;
        show.fact(&format!("  admitted {label}"), &json!({"event": "admitted", "entrant": label}));
        entries.push(entry);
    }
    let roll = layout.path("roll.json");
    write(&roll, json!({"entries": entries}).to_string().as_bytes())?;
    Ok(Parties { owner, operator, datasets, roll })
}

async fn found(layout: &Layout, name: &str, args: &[&str]) -> Result<Party, DemoError> {
    let dir = layout.path(name);
    let mut secret = [0; 24];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| io("random bytes", std::io::ErrorKind::Other.into()))?;
    let passphrase = Hex(secret).to_string();
    let identity = unlocked(layout, &dir, &passphrase, args).await?;
    Ok(Party { dir, identity, passphrase })
}

async fn seal(layout: &Layout, owner: &Party, id: &str, rows: &Path) -> Result<Value, DemoError> {
    let out = layout.path("sealed");
    let test_rows = layout.scenario().test_rows.to_string();
    let args = [
        "seal",
        "--tenant",
        TENANT,
        "--dataset-id",
        id,
        "--input",
        text(rows),
        "--test-rows",
        &test_rows,
        "--instruction",
        "instruction",
        "--output-column",
        "output",
        "--licence",
        "WordNet",
        "--out",
        text(&out),
    ];
    let facts = owner.broker(layout, &args).await?;
    move_objects(&out.join("objects"), &layout.objects())?;
    Ok(facts)
}

async fn admit(
    layout: &Layout,
    operator: &Party,
    operator_card: &Path,
    entrant: &Entrant,
) -> Result<Value, DemoError> {
    let Entrant { label, recipe, stance } = entrant;
    let entrant =
        found(layout, &format!("entrants/{label}"), &["entrant-init", "--kdf-memory-mib", KDF_MIB]).await?;
    let file = entrant.dir.join("recipe.toml");
    write(&file, recipe.as_bytes())?;
    let out = layout.path(&format!("submitted/{label}"));
    let args = [
        "submit",
        "--recipe",
        text(&file),
        "--tournament",
        TOURNAMENT,
        "--base",
        MODEL_NAME,
        "--licence",
        "MIT",
        "--escrow",
        text(operator_card),
        "--out",
        text(&out),
    ];
    entrant.broker(layout, &args).await?;
    move_objects(&out.join("objects"), &layout.objects())?;
    let submission = out.join("submission.json");
    let entry = out.join("roll-entry.json");
    let mut args = vec![
        "enrol",
        "--submission",
        text(&submission),
        "--label",
        label,
        "--buy-in",
        BUY_IN,
        "--log-permitted",
        "--out",
        text(&entry),
    ];
    if *stance == Stance::Defends {
        args.push("--champion");
    }
    operator.broker(layout, &args).await?;
    let bytes = std::fs::read(&entry).map_err(|source| io("roll entry", source))?;
    serde_json::from_slice(&bytes).map_err(|error| answer("tiltyard-broker enrol", &error.to_string()))
}

async fn unlocked(layout: &Layout, dir: &Path, passphrase: &str, args: &[&str]) -> Result<Value, DemoError> {
    let mut child =
        broker_command(layout, dir, args).spawn().map_err(|source| io("tiltyard-broker", source))?;
    send_passphrase(&mut child, passphrase).await?;
    let done = child.wait_with_output().await.map_err(|source| io("tiltyard-broker", source))?;
    let program = format!("tiltyard-broker {}", args.first().unwrap_or(&""));
    if !done.status.success() {
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(DemoError::Program { program, status: done.status.to_string(), stderr });
    }
    serde_json::from_slice(&done.stdout).map_err(|error| answer(&program, &error.to_string()))
}

pub(crate) fn broker_command(layout: &Layout, dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(layout.program("tiltyard-broker"));
    command
        .args(args)
        .args(["--dir", text(dir), "--passphrase-fd", "0", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) async fn send_passphrase(
    child: &mut tokio::process::Child,
    passphrase: &str,
) -> Result<(), DemoError> {
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(format!("{passphrase}\n").as_bytes())
            .await
            .map_err(|source| io("passphrase pipe", source))?;
    }
    Ok(())
}

/// Hands ciphertext and public documents to the host's folder; what is there already has the same digest.
pub(crate) fn move_objects(from: &Path, to: &Path) -> Result<(), DemoError> {
    let entries = std::fs::read_dir(from).map_err(|source| io(&from.display().to_string(), source))?;
    for entry in entries {
        let entry = entry.map_err(|source| io("sealed objects", source))?;
        std::fs::rename(entry.path(), to.join(entry.file_name()))
            .map_err(|source| io("sealed objects", source))?;
    }
    Ok(())
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), DemoError> {
    std::fs::write(path, bytes).map_err(|source| io(&path.display().to_string(), source))
}

pub(crate) fn answer(program: &str, what: &str) -> DemoError {
    DemoError::Answer { program: program.to_owned(), what: what.to_owned() }
}

/// Paths of the demo are made here from UTF-8 names under the given folder.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
