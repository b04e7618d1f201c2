//! Evaluator: scores the artefacts of one task on its test split. It runs no entrant's code.

use std::sync::Arc;

use serde::Serialize;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::channel::GuestState;
use tiltyard_provisioning::charter::BrokerOwner;
use tiltyard_provisioning::container::sealed_len;
use tiltyard_provisioning::dek::Dek;
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::order::{
    ArtefactRef, ArtefactScore, BaseScore, Evaluated, GuestReport, GuestResult, ItemLosses, ItemVectors,
    Order, ScoreClaim, Status, Work,
};
use tiltyard_provisioning::output::{AdapterFiles, OutputKind, open_output};
use tiltyard_provisioning::release::End;
use tiltyard_provisioning::statement::{Signed, Verified};
use tiltyard_training::{Adapter, Artefact, ArtefactError, BaseModel, EvaluateError, Evaluation, Item};
use zeroize::Zeroizing;

use crate::broker::{Grant, LogProof};
use crate::error::GuestError;
use crate::losses;
use crate::session::{Guest, named_dataset};
use crate::trainer::{open_base, open_rows, publish};

/// Tokens of one item, at most; one value for all artefacts of a task.
const SEQUENCE_LEN: usize = 1024;

/// The task's held-out items, ascending by item id.
struct HeldOut {
    seed: tiltyard_provisioning::dataset::SplitSeed,
    ids: Vec<Hex<32>>,
    items: Vec<Item>,
}

/// Fulfils the order of the launch configuration, then ends.
pub(crate) async fn serve(guest: Arc<Guest>) -> Result<(), GuestError> {
    let order = guest.order()?;
    let Work::Evaluate { artefacts } = order.work.clone() else {
        return Err(GuestError::BootDocument { what: "order", why: "expected evaluation".to_owned() });
    };
    let owner = guest.broker(BrokerOwner::Owner)?;
    let data_key = KeyId::Dataset { id: order.dataset_id.clone(), split: Split::Test };
    let mut key_ids = vec![data_key.clone()];
    key_ids.extend(artefacts.iter().map(|artefact| KeyId::Artefact(artefact.train_order)));
    let mut grant = owner.attest(&guest.attester, key_ids, guest.order.as_ref(), LogProof::default()).await?;
    guest.state(GuestState::Leased).await?;
    let data_dek = grant.take(&data_key).ok_or_else(|| GuestError::refused("ResourceNotFound"))?;
    let sealed: Vec<(ArtefactRef, Option<Dek>)> = artefacts
        .into_iter()
        .map(|artefact| {
            let dek = grant.take(&KeyId::Artefact(artefact.train_order));
            (artefact, dek)
        })
        .collect();

    guest.state(GuestState::Running).await?;
    let evaluated = tokio::select! {
        done = fulfil(&guest, &order, data_dek, sealed, &grant) => done?,
        error = guest.keep_lease(owner.clone(), &grant) => return Err(error),
    };
    let report = GuestReport {
        lease: grant.guest.lease,
        receipt: grant.guest.receipt,
        evidence: grant.guest.evidence,
        result: GuestResult::Evaluated(evaluated),
    };
    owner.end(&guest.attester, End::Lease(guest.attester.config().lease)).await?;
    guest.report(&order, &report).await
}

/// All that happens while keys are held: score, and seal the owner's own copy of the item losses.
async fn fulfil(
    guest: &Arc<Guest>,
    order: &Verified<Order>,
    data_dek: Dek,
    sealed: Vec<(ArtefactRef, Option<Dek>)>,
    owner: &Grant,
) -> Result<Evaluated, GuestError> {
    let work = {
        let (guest, order) = (Arc::clone(guest), order.clone());
        tokio::task::spawn_blocking(move || score_all(&guest, &order, &data_dek, &sealed))
    };
    let Scored { fingerprint, items, scores, vectors } =
        work.await.map_err(|_| GuestError::Crypto("evaluation thread"))??;
    let bytes = Zeroizing::new(
        serde_json::to_vec(&vectors).map_err(|_| GuestError::Crypto("writing the item losses"))?,
    );
    let digest = order.digest();
    let losses = publish(guest, owner, OutputKind::Losses, KeyId::Log(digest), &bytes).await?;
    let base = BaseScore { score: losses::score(&vectors.base), root: vectors.base.root };
    let claim = ScoreClaim { order: digest, fingerprint, items, base, scores, losses };
    Ok(Evaluated { claim: Signed::sign(&claim, guest.attester.signing()), vectors })
}

/// What an evaluation measured, before it is sealed and signed.
struct Scored {
    fingerprint: Hex<32>,
    items: u32,
    scores: Vec<ArtefactScore>,
    vectors: ItemVectors,
}

fn score_all(
    guest: &Guest,
    order: &Verified<Order>,
    data_dek: &Dek,
    sealed: &[(ArtefactRef, Option<Dek>)],
) -> Result<Scored, GuestError> {
    let held_out = open_held_out(guest, order, data_dek)?;
    let base = open_base(guest)?;
    let threads = usize::try_from(guest.charter.tournament.budget.vcpus).unwrap_or(1);
    let refuse = |error: EvaluateError| GuestError::Sealed(error.to_string());
    let mut evaluation = Evaluation::new(&base, &held_out.items, SEQUENCE_LEN, threads).map_err(refuse)?;
    let mut losses_of = |model: &Hex<32>, adapter: Option<&Adapter>| {
        let values = evaluation.values(adapter).map_err(refuse)?;
        losses::commit(&held_out.seed, model, &held_out.ids, &values)
    };
    let base_losses = losses_of(&Hex([0; 32]), None)?;
    let mut scores = Vec::with_capacity(sealed.len());
    let mut vectors = Vec::with_capacity(sealed.len());
    for (artefact, dek) in sealed {
        let (digest, checked) = check(guest, &base, artefact, dek.as_ref())?;
        let losses: Option<ItemLosses> = match &checked {
            Ok(adapter) => Some(losses_of(&artefact.submission, Some(adapter))?),
            Err(_) => None,
        };
        scores.push(ArtefactScore {
            submission: artefact.submission,
            status: checked.as_ref().err().copied().unwrap_or(Status::Done),
            score: losses.as_ref().and_then(losses::score),
            root: losses.as_ref().map(|losses| losses.root),
            artefact_sha256: digest,
        });
        vectors.push(losses);
    }
    Ok(Scored {
        fingerprint: fingerprint(guest, order, &base, &held_out.ids)?,
        items: u32::try_from(held_out.ids.len()).unwrap_or(u32::MAX),
        scores,
        vectors: ItemVectors { base: base_losses, artefacts: vectors },
    })
}

/// The first `test_items` of the test split in ascending order of their ids, which only the owner can foresee.
fn open_held_out(guest: &Guest, order: &Order, dek: &Dek) -> Result<HeldOut, GuestError> {
    let opened = open_rows(guest, &order.dataset_id, Split::Test, dek)?;
    let seed =
        opened.split_seed.ok_or_else(|| GuestError::Sealed("no split seed in the test index".into()))?;
    let mut rows: Vec<(Hex<32>, Zeroizing<Vec<u8>>)> =
        opened.rows.into_iter().map(|row| (seed.item_id(&row), row)).collect();
    rows.sort_by_key(|(id, _)| *id);
    rows.truncate(usize::try_from(guest.charter.tournament.budget.test_items).unwrap_or(usize::MAX));
    let mut ids = Vec::with_capacity(rows.len());
    let mut items = Vec::with_capacity(rows.len());
    for (id, row) in &rows {
        ids.push(*id);
        items.push(Item::from_row(row).map_err(|error| GuestError::Sealed(error.to_string()))?);
    }
    Ok(HeldOut { seed, ids, items })
}

/// Opens one artefact and checks it against the base model: its digest, and the adapter or why there is none.
fn check(
    guest: &Guest,
    base: &BaseModel,
    artefact: &ArtefactRef,
    dek: Option<&Dek>,
) -> Result<(Option<Hex<32>>, Result<Adapter, Status>), GuestError> {
    let Some(dek) = dek else { return Ok((None, Err(Status::Infrastructure))) };
    let max_bytes = guest.charter.output.artefact_max_bytes;
    // One entrant's oversized artefact is its own failure, not the task's.
    if artefact.object.len_bytes > sealed_len(max_bytes) {
        return Ok((None, Err(Status::ArtefactRefused)));
    }
    let sealed = guest.inputs.read(&artefact.object.sha256, artefact.object.len_bytes)?;
    let opened = open_output(
        OutputKind::Artefact,
        &guest.charter.tenant,
        &artefact.train_order,
        dek,
        &artefact.object,
        &sealed,
    );
    let Ok(bytes) = opened else { return Ok((None, Err(Status::ArtefactRefused))) };
    let digest = Some(Hex::sha256(&bytes));
    let Ok(AdapterFiles { config, weights }) = AdapterFiles::from_bytes(&bytes) else {
        return Ok((digest, Err(Status::ArtefactRefused)));
    };
    let checked =
        Adapter::check(&Artefact { config, weights }, base, max_bytes).map_err(|error| match error {
            ArtefactError::NotFineTuned => Status::NotFineTuned,
            _ => Status::ArtefactRefused,
        });
    Ok((digest, checked))
}

/// PROVISIONING 13: equal fingerprints mean the same items, measured the same way, on the same base.
fn fingerprint(
    guest: &Guest,
    order: &Order,
    base: &BaseModel,
    ids: &[Hex<32>],
) -> Result<Hex<32>, GuestError> {
    #[derive(Serialize)]
    struct Fingerprint<'a> {
        v: u8,
        metric: &'static str,
        metric_version: u8,
        base_sha256: Hex<32>,
        tokenizer_sha256: Hex<32>,
        test_objects: Hex<32>,
        item_ids: &'a [Hex<32>],
        sequence_len: usize,
        precision: &'static str,
        kl: Option<u32>,
    }
    let document = Fingerprint {
        v: 1,
        metric: "instruct_ce",
        metric_version: 1,
        base_sha256: guest.charter.base.sha256,
        tokenizer_sha256: Hex(base.tokenizer_sha256()),
        // The manifest's digest: it names every sealed object of the split.
        test_objects: named_dataset(&guest.charter, &order.dataset_id, Split::Test)?.manifest_sha256,
        item_ids: ids,
        sequence_len: SEQUENCE_LEN,
        precision: "f32",
        kl: None,
    };
    serde_jcs::to_vec(&document)
        .map(|bytes| Hex::sha256(&bytes))
        .map_err(|_| GuestError::Crypto("writing the fingerprint"))
}
