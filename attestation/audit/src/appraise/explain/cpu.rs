//! The CPU's report or quote, or its endorsement alone.

use tiltyard_attestation::chain::Revocation;
use tiltyard_attestation::policy::Product;
use tiltyard_attestation::result::{SigningKey, SnpFacts, TdxFacts};
use tiltyard_attestation::{CheckId, Code, Verdict};

use super::{Paragraph, root_of};
use crate::appraise::examined::Examined;
use crate::appraise::table::value;
use crate::date::utc;

const CPU: &str = "cpu0";

/// What is authentic of the CPU's part; none where nothing is.
pub(super) fn paragraph(examined: &Examined) -> Option<Paragraph> {
    let facts = &examined.examination.facts;
    match (&facts.snp, &facts.tdx) {
        (Some(snp), _) => Some(self::snp(snp, examined)),
        (None, Some(tdx)) => Some(self::tdx(tdx, examined)),
        (None, None) => endorsement(examined).or_else(|| pck(examined)),
    }
}

/// A PCK chain that holds, under a quote that does not.
fn pck(examined: &Examined) -> Option<Paragraph> {
    // What is unknown of its revocation is a warning, and said below.
    let holds = matches!(examined.verdict(CPU, CheckId::Tdx07), Some(Verdict::Pass | Verdict::Warning));
    holds.then(|| Paragraph {
        title: "A PCK certificate of Intel",
        text: format!(
            "The platform's certificate chains to {} and is valid as of {}. The quote that was given is not shown to be \
             signed under it, so nothing that it says counts.",
            root_of(examined, "Intel"),
            utc(examined.examination.at)
        ),
    })
}

/// A chain that holds, without a report that its key signed.
fn endorsement(examined: &Examined) -> Option<Paragraph> {
    if !examined.passed(CPU, &[CheckId::Snp06]) {
        return None;
    }
    let time = match examined.passed(CPU, &[CheckId::Snp07]) {
        true => format!("each certificate is valid as of {}", utc(examined.examination.at)),
        false => format!("but not every certificate is valid as of {}", utc(examined.examination.at)),
    };
    // BND-09 is about a report's bytes; a chain by itself has none.
    let report = match examined.row(CPU, CheckId::Bnd09) {
        None => "No report was given, so this says that such a key exists, and nothing of any guest.",
        Some(_) => {
            "The report that was given is not shown to be signed by this key, so nothing that it says counts."
        }
    };
    // SNP-06 names the product that the chain is of.
    let milan = match examined.row(CPU, CheckId::Snp06) {
        Some(row) if row.got.starts_with("Milan") => MILAN,
        _ => "",
    };
    Some(Paragraph {
        title: "An endorsement key of AMD",
        text: format!(
            "The key's certificate chains to {}, {time}. {report}{milan}",
            root_of(examined, "AMD")
        ),
    })
}

fn snp(facts: &SnpFacts, examined: &Examined) -> Paragraph {
    let key = match facts.signing_key {
        SigningKey::Vcek => "a key that is derived from this chip at these security versions (VCEK)",
        SigningKey::Vlek => {
            "a key that AMD gave to the cloud provider (VLEK): it says that some machine of the provider signed, not which"
        }
    };
    let mut text = format!(
        "A {:?} processor signed this report with {key}. Its firmware reports versions {}. At launch the guest's memory \
         measured to {}, under guest policy {:#x}, and the report was asked for at privilege level {}.",
        facts.product, facts.reported_tcb, facts.measurement, facts.guest_policy, facts.vmpl
    );
    match examined.failed(CPU, CheckId::Snp18) {
        Some(Code::PolicyDebug) => text.push_str(DEBUG),
        Some(Code::PolicyMigration) => text.push_str(
            " This guest may be moved to another machine by an agent of the host's, so what holds for this one need not \
             hold for the next.",
        ),
        Some(_) | None => {}
    }
    if facts.product == Product::Milan {
        text.push_str(MILAN);
    }
    text.push_str(
        " Whoever holds the report knows this of the guest that asked for it, at the moment when it asked; the report does \
         not say that the guest is still running.",
    );
    Paragraph { title: "An AMD SEV-SNP guest", text }
}

/// Why only `lab` takes this generation.
const MILAN: &str = " Keys of this generation (Milan) are known to be extractable in software, so such a report can be \
                     forged by whoever extracted one; that is why only level lab takes it (SECURITY, T4).";

/// What a debug guest is.
const DEBUG: &str = " This is a debug guest: the host can read and change its memory at any time, so nothing in it is secret.";

fn tdx(facts: &TdxFacts, examined: &Examined) -> Paragraph {
    let debug = match examined.failed(CPU, CheckId::Tdx13) {
        Some(Code::DebugTd) => DEBUG,
        _ => "",
    };
    Paragraph {
        title: "An Intel TDX trust domain",
        text: format!(
            "Intel's quoting enclave on a platform of family {} signed this quote (version {}). The trust domain was built \
             to {}, its attributes are {:#x}.{debug} {}. {}. The quote does not say that the domain is still running.",
            facts.fmspc,
            facts.quote_version,
            facts.mrtd,
            facts.td_attributes,
            status(facts, examined),
            log(facts, examined)
        ),
    }
}

/// TDX-08 and TDX-09: how Intel rates the platform, as of when.
fn status(facts: &TdxFacts, examined: &Examined) -> String {
    if !examined.given.collateral {
        return "No collateral was given, so whether the platform's firmware is current is not known"
            .to_owned();
    }
    let Some(status) = facts.tcb_status else {
        return match examined.row(CPU, CheckId::Tdx09) {
            Some(row) if row.verdict == Verdict::Fail => format!(
                "Collateral was given, but it rates no platform like this one ({}), so its firmware counts as refused",
                value(&row.got)
            ),
            Some(row) => {
                format!("The collateral that was given says nothing of this platform ({})", value(&row.got))
            }
            None => "The collateral that was given was not compared".to_owned(),
        };
    };
    // TDX-08 is about the documents that rate it; a stale list (TDX-07) is as old.
    let stale = [CheckId::Tdx08, CheckId::Tdx07]
        .into_iter()
        .filter(|&check| examined.failed(CPU, check) == Some(Code::CollateralStale))
        .find_map(|check| examined.row(CPU, check));
    match (stale, as_of(facts), examined.passed(CPU, &[CheckId::Tdx08])) {
        (Some(row), _, _) => {
            let when = if row.got.contains("issued at") { "is yet to come" } else { "is past" };
            format!(
                "Intel's collateral rates the platform {status:?} as of a time which {when} ({}); whether that holds now is \
                 not known",
                value(&row.got)
            )
        }
        (None, _, false) => {
            format!("The collateral rates the platform {status:?}, but is itself refused (TDX-08)")
        }
        (None, Some(as_of), true) => {
            format!("Intel's collateral, as of {}, rates the platform {status:?}", utc(as_of))
        }
        (None, None, true) => format!("Intel's collateral rates the platform {status:?}"),
    }
}

/// When the oldest of lists and documents was issued.
fn as_of(facts: &TdxFacts) -> Option<u64> {
    match facts.revocation {
        Revocation::Good { as_of } => Some(as_of),
        Revocation::Revoked { .. } | Revocation::Unknown { .. } => None,
    }
}

/// TDX-18: the event log.
fn log(facts: &TdxFacts, examined: &Examined) -> String {
    let failed = examined.row(CPU, CheckId::Tdx18).filter(|row| row.verdict == Verdict::Fail);
    match (facts.events, failed) {
        _ if !examined.given.event_log => {
            "No event log was given, so what the run-time registers hold can't be told apart".to_owned()
        }
        (Some(events), None) => format!("The event log of {events} events replays to the run-time registers"),
        (Some(events), Some(row)) => format!(
            "The event log of {events} events replays to the run-time registers, but holds what it must not ({})",
            value(&row.got)
        ),
        (None, Some(row)) => format!(
            "An event log was given, but is not that of this boot: it does not replay to the run-time registers ({}), so what \
             they hold can't be told apart",
            value(&row.got)
        ),
        (None, None) => "The event log that was given was not compared".to_owned(),
    }
}
