//! The audit as one page for people who decide, and print.

use askama::Template;
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
    /// Told above the table instead of in each row.
    common_warnings: &'a [String],
}

struct Group<'a> {
    heading: &'static str,
    passed: usize,
    of: usize,
    rows: Vec<Row<'a>>,
}

/// One claim, or all of one id that hold: the page is for people, the JSON form has each.
struct Row<'a> {
    style: &'static str,
    word: &'static str,
    id: &'static str,
    title: &'a str,
    about: String,
    by: String,
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
        common_warnings: common_warnings(&audit.guests),
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
        let claims: Vec<_> = audit.claims.iter().filter(ours).collect();
        let passed = claims.iter().filter(|claim| claim.outcome.is_pass()).count();
        let mut rows: Vec<Row<'a>> = Vec::new();
        for claim in &claims {
            if !claim.outcome.is_pass() {
                rows.push(Row::one(claim));
            } else if rows.iter().all(|row| row.id != claim.id || row.word != claim.outcome.word()) {
                rows.push(Row::all(claim, &claims));
            }
        }
        Self { heading, passed, of: claims.len(), rows }
    }
}

impl<'a> Row<'a> {
    fn one(claim: &'a Claim) -> Self {
        Self {
            style: style(&claim.outcome),
            word: claim.outcome.word(),
            id: claim.id,
            title: &claim.title,
            about: claim.subject.clone(),
            by: match &claim.outcome {
                Outcome::Pass { by } => by.clone(),
                Outcome::Fail { expected, found } => format!("expected {expected}, found {found}"),
                Outcome::NotShown { why } => why.clone(),
            },
        }
    }

    /// Every claim with the id of `first` that holds.
    fn all(first: &'a Claim, claims: &[&'a Claim]) -> Self {
        let same: Vec<_> = claims.iter().filter(|claim| claim.id == first.id).collect();
        let passed: Vec<_> = same.iter().filter(|claim| claim.outcome.is_pass()).collect();
        let row = Self::one(first);
        if passed.len() == 1 {
            return row;
        }
        let by = if passed.iter().all(|claim| claim.outcome == first.outcome) {
            row.by
        } else {
            "each by its own documents".to_owned()
        };
        Self { about: format!("{} of {}", passed.len(), same.len()), by, ..row }
    }
}

/// Warnings that all guests share; told once.
fn common_warnings(guests: &[GuestFacts]) -> &[String] {
    match guests.split_first() {
        Some((first, rest)) if rest.iter().all(|guest| guest.warnings == first.warnings) => &first.warnings,
        _ => &[],
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

/// A digest or id that fits a column; the whole one stands in the JSON form.
fn short(digest: impl std::fmt::Display) -> String {
    let text = digest.to_string();
    match text.get(..12) {
        Some(head) if text.len() > 12 => format!("{head}…"),
        _ => text,
    }
}

/// A key id without the digits of its digest.
fn key_name(key: &str) -> String {
    match key.split_once('/') {
        Some((kind, rest)) if rest.len() == 64 => format!("{kind}/{}…", rest.get(..12).unwrap_or(rest)),
        _ => key.to_owned(),
    }
}
