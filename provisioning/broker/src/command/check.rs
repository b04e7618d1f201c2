//! `check`: a dataset's rows read as `seal` reads them, with a report of what must be mended.

use std::io::BufReader;

use serde::Serialize;
use tiltyard_attestation::printable::plain;
use tiltyard_provisioning::dataset::{Report, Rows, read_rows};

use crate::BrokerError;
use crate::cli::{Facts, OutputForm, SourceArgs};
use crate::file::open_regular;

#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    report: Report,
    /// What to do about each problem that is listed, in their order.
    fixes: Vec<&'static str>,
}

/// Reads a file of rows; a refused one comes with its report.
pub(super) fn read(source: &SourceArgs) -> Result<Result<Rows, Report>, BrokerError> {
    let input = open_regular(&source.input)?;
    Ok(read_rows(source.format, BufReader::with_capacity(READ_BYTES, input), &source.mapping))
}

const READ_BYTES: usize = 256 * 1024;

/// The report stands on standard output whatever it says; rows that must be mended are exit code 3.
pub(super) fn check(source: &SourceArgs, form: OutputForm) -> Result<(), BrokerError> {
    let (report, refused) = match read(source)? {
        Ok(Rows { report, .. }) => (report, None),
        Err(report) => (report.clone(), Some(report)),
    };
    let fixes = report.problems.iter().map(|problem| problem.problem.fix()).collect();
    Checked { report, fixes }.print(form)?;
    refused.map_or(Ok(()), |report| Err(BrokerError::coded(report)))
}

impl Facts for Checked {
    fn lines(&self) -> Vec<String> {
        let Report { source_rows, kept, dropped, refused, problems, stopped, .. } = &self.report;
        let mut lines = vec![format!(
            "{source_rows} rows: {kept} to seal, {dropped} left out by the rules, {refused} to mend"
        )];
        for (problem, fix) in problems.iter().zip(&self.fixes) {
            let column = problem.column.as_deref().map(|column| format!(", column {}", plain(column)));
            let column = column.unwrap_or_default();
            lines.push(format!("row {}{column}: {}\n  {fix}", problem.number, problem.problem));
        }
        let listed = problems.len() as u64;
        if *refused > listed {
            lines.push(format!("and {} more", refused - listed));
        }
        if *stopped {
            lines.push("what stands behind the last one was not looked at".to_owned());
        }
        lines
    }
}
