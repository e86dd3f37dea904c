//! Values of generated types as the JSON of the protocol, and back.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::idl::{
    conformance::{Painted, Shade, Tree},
    zoo::{Family, Pet},
};

/// The largest number up to which JavaScript has every integer.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// More bytes than this are written as one unit and its number, if they repeat it.
const LONG: usize = 1024;
const UNIT: usize = 4;

/// A type whose values the protocol can carry.
pub(super) trait Neutral: Sized {
    /// Reads a value.
    fn read(value: &Value) -> Result<Self, String>;
    /// Writes a value.
    fn write(&self) -> Value;

    /// Reads a sequence.
    fn read_all(value: &Value) -> Result<Vec<Self>, String> {
        let items = value.as_array().ok_or_else(|| wrong("an array", value))?;
        items.iter().map(Self::read).collect()
    }

    /// Writes a sequence.
    fn write_all(values: &[Self]) -> Value {
        values.iter().map(Self::write).collect()
    }
}

fn wrong(expected: &str, value: &Value) -> String {
    let text: String = value.to_string().chars().take(100).collect();
    format!("{text} is not {expected}")
}

fn read_integer<T: TryFrom<i64>>(value: &Value) -> Result<T, String> {
    let tagged = value.get("long").and_then(Value::as_str);
    let number = match tagged {
        Some(text) => text.parse().ok(),
        None => value.as_i64(),
    };
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| wrong("such an integer", value))
}

macro_rules! integers {
    ($($type:ty)+) => { $(
        impl Neutral for $type {
            fn read(value: &Value) -> Result<Self, String> {
                read_integer(value)
            }

            fn write(&self) -> Value {
                json!(self)
            }
        }
    )+ };
}

integers!(i16 i32);

impl Neutral for i64 {
    fn read(value: &Value) -> Result<Self, String> {
        read_integer(value)
    }

    fn write(&self) -> Value {
        if self.unsigned_abs() <= MAX_SAFE_INTEGER {
            json!(self)
        } else {
            json!({ "long": self.to_string() })
        }
    }
}

impl Neutral for u8 {
    fn read(value: &Value) -> Result<Self, String> {
        read_integer(value)
    }

    fn write(&self) -> Value {
        json!(self)
    }

    fn read_all(value: &Value) -> Result<Vec<Self>, String> {
        let hex = value.get("bytes").and_then(Value::as_str);
        let hex = hex.ok_or_else(|| wrong("bytes", value))?;
        let byte = |at| {
            hex.get(at..at + 2)
                .map(|digits| Self::from_str_radix(digits, 16))
        };
        let bytes: Option<Result<Vec<_>, _>> = (0..hex.len()).step_by(2).map(byte).collect();
        let bytes = bytes
            .and_then(Result::ok)
            .ok_or_else(|| wrong("bytes", value))?;
        let times = value.get("times").and_then(Value::as_u64).unwrap_or(1);
        Ok(bytes.repeat(usize::try_from(times).unwrap_or(usize::MAX)))
    }

    fn write_all(values: &[Self]) -> Value {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let unit = values.get(..UNIT).unwrap_or_default();
        let times = values.len() / UNIT;
        if values.len() > LONG && values == unit.repeat(times) {
            return json!({ "bytes": Self::write_all(unit)["bytes"], "times": times });
        }
        let digits = values.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex: String = digits
            .map(|digit| char::from(DIGITS[usize::from(digit)]))
            .collect();
        json!({ "bytes": hex })
    }
}

impl Neutral for f64 {
    fn read(value: &Value) -> Result<Self, String> {
        let tagged = value.get("double").and_then(Value::as_str);
        let number = match tagged {
            Some(text) => text.parse().ok(),
            None => value.as_f64(),
        };
        number.ok_or_else(|| wrong("a number", value))
    }

    fn write(&self) -> Value {
        let special = match self {
            _ if self.is_nan() => "NaN",
            _ if *self == Self::INFINITY => "Infinity",
            _ if *self == Self::NEG_INFINITY => "-Infinity",
            _ if *self == 0.0 && self.is_sign_negative() => "-0",
            _ => return json!(self),
        };
        json!({ "double": special })
    }
}

impl Neutral for f32 {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "cases give floats that a double holds exactly"
    )]
    fn read(value: &Value) -> Result<Self, String> {
        f64::read(value).map(|number| number as Self)
    }

    fn write(&self) -> Value {
        f64::from(*self).write()
    }
}

impl Neutral for bool {
    fn read(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| wrong("a bool", value))
    }

    fn write(&self) -> Value {
        json!(self)
    }
}

impl Neutral for String {
    fn read(value: &Value) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(|| wrong("a string", value))?;
        Ok(text.to_owned())
    }

    fn write(&self) -> Value {
        json!(self)
    }
}

impl Neutral for () {
    fn read(value: &Value) -> Result<Self, String> {
        value.as_null().ok_or_else(|| wrong("null", value))
    }

    fn write(&self) -> Value {
        Value::Null
    }
}

impl<T: Neutral> Neutral for Vec<T> {
    fn read(value: &Value) -> Result<Self, String> {
        T::read_all(value)
    }

    fn write(&self) -> Value {
        T::write_all(self)
    }
}

impl<K: Neutral + Ord, V: Neutral> Neutral for BTreeMap<K, V> {
    fn read(value: &Value) -> Result<Self, String> {
        let pairs = value.get("map").and_then(Value::as_array);
        let pairs = pairs.ok_or_else(|| wrong("a map", value))?;
        pairs
            .iter()
            .map(|pair| Ok((K::read(&pair[0])?, V::read(&pair[1])?)))
            .collect()
    }

    fn write(&self) -> Value {
        let pairs: Vec<_> = self
            .iter()
            .map(|(key, value)| json!([key.write(), value.write()]))
            .collect();
        json!({ "map": pairs })
    }
}

macro_rules! structs {
    ($($type:ident { $($member:ident),+ })+) => { $(
        impl Neutral for $type {
            fn read(value: &Value) -> Result<Self, String> {
                Ok(Self { $( $member: Neutral::read(&value[stringify!($member)])? ),+ })
            }

            fn write(&self) -> Value {
                json!({ $( stringify!($member): self.$member.write() ),+ })
            }
        }
    )+ };
}

structs! {
    Pet { name, b, flag, s, i, l, flt, dbl, tags, blob }
    Family { name, pets, named, chief }
    Painted { shade, more, named }
}

impl Neutral for Shade {
    fn read(value: &Value) -> Result<Self, String> {
        i32::read(value).map(Self)
    }

    fn write(&self) -> Value {
        self.0.write()
    }
}

impl Neutral for Tree {
    /// Of the levels alone: JSON readers limit the depth of what they read.
    fn read(value: &Value) -> Result<Self, String> {
        let levels = value.get("levels").and_then(Value::as_u64);
        let levels = levels.ok_or_else(|| wrong("a tree", value))?;
        let mut tree = Self::default();
        for _ in 1..levels {
            tree = Self {
                branches: vec![tree],
            };
        }
        Ok(tree)
    }

    fn write(&self) -> Value {
        let mut levels = 1;
        let mut tree = self;
        while let Some(below) = tree.branches.first() {
            levels += 1;
            tree = below;
        }
        json!({ "levels": levels })
    }
}
