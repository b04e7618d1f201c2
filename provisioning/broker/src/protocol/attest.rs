//! Second exchange: evidence in, lease and sealed keys out.
//!
//! Order of checks (PROVISIONING 6): nonce, then the appraisal (binding, channel, launch configuration,
//! evidence, platform list, revocation), charter window, role and key ids, stage, versions, counts. One
//! evaluation; the first failure answers.

use tiltyard_attestation::binding::{HpkePublicKey, KEM_XWING, KeyDigests, Runtime};
use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{AttestationResult, Challenge, Collateral, Hex, Role};
use tiltyard_provisioning::charter::KemFloor;
use tiltyard_provisioning::ledger::PROOF_MAX_HASHES;
use tiltyard_provisioning::release::{AttestAnswer, AttestRequest};
use tiltyard_provisioning::statement::Signed;

use super::grant::Shown;
use super::{Channel, Code, Core, Denial};
use crate::store::devices::{self, HeldDevice};
use crate::store::nonces::{self, NotTaken, Taken};
use crate::store::{self};

/// Most key ids in one request: a test split and the artefacts of one task.
pub(super) const KEY_IDS_MAX: usize = 256;

/// What an appraisal showed: the part of it that the rules of release need.
///
/// Made from an [`AttestationResult`] only (and by tests of those rules).
#[derive(Clone)]
pub(super) struct Attested {
    pub role: Role,
    pub lease: Hex<16>,
    pub order: Option<Hex<32>>,
    pub keys: KeyDigests,
    pub hpke: HpkePublicKey,
    pub signing: Hex<32>,
    pub boot: Hex<32>,
    pub nonce: Hex<32>,
    pub evidence: Hex<32>,
    pub anchors: Anchors,
    /// In full, or none: a renewal may rest on an earlier appraisal of them.
    pub devices: Vec<HeldDevice>,
    /// Evaluation number of the collateral that a TDX quote was appraised with.
    pub tcb_evaluation: Option<u32>,
    /// Unix seconds.
    pub at: u64,
}

impl From<&AttestationResult> for Attested {
    fn from(result: &AttestationResult) -> Self {
        let (keys, config, runtime) = (result.keys(), result.config(), result.runtime());
        Self {
            role: config.role,
            lease: config.lease,
            order: config.order,
            keys: keys.digests(),
            hpke: keys.hpke().clone(),
            signing: *keys.signing(),
            boot: runtime.profile.boot,
            nonce: runtime.nonce,
            evidence: result.evidence(),
            anchors: result.anchors(),
            devices: result.devices().iter().map(HeldDevice::new).collect(),
            tcb_evaluation: result.cpu().tdx().and_then(|facts| facts.tcb_evaluation),
            at: result.appraised_at(),
        }
    }
}

impl Core {
    /// The nonce that a request claims to answer: what the channel's exporter is asked for.
    pub fn nonce_of(request: &AttestRequest) -> Result<Hex<32>, Denial> {
        serde_json::from_slice::<Runtime>(&request.evidence.runtime.0)
            .map(|runtime| runtime.nonce)
            .map_err(|error| Denial::new(Code::Syntax, format!("runtime: {error}")))
    }

    /// Second exchange. The answer exists only once its ledger entry is durable.
    pub fn attest(
        &self,
        request: &AttestRequest,
        channel: Channel,
        now: u64,
    ) -> Result<Signed<AttestAnswer>, Denial> {
        within_limits(request)?;
        let (taken, now) = self.take_nonce(&Self::nonce_of(request)?, now)?;
        let collateral = self.collateral();
        let result = self.appraise(taken, &request.evidence, &collateral, channel, now)?;
        // The envelope as appraised, for auditors; strings and integers only, which always serialise.
        let evidence = serde_jcs::to_vec(&request.evidence).unwrap_or_default();
        self.grant(
            &Attested::from(&result),
            request,
            Shown { evidence: &evidence, result: Some((&result, &collateral)) },
        )
    }

    /// Consumes the nonce before anything else is looked at, and for good: this commits by itself.
    fn take_nonce(&self, nonce: &Hex<32>, now: u64) -> Result<(Taken, u64), Denial> {
        let (outcome, now) = self.state().store.write::<_, Denial>(|connection| {
            let now = store::tick(connection, now)?;
            Ok((nonces::take(connection, nonce, now)?, now))
        })?;
        let denied = |code| Denial::new(code, format!("nonce {nonce}"));
        match outcome {
            Ok(taken) => Ok((taken, now)),
            Err(NotTaken::Unknown) => Err(denied(Code::NonceMismatch)),
            Err(NotTaken::Used) => Err(denied(Code::NonceUsed)),
            Err(NotTaken::Expired) => Err(denied(Code::NonceExpired)),
        }
    }

    fn appraise(
        &self,
        taken: Taken,
        evidence: &Evidence,
        collateral: &Collateral,
        channel: Channel,
        now: u64,
    ) -> Result<AttestationResult, Denial> {
        let Taken { nonce, role, charter, order, lease, issued_at } = taken;
        let challenge = Challenge::new(nonce, role, charter, order, lease, issued_at);
        let challenge = match channel {
            Channel::Exporter(exporter) => challenge.with_channel(exporter),
            Channel::InProcess => challenge,
        };
        let challenge = self.with_memory(challenge, &lease, now)?;
        let result = self.verifier.appraise(challenge, evidence, collateral, now)?;
        // Charter, `kem_floor`: a guest can't be talked down to X25519 alone.
        if self.charter.kem_floor == KemFloor::Hybrid && result.keys().hpke().kem != KEM_XWING {
            let got = result.keys().hpke().kem;
            let detail = format!("expected KEM {KEM_XWING:#06x} or better, found {got:#06x}");
            return Err(Denial { reason: Some("KemBelowFloor"), ..Denial::new(Code::PolicyDeny, detail) });
        }
        Ok(result)
    }

    /// What this broker remembers: this lease's devices from before (BND-10), those of other guests (GPU-15), and the
    /// newest collateral of Intel's that it accepted (TDX-10).
    fn with_memory(&self, challenge: Challenge, lease: &Hex<16>, now: u64) -> Result<Challenge, Denial> {
        let state = self.state();
        let connection = state.store.read();
        let challenge = challenge
            .with_fleet(devices::of_others(connection, lease, now)?)
            .with_tcb_evaluation(store::tcb_evaluation(connection)?);
        Ok(match devices::earlier(connection, lease)? {
            Some(earlier) => challenge.with_devices(earlier),
            None => challenge,
        })
    }
}

fn within_limits(request: &AttestRequest) -> Result<(), Denial> {
    for (what, expected, got) in [
        ("key ids", KEY_IDS_MAX, request.key_ids.len()),
        ("hashes of a consistency proof", PROOF_MAX_HASHES, request.consistency.len()),
    ] {
        if got > expected {
            let detail = format!("expected at most {expected} {what}, found {got}");
            return Err(Denial::new(Code::Syntax, detail));
        }
    }
    let mut seen: Vec<_> = request.key_ids.iter().collect();
    seen.sort_unstable();
    if seen.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Denial::new(Code::Syntax, "a key id stands twice in the request"));
    }
    Ok(())
}
