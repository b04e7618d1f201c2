use std::io::{self, BufRead, Read};

use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::json;

/// Longest source line, in bytes, without its line feed.
pub const LINE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Longest canonical row, in bytes.
pub const ROW_MAX_BYTES: usize = 1024 * 1024;
/// Most rows of one dataset.
pub const ROWS_MAX: u64 = 1_000_000_000;
/// Most bytes of canonical rows of one dataset: they are held in memory.
pub const DATASET_MAX_BYTES: u64 = 4 << 30;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Which source column fills which field of an instruct row, and which columns keep rows together.
///
/// Columns that are not named here are dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Required field.
    pub instruction: String,
    /// Optional field: absent, null and empty are the same.
    pub input: Option<String>,
    /// Required field.
    pub output: String,
    /// Optional field: absent, null and empty are the same.
    pub system: Option<String>,
    /// Rows with equal values in all of these stay on one side of the split (customer, document). Empty:
    /// only equal rows stay together.
    pub group_columns: Vec<String>,
}

/// One row in canonical form (RFC 8785), with what it is grouped by. Wiped when dropped.
pub struct Row {
    canonical: Zeroizing<Vec<u8>>,
    group: Option<Zeroizing<Vec<u8>>>,
}

/// Which source row was refused, and why; never what stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("E_ROW: row {number}{}: {problem}", column_text(.column))]
pub struct RowError {
    /// Line in the source, from 1.
    pub number: u64,
    /// Source column, where one is to blame.
    pub column: Option<String>,
    pub problem: RowProblem,
}

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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
    #[error("expected at most {ROW_MAX_BYTES} bytes in a row")]
    RowTooLong,
    #[error("expected at most {ROWS_MAX} rows")]
    TooManyRows,
    #[error("expected at most {DATASET_MAX_BYTES} bytes of rows")]
    DatasetTooLarge,
    #[error("the source can't be read: {0}")]
    Io(io::ErrorKind),
}

/// Reads JSON Lines: UTF-8, one optional byte order mark at the start, one object a line, no blank lines.
pub fn read_jsonl(mut reader: impl BufRead, mapping: &Mapping) -> Result<Vec<Row>, RowError> {
    let mut rows = Vec::new();
    let mut line = Zeroizing::new(Vec::new());
    let mut total_bytes = 0;
    loop {
        let number = rows.len() as u64 + 1;
        let refuse = |problem| RowError { number, column: None, problem };
        line.clear();
        let limit = LINE_MAX_BYTES as u64 + 2;
        reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(|error| refuse(RowProblem::Io(error.kind())))?;
        let terminated = line.pop_if(|last| *last == b'\n').is_some();
        let mut text = &line[..];
        if number == 1 {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        if text.is_empty() && !terminated {
            return Ok(rows);
        }
        if number > ROWS_MAX {
            return Err(refuse(RowProblem::TooManyRows));
        }
        let row =
            canonical_row(text, mapping).map_err(|(column, problem)| RowError { number, column, problem })?;
        total_bytes += row.len_bytes();
        if total_bytes > DATASET_MAX_BYTES {
            return Err(refuse(RowProblem::DatasetTooLarge));
        }
        rows.push(row);
    }
}

impl Row {
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

impl Mapping {
    /// Fields that rows of this mapping may have, in canonical order.
    pub(super) fn fields(&self) -> Vec<String> {
        let optional = |field: &str, column: &Option<String>| column.as_ref().map(|_| field.to_owned());
        [optional("input", &self.input), Some("instruction".into()), Some("output".into())]
            .into_iter()
            .chain([optional("system", &self.system)])
            .flatten()
            .collect()
    }
}

/// The fields of an instruct row; JCS sorts them.
#[derive(Serialize)]
struct Instruct<'a> {
    instruction: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    output: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
}

type Refusal = (Option<String>, RowProblem);

fn canonical_row(line: &[u8], mapping: &Mapping) -> Result<Row, Refusal> {
    let refuse = |problem| (None, problem);
    if line.len() > LINE_MAX_BYTES {
        return Err(refuse(RowProblem::LineTooLong));
    }
    let text = str::from_utf8(line).map_err(|_| refuse(RowProblem::NotUtf8))?;
    if text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
        return Err(refuse(RowProblem::Blank));
    }
    let source = json::object(text).map_err(refuse)?;
    let row = Instruct {
        instruction: required(&source, &mapping.instruction)?,
        input: optional(&source, mapping.input.as_deref())?,
        output: required(&source, &mapping.output)?,
        system: optional(&source, mapping.system.as_deref())?,
    };
    Ok(Row { canonical: canonical(&row)?, group: group(&source, &mapping.group_columns)? })
}

fn required<'a>(source: &'a Map<String, Value>, column: &str) -> Result<&'a str, Refusal> {
    let refuse = |problem| Err((Some(column.to_owned()), problem));
    match source.get(column) {
        None | Some(Value::Null) => refuse(RowProblem::Missing),
        Some(Value::String(text)) if text.is_empty() => refuse(RowProblem::Empty),
        Some(Value::String(text)) => Ok(text),
        Some(_) => refuse(RowProblem::NotAString),
    }
}

fn optional<'a>(source: &'a Map<String, Value>, column: Option<&str>) -> Result<Option<&'a str>, Refusal> {
    let Some(column) = column else { return Ok(None) };
    match source.get(column) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err((Some(column.to_owned()), RowProblem::NotAString)),
    }
}

fn group(source: &Map<String, Value>, columns: &[String]) -> Result<Option<Zeroizing<Vec<u8>>>, Refusal> {
    if columns.is_empty() {
        return Ok(None);
    }
    let mut group = Map::new();
    for column in columns {
        match source.get(column) {
            None | Some(Value::Null) => return Err((Some(column.clone()), RowProblem::Missing)),
            Some(value) => group.insert(column.clone(), value.clone()),
        };
    }
    canonical(&group).map(Some)
}

fn canonical(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let bytes = serde_jcs::to_vec(value).map(Zeroizing::new).map_err(|_| (None, RowProblem::Number))?;
    if bytes.len() > ROW_MAX_BYTES {
        return Err((None, RowProblem::RowTooLong));
    }
    Ok(bytes)
}

fn column_text(column: &Option<String>) -> String {
    column.as_ref().map(|column| format!(", column {column}")).unwrap_or_default()
}
