//! Orders and their outcomes.

use super::{Conductor, Ordered, Settled};
use crate::ids::{Digest, SubmissionId};
use crate::record::{
    ConflictingBody, DecisionBody, EvaluateOutcome, LeafError, LeafType, OrderBody, OrderRole, OutcomeBody,
    Status, TrainOutcome,
};
use crate::score::{DURATION_BUCKET_MAX, OutputBudget, TRAIN_BITS};
use crate::units::UnixSeconds;

/// Why an order was not accepted; nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderRefused {
    #[error("order: expected a task of the present round, found {task}")]
    NotPresent { task: String },
    #[error("order: the round opens at {}, found {}\nthe rulebook's schedule.break_s says so", opens.0, now.0)]
    TooEarly { opens: UnixSeconds, now: UnixSeconds },
    #[error("order {order}: recorded already")]
    Again { order: Digest },
    #[error("order: a train order names one participant of its task, an evaluate order names none")]
    Submission,
    #[error("order: the training or evaluation has its final outcome")]
    Settled,
    #[error("order: expected attempt {expected} of at most {max}, found {got}")]
    Attempt { expected: u32, max: u32, got: u32 },
    #[error("order: evaluation waits until every training of the task has ended")]
    TrainingsMissing,
    #[error("order: no participant left an artefact to evaluate")]
    NothingToEvaluate,
    #[error(transparent)]
    Budget(#[from] OutputBudget),
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

/// Why an outcome was not accepted; nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeRefused {
    #[error("outcome: order {order} is not in the record")]
    UnknownOrder { order: Digest },
    #[error("outcome: expected role, task and submission of order {order}, found others")]
    OtherOrder { order: Digest },
    #[error("outcome: expected one row for each of the task's {expected} artefacts, found {got} rows")]
    Rows { expected: usize, got: usize },
    #[error("outcome: {submission} has a score without the status done, or names itself as its copy")]
    Row { submission: SubmissionId },
    #[error("outcome: expected a duration of at most {DURATION_BUCKET_MAX} buckets, found {got}")]
    Duration { got: u32 },
    #[error("outcome: the record is closed")]
    Closed,
    #[error("decision: expected a task of the present round, found {task}")]
    NotPresent { task: String },
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

/// What the record did with an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It stands.
    Taken,
    /// It was there already; no leaf.
    Again,
    /// Another one stands; leaf `conflicting_outcome`.
    Conflicting,
}

impl Conductor {
    /// The attempt number that the next order of a training (with its submission) or evaluation must
    /// carry; none when there is no further attempt, or nothing left to order.
    pub fn next_attempt(&self, task: &str, submission: Option<&SubmissionId>) -> Option<u32> {
        if !self.is_present(task) {
            return None;
        }
        let ledger = self.ledger(task)?;
        let attempts = &self.rules.attempts;
        let (made, max, settled) = match submission {
            Some(id) => {
                let training = ledger.trainings.get(id)?;
                (training.attempts, attempts.train, training.is_final(attempts.train))
            }
            None => {
                let evaluation = &ledger.evaluation;
                (evaluation.attempts, attempts.evaluate, evaluation.is_final(attempts.evaluate))
            }
        };
        if settled || made >= max { None } else { made.checked_add(1) }
    }

    /// Records a signed order and books the bits that its answer will disclose: leaf `order`.
    pub fn ordered(&mut self, time: UnixSeconds, body: OrderBody) -> Result<(), OrderRefused> {
        let bits = self.check_order(time, &body)?;
        let dataset = self.ledger(&body.task).map(|ledger| ledger.task.dataset.clone()).unwrap_or_default();
        self.budget.check(&dataset, bits)?;
        self.log.push(time, LeafType::Order, &body)?;
        self.budget.book(&dataset, bits)?;
        if let Some(ledger) = self.ledger_mut(&body.task) {
            match body.submission.and_then(|id| ledger.trainings.get_mut(&id)) {
                Some(training) => {
                    training.attempts = body.attempt;
                    training.open.insert(body.order);
                }
                None => {
                    ledger.evaluation.attempts = body.attempt;
                    ledger.evaluation.open.insert(body.order);
                }
            }
        }
        self.orders.insert(body.order, Ordered { body, settled: Settled::Open });
        Ok(())
    }

    /// Bits of an order that is in place.
    fn check_order(&self, time: UnixSeconds, body: &OrderBody) -> Result<u64, OrderRefused> {
        let not_present = || OrderRefused::NotPresent { task: body.task.chars().take(32).collect() };
        let round = self.present_round().ok_or_else(not_present)?;
        let ledger = round.tasks.iter().find(|ledger| ledger.task.id == body.task).ok_or_else(not_present)?;
        let now = self.log.now(time);
        if now < round.opens {
            return Err(OrderRefused::TooEarly { opens: round.opens, now });
        }
        if self.orders.contains_key(&body.order) {
            return Err(OrderRefused::Again { order: body.order });
        }
        let attempts = &self.rules.attempts;
        let (made, max, bits) = match (body.role, body.submission) {
            (OrderRole::Train, Some(id)) => {
                let training = ledger.trainings.get(&id).ok_or(OrderRefused::Submission)?;
                if training.is_final(attempts.train) {
                    return Err(OrderRefused::Settled);
                }
                (training.attempts, attempts.train, TRAIN_BITS)
            }
            (OrderRole::Evaluate, None) => {
                if !ledger.trainings_ended(attempts, &self.budget) {
                    return Err(OrderRefused::TrainingsMissing);
                }
                if ledger.trained().next().is_none() {
                    return Err(OrderRefused::NothingToEvaluate);
                }
                if ledger.evaluation.is_final(attempts.evaluate) {
                    return Err(OrderRefused::Settled);
                }
                (ledger.evaluation.attempts, attempts.evaluate, ledger.evaluation_bits())
            }
            (OrderRole::Train, None) | (OrderRole::Evaluate, Some(_)) => {
                return Err(OrderRefused::Submission);
            }
        };
        let expected = made.saturating_add(1);
        if body.attempt != expected || expected > max {
            return Err(OrderRefused::Attempt { expected, max, got: body.attempt });
        }
        Ok(bits)
    }

    /// Records a training's outcome: leaf `outcome`, or `conflicting_outcome`.
    pub fn trained(&mut self, time: UnixSeconds, outcome: TrainOutcome) -> Result<Recorded, OutcomeRefused> {
        let order = outcome.order;
        let same = |body: &OrderBody| {
            body.role == OrderRole::Train
                && body.task == outcome.task
                && body.submission == Some(outcome.submission)
        };
        if !same(self.order(&order)?) {
            return Err(OutcomeRefused::OtherOrder { order });
        }
        if outcome.duration_bucket > DURATION_BUCKET_MAX {
            return Err(OutcomeRefused::Duration { got: outcome.duration_bucket });
        }
        let max = self.rules.attempts.train;
        let ended = !self.is_present(&outcome.task)
            || self
                .ledger(&outcome.task)
                .and_then(|ledger| ledger.trainings.get(&outcome.submission))
                .is_none_or(|training| training.is_final(max));
        let (task, submission) = (outcome.task.clone(), outcome.submission);
        let body = OutcomeBody::Train(outcome.clone());
        let recorded = self.settle_order(time, order, &body, ended)?;
        if recorded == Recorded::Taken
            && let Some(training) = self.ledger_mut(&task).and_then(|l| l.trainings.get_mut(&submission))
        {
            training.open.remove(&order);
            training.outcome = Some(outcome);
        }
        Ok(recorded)
    }

    /// Records an evaluation's outcome: leaf `outcome`, or `conflicting_outcome`.
    pub fn evaluated(
        &mut self,
        time: UnixSeconds,
        mut outcome: EvaluateOutcome,
    ) -> Result<Recorded, OutcomeRefused> {
        let order = outcome.order;
        let ordered = self.order(&order)?;
        if ordered.role != OrderRole::Evaluate || ordered.task != outcome.task {
            return Err(OutcomeRefused::OtherOrder { order });
        }
        outcome.scores.sort_unstable_by_key(|row| row.submission);
        let ledger = self.ledger(&outcome.task).ok_or(OutcomeRefused::OtherOrder { order })?;
        let expected: Vec<_> = ledger.trained().map(|(id, _)| id).collect();
        if !outcome.scores.iter().map(|row| row.submission).eq(expected.iter().copied()) {
            return Err(OutcomeRefused::Rows { expected: expected.len(), got: outcome.scores.len() });
        }
        for row in &outcome.scores {
            let unearned = row.score.is_some() && row.status != Status::Done;
            if unearned || row.same_losses_as == Some(row.submission) {
                return Err(OutcomeRefused::Row { submission: row.submission });
            }
        }
        let ended =
            !self.is_present(&outcome.task) || ledger.evaluation.is_final(self.rules.attempts.evaluate);
        let task = outcome.task.clone();
        let body = OutcomeBody::Evaluate(outcome.clone());
        let recorded = self.settle_order(time, order, &body, ended)?;
        if recorded == Recorded::Taken
            && let Some(ledger) = self.ledger_mut(&task)
        {
            ledger.evaluation.open.remove(&order);
            ledger.evaluation.outcome = Some(outcome);
        }
        Ok(recorded)
    }

    /// Records the operator's signed decision to let a task's many failures stand: leaf `decision`.
    pub fn decide(&mut self, time: UnixSeconds, body: DecisionBody) -> Result<(), OutcomeRefused> {
        if !self.is_present(&body.task) {
            return Err(OutcomeRefused::NotPresent { task: body.task.chars().take(32).collect() });
        }
        if self.excused.contains(&body.task) {
            return Ok(());
        }
        self.log.push(time, LeafType::Decision, &body)?;
        self.excused.insert(body.task);
        Ok(())
    }

    /// A conflict as the record tells it, without the values that conflicted.
    pub(crate) fn conflicting(
        &mut self,
        time: UnixSeconds,
        body: &ConflictingBody,
    ) -> Result<(), OutcomeRefused> {
        let order = body.order;
        let ordered = self.order(&order)?;
        if ordered.role != body.role || ordered.task != body.task {
            return Err(OutcomeRefused::OtherOrder { order });
        }
        let ended = match ordered.submission {
            _ if !self.is_present(&body.task) => true,
            Some(id) => self
                .ledger(&body.task)
                .and_then(|ledger| ledger.trainings.get(&id))
                .is_none_or(|training| training.is_final(self.rules.attempts.train)),
            None => self
                .ledger(&body.task)
                .is_none_or(|ledger| ledger.evaluation.is_final(self.rules.attempts.evaluate)),
        };
        match self.orders.get(&order).map(|ordered| &ordered.settled) {
            Some(Settled::By(_)) => self.conflict(time, order)?,
            Some(Settled::Open) if ended => self.conflict(time, order)?,
            _ => return Err(OutcomeRefused::OtherOrder { order }),
        };
        Ok(())
    }

    fn order(&self, order: &Digest) -> Result<&OrderBody, OutcomeRefused> {
        if self.is_revealed() {
            return Err(OutcomeRefused::Closed);
        }
        let unknown = OutcomeRefused::UnknownOrder { order: *order };
        self.orders.get(order).map(|ordered| &ordered.body).ok_or(unknown)
    }

    /// The first outcome of an order wins (TOURNAMENT 5).
    fn settle_order(
        &mut self,
        time: UnixSeconds,
        order: Digest,
        body: &OutcomeBody,
        ended: bool,
    ) -> Result<Recorded, OutcomeRefused> {
        let form = LeafError::Form { kind: LeafType::Outcome };
        let digest = Digest::sha256(&serde_jcs::to_vec(body).map_err(|_| form)?);
        match self.orders.get(&order).map(|ordered| ordered.settled.clone()) {
            Some(Settled::By(first)) if first == digest => Ok(Recorded::Again),
            Some(Settled::Conflicting) => Ok(Recorded::Again),
            Some(Settled::Open) if !ended => {
                self.log.push(time, LeafType::Outcome, body)?;
                self.mark(&order, Settled::By(digest));
                Ok(Recorded::Taken)
            }
            _ => self.conflict(time, order),
        }
    }

    fn conflict(&mut self, time: UnixSeconds, order: Digest) -> Result<Recorded, OutcomeRefused> {
        let OrderBody { task, role, .. } = self.order(&order)?.clone();
        self.log.push(time, LeafType::ConflictingOutcome, &ConflictingBody { order, task, role })?;
        self.mark(&order, Settled::Conflicting);
        Ok(Recorded::Conflicting)
    }

    fn mark(&mut self, order: &Digest, settled: Settled) {
        if let Some(ordered) = self.orders.get_mut(order) {
            ordered.settled = settled;
        }
    }
}
