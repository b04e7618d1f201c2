//! The demo's charter: written here as the two parties would agree it, signed by each with its own key.

use std::path::PathBuf;

use serde_json::json;
use tiltyard_attestation::binding::HpkePublicKey;
use tiltyard_attestation::policy::{GpuFloor, Level, Product, SnpFloor, Tcb, TeeFloor};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::{Backend, Hex};
use tiltyard_provisioning::charter::{
    BaseModel, Broker, BrokerOwner, Charter, Dataset, KemFloor, Limits, Output, Signers, Stage,
    TournamentTerms,
};
use tokio::process::Command;

use super::layout::MODEL_NAME;
use super::parties::{Parties, Party, TENANT, TOURNAMENT, answer, text, write};
use super::scenario::RuleEdit;
use super::show::Show;
use super::{DemoError, Layout, io};

/// The charter's window; a demo's is short.
const WINDOW_S: u64 = 86_400;

/// A signed charter and what goes with it.
pub struct Agreed {
    pub envelope: PathBuf,
    pub anchors: PathBuf,
    pub collateral: PathBuf,
    pub(crate) simulator_seed: PathBuf,
    /// Ports that the charter names for the owner's and the operator's broker.
    pub(crate) ports: [u16; 2],
}

/// Writes the charter, has both sign it, and puts the documents that it names among the host's objects.
pub async fn agree(
    layout: &Layout,
    parties: &Parties,
    now: u64,
    show: &mut Show,
) -> Result<Agreed, DemoError> {
    std::fs::create_dir_all(layout.cache()).map_err(|source| io("simulator cache", source))?;
    let simulator_seed = layout.cache().join("seed");
    if !simulator_seed.exists() {
        // A simulator's seed protects nothing: it stands for no hardware, and every result says so.
        write(&simulator_seed, "5".repeat(64).as_bytes())?;
    }
    let anchors = layout.path("simulator-anchors.json");
    let collateral = layout.path("simulator-collateral.json");
    simulator(layout, &simulator_seed, &["anchors", "--out", text(&anchors)]).await?;
    simulator(layout, &simulator_seed, &["collateral", "--out", text(&collateral)]).await?;
    let anchor_bytes = std::fs::read(&anchors).map_err(|source| io("anchors", source))?;

    let rulebook = rulebook(&layout.scenario().rules)?;
    publish(layout, &rulebook)?;
    publish(layout, &anchor_bytes)?;
    let model = std::fs::read(layout.model()).map_err(|source| io("base model", source))?;
    let base =
        BaseModel { name: MODEL_NAME.to_owned(), sha256: Hex::sha256(&model), len_bytes: model.len() as u64 };
    let model_object = layout.objects().join(base.sha256.to_string());
    std::fs::hard_link(layout.model(), &model_object)
        .or_else(|_| std::fs::copy(layout.model(), &model_object).map(|_| ()))
        .map_err(|source| io("base model", source))?;

    let ports = [free_port()?, free_port()?];
    let charter = document(layout, parties, now, &rulebook, &anchor_bytes, base, ports)?;
    let envelope = sign(layout, parties, &charter).await?;
    show.fact(
        &format!("  charter signed by owner and operator, p = {}", Hex::sha256(&charter)),
        &json!({"event": "charter", "p": Hex::sha256(&charter)}),
    );
    Ok(Agreed { envelope, anchors, collateral, simulator_seed, ports })
}

async fn simulator(layout: &Layout, seed: &std::path::Path, args: &[&str]) -> Result<(), DemoError> {
    let done = Command::new(layout.program("tiltyard-simulator"))
        .args(args)
        .args(["--seed-file", text(seed), "--product", "turin", "--key-cache", text(layout.cache())])
        .output()
        .await
        .map_err(|source| io("tiltyard-simulator", source))?;
    if done.status.success() {
        return Ok(());
    }
    Err(DemoError::Program {
        program: "tiltyard-simulator".to_owned(),
        status: done.status.to_string(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// The `seed` rules and margins, with the scenario's changes.
fn rulebook(edits: &[RuleEdit]) -> Result<Vec<u8>, DemoError> {
    let broken = |what: &str| answer("seed rulebook", what);
    let preset = tiltyard_tournament::preset("seed").map_err(|error| broken(&error.to_string()))?;
    let text = std::str::from_utf8(preset).map_err(|error| broken(&error.to_string()))?;
    let mut rules: toml::Table = text.parse().map_err(|error: toml::de::Error| broken(&error.to_string()))?;
    for edit in edits {
        rules
            .get_mut(edit.table)
            .and_then(toml::Value::as_table_mut)
            .ok_or_else(|| broken(&format!("no table {}", edit.table)))?
            .insert(edit.key.to_owned(), toml::Value::Integer(edit.value));
    }
    Ok(rules.to_string().into_bytes())
}

fn document(
    layout: &Layout,
    parties: &Parties,
    now: u64,
    rulebook: &[u8],
    anchors: &[u8],
    base: BaseModel,
    ports: [u16; 2],
) -> Result<Vec<u8>, DemoError> {
    let program =
        std::fs::read(layout.program("tiltyard-enclave")).map_err(|source| io("guest image", source))?;
    let mut datasets = Vec::new();
    for facts in &parties.datasets {
        for split in facts["splits"].as_array().into_iter().flatten() {
            datasets.push(Dataset {
                dataset_id: member(facts, "dataset_id")?,
                split: member(split, "split")?,
                manifest_sha256: member(split, "manifest_sha256")?,
                min_version: 1,
            });
        }
    }
    let [owner_port, operator_port] = ports;
    let charter = Charter {
        v: 1,
        charter_id: "demo".to_owned(),
        tenant: TENANT.to_owned(),
        version: 1,
        prev: None,
        signers: Signers {
            owner: member(&parties.owner.identity, "signing_key")?,
            operator: member(&parties.operator.identity, "signing_key")?,
        },
        not_before: now - 60,
        not_after: now + WINDOW_S,
        level: Level::Lab,
        backends: vec![Backend::Process],
        reference_values: ReferenceValues {
            images: vec![ReferenceImage {
                name: "tiltyard-enclave".to_owned(),
                backend: Backend::Process,
                image: Hex::sha256(&program),
                measurement: tiltyard_attestation::measure::process_measurement(&program),
                tdx: None,
            }],
            foreign_anchors: Some(Hex::sha256(anchors)),
        },
        tee_floor: TeeFloor {
            snp: vec![SnpFloor {
                product: Product::Turin,
                tcb: Tcb { fmc: 0, bootloader: 1, tee: 0, snp: 1, microcode: 1 },
                guest_svn: 0,
                vmpl: 0,
                mitigations: None,
            }],
            tdx: None,
        },
        gpu_floor: GpuFloor::none(),
        platforms: Vec::new(),
        tournament: TournamentTerms {
            id: TOURNAMENT.to_owned(),
            rulebook_sha256: Hex::sha256(rulebook),
            roll_key: member(&parties.operator.identity, "roll_key")?,
            budget: layout.scenario().budget.clone(),
        },
        base,
        stages: Stage::all(&datasets, TOURNAMENT),
        datasets,
        brokers: vec![
            broker(&parties.owner, BrokerOwner::Owner, owner_port)?,
            broker(&parties.operator, BrokerOwner::Operator, operator_port)?,
        ],
        limits: Limits { max_releases: 64, lease_s: 450 },
        output: Output {
            owner_recipient: member::<HpkePublicKey>(&parties.owner.identity, "hpke")?,
            cap_bits: 16_384,
            log_max_bytes: 1 << 20,
            artefact_max_bytes: 64 << 20,
        },
        kem_floor: KemFloor::Hybrid,
    };
    serde_json::to_vec_pretty(&charter).map_err(|error| answer("charter", &error.to_string()))
}

fn broker(party: &Party, owner: BrokerOwner, port: u16) -> Result<Broker, DemoError> {
    Ok(Broker {
        owner,
        address: format!("127.0.0.1:{port}"),
        tls_spki_sha256: member(&party.identity, "tls_spki_sha256")?,
        key: member(&party.identity, "broker_key")?,
    })
}

async fn sign(layout: &Layout, parties: &Parties, charter: &[u8]) -> Result<PathBuf, DemoError> {
    let readable = layout.path("charter.json");
    write(&readable, charter)?;
    let by_owner = layout.path("charter.owner.dsse.json");
    let envelope = layout.path("charter.dsse.json");
    let confirm = Hex::sha256(charter).to_string()[..8].to_owned();
    let common = ["charter", "sign", "--charter", text(&readable), "--confirm", &confirm];
    let mut first = common.to_vec();
    first.extend(["--out", text(&by_owner)]);
    parties.owner.broker(layout, &first).await?;
    let mut second = common.to_vec();
    second.extend(["--envelope", text(&by_owner), "--out", text(&envelope)]);
    parties.operator.broker(layout, &second).await?;
    Ok(envelope)
}

fn publish(layout: &Layout, bytes: &[u8]) -> Result<(), DemoError> {
    write(&layout.objects().join(Hex::sha256(bytes).to_string()), bytes)
}

/// A port that nobody listens on now; the charter must name it before the broker starts.
fn free_port() -> Result<u16, DemoError> {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| io("a free port", source))
}

fn member<T: serde::de::DeserializeOwned>(value: &serde_json::Value, name: &str) -> Result<T, DemoError> {
    serde_json::from_value(value[name].clone())
        .map_err(|error| answer("tiltyard-broker", &format!("member {name}: {error}")))
}
