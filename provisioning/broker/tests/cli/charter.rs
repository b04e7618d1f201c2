//! `charter sign`, `diff`, `show`; and the charter that the other tests serve.

use std::sync::OnceLock;

use tiltyard_attestation::binding::HpkePublicKey;
use tiltyard_attestation::policy::{GpuFloor, Level, TeeFloor};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::{Backend, Hex};
use tiltyard_provisioning::charter::{
    BaseModel, Broker, BrokerOwner, Budget, Charter, Dataset, KemFloor, Limits, Output, Signers, Stage,
    TournamentTerms,
};
use tiltyard_provisioning::keyid::Split;

use super::*;

/// A charter of these two homes that is in force now.
pub(super) fn charter(owner: &Value, operator: &Value) -> Charter {
    let hex = |identity: &Value, name: &str| identity[name].as_str().unwrap().parse::<Hex<32>>().unwrap();
    let broker = |party, identity| Broker {
        owner: party,
        address: "127.0.0.1:7000".into(),
        tls_spki_sha256: hex(identity, "tls_spki_sha256"),
        key: hex(identity, "broker_key"),
    };
    let dataset = |split, digest| Dataset {
        dataset_id: "claims".into(),
        split,
        manifest_sha256: Hex([digest; 32]),
        min_version: 1,
    };
    let image = ReferenceImage {
        name: "guest".into(),
        backend: Backend::Process,
        image: Hex([6; 32]),
        measurement: Hex([7; 48]),
        tdx: None,
    };
    let owner_recipient: HpkePublicKey = serde_json::from_value(owner["hpke"].clone()).unwrap();
    let now = tiltyard_broker::now();
    Charter {
        v: 1,
        charter_id: "trial".into(),
        tenant: "acme".into(),
        version: 1,
        prev: None,
        signers: Signers { owner: hex(owner, "signing_key"), operator: hex(operator, "signing_key") },
        not_before: now - 60,
        not_after: now + 3600,
        level: Level::Lab,
        backends: vec![Backend::Process],
        reference_values: ReferenceValues { images: vec![image], foreign_anchors: None },
        tee_floor: TeeFloor { snp: Vec::new(), tdx: None },
        gpu_floor: GpuFloor::none(),
        platforms: Vec::new(),
        tournament: TournamentTerms {
            id: "cup".into(),
            rulebook_sha256: Hex([8; 32]),
            roll_key: hex(operator, "roll_key"),
            budget: Budget {
                train_wall_s: 60,
                evaluate_wall_s: 60,
                memory_mib: 512,
                vcpus: 1,
                test_items: 10,
            },
        },
        base: BaseModel { name: "small".into(), sha256: Hex([10; 32]), len_bytes: 1 },
        datasets: vec![dataset(Split::Train, 1), dataset(Split::Test, 2)],
        stages: Stage::all(&[dataset(Split::Train, 1), dataset(Split::Test, 2)], "cup"),
        brokers: vec![broker(BrokerOwner::Owner, owner), broker(BrokerOwner::Operator, operator)],
        limits: Limits { max_releases: 2, lease_s: 450 },
        output: Output {
            owner_recipient,
            cap_bits: 16_384,
            log_max_bytes: 1024,
            artefact_max_bytes: 1 << 20,
        },
        kem_floor: KemFloor::Hybrid,
    }
}

/// Writes `charter.json`; the answer is the first 8 digits of its `p`.
pub(super) fn write(trial: &Trial, charter: &Charter) -> String {
    let payload = serde_json::to_vec_pretty(charter).unwrap();
    trial.write("charter.json", &payload);
    Hex::sha256(&payload).to_string()[..8].to_owned()
}

/// A trial with both homes and `signed.json`: a copy of one that is made once.
pub(super) fn signed() -> Trial {
    static ONCE: OnceLock<Trial> = OnceLock::new();
    let trial = Trial::new();
    let made = ONCE.get_or_init(sign_once).folder.path();
    for from in files(made) {
        let to = trial.folder.path().join(from.strip_prefix(made).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&from, &to).unwrap();
    }
    trial
}

fn sign_once() -> Trial {
    let trial = Trial::new();
    let (owner, operator) = (trial.init("owner", "owner"), trial.init("operator", "operator"));
    let confirm = write(&trial, &charter(&owner, &operator));
    trial.facts(&format!(
        "charter sign --dir owner --charter charter.json --out half.json --confirm {confirm} --passphrase-fd 0"
    ));
    let facts = trial.facts(&format!(
        "charter sign --dir operator --charter charter.json --envelope half.json --out signed.json \
         --confirm {confirm} --passphrase-fd 0"
    ));
    assert_eq!(facts["complete"], true);
    trial
}

#[test]
fn two_parties_sign_the_same_bytes_and_one_is_not_enough() {
    let trial = signed();
    let shown = trial.facts("charter show signed.json");
    assert_eq!((&shown["tenant"], &shown["in_force"]), (&"acme".into(), &true.into()));
    let half = trial.run("charter show half.json");
    assert_eq!(half.failure(), (3, "E_CHARTER_SIGNERS"));
}

#[test]
fn a_signer_must_type_back_what_it_read_and_sees_every_change() {
    let trial = Trial::new();
    let (owner, operator) = (trial.init("owner", "owner"), trial.init("operator", "operator"));
    let mut terms = charter(&owner, &operator);
    write(&trial, &terms);
    fs::copy(trial.path("charter.json"), trial.path("old.json")).unwrap();
    let wrong = trial.run(
        "charter sign --dir owner --charter charter.json --out out.json --confirm 00000000 --passphrase-fd 0",
    );
    assert_eq!(wrong.failure(), (2, "E_NOT_CONFIRMED"));
    assert!(!trial.path("out.json").exists());

    terms.limits.max_releases = 99;
    terms.limits.lease_s = 60;
    let confirm = write(&trial, &terms);
    let diff = trial.facts("charter diff old.json charter.json");
    let paths: Vec<_> =
        diff["changes"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["limits.max_releases", "limits.lease_s"], "widening first");
    let signed = trial.run(&format!(
        "charter sign --dir owner --charter charter.json --previous old.json --out out.json --confirm {confirm} \
         --passphrase-fd 0"
    ));
    assert_eq!(signed.code, 0);
    assert!(signed.stderr.contains("WIDENS ~ limits.max_releases: 2 -> 99"), "{}", signed.stderr);
}

#[test]
fn a_party_signs_only_its_own_charter_and_not_beside_other_bytes() {
    let trial = signed();
    trial.init("stranger", "owner");
    let bytes = fs::read(trial.path("charter.json")).unwrap();
    let confirm = Hex::sha256(&bytes).to_string()[..8].to_owned();
    let stranger = trial.run(&format!(
        "charter sign --dir stranger --charter charter.json --out x.json --confirm {confirm} --passphrase-fd 0"
    ));
    assert_eq!(stranger.failure(), (3, "E_CHARTER_SIG"));

    let mut changed: Charter = serde_json::from_slice(&bytes).unwrap();
    changed.limits.max_releases = 3;
    let confirm = write(&trial, &changed);
    let other = trial.run(&format!(
        "charter sign --dir operator --charter charter.json --envelope half.json --out x.json --confirm {confirm} \
         --passphrase-fd 0"
    ));
    assert_eq!(other.code, 3, "{}", other.stderr);
    assert!(!trial.path("x.json").exists());
}
