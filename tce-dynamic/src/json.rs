//! JSON to marshalled values and back, by their IDL types.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Number, Value};
use tce_idl::{
    diagnostic::nearest,
    model::{Enum, Member, Model, Type},
};
use tce_runtime::wire::{DecodeError, Marshal, Reader, Unmarshal, Writer};

/// A JSON value does not fit its IDL type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct TypeMismatch {
    /// Path to the value, such as `fam.pets[0].name`.
    path: String,
    problem: String,
}

/// Appends `value` as a `ty`; `path` names it in errors.
///
/// # Errors
/// The value does not fit the type.
pub fn encode(
    model: &Model,
    ty: Type,
    value: &Value,
    path: &str,
    out: &mut Vec<u8>,
) -> Result<(), TypeMismatch> {
    let wrong = || TypeMismatch {
        path: path.to_owned(),
        problem: format!("expected {}, got {}", expected(model, ty), shorten(value)),
    };
    let mut put = |value: &dyn Fn(&mut Writer<'_>)| value(&mut Writer::new(out));
    match ty {
        Type::Byte => integer(value)
            .and_then(|it| u8::try_from(it).ok())
            .map(|it| put(&|w| it.marshal(w))),
        Type::Bool => value.as_bool().map(|it| put(&|w| it.marshal(w))),
        Type::Short => integer(value)
            .and_then(|it| i16::try_from(it).ok())
            .map(|it| put(&|w| it.marshal(w))),
        Type::Int => integer(value)
            .and_then(|it| i32::try_from(it).ok())
            .map(|it| put(&|w| it.marshal(w))),
        Type::Long => integer(value).map(|it| put(&|w| it.marshal(w))),
        Type::Float => number(value)
            .and_then(to_f32)
            .map(|it| put(&|w| it.marshal(w))),
        Type::Double => number(value).map(|it| put(&|w| it.marshal(w))),
        Type::String => value.as_str().map(|it| put(&|w| it.marshal(w))),
        Type::Enum(id) => enum_number(model.enum_(id), value).map(|it| put(&|w| it.marshal(w))),
        Type::Sequence(id) => {
            let element = model.sequence(id).element;
            return match (element, value) {
                (Type::Byte, Value::String(text)) => {
                    let bytes = BASE64.decode(text).map_err(|_| wrong())?;
                    put(&|w| bytes.marshal(w));
                    Ok(())
                }
                (_, Value::Array(values)) => {
                    put(&|w| w.put_len(values.len()));
                    let mut values = values.iter().enumerate();
                    values.try_for_each(|(number, value)| {
                        encode(model, element, value, &format!("{path}[{number}]"), out)
                    })
                }
                _ => Err(wrong()),
            };
        }
        Type::Dictionary(id) => {
            let it = model.dictionary(id);
            let Value::Object(pairs) = value else {
                return Err(wrong());
            };
            put(&|w| w.put_len(pairs.len()));
            return pairs.iter().try_for_each(|(key, value)| {
                encode(
                    model,
                    it.key,
                    &key_value(it.key, key),
                    &format!("{path}: the key {key:?}"),
                    out,
                )?;
                encode(model, it.value, value, &format!("{path}[{key:?}]"), out)
            });
        }
        Type::Struct(id) => {
            let Value::Object(fields) = value else {
                return Err(wrong());
            };
            return encode_struct(model, &model.struct_(id).members, fields, path, out);
        }
    }
    .ok_or_else(wrong)
}

/// The number of a member by its name, or any number of an `int`.
fn enum_number(it: &Enum, value: &Value) -> Option<i32> {
    let named = value.as_str().and_then(|name| {
        let member = it.members.iter().find(|member| member.name == name);
        member.map(|member| member.number)
    });
    named.or_else(|| i32::try_from(integer(value)?).ok())
}

fn encode_struct(
    model: &Model,
    members: &[Member],
    fields: &Map<String, Value>,
    path: &str,
    out: &mut Vec<u8>,
) -> Result<(), TypeMismatch> {
    let problem = |problem: String| TypeMismatch {
        path: path.to_owned(),
        problem,
    };
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    if let Some(unknown) = fields.keys().find(|key| !names.contains(&key.as_str())) {
        let near = nearest(unknown, &names);
        let near = near.map_or(String::new(), |near| format!(": did you mean `{near}`?"));
        return Err(problem(format!("there is no member `{unknown}`{near}")));
    }
    for member in members {
        let value = fields
            .get(&member.name)
            .ok_or_else(|| problem(format!("the member `{}` is missing", member.name)))?;
        encode(
            model,
            member.ty,
            value,
            &format!("{path}.{}", member.name),
            out,
        )?;
    }
    Ok(())
}

/// The key of a JSON object as a value: JSON, unless the key type is `string`.
fn key_value(ty: Type, key: &str) -> Value {
    match ty {
        Type::String => Value::String(key.to_owned()),
        // Stays a string if it is not JSON, so that the error message shows it.
        _ => serde_json::from_str(key).unwrap_or_else(|_| Value::String(key.to_owned())),
    }
}

/// Integers may be strings, since some JSON writers have no 64-bit integers.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        None => value.as_f64(),
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
    }
}

/// Rounds to `f32`; `None` if a finite number would become infinite.
fn to_f32(number: f64) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "rounding is intended")]
    let rounded = number as f32;
    (rounded.is_finite() || !number.is_finite()).then_some(rounded)
}

/// The most members of an enum that a message names.
const MAX_NAMES: usize = 8;

/// Describes the JSON values of a type.
fn expected(model: &Model, ty: Type) -> String {
    let text = match ty {
        Type::Byte => "a byte (0 to 255)",
        Type::Bool => "a bool (true or false)",
        Type::Short => "a short (-32768 to 32767)",
        Type::Int => "an int (32 bits)",
        Type::Long => "a long (64 bits)",
        Type::Float => "a float (a number up to 3.4e38, or \"NaN\", \"Infinity\", \"-Infinity\")",
        Type::Double => "a double (a number, or \"NaN\", \"Infinity\", \"-Infinity\")",
        Type::String => "a string (in double quotes)",
        Type::Sequence(id) if model.sequence(id).element == Type::Byte => {
            "bytes (base64 in double quotes, or an array)"
        }
        Type::Sequence(id) => return format!("a {} (an array)", model.sequence(id).name),
        Type::Dictionary(id) => return format!("a {} (an object)", model.dictionary(id).name),
        Type::Struct(id) => return format!("a {} (an object)", model.struct_(id).name),
        Type::Enum(id) => {
            let it = model.enum_(id);
            let names = it.members.iter().take(MAX_NAMES);
            let names: Vec<_> = names.map(|member| member.name.as_str()).collect();
            let more = if it.members.len() > MAX_NAMES {
                ", …"
            } else {
                ""
            };
            return format!("a {} ({}{more}, or a number)", it.name, names.join(", "));
        }
    };
    text.to_owned()
}

/// The start of a value, for error messages.
fn shorten(value: &Value) -> String {
    const MAX_CHARS: usize = 40;
    let text = value.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Reads a value of a type from the wire format.
///
/// # Errors
/// The bytes are not a value of the type.
pub fn decode(model: &Model, ty: Type, input: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Ok(match ty {
        Type::Byte => u8::unmarshal(input)?.into(),
        Type::Bool => bool::unmarshal(input)?.into(),
        Type::Short => i16::unmarshal(input)?.into(),
        Type::Int => i32::unmarshal(input)?.into(),
        Type::Long => i64::unmarshal(input)?.into(),
        Type::Float => {
            let number = f32::unmarshal(input)?;
            // Via text, which gives 0.1 and not 0.10000000149011612.
            float(number.to_string().parse().unwrap_or(f64::NAN))
        }
        Type::Double => float(f64::unmarshal(input)?),
        Type::String => String::unmarshal(input)?.into(),
        Type::Enum(id) => {
            let number = i32::unmarshal(input)?;
            let mut members = model.enum_(id).members.iter();
            match members.find(|member| member.number == number) {
                Some(member) => member.name.clone().into(),
                None => number.into(),
            }
        }
        Type::Sequence(id) => match model.sequence(id).element {
            Type::Byte => BASE64.encode(Vec::<u8>::unmarshal(input)?).into(),
            element => {
                let count = input.take_len()?;
                let values =
                    std::iter::repeat_with(|| input.nested(|input| decode(model, element, input)));
                Value::Array(values.take(count).collect::<Result<_, _>>()?)
            }
        },
        Type::Dictionary(id) => {
            let it = model.dictionary(id);
            let mut pairs = Map::new();
            for _ in 0..input.take_len()? {
                let key = match decode(model, it.key, input)? {
                    Value::String(key) => key,
                    key => key.to_string(),
                };
                let value = input.nested(|input| decode(model, it.value, input))?;
                pairs.insert(key, value);
            }
            Value::Object(pairs)
        }
        Type::Struct(id) => decode_members(model, &model.struct_(id).members, input)?,
    })
}

/// Reads the members of a struct or an exception.
///
/// # Errors
/// The bytes do not decode.
pub fn decode_members(
    model: &Model,
    members: &[Member],
    input: &mut Reader<'_>,
) -> Result<Value, DecodeError> {
    let mut fields = Map::new();
    for member in members {
        let value = input.nested(|input| decode(model, member.ty, input))?;
        fields.insert(member.name.clone(), value);
    }
    Ok(Value::Object(fields))
}

/// JSON has no numbers for NaN and the infinities: they are strings.
fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(
        || {
            let text = match () {
                () if number.is_nan() => "NaN",
                () if number > 0.0 => "Infinity",
                () => "-Infinity",
            };
            text.into()
        },
        Value::Number,
    )
}

/// Result or parameters of a call, read as bytes and decoded later.
#[derive(Debug)]
pub struct UndecodedBytes(pub Vec<u8>);

impl Unmarshal for UndecodedBytes {
    const MIN_SIZE: usize = 0;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = input.remaining().len();
        Ok(Self(input.take(len)?.to_vec()))
    }
}
