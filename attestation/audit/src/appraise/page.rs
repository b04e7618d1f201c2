//! The examination as one self-contained page.

use askama::Template;
use tiltyard_attestation::checks::CheckOutcome;
use tiltyard_attestation::{Conclusion, Verdict};

use super::examined::Examined;
use super::explain::{Paragraph, paragraphs};
use super::read::InputFile;
use super::table;
use crate::date::utc;
use crate::text::plain;

#[derive(Template)]
#[template(path = "appraisal.html")]
struct Page<'a> {
    refused: bool,
    verdict: String,
    counts: String,
    at: String,
    taint: Option<String>,
    files: Vec<File<'a>>,
    notes: &'a [String],
    parts: Vec<Part<'a>>,
    paragraphs: Vec<Paragraph>,
}

struct File<'a> {
    path: String,
    file: &'a InputFile,
}

struct Part<'a> {
    name: &'a str,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    style: &'static str,
    word: &'static str,
    expected: String,
    found: String,
    outcome: &'a CheckOutcome,
}

impl<'a> Row<'a> {
    fn of(outcome: &'a CheckOutcome) -> Self {
        Self {
            style: style(outcome),
            word: table::word(outcome.verdict),
            expected: table::value(&outcome.expected),
            found: table::value(&outcome.got),
            outcome,
        }
    }
}

/// No script, no address, every text from the evidence escaped.
pub(crate) fn html(examined: &Examined) -> Result<String, askama::Error> {
    let examination = &examined.examination;
    let parts = table::by_part(examination)
        .into_iter()
        .map(|(name, rows)| Part { name, rows: rows.into_iter().map(Row::of).collect() })
        .collect();
    Page {
        refused: examination.conclusion == Conclusion::Refused,
        verdict: table::verdict(examined),
        counts: table::counts(examination),
        at: utc(examination.at),
        taint: examined.taint().map(|_| examination.anchors.to_string()),
        files: examined.files.iter().map(|file| File { path: plain(&file.path), file }).collect(),
        notes: &examined.notes,
        parts,
        paragraphs: paragraphs(examined),
    }
    .render()
}

fn style(outcome: &CheckOutcome) -> &'static str {
    match outcome.verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Warning => "open",
        Verdict::NotShown | Verdict::NotApplicable => "soft",
    }
}
