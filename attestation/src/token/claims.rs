//! From a result to the claims of its token.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::ar4si::{Hardware, Stated, Subject};
use super::nras::{DeviceFindings, reported};
use super::{
    AllBound, Appraisal, Confirmation, Digests, EAR_PROFILE, Ear, Jwk, Lease, Tier, TokenError, VerifierId,
    base64url,
};
use crate::binding::Profile;
use crate::checks::{CheckId, CheckOutcome, Part, Verdict};
use crate::json::INTEGER_MAX;
use crate::policy::Level;
use crate::result::{Anchors, CpuFacts, DeviceFacts, SigningKey};
use crate::trace::Submod;
use crate::{AppraisalPolicy, AttestationResult, Backend, Collateral, Hex};

/// Longest name of an issuer, an audience, a developer or a build, in bytes.
pub const TEXT_MAX_BYTES: usize = 256;
/// Longest log proof, in bytes.
pub const LOG_PROOF_MAX_BYTES: usize = 16 * 1024;

/// Claims of one result: only an appraisal that passed makes them.
#[derive(Debug)]
pub struct Claims(Ear<Submodule>);

/// What the issuer adds to a result.
#[derive(Debug, Clone, Copy)]
pub struct Issue<'a> {
    pub issuer: &'a str,
    /// The one reader that it is for.
    pub audience: &'a str,
    /// Fresh random bytes.
    pub id: Hex<16>,
    /// Unix seconds.
    pub issued_at: u64,
    /// End of the lease, Unix seconds.
    pub expires_at: u64,
    /// The policy that the verifier appraised under.
    pub policy: &'a AppraisalPolicy,
    /// The collateral that it was given.
    pub collateral: &'a Collateral,
    pub verifier: Build<'a>,
    pub image: Image,
    pub data: Data,
    /// Proof that the evidence is in the issuer's log, where it keeps one (C2SP tlog-proof, text).
    pub log_proof: Option<&'a str>,
}

/// The program that appraised.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    pub developer: &'a str,
    /// Name and version.
    pub build: &'a str,
    /// SHA-256 of the program file.
    pub sha256: Hex<32>,
}

/// What the image's signed manifest says that its measurement covers; evidence by itself does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// Nothing beyond the program.
    Program,
    /// The root hash of its file system too.
    RootHash,
    /// And that scratch space is encrypted under a key of this boot.
    RootHashAndScratch,
}

/// Whether the data that the guest may open stands in the charter by the digests of its manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// It opens none, or the charter does not pin it.
    NotPinned,
    Pinned,
}

/// One submodule as it is written.
#[derive(Debug, Serialize)]
struct Submodule {
    #[serde(flatten)]
    appraisal: Appraisal,
    /// What the evidence says, as text.
    ear_attester_claims: BTreeMap<&'static str, String>,
    ear_verifier_claims: Findings,
}

/// What the verifier adds.
#[derive(Debug, Serialize)]
struct Findings {
    #[serde(flatten)]
    device: Option<DeviceFindings>,
    /// Checks that the level accepted with a warning.
    tiltyard_warnings: BTreeSet<CheckId>,
}

impl Claims {
    /// The claims of `result`. An `issue` that no reader would accept is [`TokenError::NotIssued`].
    pub fn from_result(result: &AttestationResult, issue: &Issue<'_>) -> Result<Self, TokenError> {
        issuable(result, issue)?;
        let digests = Digests {
            policy: issue.policy.digest(),
            collateral: issue.collateral.digest(),
            evidence: result.evidence(),
            verifier: issue.verifier.sha256,
        };
        let policy_id = format!("ni:///sha-256;{}", base64url::encode(digests.policy.bytes()));
        let submods: BTreeMap<_, _> = subjects(result, issue)
            .into_iter()
            .map(|(subject, device)| {
                (subject.submod.to_string(), submodule(result, &subject, device, &policy_id))
            })
            .collect();
        let worst = submods.values().map(|submod| submod.appraisal.ear_status).max();
        let Profile { charter, role, order, lease, .. } = result.runtime().profile;
        Ok(Self(Ear {
            eat_profile: EAR_PROFILE.to_owned(),
            iat: issue.issued_at,
            nbf: issue.issued_at,
            exp: issue.expires_at,
            jti: issue.id,
            iss: issue.issuer.to_owned(),
            aud: issue.audience.to_owned(),
            eat_nonce: result.runtime().nonce,
            ear_status: worst.unwrap_or(Tier::None),
            ear_verifier_id: VerifierId {
                developer: issue.verifier.developer.to_owned(),
                build: issue.verifier.build.to_owned(),
            },
            ear_all_submods_bound: all_bound(result.trace()),
            cnf: Confirmation { jwk: Jwk(*result.keys().signing()) },
            submods,
            tiltyard_anchors: result.anchors(),
            tiltyard_level: result.level(),
            tiltyard_keys: result.keys().digests(),
            tiltyard_lease: Lease { role, charter, order, lease },
            tiltyard_digests: digests,
            tiltyard_log_proof: issue.log_proof.map(str::to_owned),
        }))
    }

    /// The payload: canonical JSON (RFC 8785).
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, integers up to 2^53 - 1, booleans and maps of them, which always serialise.
        serde_jcs::to_vec(&self.0).unwrap_or_default()
    }
}

/// Refuses what [`super::verify`] would refuse, and an issue that is not about this result.
fn issuable(result: &AttestationResult, issue: &Issue<'_>) -> Result<(), TokenError> {
    let Build { developer, build, .. } = issue.verifier;
    for text in [issue.issuer, issue.audience, developer, build] {
        if !(1..=TEXT_MAX_BYTES).contains(&text.len()) {
            return Err(TokenError::not_issued(
                format_args!("names of 1 to {TEXT_MAX_BYTES} bytes"),
                text.len(),
            ));
        }
    }
    let proof_len = issue.log_proof.map_or(0, str::len);
    if proof_len > LOG_PROOF_MAX_BYTES {
        let limit = format_args!("a log proof of at most {LOG_PROOF_MAX_BYTES} bytes");
        return Err(TokenError::not_issued(limit, proof_len));
    }
    if issue.issued_at < result.appraised_at() {
        let expected = format_args!("an issue at or after {}", result.appraised_at());
        return Err(TokenError::not_issued(expected, issue.issued_at));
    }
    if issue.expires_at <= issue.issued_at || issue.expires_at > INTEGER_MAX {
        let expected = format_args!("an end after {} and within 2^53 - 1", issue.issued_at);
        return Err(TokenError::not_issued(expected, issue.expires_at));
    }
    if issue.policy.level() != result.level() {
        let expected = format_args!("the policy of the appraisal, level {:?}", result.level());
        return Err(TokenError::not_issued(expected, format_args!("level {:?}", issue.policy.level())));
    }
    Ok(())
}

/// The CPU, then each device that was appraised.
fn subjects<'a>(
    result: &'a AttestationResult,
    issue: &Issue<'_>,
) -> Vec<(Subject<'a>, Option<&'a DeviceFacts>)> {
    let trace = result.trace();
    // A guest outside a confidential machine has neither a measured root file system nor sealed scratch space.
    let isolated = matches!(result.config().backend, Backend::Snp | Backend::Tdx);
    let stated = |holds: bool| if holds { Stated::Yes } else { Stated::No };
    let cpu = Subject {
        trace,
        part: match result.cpu() {
            CpuFacts::Snp(_) => Part::Snp,
            CpuFacts::Tdx(_) => Part::Tdx,
        },
        submod: Submod::Cpu,
        hardware: standing(result.anchors(), result.cpu()),
        file_system: stated(isolated && issue.image != Image::Program),
        storage: stated(isolated && issue.image == Image::RootHashAndScratch),
        data: stated(issue.data == Data::Pinned),
    };
    let devices = result.devices().iter().map(|facts| {
        let subject = Subject {
            trace,
            part: facts.kind.part(),
            submod: facts.kind.submod(facts.index),
            hardware: match result.anchors() {
                Anchors::Vendor => Hardware::Sound,
                Anchors::NotVendor(_) => Hardware::Foreign,
            },
            file_system: Stated::No,
            storage: Stated::No,
            data: Stated::No,
        };
        (subject, Some(facts))
    });
    std::iter::once((cpu, None)).chain(devices).collect()
}

/// What only `lab` accepts has a weakness that is known (ATTESTATION 2).
fn standing(anchors: Anchors, cpu: &CpuFacts) -> Hardware {
    let accepted_above_lab = match cpu {
        CpuFacts::Snp(facts) => {
            facts.product.satisfies(Level::Standard) && facts.signing_key == SigningKey::Vcek
        }
        CpuFacts::Tdx(facts) => facts.tcb_status.is_some_and(|status| Level::Standard.accepts(status)),
    };
    match anchors {
        Anchors::NotVendor(_) => Hardware::Foreign,
        Anchors::Vendor if accepted_above_lab => Hardware::Sound,
        Anchors::Vendor => Hardware::Weak,
    }
}

fn submodule(
    result: &AttestationResult,
    subject: &Subject<'_>,
    device: Option<&DeviceFacts>,
    policy_id: &str,
) -> Submodule {
    let vector = subject.vector();
    let warnings: BTreeSet<_> = subject.warnings().map(|row| row.check).collect();
    // A warning that feeds no claim of the vector still speaks against the part.
    let least = if warnings.is_empty() { Tier::None } else { Tier::Warning };
    Submodule {
        appraisal: Appraisal {
            ear_status: vector.tier().max(least),
            ear_trustworthiness_vector: vector,
            ear_appraisal_policy_ids: vec![policy_id.to_owned()],
        },
        ear_attester_claims: device.map_or_else(|| cpu_claims(result), reported),
        ear_verifier_claims: Findings {
            device: device.map(|facts| DeviceFindings::of(facts, result.trace())),
            tiltyard_warnings: warnings,
        },
    }
}

/// What the quote says of the guest and of its machine; numbers of 64 bits as hex, which every reader keeps exactly.
fn cpu_claims(result: &AttestationResult) -> BTreeMap<&'static str, String> {
    let cpu = result.cpu();
    let mut claims = BTreeMap::from([
        ("tiltyard_image", cpu.image_name().to_owned()),
        ("tiltyard_measurement", cpu.measurement().to_string()),
        ("tiltyard_platform_id", cpu.platform_id().to_string()),
        ("tiltyard_hardware", cpu.hardware()),
    ]);
    match cpu {
        CpuFacts::Snp(facts) => {
            claims.insert("tiltyard_tee", "amd-sev-snp".to_owned());
            claims.insert("tiltyard_snp_policy", format!("{:#x}", facts.guest_policy));
            claims.insert("tiltyard_snp_platform_info", format!("{:#x}", facts.platform_info));
        }
        CpuFacts::Tdx(facts) => {
            claims.insert("tiltyard_tee", "intel-tdx".to_owned());
            claims.insert("tiltyard_tdx_attributes", format!("{:#x}", facts.td_attributes));
            claims.insert("tiltyard_tdx_xfam", format!("{:#x}", facts.xfam));
        }
    }
    claims
}

/// Whether the quote's runtime document, and with it every device's evidence, answers the one nonce.
fn all_bound(trace: &[CheckOutcome]) -> AllBound {
    let holds = |ids: [&str; 2], verdicts: &[Verdict]| {
        ids.iter().all(|id| trace.iter().any(|row| row.check == *id && verdicts.contains(&row.verdict)))
    };
    let quote = holds(["BND-01", "BND-03"], &[Verdict::Pass]);
    let devices = holds(["BND-05", "BND-06"], &[Verdict::Pass, Verdict::NotApplicable]);
    if quote && devices { AllBound::True } else { AllBound::False }
}

#[cfg(test)]
mod tests;
