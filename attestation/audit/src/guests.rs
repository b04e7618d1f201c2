//! Guests: each one's evidence appraised again, its lease, its receipt, and what its key signed.

use std::collections::{BTreeMap, BTreeSet};

use tiltyard_attestation::{
    AppraisalPolicy, Challenge, Collateral, Hex, Role, TrustAnchors, Verifier,
};
use tiltyard_provisioning::charter::{BrokerOwner, OpenCharter};
use tiltyard_provisioning::ledger::{Checkpoint, NoteKey, verify_inclusion};
use tiltyard_provisioning::order::{Order, ScoreClaim, TrainResult, Work};
use tiltyard_provisioning::record::AttestedGuest;
use tiltyard_provisioning::release::{KeyRelease, Lease, ledger_origin};
use tiltyard_provisioning::stage;
use tiltyard_provisioning::statement::{Signed, Statement};

use crate::claim::Claims;
use crate::documents::{Documents, json};

/// A guest whose evidence, lease and receipt all held.
pub(crate) struct ShownGuest {
    pub(crate) role: Role,
    pub(crate) order: Option<Hex<32>>,
    pub(crate) signing: Hex<32>,
    pub(crate) release: KeyRelease,
}

/// What follows from the guests that were shown.
#[derive(Default)]
pub(crate) struct Shown {
    /// By lease id.
    pub(crate) guests: BTreeMap<String, ShownGuest>,
    /// Orders signed by an attested referee.
    pub(crate) orders: BTreeMap<Hex<32>, Order>,
    pub(crate) trained: BTreeMap<Hex<32>, TrainResult>,
    pub(crate) scored: BTreeMap<Hex<32>, ScoreClaim>,
}

/// Appraises every guest of the bundle, then every statement that their keys signed.
pub(crate) fn check(
    documents: &Documents,
    charter: &OpenCharter,
    anchors: &TrustAnchors,
    claims: &mut Claims,
) -> Shown {
    let mut shown = Shown::default();
    let Some(broker) = charter.brokers.iter().find(|broker| broker.owner == BrokerOwner::Owner) else {
        claims.fail("RCP-1", "charter", "the charter names the owner's broker", "one", "none");
        return shown;
    };
    let mut nonces = BTreeSet::new();
    for (name, guest) in &documents.guests {
        if let Some(found) = check_guest(name, guest, charter, anchors, &broker.key, documents, claims) {
            if !nonces.insert(found.release.nonce) {
                claims.fail("EVD-2", name, "its nonce was used once", "a nonce of its own", found.release.nonce);
            }
            shown.guests.insert(name.clone(), found);
        }
    }
    check_orders(documents, charter, &mut shown, claims);
    check_results(documents, &mut shown, claims);
    shown
}

fn check_guest(
    name: &str,
    guest: &AttestedGuest,
    charter: &OpenCharter,
    anchors: &TrustAnchors,
    broker: &Hex<32>,
    documents: &Documents,
    claims: &mut Claims,
) -> Option<ShownGuest> {
    let lease = claims
        .check("LSE-1", name, "its lease is signed by the owner's broker", "Ed25519", guest.lease.verify(broker))?
        .into_value();
    claims.equal("LSE-2", name, "its lease is under this charter", &charter.p(), &lease.charter);
    claims.equal("LSE-3", name, "it stands under its own lease id", &lease.lease.to_string(), &name.to_owned());
    let release = receipt(name, guest, &lease, charter, broker, claims)?;
    let order = lease.order.and_then(|digest| documents.orders.get(&digest));
    stages(name, &release, charter, order, claims);

    let policy = match AppraisalPolicy::from_floors(
        charter.level,
        &charter.backends,
        &charter.tee_floor,
        &charter.gpu_floor,
        &charter.platforms,
    ) {
        Ok(policy) => policy,
        Err(error) => {
            claims.fail("EVD-1", name, "its evidence passes appraisal", "a policy from the charter", error);
            return None;
        }
    };
    let verifier = Verifier::new(anchors.clone(), policy, charter.reference_values.clone());
    let challenge =
        Challenge::new(release.nonce, lease.role, charter.p(), lease.order, lease.lease, release.time);
    let title = format!("its evidence as {} passes appraisal at the time of release", role(lease.role));
    match verifier.appraise(challenge, &guest.evidence, &Collateral::none(), release.time) {
        Ok(result) => {
            let by = format!("{} checks, {}", result.trace().len(), result.anchors());
            claims.pass("EVD-1", name, &title, by);
            claims.equal(
                "EVD-3",
                name,
                "its receipt names these anchors",
                &result.anchors().to_string(),
                &release.anchors.to_string(),
            );
            Some(ShownGuest {
                role: lease.role,
                order: lease.order,
                signing: *result.keys().signing(),
                release,
            })
        }
        Err(refusal) => {
            for finding in &refusal.findings {
                claims.fail("EVD-1", name, &title, &finding.expected, format!("{} {}: {}", finding.check, finding.code, finding.got));
            }
            None
        }
    }
}

/// The receipt: this release stands in the broker's ledger, for this evidence and lease.
fn receipt(
    name: &str,
    guest: &AttestedGuest,
    lease: &Lease,
    charter: &OpenCharter,
    broker: &Hex<32>,
    claims: &mut Claims,
) -> Option<KeyRelease> {
    let title = "its key release stands in the owner's ledger";
    let origin = ledger_origin(&charter.tenant, BrokerOwner::Owner);
    let key = NoteKey { name: origin.clone(), public: *broker };
    let receipt = &guest.receipt;
    let included = Checkpoint::open(&receipt.checkpoint, &key)
        .and_then(|checkpoint| checkpoint.for_origin(&origin))
        .and_then(|checkpoint| {
            verify_inclusion(&receipt.leaf.0, receipt.index, checkpoint.size, &receipt.inclusion, &checkpoint.root)
        });
    claims.check("RCP-1", name, title, "inclusion proof under a signed checkpoint", included)?;
    let title = "its receipt is for this evidence, lease, order and keys";
    let Some(release) = json::<KeyRelease>(&receipt.leaf.0) else {
        claims.fail("RCP-2", name, title, "a key release", "another document");
        return None;
    };
    let fits = release.evidence_sha256 == guest.evidence.digest()
        && release.lease == lease.lease
        && release.charter == lease.charter
        && release.role == lease.role
        && release.order == lease.order
        && release.keys == lease.keys;
    if fits {
        claims.pass("RCP-2", name, title, release.evidence_sha256);
        Some(release)
    } else {
        claims.fail("RCP-2", name, title, guest.evidence.digest(), release.evidence_sha256);
        None
    }
}

/// Nothing was released that the role is not named for.
fn stages(
    name: &str,
    release: &KeyRelease,
    charter: &OpenCharter,
    order: Option<&Signed<Order>>,
    claims: &mut Claims,
) {
    let title = "it was given only what its role is named for";
    let order: Option<Order> = order.and_then(|signed| json(&signed.payload.0));
    let denied: Vec<String> = release
        .released
        .iter()
        .filter_map(|key| {
            stage::allowed(charter, BrokerOwner::Owner, release.role, order.as_ref(), key)
                .err()
                .map(|error| format!("{key}: {error}"))
        })
        .collect();
    if denied.is_empty() {
        let keys: Vec<String> = release.released.iter().map(ToString::to_string).collect();
        claims.pass("RCP-3", name, title, if keys.is_empty() { "no key".to_owned() } else { keys.join(", ") });
    } else {
        claims.fail("RCP-3", name, title, "keys of its stage", denied.join("; "));
    }
}

fn check_orders(documents: &Documents, charter: &OpenCharter, shown: &mut Shown, claims: &mut Claims) {
    let referees: BTreeSet<Hex<32>> =
        shown.guests.values().filter(|guest| guest.role == Role::Referee).map(|guest| guest.signing).collect();
    for (digest, signed) in &documents.orders {
        let title = "the order is signed by an attested referee, for this charter";
        if signed.digest() != *digest || !referees.contains(&signed.key) {
            claims.fail("ORD-1", digest, title, "the key of an attested referee", signed.key);
            continue;
        }
        match signed.verify(&signed.key) {
            Ok(order) if order.charter == charter.p() && order.referee.signing == signed.key => {
                claims.pass("ORD-1", digest, title, signed.key);
                shown.orders.insert(*digest, order.into_value());
            }
            Ok(order) => claims.fail("ORD-1", digest, title, charter.p(), order.charter),
            Err(error) => claims.fail("ORD-1", digest, title, "a valid signature", error),
        }
    }
}

fn check_results(documents: &Documents, shown: &mut Shown, claims: &mut Claims) {
    for (digest, bytes) in &documents.results {
        let title = "the result is signed by the guest that was attested for its order";
        let Some(order) = shown.orders.get(digest) else {
            claims.fail("RES-1", digest, title, "an order of an attested referee", "none");
            continue;
        };
        let keys: Vec<Hex<32>> = shown
            .guests
            .values()
            .filter(|guest| guest.order == Some(*digest))
            .map(|guest| guest.signing)
            .collect();
        let done = match order.work {
            Work::Train { .. } => by_one_of::<TrainResult>(bytes, &keys).and_then(|result| {
                if result.order != *digest {
                    return Err("names another order".to_owned());
                }
                shown.trained.insert(*digest, result);
                Ok(())
            }),
            Work::Evaluate { .. } => by_one_of::<ScoreClaim>(bytes, &keys).and_then(|claim| {
                if claim.order != *digest {
                    return Err("names another order".to_owned());
                }
                shown.scored.insert(*digest, claim);
                Ok(())
            }),
        };
        claims.check("RES-1", digest, title, "Ed25519 under the leased key", done);
    }
}

fn by_one_of<T: Statement>(bytes: &[u8], keys: &[Hex<32>]) -> Result<T, String> {
    let signed: Signed<T> = json(bytes).ok_or("not a signed result")?;
    let key = keys.iter().find(|key| **key == signed.key).ok_or("signed by a key that was not attested for it")?;
    signed.verify(key).map(tiltyard_provisioning::statement::Verified::into_value).map_err(|error| error.to_string())
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Referee => "referee",
        Role::Trainer => "trainer",
        Role::Evaluator => "evaluator",
    }
}
