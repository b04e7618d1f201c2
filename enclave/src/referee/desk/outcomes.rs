//! What became of orders: results, losses, and what is remembered of them.

use tiltyard_attestation::Hex;
use tiltyard_provisioning::channel::Ack;
use tiltyard_provisioning::order::{ArtefactRef, ScoreClaim, TrainResult, Work};
use tiltyard_provisioning::record::members;
use tiltyard_provisioning::release::End;
use tiltyard_tournament::{BaseScore, Digest, Disclosed, EvaluateOutcome, ScoreRow, Status, TrainOutcome};

use super::{Desk, Pending, refused, rules};
use crate::error::GuestError;
use crate::referee::reports::{Checked, Report};

impl Desk {
    pub(super) async fn settle(&mut self, order: Hex<32>, report: Report) -> Result<Ack, GuestError> {
        let Some(pending) = self.pending.remove(&order) else { return Ok(refused("OrderSpent")) };
        self.archive.add(members::guest(&report.lease), &report.guest)?;
        self.archive.add(members::result(&order), &report.signed)?;
        match report.result {
            Checked::Trained(result) => self.trained(pending.task, result)?,
            Checked::Evaluated { claim, same } => self.evaluated(pending.task, claim, &same)?,
        }
        self.flush().await?;
        self.go_on().await?;
        Ok(Ack::Done)
    }

    pub(super) fn remember(&mut self, task: String, result: &TrainResult) {
        if let Some(object) = &result.artefact {
            let artefact = ArtefactRef {
                submission: result.submission,
                train_order: result.order,
                object: object.clone(),
            };
            self.artefacts.insert((task, result.submission), artefact);
        }
    }

    /// Sealed artefacts of a task, ascending by submission.
    pub(super) fn artefacts_of(&self, task: &str) -> Vec<ArtefactRef> {
        self.artefacts
            .iter()
            .filter(|((of, _), _)| of == task)
            .map(|(_, artefact)| artefact.clone())
            .collect()
    }

    pub(super) fn trained(&mut self, task: String, result: TrainResult) -> Result<(), GuestError> {
        self.remember(task.clone(), &result);
        let outcome = TrainOutcome {
            task,
            submission: (*result.submission.bytes()).into(),
            order: Digest(*result.order.bytes()),
            status: status(result.status),
            duration_bucket: result.duration_bucket,
        };
        self.conductor.trained(self.now(), outcome).map(drop).map_err(rules)
    }

    pub(super) fn evaluated(
        &mut self,
        task: String,
        claim: ScoreClaim,
        same: &[Option<Hex<32>>],
    ) -> Result<(), GuestError> {
        let disclosed = |score: Option<i32>| score.map(|steps| Disclosed::clamped(i128::from(steps)));
        let outcome = EvaluateOutcome {
            task,
            order: Digest(*claim.order.bytes()),
            fingerprint: Digest(*claim.fingerprint.bytes()),
            base: BaseScore {
                score: disclosed(claim.base.score),
                losses_root: Some(Digest(*claim.base.root.bytes())),
            },
            scores: claim
                .scores
                .into_iter()
                .zip(same)
                .map(|(score, same)| ScoreRow {
                    submission: (*score.submission.bytes()).into(),
                    status: status(score.status),
                    score: disclosed(score.score),
                    losses_root: score.root.map(|root| Digest(*root.bytes())),
                    artefact_sha256: score.artefact_sha256.map(|digest| Digest(*digest.bytes())),
                    same_losses_as: same.map(|id| (*id.bytes()).into()),
                })
                .collect(),
        };
        self.conductor.evaluated(self.now(), outcome).map(drop).map_err(rules)
    }

    /// The host says that a guest is gone. Its order is ended at the brokers, so that it is given no key from
    /// now on, and counts as an attempt that came to nothing.
    pub(super) async fn lost(&mut self, order: Hex<32>) -> Result<Ack, GuestError> {
        let Some(pending) = self.pending.remove(&order) else { return Ok(refused("OrderSpent")) };
        self.abandon(order, pending).await?;
        self.go_on().await?;
        Ok(Ack::Done)
    }

    pub(super) async fn abandon(&mut self, order: Hex<32>, pending: Pending) -> Result<(), GuestError> {
        for broker in [&self.owner, &self.operator] {
            match broker.end(&self.guest.attester, End::Order(order)).await {
                Ok(()) => {}
                // It ended before it was lost.
                Err(GuestError::Refused { code, .. }) if code == "LeaseLapsed" => {}
                Err(error) => return Err(error),
            }
        }
        match pending.work {
            Work::Train { submission } => {
                let result = TrainResult {
                    order,
                    submission,
                    status: tiltyard_provisioning::order::Status::Infrastructure,
                    artefact: None,
                    log: None,
                    duration_bucket: 0,
                };
                self.trained(pending.task, result)?;
            }
            Work::Evaluate { artefacts } => self.unevaluated(pending.task, order, &artefacts)?,
        }
        self.flush().await
    }

    /// An evaluation that came to nothing, for no fault of anybody scored.
    pub(super) fn unevaluated(
        &mut self,
        task: String,
        order: Hex<32>,
        artefacts: &[ArtefactRef],
    ) -> Result<(), GuestError> {
        let outcome = EvaluateOutcome {
            task,
            order: Digest(*order.bytes()),
            fingerprint: Digest([0; 32]),
            base: BaseScore { score: None, losses_root: None },
            scores: artefacts
                .iter()
                .map(|artefact| ScoreRow {
                    submission: (*artefact.submission.bytes()).into(),
                    status: Status::Infrastructure,
                    score: None,
                    losses_root: None,
                    artefact_sha256: None,
                    same_losses_as: None,
                })
                .collect(),
        };
        self.conductor.evaluated(self.now(), outcome).map(drop).map_err(rules)
    }
}

fn status(status: tiltyard_provisioning::order::Status) -> Status {
    use tiltyard_provisioning::order::Status as Wire;
    match status {
        Wire::Done => Status::Done,
        Wire::TimedOut => Status::TimedOut,
        Wire::Failed => Status::Failed,
        Wire::ResourceLimit => Status::ResourceLimit,
        Wire::IntakeRefused => Status::IntakeRefused,
        Wire::ArtefactRefused => Status::ArtefactRefused,
        Wire::NotFineTuned => Status::NotFineTuned,
        Wire::Infrastructure => Status::Infrastructure,
    }
}
