//! The envelope: its limits, and what binds it to the challenge (EVD, BND, CHN).

use std::collections::BTreeSet;

use ring::digest::{SHA384, digest};
use serde::Serialize;

use super::composite::Statement;
use crate::binding::{
    BOOT_MAX_BYTES, BootDocument, DeviceDigest, KEM_X25519, KEM_XWING, KeyDigests, PresentedKeys, Runtime,
};
use crate::chain::{CERTIFICATES_MAX, CHAIN_MAX_BYTES};
use crate::challenge::{CHALLENGE_LIFETIME_S, Challenge, DEVICES_LIFETIME_S};
use crate::checks::{CheckId, Code};
use crate::collateral::Collateral;
use crate::config::{Backend, CONFIG_MAX_BYTES, LaunchConfig};
use crate::eventlog::EVENT_LOG_MAX_BYTES;
use crate::evidence::{CpuEvidence, DeviceEvidence, DeviceKind, Evidence};
use crate::nvidia::{PEM_MAX_BYTES, REPORT_MAX_BYTES, asked_nonce};
use crate::tdx::QUOTE_MAX_BYTES;
use crate::trace::{Judged, Stopped, Trace};
use crate::{Base64Bytes, Hex, Role};

/// Largest runtime document, in bytes.
pub const RUNTIME_MAX_BYTES: usize = 16 * 1024;
/// Most GPUs in one envelope.
pub const GPUS_MAX: usize = 16;
/// Most switches in one envelope.
pub const SWITCHES_MAX: usize = 8;
/// Most devices in one envelope.
pub(super) const DEVICES_MAX: usize = GPUS_MAX + SWITCHES_MAX;
/// Largest SubjectPublicKeyInfo, in bytes of DER.
const SPKI_MAX_BYTES: usize = 1024;
const X25519_PUBLIC_LEN: usize = 32;
const XWING_PUBLIC_LEN: usize = 1216;
/// Size of the plain KBS form within REPORT_DATA; the rest is zero.
const KBS_DIGEST_LEN: usize = 48;

/// Documents that the evidence was found to bind.
pub(super) struct Bound {
    pub(super) runtime: Runtime,
    pub(super) config: LaunchConfig,
    /// What this boot read of its devices; a guest without devices need not give it.
    pub(super) boot: Option<BootDocument>,
}

/// Sizes before anything is read (EVD-01).
pub(super) fn within_limits(
    evidence: &Evidence,
    collateral: &Collateral,
    trace: &mut Trace,
) -> Result<(), Stopped> {
    let over = sizes(evidence, collateral).into_iter().find(|&(_, limit, got)| got > limit);
    trace.within_limits(match over {
        Some((what, limit, got)) => Judged::fail(Code::TooLarge, format_args!("{what} at most {limit}"), got),
        None => key_lengths(&evidence.keys),
    })
}

fn sizes(evidence: &Evidence, collateral: &Collateral) -> Vec<(&'static str, usize, usize)> {
    let total = |parts: &[Base64Bytes]| parts.iter().map(|part| part.0.len()).sum::<usize>();
    let switches = evidence.devices.iter().filter(|device| device.kind == DeviceKind::Switch).count();
    let largest = |part: fn(&DeviceEvidence) -> &Base64Bytes| {
        evidence.devices.iter().map(|device| part(device).0.len()).max().unwrap_or(0)
    };
    let mut sizes = vec![
        ("runtime bytes", RUNTIME_MAX_BYTES, evidence.runtime.0.len()),
        ("configuration bytes", CONFIG_MAX_BYTES, evidence.config.0.len()),
        ("TLS key bytes", SPKI_MAX_BYTES, evidence.keys.tls_spki.0.len()),
        ("boot document bytes", BOOT_MAX_BYTES, evidence.boot.as_ref().map_or(0, |boot| boot.0.len())),
        ("GPUs", GPUS_MAX, evidence.devices.len() - switches),
        ("switches", SWITCHES_MAX, switches),
        ("device report bytes", REPORT_MAX_BYTES, largest(|device| &device.report)),
        ("device certificate bytes", PEM_MAX_BYTES, largest(|device| &device.chain)),
    ];
    sizes.extend(collateral.sizes());
    match &evidence.cpu {
        CpuEvidence::Snp { certificates, .. } => {
            sizes.push(("certificates", CERTIFICATES_MAX, certificates.len()));
            sizes.push(("certificate bytes", CHAIN_MAX_BYTES, total(certificates)));
        }
        CpuEvidence::Tdx { quote, event_log } => {
            sizes.push(("quote bytes", QUOTE_MAX_BYTES, quote.0.len()));
            sizes.push(("event log bytes", EVENT_LOG_MAX_BYTES, event_log.0.len()));
        }
    }
    sizes
}

fn key_lengths(keys: &PresentedKeys) -> Judged {
    let got = format!("KEM {:#06x}, {} bytes", keys.hpke.kem, keys.hpke.public.0.len());
    let expected = match keys.hpke.kem {
        KEM_XWING => XWING_PUBLIC_LEN,
        KEM_X25519 => X25519_PUBLIC_LEN,
        _ => return Judged::fail(Code::KeyFormat, "X-Wing or X25519", got),
    };
    let text = format!("an HPKE key of {expected} bytes");
    Judged::require(keys.hpke.public.0.len() == expected, Code::KeyFormat, text, got)
}

/// Everything that ties the report to the challenge; the report's own signature is checked next.
pub(super) fn bind(
    challenge: &Challenge,
    evidence: &Evidence,
    statement: &Statement<'_>,
    now: u64,
    trace: &mut Trace,
) -> Result<Bound, Stopped> {
    let runtime = read_runtime(evidence, statement, trace)?;
    let same = challenge.nonce_is(&runtime.nonce);
    trace.gate_nonce(Judged::require(same, Code::NonceMismatch, challenge.nonce, runtime.nonce))?;
    let age_s = now.checked_sub(challenge.issued_at);
    trace.gate(
        CheckId::Bnd02,
        Judged::require(
            age_s.is_some_and(|age| age <= CHALLENGE_LIFETIME_S),
            Code::NonceExpired,
            format_args!("issued at most {CHALLENGE_LIFETIME_S} s before {now}"),
            format_args!("issued at {}", challenge.issued_at),
        ),
    )?;
    trace.gate(CheckId::Bnd07, same_identity(challenge, evidence, &runtime))?;
    trace.gate(CheckId::Chn01, same_channel(challenge, &runtime))?;
    trace.gate(CheckId::Chn02, same_peer(challenge, evidence))?;
    asked_alike(evidence.devices.iter().map(|device| device.report.0.as_slice()), trace)?;
    covered(same_devices(&evidence.devices, &runtime.additional_evidence), trace)?;
    let boot = read_boot(challenge, evidence, &runtime, now, trace)?;
    let config = read_config(challenge, evidence, statement, trace)?;
    trace.gate(CheckId::Evd02, same_kind(statement, config.backend))?;
    Ok(Bound { runtime, config, boot })
}

/// Simulated evidence of either kind stands in for backends that have none (HOST 2).
fn same_kind(statement: &Statement<'_>, backend: Backend) -> Judged {
    let holds = match backend {
        Backend::Snp => matches!(statement, Statement::Snp { .. }),
        Backend::Tdx => matches!(statement, Statement::Tdx { .. }),
        Backend::Process | Backend::Tcg | Backend::Kvm | Backend::Vtpm => true,
    };
    let expected = format_args!("evidence of backend {backend:?}");
    Judged::require(holds, Code::WrongTee, expected, statement.kind())
}

/// BND-05 over the reports of all devices.
pub(super) fn asked_alike<'r>(
    reports: impl Iterator<Item = &'r [u8]>,
    trace: &mut Trace,
) -> Result<(), Stopped> {
    trace.gate(CheckId::Bnd05, one_nonce(reports))
}

/// BND-06: what the CPU's statement says of the devices.
pub(super) fn covered(judged: Judged, trace: &mut Trace) -> Result<(), Stopped> {
    trace.gate(CheckId::Bnd06, judged)
}

/// The devices were all asked with one nonce (BND-05); that it is the right one is GPU-04.
fn one_nonce<'r>(reports: impl Iterator<Item = &'r [u8]>) -> Judged {
    let asked: BTreeSet<Option<Hex<32>>> = reports.map(asked_nonce).collect();
    if asked.is_empty() {
        return Judged::not_applicable("no device");
    }
    let got = format_args!("{} nonces", asked.len());
    Judged::require(asked.len() == 1, Code::CompositeBinding, "one nonce for all devices", got)
}

/// The boot document is the one that the runtime document names, and what is not there was appraised at most an hour
/// ago (BND-10).
fn read_boot(
    challenge: &Challenge,
    evidence: &Evidence,
    runtime: &Runtime,
    now: u64,
    trace: &mut Trace,
) -> Result<Option<BootDocument>, Stopped> {
    let named = runtime.profile.boot;
    let read = |bytes: &Base64Bytes| {
        serde_json::from_slice::<BootDocument>(&bytes.0)
            .ok()
            .filter(|document| document.v == 1 && document.to_bytes() == bytes.0)
    };
    let boot = evidence.boot.as_ref().map(|bytes| (Hex::sha256(&bytes.0), read(bytes)));
    const EXPECTED: &str =
        "device evidence with its boot document, or an appraisal of this boot's devices that holds";
    let fail = |got: &dyn std::fmt::Display| Judged::fail(Code::GpuEvidenceStale, EXPECTED, got);
    let judged = match (&boot, &challenge.devices, evidence.devices.is_empty()) {
        (Some((digest, _)), _, _) if *digest != named => {
            Judged::fail(Code::CompositeBinding, format_args!("boot document {named}"), digest)
        }
        (Some((_, None)), _, _) => {
            Judged::fail(Code::CompositeBinding, "a boot document in RFC 8785 form", "other bytes")
        }
        (None, _, false) => fail(&"device evidence without a boot document"),
        (_, Some(earlier), true) => {
            // An appraisal of a later time than now proves a clock that went back, not that devices were seen lately.
            let age_s = now.checked_sub(earlier.appraised_at);
            if earlier.boot != named {
                fail(&"another boot")
            } else {
                match age_s {
                    Some(age_s @ 0..=DEVICES_LIFETIME_S) => {
                        Judged::pass(EXPECTED, format_args!("an appraisal {age_s} s ago"))
                    }
                    Some(age_s) => fail(&format_args!("an appraisal {age_s} s ago")),
                    None => fail(&format_args!("an appraisal at {}, now {now}", earlier.appraised_at)),
                }
            }
        }
        (_, None, true) => Judged::not_applicable("no device"),
        (Some(_), _, false) => Judged::pass(EXPECTED, "device evidence with its boot document"),
    };
    trace.gate(CheckId::Bnd10, judged)?;
    Ok(boot.and_then(|(_, document)| document))
}

/// REPORT_DATA = SHA-512 of the received bytes, which must be their own RFC 8785 form (BND-03, BND-04).
fn read_runtime(
    evidence: &Evidence,
    statement: &Statement<'_>,
    trace: &mut Trace,
) -> Result<Runtime, Stopped> {
    let received = evidence.runtime.as_ref();
    let canonical =
        serde_json::from_slice::<Runtime>(received).ok().filter(|runtime| runtime.to_bytes() == received);
    let report_data = statement.report_data();
    // A challenge of the KBS adapter would ask for the plain form; no challenge here does.
    let plain = canonical.as_ref().is_some_and(|runtime| plain_kbs_form(runtime) == report_data);
    trace.gate(
        CheckId::Bnd04,
        Judged::require(
            !plain,
            Code::BindingMismatch,
            "SHA-512 of the whole runtime document",
            if plain { "the plain KBS form" } else { "not the plain KBS form" },
        ),
    )?;
    trace.gate(
        CheckId::Bnd03,
        match &canonical {
            Some(_) => Judged::equal(Code::BindingMismatch, Runtime::report_data(received), report_data),
            None => Judged::fail(
                Code::RuntimeNotCanonical,
                "a runtime document in RFC 8785 form",
                format_args!("{} other bytes", received.len()),
            ),
        },
    )?;
    canonical.ok_or(Stopped)
}

/// SHA-384 of the three standard members, zero-padded: REPORT_DATA of a plain Trustee KBS client.
fn plain_kbs_form(runtime: &Runtime) -> Hex<64> {
    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct Plain<'a> {
        nonce: &'a Hex<32>,
        tee_pubkey: &'a Hex<65>,
        additional_evidence: &'a [DeviceDigest],
    }
    let Runtime { nonce, tee_pubkey, additional_evidence, .. } = runtime;
    let plain = serde_jcs::to_vec(&Plain { nonce, tee_pubkey, additional_evidence }).unwrap_or_default();
    let mut out = [0; 64];
    out[..KBS_DIGEST_LEN].copy_from_slice(digest(&SHA384, &plain).as_ref());
    Hex(out)
}

fn same_identity(challenge: &Challenge, evidence: &Evidence, runtime: &Runtime) -> Judged {
    let profile = &runtime.profile;
    let presented = evidence.keys.digests();
    let KeyDigests { tls, hpke, signing } = profile.keys;
    Judged::equal(Code::KeyMismatch, presented.tls, tls)
        .and_then(|| Judged::equal(Code::KeyMismatch, presented.hpke, hpke))
        .and_then(|| Judged::equal(Code::KeyMismatch, presented.signing, signing))
        .and_then(|| same_lease(challenge, profile.role, profile.charter, profile.order, profile.lease))
}

/// Role, charter, order and lease of a document are those of the challenge.
fn same_lease(
    challenge: &Challenge,
    role: Role,
    charter: Hex<32>,
    order: Option<Hex<32>>,
    lease: Hex<16>,
) -> Judged {
    let name = |role: Role| format!("{role:?}").to_lowercase();
    let text = |order: Option<Hex<32>>| order.map_or_else(|| "none".to_owned(), |digest| digest.to_string());
    Judged::equal(Code::RoleMismatch, name(challenge.role), name(role))
        .and_then(|| Judged::equal(Code::CharterMismatch, challenge.charter, charter))
        .and_then(|| Judged::equal(Code::OrderMismatch, text(challenge.order), text(order)))
        .and_then(|| Judged::equal(Code::LeaseMismatch, challenge.lease, lease))
}

fn same_channel(challenge: &Challenge, runtime: &Runtime) -> Judged {
    match (challenge.channel, runtime.profile.channel) {
        (Some(expected), Some(got)) => Judged::equal(Code::ChannelBinding, expected, got),
        (Some(expected), None) => Judged::fail(Code::ChannelBinding, expected, "no channel"),
        (None, Some(_)) => Judged::not_shown("the challenge names no channel to compare with"),
        (None, None) => Judged::not_applicable("no channel"),
    }
}

/// The peer's certificate holds the attested TLS key (CHN-02). The side that gives the evidence stands in the
/// exporter's context, so reflected evidence already fails CHN-01.
fn same_peer(challenge: &Challenge, evidence: &Evidence) -> Judged {
    match &challenge.peer {
        Some(spki) => {
            Judged::equal(Code::ChannelPeer, Hex::sha256(spki), Hex::sha256(&evidence.keys.tls_spki.0))
        }
        None => Judged::not_applicable("the challenge names no peer certificate"),
    }
}

/// Kind, index and digest of each device, in envelope order (BND-06).
fn same_devices(devices: &[DeviceEvidence], listed: &[DeviceDigest]) -> Judged {
    let same = devices.len() == listed.len()
        && devices.iter().zip(listed).all(|(device, row)| {
            device.kind == row.kind && device.index == row.index && device.digest() == row.digest
        });
    Judged::require(
        same,
        Code::CompositeBinding,
        format_args!("the {} devices of the envelope", devices.len()),
        format_args!("{} listed", listed.len()),
    )
    .and_then(|| numbered_by_place(devices))
}

/// An index is the place among the devices of its kind: facts of the boot document, and every row of the trace, are
/// found by it, and one that stands twice would leave the facts of another device unread.
fn numbered_by_place(devices: &[DeviceEvidence]) -> Judged {
    let (mut gpus, mut switches) = (0_usize, 0_usize);
    let out_of_place = devices.iter().find(|device| {
        let next = match device.kind {
            DeviceKind::Gpu => &mut gpus,
            DeviceKind::Switch => &mut switches,
        };
        let place = *next;
        *next += 1;
        usize::from(device.index) != place
    });
    const EXPECTED: &str = "devices numbered from 0 in envelope order, each kind by itself";
    match out_of_place {
        Some(device) => Judged::fail(Code::CompositeBinding, EXPECTED, device.kind.submod(device.index)),
        None => Judged::pass(EXPECTED, format_args!("{gpus} GPUs and {switches} switches")),
    }
}

/// HOST_DATA or MRCONFIGID is the digest of the received configuration document, which is for this challenge (BND-08).
fn read_config(
    challenge: &Challenge,
    evidence: &Evidence,
    statement: &Statement<'_>,
    trace: &mut Trace,
) -> Result<LaunchConfig, Stopped> {
    let received = evidence.config.as_ref();
    let config = LaunchConfig::from_bytes(received);
    let judged = match &config {
        Err(error) => Judged::fail(Code::ConfigInvalid, "a launch configuration", error),
        Ok(config) => statement
            .names(received)
            .and_then(|| same_lease(challenge, config.role, config.charter, config.order, config.lease)),
    };
    trace.gate(CheckId::Bnd08, judged)?;
    config.map_err(|_| Stopped)
}

impl DeviceEvidence {
    /// SHA-384(len32(report) report len32(chain) chain), lengths big endian.
    pub fn digest(&self) -> Hex<48> {
        let mut context = ring::digest::Context::new(&SHA384);
        for part in [&self.report.0, &self.chain.0] {
            // An envelope is at most 1 MiB, so a length always fits.
            let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
            context.update(&len.to_be_bytes());
            context.update(part);
        }
        let mut out = [0; 48];
        out.copy_from_slice(context.finish().as_ref());
        Hex(out)
    }
}
