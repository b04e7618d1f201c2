//! Units: integers only, the unit in the type (TOURNAMENT 1).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Largest integer that every JSON reader keeps exactly; larger ones are decimal strings.
pub const JSON_SAFE_MAX: u64 = (1 << 53) - 1;

/// Parts per million; 1_000_000 is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ppm(pub u32);

/// One, in parts per million.
pub const PPM_ONE: u32 = 1_000_000;

/// Millionths of a nat (or reward, or squared error).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micro(pub i64);

/// A score as it may leave the guests: steps of 1e-4, clamped to [`Disclosed::MIN`]..=[`Disclosed::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Disclosed(i32);

/// A disclosed score outside its codomain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("disclosed score: expected {} to {}, found {got}", Disclosed::MIN, Disclosed::MAX)]
pub struct DisclosedError {
    pub got: i32,
}

impl Disclosed {
    /// Least value, in steps of 1e-4.
    pub const MIN: i32 = -163_840;
    /// Greatest value, in steps of 1e-4.
    pub const MAX: i32 = 163_839;

    /// The nearest value of the codomain.
    pub fn clamped(steps: i128) -> Self {
        let steps = steps.clamp(i128::from(Self::MIN), i128::from(Self::MAX));
        // The clamp makes the conversion exact.
        Self(i32::try_from(steps).unwrap_or(Self::MAX))
    }

    /// Steps of 1e-4.
    pub fn steps(self) -> i32 {
        self.0
    }

    /// The value with four decimals, for pages.
    pub fn decimal(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let steps = self.0.unsigned_abs();
        format!("{sign}{}.{:04}", steps / 10_000, steps % 10_000)
    }
}

impl TryFrom<i32> for Disclosed {
    type Error = DisclosedError;

    fn try_from(got: i32) -> Result<Self, DisclosedError> {
        if (Self::MIN..=Self::MAX).contains(&got) { Ok(Self(got)) } else { Err(DisclosedError { got }) }
    }
}

impl From<Disclosed> for i32 {
    fn from(score: Disclosed) -> Self {
        score.0
    }
}

/// Minor units of a currency: cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minor(#[serde(with = "wide")] pub u64);

/// Seconds since 1970, always handed in: this crate has no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(#[serde(with = "wide")] pub u64);

/// JSON form of an integer that may pass [`JSON_SAFE_MAX`]: a number up to it, a decimal string above.
pub mod wide {
    use super::{Deserialize, Deserializer, JSON_SAFE_MAX, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u64),
        Text(String),
    }

    /// Writes `value` in its one canonical form.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        if *value <= JSON_SAFE_MAX { serializer.serialize_u64(*value) } else { serializer.collect_str(value) }
    }

    /// Reads the canonical form and no other.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let value = match Form::deserialize(deserializer)? {
            Form::Number(value) if value <= JSON_SAFE_MAX => return Ok(value),
            Form::Number(_) => None,
            Form::Text(text) => text.parse().ok().filter(|v: &u64| v.to_string() == text),
        };
        value.filter(|value| *value > JSON_SAFE_MAX).ok_or_else(|| {
            serde::de::Error::custom("expected a number up to 2^53-1, or a decimal string above it")
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn wide_integers_have_one_form() {
        for value in [0, 1, JSON_SAFE_MAX] {
            assert_eq!(serde_json::to_string(&Minor(value)).unwrap(), value.to_string());
        }
        let text = serde_json::to_string(&Minor(JSON_SAFE_MAX + 1)).unwrap();
        assert_eq!(text, "\"9007199254740992\"");
        assert_eq!(serde_json::from_str::<Minor>(&text).unwrap(), Minor(JSON_SAFE_MAX + 1));
        for wrong in ["\"5\"", "9007199254740992", "\"09007199254740992\"", "-1", "1.5", "\"\""] {
            assert!(serde_json::from_str::<Minor>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn disclosed_has_edges_and_a_decimal_form() {
        assert_eq!(Disclosed::clamped(i128::MAX).steps(), Disclosed::MAX);
        assert_eq!(Disclosed::clamped(i128::MIN).steps(), Disclosed::MIN);
        assert!(Disclosed::try_from(Disclosed::MAX + 1).is_err());
        assert!(Disclosed::try_from(Disclosed::MIN - 1).is_err());
        assert_eq!(Disclosed::clamped(23_456).decimal(), "2.3456");
        assert_eq!(Disclosed::clamped(-7).decimal(), "-0.0007");
    }
}
