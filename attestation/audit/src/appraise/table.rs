//! The check table as lines for a terminal.

use serde::Serialize;
use tiltyard_attestation::checks::{CheckOutcome, Severity};
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{Conclusion, Examination, Verdict};

use crate::date::utc;
use crate::text::{Colour, plain};

/// The whole examination as a machine reads it: each row with its place in the checklist.
#[derive(Serialize)]
pub(crate) struct Examined<'e> {
    schema: &'static str,
    #[serde(flatten)]
    examination: &'e Examination,
    /// What was done to the files before they were looked at.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'e [String],
    /// `NOT A VENDOR ROOT`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    taint: Option<&'static str>,
}

impl<'e> Examined<'e> {
    pub(crate) fn new(examination: &'e Examination, notes: &'e [String]) -> Self {
        Self { schema: "examination/1", examination, notes, taint: taint(examination) }
    }
}

/// Printed with everything that rests on other roots than the vendors'.
pub(super) fn taint(examination: &Examination) -> Option<&'static str> {
    match examination.anchors {
        Anchors::Vendor => None,
        Anchors::NotVendor(_) => Some("NOT A VENDOR ROOT"),
    }
}

/// How a verdict is printed.
pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Warning => "WARNING",
        Verdict::NotShown => "NOT SHOWN",
        Verdict::NotApplicable => "-",
    }
}

/// The one sentence that the rest explains.
pub(super) fn conclusion(examination: &Examination) -> String {
    let count = |verdict| examination.count(verdict);
    let (passed, warned, open) = (count(Verdict::Pass), count(Verdict::Warning), count(Verdict::NotShown));
    let counts = format!(
        "{passed} checks passed, {} failed, {warned} passed with a warning, {open} not shown",
        count(Verdict::Fail)
    );
    match examination.conclusion {
        Conclusion::NothingContradicted => {
            format!("nothing contradicted at level {}: {counts}", level(examination))
        }
        Conclusion::Refused => format!("refused at level {}: {counts}", level(examination)),
    }
}

pub(super) fn level(examination: &Examination) -> String {
    format!("{:?}", examination.level).to_lowercase()
}

/// The table, one line a check; what failed stands in full below its line.
pub(crate) fn text(examination: &Examination, notes: &[String], colour: Colour) -> String {
    let mut lines = vec![format!("as of {}, {}", utc(examination.at), examination.anchors)];
    lines.extend(notes.iter().map(|note| plain(note)));
    for (submod, rows) in by_part(examination) {
        lines.push(String::new());
        lines.push(colour.paint(submod, "1"));
        rows.into_iter().for_each(|row| lines.extend(one(row, colour)));
    }
    lines.push(String::new());
    let (code, word) = match examination.conclusion {
        Conclusion::NothingContradicted => ("1;32", "GOOD"),
        Conclusion::Refused => ("1;31", "REFUSED"),
    };
    let taint =
        taint(examination).map_or_else(String::new, |taint| format!("  {}", colour.paint(taint, "1;33")));
    lines.push(format!("{}: {}{taint}", colour.paint(word, code), conclusion(examination)));
    for finding in &examination.findings {
        lines.push(format!(
            "  {} {} {}",
            finding.check,
            finding.submod,
            colour.paint(finding.code.as_str(), "31")
        ));
    }
    lines.join("\n") + "\n"
}

/// Rows by the part that they are about, each part where it first stood.
pub(super) fn by_part(examination: &Examination) -> Vec<(&str, Vec<&CheckOutcome>)> {
    let mut parts: Vec<(&str, Vec<&CheckOutcome>)> = Vec::new();
    for row in &examination.checks {
        match parts.iter_mut().find(|(submod, _)| *submod == row.submod) {
            Some((_, rows)) => rows.push(row),
            None => parts.push((&row.submod, vec![row])),
        }
    }
    parts
}

/// A value on one line: errors explain themselves on a second.
fn value(text: &str) -> String {
    plain(&text.replace("\n  ", "; "))
}

fn one(row: &CheckOutcome, colour: Colour) -> Vec<String> {
    let code = match row.verdict {
        Verdict::Pass => "32",
        Verdict::Fail => "1;31",
        Verdict::Warning => "33",
        Verdict::NotShown | Verdict::NotApplicable => "2",
    };
    let word = colour.paint(&format!("{:<9}", word(row.verdict)), code);
    let check = row.check.row();
    let severity = match check.severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
    };
    let head = format!("{word}  {:<6}  {severity:<8}  {}", row.check.as_str(), check.title);
    let indent = " ".repeat(11);
    match row.verdict {
        Verdict::Fail => vec![
            format!("{head}  [{}]", check.source),
            format!("{indent}expected {}", value(&row.expected)),
            format!("{indent}found    {}", value(&row.got)),
        ],
        Verdict::Pass | Verdict::Warning | Verdict::NotShown | Verdict::NotApplicable => {
            vec![format!("{head}  ({})", value(&row.got))]
        }
    }
}
