//! JSON as rows may hold it: no duplicate keys, bounded depth, integers within i64 (PROVISIONING 2).

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::rows::RowProblem;

/// Deepest nesting of a row, counting its own object.
pub(super) const DEPTH_MAX: usize = 32;

/// From here on a double no longer is an exact integer of ours; serde_json reads longer integers as doubles.
const INTEGER_BOUND: f64 = 9_223_372_036_854_775_808.0;

/// One line's object. Errors say what is wrong and never what stands there.
pub(super) fn object(line: &str) -> Result<Map<String, Value>, RowProblem> {
    match value(line)? {
        Value::Object(object) => Ok(object),
        _ => Err(RowProblem::NotAnObject),
    }
}

/// One value of any kind, by the same rules.
pub(super) fn value(text: &str) -> Result<Value, RowProblem> {
    let refused = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    Strict { depth: 1, refused: &refused }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| refused.take().unwrap_or(RowProblem::NotJson { byte: error.column() as u64 }))
}

/// One value within a longer text; the cell says why one was refused.
pub(super) struct Element<'a>(pub(super) &'a Cell<Option<RowProblem>>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Strict { depth: 1, refused: self.0 })
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    refused: &'a Cell<Option<RowProblem>>,
}

impl Strict<'_> {
    fn refuse<T, E: Error>(&self, problem: RowProblem) -> Result<T, E> {
        self.refused.set(Some(problem));
        Err(E::custom(""))
    }

    fn deeper<E: Error>(mut self) -> Result<Self, E> {
        if self.depth > DEPTH_MAX {
            return self.refuse(RowProblem::TooDeep);
        }
        self.depth += 1;
        Ok(self)
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        match i64::try_from(value) {
            Ok(value) => Ok(value.into()),
            Err(_) => self.refuse(RowProblem::Number),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        match Number::from_f64(value) {
            Some(number) if value.abs() < INTEGER_BOUND => Ok(Value::Number(number)),
            _ => self.refuse(RowProblem::Number),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            // A plain map would keep the last of two equal keys, and two readers could see two rows.
            if map.contains_key(&key) {
                return self.refuse(RowProblem::DuplicateKey);
            }
            let value = entries.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
