//! JSON that no two readers take differently: no member twice at any depth, bounded in depth and members, and in
//! documents of ours whole numbers only.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::de::Read;

/// Largest integer that every reader of JSON keeps exactly: 2^53 - 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a text is not of the one strict form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StrictError {
    #[error("duplicate field `{name}`")]
    Duplicate { name: String },
    #[error("expected at most {expected} levels of nesting")]
    Depth { expected: usize },
    #[error("expected at most {expected} members in an object")]
    Members { expected: usize },
    #[error("expected integers of at most 2^53 - 1, found another number")]
    Number,
    /// The parser's words may quote the text.
    #[error(transparent)]
    Syntax(serde_json::Error),
}

/// What a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Deepest nesting of lists and objects.
    pub depth: usize,
    /// Most members of one object.
    pub members: usize,
    pub numbers: Numbers,
}

/// Which numbers a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Integers within [`INTEGER_MAX`], of either sign.
    Whole,
    Any,
}

impl Form {
    /// Whether the text is of this form. Types refuse unknown members themselves.
    pub fn check(&self, text: &[u8]) -> Result<(), StrictError> {
        match std::str::from_utf8(text) {
            // Checked once, and not string by string.
            Ok(text) => self.walk(serde_json::Deserializer::from_str(text)),
            Err(_) => self.walk(serde_json::Deserializer::from_slice(text)),
        }
    }

    fn walk<'de, R: Read<'de>>(&self, mut reader: serde_json::Deserializer<R>) -> Result<(), StrictError> {
        let fault = RefCell::new(None);
        let walk = Walk { form: self, left: self.depth, fault: &fault };
        let walked = walk.deserialize(&mut reader).and_then(|()| reader.end());
        walked.map_err(|error| fault.take().unwrap_or(StrictError::Syntax(error)))
    }
}

/// How deep documents of ours nest at most; policies and anchors need eight levels.
const DOCUMENT: Form = Form { depth: 16, members: usize::MAX, numbers: Numbers::Whole };

/// Reads a policy or anchors: of the strict form, and every object of it stands as an object and every word as a string: derived readers also take a list
/// of values for an object, and an object for a word, which nobody would read as what it does.
pub(crate) fn by_name<T: DeserializeOwned + Serialize>(text: &[u8]) -> Result<T, String> {
    let told = |error: serde_json::Error| error.to_string();
    DOCUMENT.check(text).map_err(|error| error.to_string())?;
    let typed: T = serde_json::from_slice(text).map_err(told)?;
    let given: Value = serde_json::from_slice(text).map_err(told)?;
    match same_kinds(&given, &serde_json::to_value(&typed).map_err(told)?) {
        true => Ok(typed),
        false => Err("expected objects with named members, and words as strings".to_owned()),
    }
}

fn same_kinds(given: &Value, typed: &Value) -> bool {
    match (given, typed) {
        (Value::Object(given), Value::Object(typed)) => {
            given.iter().all(|(name, given)| typed.get(name).is_none_or(|typed| same_kinds(given, typed)))
        }
        (Value::Array(given), Value::Array(typed)) => {
            given.iter().zip(typed).all(|(given, typed)| same_kinds(given, typed))
        }
        (_, Value::Object(_) | Value::String(_)) => given.is_string() && typed.is_string(),
        _ => true,
    }
}

/// Walks one value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Walk<'f> {
    form: &'f Form,
    left: usize,
    fault: &'f RefCell<Option<StrictError>>,
}

impl Walk<'_> {
    fn stop<E: Error>(self, fault: StrictError) -> E {
        self.fault.replace(Some(fault));
        E::custom("refused")
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(self.stop(StrictError::Depth { expected: self.form.depth })),
        }
    }

    fn number<E: Error>(self, whole: bool) -> Result<(), E> {
        match self.form.numbers {
            Numbers::Whole if !whole => Err(self.stop(StrictError::Number)),
            Numbers::Whole | Numbers::Any => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(value <= INTEGER_MAX)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(value.unsigned_abs() <= INTEGER_MAX)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.number(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = Names::default();
        while let Some(Name(name)) = object.next_key()? {
            if let Err(name) = names.insert(name) {
                return Err(self.stop(StrictError::Duplicate { name: name.into_owned() }));
            }
            if names.len() > self.form.members {
                return Err(self.stop(StrictError::Members { expected: self.form.members }));
            }
            object.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// A text of a document: copied only where a character of it is escaped.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Names of one object. Documents hold hundreds of objects of few members, so the first ones stand in place.
#[derive(Default)]
struct Names<'a> {
    first: [Option<Cow<'a, str>>; 4],
    others: BTreeSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// Keeps a new name, and gives back one that it has.
    fn insert(&mut self, name: Cow<'a, str>) -> Result<(), Cow<'a, str>> {
        for place in &mut self.first {
            match place {
                Some(known) if *known == name => return Err(name),
                Some(_) => {}
                None => {
                    *place = Some(name);
                    return Ok(());
                }
            }
        }
        if self.others.contains(&name) {
            return Err(name);
        }
        self.others.insert(name);
        Ok(())
    }

    fn len(&self) -> usize {
        self.first.iter().flatten().count() + self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: usize = 16;
    const WHOLE: Form = Form { depth: DEPTH, members: 6, numbers: Numbers::Whole };

    fn check(text: &[u8]) -> Result<(), StrictError> {
        WHOLE.check(text)
    }

    fn refusal(text: &str) -> String {
        check(text.as_bytes()).map_or_else(|error| error.to_string(), |()| panic!("{text} was taken"))
    }

    #[test]
    fn plain_texts_are_taken() {
        for text in ["{}", r#"{"a":[1,-1,true,null,"\u00e9"],"b":{"a":9007199254740991}}"#, " [ ] "] {
            assert!(check(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_readers_take_differently_is_refused() {
        for (text, name) in [
            (r#"{"a":1,"a":1}"#, "`a`"),
            (r#"{"x":[{"b":1,"\u0062":2}]}"#, "`b`"),
            (r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"e":1}"#, "`e`"),
            (r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"a":1}"#, "`a`"),
        ] {
            assert!(refusal(text).contains(name), "{text}");
        }
        for text in ["1.0", "1e2", "-0", "9007199254740992", "-9007199254740992", "99999999999999999999"] {
            assert!(refusal(text).contains("another number"), "{text}");
            let any = Form { numbers: Numbers::Any, ..WHOLE };
            assert!(any.check(text.as_bytes()).is_ok(), "{text}");
        }
        for text in ["", "{", "{}{}", "nul", "\u{feff}{}", "{\"a\":01}", "[1,]", "\"\\ud800\"", "{'a':1}"] {
            assert!(matches!(check(text.as_bytes()), Err(StrictError::Syntax(_))), "{text}");
        }
        assert!(check(b"\"\xff\"").is_err());
    }

    #[test]
    fn objects_and_words_stand_as_such() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Row {
            word: Word,
            #[serde(skip_serializing_if = "Option::is_none")]
            below: Option<Box<Row>>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            list: Vec<Row>,
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        enum Word {
            Yes,
        }
        let read = |text: &str| by_name::<Row>(text.as_bytes());
        for good in [
            r#"{"word":"Yes"}"#,
            r#"{"word":"Yes","below":null,"list":[]}"#,
            r#"{"word":"Yes","below":{"word":"Yes"},"list":[{"word":"Yes"}]}"#,
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for bad in [
            r#"["Yes",null,[]]"#,
            r#"{"word":{"Yes":null}}"#,
            r#"{"word":"Yes","below":["Yes",null,[]]}"#,
            r#"{"word":"Yes","list":[{"word":"Yes"},["Yes",null,[]]]}"#,
        ] {
            assert!(serde_json::from_str::<Row>(bad).is_ok(), "{bad}: derived readers take it");
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn depth_and_members_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(check(nested(DEPTH).as_bytes()).is_ok());
        assert!(refusal(&nested(DEPTH + 1)).contains("16 levels"));
        assert!(refusal(&"[".repeat(1 << 16)).contains("16 levels"));
        assert!(check(br#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}"#).is_ok());
        assert!(refusal(r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1}"#).contains("6 members"));
    }
}
