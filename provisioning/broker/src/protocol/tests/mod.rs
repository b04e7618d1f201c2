//! The rules of release, over a real store and a real charter. Appraisal is the attestation crate's, and is
//! tested with it and end to end; here its result is given.

mod acts;
mod devices;
mod release;
mod setup;
mod witness;

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tiltyard_attestation::binding::{HpkePublicKey, KEM_XWING, PresentedKeys};
use tiltyard_attestation::evidence::{CpuEvidence, Evidence};
use tiltyard_attestation::policy::{GpuFloor, Product, SnpFloor, Tcb, TeeFloor};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::{Backend, Base64Bytes};
use tiltyard_provisioning::charter::KemFloor;
use tiltyard_provisioning::charter::{
    self, BaseModel, Broker, Budget, Charter, Dataset, Limits, Output, Signers, Stage, TournamentTerms,
};
use tiltyard_provisioning::dek::{Dek, WrapAad, WrapKind};
use tiltyard_provisioning::hpke::{release_aad, release_info};
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::order::{ArtefactRef, ObjectRef, Order, RefereeKeys, Work};
use tiltyard_provisioning::release::{AttestAnswer, AttestRequest};
use tiltyard_provisioning::statement::Signed;

use super::attest::Attested;
use super::grant::Shown;
use super::*;
use crate::store::deks::{self, Wrapped};
use crate::store::devices::HeldDevice;

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const LEASE_S: u64 = 450;

/// The owner's broker with a sealed dataset, under a charter.
pub(super) struct Yard {
    pub dir: tempfile::TempDir,
    pub core: Core,
    pub train_dek: Vec<u8>,
}

/// A guest with its boot's keys.
pub(super) struct Guest {
    pub attested: Attested,
    pub signing: Ed25519KeyPair,
    pub hpke: HpkeSecret,
}

impl Yard {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A yard whose charter was changed before it was signed.
    pub fn with(change: impl FnOnce(&mut Charter)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut home = Unlocked::for_tests(dir.path(), BrokerOwner::Owner);
        let train_dek = add_dek(&mut home, "claims", Split::Train, 1, Hex([0x71; 32]));
        add_dek(&mut home, "claims", Split::Test, 1, Hex([0x72; 32]));
        let envelope = charter_for(&home, change);
        let setup = Setup { charter: envelope, anchors: None, collateral: Collateral::none() };
        Self { core: Core::unlocked(home, setup, NOW).unwrap(), dir, train_dek }
    }

    /// What a second process sees in the store: only what is durable.
    pub fn durable(&self) -> Store {
        Store::open(&self.dir.path().join("store.sqlite")).unwrap()
    }

    pub fn durable_leaves(&self) -> usize {
        ledger::leaves(self.durable().read(), 0, 100).unwrap().len()
    }

    pub fn grant(&self, guest: &Guest, request: &AttestRequest) -> Result<AttestAnswer, Denial> {
        let signed =
            self.core.grant(&guest.attested, request, Shown { evidence: b"evidence", result: None })?;
        Ok(signed.verify(&self.broker_key()).unwrap().into_value())
    }

    pub fn broker_key(&self) -> Hex<32> {
        self.core.charter().brokers.iter().find(|broker| broker.owner == BrokerOwner::Owner).unwrap().key
    }

    /// A referee that holds a live lease.
    pub fn referee(&self, lease: u8) -> Guest {
        let referee = Guest::new(Role::Referee, lease, None, NOW);
        self.grant(&referee, &asks(&[], None)).unwrap();
        referee
    }

    /// A trainer with its order, not attested yet.
    pub fn trainer(&self, referee: &Guest, lease: u8, task: &str) -> (Guest, Signed<Order>) {
        let work = Work::Train { submission: Hex([lease; 32]) };
        let order = self.order(referee, task, work);
        (Guest::new(Role::Trainer, lease, Some(order.digest()), NOW), order)
    }

    /// An evaluator of these train orders, not attested yet.
    pub fn evaluator(
        &self,
        referee: &Guest,
        lease: u8,
        task: &str,
        train_orders: &[Hex<32>],
    ) -> (Guest, Signed<Order>) {
        let object =
            ObjectRef { name: Hex([1; 16]), header: Hex([2; 56]), sha256: Hex([3; 32]), len_bytes: 72 };
        let artefact = |order: &Hex<32>| ArtefactRef {
            submission: Hex([4; 32]),
            train_order: *order,
            object: object.clone(),
        };
        let work = Work::Evaluate { artefacts: train_orders.iter().map(artefact).collect() };
        let order = self.order(referee, task, work);
        (Guest::new(Role::Evaluator, lease, Some(order.digest()), NOW), order)
    }

    pub fn order(&self, referee: &Guest, task: &str, work: Work) -> Signed<Order> {
        Signed::sign(&self.order_document(referee, task, work), &referee.signing)
    }

    pub fn order_document(&self, referee: &Guest, task: &str, work: Work) -> Order {
        Order {
            v: 1,
            charter: self.core.charter().p(),
            tournament: "cup".into(),
            task: task.into(),
            work,
            attempt: 1,
            dataset_id: "claims".into(),
            seed: Hex([5; 32]),
            referee: RefereeKeys {
                lease: referee.attested.lease,
                signing: referee.attested.signing,
                hpke: referee.attested.hpke.clone(),
            },
            issued_at: NOW,
        }
    }
}

impl Guest {
    pub fn new(role: Role, lease: u8, order: Option<Hex<32>>, at: u64) -> Self {
        let signing = ed25519();
        let hpke = HpkeSecret::generate(KEM_XWING, &SystemRandom::new()).unwrap();
        let public = public_of(&signing);
        let keys = PresentedKeys { tls_spki: vec![lease].into(), hpke: hpke.public(), signing: public };
        let attested = Attested {
            role,
            lease: Hex([lease; 16]),
            order,
            keys: keys.digests(),
            hpke: hpke.public(),
            signing: public,
            boot: Hex(random()),
            nonce: Hex(random()),
            evidence: Hex(random()),
            anchors: Anchors::Vendor,
            devices: Vec::new(),
            tcb_evaluation: None,
            at,
        };
        Self { attested, signing, hpke }
    }

    /// The same guest, appraised again later.
    pub fn at(mut self, at: u64) -> Self {
        self.attested.at = at;
        self
    }

    /// Opens one released key as a guest does.
    pub fn opens(&self, yard: &Yard, answer: &AttestAnswer, key_id: &KeyId) -> Option<Vec<u8>> {
        let key = answer.keys.iter().find(|key| key.key_id == *key_id)?;
        let p = yard.core.charter().p();
        let Attested { lease, order, .. } = &self.attested;
        let aad = release_aad(lease, key_id, key.version, &p, order.as_ref());
        self.hpke.open(&key.enc.0, &key.ct.0, &release_info(&p), &aad).ok().map(|secret| secret.to_vec())
    }
}

pub(super) fn asks(key_ids: &[KeyId], order: Option<&Signed<Order>>) -> AttestRequest {
    let hpke = HpkePublicKey { kem: KEM_XWING, public: Base64Bytes::default() };
    let evidence = Evidence {
        runtime: Base64Bytes::default(),
        config: Base64Bytes::default(),
        keys: PresentedKeys { tls_spki: Base64Bytes::default(), hpke, signing: Hex([0; 32]) },
        cpu: CpuEvidence::Snp { report: Base64Bytes::default(), certificates: Vec::new() },
        devices: Vec::new(),
        boot: None,
    };
    AttestRequest {
        evidence,
        key_ids: key_ids.to_vec(),
        order: order.cloned(),
        checkpoint: None,
        consistency: Vec::new(),
    }
}

pub(super) fn split(split: Split) -> KeyId {
    KeyId::Dataset { id: "claims".into(), split }
}

pub(super) fn code<T>(outcome: Result<T, Denial>) -> Option<Code> {
    outcome.err().map(|denial| denial.code)
}

pub(super) fn ed25519() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&random()).unwrap()
}

pub(super) fn public_of(pair: &Ed25519KeyPair) -> Hex<32> {
    Hex::from_slice(pair.public_key().as_ref()).unwrap()
}

pub(super) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}

/// Adds a dataset's key as `seal` does; `source` is its manifest's digest.
pub(super) fn add_dek(home: &mut Unlocked, id: &str, split: Split, version: u64, source: Hex<32>) -> Vec<u8> {
    let rng = SystemRandom::new();
    let dek = Dek::generate(&rng).unwrap();
    let key_id = KeyId::Dataset { id: id.into(), split };
    let aad = WrapAad { key_id: key_id.to_string(), kek_id: home.kek.id(), version, kind: WrapKind::Dek };
    let bytes = home.kek.wrap(dek.expose(), &aad, &rng).unwrap();
    home.store
        .write::<_, StoreError>(|c| deks::add(c, &key_id, &Wrapped { version, bytes }, Some(&source), NOW))
        .unwrap();
    dek.expose().to_vec()
}

/// A charter that names this home's broker, signed by its owner and a made-up operator.
pub(super) fn charter_for(home: &Unlocked, change: impl FnOnce(&mut Charter)) -> Vec<u8> {
    let identity = home.broker("test").unwrap();
    let operator = ed25519();
    let mut charter = lab_charter(identity, public_of(&operator));
    change(&mut charter);
    let payload = serde_jcs::to_vec(&charter).unwrap();
    let half = charter::sign(&payload, None, &home.ed25519(Secret::Signing).unwrap()).unwrap();
    charter::sign(&payload, Some(&half), &operator).unwrap()
}

fn lab_charter(owner: &PublicIdentity, operator: Hex<32>) -> Charter {
    let broker = |owner, key, tls_spki_sha256| Broker {
        owner,
        address: "127.0.0.1:7000".into(),
        tls_spki_sha256,
        key,
    };
    let dataset = |split, manifest_sha256| Dataset {
        dataset_id: "claims".into(),
        split,
        manifest_sha256,
        min_version: 1,
    };
    let image = ReferenceImage {
        name: "guest".into(),
        backend: Backend::Process,
        image: Hex([6; 32]),
        measurement: Hex([7; 48]),
        tdx: None,
    };
    let tcb = Tcb { fmc: 0, bootloader: 0, tee: 0, snp: 0, microcode: 0 };
    let datasets = vec![dataset(Split::Train, Hex([0x71; 32])), dataset(Split::Test, Hex([0x72; 32]))];
    Charter {
        v: 1,
        charter_id: "trial".into(),
        tenant: "acme".into(),
        version: 1,
        prev: None,
        signers: Signers { owner: owner.signing_key, operator },
        not_before: NOW - 1000,
        not_after: NOW + 86_400,
        level: Level::Lab,
        backends: vec![Backend::Process],
        reference_values: ReferenceValues { images: vec![image], foreign_anchors: None },
        tee_floor: TeeFloor {
            snp: vec![SnpFloor { product: Product::Genoa, tcb, guest_svn: 0, vmpl: 0, mitigations: None }],
            tdx: None,
        },
        gpu_floor: GpuFloor::none(),
        platforms: Vec::new(),
        tournament: TournamentTerms {
            id: "cup".into(),
            rulebook_sha256: Hex([8; 32]),
            roll_key: Hex([9; 32]),
            budget: Budget {
                train_wall_s: 60,
                evaluate_wall_s: 60,
                memory_mib: 512,
                vcpus: 1,
                test_items: 10,
            },
        },
        base: BaseModel { name: "base".into(), sha256: Hex([10; 32]), len_bytes: 1 },
        datasets: datasets.clone(),
        stages: Stage::all(&datasets, "cup"),
        brokers: vec![
            broker(BrokerOwner::Owner, owner.broker_key, owner.tls_spki_sha256),
            broker(BrokerOwner::Operator, Hex([11; 32]), Hex([12; 32])),
        ],
        limits: Limits { max_releases: 2, lease_s: LEASE_S },
        output: Output {
            owner_recipient: owner.hpke.clone(),
            cap_bits: 16_384,
            log_max_bytes: 1024,
            artefact_max_bytes: 1 << 20,
        },
        kem_floor: KemFloor::Hybrid,
    }
}
