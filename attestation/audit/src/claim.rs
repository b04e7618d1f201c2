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
    /// Stable id of the claim's kind.
    pub id: &'static str,
    /// What it is about: a lease, an order, or the bundle itself.
    pub subject: String,
    pub title: String,
    pub outcome: Outcome,
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

    pub(crate) fn not_shown(&mut self, id: &'static str, subject: impl Display, title: &str, why: impl Display) {
        self.push(id, subject, title, Outcome::NotShown { why: why.to_string() });
    }

    /// PASS by `by` when equal, else FAIL with both.
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

    fn push(&mut self, id: &'static str, subject: impl Display, title: &str, outcome: Outcome) {
        self.0.push(Claim { id, subject: subject.to_string(), title: title.to_owned(), outcome });
    }
}
