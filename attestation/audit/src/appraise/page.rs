//! The examination as one self-contained page.

use askama::Template;
use tiltyard_attestation::checks::CheckOutcome;
use tiltyard_attestation::{Conclusion, Examination, Verdict};

use super::explain::{Paragraph, paragraphs};
use super::table;
use crate::date::utc;

#[derive(Template)]
#[template(path = "appraisal.html")]
struct Page<'a> {
    refused: bool,
    conclusion: String,
    at: String,
    taint: Option<String>,
    parts: Vec<Part<'a>>,
    paragraphs: Vec<Paragraph>,
}

struct Part<'a> {
    name: &'a str,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    style: &'static str,
    word: &'static str,
    outcome: &'a CheckOutcome,
}

/// No script, no address, every text from the evidence escaped.
pub(crate) fn html(examination: &Examination) -> Result<String, askama::Error> {
    let row = |outcome| Row { style: style(outcome), word: table::word(outcome.verdict), outcome };
    let parts = table::by_part(examination)
        .into_iter()
        .map(|(name, rows)| Part { name, rows: rows.into_iter().map(row).collect() })
        .collect();
    Page {
        refused: examination.conclusion == Conclusion::Refused,
        conclusion: table::conclusion(examination),
        at: utc(examination.at),
        taint: table::taint(examination).map(|_| examination.anchors.to_string()),
        parts,
        paragraphs: paragraphs(examination),
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
