//! Attacks on TDX evidence.

use tiltyard_attestation::binding::Runtime;
use tiltyard_attestation::policy::{GpuFloor, ModuleFloor, Platform, PlatformKind, TdxFloor, TeeFloor};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues, TdxReference};
use tiltyard_attestation::{Backend, Collateral, Hex, Role};

use super::{CHALLENGE_AGE_S, CHARTER, Expected, IMAGE, MEASUREMENT, NONCE, Set, Variant};
use crate::intel::event_log::EventLog;
use crate::intel::report::XFAM;
use crate::intel::tcb_info::{EVALUATION, HARDENING_ADVISORY, MODULE_SVN};
use crate::intel::{self, Form, SimulatedTdx};
use crate::mint::{self, Guest, TdxDraft, mint_tdx};

mod collateral;
mod guest;
mod log;
mod platform;
mod quote;

/// One row of the table.
pub type TdxVariant = Variant<Base, Draft>;

/// Which evidence an attack starts from. Each passes at every level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// A TD 1.0 in a quote of version 4.
    V4,
    /// A TD 1.0 in a quote of version 5: body type 2.
    V5Td10,
    /// A TD 1.5 in a quote of version 5: body type 3.
    V5Td15,
}

/// The evidence of one TD before it is signed, and what it is held against. Genuine by default.
#[derive(Debug, Clone)]
pub struct Draft {
    pub td: intel::Draft,
    pub runtime: Runtime,
    /// Canonical bytes of the launch configuration.
    pub config: Vec<u8>,
    pub report_data: Option<Hex<64>>,
    pub mrconfigid: Option<Hex<48>>,
    pub expected: Expected,
}

/// One machine.
pub struct Lab {
    machine: SimulatedTdx,
    /// Unix seconds.
    now: u64,
}

impl Lab {
    /// The machine that `seed` gives, at `now` (Unix seconds, within the certificates' life).
    pub fn from_seed(seed: &[u8; 32], now: u64) -> Self {
        Self { machine: SimulatedTdx::from_seed(seed), now }
    }

    /// Signs a draft.
    pub fn issue(&self, draft: &Draft) -> Set {
        let Expected { guest, nonce, now, .. } = &draft.expected;
        let form = draft.td.quote.form;
        let minted = mint_tdx(&self.machine, guest, form, *nonce, *now, |envelope| {
            let TdxDraft { runtime, config, td, report_data, mrconfigid, .. } = envelope;
            (*runtime, *config) = (draft.runtime.clone(), draft.config.clone());
            *td = draft.td.clone();
            (*report_data, *mrconfigid) = (draft.report_data, draft.mrconfigid);
        });
        let collateral = Collateral { tdx: vec![minted.issued.collateral.to_tdx()], ..Collateral::none() };
        Set { evidence: minted.evidence, collateral, expected: draft.expected.clone() }
    }
}

impl Base {
    pub const ALL: [Self; 3] = [Self::V4, Self::V5Td10, Self::V5Td15];

    /// The evidence that breaks no rule.
    pub fn draft(self, lab: &Lab) -> Draft {
        let form = match self {
            Self::V4 => Form::V4,
            Self::V5Td10 => Form::V5Td10,
            Self::V5Td15 => Form::V5Td15,
        };
        let mut config = mint::sample_config(Role::Referee, CHARTER, IMAGE);
        config.backend = Backend::Tdx;
        let guest = Guest::sample(config, MEASUREMENT, 7);
        let mut td = lab.machine.draft(form, lab.now);
        td.quote.report.mrtd = MEASUREMENT.0;
        Draft {
            runtime: guest.runtime(NONCE),
            config: guest.config.to_bytes(),
            report_data: None,
            mrconfigid: None,
            expected: expected(lab, guest, &td),
            td,
        }
    }
}

/// A charter with every floor at the machine's own values, or just below.
fn expected(lab: &Lab, guest: Guest, td: &intel::Draft) -> Expected {
    let Lab { machine, now } = lab;
    let anchors = machine.anchors();
    let [_, rtmr1, rtmr2, _] = td.log.replay();
    let reference = TdxReference {
        events: EventLog::genuine().digests().into_iter().map(Hex).collect(),
        rtmr1: Some(Hex(rtmr1)),
        rtmr2: Some(Hex(rtmr2)),
        mrowner: Hex([0; 48]),
        mrownerconfig: Hex([0; 48]),
    };
    let image = ReferenceImage {
        name: "sample".to_owned(),
        backend: Backend::Tdx,
        image: IMAGE,
        measurement: MEASUREMENT,
        tdx: Some(reference),
    };
    let floor = TdxFloor {
        tcb_evaluation: EVALUATION,
        modules: vec![ModuleFloor {
            major: 1,
            // Above what the collateral calls up to date, so that the floor is seen by itself.
            svn: MODULE_SVN + 1,
            mrseam: vec![Hex(td.quote.report.mrseam)],
        }],
        platform_flags: Vec::new(),
        refused_advisories: vec![HARDENING_ADVISORY.to_owned()],
        xfam: XFAM,
    };
    Expected {
        guest,
        backends: vec![Backend::Tdx],
        gpu: GpuFloor::none(),
        fleet: Vec::new(),
        earlier: None,
        nonce: NONCE,
        issued_at: now - CHALLENGE_AGE_S,
        now: *now,
        tee: TeeFloor { snp: Vec::new(), tdx: Some(floor) },
        platforms: vec![Platform {
            kind: PlatformKind::Ppid,
            id: machine.ppid().into(),
            custody: "rack 2".to_owned(),
            enrolled_at: 0,
            revoked_at: None,
        }],
        mitigations: 0,
        reference: ReferenceValues { images: vec![image], foreign_anchors: Some(anchors.digest()) },
        anchors,
    }
}

impl TdxVariant {
    /// The set as the verifier gets it.
    pub fn set(&self, lab: &Lab) -> Set {
        let mut draft = self.base.draft(lab);
        self.before_signing(&mut draft);
        let mut set = lab.issue(&draft);
        self.after_signing(&mut set);
        set
    }
}

/// Every attack, by the part of the evidence that it is made to.
pub fn variants() -> impl Iterator<Item = &'static TdxVariant> {
    let tables = [quote::VARIANTS, collateral::VARIANTS, platform::VARIANTS, guest::VARIANTS, log::VARIANTS];
    tables.into_iter().flatten()
}
