//! A guest as a broker sees it: keys of one boot, a launch configuration, evidence that binds them.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use tiltyard_attestation::binding::{KEM_XWING, PresentedKeys};
use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::measure::process_measurement;
use tiltyard_attestation::{Hex, Role};
use tiltyard_provisioning::hpke::{
    HpkeSecret, deposit_aad, deposit_info, release_aad, release_info, seal_to,
};
use tiltyard_provisioning::keyid::KeyId;
use tiltyard_provisioning::order::{ArtefactRef, ObjectRef, Order, RefereeKeys, Work};
use tiltyard_provisioning::release::{AttestAnswer, ChallengeRequest, Deposit, End};
use tiltyard_provisioning::statement::Signed;
use tiltyard_simulator::mint::{self, Draft, mint_edited, sample_config};

use crate::parties::{DATASETS, PROGRAM, TOURNAMENT, parties};

/// One boot of one guest.
pub(crate) struct Guest {
    /// What the evidence says; a case may change it.
    pub(crate) facts: mint::Guest,
    pub(crate) signing: Ed25519KeyPair,
    pub(crate) order: Option<Signed<Order>>,
    hpke: HpkeSecret,
}

impl Guest {
    pub(crate) fn referee() -> Self {
        Self::boot(Role::Referee, None, Hex(random()))
    }

    /// A trainer or evaluator that was launched for `order`.
    pub(crate) fn of_order(order: Signed<Order>, role: Role) -> Self {
        Self::boot(role, Some(order), Hex(random()))
    }

    /// A second boot of the same launch configuration.
    pub(crate) fn booted_again(&self) -> Self {
        let config = &self.facts.config;
        Self::boot(config.role, self.order.clone(), config.lease)
    }

    fn boot(role: Role, order: Option<Signed<Order>>, lease: Hex<16>) -> Self {
        let mut config = sample_config(role, parties().p(), Hex::sha256(PROGRAM));
        config.order = order.as_ref().map(Signed::digest);
        config.lease = lease;
        let signing = ed25519();
        let hpke = HpkeSecret::generate(KEM_XWING, &SystemRandom::new()).unwrap();
        let [label, ..] = random::<32>();
        let mut facts = mint::Guest::sample(config, process_measurement(PROGRAM), label);
        facts.boot = Hex(random());
        facts.keys = PresentedKeys { hpke: hpke.public(), signing: public_of(&signing), ..facts.keys };
        Self { facts, signing, order, hpke }
    }

    /// What this guest asks a challenge for.
    pub(crate) fn challenge(&self) -> ChallengeRequest {
        let config = &self.facts.config;
        ChallengeRequest {
            role: config.role,
            charter: config.charter,
            order: config.order,
            lease: config.lease,
        }
    }

    /// Evidence for a nonce and a channel, changed by `edit` before it is signed.
    pub(crate) fn evidence(
        &self,
        nonce: Hex<32>,
        channel: Option<Hex<32>>,
        edit: impl FnOnce(&mut Draft),
    ) -> Evidence {
        let facts = mint::Guest { channel, ..self.facts.clone() };
        mint_edited(&parties().machine, &facts, 5, nonce, edit)
    }

    /// Opens a released key, as only the guest that was attested can.
    pub(crate) fn opens(&self, answer: &AttestAnswer, key_id: &KeyId) -> Option<Vec<u8>> {
        let key = answer.keys.iter().find(|key| key.key_id == *key_id)?;
        let config = &self.facts.config;
        let aad = release_aad(&config.lease, key_id, key.version, &config.charter, config.order.as_ref());
        let info = release_info(&config.charter);
        self.hpke.open(&key.enc.0, &key.ct.0, &info, &aad).ok().map(|secret| secret.to_vec())
    }

    /// A deposit of `secret`, signed by `key`: this guest's own, or another's.
    pub(crate) fn deposit(
        &self,
        answer: &AttestAnswer,
        key_id: &KeyId,
        secret: [u8; 32],
        key: &Ed25519KeyPair,
    ) -> Signed<Deposit> {
        let config = &self.facts.config;
        let aad = deposit_aad(&config.lease, key_id, &config.charter, config.order.as_ref());
        let info = deposit_info(&config.charter);
        let (enc, ct) = seal_to(&answer.seal_key, &info, &aad, &secret, &SystemRandom::new()).unwrap();
        let deposit = Deposit { lease: config.lease, key_id: key_id.clone(), enc: enc.into(), ct: ct.into() };
        Signed::sign(&deposit, key)
    }

    /// The end of this guest's lease.
    pub(crate) fn end(&self) -> Signed<End> {
        Signed::sign(&End::Lease(self.facts.config.lease), &self.signing)
    }

    /// As referee: a trainer of `submission` on a task over the first dataset.
    pub(crate) fn launches_trainer(&self, task: &str) -> Self {
        let order = self.order_for(task, Work::Train { submission: Hex(random()) });
        Self::of_order(Signed::sign(&order, &self.signing), Role::Trainer)
    }

    /// As referee: an evaluator of what these orders trained.
    pub(crate) fn launches_evaluator(&self, task: &str, trained: &[Hex<32>]) -> Self {
        let artefact = |order: &Hex<32>| ArtefactRef {
            submission: Hex([4; 32]),
            train_order: *order,
            object: ObjectRef {
                name: Hex([1; 16]),
                header: Hex([2; 56]),
                sha256: Hex([3; 32]),
                len_bytes: 72,
            },
        };
        let order =
            self.order_for(task, Work::Evaluate { artefacts: trained.iter().map(artefact).collect() });
        Self::of_order(Signed::sign(&order, &self.signing), Role::Evaluator)
    }

    /// An order of this referee, not signed yet.
    pub(crate) fn order_for(&self, task: &str, work: Work) -> Order {
        Order {
            v: 1,
            charter: parties().p(),
            tournament: TOURNAMENT.into(),
            task: task.into(),
            work,
            attempt: 1,
            dataset_id: DATASETS[0].into(),
            seed: Hex([5; 32]),
            referee: RefereeKeys {
                lease: self.facts.config.lease,
                signing: self.facts.keys.signing,
                hpke: self.facts.keys.hpke.clone(),
            },
            issued_at: tiltyard_broker::now(),
        }
    }
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn ed25519() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&random::<32>()).unwrap()
}

pub(crate) fn public_of(pair: &Ed25519KeyPair) -> Hex<32> {
    Hex::from_slice(pair.public_key().as_ref()).unwrap()
}
