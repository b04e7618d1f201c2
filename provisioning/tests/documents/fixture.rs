//! A charter that keeps every rule, and the keys of its parties.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tiltyard_attestation::binding::{HpkePublicKey, KEM_XWING};
use tiltyard_attestation::policy::{
    GpuFloor, Level, Platform, PlatformKind, Product, SnpFloor, Tcb, TeeFloor,
};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::{Backend, Hex};
use tiltyard_provisioning::charter::{
    BaseModel, Broker, BrokerOwner, Budget, Charter, Dataset, KemFloor, Limits, Output, Signers, Stage,
    TournamentTerms,
};
use tiltyard_provisioning::keyid::Split;

pub const NOT_BEFORE: u64 = 1_790_000_000;
pub const NOT_AFTER: u64 = NOT_BEFORE + 30 * 86_400;

pub fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

pub fn public(key: &Ed25519KeyPair) -> Hex<32> {
    Hex::from_slice(key.public_key().as_ref()).unwrap()
}

pub fn owner() -> Ed25519KeyPair {
    key(1)
}

pub fn operator() -> Ed25519KeyPair {
    key(2)
}

/// A lab charter on the `process` backend.
pub fn charter() -> Charter {
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
    Charter {
        v: 1,
        charter_id: "spring-cup".into(),
        tenant: "insurer".into(),
        version: 1,
        prev: None,
        signers: Signers { owner: public(&owner()), operator: public(&operator()) },
        not_before: NOT_BEFORE,
        not_after: NOT_AFTER,
        level: Level::Lab,
        backends: vec![Backend::Process],
        reference_values: ReferenceValues {
            images: vec![image(Backend::Process, 7)],
            foreign_anchors: Some(Hex([8; 32])),
        },
        tee_floor: TeeFloor { snp: vec![floor(Product::Turin)], tdx: None },
        gpu_floor: GpuFloor::none(),
        platforms: vec![platform(9)],
        tournament: TournamentTerms {
            id: "cup-1".into(),
            rulebook_sha256: Hex([10; 32]),
            roll_key: public(&operator()),
            budget: Budget {
                train_wall_s: 60,
                evaluate_wall_s: 60,
                memory_mib: 2048,
                vcpus: 2,
                test_items: 32,
            },
        },
        base: BaseModel { name: "SmolLM2-135M".into(), sha256: Hex([11; 32]), len_bytes: 1 << 28 },
        datasets: vec![dataset(Split::Train, 12), dataset(Split::Test, 13)],
        stages: Stage::all(&[dataset(Split::Train, 12), dataset(Split::Test, 13)], "cup-1"),
        brokers: vec![
            broker(BrokerOwner::Owner, 3, "broker.insurer.example:8443"),
            broker(BrokerOwner::Operator, 4, "127.0.0.1:9443"),
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

/// The same on hardware, level `strict`.
pub fn strict_charter() -> Charter {
    let mut charter = charter();
    charter.level = Level::Strict;
    charter.backends = vec![Backend::Snp];
    charter.reference_values =
        ReferenceValues { images: vec![image(Backend::Snp, 7)], foreign_anchors: None };
    charter
}

pub fn image(backend: Backend, seed: u8) -> ReferenceImage {
    ReferenceImage {
        name: "guest".into(),
        backend,
        image: Hex([seed; 32]),
        measurement: Hex([seed; 48]),
        tdx: None,
    }
}

pub fn platform(seed: u8) -> Platform {
    Platform {
        kind: PlatformKind::ChipId,
        id: Hex([seed; 64]).into(),
        custody: "rack 4, sealed".into(),
        enrolled_at: NOT_BEFORE - 1,
        revoked_at: None,
    }
}

pub fn floor(product: Product) -> SnpFloor {
    SnpFloor {
        product,
        tcb: Tcb { fmc: 1, bootloader: 4, tee: 0, snp: 22, microcode: 213 },
        guest_svn: 1,
        vmpl: 0,
        mitigations: None,
    }
}
