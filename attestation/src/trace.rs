//! The trace of one appraisal: every check's outcome, and the findings among them.

use std::fmt::Display;

use crate::chain::{Gap, Revocation};
use crate::checks::{CHECKS, CheckId, CheckOutcome, Code, Finding, Part, Verdict};
use crate::policy::AppraisalPolicy;

const DAY_S: u64 = 86_400;

/// Marks that a check which everything after it rests on has failed; the trace says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// A part of the evidence, as results name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Submod {
    /// What binds the parts together.
    #[default]
    Envelope,
    Cpu,
    Gpu(u8),
    Switch(u8),
    /// A reference manifest that is looked at without a device.
    Rim(u8),
}

impl Display for Submod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Envelope => f.write_str("envelope"),
            Self::Cpu => f.write_str("cpu0"),
            Self::Gpu(index) => write!(f, "gpu{index}"),
            Self::Switch(index) => write!(f, "nvswitch{index}"),
            Self::Rim(index) => write!(f, "rim{index}"),
        }
    }
}

/// Outcomes in the order in which the checks ran.
#[derive(Debug, Default)]
pub struct Trace {
    outcomes: Vec<CheckOutcome>,
    findings: Vec<Finding>,
    /// The part that checks below the envelope are about from now on.
    subject: Submod,
    /// Parts that the evidence has: each check that covers one must have run on it.
    parts: Vec<(Submod, Part)>,
    /// Whether a check failed that others rest on.
    stopped: bool,
    /// Items of collateral that a check looked for and that nobody gave (COL-02).
    lacking: Vec<String>,
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

    pub(crate) fn passed(&self) -> bool {
        self.verdict == Verdict::Pass
    }

    /// This outcome, unless it passed: then the next one.
    pub(crate) fn and_then(self, next: impl FnOnce() -> Self) -> Self {
        if self.passed() { next() } else { self }
    }
}

/// Whose certificates a revocation is about; Intel's lists are part of a quote's own chain (TDX-07).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vendor {
    Amd,
    Nvidia,
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

    /// Announces a part of the evidence, and turns to it: what is recorded from now on is about this part.
    pub fn begin(&mut self, submod: Submod, part: Part) {
        if !self.parts.contains(&(submod, part)) {
            self.parts.push((submod, part));
        }
        self.subject = submod;
    }

    /// Turns to a part that was announced before.
    pub(crate) fn turn_to(&mut self, submod: Submod) {
        self.subject = submod;
    }

    /// Records a check that everything after it rests on.
    pub(crate) fn gate(&mut self, check: CheckId, judged: Judged) -> Result<(), Stopped> {
        let failed = judged.verdict == Verdict::Fail;
        self.note(check, judged);
        self.stopped |= failed;
        if failed { Err(Stopped) } else { Ok(()) }
    }

    /// EVD-01: sizes, before anything is read.
    pub(crate) fn within_limits(&mut self, judged: Judged) -> Result<(), Stopped> {
        self.gate(CheckId::Evd01, judged)
    }

    /// BND-01: the nonce, taken from signed evidence.
    pub(crate) fn gate_nonce(&mut self, judged: Judged) -> Result<(), Stopped> {
        self.gate(CheckId::Bnd01, judged)
    }

    /// BND-09 of one vendor blob: its exact length.
    pub(crate) fn exact_length(&mut self, judged: Judged) -> Result<(), Stopped> {
        self.gate(CheckId::Bnd09, judged)
    }

    /// SNP-08 or GPU-08 of one part with COL-03: what is known about its revocation, and how old that is.
    pub(crate) fn revocation(
        &mut self,
        vendor: Vendor,
        revocation: Revocation,
        policy: &AppraisalPolicy,
        now: u64,
    ) {
        let (check, what) = match vendor {
            Vendor::Amd => (CheckId::Snp08, "revocation list of AMD"),
            Vendor::Nvidia => (CheckId::Gpu08, "revocation answer or list of NVIDIA"),
        };
        if revocation == (Revocation::Unknown { why: Gap::NoList }) {
            self.lacks(what);
        }
        self.note(check, policy.revocation(revocation));
        self.collateral_age(revocation, policy, now);
    }

    /// COL-03 of one part: the age of what is known about its revocation.
    pub(crate) fn collateral_age(&mut self, revocation: Revocation, policy: &AppraisalPolicy, now: u64) {
        let limit_days = policy.collateral_days();
        let judged = match revocation {
            Revocation::Good { as_of } => {
                let age_s = now.saturating_sub(as_of);
                Judged::require(
                    age_s <= limit_days * DAY_S,
                    Code::CollateralStale,
                    format_args!("at most {limit_days} days"),
                    format_args!("{age_s} s"),
                )
            }
            Revocation::Revoked { .. } | Revocation::Unknown { .. } => {
                Judged::not_applicable("no revocation data in use")
            }
        };
        self.note(CheckId::Col03, judged);
    }

    /// Remembers an item of collateral that was looked for and is not there.
    pub(crate) fn lacks(&mut self, what: impl Display) {
        let what = format!("{what} ({})", self.subject);
        if !self.lacking.contains(&what) {
            self.lacking.push(what);
        }
    }

    /// What was looked for in vain, if anything.
    pub(crate) fn lacking(&self) -> Option<String> {
        (!self.lacking.is_empty()).then(|| self.lacking.join(", "))
    }

    /// Whether a check failed that others rest on, which were then not reached.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Records a check; the appraisal goes on whatever it found.
    pub(crate) fn note(&mut self, check: CheckId, judged: Judged) {
        let Judged { verdict, code, expected, got } = judged;
        let submod = if check.covers(Part::Envelope) { Submod::Envelope } else { self.subject }.to_string();
        if let Some(code) = code {
            let (expected, got) = (expected.clone(), got.clone());
            self.findings.push(Finding { check, submod: submod.clone(), code, expected, got });
        }
        self.outcomes.push(CheckOutcome { check, submod, verdict, expected, got });
    }

    /// Closes a finished appraisal: a check that did not run at all is a finding, never a pass.
    pub(crate) fn close_finished(&mut self) {
        for (submod, check) in self.missing() {
            self.subject = submod;
            self.note(check, Judged::fail(Code::CheckNotRun, "a verdict", "none"));
        }
    }

    /// Closes an appraisal that stopped: what was not reached is `not_shown`.
    pub(crate) fn close_stopped(&mut self) {
        for (submod, check) in self.missing() {
            self.subject = submod;
            self.note(check, Judged::not_shown("not reached"));
        }
    }

    pub(crate) fn into_parts(self) -> (Vec<CheckOutcome>, Vec<Finding>) {
        (self.outcomes, self.findings)
    }

    fn missing(&self) -> Vec<(Submod, CheckId)> {
        let ran = |submod: Submod, id| {
            let name = submod.to_string();
            self.outcomes.iter().any(|outcome| outcome.check == id && outcome.submod == name)
        };
        let due = self.parts.iter().flat_map(|&(submod, part)| {
            CHECKS.iter().filter(move |row| row.id.covers(part)).map(move |row| (submod, row.id))
        });
        due.filter(|&(submod, id)| !ran(submod, id)).collect()
    }
}
