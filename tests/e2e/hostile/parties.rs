//! Owner and operator, made once by the shipped program; every case works on copies of their homes.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tiltyard_attestation::measure::process_measurement;
use tiltyard_attestation::policy::{GpuFloor, Level, Product, SnpFloor, Tcb, TeeFloor};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::{Backend, Collateral, Hex};
use tiltyard_broker::PublicIdentity;
use tiltyard_provisioning::charter::{
    BaseModel, Broker, BrokerOwner, Budget, Charter, Dataset, KemFloor, Limits, Output, Signers, Stage,
    TournamentTerms,
};
use tiltyard_provisioning::keyid::Split;
use tiltyard_simulator::SimulatedPlatform;

use crate::program;

pub(crate) const TENANT: &str = "acme";
pub(crate) const TOURNAMENT: &str = "cup";
/// The guest image; what it holds does not matter to a broker.
pub(crate) const PROGRAM: &[u8] = b"the measured guest program";
/// Two datasets of equal shape, so that only cryptography tells their objects apart.
pub(crate) const DATASETS: [&str; 2] = ["claims", "orders"];
/// From the charter's start to its end, in seconds.
const WINDOW_S: u64 = 3_600;
const ROWS: usize = 40;
const TEST_ROWS: &str = "10";

/// Homes, sealed datasets and a signed charter.
pub(crate) struct Parties {
    pub(crate) owner: PublicIdentity,
    pub(crate) operator: PublicIdentity,
    pub(crate) charter: Charter,
    /// Signed by both.
    pub(crate) envelope: Vec<u8>,
    /// Sealed objects and manifest payloads, by digest: what hosts store.
    pub(crate) objects: BTreeMap<Hex<32>, Vec<u8>>,
    pub(crate) machine: SimulatedPlatform,
    pub(crate) collateral: Collateral,
    /// Every file of both homes.
    homes: Vec<(PathBuf, Vec<u8>)>,
}

/// The parties of this process.
pub(crate) fn parties() -> &'static Parties {
    static PARTIES: OnceLock<Parties> = OnceLock::new();
    PARTIES.get_or_init(Parties::make)
}

impl Parties {
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = tiltyard_broker::now();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let machine = SimulatedPlatform::from_seed(&[0x7a; 32], Product::Turin, Some(cache)).unwrap();
        let collateral = machine.collateral(now).unwrap();
        let found = |role| -> PublicIdentity {
            let args = ["init", "--role", role, "--kdf-memory-mib", "64"];
            serde_json::from_value(program::done(&dir.path().join(role), args)).unwrap()
        };
        let (owner, operator) = (found("owner"), found("operator"));
        let sealed = DATASETS.map(|id| seal(dir.path(), id));
        let charter = charter(&owner, &operator, &machine, &sealed, now);
        let envelope = signed_by_both(dir.path(), &charter);
        Self {
            objects: objects(&dir.path().join("sealed/objects")),
            homes: ["owner", "operator"].map(|home| files(dir.path(), home)).concat(),
            owner,
            operator,
            charter,
            envelope,
            machine,
            collateral,
        }
    }

    /// Puts a copy of both homes into `dir`.
    pub(crate) fn copy_homes(&self, dir: &Path) {
        for (name, bytes) in &self.homes {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            write(&path, bytes);
        }
    }

    /// `p`.
    pub(crate) fn p(&self) -> Hex<32> {
        tiltyard_provisioning::charter::OpenCharter::open(&self.envelope).unwrap().p()
    }

    /// The charter's entry for one split, and the manifest payload that it names.
    pub(crate) fn dataset(&self, id: &str, split: Split) -> (&Dataset, &[u8]) {
        let mut named = self.charter.datasets.iter();
        let dataset = named.find(|dataset| dataset.dataset_id == id && dataset.split == split).unwrap();
        (dataset, &self.objects[&dataset.manifest_sha256])
    }
}

/// Has both parties sign a charter, each with its own home under `dir`.
pub(crate) fn signed_by_both(dir: &Path, charter: &Charter) -> Vec<u8> {
    let half = sign(dir, "owner", charter, None);
    sign(dir, "operator", charter, Some(&half))
}

/// Has one party sign: the first signature, or beside the other party's.
pub(crate) fn sign(dir: &Path, home: &str, charter: &Charter, other: Option<&[u8]>) -> Vec<u8> {
    let finished = try_sign(dir, home, charter, other);
    assert_eq!(finished.exit, Some(0), "{}", finished.stderr);
    fs::read(dir.join("signed.json")).unwrap()
}

/// The same, with whatever came of it.
pub(crate) fn try_sign(dir: &Path, home: &str, charter: &Charter, other: Option<&[u8]>) -> program::Finished {
    let payload = serde_json::to_vec_pretty(charter).unwrap();
    let (readable, half) = (dir.join("charter.json"), dir.join("half.json"));
    write(&readable, &payload);
    let confirm = &Hex::sha256(&payload).to_string()[..8];
    let out = dir.join("signed.json");
    let mut args =
        vec!["charter", "sign", "--charter", text(&readable), "--confirm", confirm, "--out", text(&out)];
    if let Some(other) = other {
        write(&half, other);
        args.extend(["--envelope", text(&half)]);
    }
    program::run(&dir.join(home), args)
}

/// Seals the rows of `source` as dataset `id` of the owner under `dir`.
pub(crate) fn try_seal(dir: &Path, id: &str, source: &[u8]) -> program::Finished {
    let (input, out) = (dir.join("rows.jsonl"), dir.join("sealed"));
    write(&input, source);
    let columns = ["--instruction", "instruction", "--output-column", "output", "--test-rows", TEST_ROWS];
    let names =
        ["seal", "--tenant", TENANT, "--dataset-id", id, "--input", text(&input), "--out", text(&out)];
    program::run(&dir.join("owner"), names.into_iter().chain(columns))
}

/// Rows of one length, whatever the dataset.
pub(crate) fn rows(id: &str) -> Vec<u8> {
    let row = |i| format!("{{\"instruction\":\"{id} {i:04}\",\"output\":\"settled {i:04}\"}}\n");
    (0..ROWS).map(row).collect::<String>().into_bytes()
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// Paths here are made of ASCII names.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn seal(dir: &Path, id: &str) -> [Dataset; 2] {
    let sealed = try_seal(dir, id, &rows(id));
    assert_eq!(sealed.exit, Some(0), "{}", sealed.stderr);
    let splits = sealed.stdout["splits"].as_array().unwrap();
    [Split::Train, Split::Test].map(|split| {
        let facts = splits.iter().find(|facts| member::<Split>(facts, "split") == split).unwrap();
        let manifest_sha256 = member(facts, "manifest_sha256");
        Dataset { dataset_id: id.to_owned(), split, manifest_sha256, min_version: 1 }
    })
}

fn member<T: DeserializeOwned>(facts: &Value, name: &str) -> T {
    serde_json::from_value(facts[name].clone()).unwrap()
}

fn charter(
    owner: &PublicIdentity,
    operator: &PublicIdentity,
    machine: &SimulatedPlatform,
    datasets: &[[Dataset; 2]],
    now: u64,
) -> Charter {
    let broker = |owner, identity: &PublicIdentity, port| Broker {
        owner,
        address: format!("127.0.0.1:{port}"),
        tls_spki_sha256: identity.tls_spki_sha256,
        key: identity.broker_key,
    };
    let image = ReferenceImage {
        name: "guest".into(),
        backend: Backend::Process,
        image: Hex::sha256(PROGRAM),
        measurement: process_measurement(PROGRAM),
        tdx: None,
    };
    let tcb = Tcb { fmc: 0, bootloader: 1, tee: 0, snp: 1, microcode: 1 };
    Charter {
        v: 1,
        charter_id: "trial".into(),
        tenant: TENANT.into(),
        version: 1,
        prev: None,
        signers: Signers { owner: owner.signing_key, operator: operator.signing_key },
        not_before: now - 60,
        not_after: now + WINDOW_S,
        level: Level::Lab,
        backends: vec![Backend::Process],
        reference_values: ReferenceValues {
            images: vec![image],
            foreign_anchors: Some(machine.anchors().digest()),
        },
        tee_floor: TeeFloor {
            snp: vec![SnpFloor { product: Product::Turin, tcb, guest_svn: 0, vmpl: 0, mitigations: None }],
            tdx: None,
        },
        gpu_floor: GpuFloor::none(),
        platforms: Vec::new(),
        tournament: TournamentTerms {
            id: TOURNAMENT.into(),
            rulebook_sha256: Hex([8; 32]),
            roll_key: operator.roll_key.unwrap(),
            budget: Budget {
                train_wall_s: 60,
                evaluate_wall_s: 60,
                memory_mib: 512,
                vcpus: 1,
                test_items: 10,
            },
        },
        base: BaseModel { name: "base".into(), sha256: Hex([10; 32]), len_bytes: 1 },
        datasets: datasets.concat(),
        stages: Stage::all(&datasets.concat(), TOURNAMENT),
        brokers: vec![broker(BrokerOwner::Owner, owner, 7001), broker(BrokerOwner::Operator, operator, 7002)],
        limits: Limits { max_releases: 8, lease_s: 450 },
        output: Output {
            owner_recipient: owner.hpke.clone(),
            cap_bits: 16_384,
            log_max_bytes: 1024,
            artefact_max_bytes: 1 << 20,
        },
        kem_floor: KemFloor::Hybrid,
    }
}

fn objects(dir: &Path) -> BTreeMap<Hex<32>, Vec<u8>> {
    let read = |entry: fs::DirEntry| {
        let bytes = fs::read(entry.path()).unwrap();
        (Hex::sha256(&bytes), bytes)
    };
    fs::read_dir(dir).unwrap().map(|entry| read(entry.unwrap())).collect()
}

/// Files of one home, by their path under `dir`.
fn files(dir: &Path, home: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let read =
        |entry: fs::DirEntry| (Path::new(home).join(entry.file_name()), fs::read(entry.path()).unwrap());
    fs::read_dir(dir.join(home)).unwrap().map(|entry| read(entry.unwrap())).collect()
}
