//! What a piece of evidence proves, and what not, in prose: each sentence from the verdict of a check.

mod cpu;
mod devices;
mod open;

use serde::Serialize;
use tiltyard_attestation::checks::Finding;
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{CheckId, Code, Conclusion, Verdict};

use super::examined::Examined;
use super::read::InputFile;
use super::table;
use crate::date::utc;
use crate::text::plain;

/// One paragraph.
#[derive(Debug, Serialize)]
pub(crate) struct Paragraph {
    pub(crate) title: &'static str,
    pub(crate) text: String,
}

/// The paragraphs as a machine reads them.
#[derive(Serialize)]
pub(crate) struct Explained<'e> {
    schema: &'static str,
    conclusion: Conclusion,
    level: Level,
    anchors: Anchors,
    /// Unix seconds.
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    taint: Option<&'static str>,
    files: &'e [InputFile],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'e [String],
    paragraphs: Vec<Paragraph>,
}

impl<'e> Explained<'e> {
    pub(crate) fn new(examined: &'e Examined) -> Self {
        let Examined { examination, files, notes, .. } = examined;
        Self {
            schema: "explanation/1",
            conclusion: examination.conclusion,
            level: examination.level,
            anchors: examination.anchors,
            at: examination.at,
            taint: examined.taint(),
            files,
            notes,
            paragraphs: paragraphs(examined),
        }
    }
}

/// The paragraphs as text, filled to the width of a page.
pub(crate) fn explain(examined: &Examined) -> String {
    let mut out = String::new();
    for Paragraph { title, text } in paragraphs(examined) {
        out.push_str(title);
        out.push('\n');
        fill(&text, &mut out);
        out.push('\n');
    }
    out.push_str("What was looked at\n");
    for file in &examined.files {
        out.push_str(&format!("  {}\n", table::file_line(file)));
    }
    examined.notes.iter().for_each(|note| fill(note, &mut out));
    out
}

fn fill(text: &str, out: &mut String) {
    const WIDTH: usize = 100;
    let mut line = String::from(" ");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = String::from(" ");
        }
        line.push(' ');
        line.push_str(&plain(word));
    }
    out.push_str(&line);
    out.push('\n');
}

/// The verdict, what was shown, what was contradicted, what is open.
pub(super) fn paragraphs(examined: &Examined) -> Vec<Paragraph> {
    let shown: Vec<Paragraph> =
        cpu::paragraph(examined).into_iter().chain(devices::paragraphs(examined)).collect();
    let authentic = !shown.is_empty();
    let mut all = vec![verdict(examined)];
    all.extend(shown);
    if !authentic {
        all.push(Paragraph {
            title: "Nothing authentic",
            text: "No part of what was given is a report, quote, certificate or manifest that a pinned root vouches for, \
                   so nothing that it says counts."
                .to_owned(),
        });
    }
    all.extend(freshness(examined));
    all.extend(contradicted(examined));
    all.extend(open::paragraph(examined));
    all.push(roots(examined, authentic));
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

fn verdict(examined: &Examined) -> Paragraph {
    let examination = &examined.examination;
    let (level, counts) = (examined.level(), table::counts(examination));
    let means = match (examination.conclusion, examination.level) {
        (Conclusion::Refused, _) => "Evidence with a failed check must not be relied on at this level.",
        (Conclusion::NothingContradicted, Level::Lab) => {
            "This level is for looking at evidence: it lets pass what the others refuse, and what nobody named \
             beforehand is not compared. It is no ground to trust the machine with a secret."
        }
        (Conclusion::NothingContradicted, Level::Standard | Level::Strict) => {
            "What was not shown below is not part of this verdict."
        }
    };
    let found = match examination.conclusion {
        Conclusion::Refused => {
            let mut ids: Vec<&str> =
                examination.findings.iter().map(|finding| finding.check.as_str()).collect();
            ids.dedup();
            format!("The evidence is refused at level {level} by {}", ids.join(", "))
        }
        Conclusion::NothingContradicted => {
            format!("Nothing that was looked at is contradicted at level {level}")
        }
    };
    let taint = match examined.taint() {
        Some(taint) => format!(" {taint}: no hardware vendor vouches for any of it."),
        None => String::new(),
    };
    Paragraph { title: "The verdict", text: format!("{found}: {counts}.{taint} {means}") }
}

/// Whose root a part was verified to.
fn root_of(examined: &Examined, vendor: &str) -> String {
    match examined.examination.anchors {
        Anchors::Vendor => format!("{vendor}'s root"),
        Anchors::NotVendor(_) => "a root that you gave, which is not the vendor's".to_owned(),
    }
}

/// BND-01 and GPU-04: compared and equal, compared and other, or not compared.
fn freshness(examined: &Examined) -> Option<Paragraph> {
    const ASKED: [CheckId; 2] = [CheckId::Bnd01, CheckId::Gpu04];
    let examination = &examined.examination;
    let rows: Vec<_> = examination.checks.iter().filter(|row| ASKED.contains(&row.check)).collect();
    let other = |finding: &&Finding| ASKED.contains(&finding.check) && finding.code == Code::NonceMismatch;
    let others: Vec<&str> =
        examination.findings.iter().filter(other).map(|finding| finding.submod.as_str()).collect();
    // A row that compared the nonce has it on both sides; one may have compared what a file says of itself.
    let given = &examined.given.nonces;
    let equal: Vec<_> = rows
        .iter()
        .filter(|row| row.verdict == Verdict::Pass && row.expected == row.got && given.contains(&row.got))
        .collect();
    // Certificates and manifests answer no question.
    let facts = &examination.facts;
    let reports =
        facts.snp.is_some() || facts.tdx.is_some() || rows.iter().any(|row| row.check == CheckId::Gpu04);
    if !reports && given.is_empty() {
        return None;
    }
    let text = if given.is_empty() {
        "No nonce was given to compare with, so the evidence may be old, or made for somebody else's question.".to_owned()
    } else if !others.is_empty() {
        "The evidence does not answer the nonce that you gave: another one stands in it, so it is old, or was made for \
         somebody else's question."
            .to_owned()
    } else if equal.is_empty() {
        "The nonce that you gave was compared with nothing, because no part that was authentic carries one to compare, \
         so the evidence may be old."
            .to_owned()
    } else if equal.len() < rows.len() {
        "Part of the evidence answers the nonce that you gave; of the rest it is not shown, so that may be old.".to_owned()
    } else {
        "The evidence answers the nonce that you gave: it was made after that nonce was chosen.".to_owned()
    };
    Some(Paragraph {
        title: "Freshness",
        text: format!("{text} Certificates and lists were held as of {}.", utc(examination.at)),
    })
}

fn contradicted(examined: &Examined) -> Option<Paragraph> {
    let findings: Vec<String> = examined
        .examination
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

fn roots(examined: &Examined, authentic: bool) -> Paragraph {
    let text = match (examined.examination.anchors, authentic) {
        (Anchors::Vendor, true) => {
            "What is called authentic above was verified to roots of AMD, Intel or NVIDIA that are compiled into this \
             program."
                .to_owned()
        }
        (Anchors::Vendor, false) => {
            "Nothing was verified to a root. The roots of AMD, Intel and NVIDIA that are compiled into this program were \
             tried."
                .to_owned()
        }
        (Anchors::NotVendor(digest), true) => format!(
            "NOT A VENDOR ROOT: what is called authentic above was verified to the anchor set {digest}, which you gave. No \
             hardware vendor vouches for any of it; this is how simulated evidence looks."
        ),
        (Anchors::NotVendor(digest), false) => format!(
            "NOT A VENDOR ROOT: nothing was verified to a root. Those of the anchor set {digest}, which you gave, were tried."
        ),
    };
    Paragraph { title: "Roots", text }
}
