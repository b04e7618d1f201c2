//! What is left at the end: the champion's artefact in the owner's hands, and the auditor's verdict.

use std::path::PathBuf;
use std::process::ExitStatus;

use serde_json::{Value, json};
use tiltyard_provisioning::order::{ObjectRef, TrainResult};
use tiltyard_provisioning::statement::Signed;
use tokio::process::Command;

use super::parties::{Parties, answer, text};
use super::show::Show;
use super::tournament::Outcome;
use super::{DemoError, Layout, io};

/// The winner's weights, opened.
pub struct Champion {
    /// Id of the submission.
    pub submission: String,
    /// Digest of the train order that made them.
    pub order: String,
    pub folder: PathBuf,
}

/// What `tiltyard-audit verify` said of the bundle.
pub struct Verdict {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Opens the champion's last artefact for the owner, then audits the bundle and shows the verdict.
pub(crate) async fn collect(
    layout: &Layout,
    parties: &Parties,
    outcome: &Outcome,
    show: &mut Show,
) -> Result<(), DemoError> {
    let Champion { submission, order, folder } = open_champion(layout, parties, outcome).await?;
    show.fact(
        &format!("  the owner opened the champion's artefact into {}", folder.display()),
        &json!({"event": "champion", "submission": submission, "order": order, "folder": folder}),
    );
    let Verdict { status, stdout, stderr } =
        audit(layout, parties, if show.is_text() { "text" } else { "json" }).await?;
    let event =
        json!({"event": "audit", "result": serde_json::from_str::<Value>(&stdout).unwrap_or(Value::Null)});
    show.fact(&format!("\n{stdout}"), &event);
    if status.success() {
        return Ok(());
    }
    Err(DemoError::Program {
        program: "tiltyard-audit verify".to_owned(),
        status: status.to_string(),
        stderr,
    })
}

/// Opens the champion's last artefact with the key that its trainer deposited at the owner's broker.
pub async fn open_champion(
    layout: &Layout,
    parties: &Parties,
    outcome: &Outcome,
) -> Result<Champion, DemoError> {
    let submission = outcome.tournament["holder"].as_str().unwrap_or_default().to_owned();
    let (order, object) = last_artefact(layout, &submission)?;
    let folder = layout.path("champion");
    let sealed = layout.host().join("objects").join(object.sha256.to_string());
    let (key_id, name) = (format!("artefact/{order}"), object.name.to_string());
    let args = [
        "open",
        "--key-id",
        &key_id,
        "--object",
        text(&sealed),
        "--order",
        &order,
        "--name",
        &name,
        "--out",
        text(&folder),
    ];
    parties.owner.broker(layout, &args).await?;
    Ok(Champion { submission, order, folder })
}

/// The last train order of the champion that left an artefact, from the bundle's signed results.
fn last_artefact(layout: &Layout, champion: &str) -> Result<(String, ObjectRef), DemoError> {
    let bytes = std::fs::read(layout.path("bundle.tar")).map_err(|source| io("bundle.tar", source))?;
    let bundle = tiltyard_provisioning::bundle::Bundle::read(bytes)
        .map_err(|error| answer("bundle.tar", &error.to_string()))?;
    let mut found = None;
    for index in 0u64.. {
        let Some(leaf) = bundle.get(&tiltyard_provisioning::record::members::leaf(index)) else { break };
        let leaf: Value = serde_json::from_slice(leaf).unwrap_or_default();
        let body = &leaf["body"];
        let trained = leaf["type"] == "outcome" && body["role"] == "train" && body["submission"] == champion;
        if trained && let Some(order) = body["order"].as_str() {
            found = artefact_of(&bundle, order).map(|object| (order.to_owned(), object)).or(found);
        }
    }
    found.ok_or_else(|| DemoError::Undecided("the champion left no artefact".to_owned()))
}

fn artefact_of(bundle: &tiltyard_provisioning::bundle::Bundle, order: &str) -> Option<ObjectRef> {
    let member = tiltyard_provisioning::record::members::result(&order.parse().ok()?);
    let signed: Signed<TrainResult> = serde_json::from_slice(bundle.get(&member)?).ok()?;
    let result = signed.verify(&signed.key).ok()?;
    result.artefact.clone()
}

/// Runs the auditor on `bundle.tar`; `form` is `text` or `json`. Leaves `report.html`.
pub async fn audit(layout: &Layout, parties: &Parties, form: &str) -> Result<Verdict, DemoError> {
    let bundle = layout.path("bundle.tar");
    let html = layout.path("report.html");
    let key = |identity: &Value| identity["signing_key"].as_str().unwrap_or_default().to_owned();
    let done = Command::new(layout.program("tiltyard-audit"))
        .args(["verify", text(&bundle), "--html", text(&html), "--output", form])
        .args(["--owner-key", &key(&parties.owner.identity)])
        .args(["--operator-key", &key(&parties.operator.identity)])
        .output()
        .await
        .map_err(|source| io("tiltyard-audit", source))?;
    Ok(Verdict {
        status: done.status,
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}
