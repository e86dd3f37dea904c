//! Values from the JSON of a result, by their Rust type.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hash},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value};

/// The JSON of a result is not a value of the type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {found}")]
pub struct FromJsonError {
    expected: &'static str,
    found: String,
}

/// The most characters of a value that an error shows.
const MAX_SHOWN: usize = 40;

impl FromJsonError {
    fn new(expected: &'static str, value: &Value) -> Self {
        let mut found = value.to_string();
        if let Some((end, _)) = found.char_indices().nth(MAX_SHOWN) {
            found.truncate(end);
            found.push('…');
        }
        Self { expected, found }
    }
}

/// A value of the IDL, from JSON as `tce call` writes it. Generated code implements it for structs and
/// enums.
pub trait FromJson: Sized {
    /// The value.
    ///
    /// # Errors
    /// The JSON is no value of the type.
    fn from_json(value: &Value) -> Result<Self, FromJsonError>;

    /// The values of a sequence; those of bytes are base64 or an array.
    #[doc(hidden)]
    fn vec_from_json(value: &Value) -> Result<Vec<Self>, FromJsonError> {
        let elements = value.as_array();
        let elements = elements.ok_or_else(|| FromJsonError::new("an array", value))?;
        elements.iter().map(Self::from_json).collect()
    }

    /// The key of a dictionary, which is JSON within a string.
    #[doc(hidden)]
    fn from_key(key: &str) -> Result<Self, FromJsonError> {
        let value = serde_json::from_str(key).unwrap_or_else(|_| Value::from(key));
        Self::from_json(&value)
    }
}

/// The members of a struct, which generated code reads one by one.
pub struct Members<'v>(&'v Map<String, Value>);

impl<'v> Members<'v> {
    /// The members in an object.
    ///
    /// # Errors
    /// The JSON is no object.
    pub fn of(value: &'v Value) -> Result<Self, FromJsonError> {
        let members = value.as_object().map(Self);
        members.ok_or_else(|| FromJsonError::new("an object", value))
    }

    /// A member by its name in the IDL.
    ///
    /// # Errors
    /// There is none, or its value has another type.
    pub fn get<T: FromJson>(&self, name: &'static str) -> Result<T, FromJsonError> {
        let member = self.0.get(name).ok_or_else(|| FromJsonError {
            expected: name,
            found: "an object without it".to_owned(),
        })?;
        T::from_json(member)
    }
}

/// The number of an enum, by the name of its member or as a number.
///
/// # Errors
/// The JSON is neither.
pub fn enum_from_json<T>(
    value: &Value,
    from_name: impl FnOnce(&str) -> Option<T>,
    from_number: impl FnOnce(i32) -> T,
) -> Result<T, FromJsonError> {
    let named = value.as_str().and_then(from_name);
    named.map_or_else(|| i32::from_json(value).map(from_number), Ok)
}

/// Integers may be strings, since some JSON writers have no 64-bit integers.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    }
}

/// JSON has no numbers that are not finite: they are strings.
fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        None => value.as_f64(),
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
    }
}

macro_rules! from_json {
    ($($type:ty: $name:literal, $read:expr;)*) => { $(
        impl FromJson for $type {
            fn from_json(value: &Value) -> Result<Self, FromJsonError> {
                let read: fn(&Value) -> Option<Self> = $read;
                read(value).ok_or_else(|| FromJsonError::new($name, value))
            }
        }
    )* };
}

from_json! {
    bool: "a bool", Value::as_bool;
    i16: "a short", |value| integer(value)?.try_into().ok();
    i32: "an int", |value| integer(value)?.try_into().ok();
    i64: "a long", integer;
    f64: "a double", number;
}

impl FromJson for f32 {
    fn from_json(value: &Value) -> Result<Self, FromJsonError> {
        let found = number(value).map(|number| {
            #[expect(clippy::cast_possible_truncation, reason = "rounding is intended")]
            let rounded = number as f32;
            rounded
        });
        found.ok_or_else(|| FromJsonError::new("a float", value))
    }
}

impl FromJson for u8 {
    fn from_json(value: &Value) -> Result<Self, FromJsonError> {
        let byte = integer(value).and_then(|number| number.try_into().ok());
        byte.ok_or_else(|| FromJsonError::new("a byte", value))
    }

    fn vec_from_json(value: &Value) -> Result<Vec<Self>, FromJsonError> {
        match value {
            Value::String(text) => BASE64
                .decode(text)
                .map_err(|_| FromJsonError::new("bytes in base64", value)),
            Value::Array(elements) => elements.iter().map(Self::from_json).collect(),
            value => Err(FromJsonError::new("bytes in base64", value)),
        }
    }
}

impl FromJson for String {
    fn from_json(value: &Value) -> Result<Self, FromJsonError> {
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| FromJsonError::new("a string", value))
    }

    fn from_key(key: &str) -> Result<Self, FromJsonError> {
        Ok(key.to_owned())
    }
}

/// What an operation without a result returns.
impl FromJson for () {
    fn from_json(_: &Value) -> Result<Self, FromJsonError> {
        Ok(())
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(value: &Value) -> Result<Self, FromJsonError> {
        T::vec_from_json(value)
    }
}

/// A pair of a dictionary whose keys are floating-point numbers.
impl<K: FromJson, V: FromJson> FromJson for (K, V) {
    fn from_json(value: &Value) -> Result<Self, FromJsonError> {
        Err(FromJsonError::new("an object", value))
    }

    fn vec_from_json(value: &Value) -> Result<Vec<Self>, FromJsonError> {
        pairs(value)?.collect()
    }
}

fn pairs<K: FromJson, V: FromJson>(
    value: &Value,
) -> Result<impl Iterator<Item = Result<(K, V), FromJsonError>>, FromJsonError> {
    let members = Members::of(value)?.0;
    Ok(members
        .iter()
        .map(|(key, value)| Ok((K::from_key(key)?, V::from_json(value)?))))
}

impl<K: FromJson + Ord, V: FromJson> FromJson for BTreeMap<K, V> {
    fn from_json(value: &Value) -> Result<Self, FromJsonError> {
        pairs(value)?.collect()
    }
}

impl<K, V, S> FromJson for HashMap<K, V, S>
where
    K: FromJson + Eq + Hash,
    V: FromJson,
    S: BuildHasher + Default,
{
    fn from_json(value: &Value) -> Result<Self, FromJsonError> {
        pairs(value)?.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_at_their_limits_come_back() {
        assert_eq!(i64::from_json(&json!(i64::MIN)), Ok(i64::MIN));
        assert_eq!(i64::from_json(&json!("-9223372036854775808")), Ok(i64::MIN));
        assert!(f64::from_json(&json!("NaN")).unwrap().is_nan());
        assert_eq!(f32::from_json(&json!("-Infinity")), Ok(f32::NEG_INFINITY));
        assert_eq!(f32::from_json(&json!(0.1)), Ok(0.1));
        for wrong in [
            json!(1.5),
            json!(9_223_372_036_854_775_808_u64),
            json!(null),
        ] {
            i64::from_json(&wrong).unwrap_err();
        }
    }

    #[test]
    fn sequences_and_dictionaries_come_back() {
        assert_eq!(Vec::<u8>::from_json(&json!("AAH/")), Ok(vec![0, 1, 255]));
        assert_eq!(Vec::<u8>::from_json(&json!([0, 255])), Ok(vec![0, 255]));
        Vec::<u8>::from_json(&json!("?")).unwrap_err();
        Vec::<u8>::from_json(&json!([256])).unwrap_err();
        let names = BTreeMap::from_json(&json!({"1": "a", "-2": "b"}));
        assert_eq!(
            names,
            Ok(BTreeMap::from([(-2, "b".to_owned()), (1, "a".to_owned())]))
        );
        let flags = BTreeMap::from_json(&json!({"true": [1], "false": []}));
        assert_eq!(
            flags,
            Ok(BTreeMap::from([(false, vec![]), (true, vec![1_i64])]))
        );
        assert_eq!(
            Vec::from_json(&json!({"0.5": 1})),
            Ok(vec![(0.5_f64, 1_i32)])
        );
        let error = Vec::<(f64, i32)>::from_json(&json!([])).unwrap_err();
        assert_eq!(error.to_string(), "expected an object, got []");
    }

    #[test]
    fn a_long_value_is_cut_in_an_error() {
        let error = bool::from_json(&json!("ä".repeat(1000))).unwrap_err();
        assert!(error.to_string().ends_with("ää…"), "{error}");
    }
}
