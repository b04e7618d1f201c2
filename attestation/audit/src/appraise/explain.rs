//! What a piece of evidence proves, and what not, in prose.

use serde::Serialize;
use tiltyard_attestation::checks::CheckId;
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::result::{Anchors, DeviceFacts, SigningKey, SnpFacts, TdxFacts};
use tiltyard_attestation::{Examination, Verdict};

use crate::date::utc;
use crate::text::plain;

/// One paragraph.
#[derive(Debug, Serialize)]
pub(crate) struct Paragraph {
    pub(crate) title: &'static str,
    pub(crate) text: String,
}

/// The paragraphs as text, filled to the width of a page.
pub(crate) fn explain(examination: &Examination) -> String {
    const WIDTH: usize = 100;
    let mut out = String::new();
    for Paragraph { title, text } in paragraphs(examination) {
        out.push_str(title);
        out.push('\n');
        let mut line = String::from(" ");
        for word in text.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                out.push_str(&line);
                out.push('\n');
                line = String::from(" ");
            }
            line.push(' ');
            line.push_str(&plain(word));
        }
        out.push_str(&line);
        out.push_str("\n\n");
    }
    out
}

/// What was shown, what was contradicted, what is open.
pub(crate) fn paragraphs(examination: &Examination) -> Vec<Paragraph> {
    let mut all = Vec::new();
    let facts = &examination.facts;
    all.extend(facts.snp.as_ref().map(snp));
    all.extend(facts.tdx.as_ref().map(tdx));
    if !facts.devices.is_empty() {
        all.push(devices(&facts.devices));
    }
    if all.is_empty() {
        all.push(Paragraph {
            title: "Nothing authentic",
            text: "No part of what was given is a report or quote that a pinned root vouches for, so nothing that it \
                   says counts."
                .to_owned(),
        });
    }
    all.push(freshness(examination));
    all.extend(contradicted(examination));
    all.extend(open(examination));
    all.push(roots(examination));
    all.push(Paragraph {
        title: "What no evidence shows",
        text: "That nobody opened the machine or tapped its memory bus; that its keys were never extracted; that the \
               vendor was honest; that a flaw which no advisory names yet is not used; that a device sits in the machine \
               that names it; and what the measured program does, which whoever published the reference value must \
               answer for."
            .to_owned(),
    });
    all
}

fn snp(facts: &SnpFacts) -> Paragraph {
    let key = match facts.signing_key {
        SigningKey::Vcek => "a key that only this chip at these security versions can derive (VCEK)",
        SigningKey::Vlek => {
            "a key that AMD gave to the cloud provider (VLEK): it says that some machine of the provider signed, not which"
        }
    };
    Paragraph {
        title: "An AMD SEV-SNP guest",
        text: format!(
            "A {:?} processor signed this report with {key}. Its firmware reports versions {}. At launch the guest's \
             memory measured to {}, under guest policy {:#x}, and the report was asked for at privilege level {}. \
             Whoever holds the report knows this of the guest that asked for it, at the moment when it asked; the \
             report does not say that the guest is still running.",
            facts.product, facts.reported_tcb, facts.measurement, facts.guest_policy, facts.vmpl
        ),
    }
}

fn tdx(facts: &TdxFacts) -> Paragraph {
    let status = match facts.tcb_status {
        Some(status) => format!("Intel's collateral rates the platform {status:?}"),
        None => {
            "No collateral was given, so whether the platform's firmware is current is not known".to_owned()
        }
    };
    let log = match facts.events {
        Some(events) => format!("The event log of {events} events replays to the run-time registers"),
        None => "No event log was given, so what the run-time registers hold can't be told apart".to_owned(),
    };
    Paragraph {
        title: "An Intel TDX trust domain",
        text: format!(
            "Intel's quoting enclave on a platform of family {} signed this quote (version {}). The trust domain was \
             built to {}, its attributes are {:#x}. {status}. {log}. The quote does not say that the domain is still \
             running.",
            facts.fmspc, facts.quote_version, facts.mrtd, facts.td_attributes
        ),
    }
}

fn devices(devices: &[DeviceFacts]) -> Paragraph {
    let lines: Vec<String> = devices
        .iter()
        .map(|device| {
            let kind = match device.kind {
                DeviceKind::Gpu => "GPU",
                DeviceKind::Switch => "switch",
            };
            let software = match device.driver.as_str() {
                "" => format!("BIOS {}", device.vbios),
                driver => format!("driver {driver}, VBIOS {}", device.vbios),
            };
            let matched = match device.matched {
                0 => "none of its measurements was compared with a reference".to_owned(),
                count => format!("{count} of its measurements equal NVIDIA's reference values"),
            };
            format!("{:?} {kind} {} ({software}): {matched}", device.architecture, device.index)
        })
        .collect();
    Paragraph {
        title: "NVIDIA devices",
        text: format!(
            "Each device signed its report with a key that only this device at this firmware holds. {}. A device's \
             report does not show whether its confidential mode is on: only a measured guest that read the mode and \
             bound it into its own evidence does.",
            lines.join("; ")
        ),
    }
}

fn freshness(examination: &Examination) -> Paragraph {
    let asked = [CheckId::Bnd01, CheckId::Gpu04];
    let shown = examination
        .checks
        .iter()
        .filter(|row| asked.contains(&row.check))
        .all(|row| row.verdict == Verdict::Pass && !row.got.contains("no nonce"));
    let text = if shown && examination.checks.iter().any(|row| asked.contains(&row.check)) {
        "The evidence answers the nonce that you gave: it was made after that nonce was chosen."
    } else {
        "No nonce was compared, so the evidence may be old, or made for somebody else's question."
    };
    Paragraph {
        title: "Freshness",
        text: format!("{text} Certificates and lists were held as of {}.", utc(examination.at)),
    }
}

fn contradicted(examination: &Examination) -> Option<Paragraph> {
    let findings: Vec<String> = examination
        .findings
        .iter()
        .map(|finding| {
            let title = finding.check.row().title;
            format!(
                "{} {} ({}), where it should be that {title}",
                finding.submod, finding.check, finding.code
            )
        })
        .collect();
    (!findings.is_empty()).then(|| Paragraph {
        title: "What was contradicted",
        text: format!(
            "{}. Evidence with any of these must not be relied on at this level.",
            findings.join("; ")
        ),
    })
}

fn open(examination: &Examination) -> Option<Paragraph> {
    let rows = |verdict: Verdict| -> Vec<String> {
        let rows = examination.checks.iter().filter(|row| row.verdict == verdict);
        rows.map(|row| format!("{} {}: {}", row.submod, row.check, row.got)).collect()
    };
    let (unseen, warned) = (rows(Verdict::NotShown), rows(Verdict::Warning));
    let mut text = String::new();
    if !unseen.is_empty() {
        text.push_str(&format!("Neither shown nor contradicted: {}. ", unseen.join("; ")));
    }
    if !warned.is_empty() {
        text.push_str(&format!("Let through at this level only: {}.", warned.join("; ")));
    }
    (!text.is_empty()).then_some(Paragraph { title: "What stays open", text })
}

fn roots(examination: &Examination) -> Paragraph {
    let text = match examination.anchors {
        Anchors::Vendor => {
            "Everything was verified to roots of AMD, Intel and NVIDIA that are compiled into this program."
                .to_owned()
        }
        Anchors::NotVendor(digest) => format!(
            "NOT A VENDOR ROOT: everything was verified to the anchor set {digest}, which you gave. No hardware vendor \
             vouches for any of it; this is how simulated evidence looks."
        ),
    };
    Paragraph { title: "Roots", text }
}
