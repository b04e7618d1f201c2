//! Canonical rows, and what is wrong with those that are refused; never what stands in them.

use std::fmt;
use std::io;
use std::ops::ControlFlow;

use serde::Serialize;
use serde_json::{Map, Value};
use tiltyard_attestation::printable::plain;
use zeroize::Zeroizing;

use super::json;
use super::mapping::{Fate, Mapping, Refusal};
use super::source::Format;

/// Longest source line or record, in bytes, without its line feed.
pub const LINE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Longest canonical row, in bytes.
pub const ROW_MAX_BYTES: usize = 1024 * 1024;
/// Most rows of one dataset.
pub const ROWS_MAX: u64 = 1_000_000_000;
/// Most bytes of canonical rows of one dataset: they are held in memory.
pub const DATASET_MAX_BYTES: u64 = 4 << 30;
/// Problems that a report lists; the others are counted.
pub const PROBLEMS_LISTED: usize = 100;

/// One row in canonical form (RFC 8785), with what it is grouped by. Wiped when dropped.
pub struct Row {
    canonical: Zeroizing<Vec<u8>>,
    group: Option<Zeroizing<Vec<u8>>>,
}

/// The rows that a source gave, and how it went.
pub struct Rows {
    pub rows: Vec<Row>,
    pub report: Report,
}

/// What was found in a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub format: Format,
    /// Rows that were looked at.
    pub source_rows: u64,
    /// Rows that will be sealed.
    pub kept: u64,
    /// Rows that the rules of their kind leave out.
    pub dropped: u64,
    /// Rows that must be mended first; the source is then refused as a whole.
    pub refused: u64,
    /// The first of them, [`PROBLEMS_LISTED`] at most.
    pub problems: Vec<RowError>,
    /// Reading ended at the last problem: what follows was not looked at.
    pub stopped: bool,
}

/// Which source row was refused, and why; never what stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("E_ROW: row {number}{}: {problem}", column_text(.column))]
pub struct RowError {
    /// Line of a text, element of a JSON array, row of a Parquet file; from 1.
    pub number: u64,
    /// Source column, where one is to blame.
    pub column: Option<String>,
    #[serde(serialize_with = "told")]
    pub problem: RowProblem,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowProblem {
    #[error("expected UTF-8")]
    NotUtf8,
    #[error("expected a JSON object, found a blank line")]
    Blank,
    #[error("expected at most {LINE_MAX_BYTES} bytes in a line")]
    LineTooLong,
    #[error("expected JSON, found something else at byte {byte}")]
    NotJson { byte: u64 },
    #[error("expected a JSON object, found another JSON value")]
    NotAnObject,
    #[error("expected a list of objects, found another JSON value")]
    NotAnArray,
    #[error("expected every key once")]
    DuplicateKey,
    #[error("expected nesting up to {}", json::DEPTH_MAX)]
    TooDeep,
    #[error("expected numbers within 64-bit integers")]
    Number,
    #[error("the column is missing or null")]
    Missing,
    #[error("the column is empty")]
    Empty,
    #[error("expected a string")]
    NotAString,
    #[error("expected a list of messages")]
    NotAList,
    #[error("expected {expected} values as the header has names, found {got}")]
    Ragged { expected: u64, got: u64 },
    #[error("expected every column name once")]
    DuplicateColumn,
    #[error("expected a header with names of columns")]
    NoHeader,
    #[error("expected at most {ROW_MAX_BYTES} bytes in a row")]
    RowTooLong,
    #[error("expected at most {ROWS_MAX} rows")]
    TooManyRows,
    #[error("expected at most {DATASET_MAX_BYTES} bytes of rows")]
    DatasetTooLarge,
    #[error("the source can't be read: {0}")]
    Io(io::ErrorKind),
}

impl RowProblem {
    /// What the owner can do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::NotUtf8 => "convert the file to UTF-8",
            Self::Blank => "take the blank line out",
            Self::LineTooLong | Self::RowTooLong => "shorten the row, or leave it out",
            Self::NotJson { .. } | Self::NotAnObject | Self::NotAnArray => "write JSON, one object a row",
            Self::DuplicateKey | Self::DuplicateColumn => "name each once",
            Self::TooDeep => "flatten the row",
            Self::Number => "write large numbers as strings",
            Self::Missing | Self::Empty => "fill the column, or leave the row out",
            Self::NotAString => "write the value as a string",
            Self::NotAList => "write a list of objects with a role and a content",
            Self::Ragged { .. } => "quote values that hold a comma, a quote or a line break",
            Self::NoHeader => "write the names of the columns in the first line",
            Self::TooManyRows | Self::DatasetTooLarge => "split the dataset",
            Self::Io(_) => "look at the file and its disk",
        }
    }

    /// Nothing can be read behind it.
    fn ends(&self) -> bool {
        matches!(
            self,
            Self::LineTooLong
                | Self::TooManyRows
                | Self::DatasetTooLarge
                | Self::NotAnArray
                | Self::NoHeader
                | Self::Io(_)
        )
    }
}

impl Row {
    pub(super) fn new(canonical: Zeroizing<Vec<u8>>, group: Option<Zeroizing<Vec<u8>>>) -> Self {
        Self { canonical, group }
    }

    /// The canonical row.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Canonical bytes of the group columns, or of the whole row.
    pub(super) fn group(&self) -> &[u8] {
        self.group.as_ref().unwrap_or(&self.canonical)
    }

    pub(super) fn into_canonical(self) -> Zeroizing<Vec<u8>> {
        self.canonical
    }

    fn len_bytes(&self) -> u64 {
        (self.canonical.len() + self.group.as_ref().map_or(0, |group| group.len())) as u64
    }
}

/// Takes the records of a source one by one.
pub(super) struct Collector<'m> {
    mapping: &'m Mapping,
    rows: Vec<Row>,
    report: Report,
    bytes: u64,
}

impl<'m> Collector<'m> {
    pub(super) fn new(format: Format, mapping: &'m Mapping) -> Self {
        let report = Report {
            format,
            source_rows: 0,
            kept: 0,
            dropped: 0,
            refused: 0,
            problems: Vec::new(),
            stopped: false,
        };
        Self { mapping, rows: Vec::new(), report, bytes: 0 }
    }

    /// Takes the record at `number`, or what is wrong with it; breaks where nothing more is to be read.
    pub(super) fn take(
        &mut self,
        number: u64,
        record: Result<Map<String, Value>, Refusal>,
    ) -> ControlFlow<()> {
        self.report.source_rows += 1;
        let fate = match record.and_then(|record| self.mapping.apply(&record)) {
            _ if self.report.source_rows > ROWS_MAX => Err((None, RowProblem::TooManyRows)),
            Ok(Fate::Kept(row)) if self.bytes + row.len_bytes() > DATASET_MAX_BYTES => {
                Err((None, RowProblem::DatasetTooLarge))
            }
            other => other,
        };
        match fate {
            Ok(Fate::Kept(row)) => {
                self.bytes += row.len_bytes();
                self.report.kept += 1;
                // Of a source that is refused no row is needed.
                if self.report.refused == 0 {
                    self.rows.push(row);
                }
                ControlFlow::Continue(())
            }
            Ok(Fate::Dropped) => {
                self.report.dropped += 1;
                ControlFlow::Continue(())
            }
            Err((column, problem)) => self.refuse(number, column, problem),
        }
    }

    /// Notes a problem that is no row's.
    pub(super) fn refuse(
        &mut self,
        number: u64,
        column: Option<String>,
        problem: RowProblem,
    ) -> ControlFlow<()> {
        self.rows.clear();
        self.report.refused += 1;
        self.report.stopped = problem.ends();
        if self.report.problems.len() < PROBLEMS_LISTED {
            self.report.problems.push(RowError { number, column, problem });
        }
        match self.report.stopped {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Reading can't go on behind the last problem.
    pub(super) fn stop(&mut self) {
        self.report.stopped = true;
    }

    pub(super) fn finish(self) -> Result<Rows, Report> {
        let Self { rows, report, .. } = self;
        if report.refused == 0 { Ok(Rows { rows, report }) } else { Err(report) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.first() {
            None => write!(f, "{} rows, {} to seal, {} left out", self.source_rows, self.kept, self.dropped),
            Some(first) => {
                write!(f, "{first}\n  {}", first.problem.fix())?;
                if self.refused > 1 {
                    write!(f, "\n  and {} more rows to mend", self.refused - 1)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Report {}

fn told<S: serde::Serializer>(problem: &RowProblem, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(problem)
}

fn column_text(column: &Option<String>) -> String {
    // A header may hold line breaks, and what a terminal obeys.
    column.as_ref().map(|column| format!(", column {}", plain(column))).unwrap_or_default()
}
