//! What a lease's own key may do besides: deposit a key, end the lease.

use ring::hmac;
use rusqlite::Connection;
use serde::de::DeserializeOwned;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::dek::KEY_BYTES;
use tiltyard_provisioning::hpke::{deposit_aad, deposit_info};
use tiltyard_provisioning::release::{ActReceipt, Deposit, End};
use tiltyard_provisioning::stage::deposit_allowed;
use tiltyard_provisioning::statement::{STATEMENT_MAX_BYTES, Signed, Statement};
use zeroize::Zeroizing;

use super::{Code, Core, Denial};
use crate::StoreError;
use crate::store::deks::{self, Wrapped};
use crate::store::leases::{self, LeaseRow};
use crate::store::{self, ledger};

/// Stands in the receipt of an order that was given up before a lease.
const NO_LEASE: Hex<16> = Hex([0; 16]);

impl Core {
    /// Takes a key that a guest made. The same request, or the same key sealed again, changes nothing.
    pub fn deposit(&self, signed: &Signed<Deposit>, now: u64) -> Result<Signed<ActReceipt>, Denial> {
        self.state().store.write(|connection| {
            let now = store::tick(connection, now)?;
            let claimed: Deposit = unverified(signed)?;
            let lease = known(connection, &claimed.lease)?;
            let deposit = signed.verify(&lease.signing).map_err(bad_signature)?.into_value();
            let key_id = deposit.key_id.to_string();
            let stored = ledger::deposit(connection, &key_id)?;
            if let Some((request, answer)) = &stored
                && *request == signed.digest()
            {
                return stored_answer(answer);
            }
            if !lease.is_live(now) {
                return Err(Denial::new(Code::LeaseLapsed, format!("lease {}", lease.lease)));
            }
            let allowed = deposit_allowed(
                &self.charter,
                self.owner,
                lease.role,
                lease.order.as_ref(),
                &deposit.key_id,
            )?;
            let secret = self.open_deposit(&deposit, &lease)?;
            let receipt = self.receipt(lease.lease, signed.digest(), now);
            if stored.is_some() {
                return self.is_the_same(connection, &deposit, &secret).map(|()| receipt);
            }
            let aad = self.wrap_aad(allowed.key(), 1);
            let bytes = self.keys.kek.wrap(&secret, &aad, &self.rng).map_err(|_| unavailable())?;
            deks::add(connection, allowed.key(), &Wrapped { version: 1, bytes }, None, now)?;
            ledger::add_deposit(connection, &key_id, &signed.digest(), &answer_text(&receipt))?;
            Ok(receipt)
        })
    }

    /// Closes a lease: its own key's, or, for a guest that was lost, by its referee.
    pub fn end(&self, signed: &Signed<End>, now: u64) -> Result<Signed<ActReceipt>, Denial> {
        self.state().store.write(|connection| {
            let now = store::tick(connection, now)?;
            let lease = match unverified(signed)? {
                End::Lease(lease) => {
                    let lease = known(connection, &lease)?;
                    signed.verify(&lease.signing).map_err(bad_signature)?;
                    lease
                }
                End::Order(order) => {
                    let p = self.charter.p();
                    let Some(lease) = leases::of_order(connection, &order)? else {
                        // Nobody was leased for it yet: from now on nobody will be.
                        if !leases::is_live_referee(connection, &p, &signed.key, now)? {
                            let detail = format!("no lease was granted here for order {order}");
                            return Err(Denial::new(Code::MessageSig, detail));
                        }
                        signed.verify(&signed.key).map_err(bad_signature)?;
                        leases::give_up(connection, &order)?;
                        return Ok(self.receipt(NO_LEASE, signed.digest(), now));
                    };
                    let lease = known(connection, &lease)?;
                    let referee = if lease.referee == Some(signed.key)
                        || leases::is_live_referee(connection, &lease.charter, &signed.key, now)?
                    {
                        signed.key
                    } else {
                        // Nobody else's signature is the right one; the error names the one expected.
                        lease.referee.unwrap_or(lease.signing)
                    };
                    signed.verify(&referee).map_err(bad_signature)?;
                    lease
                }
            };
            if let Some(answer) = &lease.end_answer {
                return ended_before(answer, signed);
            }
            let receipt = self.receipt(lease.lease, signed.digest(), now);
            leases::close(connection, &lease.lease, &answer_text(&receipt))?;
            Ok(receipt)
        })
    }

    fn open_deposit(&self, deposit: &Deposit, lease: &LeaseRow) -> Result<Zeroizing<Vec<u8>>, Denial> {
        let p = self.charter.p();
        if lease.charter != p {
            return Err(self.other_charter(&lease.charter));
        }
        let aad = deposit_aad(&lease.lease, &deposit.key_id, &p, lease.order.as_ref());
        let secret = self.keys.hpke.open(&deposit.enc.0, &deposit.ct.0, &deposit_info(&p), &aad)?;
        if secret.len() != KEY_BYTES {
            let detail = format!("expected a key of {KEY_BYTES} bytes, found {}", secret.len());
            return Err(Denial::new(Code::BadKey, detail));
        }
        Ok(secret)
    }

    /// A guest that never got its answer seals the key again: other bytes, the same key.
    fn is_the_same(&self, connection: &Connection, deposit: &Deposit, secret: &[u8]) -> Result<(), Denial> {
        let wrapped = deks::newest(connection, &deposit.key_id)?.ok_or_else(unavailable)?;
        let aad = self.wrap_aad(&deposit.key_id, wrapped.version);
        let stored = self.keys.kek.unwrap(&wrapped.bytes, &aad).map_err(|_| unavailable())?;
        // Keys of one length make one tag only if they are equal; tags are compared in constant time.
        let key = |secret: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, secret);
        hmac::verify(&key(&stored), &[], hmac::sign(&key(secret), &[]).as_ref())
            .map_err(|_| Denial::new(Code::DepositConflict, deposit.key_id.to_string()))
    }

    fn receipt(&self, lease: Hex<16>, request: Hex<32>, issued_at: u64) -> Signed<ActReceipt> {
        Signed::sign(&ActReceipt { lease, request, issued_at }, &self.keys.answer)
    }
}

/// What a message says of itself: enough to find the key that it must be signed with, and no more.
fn unverified<T: Statement + DeserializeOwned>(signed: &Signed<T>) -> Result<T, Denial> {
    if signed.payload.0.len() > STATEMENT_MAX_BYTES {
        return Err(Denial::new(Code::TooLarge, format!("expected at most {STATEMENT_MAX_BYTES} bytes")));
    }
    serde_json::from_slice(&signed.payload.0)
        .map_err(|error| Denial::new(Code::Syntax, format!("{}: {error}", T::KIND)))
}

/// A lease that was never granted has no key: nobody's signature is the right one.
fn known(connection: &Connection, lease: &Hex<16>) -> Result<LeaseRow, Denial> {
    leases::find(connection, lease)?
        .ok_or_else(|| Denial::new(Code::MessageSig, format!("lease {lease} was not granted here")))
}

fn bad_signature(error: impl ToString) -> Denial {
    Denial::new(Code::MessageSig, error)
}

fn unavailable() -> Denial {
    Denial::new(Code::LedgerUnavailable, "the broker's store failed")
}

fn answer_text(receipt: &Signed<ActReceipt>) -> String {
    // Strings only, which always serialise.
    serde_json::to_string(receipt).unwrap_or_default()
}

/// The lease is closed already: by this request, whose answer is repeated, or by another.
fn ended_before(answer: &str, signed: &Signed<End>) -> Result<Signed<ActReceipt>, Denial> {
    let receipt = stored_answer(answer)?;
    let same = serde_json::from_slice::<ActReceipt>(&receipt.payload.0)
        .is_ok_and(|stored| stored.request == signed.digest());
    if same { Ok(receipt) } else { Err(Denial::new(Code::LeaseLapsed, "the lease was ended before")) }
}

fn stored_answer(text: &str) -> Result<Signed<ActReceipt>, Denial> {
    serde_json::from_str(text).map_err(|_| StoreError::Damaged { what: "an answer" }.into())
}
