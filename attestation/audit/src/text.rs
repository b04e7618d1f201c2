//! The audit as lines for a terminal.

use std::fmt::Write as _;
use std::path::Path;

pub(crate) use tiltyard_attestation::printable::plain;
use tiltyard_attestation::result::Anchors;

use crate::claim::{Claim, Outcome};
use crate::date::utc;
use crate::facts::EntrantTask;
use crate::promises::LIMITS;
use crate::verify::{Audit, Overall};

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// One line a claim id, where nothing of it failed.
    Grouped,
    /// One line a claim.
    Every,
}

/// Bold, green, red and yellow, or nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    On,
    Off,
}

impl Colour {
    pub(crate) fn paint(self, text: &str, code: &str) -> String {
        match self {
            Self::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Off => text.to_owned(),
        }
    }

    fn verdict(self, outcome: &Outcome) -> String {
        let code = match outcome {
            Outcome::Pass { .. } => "32",
            Outcome::Fail { .. } => "1;31",
            Outcome::NotShown { .. } => "33",
        };
        self.paint(&format!("{:<9}", outcome.word()), code)
    }
}

/// The whole audit, without colour.
pub fn text(audit: &Audit, detail: Detail) -> String {
    coloured(audit, detail, Colour::Off)
}

pub(crate) fn coloured(audit: &Audit, detail: Detail, colour: Colour) -> String {
    let mut out = String::new();
    for line in lines(audit, detail, colour) {
        // Nothing from a bundle may move the cursor or colour the verdict; the escapes left are those of our colours.
        let parts: Vec<String> = line.split('\u{1b}').map(plain).collect();
        out.push_str(&parts.join("\u{1b}"));
        out.push('\n');
    }
    out
}

fn lines(audit: &Audit, detail: Detail, colour: Colour) -> Vec<String> {
    let mut lines = heading(audit, colour);
    lines.push(String::new());
    match detail {
        Detail::Every => audit.claims.iter().for_each(|claim| lines.extend(one(claim, colour))),
        Detail::Grouped => grouped(&audit.claims, colour, &mut lines),
    }
    if !audit.entrants.is_empty() {
        lines.push(String::new());
        entrants(audit, colour, &mut lines);
    }
    lines.push(String::new());
    let ids = format!("{} to {}", LIMITS[0].id, LIMITS[LIMITS.len() - 1].id);
    lines.push(format!("Outside of any bundle: {ids}; the report (--html) lists them."));
    lines.push(verdict(audit, colour));
    lines
}

fn heading(audit: &Audit, colour: Colour) -> Vec<String> {
    let mut lines = vec![format!("bundle   {}", audit.bundle_sha256)];
    if let Some(charter) = &audit.charter {
        lines.push(format!(
            "charter  {} version {}, tournament {}, level {}, {} to {}",
            plain(&charter.id),
            charter.version,
            plain(&charter.tournament),
            charter.level,
            utc(charter.not_before),
            utc(charter.not_after)
        ));
    }
    match audit.anchors {
        Some(Anchors::Vendor) => lines.push("roots    vendor root".to_owned()),
        Some(roots) => lines.push(format!("roots    {}", colour.paint(&roots.to_string(), "1;33"))),
        None => lines.push("roots    none could be told".to_owned()),
    }
    lines
}

/// Claims of one id in one line, where all have one outcome; every FAIL in full.
fn grouped(claims: &[Claim], colour: Colour, lines: &mut Vec<String>) {
    let mut done: Vec<&str> = Vec::new();
    for claim in claims {
        if done.contains(&claim.id) {
            continue;
        }
        done.push(claim.id);
        let same: Vec<&Claim> = claims.iter().filter(|other| other.id == claim.id).collect();
        let passed: Vec<&&Claim> = same.iter().filter(|claim| claim.outcome.is_pass()).collect();
        match passed.as_slice() {
            [] => {}
            [only] => lines.extend(one(only, colour)),
            [first, ..] => {
                let by = if let Outcome::Pass { by } = &first.outcome { by.as_str() } else { "" };
                // What the first is held against says nothing about the rest unless it is the same.
                let same_by = passed.iter().all(|claim| claim.outcome == first.outcome);
                let by = if same_by { format!("  (by {})", plain(by)) } else { String::new() };
                let (id, title, count) = (first.id, plain(&first.title), passed.len());
                let word = colour.verdict(&first.outcome);
                lines.push(format!(
                    "{word}  {id:<6} {:<18}  {title}{by}",
                    format!("{count} of {}", same.len())
                ));
            }
        }
        for claim in same.iter().filter(|claim| !claim.outcome.is_pass()) {
            lines.extend(one(claim, colour));
        }
    }
}

fn one(claim: &Claim, colour: Colour) -> Vec<String> {
    let Claim { id, subject, title, outcome } = claim;
    let head = format!("{}  {id:<6} {:<18}  {}", colour.verdict(outcome), plain(subject), plain(title));
    let indent = " ".repeat(18);
    match outcome {
        Outcome::Pass { by } => vec![format!("{head}  (by {})", plain(by))],
        Outcome::Fail { expected, found } => vec![
            head,
            format!("{indent}expected {}", plain(expected)),
            format!("{indent}found    {}", plain(found)),
        ],
        Outcome::NotShown { why } => vec![head, format!("{indent}{}", plain(why))],
    }
}

fn entrants(audit: &Audit, colour: Colour, lines: &mut Vec<String>) {
    let head = format!(
        "{:<6} {:<24} {:<8} {:<16} {:>8} {:>8} {:>9}",
        "place", "entrant", "task", "outcome", "before", "after", "change"
    );
    lines.push(colour.paint(&head, "1"));
    for entrant in &audit.entrants {
        let place = entrant.place.map_or_else(|| "-".to_owned(), |place| place.to_string());
        let mut name = plain(&entrant.label);
        if entrant.champion {
            name.push_str(" (champion)");
        }
        let mut first = Some((place, name));
        for task in &entrant.tasks {
            let (place, name) = first.take().unwrap_or_default();
            lines.push(task_line(&place, &name, task));
        }
        if let Some((place, name)) = first {
            lines.push(format!("{place:<6} {name:<24} no task"));
        }
    }
    lines.push("Loss in nat per label on held-out rows; before is the untouched base model.".to_owned());
}

fn task_line(place: &str, name: &str, task: &EntrantTask) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let outcome = task.outcome();
    let (before, after, change) = (text(&task.before), text(&task.after), text(&task.change));
    let task = plain(&task.task);
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = write!(out, "{place:<6} {name:<24} {task:<8} {outcome:<16} {before:>8} {after:>8} {change:>9}");
    out
}

fn verdict(audit: &Audit, colour: Colour) -> String {
    let passed = audit.count(|claim| claim.outcome.is_pass());
    let failed = audit.count(|claim| claim.outcome.is_fail());
    let open = audit.count(|claim| claim.outcome.is_not_shown());
    let word = match audit.verdict {
        Overall::Pass => colour.paint("PASS", "1;32"),
        Overall::Fail => colour.paint("FAIL", "1;31"),
    };
    let roots = match audit.anchors {
        Some(Anchors::Vendor) => "",
        _ => "  NOT A VENDOR ROOT",
    };
    format!("{word}: {passed} shown, {failed} contradicted, {open} not shown{roots}")
}

/// A path as a terminal may show it: whoever made the file chose its name.
pub(crate) fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_cannot_speak_to_the_terminal() {
        let claim = Claim {
            id: "BDL-2",
            subject: "bun\u{1b}[32mdle".to_owned(),
            title: "title".to_owned(),
            outcome: Outcome::Fail { expected: "a".to_owned(), found: "b\r\nPASS\u{7}".to_owned() },
        };
        let lines = one(&claim, Colour::Off);
        assert_eq!(
            lines,
            [
                "FAIL       BDL-2  bun\u{fffd}[32mdle         title",
                "                  expected a",
                "                  found    b\u{fffd}\u{fffd}PASS\u{fffd}",
            ]
        );
    }

    #[test]
    fn equal_claims_are_one_line_and_failures_stand_in_full() {
        let claim = |subject: &str, outcome| Claim {
            id: "EVD-1",
            subject: subject.to_owned(),
            title: "passes".to_owned(),
            outcome,
        };
        let pass = || Outcome::Pass { by: "38 checks".to_owned() };
        let fail = Outcome::Fail { expected: "a".to_owned(), found: "b".to_owned() };
        let mut lines = Vec::new();
        grouped(&[claim("x", pass()), claim("y", fail), claim("z", pass())], Colour::Off, &mut lines);
        assert_eq!(
            lines,
            [
                "PASS       EVD-1  2 of 3              passes  (by 38 checks)",
                "FAIL       EVD-1  y                   passes",
                "                  expected a",
                "                  found    b",
            ]
        );
    }
}
