//! An examination with what its printed forms need beside it.

use tiltyard_attestation::checks::{CheckOutcome, Code};
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{CheckId, Examination, Verdict};

use super::read::InputFile;

/// What was found, of which files, and what was done to them.
pub(crate) struct Examined {
    pub(crate) examination: Examination,
    pub(super) given: Given,
    /// What was done to the files before they were looked at.
    pub(super) notes: Vec<String>,
    pub(super) files: Vec<InputFile>,
}

/// What the command was given, where no check says so.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// Nonces of the CPU and of devices, as rows spell them.
    pub(super) nonces: Vec<String>,
    pub(super) collateral: bool,
    pub(super) event_log: bool,
}

impl Examined {
    /// Rows of one part.
    pub(super) fn rows<'e>(&'e self, submod: &'e str) -> impl Iterator<Item = &'e CheckOutcome> {
        self.examination.checks.iter().filter(move |row| row.submod == submod)
    }

    /// The first row of a check on one part.
    pub(super) fn row(&self, submod: &str, check: CheckId) -> Option<&CheckOutcome> {
        self.examination.checks.iter().find(|row| row.submod == submod && row.check == check)
    }

    pub(super) fn verdict(&self, submod: &str, check: CheckId) -> Option<Verdict> {
        self.row(submod, check).map(|row| row.verdict)
    }

    /// Whether each of these checks ran on the part, and passed.
    pub(super) fn passed(&self, submod: &str, checks: &[CheckId]) -> bool {
        checks.iter().all(|&check| {
            let rows = self.rows(submod).filter(|row| row.check == check);
            let verdicts: Vec<Verdict> = rows.map(|row| row.verdict).collect();
            !verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == Verdict::Pass)
        })
    }

    /// The code with which a check failed on a part.
    pub(super) fn failed(&self, submod: &str, check: CheckId) -> Option<Code> {
        let mut findings = self.examination.findings.iter();
        findings
            .find(|finding| finding.submod == submod && finding.check == check)
            .map(|finding| finding.code)
    }

    /// Checks that failed on a part, by name.
    pub(super) fn failures(&self, submod: &str) -> Vec<String> {
        let findings = self.examination.findings.iter().filter(|finding| finding.submod == submod);
        findings.map(|finding| format!("{} {}", finding.check, finding.code)).collect()
    }

    /// Parts whose name begins so, each once, in order.
    pub(super) fn parts(&self, prefix: &str) -> Vec<&str> {
        let mut parts: Vec<&str> = Vec::new();
        for row in &self.examination.checks {
            if row.submod.starts_with(prefix) && !parts.contains(&row.submod.as_str()) {
                parts.push(&row.submod);
            }
        }
        parts
    }

    pub(super) fn level(&self) -> String {
        format!("{:?}", self.examination.level).to_lowercase()
    }

    /// Printed with everything that rests on other roots than the vendors'.
    pub(super) fn taint(&self) -> Option<&'static str> {
        match self.examination.anchors {
            Anchors::Vendor => None,
            Anchors::NotVendor(_) => Some("NOT A VENDOR ROOT"),
        }
    }
}
