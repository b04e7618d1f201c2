//! From a sealed report to a fact: who made it, on which evidence, for which order.

use tiltyard_attestation::Hex;
use tiltyard_provisioning::dataset::losses_root;
use tiltyard_provisioning::hpke;
use tiltyard_provisioning::order::{
    Evaluated, GuestReport, GuestResult, ResultEnvelope, ScoreClaim, TrainResult, Work,
};
use tiltyard_provisioning::record::AttestedGuest;
use tiltyard_provisioning::release::{KeyRelease, Lease};
use tiltyard_provisioning::statement::{Signed, Statement};

use crate::losses;
use crate::session::Guest;

/// A report that was held against the lease of the guest that made it.
pub(crate) struct Report {
    pub(crate) lease: Hex<16>,
    pub(crate) guest: AttestedGuest,
    pub(crate) result: Checked,
    /// The signed result as it goes into the bundle.
    pub(crate) signed: serde_json::Value,
}

pub(crate) enum Checked {
    Trained(TrainResult),
    Evaluated {
        claim: ScoreClaim,
        /// For each score, an earlier one of the claim with equal losses on every item.
        same: Vec<Option<Hex<32>>>,
    },
}

/// Why a report isn't believed. It is dropped, and the order stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unbelievable(pub(crate) &'static str);

/// Opens and checks one report. `broker` is the owner's broker's key, `work` what the order asked for.
pub(crate) fn open(
    guest: &Guest,
    broker: &Hex<32>,
    work: &Work,
    envelope: &ResultEnvelope,
) -> Result<Report, Unbelievable> {
    let p = guest.charter.p();
    let plain = guest
        .attester
        .hpke()
        .open(&envelope.enc.0, &envelope.ct.0, &hpke::result_info(&p), &hpke::result_aad(&envelope.order))
        .map_err(|_| Unbelievable("does not open under this referee's key"))?;
    let report: GuestReport =
        serde_json::from_slice(&plain).map_err(|_| Unbelievable("is not a guest report"))?;
    let lease = report.lease.verify(broker).map_err(|_| Unbelievable("lease not by the owner's broker"))?;
    if lease.charter != p || lease.order != Some(envelope.order) || lease.role != work.role() {
        return Err(Unbelievable("lease for another charter, order or role"));
    }
    let release: KeyRelease = serde_json::from_slice(&report.receipt.leaf.0)
        .map_err(|_| Unbelievable("receipt is not a key release"))?;
    if release.evidence_sha256 != report.evidence.digest() || release.lease != lease.lease {
        return Err(Unbelievable("receipt for other evidence"));
    }
    let (result, signed) = match (report.result, work) {
        (GuestResult::Trained(signed), Work::Train { submission }) => {
            let result = by_attested_key(&signed, &lease)?;
            if result.order != envelope.order || result.submission != *submission {
                return Err(Unbelievable("result for another order"));
            }
            (Checked::Trained(result), json(&signed)?)
        }
        (GuestResult::Evaluated(evaluated), Work::Evaluate { artefacts }) => {
            let claim = by_attested_key(&evaluated.claim, &lease)?;
            let asked = artefacts.iter().map(|artefact| artefact.submission);
            if claim.order != envelope.order || !claim.scores.iter().map(|score| score.submission).eq(asked) {
                return Err(Unbelievable("claim for another order"));
            }
            follows(&claim, &evaluated)?;
            let same = copies(&claim, &evaluated);
            (Checked::Evaluated { claim, same }, json(&evaluated.claim)?)
        }
        _ => return Err(Unbelievable("result of another kind")),
    };
    let lease_id = lease.lease;
    let attested = AttestedGuest { lease: report.lease, receipt: report.receipt, evidence: report.evidence };
    Ok(Report { lease: lease_id, guest: attested, result, signed })
}

fn by_attested_key<T: Statement>(signed: &Signed<T>, lease: &Lease) -> Result<T, Unbelievable> {
    if Hex::sha256(signed.key.bytes()) != lease.keys.signing {
        return Err(Unbelievable("result not by the leased key"));
    }
    let verified = signed.verify(&signed.key).map_err(|_| Unbelievable("result's signature"))?;
    Ok(verified.into_value())
}

/// Every disclosed score and root must follow from the item losses that came sealed beside the claim.
fn follows(claim: &ScoreClaim, evaluated: &Evaluated) -> Result<(), Unbelievable> {
    let differs = Err(Unbelievable("scores don't follow from the item losses"));
    let same = |score: Option<i32>, root: Hex<32>, losses: &tiltyard_provisioning::order::ItemLosses| {
        losses_root(&losses.items) == root && losses.root == root && losses::score(losses) == score
    };
    if !same(claim.base.score, claim.base.root, &evaluated.vectors.base)
        || evaluated.vectors.artefacts.len() != claim.scores.len()
    {
        return differs;
    }
    for (score, losses) in claim.scores.iter().zip(&evaluated.vectors.artefacts) {
        let fits = match (losses, score.root) {
            (Some(losses), Some(root)) => same(score.score, root, losses),
            (None, None) => score.score.is_none(),
            _ => false,
        };
        if !fits {
            return differs;
        }
    }
    Ok(())
}

/// Salts differ by submission, so that roots don't show equal losses: the values do.
fn copies(claim: &ScoreClaim, evaluated: &Evaluated) -> Vec<Option<Hex<32>>> {
    let values: Vec<Option<Vec<_>>> = evaluated
        .vectors
        .artefacts
        .iter()
        .map(|losses| {
            let losses = losses.as_ref()?;
            Some(losses.items.iter().map(|item| (item.item, item.loss_micro, item.labels)).collect())
        })
        .collect();
    values
        .iter()
        .enumerate()
        .map(|(at, own)| {
            let earlier = values[..at].iter().position(|other| own.is_some() && other == own)?;
            claim.scores.get(earlier).map(|score| score.submission)
        })
        .collect()
}

fn json<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, Unbelievable> {
    serde_json::to_value(value).map_err(|_| Unbelievable("result can't be written"))
}
