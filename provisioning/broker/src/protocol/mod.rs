//! The broker protocol's rules (PROVISIONING 6): challenge, attest, deposit, end.
//!
//! [`Core`] holds one charter, one party's keys and its store. It has no socket and no clock: `now` is an
//! argument of every call, and the channel's binding comes from whoever terminates TLS.

mod act;
mod attest;
mod denial;
mod grant;
mod referee;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::Ed25519KeyPair;
use tiltyard_attestation::binding::HpkePublicKey;
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{Collateral, ForeignAnchors, Hex, Role, TrustAnchors, Verifier};
use tiltyard_provisioning::charter::{BrokerOwner, OpenCharter};
use tiltyard_provisioning::dek::Kek;
use tiltyard_provisioning::hpke::HpkeSecret;
use tiltyard_provisioning::ledger::MerkleLog;
use tiltyard_provisioning::release::{ChallengeAnswer, ChallengeRequest, ledger_origin};

use crate::identity::{Identity, Secret, Unlocked};
use crate::store::{self, Store, ledger, nonces};
use crate::{BrokerError, Home, Passphrase, PublicIdentity, StoreError};

pub use denial::{Code, Denial, LogState};

/// Most ledger entries in one answer.
pub const ENTRIES_MAX: u32 = 256;

/// What a broker serves, beside its own home.
pub struct Setup {
    /// The charter's DSSE envelope, signed by both parties.
    pub charter: Vec<u8>,
    /// A foreign anchor set; only the one whose digest a `lab` charter names is taken.
    pub anchors: Option<ForeignAnchors>,
    pub collateral: Collateral,
}

/// How an attest request reached the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Over TLS 1.3: the exporter for the request's nonce ([`tiltyard_attestation::binding::EXPORTER_LABEL`]).
    Exporter(Hex<32>),
    /// By a call inside one process, as tests make it: there is no channel to bind.
    InProcess,
}

/// One party's broker under one charter.
pub struct Core {
    charter: OpenCharter,
    owner: BrokerOwner,
    anchors: Anchors,
    verifier: Verifier,
    collateral: Mutex<Arc<Collateral>>,
    keys: Keys,
    origin: String,
    rng: SystemRandom,
    /// SHA-256 of this program's file.
    program: Hex<32>,
    state: Mutex<State>,
}

/// The broker's private keys.
struct Keys {
    kek: Kek,
    answer: Ed25519KeyPair,
    hpke: HpkeSecret,
}

/// What changes.
struct State {
    store: Store,
    /// The tree over the durable leaves. Absent after a transaction that may have left it ahead of them.
    tree: Option<MerkleLog>,
}

impl Core {
    /// Opens the home and holds charter, identity and anchors against each other.
    pub fn open(home: Home, passphrase: &Passphrase, setup: Setup, now: u64) -> Result<Self, BrokerError> {
        Self::unlocked(home.unlock(passphrase)?, setup, now)
    }

    pub(crate) fn unlocked(mut home: Unlocked, setup: Setup, now: u64) -> Result<Self, BrokerError> {
        let identity = match &home.identity {
            Identity::Broker(identity) => identity.clone(),
            Identity::Entrant(_) => home.broker("serve")?.clone(),
        };
        let charter =
            OpenCharter::open(&setup.charter).map_err(|error| BrokerError::refused(error.code(), error))?;
        // An expired charter is refused at start; one that expires later is refused request by request.
        charter.at(now).map_err(|error| BrokerError::refused(error.code(), error))?;
        is_named(&charter, &identity)?;
        let trust = trust_anchors(&charter, setup.anchors)?;
        let anchors = trust.label();
        let verifier = Verifier::new(trust, charter.policy().clone(), charter.reference_values.clone());
        let keys = Keys { answer: home.ed25519(Secret::Answer)?, hpke: home.hpke()?, kek: home.kek };
        home.store.write(|connection| remember(connection, &charter, now))?;
        Ok(Self {
            origin: ledger_origin(&charter.tenant, identity.role),
            owner: identity.role,
            anchors,
            verifier,
            collateral: Mutex::new(Arc::new(setup.collateral)),
            keys,
            charter,
            rng: SystemRandom::new(),
            program: token::own_program()?,
            state: Mutex::new(State { store: home.store, tree: None }),
        })
    }

    /// The charter that is served.
    pub fn charter(&self) -> &OpenCharter {
        &self.charter
    }

    /// Whose roots evidence is verified to.
    pub fn anchors(&self) -> Anchors {
        self.anchors
    }

    /// Takes newer collateral: appraisals that begin from now on use it.
    pub fn replace_collateral(&self, collateral: Collateral) {
        *self.collateral.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(collateral);
    }

    /// What appraisals use at this time; an appraisal keeps the one that it began with.
    fn collateral(&self) -> Arc<Collateral> {
        Arc::clone(&self.collateral.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that deposits are sealed to.
    pub fn seal_key(&self) -> HpkePublicKey {
        self.keys.hpke.public()
    }

    /// First exchange: a fresh nonce for one role, charter, order and lease.
    pub fn challenge(&self, request: &ChallengeRequest, now: u64) -> Result<ChallengeAnswer, Denial> {
        if request.charter != self.charter.p() {
            return Err(self.other_charter(&request.charter));
        }
        match (request.role, request.order) {
            (Role::Referee, None) | (Role::Trainer | Role::Evaluator, Some(_)) => {}
            (Role::Referee, Some(_)) => return Err(Denial::new(Code::Syntax, "a referee takes no order")),
            (Role::Trainer | Role::Evaluator, None) => {
                return Err(Denial::new(Code::Syntax, "this role needs an order"));
            }
        }
        let mut nonce = [0; 32];
        self.rng.fill(&mut nonce).map_err(|_| Denial::new(Code::Busy, "the random source failed"))?;
        let nonce = Hex(nonce);
        let issued_at = self.state().store.write::<_, Denial>(|connection| {
            let now = store::tick(connection, now)?;
            nonces::issue(connection, &nonce, request, now)?;
            Ok(now)
        })?;
        Ok(ChallengeAnswer { nonce, issued_at })
    }

    /// The checkpoint over the whole ledger; `None` while it is empty.
    pub fn ledger_checkpoint(&self) -> Result<Option<String>, Denial> {
        Ok(ledger::checkpoint(self.state().store.read())?)
    }

    /// Ledger entries from `first`, at most [`ENTRIES_MAX`].
    pub fn ledger_entries(&self, first: u64, count: u32) -> Result<Vec<Vec<u8>>, Denial> {
        Ok(ledger::leaves(self.state().store.read(), first, count.min(ENTRIES_MAX))?)
    }

    /// Proof that the ledger of `new` entries extends that of `old`.
    pub fn ledger_consistency(&self, old: u64, new: u64) -> Result<Vec<Hex<32>>, Denial> {
        let mut state = self.state();
        let tree = state.take_tree()?;
        let proof = (old <= new && new <= tree.size()).then(|| tree.consistency(old, new));
        state.tree = Some(tree);
        proof.ok_or_else(|| Denial::new(Code::ResourceNotFound, "the ledger is not that long"))
    }

    fn other_charter(&self, got: &Hex<32>) -> Denial {
        let detail = format!("expected charter {}, found {got}", self.charter.p());
        Denial::new(Code::CharterBinding, detail)
    }

    /// A thread that panicked held no half-written state: the store has its transactions, and the tree is
    /// taken out for as long as it is ahead of them.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The tree, to be put back once what was appended to it is durable.
    fn take_tree(&mut self) -> Result<MerkleLog, StoreError> {
        match self.tree.take() {
            Some(tree) => Ok(tree),
            None => ledger::tree(self.store.read()),
        }
    }
}

/// The charter must name this very broker, and its party must have signed with the key of this home.
fn is_named(charter: &OpenCharter, identity: &PublicIdentity) -> Result<(), BrokerError> {
    let signing = charter
        .signed_by(identity.role, &identity.signing_key)
        .map_err(|error| BrokerError::refused(error.code(), error))?;
    let named = charter.brokers.iter().find(|broker| broker.owner == signing.party()).ok_or_else(|| {
        BrokerError::refused(
            "E_CHARTER_GRAPH",
            format!("the charter names no broker of the {:?}", identity.role),
        )
    })?;
    let differs = |what: &str, expected: Hex<32>, got: Hex<32>| {
        BrokerError::refused(
            "E_CHARTER_GRAPH",
            format!("{what}: expected {expected}, the charter names {got}"),
        )
    };
    if named.key != identity.broker_key {
        return Err(differs("broker key", identity.broker_key, named.key));
    }
    if named.tls_spki_sha256 != identity.tls_spki_sha256 {
        return Err(differs("TLS key", identity.tls_spki_sha256, named.tls_spki_sha256));
    }
    match identity.roll_key {
        Some(roll_key) if roll_key != charter.tournament.roll_key => {
            Err(differs("roll key", roll_key, charter.tournament.roll_key))
        }
        Some(_) | None => Ok(()),
    }
}

/// Roots other than the vendors' are taken in `lab` alone, and only the set that the charter names.
fn trust_anchors(
    charter: &OpenCharter,
    anchors: Option<ForeignAnchors>,
) -> Result<TrustAnchors, BrokerError> {
    let refused = |what: String| BrokerError::refused("AnchorsNotVendor", what);
    let Some(set) = anchors else {
        return match charter.reference_values.foreign_anchors {
            None => Ok(TrustAnchors::vendor()),
            Some(named) => {
                Err(refused(format!("the charter names anchor set {named}; give it with --anchors")))
            }
        };
    };
    let got = set.digest();
    match charter.reference_values.foreign_anchors {
        Some(named) if named == got && charter.level == Level::Lab => {
            TrustAnchors::foreign(set).map_err(|error| refused(error.to_string()))
        }
        Some(named) => Err(refused(format!("expected anchor set {named} and level lab, found {got}"))),
        None => Err(refused(format!("the charter names no foreign anchors, found {got}"))),
    }
}

/// One tenant a home, one direction for each charter's versions (PROVISIONING 9, E_CHARTER_CHAIN).
fn remember(connection: &rusqlite::Connection, charter: &OpenCharter, now: u64) -> Result<(), BrokerError> {
    store::tick(connection, now)?;
    match store::fact(connection, store::TENANT)? {
        Some(tenant) if tenant != charter.tenant.as_bytes() => {
            let tenant = String::from_utf8_lossy(&tenant).into_owned();
            let what = format!("this home serves tenant {tenant}, the charter is {}'s", charter.tenant);
            return Err(BrokerError::refused("E_CHARTER_CHAIN", what));
        }
        Some(_) => {}
        None => store::set_fact(connection, store::TENANT, charter.tenant.as_bytes())?,
    }
    match ledger::served_charter(connection, &charter.charter_id)? {
        Some((version, p))
            if version > charter.version || (version == charter.version && p != charter.p()) =>
        {
            let what = format!(
                "{}: version {version} ({p}) was served, found version {} ({})",
                charter.charter_id,
                charter.version,
                charter.p()
            );
            Err(BrokerError::refused("E_CHARTER_CHAIN", what))
        }
        Some(_) | None => {
            Ok(ledger::set_served_charter(connection, &charter.charter_id, charter.version, &charter.p())?)
        }
    }
}

#[cfg(test)]
mod tests;
