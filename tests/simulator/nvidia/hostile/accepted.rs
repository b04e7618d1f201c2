//! Sets that look odd and break no rule: a verifier that refuses them is too strict.

use super::reports::{NVDEC_INDEX, other_value};
use super::{Base, first};
use crate::nvidia::device::CHAIN_CERTIFICATES;
use crate::nvidia::draft::{Draft, EvidenceSet};
use crate::nvidia::ocsp::CertIdHash;
use crate::nvidia::opaque::{FEATURE, OpaqueField, VERSION};
use crate::nvidia::sets::Lab;

/// One set that must pass.
#[derive(Clone, Copy)]
pub struct Accepted {
    pub name: &'static str,
    pub base: Base,
    /// Why it passes.
    pub why: &'static str,
    edit: fn(&mut Draft),
}

impl Accepted {
    /// The set as the verifier gets it.
    pub fn set(&self, lab: &Lab) -> EvidenceSet {
        let mut draft = self.base.draft(lab);
        self.edit(&mut draft);
        draft.issue()
    }

    /// Makes a draft odd.
    pub fn edit(&self, draft: &mut Draft) {
        (self.edit)(draft);
    }
}

/// All of them; the bases themselves come first.
pub const ACCEPTED: &[Accepted] = &[
    Accepted { name: "one-h100", base: Base::Spt, why: "both manifests match", edit: |_| {} },
    Accepted { name: "eight-b200", base: Base::Mpt, why: "each device on its own", edit: |_| {} },
    Accepted {
        name: "protected-pcie",
        base: Base::Ppcie,
        why: "GPUs and switches name each other",
        edit: |_| {},
    },
    Accepted {
        name: "nvdec-off-index-35",
        base: Base::Spt,
        why: "NVDEC0 is off, so index 35 is left out",
        edit: |draft| other_value(draft, NVDEC_INDEX),
    },
    Accepted {
        name: "feature-flag-spt",
        base: Base::Spt,
        why: "later drivers say SPT with a feature flag of 0",
        edit: |draft| {
            let opaque = &mut first(draft).report.opaque;
            opaque.extend([OpaqueField::new(VERSION, [1, 0]), OpaqueField::new(FEATURE, [0, 0])]);
        },
    },
    Accepted {
        name: "rim-upper-case",
        base: Base::Spt,
        why: "the case of hex digits says nothing",
        edit: |draft| {
            for resource in draft.rims.iter_mut().flat_map(|rim| &mut rim.resources) {
                resource.hashes.iter_mut().for_each(|hash| hash.make_ascii_uppercase());
            }
        },
    },
    Accepted {
        name: "rim-spare",
        base: Base::Spt,
        why: "a set may hold manifests of other devices",
        edit: |draft| {
            let mut spare = draft.rims[0].clone();
            spare.version = "550.54.15".to_owned();
            spare.tag_id = "0".repeat(96);
            draft.rims.push(spare);
        },
    },
    Accepted {
        name: "above-floor",
        base: Base::Spt,
        why: "driver and VBIOS are newer than the floor",
        edit: |draft| {
            let floors = draft.expected.floor.devices.iter_mut();
            floors.for_each(|floor| {
                floor.driver = "550.54.15".to_owned();
                floor.vbios = "96.00.5E.00.01".to_owned();
            });
        },
    },
    Accepted {
        name: "ocsp-sha-1-id",
        base: Base::Spt,
        why: "a certificate id may be made with SHA-1 or SHA-256 as well (RFC 6960, RFC 5019)",
        edit: |draft| {
            let hashes = [CertIdHash::Sha1, CertIdHash::Sha256].into_iter().cycle();
            draft.answers.iter_mut().zip(hashes).for_each(|(answer, hash)| answer.hash = hash);
        },
    },
    Accepted {
        name: "last-second",
        base: Base::Spt,
        why: "both ends of a validity belong to it",
        edit: |draft| {
            let now = draft.expected.now;
            let chain = &mut first(draft).chain;
            // The root is pinned as it is.
            let below_root = chain.iter_mut().take(CHAIN_CERTIFICATES - 1);
            below_root.for_each(|certificate| certificate.validity.not_after = now);
            draft.answers.iter_mut().for_each(|answer| answer.next_update = Some(now));
        },
    },
];
