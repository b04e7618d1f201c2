//! Source files: JSON Lines, a JSON array, CSV. Each gives records of named values, one at a time.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::rc::Rc;

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::json;
use super::mapping::Mapping;
use super::rows::{Collector, LINE_MAX_BYTES, Report, RowProblem, Rows};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How a source is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// UTF-8, one optional byte order mark at the start, one object a line, no blank lines.
    Jsonl,
    /// One array of objects, read element by element.
    Json,
    /// RFC 4180 with a header; every value is a string, and every record has as many as the header has names.
    Csv,
}

impl Format {
    /// By the ending of a file's name.
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// Reads every record of a source. A source with one bad row is refused; its report names as many as there are.
pub fn read_rows(format: Format, reader: impl BufRead, mapping: &Mapping) -> Result<Rows, Report> {
    let mut rows = Collector::new(format, mapping);
    match format {
        Format::Jsonl => lines(reader, &mut rows),
        Format::Json => elements(reader, &mut rows),
        Format::Csv => records(reader, mapping, &mut rows),
    }
    rows.finish()
}

fn lines(mut reader: impl BufRead, rows: &mut Collector<'_>) {
    let mut line = Zeroizing::new(Vec::new());
    for number in 1.. {
        line.clear();
        let limit = LINE_MAX_BYTES as u64 + 2;
        if let Err(error) = reader.by_ref().take(limit).read_until(b'\n', &mut line) {
            let _ = rows.refuse(number, None, RowProblem::Io(error.kind()));
            return;
        }
        let terminated = line.pop_if(|last| *last == b'\n').is_some();
        let mut text = &line[..];
        if number == 1 {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        if text.is_empty() && !terminated {
            return;
        }
        let record = object_of(text).map_err(|problem| (None, problem));
        if rows.take(number, record).is_break() {
            return;
        }
    }
}

fn object_of(line: &[u8]) -> Result<Map<String, Value>, RowProblem> {
    if line.len() > LINE_MAX_BYTES {
        return Err(RowProblem::LineTooLong);
    }
    let text = str::from_utf8(line).map_err(|_| RowProblem::NotUtf8)?;
    if text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
        return Err(RowProblem::Blank);
    }
    json::object(text)
}

/// An array's elements, each handed on as soon as it is read.
fn elements(reader: impl BufRead, rows: &mut Collector<'_>) {
    let budget = Budget::new();
    let mut reader = serde_json::Deserializer::from_reader(budget.over(WithoutMark::new(reader)));
    let mut elements = Elements { rows, budget: &budget, refused: Cell::new(None), number: 0, ended: false };
    let outcome = reader.deserialize_any(&mut elements).and_then(|()| reader.end());
    let Elements { refused, number, ended, .. } = elements;
    if let Err(error) = outcome
        && !ended
    {
        let problem = refused.take().unwrap_or_else(|| match (error.io_error_kind(), budget.spent()) {
            (_, true) => RowProblem::LineTooLong,
            (Some(kind), false) => RowProblem::Io(kind),
            (None, false) => RowProblem::NotJson { byte: error.column() as u64 },
        });
        // Behind a place that is no JSON no element can be found.
        let _ = rows.refuse(number + 1, None, problem);
        rows.stop();
    }
}

struct Elements<'a, 'm> {
    rows: &'a mut Collector<'m>,
    budget: &'a Budget,
    refused: Cell<Option<RowProblem>>,
    number: u64,
    /// The collector wants no more.
    ended: bool,
}

impl<'de> Visitor<'de> for &mut Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.budget.renew();
        while let Some(value) = list.next_element_seed(json::Element(&self.refused))? {
            self.budget.renew();
            self.number += 1;
            let record = match value {
                Value::Object(object) => Ok(object),
                _ => Err((None, RowProblem::NotAnObject)),
            };
            if self.rows.take(self.number, record).is_break() {
                self.ended = true;
                return Err(A::Error::custom("ended"));
            }
        }
        Ok(())
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.refused.set(Some(RowProblem::NotAnArray));
        Err(A::Error::custom("an object"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.refused.set(Some(RowProblem::NotAnArray));
        Err(E::custom("null"))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.visit_unit()
    }
}

/// The records of a table with a header.
fn records(reader: impl BufRead, mapping: &Mapping, rows: &mut Collector<'_>) {
    let budget = Budget::new();
    let mut table = csv::ReaderBuilder::new().flexible(false).from_reader(budget.over(reader));
    let problem_of = |error: &csv::Error| match error.kind() {
        _ if budget.spent() => RowProblem::LineTooLong,
        csv::ErrorKind::Utf8 { .. } => RowProblem::NotUtf8,
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            RowProblem::Ragged { expected: *expected_len, got: *len }
        }
        csv::ErrorKind::Io(error) => RowProblem::Io(error.kind()),
        _ => RowProblem::Io(io::ErrorKind::InvalidData),
    };
    let names: Vec<String> = match table.headers() {
        Ok(header) => header.iter().map(str::to_owned).collect(),
        Err(error) => {
            let problem = problem_of(&error);
            let _ = rows.refuse(1, None, problem);
            return rows.stop();
        }
    };
    if names.iter().all(String::is_empty) {
        let _ = rows.refuse(1, None, RowProblem::NoHeader);
        return;
    }
    let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
    if let Some((_, name)) = twice {
        let _ = rows.refuse(1, Some(name.clone()), RowProblem::DuplicateColumn);
        return rows.stop();
    }
    // A column that the owner named and the table has not is a slip, not an absent value.
    if let Some(column) = mapping.columns().find(|column| !names.iter().any(|name| name == column)) {
        let _ = rows.refuse(1, Some(column.to_owned()), RowProblem::Missing);
        return rows.stop();
    }
    let mut record = csv::StringRecord::new();
    loop {
        budget.renew();
        let read = table.read_record(&mut record);
        let line = |position: Option<&csv::Position>| position.map_or(1, csv::Position::line);
        let flow = match read {
            Ok(false) => return,
            Ok(true) => {
                let values = record.iter().map(|value| Value::String(value.to_owned()));
                rows.take(line(record.position()), Ok(names.iter().cloned().zip(values).collect()))
            }
            Err(error) => {
                let problem = problem_of(&error);
                rows.take(line(error.position()), Err((None, problem)))
            }
        };
        if flow.is_break() {
            return;
        }
    }
}

/// Bytes that may be read for one record: a quote that never closes would else be read to the end of the disk.
struct Budget(Rc<Cell<u64>>);

impl Budget {
    /// What readers take beyond a record, because they buffer.
    const AHEAD_BYTES: u64 = 256 * 1024;

    fn new() -> Self {
        let budget = Self(Rc::default());
        budget.renew();
        budget
    }

    fn renew(&self) {
        self.0.set(LINE_MAX_BYTES as u64 + Self::AHEAD_BYTES);
    }

    fn spent(&self) -> bool {
        self.0.get() == 0
    }

    fn over<R: Read>(&self, inner: R) -> Budgeted<R> {
        Budgeted { inner, left: Rc::clone(&self.0) }
    }
}

struct Budgeted<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let read = self.inner.read(&mut buf[..most])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}

/// Leaves out one byte order mark at the start.
struct WithoutMark<R> {
    inner: R,
    begun: bool,
}

impl<R: BufRead> WithoutMark<R> {
    fn new(inner: R) -> Self {
        Self { inner, begun: false }
    }
}

impl<R: BufRead> Read for WithoutMark<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.begun = true;
            // Buffers hold more than three bytes; a source that gives fewer at first has no mark worth taking.
            if self.inner.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
                self.inner.consume(BYTE_ORDER_MARK.len());
            }
        }
        self.inner.read(buf)
    }
}
