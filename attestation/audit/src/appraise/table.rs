//! The check table as lines for a terminal.

use serde::Serialize;
use tiltyard_attestation::checks::{CheckOutcome, Severity};
use tiltyard_attestation::{Conclusion, Examination, Verdict};

use super::examined::Examined;
use super::read::InputFile;
use crate::date::{utc, with_utc};
use crate::text::{Colour, plain};

/// The whole examination as a machine reads it: each row with its place in the checklist.
#[derive(Serialize)]
pub(crate) struct Table<'e> {
    schema: &'static str,
    #[serde(flatten)]
    examination: &'e Examination,
    /// What was looked at.
    files: &'e [InputFile],
    /// What was done to the files before they were looked at.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'e [String],
    /// `NOT A VENDOR ROOT`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    taint: Option<&'static str>,
}

impl<'e> Table<'e> {
    pub(crate) fn new(examined: &'e Examined) -> Self {
        let Examined { examination, notes, files, .. } = examined;
        Self { schema: "examination/1", examination, files, notes, taint: examined.taint() }
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

/// The verdict, no stronger than it is: a level that lets much pass is part of it.
pub(super) fn verdict(examined: &Examined) -> String {
    let word = match examined.examination.conclusion {
        Conclusion::NothingContradicted => "NOTHING CONTRADICTED",
        Conclusion::Refused => "REFUSED",
    };
    format!("{word} (level {})", examined.level())
}

/// What the verdict rests on.
pub(super) fn counts(examination: &Examination) -> String {
    let count = |verdict| examination.count(verdict);
    format!(
        "{} checks passed, {} failed, {} passed with a warning, {} not shown",
        count(Verdict::Pass),
        count(Verdict::Fail),
        count(Verdict::Warning),
        count(Verdict::NotShown)
    )
}

/// One line for each file: what it was given as, its digest and size.
pub(super) fn file_line(file: &InputFile) -> String {
    let InputFile { given_as, path, sha256, len_bytes } = file;
    format!("{given_as:<16}  {sha256}  {len_bytes} bytes  {}", plain(path))
}

/// The table, one line a check; what failed stands in full below its line.
pub(crate) fn text(examined: &Examined, colour: Colour) -> String {
    let examination = &examined.examination;
    let mut lines =
        vec![format!("as of {}, level {}, {}", utc(examination.at), examined.level(), examination.anchors)];
    lines.extend(examined.files.iter().map(file_line));
    lines.extend(examined.notes.iter().map(|note| plain(note)));
    for (submod, rows) in by_part(examination) {
        lines.push(String::new());
        lines.push(colour.paint(submod, "1"));
        rows.into_iter().for_each(|row| lines.extend(one(row, colour)));
    }
    lines.push(String::new());
    let code = match examination.conclusion {
        Conclusion::NothingContradicted => "1;32",
        Conclusion::Refused => "1;31",
    };
    let taint =
        examined.taint().map_or_else(String::new, |taint| format!("  {}", colour.paint(taint, "1;33")));
    lines.push(format!("{}: {}{taint}", colour.paint(&verdict(examined), code), counts(examination)));
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

/// A value on one line: errors explain themselves on a second. Seconds have their date beside them.
pub(super) fn value(text: &str) -> String {
    match text {
        "so" | "the same" => "as expected".to_owned(),
        text => with_utc(&plain(&text.replace("\n  ", "; "))),
    }
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
