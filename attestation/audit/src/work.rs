//! Orders and results: who signed each, under which attested key.

use std::collections::BTreeMap;

use tiltyard_attestation::{Hex, Role};
use tiltyard_provisioning::charter::OpenCharter;
use tiltyard_provisioning::order::{Order, ScoreClaim, TrainResult, Work};
use tiltyard_provisioning::statement::{Signed, Statement, Verified};

use crate::claim::{Claims, Compared};
use crate::documents::{Documents, read};
use crate::guests::{IN_FORCE, ShownGuests};

/// Statements that attested keys signed.
#[derive(Default)]
pub(crate) struct ShownWork {
    /// By digest.
    pub(crate) orders: BTreeMap<Hex<32>, Order>,
    /// By order.
    pub(crate) trained: BTreeMap<Hex<32>, TrainResult>,
    /// By order.
    pub(crate) scored: BTreeMap<Hex<32>, ScoreClaim>,
}

/// Checks every order and every result of the bundle.
pub(crate) fn check(
    documents: &Documents,
    charter: &OpenCharter,
    guests: &ShownGuests,
    claims: &mut Claims,
) -> ShownWork {
    let mut work = ShownWork::default();
    for (digest, signed) in &documents.orders {
        if let Some(order) = order(digest, signed, charter, guests, claims) {
            work.orders.insert(*digest, order);
        }
    }
    for (digest, bytes) in &documents.results {
        result(digest, bytes, guests, &mut work, claims);
    }
    for (digest, order) in &work.orders {
        if let Work::Evaluate { .. } = order.work {
            artefacts(digest, order, &work, claims);
        }
    }
    test_split_last(guests, &work, claims);
    work
}

/// How a document with a long digest is named in a line.
pub(crate) fn short(digest: &Hex<32>) -> String {
    digest.to_string().chars().take(16).collect()
}

fn order(
    digest: &Hex<32>,
    signed: &Signed<Order>,
    charter: &OpenCharter,
    guests: &ShownGuests,
    claims: &mut Claims,
) -> Option<Order> {
    let (subject, title) = (short(digest), "the order is signed by an attested referee, for this charter");
    let verified = match signed.verify(&signed.key) {
        Ok(order) => order,
        Err(error) => {
            claims.fail("ORD-1", subject, title, "a valid signature", error);
            return None;
        }
    };
    let referee =
        guests.values().find(|guest| guest.lease.role == Role::Referee && guest.signing == signed.key);
    let Some(referee) = referee else {
        claims.fail("ORD-1", subject, title, "the key of an attested referee", signed.key);
        return None;
    };
    let compared = Compared::default()
        .field("digest", *digest, verified.digest())
        .field("v", 1, verified.v)
        .field("charter", charter.p(), verified.charter)
        .field("tournament", charter.tournament.id.as_str(), verified.tournament.as_str())
        .field("referee's key", signed.key, verified.referee.signing)
        .field("referee's lease", referee.lease.lease, verified.referee.lease);
    let held = compared.0.is_empty();
    claims.without("ORD-1", &subject, title, signed.key, compared.0);
    let title = IN_FORCE;
    claims.check("CHT-4", &subject, title, "within the charter's window", charter.at(verified.issued_at));
    held.then(|| verified.into_value())
}

fn result(digest: &Hex<32>, bytes: &[u8], guests: &ShownGuests, work: &mut ShownWork, claims: &mut Claims) {
    let (subject, title) =
        (short(digest), "the result is signed by the guest that was attested for its order");
    let Some(order) = work.orders.get(digest) else {
        claims.fail("RES-1", subject, title, "an order of an attested referee", "none");
        return;
    };
    let role = order.work.role();
    let keys: Vec<Hex<32>> = guests
        .values()
        .filter(|guest| guest.lease.order == Some(*digest) && guest.lease.role == role)
        .map(|guest| guest.signing)
        .collect();
    let other = |got: Hex<32>| format!("a result of order {}", short(&got));
    let done = match &order.work {
        Work::Train { submission } => by_one_of::<TrainResult>(bytes, &keys).and_then(|result| {
            if result.order != *digest {
                return Err(other(result.order));
            }
            if result.submission != *submission {
                return Err(format!("a result of submission {}", short(&result.submission)));
            }
            work.trained.insert(*digest, result);
            Ok(())
        }),
        Work::Evaluate { artefacts } => by_one_of::<ScoreClaim>(bytes, &keys).and_then(|claim| {
            if claim.order != *digest {
                return Err(other(claim.order));
            }
            let asked = artefacts.iter().map(|artefact| artefact.submission);
            if !claim.scores.iter().map(|score| score.submission).eq(asked) {
                return Err("scores of other submissions than were asked for".to_owned());
            }
            work.scored.insert(*digest, claim);
            Ok(())
        }),
    };
    claims.check("RES-1", subject, title, "Ed25519 under the attested key", done);
}

fn by_one_of<T: Statement>(bytes: &[u8], keys: &[Hex<32>]) -> Result<T, String> {
    let signed: Signed<T> = read(bytes).ok_or("not a signed result of this kind of order")?;
    let attested = keys.iter().find(|key| **key == signed.key);
    let key = attested.ok_or_else(|| format!("key {}, which was not attested for it", signed.key))?;
    signed.verify(key).map(Verified::into_value).map_err(|error| error.to_string())
}

/// What was scored is what was trained, byte for byte.
fn artefacts(digest: &Hex<32>, order: &Order, work: &ShownWork, claims: &mut Claims) {
    let (subject, title) = (short(digest), "the artefacts to score are those that attested trainers sealed");
    let Work::Evaluate { artefacts } = &order.work else { return };
    for artefact in artefacts {
        let made = work.trained.get(&artefact.train_order);
        let same_task = work.orders.get(&artefact.train_order).is_some_and(|made| made.task == order.task);
        let sealed = made.and_then(|result| result.artefact.as_ref());
        let ours = made.is_some_and(|result| result.submission == artefact.submission);
        if sealed != Some(&artefact.object) || !ours || !same_task {
            let expected = format!("the artefact of train order {}", short(&artefact.train_order));
            claims.fail("ORD-3", &subject, title, expected, artefact.object.sha256);
            return;
        }
    }
    claims.pass("ORD-3", subject, title, format!("{} digests", artefacts.len()));
}

/// PROVISIONING 4: the test split is given out only after every training of the task has ended.
fn test_split_last(guests: &ShownGuests, work: &ShownWork, claims: &mut Claims) {
    let title = "the test split was released after the last trainer of its task was";
    let task =
        |order: Option<Hex<32>>| order.and_then(|order| work.orders.get(&order)).map(|order| &order.task);
    for (name, evaluator) in guests.iter().filter(|(_, guest)| guest.lease.role == Role::Evaluator) {
        let Some(its_task) = task(evaluator.lease.order) else { continue };
        let last = guests
            .values()
            .filter(|guest| guest.lease.role == Role::Trainer && task(guest.lease.order) == Some(its_task))
            .map(|guest| guest.index)
            .max();
        match last {
            Some(last) if last > evaluator.index => {
                let expected = format!("after index {last} of the owner's ledger");
                claims.fail("RCP-5", name, title, expected, evaluator.index);
            }
            _ => {
                claims.pass("RCP-5", name, title, format!("index {} of the owner's ledger", evaluator.index))
            }
        }
    }
}
