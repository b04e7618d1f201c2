//! The stage graph: which key a role may be given by which broker (PROVISIONING 4).
//!
//! Pure: the broker keeps the state and calls these with it. A thing that is not listed is refused.

use tiltyard_attestation::{Hex, Role};

use crate::charter::{BrokerOwner, Charter};
use crate::keyid::{KeyId, Split};
use crate::order::{Order, Work};

/// After a trainer's lease has lapsed without a signed end, an evaluator waits this long, in seconds.
pub const LAPSE_GRACE_S: u64 = 60;

/// A key that the stage graph gives to this role under this order; made by [`allowed`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    key: KeyId,
}

/// A deposit that the stage graph takes from this role; made by [`deposit_allowed`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepositAllowed {
    key: KeyId,
}

/// Every trainer lease of a task is over; made by [`trainers_ended`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainersEnded(());

/// How a trainer's lease on a task stands, as one broker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainerLease {
    pub lease: Hex<16>,
    /// Unix seconds.
    pub not_after: u64,
    pub closed: Closed,
}

/// Whether the lease's own key has closed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// An `end` signed by the lease's key came in.
    BySignedEnd,
    /// Not yet.
    No,
}

/// Why the stage graph refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// The role is never given this kind of key by this broker.
    #[error("{role:?} is not given {key} by the broker of the {owner:?}")]
    RoleDeny { role: Role, key: KeyId, owner: BrokerOwner },
    /// The role may have such keys, but the order names another one.
    #[error("{role:?}: the order does not name {key}")]
    NotInOrder { role: Role, key: KeyId },
    /// The role may have such keys, but the charter does not name this one.
    #[error("{role:?}: the charter does not name {key}")]
    NotInCharter { role: Role, key: KeyId },
    #[error("{role:?}: {key} needs an order for this role, found none")]
    OrderMissing { role: Role, key: KeyId },
    #[error("{role:?}: expected an order for this role, found one for {got:?}")]
    OrderForOther { role: Role, got: Role },
    #[error("the task's trainer lease {lease} is still open\n  wait for its end, or until {lapses} s")]
    TrainerLeaseOpen { lease: Hex<16>, lapses: u64 },
    #[error("{role:?} may not deposit {key} with the broker of the {owner:?}")]
    DepositDenied { role: Role, key: KeyId, owner: BrokerOwner },
}

impl StageError {
    /// The stable code of PROVISIONING 9.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RoleDeny { .. } | Self::NotInOrder { .. } | Self::NotInCharter { .. } => "RoleDeny",
            Self::OrderMissing { .. } | Self::OrderForOther { .. } | Self::TrainerLeaseOpen { .. } => {
                "StageNotReached"
            }
            Self::DepositDenied { .. } => "DepositDenied",
        }
    }
}

impl Allowed {
    /// The key that may be released.
    pub fn key(&self) -> &KeyId {
        &self.key
    }
}

impl DepositAllowed {
    /// The key that may be deposited.
    pub fn key(&self) -> &KeyId {
        &self.key
    }
}

/// Holds one asked-for key against the stage graph of the broker of `owner`.
///
/// `order` is the verified order of the launch configuration; none for a referee. For an evaluator
/// [`trainers_ended`] must hold besides.
pub fn allowed(
    charter: &Charter,
    owner: BrokerOwner,
    role: Role,
    order: Option<&Order>,
    key: &KeyId,
) -> Result<Allowed, StageError> {
    let in_graph = match (role, owner, key) {
        (Role::Referee, BrokerOwner::Owner, KeyId::Draw(_)) => true,
        (Role::Trainer, BrokerOwner::Owner, KeyId::Dataset { split: Split::Train, .. }) => true,
        (Role::Trainer, BrokerOwner::Operator, KeyId::Submission(_)) => true,
        (Role::Evaluator, BrokerOwner::Owner, KeyId::Dataset { split: Split::Test, .. }) => true,
        (Role::Evaluator, BrokerOwner::Owner, KeyId::Artefact(_)) => true,
        (Role::Referee | Role::Trainer | Role::Evaluator, BrokerOwner::Owner | BrokerOwner::Operator, _) => {
            false
        }
    };
    if !in_graph {
        return Err(StageError::RoleDeny { role, key: key.clone(), owner });
    }
    if !charter_names(charter, role, key) {
        return Err(StageError::NotInCharter { role, key: key.clone() });
    }
    if role != Role::Referee {
        let order = order.ok_or_else(|| StageError::OrderMissing { role, key: key.clone() })?;
        if order.work.role() != role {
            return Err(StageError::OrderForOther { role, got: order.work.role() });
        }
        if order.tournament != charter.tournament.id || !order_names(order, key) {
            return Err(StageError::NotInOrder { role, key: key.clone() });
        }
    }
    Ok(Allowed { key: key.clone() })
}

/// Holds one deposit against the stage graph: artefact and log keys of the guest's own order, the
/// referee's draw seed, with the owner's broker.
///
/// `order` is the digest of the order that the lease is for.
pub fn deposit_allowed(
    charter: &Charter,
    owner: BrokerOwner,
    role: Role,
    order: Option<&Hex<32>>,
    key: &KeyId,
) -> Result<DepositAllowed, StageError> {
    let own = match (role, key) {
        (Role::Referee, KeyId::Draw(tournament)) => *tournament == charter.tournament.id,
        (Role::Trainer, KeyId::Artefact(digest)) => order == Some(digest),
        // A trainer's log, or the owner's copy of an evaluator's item losses.
        (Role::Trainer | Role::Evaluator, KeyId::Log(digest)) => order == Some(digest),
        (Role::Referee | Role::Trainer | Role::Evaluator, _) => false,
    };
    if !own || owner != BrokerOwner::Owner {
        return Err(StageError::DepositDenied { role, key: key.clone(), owner });
    }
    Ok(DepositAllowed { key: key.clone() })
}

/// The evaluator's precondition: every trainer lease that this broker granted for the task is ended by a
/// signed end, or lapsed [`LAPSE_GRACE_S`] ago.
pub fn trainers_ended(leases: &[TrainerLease], now: u64) -> Result<TrainersEnded, StageError> {
    let open = leases
        .iter()
        .find(|lease| lease.closed == Closed::No && now <= lease.not_after.saturating_add(LAPSE_GRACE_S));
    match open {
        Some(lease) => Err(StageError::TrainerLeaseOpen {
            lease: lease.lease,
            lapses: lease.not_after.saturating_add(LAPSE_GRACE_S),
        }),
        None => Ok(TrainersEnded(())),
    }
}

fn charter_names(charter: &Charter, role: Role, key: &KeyId) -> bool {
    let stage = charter.stages.iter().find(|stage| stage.role == role);
    stage.is_some_and(|stage| stage.keys.iter().any(|pattern| pattern.names(key)))
}

fn order_names(order: &Order, key: &KeyId) -> bool {
    match (key, &order.work) {
        (KeyId::Dataset { id, .. }, _) => order.dataset_id == *id,
        (KeyId::Submission(id), Work::Train { submission }) => submission == id,
        (KeyId::Artefact(train_order), Work::Evaluate { artefacts }) => {
            artefacts.iter().any(|artefact| artefact.train_order == *train_order)
        }
        (KeyId::Submission(_) | KeyId::Artefact(_) | KeyId::Log(_) | KeyId::Draw(_), _) => false,
    }
}
