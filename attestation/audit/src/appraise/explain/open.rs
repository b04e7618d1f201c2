//! What stays open.

use tiltyard_attestation::Verdict;

use super::Paragraph;
use crate::appraise::examined::Examined;
use crate::appraise::table::value;

pub(super) fn paragraph(examined: &Examined) -> Option<Paragraph> {
    let rows = |verdict: Verdict| -> Vec<String> {
        let rows = examined.examination.checks.iter().filter(|row| row.verdict == verdict);
        rows.map(|row| format!("{} {}: {}", row.submod, row.check, value(&row.got))).collect()
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
