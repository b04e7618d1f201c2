//! What an attested guest is given: the checks after the appraisal, the ledger entry, the sealed keys.

use rusqlite::Connection;
use tiltyard_attestation::{AttestationResult, Collateral, Role};
use tiltyard_provisioning::dek::{WrapAad, WrapKind};
use tiltyard_provisioning::hpke::{release_aad, release_info, seal_to};
use tiltyard_provisioning::keyid::KeyId;
use tiltyard_provisioning::ledger::{Checkpoint, MerkleLog, TlogProof};
use tiltyard_provisioning::order::Order;
use tiltyard_provisioning::release::{AttestAnswer, AttestRequest, KeyRelease, Lease, Receipt, ReleasedKey};
use tiltyard_provisioning::stage::{allowed, trainers_ended};
use tiltyard_provisioning::statement::{Signed, Verified};
use zeroize::Zeroizing;

use super::attest::Attested;
use super::{Code, Core, Denial, State};
use crate::store::deks::{self, Wrapped};
use crate::store::leases::{self, LeaseRow};
use crate::store::ledger::Entry;
use crate::store::{self, devices, ledger};

/// What a guest showed: its evidence, and what the appraisal made of it.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    /// The envelope as appraised, canonical JSON.
    pub evidence: &'a [u8],
    /// The result and the collateral that it rests on; none in tests of the rules of release, which have no appraisal.
    pub result: Option<(&'a AttestationResult, &'a Collateral)>,
}

/// What the transaction made durable; an answer is built from this and nothing else.
struct Committed {
    lease: Lease,
    receipt: Receipt,
    keys: Vec<OpenedKey>,
    issued_at: u64,
}

/// A key on its way from the store to the guest.
struct OpenedKey {
    key_id: KeyId,
    version: u64,
    secret: Zeroizing<Vec<u8>>,
}

impl Core {
    /// Checks, claims and counts in one transaction with the ledger entry; then seals the keys.
    pub(super) fn grant(
        &self,
        attested: &Attested,
        request: &AttestRequest,
        shown: Shown<'_>,
    ) -> Result<Signed<AttestAnswer>, Denial> {
        let committed = {
            let mut state = self.state();
            // Taken out: if the transaction fails, the tree may be ahead of the store, and is thrown away.
            let mut tree = state.take_tree()?;
            let State { store, .. } = &mut *state;
            let committed =
                store.write(|connection| self.commit(connection, &mut tree, attested, request, shown))?;
            state.tree = Some(tree);
            committed
        };
        self.answer(attested, committed)
    }

    fn commit(
        &self,
        connection: &Connection,
        tree: &mut MerkleLog,
        attested: &Attested,
        request: &AttestRequest,
        shown: Shown<'_>,
    ) -> Result<Committed, Denial> {
        let now = store::tick(connection, attested.at)?;
        self.charter.at(now).map_err(|error| Denial::new(Code::CharterWindow, error))?;
        let held = leases::find(connection, &attested.lease)?;
        let order = self.order(connection, attested, request, held.is_some(), now)?;
        let not_after = now.saturating_add(self.charter.limits.lease_s).min(self.charter.not_after);
        self.claim(connection, attested, order.as_deref(), held, not_after, now)?;
        hold_devices(connection, attested, now)?;
        if let Some(number) = attested.tcb_evaluation {
            store::accept_tcb_evaluation(connection, number)?;
        }
        let opened = self.keys(connection, attested, order.as_deref(), request, now)?;
        if attested.role == Role::Referee {
            self.hold_log(connection, attested, request)?;
        }
        for key in &opened {
            deks::count_release(connection, &self.charter.p(), &key.key_id, &attested.lease, key.version)?;
        }
        let lease = Lease {
            lease: attested.lease,
            charter: self.charter.p(),
            role: attested.role,
            order: attested.order,
            keys: attested.keys,
            anchors: attested.anchors,
            issued_at: now,
            not_after,
        };
        let receipt = self.enter(connection, tree, attested, &opened, shown, not_after)?;
        Ok(Committed { lease, receipt, keys: opened, issued_at: now })
    }

    /// The order must be the one of the launch configuration, for this role, and at the first attest signed
    /// by a referee that holds a live lease of this broker. A renewal goes on without it: what the referee
    /// asked for it has asked for.
    fn order(
        &self,
        connection: &Connection,
        attested: &Attested,
        request: &AttestRequest,
        renewal: bool,
        now: u64,
    ) -> Result<Option<Verified<Order>>, Denial> {
        let refused = |detail: String| Denial::new(Code::OrderRefused, detail);
        let (Some(expected), Some(signed)) = (attested.order, &request.order) else {
            return match (attested.order, &request.order) {
                (None, None) => Ok(None),
                (Some(expected), _) => Err(refused(format!("expected order {expected}, found none"))),
                (None, Some(_)) => Err(refused("a referee takes no order, found one".into())),
            };
        };
        let order = signed.verify(&signed.key).map_err(|error| refused(error.to_string()))?;
        if order.digest() != expected {
            return Err(refused(format!("expected order {expected}, found {}", order.digest())));
        }
        if order.v != 1 || order.charter != self.charter.p() || order.tournament != self.charter.tournament.id
        {
            return Err(refused("the order is for another charter or tournament".into()));
        }
        if order.work.role() != attested.role {
            return Err(refused(format!("the order is for a {:?}", order.work.role())));
        }
        if order.referee.signing != signed.key {
            return Err(refused("the order names another referee key than the one that signed it".into()));
        }
        if !renewal {
            let referee = leases::find(connection, &order.referee.lease)?;
            let live = referee.is_some_and(|row| {
                row.role == Role::Referee
                    && row.charter == self.charter.p()
                    && row.signing == signed.key
                    && row.is_live(now)
            });
            if !live {
                return Err(refused(format!(
                    "{} is no live referee lease of this key here",
                    order.referee.lease
                )));
            }
        }
        Ok(Some(order))
    }

    /// The first attest claims the lease id and the order; the same boot may come again until the lease is over.
    fn claim(
        &self,
        connection: &Connection,
        attested: &Attested,
        order: Option<&Order>,
        held: Option<LeaseRow>,
        not_after: u64,
        now: u64,
    ) -> Result<(), Denial> {
        let row = LeaseRow {
            lease: attested.lease,
            boot: attested.boot,
            // Strings only, which always serialise.
            keys: serde_jcs::to_string(&attested.keys).unwrap_or_default(),
            charter: self.charter.p(),
            role: attested.role,
            order: attested.order,
            task: order.map(|order| order.task.clone()),
            signing: attested.signing,
            referee: order.map(|order| order.referee.signing),
            not_after,
            end_answer: None,
        };
        if let Some(held) = held {
            if !held.is_same_guest(&row) {
                return Err(Denial::new(Code::LeaseHeld, format!("lease {}", attested.lease)));
            }
            if !held.is_live(now) {
                return Err(Denial::new(Code::LeaseLapsed, format!("lease {}", attested.lease)));
            }
            return Ok(leases::extend(connection, &attested.lease, not_after)?);
        }
        if let Some(order) = attested.order
            && let Some(other) = leases::of_order(connection, &order)?
        {
            return Err(Denial::new(Code::OrderSpent, format!("order {order} was served to lease {other}")));
        }
        if let Some(order) = attested.order
            && leases::is_given_up(connection, &order)?
        {
            return Err(Denial::new(Code::OrderSpent, format!("order {order} was given up by its referee")));
        }
        leases::claim(connection, &row)?;
        if attested.role == Role::Referee {
            leases::supersede_referees(connection, &row.charter, &row.lease, now)?;
        }
        Ok(())
    }

    /// Role and stage for every key that was asked for, before any of them is opened.
    fn keys(
        &self,
        connection: &Connection,
        attested: &Attested,
        order: Option<&Order>,
        request: &AttestRequest,
        now: u64,
    ) -> Result<Vec<OpenedKey>, Denial> {
        let granted = request
            .key_ids
            .iter()
            .map(|key_id| allowed(&self.charter, self.owner, attested.role, order, key_id))
            .collect::<Result<Vec<_>, _>>()?;
        if let (Role::Evaluator, Some(order)) = (attested.role, order) {
            let trainers = leases::trainers_of_task(connection, &self.charter.p(), &order.task)?;
            trainers_ended(&trainers, now)?;
        }
        let mut opened = Vec::with_capacity(granted.len());
        for granted in &granted {
            if let Some(wrapped) = self.wrapped(connection, granted.key())? {
                self.within_quota(connection, attested, granted.key())?;
                opened.push(self.unwrap(granted.key(), &wrapped)?);
            }
        }
        Ok(opened)
    }

    /// The stored key; `None` when there is none yet. Of a dataset, the version whose manifest the charter
    /// names, unless it is below the charter's least version or one already released (E_ROLLBACK).
    fn wrapped(&self, connection: &Connection, key_id: &KeyId) -> Result<Option<Wrapped>, Denial> {
        let KeyId::Dataset { id, split } = key_id else {
            return Ok(deks::newest(connection, key_id)?);
        };
        let named =
            self.charter.datasets.iter().find(|named| named.dataset_id == *id && named.split == *split);
        let Some(named) = named else { return Ok(None) };
        let Some(wrapped) = deks::of_source(connection, key_id, &named.manifest_sha256)? else {
            return Ok(None);
        };
        let least = named.min_version.max(deks::high_water(connection, key_id)?);
        if wrapped.version < least {
            let detail = format!("{key_id}: expected version {least} or above, found {}", wrapped.version);
            return Err(Denial::new(Code::Rollback, detail));
        }
        Ok(Some(wrapped))
    }

    fn within_quota(
        &self,
        connection: &Connection,
        attested: &Attested,
        key_id: &KeyId,
    ) -> Result<(), Denial> {
        let most = self.charter.limits.max_releases;
        let others = deks::released_to_others(connection, &self.charter.p(), key_id, &attested.lease)?;
        if others >= u64::from(most) {
            return Err(Denial::new(
                Code::QuotaSpent,
                format!("{key_id}: {others} of {most} releases are used"),
            ));
        }
        Ok(())
    }

    fn unwrap(&self, key_id: &KeyId, wrapped: &Wrapped) -> Result<OpenedKey, Denial> {
        let aad = self.wrap_aad(key_id, wrapped.version);
        let secret = self
            .keys
            .kek
            .unwrap(&wrapped.bytes, &aad)
            .map_err(|_| Denial::new(Code::LedgerUnavailable, "the broker's store failed"))?;
        Ok(OpenedKey { key_id: key_id.clone(), version: wrapped.version, secret })
    }

    /// What a released or deposited key is wrapped as.
    pub(super) fn wrap_aad(&self, key_id: &KeyId, version: u64) -> WrapAad {
        let kind = if matches!(key_id, KeyId::Draw(_)) { WrapKind::Seed } else { WrapKind::Dek };
        WrapAad { key_id: key_id.to_string(), kek_id: self.keys.kek.id(), version, kind }
    }

    /// Appends the ledger entry, with evidence, checkpoint and token, inside the transaction.
    fn enter(
        &self,
        connection: &Connection,
        tree: &mut MerkleLog,
        attested: &Attested,
        opened: &[OpenedKey],
        shown: Shown<'_>,
        not_after: u64,
    ) -> Result<Receipt, Denial> {
        let release = KeyRelease {
            v: 1,
            r#type: "key_release".into(),
            evidence_sha256: attested.evidence,
            nonce: attested.nonce,
            charter: self.charter.p(),
            role: attested.role,
            order: attested.order,
            lease: attested.lease,
            keys: attested.keys,
            anchors: attested.anchors,
            released: opened.iter().map(|key| key.key_id.clone()).collect(),
            time: attested.at,
        };
        // Strings and integers only, which always serialise.
        let leaf = serde_jcs::to_vec(&release).unwrap_or_default();
        let index = tree.append(&leaf);
        let checkpoint = Checkpoint::of(&self.origin, tree).sign(&self.keys.answer, &self.origin);
        let proof = TlogProof::of(tree, index, &checkpoint);
        // A lease that ends in this second has none.
        let result = shown.result.filter(|_| not_after > attested.at);
        let token = result.map(|shown| self.token(shown, &proof, attested.at, not_after)).transpose()?;
        let entry = Entry {
            leaf: &leaf,
            evidence: shown.evidence,
            checkpoint: &checkpoint,
            lease: attested.lease,
            token: token.as_deref(),
        };
        ledger::append(connection, index, &entry)?;
        let inclusion = proof.hashes;
        Ok(Receipt { leaf: leaf.into(), index, checkpoint, inclusion })
    }

    fn answer(&self, attested: &Attested, committed: Committed) -> Result<Signed<AttestAnswer>, Denial> {
        let p = self.charter.p();
        let Committed { lease, receipt, keys, issued_at } = committed;
        let mut sealed = Vec::with_capacity(keys.len());
        for OpenedKey { key_id, version, secret } in keys {
            let aad = release_aad(&attested.lease, &key_id, version, &p, attested.order.as_ref());
            let (enc, ct) = seal_to(&attested.hpke, &release_info(&p), &aad, &secret, &self.rng)?;
            sealed.push(ReleasedKey { key_id, version, enc: enc.into(), ct: ct.into() });
        }
        let answer = AttestAnswer {
            lease: Signed::sign(&lease, &self.keys.answer),
            receipt,
            keys: sealed,
            seal_key: self.seal_key(),
            issued_at,
        };
        Ok(Signed::sign(&answer, &self.keys.answer))
    }
}

/// Holds the devices of a full appraisal for this lease. The appraisal asked for other guests' devices before this
/// transaction began, so it is asked again: of two guests that show one device at once, one is refused.
fn hold_devices(connection: &Connection, attested: &Attested, now: u64) -> Result<(), Denial> {
    if attested.devices.is_empty() {
        return Ok(());
    }
    let others = devices::of_others(connection, &attested.lease, now)?;
    if let Some(twice) = attested.devices.iter().find(|device| device.ids().any(|id| others.contains(&id))) {
        let detail = format!("device {} is held by another guest", twice.ueid);
        let reason = Some(tiltyard_attestation::Code::DuplicateDevice.as_str());
        return Err(Denial { reason, ..Denial::new(Code::PolicyDeny, detail) });
    }
    let mut shown = attested.devices.clone();
    shown.sort_unstable();
    let held = devices::of_lease(connection, &attested.lease)?;
    if !held.is_empty() && held != shown {
        let detail = format!("lease {} holds other devices", attested.lease);
        return Err(Denial::new(Code::LeaseHeld, detail));
    }
    Ok(devices::remember(connection, &attested.lease, &shown, attested.at)?)
}
