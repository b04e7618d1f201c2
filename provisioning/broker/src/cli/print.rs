//! Results on stdout, errors on stderr, in the form that was asked for.

use std::io::{self, Write as _};

use serde::Serialize;
use tiltyard_attestation::printable::{asks_for_json, plain_lines};

use super::OutputForm;

/// A command's result: one JSON document, or lines for a person.
pub(crate) trait Facts: Serialize {
    /// Lines for a person.
    fn lines(&self) -> Vec<String>;

    /// Prints to stdout. A closed pipe is the reader's choice, not an error.
    fn print(&self, form: OutputForm) {
        let text = match form {
            // Strings, integers and lists only, which always serialise.
            OutputForm::Json => serde_json::to_string(self).unwrap_or_default(),
            OutputForm::Text => self.lines().join("\n"),
        };
        let _ = writeln!(io::stdout().lock(), "{text}");
    }
}

#[derive(Serialize)]
struct Failed<'a> {
    code: &'a str,
    error: &'a str,
}

/// A file's name, or a document's member that an error repeats, says nothing to the terminal.
pub(super) fn failure(form: OutputForm, code: &str, error: &str) {
    let text = match form {
        OutputForm::Json => serde_json::to_string(&Failed { code, error }).unwrap_or_default(),
        OutputForm::Text => format!("tiltyard-broker: {}", plain_lines(error)),
    };
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What the parser of arguments says, made plain.
pub(super) fn usage(error: &str) {
    if asks_for_json(std::env::args_os()) {
        failure(OutputForm::Json, "E_USAGE", error);
    } else {
        let _ = writeln!(io::stderr().lock(), "{error}");
    }
}
