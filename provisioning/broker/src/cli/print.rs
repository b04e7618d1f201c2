//! Results on stdout, errors on stderr, in the form that was asked for.

use std::io::{self, Write as _};
use std::path::Path;

use serde::{Serialize, Serializer};
use tiltyard_attestation::printable::{asks_for_json, plain_json, plain_lines};

use super::OutputForm;
use crate::BrokerError;

/// A command's result: one JSON document, or lines for a person.
pub(crate) trait Facts: Serialize {
    /// Lines for a person.
    fn lines(&self) -> Vec<String>;

    /// Prints to stdout. A closed pipe is the reader's choice; a full disk is an error.
    fn print(&self, form: OutputForm) -> Result<(), BrokerError> {
        let text = match form {
            // Strings, integers and lists only, which always serialise.
            OutputForm::Json => plain_json(&serde_json::to_string(self).unwrap_or_default()),
            OutputForm::Text => {
                let lines: Vec<String> = self.lines().iter().map(|line| plain_lines(line)).collect();
                lines.join("\n")
            }
        };
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(BrokerError::io("write", Path::new("standard output"), source))
            }
            _ => Ok(()),
        }
    }
}

/// A path as JSON holds it; a name that is no Unicode is told as near as can be.
pub(crate) fn path_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[derive(Serialize)]
struct Failed<'a> {
    code: &'a str,
    error: &'a str,
}

/// A file's name, or a document's member that an error repeats, says nothing to the terminal.
pub(super) fn failure(form: OutputForm, code: &str, error: &str) {
    // A refusal's text begins with its code, which JSON has a member for.
    let own = error.strip_prefix(code).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(error);
    let text = match form {
        OutputForm::Json => {
            plain_json(&serde_json::to_string(&Failed { code, error: own }).unwrap_or_default())
        }
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
