//! A tournament without trainings: brokers, referee and guests by their keys, evidence by the simulator.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use ring::signature::{Ed25519KeyPair, KeyPair};
use tiltyard_attestation::binding::{HpkePublicKey, KEM_XWING};
use tiltyard_attestation::policy::{GpuFloor, Level, Product, SnpFloor, Tcb, TeeFloor};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{Backend, Hex, Role};
use tiltyard_provisioning::channel::RollEntry;
use tiltyard_provisioning::charter::{
    BaseModel, Broker, BrokerOwner, Budget, CHARTER_PAYLOAD_TYPE, Charter, Dataset, KemFloor, Limits, Output,
    Signers, Stage, TournamentTerms,
};
use tiltyard_provisioning::dsse::Envelope;
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::ledger::{Checkpoint, MerkleLog, TlogProof};
use tiltyard_provisioning::order::{
    ArtefactRef, ArtefactScore, BaseScore as ClaimedBase, ObjectRef, Order, RefereeKeys, RollRow, ScoreClaim,
    Status as Wire, Submission, SubmissionKind, TrainResult, Work,
};
use tiltyard_provisioning::record::{AttestedGuest, Record, log_origin, members};
use tiltyard_provisioning::release::{KeyRelease, Lease, Receipt, ledger_origin};
use tiltyard_provisioning::statement::Signed;
use tiltyard_simulator::SimulatedPlatform;
use tiltyard_simulator::mint::{Draft, Guest, mint_edited, sample_config};
use tiltyard_tournament::{
    BaseScore, BootBody, Conductor, Digest, Disclosed, DrawSeed, Entry, EvaluateOutcome, Label, Minor,
    OrderBody, OrderRole, Progress, ScoreRow, Setup, Status, SubmissionId, TaskWork, Title, TrainOutcome,
    UnixSeconds, preset,
};

use crate::bundle::Members;

/// 2026-11-23, within every certificate's life.
pub(crate) const NOW: u64 = 1_795_392_000;
pub(crate) const REFEREE: u8 = 0x10;
const IMAGE: Hex<32> = Hex([0x1a; 32]);
const MEASUREMENT: Hex<48> = Hex([0x3e; 48]);
const SEED: [u8; 32] = [0x5e; 32];

/// What the parties of one play do; the default is honest.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    pub(crate) challengers: u8,
    pub(crate) boss_tasks: u8,
    /// The first trainer is lost, and its order is given again.
    pub(crate) lost: bool,
    pub(crate) label: fn(u8) -> String,
    pub(crate) charter: fn(&mut Charter),
    /// Evidence of the guest with this label, before it is signed.
    pub(crate) evidence: fn(u8, &mut Draft),
    /// What the owner's broker enters for the guest with this label.
    pub(crate) release: fn(u8, &mut KeyRelease),
    /// Nonce of the guest with this label.
    pub(crate) nonce: fn(u8) -> u8,
    /// Which guest's key signs the result of the guest with this label.
    pub(crate) result_key: fn(u8) -> u8,
    /// What the referee orders.
    pub(crate) order: fn(&mut Order),
    /// What the referee records of a claim.
    pub(crate) outcome: fn(&mut EvaluateOutcome),
    pub(crate) record: fn(&mut Record),
}

impl Default for Script {
    fn default() -> Self {
        Self {
            challengers: 2,
            boss_tasks: 1,
            lost: true,
            label: |seq| format!("entrant {seq}"),
            charter: |_| {},
            evidence: |_, _| {},
            release: |_, _| {},
            nonce: |label| label,
            result_key: |label| label,
            order: |_| {},
            outcome: |_| {},
            record: |_| {},
        }
    }
}

pub(crate) fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

pub(crate) fn public(key: &Ed25519KeyPair) -> Hex<32> {
    Hex::from_slice(key.public_key().as_ref()).unwrap()
}

pub(crate) fn owner() -> Ed25519KeyPair {
    key(1)
}

pub(crate) fn operator() -> Ed25519KeyPair {
    key(2)
}

pub(crate) fn platform() -> &'static SimulatedPlatform {
    static ROOT: OnceLock<SimulatedPlatform> = OnceLock::new();
    let cache = Path::new(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp"));
    ROOT.get_or_init(|| SimulatedPlatform::from_seed(&[0x5a; 32], Product::Genoa, Some(cache)).unwrap())
}

/// The honest bundle, made once.
pub(crate) fn honest() -> &'static Members {
    static HONEST: OnceLock<Members> = OnceLock::new();
    HONEST.get_or_init(|| play(Script::default()))
}

/// Plays one tournament to its bundle.
pub(crate) fn play(script: Script) -> Members {
    let rulebook = rulebook(script.boss_tasks);
    let mut charter = charter(&rulebook);
    (script.charter)(&mut charter);
    let payload = serde_jcs::to_vec(&charter).unwrap();
    let mut envelope = Envelope::sign(CHARTER_PAYLOAD_TYPE, payload.clone(), &owner());
    envelope.add_signature(&operator());
    let p = Hex::sha256(&payload);
    let setup = Setup {
        tournament: charter.tournament.id.clone(),
        rulebook: rulebook.clone(),
        datasets: vec!["claims".to_owned()],
        charter: p.0,
        cap_bits: charter.output.cap_bits,
    };
    let seed = DrawSeed::new(SEED);
    let conductor = Conductor::open(setup, UnixSeconds(NOW), seed.commitment()).unwrap();
    let mut play = Play {
        script,
        charter,
        p,
        conductor,
        now: NOW,
        ledger: MerkleLog::new(),
        next_guest: 0x20,
        members: Members(BTreeMap::new()),
        leaves: Vec::new(),
        artefacts: BTreeMap::new(),
    };
    play.members.0.insert(members::CHARTER.to_owned(), envelope.to_bytes());
    play.members.0.insert(members::RULEBOOK.to_owned(), rulebook);
    play.members.0.insert(members::ANCHORS.to_owned(), platform().anchors().to_bytes());
    play.run(&seed);
    play.members
}

/// The `seed` preset without its week.
fn rulebook(boss_tasks: u8) -> Vec<u8> {
    let text = String::from_utf8(preset("seed").unwrap().to_vec()).unwrap();
    let text =
        text.replace("break_s = 86400", "break_s = 0").replace("tasks = 6", &format!("tasks = {boss_tasks}"));
    text.into_bytes()
}

fn charter(rulebook: &[u8]) -> Charter {
    let broker = |owner, seed, address: &str| Broker {
        owner,
        address: address.into(),
        tls_spki_sha256: Hex([seed; 32]),
        key: public(&key(seed)),
    };
    let dataset = |split, seed| Dataset {
        dataset_id: "claims".into(),
        split,
        manifest_sha256: Hex([seed; 32]),
        min_version: 1,
    };
    let tcb = Tcb { fmc: 0, bootloader: 1, tee: 0, snp: 1, microcode: 1 };
    let image = ReferenceImage {
        name: "guest".into(),
        backend: Backend::Process,
        image: IMAGE,
        measurement: MEASUREMENT,
        tdx: None,
    };
    Charter {
        v: 1,
        charter_id: "spring-cup".into(),
        tenant: "insurer".into(),
        version: 1,
        prev: None,
        signers: Signers { owner: public(&owner()), operator: public(&operator()) },
        not_before: NOW - 60,
        not_after: NOW + 86_400,
        level: Level::Lab,
        backends: vec![Backend::Process],
        reference_values: ReferenceValues {
            images: vec![image],
            foreign_anchors: Some(platform().anchors().digest()),
        },
        tee_floor: TeeFloor {
            snp: vec![SnpFloor { product: Product::Genoa, tcb, guest_svn: 0, vmpl: 0, mitigations: None }],
            tdx: None,
        },
        gpu_floor: GpuFloor::none(),
        platforms: Vec::new(),
        tournament: TournamentTerms {
            id: "cup-1".into(),
            rulebook_sha256: Hex::sha256(rulebook),
            roll_key: public(&operator()),
            budget: Budget {
                train_wall_s: 60,
                evaluate_wall_s: 60,
                memory_mib: 2048,
                vcpus: 2,
                test_items: 32,
            },
        },
        base: BaseModel { name: "base".into(), sha256: Hex([11; 32]), len_bytes: 1 << 20 },
        datasets: vec![dataset(Split::Train, 12), dataset(Split::Test, 13)],
        stages: Stage::all(&[dataset(Split::Train, 12), dataset(Split::Test, 13)], "cup-1"),
        brokers: vec![
            broker(BrokerOwner::Owner, 3, "owner.example:8443"),
            broker(BrokerOwner::Operator, 4, "operator.example:8443"),
        ],
        limits: Limits { max_releases: 64, lease_s: 450 },
        output: Output {
            owner_recipient: HpkePublicKey { kem: KEM_XWING, public: vec![5; 1216].into() },
            cap_bits: 16_384,
            log_max_bytes: 1 << 20,
            artefact_max_bytes: 1 << 26,
        },
        kem_floor: KemFloor::Hybrid,
    }
}

/// A tournament under way.
struct Play {
    script: Script,
    charter: Charter,
    p: Hex<32>,
    conductor: Conductor,
    now: u64,
    /// The owner's broker's.
    ledger: MerkleLog,
    /// Label of the next guest.
    next_guest: u8,
    members: Members,
    leaves: Vec<Vec<u8>>,
    /// By train order.
    artefacts: BTreeMap<Digest, ObjectRef>,
}

impl Play {
    fn run(&mut self, seed: &DrawSeed) {
        self.release(REFEREE, Role::Referee, None, vec![KeyId::Draw("cup-1".into())]);
        let keys = tiltyard_simulator::mint::sample_keys(REFEREE);
        let digests = keys.digests();
        let body = BootBody {
            charter: Digest(self.p.0),
            lease: [REFEREE; 16].into(),
            tls_spki_sha256: Digest(digests.tls.0),
            hpke_sha256: Digest(digests.hpke.0),
            signing_key: Digest(keys.signing.0),
        };
        self.conductor.boot(UnixSeconds(self.now), body).unwrap();
        for seq in 1..=self.script.challengers + 1 {
            self.enter(seq);
        }
        self.conductor.close(UnixSeconds(self.now), seed).unwrap();
        loop {
            self.now += 1;
            for task in self.conductor.open_tasks() {
                self.work(&task);
            }
            if self.conductor.advance(UnixSeconds(self.now)).unwrap() == Progress::Decided {
                break;
            }
        }
        self.conductor.reveal(UnixSeconds(self.now)).unwrap();
        // A renewal, whose evidence takes the place of the first.
        self.release(REFEREE, Role::Referee, None, Vec::new());
        self.close();
    }

    /// The last entry of the roll defends the title.
    fn enter(&mut self, seq: u8) {
        let entrant = key(0x80 + seq);
        let champion = seq > self.script.challengers;
        let submission = Submission {
            v: 1,
            kind: SubmissionKind::Recipe,
            entrant: Hex::sha256(public(&entrant).bytes()),
            tournament: "cup-1".into(),
            content: object(seq),
            normalised_sha256: Hex([seq; 32]),
            licence: "Apache-2.0".into(),
            base: "base".into(),
        };
        let submission = Signed::sign(&submission, &entrant);
        let row = RollRow {
            entrant: Hex::sha256(public(&entrant).bytes()),
            label: (self.script.label)(seq),
            submission: submission.digest(),
            seq: seq.into(),
            buy_in: if champion { 0 } else { 8_000 },
            stake: 1,
            completed_entries: 0,
            log_permitted: true,
            champion,
        };
        let entry = Entry {
            entrant: row.entrant.0.into(),
            submission: row.submission.0.into(),
            normalised_sha256: Digest([seq; 32]),
            label: Label::new(&row.label).unwrap(),
            seq: row.seq,
            buy_in: Minor(row.buy_in),
            stake: row.stake,
            completed_entries: 0,
            champion: champion.then(Title::first),
        };
        self.conductor.enter(UnixSeconds(self.now), entry).unwrap();
        let row = Signed::sign(&row, &operator());
        self.members.put(&members::roll(seq.into()), &RollEntry { row, submission });
    }

    fn work(&mut self, task: &TaskWork) {
        for submission in &task.untrained {
            self.train(task, submission);
        }
        if task.untrained.is_empty() {
            self.evaluate(task);
        }
    }

    fn train(&mut self, task: &TaskWork, submission: &SubmissionId) {
        let id = Hex(*submission.bytes());
        let (order, attempt) = self.order(task, Some(submission), Work::Train { submission: id });
        let lost = std::mem::take(&mut self.script.lost);
        let status = if lost { Status::Infrastructure } else { Status::Done };
        if !lost {
            let label = self.guest(Role::Trainer, order, vec![dataset_key(Split::Train)]);
            let object = object(label);
            self.artefacts.insert(Digest(order.0), object.clone());
            let result = TrainResult {
                order,
                submission: id,
                status: Wire::Done,
                artefact: Some(object),
                log: None,
                duration_bucket: 0,
            };
            self.members.put(&members::result(&order), &self.signed_result(&result, label));
        }
        assert!(attempt <= 2);
        let outcome = TrainOutcome {
            task: task.task.id.clone(),
            submission: *submission,
            order: Digest(order.0),
            status,
            duration_bucket: 0,
        };
        self.conductor.trained(UnixSeconds(self.now), outcome).unwrap();
    }

    fn evaluate(&mut self, task: &TaskWork) {
        let artefacts: Vec<ArtefactRef> = task
            .trained
            .iter()
            .map(|(submission, train_order)| ArtefactRef {
                submission: Hex(*submission.bytes()),
                train_order: Hex(*train_order.bytes()),
                object: self.artefacts[train_order].clone(),
            })
            .collect();
        let (order, _) = self.order(task, None, Work::Evaluate { artefacts: artefacts.clone() });
        let mut keys = vec![dataset_key(Split::Test)];
        keys.extend(artefacts.iter().map(|artefact| KeyId::Artefact(artefact.train_order)));
        let label = self.guest(Role::Evaluator, order, keys);
        let scores = artefacts.iter().map(|artefact| self.score(artefact)).collect();
        let claim = ScoreClaim {
            order,
            fingerprint: Hex([0xf1; 32]),
            items: 32,
            base: ClaimedBase { score: Some(32_500), root: Hex([0xb0; 32]) },
            scores,
            losses: ObjectRef {
                name: Hex([0x10; 16]),
                header: Hex([0x11; 56]),
                sha256: Hex([0x12; 32]),
                len_bytes: 72,
            },
        };
        self.members.put(&members::result(&order), &self.signed_result(&claim, label));
        let mut outcome = outcome(&task.task.id, &claim);
        (self.script.outcome)(&mut outcome);
        self.conductor.evaluated(UnixSeconds(self.now), outcome).unwrap();
    }

    /// The higher the first byte of its id, the better.
    fn score(&self, artefact: &ArtefactRef) -> ArtefactScore {
        let first = i32::from(artefact.submission.0[0]);
        ArtefactScore {
            submission: artefact.submission,
            status: Wire::Done,
            score: Some(30_000 - 20 * first),
            root: Some(Hex::sha256(&artefact.train_order.0)),
            artefact_sha256: Some(artefact.object.sha256),
        }
    }

    /// An order of the referee, in the log and in the bundle.
    fn order(&mut self, task: &TaskWork, submission: Option<&SubmissionId>, work: Work) -> (Hex<32>, u32) {
        self.now += 1;
        let attempt = self.conductor.next_attempt(&task.task.id, submission).unwrap();
        let mut order = Order {
            v: 1,
            charter: self.p,
            tournament: "cup-1".into(),
            task: task.task.id.clone(),
            work,
            attempt,
            dataset_id: task.task.dataset.clone(),
            seed: Hex(*task.task.seed.bytes()),
            referee: RefereeKeys {
                lease: Hex([REFEREE; 16]),
                signing: public(&key(REFEREE)),
                hpke: tiltyard_simulator::mint::sample_keys(REFEREE).hpke,
            },
            issued_at: self.now,
        };
        (self.script.order)(&mut order);
        let signed = Signed::sign(&order, &key(REFEREE));
        let digest = signed.digest();
        self.members.put(&members::order(&digest), &signed);
        let body = OrderBody {
            order: Digest(digest.0),
            task: task.task.id.clone(),
            role: if submission.is_some() { OrderRole::Train } else { OrderRole::Evaluate },
            submission: submission.copied(),
            attempt,
        };
        self.conductor.ordered(UnixSeconds(self.now), body).unwrap();
        (digest, attempt)
    }

    fn guest(&mut self, role: Role, order: Hex<32>, keys: Vec<KeyId>) -> u8 {
        let label = self.next_guest;
        self.next_guest += 1;
        self.release(label, role, Some(order), keys);
        label
    }

    fn signed_result<T: tiltyard_provisioning::statement::Statement>(
        &self,
        result: &T,
        label: u8,
    ) -> Signed<T> {
        Signed::sign(result, &key((self.script.result_key)(label)))
    }

    /// What the owner's broker does: appraise, enter, answer. The guest is the one of `label`.
    fn release(&mut self, label: u8, role: Role, order: Option<Hex<32>>, released: Vec<KeyId>) {
        self.now += 1;
        let mut config = sample_config(role, self.p, IMAGE);
        (config.order, config.lease) = (order, Hex([label; 16]));
        let guest = Guest::sample(config, MEASUREMENT, label);
        // A renewal answers another challenge than the first attest.
        let renewal = u8::from(released.is_empty());
        let nonce =
            Hex([[(self.script.nonce)(label); 31].as_slice(), &[renewal]].concat().try_into().unwrap());
        let evidence =
            mint_edited(platform(), &guest, 3, nonce, |draft| (self.script.evidence)(label, draft));
        let (keys, anchors) = (guest.keys.digests(), Anchors::NotVendor(platform().anchors().digest()));
        let lease = Lease {
            lease: Hex([label; 16]),
            charter: self.p,
            role,
            order,
            keys,
            anchors,
            issued_at: self.now,
            not_after: (self.now + self.charter.limits.lease_s).min(self.charter.not_after),
        };
        let mut release = KeyRelease {
            v: 1,
            r#type: "key_release".into(),
            evidence_sha256: evidence.digest(),
            nonce,
            charter: self.p,
            role,
            order,
            lease: lease.lease,
            keys,
            anchors,
            released,
            time: self.now,
        };
        (self.script.release)(label, &mut release);
        let receipt = self.enter_release(&release);
        let attested = AttestedGuest { lease: Signed::sign(&lease, &key(3)), receipt, evidence };
        self.members.put(&members::guest(&lease.lease), &attested);
    }

    fn enter_release(&mut self, release: &KeyRelease) -> Receipt {
        let leaf = serde_jcs::to_vec(release).unwrap();
        let index = self.ledger.append(&leaf);
        let origin = ledger_origin("insurer", BrokerOwner::Owner);
        Receipt {
            leaf: leaf.into(),
            index,
            checkpoint: Checkpoint::of(&origin, &self.ledger).sign(&key(3), &origin),
            inclusion: self.ledger.inclusion(index, self.ledger.size()),
        }
    }

    /// Log, proofs, record.
    fn close(&mut self) {
        self.leaves.extend(self.conductor.take_leaves());
        let champion = self.conductor.decided().map(|decided| Hex(*decided.holder().bytes()));
        let mut record = Record {
            v: 1,
            charter: self.p,
            tournament: "cup-1".into(),
            rulebook_sha256: self.charter.tournament.rulebook_sha256,
            lease: Hex([REFEREE; 16]),
            log_origin: log_origin("insurer", "cup-1"),
            log_size: 0,
            log_root: Hex([0; 32]),
            champion,
            anchors: Anchors::NotVendor(platform().anchors().digest()),
            unwitnessed: true,
            time: self.now,
        };
        sign_log(&mut self.members, &self.leaves, &mut record, &key(REFEREE), self.script.record);
    }
}

/// Leaves, proofs, checkpoint and record, signed by `signer`.
pub(crate) fn sign_log(
    bundle: &mut Members,
    leaves: &[Vec<u8>],
    record: &mut Record,
    signer: &Ed25519KeyPair,
    edit: fn(&mut Record),
) {
    let origin = log_origin("insurer", "cup-1");
    let tree = MerkleLog::from_leaves(leaves);
    let checkpoint = Checkpoint::of(&origin, &tree).sign(signer, &origin);
    for name in [bundle.under("log/entries/"), bundle.under("log/proofs/")].concat() {
        bundle.remove(&name);
    }
    for (index, leaf) in (0..).zip(leaves) {
        bundle.0.insert(members::leaf(index), leaf.clone());
        let proof = TlogProof::of(&tree, index, &checkpoint).to_text();
        bundle.0.insert(members::proof(index), proof.into_bytes());
    }
    bundle.0.insert(members::CHECKPOINT.to_owned(), checkpoint.into_bytes());
    (record.log_size, record.log_root) = (tree.size(), tree.root());
    edit(record);
    bundle.put(members::RECORD, &Signed::sign(record, signer));
}

fn dataset_key(split: Split) -> KeyId {
    KeyId::Dataset { id: "claims".into(), split }
}

fn object(label: u8) -> ObjectRef {
    ObjectRef { name: Hex([label; 16]), header: Hex([label; 56]), sha256: Hex([label; 32]), len_bytes: 1 }
}

/// As a referee records a claim.
fn outcome(task: &str, claim: &ScoreClaim) -> EvaluateOutcome {
    let disclosed = |score: Option<i32>| score.map(|steps| Disclosed::clamped(steps.into()));
    EvaluateOutcome {
        task: task.to_owned(),
        order: Digest(claim.order.0),
        fingerprint: Digest(claim.fingerprint.0),
        base: BaseScore { score: disclosed(claim.base.score), losses_root: Some(Digest(claim.base.root.0)) },
        scores: claim
            .scores
            .iter()
            .map(|score| ScoreRow {
                submission: score.submission.0.into(),
                status: Status::Done,
                score: disclosed(score.score),
                losses_root: score.root.map(|root| Digest(root.0)),
                artefact_sha256: score.artefact_sha256.map(|digest| Digest(digest.0)),
                same_losses_as: None,
            })
            .collect(),
    }
}
