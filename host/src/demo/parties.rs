//! Owner, operator and entrants: each a folder of its own, worked by `tiltyard-broker`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use tiltyard_attestation::Hex;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::show::Show;
use super::{DemoError, Layout, MODEL_NAME, io};

/// Id of the demo's tournament and tenant.
pub(crate) const TOURNAMENT: &str = "demo-spring";
pub(crate) const TENANT: &str = "acme";
const TEST_ROWS: &str = "240";
/// The operator's fee of the `seed` rulebook, in cents.
const BUY_IN: &str = "8000";
/// argon2id memory: the least that a key file may have, as ten of them are made here in seconds.
const KDF_MIB: &str = "64";

/// The entrants of the demo: honestly different recipes, one bad, one too large for its guest, one too slow.
const ENTRANTS: [(&str, &str); 8] = [
    ("baseline", include_str!("recipes/baseline.toml")),
    ("careful", include_str!("recipes/careful.toml")),
    ("wide", include_str!("recipes/wide.toml")),
    ("attention", include_str!("recipes/attention.toml")),
    ("quick", include_str!("recipes/quick.toml")),
    ("bad", include_str!("recipes/bad.toml")),
    ("crash", include_str!("recipes/crash.toml")),
    ("overrun", include_str!("recipes/overrun.toml")),
];

/// One party's folder and passphrase. The passphrase lives in this process only, and travels by pipe.
pub(crate) struct Party {
    pub(crate) dir: PathBuf,
    pub(crate) identity: Value,
    passphrase: String,
}

/// Everybody, and what they made.
pub(crate) struct Parties {
    pub(crate) owner: Party,
    pub(crate) operator: Party,
    /// Facts of each sealed dataset, as `tiltyard-broker seal` printed them.
    pub(crate) datasets: Vec<Value>,
    pub(crate) roll: PathBuf,
}

impl Party {
    /// Runs `tiltyard-broker ARGS --dir DIR --passphrase-fd 0 --output json` and reads its answer.
    pub(crate) async fn broker(&self, layout: &Layout, args: &[&str]) -> Result<Value, DemoError> {
        unlocked(layout, &self.dir, &self.passphrase, args).await
    }

    /// Starts a long-running command of this party.
    pub(crate) async fn spawn(
        &self,
        layout: &Layout,
        args: &[&str],
    ) -> Result<tokio::process::Child, DemoError> {
        let mut command = broker_command(layout, &self.dir, args);
        let mut child = command.kill_on_drop(true).spawn().map_err(|source| io("tiltyard-broker", source))?;
        send_passphrase(&mut child, &self.passphrase).await?;
        Ok(child)
    }
}

/// Makes everybody's keys, seals the datasets, hands in and admits the submissions.
pub(crate) async fn set_up(layout: &Layout, show: &mut Show) -> Result<Parties, DemoError> {
    let (owner, operator) = tokio::try_join!(
        found(layout, "owner", &["init", "--role", "owner", "--kdf-memory-mib", KDF_MIB]),
        found(layout, "operator", &["init", "--role", "operator", "--kdf-memory-mib", KDF_MIB]),
    )?;
    let operator_card = layout.path("operator.identity.json");
    write(&operator_card, operator.identity.to_string().as_bytes())?;
    let mut datasets = Vec::new();
    for (id, rows) in &layout.dictionaries {
        let facts = seal(layout, &owner, id, rows).await?;
        show.fact(&format!("  sealed {id}"), &json!({"event": "sealed", "dataset": id, "facts": facts}));
        datasets.push(facts);
    }
    let mut entries = Vec::new();
    for (label, recipe) in ENTRANTS {
        let entry = admit(layout, &operator, &operator_card, label, recipe).await?;
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
    let args = [
        "seal",
        "--tenant",
        TENANT,
        "--dataset-id",
        id,
        "--input",
        text(rows),
        "--test-rows",
        TEST_ROWS,
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
    label: &str,
    recipe: &str,
) -> Result<Value, DemoError> {
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
    if label == "baseline" {
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

fn broker_command(layout: &Layout, dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(layout.program("tiltyard-broker"));
    command
        .args(args)
        .args(["--dir", text(dir), "--passphrase-fd", "0", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn send_passphrase(child: &mut tokio::process::Child, passphrase: &str) -> Result<(), DemoError> {
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
