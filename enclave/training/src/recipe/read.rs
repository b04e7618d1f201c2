//! Reading TOML tables field by field, collecting every error instead of stopping at the first.

use crate::RecipeError;
use std::cell::RefCell;
use std::ops::RangeInclusive;
use toml::{Table, Value};

/// Longest text of a recipe that an error repeats, characters.
const MAX_GOT: usize = 64;

pub(super) type Errors = RefCell<Vec<RecipeError>>;

/// One table: which of its fields were asked for, and where errors go.
pub(super) struct Fields<'a> {
    path: String,
    table: Option<&'a Table>,
    asked: RefCell<Vec<&'static str>>,
    errors: &'a Errors,
}

impl<'a> Fields<'a> {
    pub(super) fn root(table: &'a Table, errors: &'a Errors) -> Self {
        Self { path: String::new(), table: Some(table), asked: RefCell::default(), errors }
    }

    /// A table within this one; an absent one has only defaults.
    pub(super) fn table(&self, name: &'static str) -> Self {
        let table = match self.get(name) {
            None => None,
            Some(Value::Table(table)) => Some(table),
            Some(other) => {
                self.refuse(name, "a table", &show(other));
                None
            }
        };
        Self { path: format!("{}{name}.", self.path), table, asked: RefCell::default(), errors: self.errors }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|t| t.contains_key(name))
    }

    pub(super) fn integer(&self, name: &'static str, default: i64, range: RangeInclusive<i64>) -> i64 {
        match self.get(name) {
            None => default,
            Some(Value::Integer(v)) if range.contains(v) => *v,
            Some(other) => {
                self.refuse(name, &format!("{} to {}", range.start(), range.end()), &show(other));
                default
            }
        }
    }

    pub(super) fn required_integer(&self, name: &'static str, range: RangeInclusive<i64>) {
        if self.has(name) {
            self.integer(name, *range.start(), range);
        } else {
            self.asked.borrow_mut().push(name);
            self.refuse(name, &range.start().to_string(), "nothing");
        }
    }

    /// A finite number; an integer will do.
    pub(super) fn number(
        &self,
        name: &'static str,
        default: f64,
        expected: &str,
        allowed: impl Fn(f64) -> bool,
    ) -> f64 {
        let value = match self.get(name) {
            None => return default,
            Some(Value::Float(v)) => Some(*v),
            Some(Value::Integer(v)) => Some(*v as f64),
            Some(_) => None,
        };
        match value.filter(|v| v.is_finite() && allowed(*v)) {
            Some(value) => value,
            None => {
                self.refuse(name, expected, &self.get(name).map(show).unwrap_or_default());
                default
            }
        }
    }

    pub(super) fn choice<T: Copy>(&self, name: &'static str, default: &str, choices: &[(&str, T)]) -> T {
        let text = match self.get(name) {
            None => default,
            Some(Value::String(text)) => text,
            Some(_) => "",
        };
        if let Some((_, value)) = choices.iter().find(|(choice, _)| *choice == text) {
            return *value;
        }
        let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
        self.refuse(name, &names.join(" | "), &self.get(name).map(show).unwrap_or_default());
        choices[0].1
    }

    pub(super) fn text_is(&self, name: &'static str, text: &str) -> bool {
        let value = self.table.and_then(|t| t.get(name));
        let is = value.and_then(Value::as_str) == Some(text);
        if is {
            self.asked.borrow_mut().push(name);
        }
        is
    }

    /// A list of distinct names, at least one; absent is all.
    pub(super) fn set<const N: usize>(&self, name: &'static str, names: &[&str; N]) -> [bool; N] {
        let expected = || format!("a list of some of {}, each once", names.join(", "));
        match self.get(name) {
            None => [true; N],
            Some(Value::Array(list)) => {
                let mut chosen = [false; N];
                for value in list {
                    let index = value.as_str().and_then(|v| names.iter().position(|n| *n == v));
                    match index.filter(|i| !chosen[*i]) {
                        Some(index) => chosen[index] = true,
                        None => self.refuse(name, &expected(), &show(value)),
                    }
                }
                if list.is_empty() {
                    self.refuse(name, &expected(), "an empty list");
                }
                chosen
            }
            Some(other) => {
                self.refuse(name, &expected(), &show(other));
                [true; N]
            }
        }
    }

    /// Two integers in ascending order.
    pub(super) fn pair(&self, name: &'static str, range: RangeInclusive<i64>) -> Option<(usize, usize)> {
        let value = self.get(name)?;
        let list: Option<Vec<i64>> =
            value.as_array().and_then(|list| list.iter().map(Value::as_integer).collect());
        match list.as_deref() {
            Some([first, last]) if range.contains(first) && range.contains(last) && first <= last => {
                Some((*first as usize, *last as usize))
            }
            _ => {
                self.refuse(name, "[first, last] with first <= last", &show(value));
                None
            }
        }
    }

    pub(super) fn refuse(&self, name: &str, expected: &str, got: &str) {
        let error = RecipeError {
            path: format!("{}{}", self.path, cut(name)),
            expected: expected.to_owned(),
            got: cut(got),
        };
        self.errors.borrow_mut().push(error);
    }

    /// Refuses every field that nobody asked for.
    pub(super) fn end(&self) {
        let asked = self.asked.borrow();
        for name in self.table.into_iter().flat_map(Table::keys) {
            if !asked.contains(&name.as_str()) {
                self.refuse(name, "no field of this name", "one");
            }
        }
    }

    fn get(&self, name: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(name);
        self.table?.get(name)
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", cut(text)),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Table(_) => "a table".to_owned(),
        other => cut(&other.to_string()),
    }
}

pub(super) fn cut(text: &str) -> String {
    text.chars().take(MAX_GOT).collect()
}
