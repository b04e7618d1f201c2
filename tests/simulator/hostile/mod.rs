//! Named attacks on evidence that would otherwise pass, each with the one check and code that must refuse it.
//!
//! Whatever the adversary holds a key for is signed again by that key, so that the named check is the one that is
//! tested and not a signature in front of it. A caller first shows that the base passes ([`snp::Base`],
//! [`tdx::Base`]), then that [`Variant::set`] is refused with exactly [`Variant::check`] and [`Variant::code`] and with
//! what follows from the same cause ([`Variant::also`]). The sets have foreign roots: above `lab`,
//! `POL-02 AnchorsNotVendor` stands beside it.
//!
//! [`snp`] and [`tdx`] attack a CPU's evidence, [`composite`] what binds a CPU and its devices to one challenge;
//! [`crate::nvidia::hostile`] is the same for devices.

use std::collections::BTreeSet;

use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::policy::{GpuFloor, Level, Platform, PlatformId, TeeFloor};
use tiltyard_attestation::reference::ReferenceValues;
use tiltyard_attestation::{
    AppraisalPolicy, AttestationResult, Backend, ChainError, CheckId, Code, Collateral, EarlierDevices,
    ForeignAnchors, Hex, PolicyError, Refusal, TrustAnchors, Verifier,
};

use crate::mint::Guest;

pub mod composite;
pub mod snp;
pub mod tdx;

/// One attack on evidence that is drafted as a `D` from a base `B`.
pub struct Variant<B: 'static, D: 'static> {
    /// As in the table of attacks, where it is named there.
    pub name: &'static str,
    /// Row of THREATS, section 5.
    pub attack: &'static str,
    pub check: CheckId,
    pub code: Code,
    /// Lowest level at which this check refuses it.
    pub level: Level,
    /// What the same cause shows elsewhere, from which level on.
    pub also: &'static [(Level, CheckId, Code)],
    pub base: B,
    /// What the adversary does, and with which keys.
    pub how: &'static str,
    step: Step<D>,
}

/// When the adversary acts.
enum Step<D: 'static> {
    /// Before signatures are made.
    Signed(fn(&mut D)),
    /// On the finished set, without keys.
    Sent(fn(&mut Set)),
}

/// Everything that one appraisal takes.
#[derive(Debug, Clone)]
pub struct Set {
    pub evidence: Evidence,
    pub collateral: Collateral,
    pub expected: Expected,
}

/// What the verifier knows by itself.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Who was challenged.
    pub guest: Guest,
    pub nonce: Hex<32>,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds.
    pub now: u64,
    /// What the charter lists.
    pub backends: Vec<Backend>,
    pub tee: TeeFloor,
    pub gpu: GpuFloor,
    pub platforms: Vec<Platform>,
    /// UEIDs that other guests hold.
    pub fleet: Vec<PlatformId>,
    /// The appraisal of devices that a renewal rests on.
    pub earlier: Option<EarlierDevices>,
    /// Bits of the SNP mitigation vectors.
    pub mitigations: u64,
    pub anchors: ForeignAnchors,
    pub reference: ReferenceValues,
}

/// Why a set can't be appraised at a level.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Anchors(#[from] ChainError),
}

impl Expected {
    /// The production verifier under a charter of `level`.
    pub fn verifier(&self, level: Level) -> Result<Verifier, SetError> {
        let Self { backends, gpu, platforms, mitigations, anchors, reference, .. } = self;
        // A charter can't name a product that its level refuses.
        let mut tee = self.tee.clone();
        tee.snp.retain(|row| row.product.satisfies(level));
        let policy = AppraisalPolicy::from_floors(level, backends, &tee, gpu, platforms)?
            .require_mitigations(*mitigations);
        Ok(Verifier::new(TrustAnchors::foreign(anchors.clone())?, policy, reference.clone()))
    }
}

impl Set {
    /// The production verifier's answer under a charter of `level`.
    pub fn appraise(&self, level: Level) -> Result<Result<AttestationResult, Refusal>, SetError> {
        Ok(self.appraise_by(&self.expected.verifier(level)?))
    }

    /// The answer of a verifier that [`Expected::verifier`] made, for this set or for another of the same charter.
    pub fn appraise_by(&self, verifier: &Verifier) -> Result<AttestationResult, Refusal> {
        let Expected { guest, nonce, issued_at, now, fleet, earlier, .. } = &self.expected;
        let challenge = guest.challenge(*nonce, *issued_at).with_fleet(fleet.clone());
        let challenge = match earlier {
            Some(earlier) => challenge.with_devices(*earlier),
            None => challenge,
        };
        verifier.appraise(challenge, &self.evidence, &self.collateral, *now)
    }

    /// Checks that refuse the set under a charter of `level`, with their codes.
    pub fn findings(&self, level: Level) -> Result<BTreeSet<(CheckId, Code)>, SetError> {
        Ok(match self.appraise(level)? {
            Ok(_) => BTreeSet::new(),
            Err(refusal) => refusal.findings.iter().map(|row| (row.check, row.code)).collect(),
        })
    }
}

impl<B: 'static, D: 'static> Variant<B, D> {
    /// What the adversary does to a draft.
    pub fn before_signing(&self, draft: &mut D) {
        if let Step::Signed(edit) = self.step {
            edit(draft);
        }
    }

    /// What the adversary does to the finished set.
    pub fn after_signing(&self, set: &mut Set) {
        if let Step::Sent(edit) = self.step {
            edit(set);
        }
    }

    /// Checks that refuse the set at `level`, but for that of the anchors.
    pub fn findings(&self, level: Level) -> BTreeSet<(CheckId, Code)> {
        let all = self.also.iter().copied().chain([(self.level, self.check, self.code)]);
        all.filter(|(from, _, _)| level >= *from).map(|(_, check, code)| (check, code)).collect()
    }
}

/// Rows of a table read as a sentence: what, then by whom and how.
macro_rules! variant {
    ($base:expr; $name:literal $attack:literal $level:ident $check:ident $code:ident
        $([$($from:ident $also_check:ident $also_code:ident),+])? $step:ident($edit:expr); $how:literal) => {
        $crate::hostile::Variant {
            name: $name,
            attack: $attack,
            check: tiltyard_attestation::CheckId::$check,
            code: tiltyard_attestation::Code::$code,
            also: &[$($((
                tiltyard_attestation::policy::Level::$from,
                tiltyard_attestation::CheckId::$also_check,
                tiltyard_attestation::Code::$also_code,
            )),+)?],
            level: tiltyard_attestation::policy::Level::$level,
            base: $base,
            how: $how,
            step: $crate::hostile::Step::$step($edit),
        }
    };
}
pub(crate) use variant;

const NONCE: Hex<32> = Hex([0x4e; 32]);
const CHARTER: Hex<32> = Hex([0xc4; 32]);
const IMAGE: Hex<32> = Hex([0x1a; 32]);
const MEASUREMENT: Hex<48> = Hex([0x3e; 48]);
const DAY_S: u64 = 86_400;
/// Age of the challenge when its answer comes.
const CHALLENGE_AGE_S: u64 = 5;
/// Age of revocation lists and other collateral in a base.
const COLLATERAL_AGE_S: u64 = 3_600;
