//! The trace of one appraisal: every check's outcome, and the findings among them.

use std::fmt::Display;

use crate::checks::{CHECKS, CheckId, CheckOutcome, Code, Finding, Verdict};

/// Marks that a check which everything after it rests on has failed; the trace says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Outcomes in the order in which the checks ran.
#[derive(Debug, Default)]
pub struct Trace {
    outcomes: Vec<CheckOutcome>,
    findings: Vec<Finding>,
}

/// What one check is about to record.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    verdict: Verdict,
    code: Option<Code>,
    expected: String,
    got: String,
}

impl Judged {
    fn new(verdict: Verdict, code: Option<Code>, expected: impl Display, got: impl Display) -> Self {
        Self { verdict, code, expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn pass(expected: impl Display, got: impl Display) -> Self {
        Self::new(Verdict::Pass, None, expected, got)
    }

    pub(crate) fn fail(code: Code, expected: impl Display, got: impl Display) -> Self {
        Self::new(Verdict::Fail, Some(code), expected, got)
    }

    pub(crate) fn warning(expected: impl Display, got: impl Display) -> Self {
        Self::new(Verdict::Warning, None, expected, got)
    }

    pub(crate) fn not_applicable(why: impl Display) -> Self {
        Self::new(Verdict::NotApplicable, None, "-", why)
    }

    pub(crate) fn not_shown(why: impl Display) -> Self {
        Self::new(Verdict::NotShown, None, "-", why)
    }

    /// Passes when both are equal, else fails with `code`.
    pub(crate) fn equal<T: PartialEq + Display>(code: Code, expected: T, got: T) -> Self {
        if expected == got { Self::pass(expected, got) } else { Self::fail(code, expected, got) }
    }

    /// Passes when `holds`, else fails with `code`.
    pub(crate) fn require(holds: bool, code: Code, expected: impl Display, got: impl Display) -> Self {
        if holds { Self::pass(expected, got) } else { Self::fail(code, expected, got) }
    }

    /// This outcome, unless it passed: then the next one.
    pub(crate) fn and_then(self, next: impl FnOnce() -> Self) -> Self {
        if self.verdict == Verdict::Pass { next() } else { self }
    }
}

impl Trace {
    /// An empty trace.
    pub fn new() -> Self {
        Self::default()
    }

    pub fn outcomes(&self) -> &[CheckOutcome] {
        &self.outcomes
    }

    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Records a check that everything after it rests on.
    pub(crate) fn gate(&mut self, check: CheckId, judged: Judged) -> Result<(), Stopped> {
        let failed = judged.verdict == Verdict::Fail;
        self.note(check, judged);
        if failed { Err(Stopped) } else { Ok(()) }
    }

    /// Records a check; the appraisal goes on whatever it found.
    pub(crate) fn note(&mut self, check: CheckId, judged: Judged) {
        let Judged { verdict, code, expected, got } = judged;
        let submod = submod(check);
        if let Some(code) = code {
            let (expected, got) = (expected.clone(), got.clone());
            self.findings.push(Finding { check, submod: submod.to_owned(), code, expected, got });
        }
        self.outcomes.push(CheckOutcome { check, submod: submod.to_owned(), verdict, expected, got });
    }

    /// Closes a finished appraisal: a check that did not run at all is a finding, never a pass.
    pub(crate) fn close_finished(&mut self) {
        for check in self.missing() {
            self.note(check, Judged::fail(Code::CheckNotRun, "a verdict", "none"));
        }
    }

    /// Closes an appraisal that stopped: what was not reached is `not_shown`.
    pub(crate) fn close_stopped(&mut self) {
        for check in self.missing() {
            self.note(check, Judged::not_shown("not reached"));
        }
    }

    pub(crate) fn into_parts(self) -> (Vec<CheckOutcome>, Vec<Finding>) {
        (self.outcomes, self.findings)
    }

    fn missing(&self) -> Vec<CheckId> {
        let ran = |id| self.outcomes.iter().any(|outcome| outcome.check == id);
        CHECKS.iter().map(|row| row.id).filter(|&id| !ran(id)).collect()
    }
}

/// Which part of the composite evidence a check is about.
fn submod(check: CheckId) -> &'static str {
    match check.as_str().split_once('-') {
        Some(("SNP" | "COL", _)) => "cpu0",
        _ => "envelope",
    }
}
