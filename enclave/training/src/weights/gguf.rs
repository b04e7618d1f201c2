//! GGUF v3: a bounded reader of the header, and the tensors' byte ranges. Little-endian throughout.

use crate::ModelError;
use std::collections::{BTreeMap, btree_map::Entry};
use std::ops::Range;

/// Largest header: everything before the tensors' bytes.
const MAX_HEADER: usize = 64 << 20;
/// Most tensors in a file.
const MAX_TENSORS: u64 = 65_536;
/// Most metadata keys.
const MAX_KEYS: u64 = 4_096;
/// Most dimensions of a tensor.
const MAX_DIMS: u32 = 4;
/// Longest name or key, bytes.
const MAX_NAME: usize = 256;
/// Most elements of one metadata array.
const MAX_ARRAY: u64 = 1 << 20;

/// How a tensor is stored (the file's `ggml_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    F32,
    Q4_1,
    Q8_0,
}

impl Format {
    fn from_code(name: &str, code: u32) -> Result<Self, ModelError> {
        match code {
            0 => Ok(Self::F32),
            3 => Ok(Self::Q4_1),
            8 => Ok(Self::Q8_0),
            other => Err(ModelError::Unsupported {
                field: format!("the type of tensor {name}"),
                got: other.to_string(),
            }),
        }
    }

    /// (weights, bytes) of a block.
    fn block(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 4),
            Self::Q4_1 => (32, 20),
            Self::Q8_0 => (32, 34),
        }
    }
}

/// One tensor; `shape` is outermost first, so a matrix is [out, in].
#[derive(Debug, Clone)]
pub(crate) struct TensorInfo {
    pub(crate) shape: Vec<u64>,
    pub(crate) format: Format,
    pub(crate) bytes: Range<usize>,
}

/// A metadata value; strings are borrowed from the file.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(&'a str),
    Texts(Vec<&'a str>),
    Integers(Vec<i128>),
    Floats,
}

/// The header of a GGUF file.
pub(crate) struct Header<'a> {
    metadata: BTreeMap<&'a str, Value<'a>>,
    pub(crate) tensors: BTreeMap<&'a str, TensorInfo>,
    /// Bytes of the metadata entries whose keys start with `tokenizer.`, in file order.
    pub(crate) tokenizer: Vec<&'a [u8]>,
}

impl<'a> Header<'a> {
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self, ModelError> {
        let mut reader = Reader { file, at: 0 };
        if reader.take(4)? != b"GGUF" {
            return Err(malformed("the magic GGUF", "other bytes"));
        }
        let version = reader.u32()?;
        if version != 3 {
            return Err(malformed("version 3", &format!("version {version}")));
        }
        let tensor_count = limited("tensors", reader.u64()?, MAX_TENSORS)?;
        let key_count = limited("metadata keys", reader.u64()?, MAX_KEYS)?;
        let mut metadata = BTreeMap::new();
        let mut tokenizer = Vec::new();
        for _ in 0..key_count {
            let start = reader.at;
            let key = reader.name()?;
            let value = reader.value()?;
            if key.starts_with("tokenizer.") {
                tokenizer.push(&file[start..reader.at]);
            }
            if metadata.insert(key, value).is_some() {
                return Err(inconsistent(key, "one entry", "two"));
            }
        }
        let mut raw = Vec::new();
        for _ in 0..tensor_count {
            raw.push(reader.tensor()?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Integer(a)) if (1..=4096).contains(a) && a.count_ones() == 1 => *a as usize,
            Some(_) => {
                return Err(inconsistent("general.alignment", "a power of two up to 4096", "another value"));
            }
        };
        let data = reader.at.next_multiple_of(alignment);
        let tensors = place(raw, data, file.len())?;
        Ok(Self { metadata, tensors, tokenizer })
    }

    pub(crate) fn text(&self, key: &str) -> Result<&'a str, ModelError> {
        match self.metadata.get(key) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(inconsistent(key, "a text", kind(other))),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Result<&[&'a str], ModelError> {
        match self.metadata.get(key) {
            Some(Value::Texts(texts)) => Ok(texts),
            other => Err(inconsistent(key, "an array of texts", kind(other))),
        }
    }

    pub(crate) fn integers(&self, key: &str) -> Result<&[i128], ModelError> {
        match self.metadata.get(key) {
            Some(Value::Integers(values)) => Ok(values),
            other => Err(inconsistent(key, "an array of integers", kind(other))),
        }
    }

    /// An integer within `range`.
    pub(crate) fn integer(&self, key: &str, range: Range<usize>) -> Result<usize, ModelError> {
        match self.metadata.get(key) {
            Some(Value::Integer(v)) => {
                usize::try_from(*v).ok().filter(|v| range.contains(v)).ok_or_else(|| {
                    inconsistent(key, &format!("{} to {}", range.start, range.end - 1), &v.to_string())
                })
            }
            other => Err(inconsistent(key, "an integer", kind(other))),
        }
    }

    pub(crate) fn float(&self, key: &str) -> Result<f64, ModelError> {
        match self.metadata.get(key) {
            Some(Value::Float(v)) if v.is_finite() => Ok(*v),
            other => Err(inconsistent(key, "a finite number", kind(other))),
        }
    }

    /// Whether the file has the key at all.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.metadata.contains_key(key)
    }
}

struct RawTensor<'a> {
    name: &'a str,
    shape: Vec<u64>,
    format: Format,
    offset: u64,
    len: u64,
}

/// Turns offsets into ranges of the file: in bounds, not overlapping, no name twice.
fn place<'a>(
    raw: Vec<RawTensor<'a>>,
    data: usize,
    file_len: usize,
) -> Result<BTreeMap<&'a str, TensorInfo>, ModelError> {
    let mut tensors = BTreeMap::new();
    let mut ranges = Vec::new();
    for tensor in raw {
        let start = usize::try_from(tensor.offset).ok().and_then(|o| data.checked_add(o));
        let len = usize::try_from(tensor.len).ok();
        let range = start.zip(len).and_then(|(s, l)| Some(s..s.checked_add(l)?));
        let Some(range) = range.filter(|r| r.end <= file_len) else {
            return Err(inconsistent(tensor.name, "bytes within the file", "a range past its end"));
        };
        ranges.push((range.start, range.end));
        let info = TensorInfo { shape: tensor.shape, format: tensor.format, bytes: range };
        match tensors.entry(tensor.name) {
            Entry::Vacant(slot) => slot.insert(info),
            Entry::Occupied(_) => return Err(inconsistent(tensor.name, "one tensor", "two")),
        };
    }
    ranges.sort_unstable();
    if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(malformed("tensors side by side", "tensors that overlap"));
    }
    Ok(tensors)
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ModelError> {
        let end = self.at.checked_add(len).filter(|end| *end <= MAX_HEADER);
        let end =
            end.ok_or(ModelError::Limit { what: "header bytes", limit: MAX_HEADER as u64, got: len as u64 })?;
        let bytes =
            self.file.get(self.at..end).ok_or_else(|| malformed("a whole header", "the end of the file"))?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let bytes = self.take(N)?;
        <[u8; N]>::try_from(bytes).map_err(|_| malformed("a whole header", "the end of the file"))
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ModelError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, ModelError> {
        let len = usize::try_from(self.u64()?).map_err(|_| malformed("a short text", "a long one"))?;
        std::str::from_utf8(self.take(len)?).map_err(|_| malformed("UTF-8 text", "other bytes"))
    }

    fn name(&mut self) -> Result<&'a str, ModelError> {
        let name = self.text()?;
        limited("bytes of a name", name.len() as u64, MAX_NAME as u64)?;
        Ok(name)
    }

    fn value(&mut self) -> Result<Value<'a>, ModelError> {
        let kind = self.u32()?;
        if kind != 9 {
            return self.scalar(kind);
        }
        let element = self.u32()?;
        let len = limited("elements of an array", self.u64()?, MAX_ARRAY)?;
        if element == 8 {
            return (0..len).map(|_| self.text()).collect::<Result<_, _>>().map(Value::Texts);
        }
        let mut integers = Vec::new();
        let mut floats = false;
        for _ in 0..len {
            match self.scalar(element)? {
                Value::Integer(v) => integers.push(v),
                Value::Bool(v) => integers.push(v.into()),
                _ => floats = true,
            }
        }
        Ok(if floats { Value::Floats } else { Value::Integers(integers) })
    }

    fn scalar(&mut self, kind: u32) -> Result<Value<'a>, ModelError> {
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => match self.array::<1>()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(malformed("a flag of 0 or 1", &other.to_string())),
            },
            8 => Value::Text(self.text()?),
            10 => Value::Integer(self.u64()?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => return Err(malformed("a metadata type of GGUF v3", &other.to_string())),
        })
    }

    fn tensor(&mut self) -> Result<RawTensor<'a>, ModelError> {
        let name = self.name()?;
        let dims = self.u32()?;
        limited("dimensions of a tensor", dims.into(), MAX_DIMS.into())?;
        let mut shape = (0..dims).map(|_| self.u64()).collect::<Result<Vec<_>, _>>()?;
        shape.reverse();
        let format = Format::from_code(name, self.u32()?)?;
        let offset = self.u64()?;
        let (weights, bytes) = format.block();
        let elements = shape.iter().try_fold(1_u64, |n, d| n.checked_mul(*d));
        let whole = shape.last().is_some_and(|width| width % weights == 0);
        let len = elements.filter(|_| whole).and_then(|n| (n / weights).checked_mul(bytes));
        let len = len.ok_or_else(|| inconsistent(name, "rows of whole blocks", &format!("{shape:?}")))?;
        Ok(RawTensor { name, shape, format, offset, len })
    }
}

fn limited(what: &'static str, got: u64, limit: u64) -> Result<u64, ModelError> {
    if got > limit { Err(ModelError::Limit { what, limit, got }) } else { Ok(got) }
}

fn malformed(expected: &str, got: &str) -> ModelError {
    ModelError::Malformed { expected: expected.to_owned(), got: got.to_owned() }
}

pub(crate) fn inconsistent(field: &str, expected: &str, got: &str) -> ModelError {
    ModelError::Inconsistent { field: field.to_owned(), expected: expected.to_owned(), got: got.to_owned() }
}

fn kind(value: Option<&Value<'_>>) -> &'static str {
    match value {
        None => "nothing",
        Some(Value::Integer(_)) => "an integer",
        Some(Value::Float(_)) => "a number",
        Some(Value::Bool(_)) => "a flag",
        Some(Value::Text(_)) => "a text",
        Some(Value::Texts(_)) => "texts",
        Some(Value::Integers(_)) => "integers",
        Some(Value::Floats) => "numbers",
    }
}
