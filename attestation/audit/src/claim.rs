//! Claims: what an audit says, one line each.

use std::fmt::Display;

use serde::Serialize;

/// What became of one claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Outcome {
    /// Shown; `by` says by what.
    Pass { by: String },
    /// Contradicted.
    Fail { expected: String, found: String },
    /// Neither shown nor contradicted by what is in the bundle.
    NotShown { why: String },
}

/// One claim with its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Stable id of the claim's kind; never renumbered or reused.
    pub id: &'static str,
    /// What it is about: a lease, an order, a leaf, or the bundle itself.
    pub subject: String,
    pub title: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Outcome {
    pub fn is_pass(&self) -> bool {
        matches!(self, Self::Pass { .. })
    }

    pub fn is_fail(&self) -> bool {
        matches!(self, Self::Fail { .. })
    }

    pub fn is_not_shown(&self) -> bool {
        matches!(self, Self::NotShown { .. })
    }

    /// As it is printed.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "PASS",
            Self::Fail { .. } => "FAIL",
            Self::NotShown { .. } => "NOT SHOWN",
        }
    }
}

/// Claims in the order in which they were checked.
#[derive(Debug, Default)]
pub(crate) struct Claims(pub(crate) Vec<Claim>);

impl Claims {
    pub(crate) fn pass(&mut self, id: &'static str, subject: impl Display, title: &str, by: impl Display) {
        self.push(id, subject, title, Outcome::Pass { by: by.to_string() });
    }

    pub(crate) fn fail(
        &mut self,
        id: &'static str,
        subject: impl Display,
        title: &str,
        expected: impl Display,
        found: impl Display,
    ) {
        let outcome = Outcome::Fail { expected: expected.to_string(), found: found.to_string() };
        self.push(id, subject, title, outcome);
    }

    pub(crate) fn not_shown(
        &mut self,
        id: &'static str,
        subject: impl Display,
        title: &str,
        why: impl Display,
    ) {
        self.push(id, subject, title, Outcome::NotShown { why: why.to_string() });
    }

    /// PASS by the value itself when equal, else FAIL with both.
    pub(crate) fn equal<T: PartialEq + Display>(
        &mut self,
        id: &'static str,
        subject: impl Display,
        title: &str,
        expected: &T,
        found: &T,
    ) {
        if expected == found {
            self.pass(id, subject, title, found);
        } else {
            self.fail(id, subject, title, expected, found);
        }
    }

    /// PASS by `by` for `Ok`, else FAIL with the error; hands the value on.
    pub(crate) fn check<T, E: Display>(
        &mut self,
        id: &'static str,
        subject: impl Display,
        title: &str,
        by: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.pass(id, subject, title, by);
                Some(value)
            }
            Err(error) => {
                self.fail(id, subject, title, by, error);
                None
            }
        }
    }

    /// PASS by `by` without differences, else one FAIL for each.
    pub(crate) fn without(
        &mut self,
        id: &'static str,
        subject: impl Display,
        title: &str,
        by: impl Display,
        differences: Vec<Difference>,
    ) {
        if differences.is_empty() {
            self.pass(id, subject, title, by);
            return;
        }
        for Difference { field, expected, found } in differences {
            let (expected, found) = (format!("{field}: {expected}"), format!("{field}: {found}"));
            self.fail(id, &subject, title, expected, found);
        }
    }

    fn push(&mut self, id: &'static str, subject: impl Display, title: &str, outcome: Outcome) {
        self.0.push(Claim { id, subject: subject.to_string(), title: title.to_owned(), outcome });
    }
}

/// Two documents that should agree on a field, and don't.
#[derive(Debug)]
pub(crate) struct Difference {
    field: &'static str,
    expected: String,
    found: String,
}

/// Collects differences field by field.
#[derive(Debug, Default)]
pub(crate) struct Compared(pub(crate) Vec<Difference>);

impl Compared {
    pub(crate) fn field<T: PartialEq + std::fmt::Debug>(
        mut self,
        field: &'static str,
        expected: T,
        found: T,
    ) -> Self {
        if expected != found {
            let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
            self.0.push(Difference { field, expected, found });
        }
        self
    }
}
