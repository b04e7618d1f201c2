//! The audit as one page for people who decide, and print.

use askama::Template;
use tiltyard_attestation::Hex;
use tiltyard_attestation::result::Anchors;

use crate::claim::{Claim, Outcome};
use crate::date::utc;
use crate::facts::GuestFacts;
use crate::promises::{Kept, LIMITS, Limit, Promise};
use crate::verify::{Audit, Overall};

/// Groups of claims on the page: prefix of the ids, heading.
const GROUPS: [(&[&str], &str); 7] = [
    (&["BDL"], "The bundle"),
    (&["CHT", "ANC", "RUL"], "Charter, roots and rulebook"),
    (&["EVD", "LSE", "HW", "NON", "AT"], "Guests: evidence and leases"),
    (&["RCP", "LGR"], "Keys: releases and ledgers"),
    (&["ROL", "ORD", "RES", "ITM", "DEC"], "Entries, orders and results"),
    (&["DRW", "TRN"], "Draw and rules"),
    (&["LOG", "REC", "WIT"], "Log and record"),
];

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    audit: &'a Audit,
    passed: bool,
    roots: Option<String>,
    shown: usize,
    contradicted: usize,
    open: Vec<&'a Claim>,
    failures: Vec<&'a Claim>,
    groups: Vec<Group<'a>>,
    limits: &'a [Limit],
    champion: Option<&'a str>,
}

struct Group<'a> {
    heading: &'static str,
    passed: usize,
    rows: Vec<&'a Claim>,
}

/// One self-contained page: no script, no address, every text from the bundle escaped.
pub fn html(audit: &Audit) -> Result<String, askama::Error> {
    let groups = GROUPS.iter().map(|(prefixes, heading)| Group::of(heading, prefixes, audit));
    Page {
        audit,
        passed: audit.verdict == Overall::Pass,
        roots: match audit.anchors {
            Some(Anchors::Vendor) => None,
            Some(Anchors::NotVendor(digest)) => Some(format!("Anchor set {digest}")),
            None => Some("No set of roots could be told".to_owned()),
        },
        shown: audit.count(|claim| claim.outcome.is_pass()),
        contradicted: audit.count(|claim| claim.outcome.is_fail()),
        open: audit.claims.iter().filter(|claim| claim.outcome.is_not_shown()).collect(),
        failures: audit.claims.iter().filter(|claim| claim.outcome.is_fail()).collect(),
        groups: groups.filter(|group| !group.rows.is_empty()).collect(),
        limits: &LIMITS,
        champion: audit
            .entrants
            .iter()
            .find(|entrant| entrant.champion)
            .map(|entrant| entrant.label.as_str()),
    }
    .render()
}

impl<'a> Group<'a> {
    fn of(heading: &'static str, prefixes: &[&str], audit: &'a Audit) -> Self {
        let ours =
            |claim: &&Claim| claim.id.split('-').next().is_some_and(|prefix| prefixes.contains(&prefix));
        let rows: Vec<_> = audit.claims.iter().filter(ours).collect();
        let passed = rows.iter().filter(|claim| claim.outcome.is_pass()).count();
        Self { heading, passed, rows }
    }
}

/// Names of a style.
fn style(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Pass { .. } => "pass",
        Outcome::Fail { .. } => "fail",
        Outcome::NotShown { .. } => "open",
    }
}

fn kept_style(promise: &Promise) -> &'static str {
    match promise.kept {
        Kept::Shown => "pass",
        Kept::Contradicted => "fail",
        Kept::ShownInPart | Kept::NotShown => "open",
    }
}

/// A digest that fits a column; the whole one stands in the JSON form.
fn short<const N: usize>(digest: &Hex<N>) -> String {
    let text = digest.to_string();
    match text.get(..16) {
        Some(head) if text.len() > 16 => format!("{head}…"),
        _ => text,
    }
}

fn tcb(guest: &GuestFacts) -> String {
    let tcb = guest.reported_tcb;
    let fmc = if tcb.fmc == 0 { String::new() } else { format!("fmc {}, ", tcb.fmc) };
    format!("{fmc}bl {}, tee {}, snp {}, ucode {}", tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode)
}

fn product(guest: &GuestFacts) -> String {
    format!("{:?}", guest.product)
}

/// A key id without the digits of its digest.
fn key_name(key: &str) -> String {
    match key.split_once('/') {
        Some((kind, rest)) if rest.len() == 64 => format!("{kind}/{}…", rest.get(..12).unwrap_or(rest)),
        _ => key.to_owned(),
    }
}
