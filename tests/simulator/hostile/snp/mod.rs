//! Attacks on SEV-SNP evidence.

use std::path::Path;

use tiltyard_attestation::binding::Runtime;
use tiltyard_attestation::policy::{GpuFloor, Level, Platform, PlatformKind, Product, SnpFloor, TeeFloor};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::result::SigningKey;
use tiltyard_attestation::{Backend, Collateral, Hex, Role};

use super::{CHALLENGE_AGE_S, CHARTER, COLLATERAL_AGE_S, Expected, IMAGE, MEASUREMENT, NONCE, Set, Variant};
use crate::certificates::CertificateFields;
use crate::mint::{self, Guest, mint_edited};
use crate::report::newest_tcb;
use crate::{PlatformError, ReportFields, SimulatedPlatform};

mod binding;
mod chains;
mod forms;
mod guest;
mod machine;

/// One row of the table.
pub type SnpVariant = Variant<Base, Draft>;

/// Which evidence an attack starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Milan, V3, VCEK.
    Milan,
    /// Genoa, V3, VCEK.
    Genoa,
    /// Turin, V5, VCEK.
    Turin,
}

/// The evidence of one guest before it is signed, and what it is held against. Genuine by default.
#[derive(Debug, Clone)]
pub struct Draft {
    pub product: Product,
    /// Which key signs the report, and which chain is sent.
    pub endorsement: SigningKey,
    pub certificates: CertificateFields,
    pub report: ReportFields,
    pub runtime: Runtime,
    /// Canonical bytes of the launch configuration.
    pub config: Vec<u8>,
    pub report_data: Option<Hex<64>>,
    pub host_data: Option<Hex<32>>,
    pub expected: Expected,
}

/// One machine of each product under one set of authority keys.
pub struct Lab {
    machine: SimulatedPlatform,
    /// Unix seconds.
    now: u64,
}

impl Lab {
    /// The machines that `seed` gives, at `now` (Unix seconds, within the certificates' life); `key_cache` as in
    /// [`SimulatedPlatform::from_seed`].
    pub fn from_seed(seed: &[u8; 32], key_cache: Option<&Path>, now: u64) -> Result<Self, PlatformError> {
        Ok(Self { machine: SimulatedPlatform::from_seed(seed, Product::Turin, key_cache)?, now })
    }

    /// Signs a draft.
    pub fn issue(&self, draft: &Draft) -> Result<Set, PlatformError> {
        let machine = self.machine.sibling(draft.product)?;
        let machine = match draft.endorsement {
            SigningKey::Vcek => machine,
            SigningKey::Vlek => machine.with_vlek()?,
        };
        let machine = machine.reissued(|fields| *fields = draft.certificates.clone())?;
        let Expected { guest, nonce, .. } = &draft.expected;
        let evidence = mint_edited(&machine, guest, draft.report.version, *nonce, |envelope| {
            let mint::Draft { runtime, config, report, report_data, host_data, .. } = envelope;
            (*runtime, *config) = (draft.runtime.clone(), draft.config.clone());
            *report = draft.report.clone();
            (*report_data, *host_data) = (draft.report_data, draft.host_data);
        });
        let collateral = Collateral { snp_crls: vec![machine.crl().into()], ..Collateral::none() };
        Ok(Set { evidence, collateral, expected: draft.expected.clone() })
    }
}

impl Base {
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// Highest level that accepts the evidence.
    pub fn highest(self) -> Level {
        match self {
            Self::Milan => Level::Lab,
            Self::Genoa => Level::Standard,
            Self::Turin => Level::Strict,
        }
    }

    /// Product of the machine.
    pub fn product(self) -> Product {
        match self {
            Self::Milan => Product::Milan,
            Self::Genoa => Product::Genoa,
            Self::Turin => Product::Turin,
        }
    }

    /// The evidence that breaks no rule.
    pub fn draft(self, lab: &Lab) -> Result<Draft, PlatformError> {
        let product = self.product();
        let version = if product == Product::Turin { 5 } else { 3 };
        let machine = lab.machine.sibling(product)?;
        let mut certificates = machine.certificate_fields().clone();
        certificates.crl.this_update = lab.now - COLLATERAL_AGE_S;
        let mut config = mint::sample_config(Role::Referee, CHARTER, IMAGE);
        config.backend = Backend::Snp;
        let guest = Guest::sample(config, MEASUREMENT, 7);
        let mut report = machine.fields(version);
        report.measurement = MEASUREMENT.0;
        if self == Self::Turin {
            // A strict charter asks for ciphertext hiding and no page swap, and refuses SMT.
            report.policy = RESERVED_ONE | CIPHERTEXT_HIDING | PAGE_SWAP_DISABLE;
            (report.launch_mitigations, report.current_mitigations) = (0b11, 0b11);
        }
        Ok(Draft {
            product,
            endorsement: SigningKey::Vcek,
            certificates,
            report,
            runtime: guest.runtime(NONCE),
            config: guest.config.to_bytes(),
            report_data: None,
            host_data: None,
            expected: expected(&machine, guest, lab.now),
        })
    }
}

/// One charter for all bases: every product's newest versions, the chip enrolled, the image listed.
fn expected(machine: &SimulatedPlatform, guest: Guest, now: u64) -> Expected {
    let products = [Product::Milan, Product::Genoa, Product::Turin];
    let anchors = machine.anchors();
    let image = ReferenceImage {
        name: "sample".to_owned(),
        backend: Backend::Snp,
        image: IMAGE,
        measurement: MEASUREMENT,
        tdx: None,
    };
    Expected {
        guest,
        backends: vec![Backend::Snp],
        gpu: GpuFloor::none(),
        fleet: Vec::new(),
        earlier: None,
        nonce: NONCE,
        issued_at: now - CHALLENGE_AGE_S,
        now,
        tee: TeeFloor {
            snp: products
                .map(|product| SnpFloor { product, tcb: newest_tcb(product), guest_svn: 0, vmpl: 0 })
                .to_vec(),
            tdx: None,
        },
        platforms: vec![Platform {
            kind: PlatformKind::ChipId,
            id: machine.chip_id().into(),
            custody: "rack 1".to_owned(),
            enrolled_at: 0,
            revoked_at: None,
        }],
        mitigations: 0,
        reference: ReferenceValues { images: vec![image], foreign_anchors: Some(anchors.digest()) },
        anchors,
    }
}

impl SnpVariant {
    /// The set as the verifier gets it.
    pub fn set(&self, lab: &Lab) -> Result<Set, PlatformError> {
        let mut draft = self.base.draft(lab)?;
        self.before_signing(&mut draft);
        let mut set = lab.issue(&draft)?;
        self.after_signing(&mut set);
        Ok(set)
    }
}

/// Every attack, by the part of the evidence that it is made to.
pub fn variants() -> impl Iterator<Item = &'static SnpVariant> {
    [forms::VARIANTS, chains::VARIANTS, machine::VARIANTS, guest::VARIANTS, binding::VARIANTS]
        .into_iter()
        .flatten()
}

/// Bit 17 of the guest policy, which must be one.
const RESERVED_ONE: u64 = 1 << 17;
const CIPHERTEXT_HIDING: u64 = 1 << 24;
const PAGE_SWAP_DISABLE: u64 = 1 << 25;
