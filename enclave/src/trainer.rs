//! Trainer: one submission on one task's training split.

use std::sync::Arc;
use std::time::Instant;

use ring::rand::SystemRandom;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::channel::GuestState;
use tiltyard_provisioning::charter::BrokerOwner;
use tiltyard_provisioning::dataset::open_split;
use tiltyard_provisioning::dek::Dek;
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::manifest::Manifest;
use tiltyard_provisioning::normalise::{RECIPE_PATH, normalised_digest};
use tiltyard_provisioning::order::{
    GuestReport, GuestResult, ObjectRef, Order, Status, Submission, TrainResult, Work,
};
use tiltyard_provisioning::output::{AdapterFiles, OutputKind, open_submission, seal_output};
use tiltyard_provisioning::release::End;
use tiltyard_provisioning::statement::{Signed, Verified};
use tiltyard_training::{BaseModel, Clock, Event, Item, Recipe, TrainJob, train};
use zeroize::Zeroizing;

use crate::broker::{Grant, LogProof};
use crate::error::GuestError;
use crate::session::{Guest, named_dataset};

/// Largest manifest or submission document, in bytes.
const DOCUMENT_MAX_BYTES: u64 = 1024 * 1024;
/// Largest sealed object that is opened in memory, in bytes.
const OBJECT_MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// Part of the budget kept back for saving, sealing and handing over.
const RESERVE_MS: u64 = 1500;
/// The record tells a duration in buckets of a quarter of an hour; the host sees when a guest ends anyway.
const BUCKET_S: u64 = 900;
/// The last bucket: six bits leave.
const BUCKETS: u32 = 63;

/// What a training came to, before it is sealed.
struct Attempt {
    status: Status,
    artefact: Option<Zeroizing<Vec<u8>>>,
    log: Zeroizing<Vec<u8>>,
}

/// Fulfils the order of the launch configuration, then ends.
pub(crate) async fn serve(guest: Arc<Guest>) -> Result<(), GuestError> {
    let order = guest.order()?;
    let Work::Train { submission } = order.work else {
        return Err(GuestError::BootDocument { what: "order", why: "expected training".to_owned() });
    };
    let owner = guest.broker(BrokerOwner::Owner)?;
    let operator = guest.broker(BrokerOwner::Operator)?;
    let data_key = KeyId::Dataset { id: order.dataset_id.clone(), split: Split::Train };
    let code_key = KeyId::Submission(submission);
    let mut by_owner = owner
        .attest(&guest.attester, vec![data_key.clone()], guest.order.as_ref(), LogProof::default())
        .await?;
    let mut by_operator = operator
        .attest(&guest.attester, vec![code_key.clone()], guest.order.as_ref(), LogProof::default())
        .await?;
    guest.state(GuestState::Leased).await?;
    let data_dek = taken(&mut by_owner, &data_key)?;
    let code_dek = taken(&mut by_operator, &code_key)?;

    guest.state(GuestState::Running).await?;
    let keys = Keys { data: data_dek, code: code_dek };
    let result = tokio::select! {
        done = fulfil(&guest, &order, submission, keys, &by_owner) => done?,
        error = guest.keep_lease(owner.clone(), &by_owner) => return Err(error),
        error = guest.keep_lease(operator.clone(), &by_operator) => return Err(error),
    };
    let report = GuestReport {
        lease: by_owner.guest.lease,
        receipt: by_owner.guest.receipt,
        evidence: by_owner.guest.evidence,
        result: GuestResult::Trained(Signed::sign(&result, guest.attester.signing())),
    };
    let lease = guest.attester.config().lease;
    operator.end(&guest.attester, End::Lease(lease)).await?;
    owner.end(&guest.attester, End::Lease(lease)).await?;
    guest.report(&order, &report).await
}

/// The two keys that a trainer opens things with; wiped with the work.
struct Keys {
    data: Dek,
    code: Dek,
}

/// All that happens while keys are held: train, seal, deposit, hand over.
async fn fulfil(
    guest: &Arc<Guest>,
    order: &Verified<Order>,
    submission: Hex<32>,
    keys: Keys,
    owner: &Grant,
) -> Result<TrainResult, GuestError> {
    let started = Instant::now();
    let work = {
        let (guest, order) = (Arc::clone(guest), order.clone());
        tokio::task::spawn_blocking(move || attempt(&guest, &order, submission, &keys, started))
    };
    let attempt = work.await.map_err(|_| GuestError::Crypto("training thread"))??;
    let digest = order.digest();
    let artefact = match &attempt.artefact {
        Some(bytes) => {
            Some(publish(guest, owner, OutputKind::Artefact, KeyId::Artefact(digest), bytes).await?)
        }
        None => None,
    };
    let log = publish(guest, owner, OutputKind::Log, KeyId::Log(digest), &attempt.log).await?;
    let buckets = u32::try_from(started.elapsed().as_secs() / BUCKET_S).unwrap_or(BUCKETS);
    Ok(TrainResult {
        order: digest,
        submission,
        status: attempt.status,
        artefact,
        log: Some(log),
        duration_bucket: buckets.min(BUCKETS),
    })
}

fn taken(grant: &mut Grant, key: &KeyId) -> Result<Dek, GuestError> {
    grant.take(key).ok_or_else(|| GuestError::refused("ResourceNotFound"))
}

/// Seals bytes under a fresh key, deposits the key with the owner's broker, hands the ciphertext to the host.
///
/// Deposit first: a ciphertext without its key would be lost, a key without ciphertext opens nothing.
pub(crate) async fn publish(
    guest: &Guest,
    owner: &Grant,
    kind: OutputKind,
    key_id: KeyId,
    bytes: &[u8],
) -> Result<ObjectRef, GuestError> {
    let rng = SystemRandom::new();
    let order = match &key_id {
        KeyId::Artefact(order) | KeyId::Log(order) => *order,
        _ => return Err(GuestError::Crypto("output key")),
    };
    let dek = Dek::generate(&rng).map_err(|_| GuestError::Crypto("data key"))?;
    let (object, sealed) = seal_output(kind, &guest.charter.tenant, &order, &dek, bytes, &rng)
        .map_err(|_| GuestError::Crypto("sealing an output"))?;
    let secret = Zeroizing::new(dek.expose().to_vec());
    guest.broker(BrokerOwner::Owner)?.deposit(&guest.attester, &owner.seal_key, key_id, &secret).await?;
    guest.hand_over(&object, &sealed).await?;
    Ok(object)
}

fn attempt(
    guest: &Guest,
    order: &Verified<Order>,
    submission: Hex<32>,
    keys: &Keys,
    started: Instant,
) -> Result<Attempt, GuestError> {
    let refused = |status| Attempt { status, artefact: None, log: Zeroizing::new(Vec::new()) };
    // Intake comes before the data is touched, so that what is wrong with a submission shows as an enum at once.
    let Ok(recipe) = open_recipe(guest, submission, &keys.code)? else {
        return Ok(refused(Status::IntakeRefused));
    };
    let base = open_base(guest)?;
    let rows = open_rows(guest, &order.dataset_id, Split::Train, &keys.data)?.rows;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        items.push(Item::from_row(row).map_err(|error| GuestError::Sealed(error.to_string()))?);
    }
    drop(rows);

    let budget = &guest.charter.tournament.budget;
    let log_max = usize::try_from(guest.charter.output.log_max_bytes).unwrap_or(usize::MAX);
    let mut log = Zeroizing::new(Vec::new());
    let clock = WallClock(started);
    let mut planned = 0;
    let outcome = train(
        TrainJob {
            base: &base,
            recipe: &recipe,
            items,
            seed: *order.seed.bytes(),
            deadline_ms: u64::from(budget.train_wall_s) * 1000,
            reserve_ms: RESERVE_MS,
            threads: usize::try_from(budget.vcpus).unwrap_or(1),
        },
        &clock,
        &mut |event| {
            if let Event::Started { steps, .. } = event {
                planned = steps;
            }
            // The log is the owner's; it holds numbers only, and at its cap it stops growing.
            if let Ok(line) = serde_json::to_vec(&event)
                && log.len() + line.len() < log_max
            {
                log.extend_from_slice(&line);
                log.push(b'\n');
            }
        },
    );
    Ok(match outcome {
        Ok(trained) => {
            let files = AdapterFiles { config: trained.artefact.config, weights: trained.artefact.weights }
                .to_bytes();
            if files.len() as u64 > guest.charter.output.artefact_max_bytes {
                return Ok(Attempt { status: Status::ResourceLimit, artefact: None, log });
            }
            // Cut short by the deadline, or planned shorter because of it: the recipe had no time for all its steps.
            let status = if trained.steps < planned { Status::TimedOut } else { Status::Done };
            Attempt { status, artefact: Some(files), log }
        }
        Err(_) => Attempt { status: Status::Failed, artefact: None, log },
    })
}

/// The submission's recipe, or `Err(())` inside when its content is not one.
fn open_recipe(guest: &Guest, id: Hex<32>, dek: &Dek) -> Result<Result<Recipe, ()>, GuestError> {
    let document = guest.inputs.read(&id, DOCUMENT_MAX_BYTES)?;
    let Ok(submission) = serde_json::from_slice::<Submission>(&document) else {
        return Ok(Err(()));
    };
    let content = &submission.content;
    let sealed = guest.inputs.read(&content.sha256, OBJECT_MAX_BYTES)?;
    let opened = open_submission(&submission.tournament, &submission.entrant, dek, content, &sealed);
    let Ok(text) = opened else { return Ok(Err(())) };
    // The normalised digest decides who copied whom, so it must be that of the content that runs.
    let normalised = std::str::from_utf8(&text).map(|text| normalised_digest([(RECIPE_PATH, text)]));
    if normalised != Ok(submission.normalised_sha256) {
        return Ok(Err(()));
    }
    Ok(Recipe::parse(&text).map_err(|_| ()))
}

/// The public base model, held to the charter's digest.
pub(crate) fn open_base(guest: &Guest) -> Result<BaseModel, GuestError> {
    let base = &guest.charter.base;
    let bytes = guest.inputs.read(&base.sha256, base.len_bytes)?;
    BaseModel::from_gguf(&bytes).map_err(|error| GuestError::Sealed(error.to_string()))
}

/// One split's rows, under the manifest that the charter names.
pub(crate) fn open_rows(
    guest: &Guest,
    dataset_id: &str,
    split: Split,
    dek: &Dek,
) -> Result<tiltyard_provisioning::dataset::OpenedSplit, GuestError> {
    let dataset = named_dataset(&guest.charter, dataset_id, split)?;
    let payload = guest.inputs.read(&dataset.manifest_sha256, DOCUMENT_MAX_BYTES)?;
    let manifest = Manifest::admit(&payload, &guest.charter.tenant, dataset)
        .map_err(|error| GuestError::Sealed(error.to_string()))?;
    open_split(&manifest, dek, &mut |object| {
        guest.inputs.read(&object.sha256, OBJECT_MAX_BYTES).map_err(std::io::Error::other)
    })
    .map_err(|error| GuestError::Sealed(error.to_string()))
}

/// Milliseconds since the data was asked for.
struct WallClock(Instant);

impl Clock for WallClock {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
