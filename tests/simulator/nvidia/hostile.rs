//! Named attacks on sets that would otherwise pass, each with the one check and code that must refuse it.
//!
//! Whatever the adversary holds a key for is signed again by that key, so that the named check is the one that is
//! tested and not a signature in front of it. A caller first shows that the base passes ([`Base::draft`]), then
//! that [`Variant::set`] is refused with exactly [`Variant::check`] and [`Variant::code`], or also with what
//! follows from the same cause ([`Variant::also`]); several devices may each report it. The sets have foreign
//! roots: at a [`Variant::level`] above `lab`, `POL-02 AnchorsNotVendor` stands beside it.

use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{CheckId, Code};

use super::draft::{DeviceDraft, DeviceEvidence, Draft, EvidenceSet};
use super::sets::Lab;

mod accepted;
mod devices;
mod fabric;
mod manifests;
mod reports;
mod revocation;

pub use accepted::{ACCEPTED, Accepted};

/// One attack.
#[derive(Clone, Copy)]
pub struct Variant {
    /// As in the table of attacks, where it is named there.
    pub name: &'static str,
    /// Row of THREATS, section 5.
    pub attack: &'static str,
    pub check: CheckId,
    pub code: Code,
    /// What the same cause shows elsewhere: few attacks break one rule alone.
    pub also: &'static [(CheckId, Code)],
    /// The same, where `lab` only warns.
    pub also_above_lab: &'static [(CheckId, Code)],
    /// Lowest level that refuses it.
    pub level: Level,
    pub base: Base,
    /// What the adversary does, and with which keys.
    pub how: &'static str,
    step: Step,
}

/// Which set an attack starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// One H100.
    Spt,
    /// Eight B200.
    Mpt,
    /// Eight H100 and four LS10.
    Ppcie,
}

/// When the adversary acts.
#[derive(Clone, Copy)]
enum Step {
    /// Before signatures are made.
    Signed(fn(&mut Draft)),
    /// On the finished set, without keys.
    Sent(fn(&mut EvidenceSet)),
}

impl Base {
    /// The set that breaks no rule.
    pub fn draft(self, lab: &Lab) -> Draft {
        match self {
            Self::Spt => lab.one_h100(),
            Self::Mpt => lab.eight_b200(),
            Self::Ppcie => lab.protected_pcie(),
        }
    }
}

impl Variant {
    /// The set as the verifier gets it.
    pub fn set(&self, lab: &Lab) -> EvidenceSet {
        let mut draft = self.base.draft(lab);
        self.before_signing(&mut draft);
        let mut set = draft.issue();
        self.after_signing(&mut set);
        set
    }

    /// What the adversary does to a draft.
    pub fn before_signing(&self, draft: &mut Draft) {
        if let Step::Signed(edit) = self.step {
            edit(draft);
        }
    }

    /// What the adversary does to the finished set.
    pub fn after_signing(&self, set: &mut EvidenceSet) {
        if let Step::Sent(edit) = self.step {
            edit(set);
        }
    }

    /// At every level, from one H100; the fields that differ are set over it.
    const fn signed(name: &'static str, check: CheckId, code: Code, edit: fn(&mut Draft)) -> Self {
        let (level, base, step) = (Level::Lab, Base::Spt, Step::Signed(edit));
        Self { name, attack: "", check, code, also: &[], also_above_lab: &[], level, base, how: "", step }
    }

    const fn sent(name: &'static str, check: CheckId, code: Code, edit: fn(&mut EvidenceSet)) -> Self {
        let (level, base, step) = (Level::Lab, Base::Spt, Step::Sent(edit));
        Self { name, attack: "", check, code, also: &[], also_above_lab: &[], level, base, how: "", step }
    }

    const fn by(mut self, attack: &'static str, how: &'static str) -> Self {
        self.attack = attack;
        self.how = how;
        self
    }

    const fn with(mut self, also: &'static [(CheckId, Code)]) -> Self {
        self.also = also;
        self
    }

    const fn with_above_lab(mut self, also: &'static [(CheckId, Code)]) -> Self {
        self.also_above_lab = also;
        self
    }

    const fn on(mut self, base: Base) -> Self {
        self.base = base;
        self
    }

    /// `lab` only warns of it.
    const fn above_lab(mut self) -> Self {
        self.level = Level::Standard;
        self
    }
}

/// Every attack, by the part of the evidence that it is made to.
pub fn variants() -> impl Iterator<Item = &'static Variant> {
    let tables =
        [devices::VARIANTS, reports::VARIANTS, manifests::VARIANTS, revocation::VARIANTS, fabric::VARIANTS];
    tables.into_iter().flatten()
}

/// The first device, which every base has.
fn first(draft: &mut Draft) -> &mut DeviceDraft {
    &mut draft.devices[0]
}

/// Changes the first device's bytes on their way.
fn first_sent(set: &mut EvidenceSet) -> &mut DeviceEvidence {
    &mut set.evidence[0]
}
