//! The tournament's log: its checkpoint, its proofs, and what each leaf says held against the signed documents.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tiltyard_attestation::{Hex, Role};
use tiltyard_provisioning::charter::OpenCharter;
use tiltyard_provisioning::ledger::{Checkpoint, MerkleLog, NoteKey, TlogProof};
use tiltyard_provisioning::order::{Order, ScoreClaim, TrainResult, Work};
use tiltyard_provisioning::record::log_origin;
use tiltyard_tournament::fixtures::Task;
use tiltyard_tournament::record::{DrawCommitBody, DrawRevealBody, LeafType, OutcomeBody, RulebookBody};
use tiltyard_tournament::{
    BaseScore, BootBody, Digest, Disclosed, DrawSeed, EvaluateOutcome, OrderBody, OrderRole, Status,
    TrainOutcome, UnixSeconds,
};

use crate::claim::{Claims, Compared};
use crate::documents::Documents;
use crate::guests::{IN_FORCE, ShownGuests};
use crate::work::{ShownWork, short};

/// A leaf's frame; what it means is the rules' affair.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaf {
    #[serde(rename = "v")]
    _v: u8,
    #[serde(rename = "type")]
    pub(crate) kind: LeafType,
    #[serde(rename = "seq")]
    _seq: u64,
    #[serde(rename = "tournament")]
    _tournament: String,
    time: UnixSeconds,
    pub(crate) body: Value,
}

/// The leaves that could be read, with their place.
pub(crate) struct Leaves(Vec<(usize, Leaf)>);

/// The log as a whole.
pub(crate) struct ShownLog {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: Hex<32>,
}

impl Leaves {
    /// A leaf that is no leaf at all is left to the replay, which names it.
    pub(crate) fn of(documents: &Documents) -> Self {
        let read = |(at, bytes): (usize, &Vec<u8>)| Some((at, serde_json::from_slice(bytes).ok()?));
        Self(documents.leaves.iter().enumerate().filter_map(read).collect())
    }

    /// Bodies of one type, with their place.
    pub(crate) fn bodies<B: DeserializeOwned>(&self, kind: LeafType) -> Vec<(usize, B)> {
        self.0
            .iter()
            .filter(|(_, leaf)| leaf.kind == kind)
            .filter_map(|(at, leaf)| Some((*at, serde_json::from_value(leaf.body.clone()).ok()?)))
            .collect()
    }

    fn times(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|(_, leaf)| leaf.time.0)
    }
}

pub(crate) fn hex(digest: &Digest) -> Hex<32> {
    Hex(*digest.bytes())
}

/// Root, checkpoint and proofs; then each boot's keys against the evidence.
pub(crate) fn check(
    documents: &Documents,
    leaves: &Leaves,
    charter: &OpenCharter,
    guests: &ShownGuests,
    claims: &mut Claims,
) -> ShownLog {
    let tree = MerkleLog::from_leaves(&documents.leaves);
    let origin = log_origin(&charter.tenant, &charter.tournament.id);
    let log = ShownLog { origin, size: tree.size(), root: tree.root() };
    let boots: Vec<(usize, BootBody)> = leaves.bodies(LeafType::Boot);
    let title = "a signed checkpoint covers exactly the leaves of the bundle";
    match (boots.last(), &documents.checkpoint) {
        (Some((_, boot)), Some(note)) => {
            let key = NoteKey { name: log.origin.clone(), public: hex(&boot.signing_key) };
            signed_state(note, &key, &log, claims);
            proofs(documents, &key, &log.origin, note, claims);
        }
        (None, _) => claims.fail("LOG-1", "log", title, "a boot leaf with the key that signs it", "none"),
        (_, None) => claims.fail("LOG-1", "log", title, "a checkpoint", "none"),
    }
    for (at, boot) in &boots {
        boot_keys(*at, boot, guests, claims);
    }
    let title = IN_FORCE;
    let outside = leaves.times().find_map(|time| charter.at(time).err());
    claims.check("CHT-4", "log", title, "within the charter's window", outside.map_or(Ok(()), Err));
    log
}

fn signed_state(note: &str, key: &NoteKey, log: &ShownLog, claims: &mut Claims) {
    let title = "a signed checkpoint covers exactly the leaves of the bundle";
    let state = Checkpoint::open(note, key).and_then(|state| state.for_origin(&log.origin));
    match state {
        Ok(state) => {
            let compared =
                Compared::default().field("size", state.size, log.size).field("root", state.root, log.root);
            let by = format!("{} leaves, root {}", log.size, log.root);
            claims.without("LOG-1", "log", title, by, compared.0);
        }
        Err(error) => claims.fail("LOG-1", "log", title, "a checkpoint by the last boot's key", error),
    }
}

fn proofs(documents: &Documents, key: &NoteKey, origin: &str, note: &str, claims: &mut Claims) {
    let title = "each leaf has its inclusion proof under that checkpoint";
    let (expected, found) = (documents.leaves.len(), documents.proofs.len());
    if expected != found {
        claims.fail("LOG-2", "log", title, format!("{expected} proofs"), found);
        return;
    }
    for (at, (leaf, text)) in documents.leaves.iter().zip(&documents.proofs).enumerate() {
        let proof = TlogProof::from_text(text).and_then(|proof| {
            proof.verify(leaf, key, origin)?;
            Ok(proof)
        });
        match proof {
            Ok(proof) if proof.index == at as u64 && proof.checkpoint == note => {}
            Ok(proof) => {
                let expected = format!("index {at} under the bundle's checkpoint");
                claims.fail("LOG-2", at, title, expected, format!("index {} under its own", proof.index));
            }
            Err(error) => claims.fail("LOG-2", at, title, "a proof that leads to the root", error),
        }
    }
    if !claims.0.iter().any(|claim| claim.id == "LOG-2") {
        claims.pass("LOG-2", "log", title, format!("{found} proofs"));
    }
}

fn boot_keys(at: usize, boot: &BootBody, guests: &ShownGuests, claims: &mut Claims) {
    let title = "the boot's keys are those of an attested referee";
    let subject = format!("leaf {at}");
    let lease = boot.lease.as_str();
    let Some(guest) = guests.get(lease).filter(|guest| guest.lease.role == Role::Referee) else {
        claims.fail("LOG-3", subject, title, "attested evidence of that lease", format!("none for {lease}"));
        return;
    };
    let keys = guest.lease.keys;
    let compared = Compared::default()
        .field("charter", guest.lease.charter, hex(&boot.charter))
        .field("tls", keys.tls, hex(&boot.tls_spki_sha256))
        .field("hpke", keys.hpke, hex(&boot.hpke_sha256))
        .field("signing", guest.signing, hex(&boot.signing_key));
    claims.without("LOG-3", subject, title, format!("evidence of lease {lease}"), compared.0);
}

/// The setup leaf is the charter's, and the draw is the one that was committed to before entries closed.
pub(crate) fn opening(documents: &Documents, leaves: &Leaves, charter: &OpenCharter, claims: &mut Claims) {
    let title = "the rulebook is the charter's";
    let expected = charter.tournament.rulebook_sha256;
    match &documents.rulebook {
        Some(bytes) => claims.equal("RUL-1", "rulebook", title, &expected, &Hex::sha256(bytes)),
        None => claims.fail("RUL-1", "rulebook", title, expected, "no rulebook"),
    }
    let title = "the record was opened on the charter's terms";
    match leaves.bodies::<RulebookBody>(LeafType::Rulebook).as_slice() {
        [(0, setup)] => {
            let named: BTreeSet<&str> =
                charter.datasets.iter().map(|dataset| dataset.dataset_id.as_str()).collect();
            let compared = Compared::default()
                .field("charter", charter.p(), hex(&setup.charter))
                .field("rulebook_sha256", expected, hex(&setup.rulebook_sha256))
                .field(
                    "datasets",
                    named.into_iter().collect::<Vec<_>>(),
                    setup.datasets.iter().map(String::as_str).collect(),
                )
                .field("cap_bits", charter.output.cap_bits, setup.cap_bits);
            claims.without("RUL-2", "leaf 0", title, "charter, rulebook, datasets, output cap", compared.0);
        }
        other => claims.fail("RUL-2", "leaf 0", title, "one rulebook leaf, the first", other.len()),
    }
    draw(leaves, claims);
}

fn draw(leaves: &Leaves, claims: &mut Claims) {
    let title = "the draw's seed is the one that was committed to before entries closed";
    let commits: Vec<(usize, DrawCommitBody)> = leaves.bodies(LeafType::DrawCommit);
    let reveals: Vec<(usize, DrawRevealBody)> = leaves.bodies(LeafType::DrawReveal);
    let closed: Vec<(usize, Value)> = leaves.bodies(LeafType::Closed);
    let ([(committed, commit)], [(_, reveal)]) = (commits.as_slice(), reveals.as_slice()) else {
        let found = format!("{} and {}", commits.len(), reveals.len());
        claims.fail("DRW-1", "draw", title, "one commitment and one reveal", found);
        return;
    };
    if closed.first().is_none_or(|(closed, _)| closed < committed) {
        claims.fail("DRW-1", "draw", title, "a commitment before the close of entries", "none");
        return;
    }
    let found = DrawSeed::new(*reveal.seed.bytes()).commitment().0;
    claims.equal("DRW-1", "draw", title, &commit.commitment, &found);
}

/// Every order leaf has its signed order, and every signed order its leaf.
pub(crate) fn orders(documents: &Documents, leaves: &Leaves, work: &ShownWork, claims: &mut Claims) {
    let tasks: BTreeMap<String, Task> = leaves
        .bodies::<Task>(LeafType::Fixture)
        .into_iter()
        .map(|(_, task)| (task.id.clone(), task))
        .collect();
    let mut logged = BTreeSet::new();
    for (at, leaf) in leaves.bodies::<OrderBody>(LeafType::Order) {
        let title = "the log's order is the signed one, on the task that was drawn";
        let digest = hex(&leaf.order);
        let subject = format!("leaf {at}");
        logged.insert(digest);
        match work.orders.get(&digest) {
            Some(order) => order_leaf(&subject, title, &leaf, order, tasks.get(&leaf.task), claims),
            None => {
                let expected = format!("order {} signed by an attested referee", short(&digest));
                claims.fail("ORD-2", subject, title, expected, "none");
            }
        }
    }
    for digest in documents.orders.keys().filter(|digest| !logged.contains(digest)) {
        let title = "the signed order stands in the log";
        claims.fail("ORD-2", short(digest), title, "an order leaf", "none");
    }
}

fn order_leaf(
    subject: &str,
    title: &str,
    leaf: &OrderBody,
    order: &Order,
    task: Option<&Task>,
    claims: &mut Claims,
) {
    let (role, submission) = match &order.work {
        Work::Train { submission } => (OrderRole::Train, Some(*submission)),
        Work::Evaluate { .. } => (OrderRole::Evaluate, None),
    };
    let compared = Compared::default()
        .field("task", order.task.as_str(), &leaf.task)
        .field("role", role, leaf.role)
        .field("submission", submission, leaf.submission.map(|id| Hex(*id.bytes())))
        .field("attempt", order.attempt, leaf.attempt)
        .field("dataset", task.map(|task| task.dataset.as_str()), Some(order.dataset_id.as_str()))
        .field("seed", task.map(|task| hex(&task.seed)), Some(order.seed));
    claims.without("ORD-2", subject, title, order.task.as_str(), compared.0);
}

/// Every outcome leaf is what the guest signed, and every signed result has its leaf.
pub(crate) fn outcomes(documents: &Documents, leaves: &Leaves, work: &ShownWork, claims: &mut Claims) {
    let title = "the outcome in the log is the one that the guest signed";
    let mut logged = BTreeSet::new();
    for (at, leaf) in leaves.bodies::<OutcomeBody>(LeafType::Outcome) {
        let (order, lost) = match &leaf {
            OutcomeBody::Train(outcome) => (hex(&outcome.order), is_lost_training(outcome)),
            OutcomeBody::Evaluate(outcome) => (hex(&outcome.order), is_lost_evaluation(outcome)),
        };
        logged.insert(order);
        let subject = format!("leaf {at}");
        let signed = documents.results.contains_key(&order);
        if !signed && lost {
            let why = "the guest was lost: the referee recorded `infrastructure`, and nobody signed a result";
            claims.not_shown("RES-2", subject, title, why);
            continue;
        }
        let compared = match &leaf {
            OutcomeBody::Train(found) => work.trained.get(&order).map(|signed| training(signed, found, work)),
            OutcomeBody::Evaluate(found) => {
                work.scored.get(&order).map(|signed| evaluation(signed, found, work))
            }
        };
        match compared {
            Some(compared) => claims.without("RES-2", subject, title, short(&order), compared.0),
            None => {
                let expected = format!("a result of order {} signed by its guest", short(&order));
                claims.fail("RES-2", subject, title, expected, "none");
            }
        }
    }
    for (at, leaf) in leaves.bodies::<ConflictLeaf>(LeafType::ConflictingOutcome) {
        let why = "a second, differing outcome was recorded and does not count";
        claims.not_shown("RES-2", format!("leaf {at}"), title, why);
        logged.insert(hex(&leaf.order));
    }
    for digest in documents.results.keys().filter(|digest| !logged.contains(digest)) {
        let title = "the signed result stands in the log";
        claims.fail("RES-2", short(digest), title, "an outcome leaf", "none");
    }
}

#[derive(Deserialize)]
struct ConflictLeaf {
    order: Digest,
}

fn is_lost_training(outcome: &TrainOutcome) -> bool {
    outcome.status == Status::Infrastructure && outcome.duration_bucket == 0
}

fn is_lost_evaluation(outcome: &EvaluateOutcome) -> bool {
    outcome.base == BaseScore { score: None, losses_root: None }
        && outcome.scores.iter().all(|row| {
            row.status == Status::Infrastructure
                && row.score.is_none()
                && row.losses_root.is_none()
                && row.artefact_sha256.is_none()
        })
}

fn training(signed: &TrainResult, found: &TrainOutcome, work: &ShownWork) -> Compared {
    let task = work.orders.get(&signed.order).map_or("", |order| order.task.as_str());
    Compared::default()
        .field("task", task, &found.task)
        .field("submission", signed.submission, Hex(*found.submission.bytes()))
        .field("status", word(&signed.status), word(&found.status))
        .field("duration_bucket", signed.duration_bucket, found.duration_bucket)
}

fn evaluation(signed: &ScoreClaim, found: &EvaluateOutcome, work: &ShownWork) -> Compared {
    let task = work.orders.get(&signed.order).map_or("", |order| order.task.as_str());
    let mut compared = Compared::default()
        .field("task", task, &found.task)
        .field("fingerprint", signed.fingerprint, hex(&found.fingerprint))
        .field("base score", disclosed(signed.base.score), found.base.score)
        .field("base losses_root", Some(signed.base.root), found.base.losses_root.as_ref().map(hex))
        .field("rows", signed.scores.len(), found.scores.len());
    for row in &found.scores {
        let submission = Hex(*row.submission.bytes());
        let Some(score) = signed.scores.iter().find(|score| score.submission == submission) else {
            compared = compared.field("submission", "one that was scored".to_owned(), submission.to_string());
            continue;
        };
        compared = compared
            .field("status", word(&score.status), word(&row.status))
            .field("score", disclosed(score.score), row.score)
            .field("losses_root", score.root, row.losses_root.as_ref().map(hex))
            .field("artefact_sha256", score.artefact_sha256, row.artefact_sha256.as_ref().map(hex));
    }
    compared
}

/// A guest's figure as the record may hold it.
fn disclosed(score: Option<i32>) -> Option<Disclosed> {
    score.map(|steps| Disclosed::clamped(steps.into()))
}

/// Both lists of states are one list in two packages; they meet in their written form.
fn word<S: serde::Serialize>(status: &S) -> Option<String> {
    serde_json::to_value(status).ok()?.as_str().map(str::to_owned)
}
