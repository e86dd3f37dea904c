//! Values in cases: those that a case describes (`{text: x, times: 1048576}`), and how
//! what a testee answers is compared with them.

use std::{path::Path, sync::LazyLock};

use serde_json::{Map, Number, Value, json};
use tce_idl::model::Model;

use crate::random::random_struct;

/// The types of which cases have random values.
static ZOO: LazyLock<Option<Model>> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/idl/zoo.idl");
    tce_idl::compile(&[path], &tce_idl::Options::new()).model
});

/// JavaScript has every integer up to this one, and few beyond.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
/// What a report shows of a value.
const SHOWN_CHARS: usize = 200;

/// A value as the protocol carries it, in the `n`th repetition of a step.
pub(crate) fn expand(value: &Value, n: usize) -> Value {
    match value {
        Value::String(text) if text == "$n" => json!(n),
        Value::String(text) => json!(text.replace("$n", &n.to_string())),
        Value::Number(number) => expand_number(number),
        Value::Array(items) => items.iter().map(|item| expand(item, n)).collect(),
        Value::Object(members) => {
            expand_described(members, n).unwrap_or_else(|| expand_members(members, n))
        }
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

fn expand_number(number: &Number) -> Value {
    match number.as_i64() {
        Some(long) if long.unsigned_abs() > MAX_SAFE_INTEGER => json!({"long": long.to_string()}),
        _ => Value::Number(number.clone()),
    }
}

fn expand_members(members: &Map<String, Value>, n: usize) -> Value {
    let members = members.iter();
    members
        .map(|(name, member)| (name.clone(), expand(member, n)))
        .collect()
}

/// A value that a case describes instead of writing it out.
fn expand_described(members: &Map<String, Value>, n: usize) -> Option<Value> {
    let count = |name| members.get(name).and_then(Value::as_u64);
    if let (Some(Value::String(name)), Some(seed)) = (members.get("random"), members.get("seed")) {
        let seed = expand(seed, n).as_u64()?;
        return ZOO
            .as_ref()
            .and_then(|model| random_struct(model, name, seed))
            .map(|value| expand(&value, n));
    }
    if let Some(end) = count("range") {
        return Some((0..end).collect());
    }
    let times = usize::try_from(count("times")?).ok()?;
    if let Some(text) = members.get("text").and_then(Value::as_str) {
        return Some(json!(text.repeat(times)));
    }
    let item = members.get("item")?;
    Some((0..times).map(|_| expand(item, n)).collect())
}

/// A value in the one form in which equal values are equal: languages write `1` and
/// `1.0`, and the pairs of a map in any order.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Number(number) => canonical_number(number),
        Value::Object(members) => canonical_object(members),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the number is checked to be a safe integer"
)]
fn canonical_number(number: &Number) -> Value {
    let Some(double) = number.as_f64() else {
        return Value::Number(number.clone());
    };
    if number.is_f64() && double == 0.0 && double.is_sign_negative() {
        json!({ "double": "-0" })
    } else if double.fract() == 0.0 && double.abs() <= MAX_SAFE_INTEGER as f64 {
        json!(double as i64)
    } else {
        // Such an integer has a tag: this is a double, which JavaScript writes as an integer.
        json!(double)
    }
}

fn canonical_object(members: &Map<String, Value>) -> Value {
    let tagged = |name| members.get(name).filter(|_| members.len() == 1);
    if let Some(long) = tagged("long").and_then(Value::as_str) {
        return long.parse().map_or(Value::Null, |long: i64| json!(long));
    }
    if let Some(pairs) = tagged("map").and_then(Value::as_array) {
        let mut pairs: Vec<_> = pairs.iter().map(canonical).collect();
        pairs.sort_by_cached_key(|pair| pair[0].to_string());
        return json!({ "map": pairs });
    }
    if let (Some(Value::String(hex)), Some(times)) = (members.get("bytes"), members.get("times")) {
        let times = times.as_u64().and_then(|times| usize::try_from(times).ok());
        return json!({ "bytes": hex.repeat(times.unwrap_or(1)) });
    }
    let members = members.iter();
    members
        .map(|(name, member)| (name.clone(), canonical(member)))
        .collect()
}

/// Says where two values differ, if they do.
pub(crate) fn difference(expected: &Value, actual: &Value) -> Option<String> {
    let (expected, actual) = (canonical(expected), canonical(actual));
    if expected == actual {
        return None;
    }
    Some(first_difference("", &expected, &actual))
}

fn first_difference(path: &str, expected: &Value, actual: &Value) -> String {
    match (expected, actual) {
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let mut pairs = left.iter().zip(right).enumerate();
            if let Some((at, (left, right))) = pairs.find(|(_, (left, right))| left != right) {
                return first_difference(&format!("{path}[{at}]"), left, right);
            }
        }
        (Value::Object(left), Value::Object(right)) if left.len() == right.len() => {
            let other = |name: &String| right.get(name).unwrap_or(&Value::Null);
            let mut members = left.iter();
            if let Some((name, member)) = members.find(|(name, member)| *member != other(name)) {
                return first_difference(&format!("{path}.{name}"), member, other(name));
            }
        }
        _ => {}
    }
    let place = if path.is_empty() { "" } else { "at " };
    let end = if path.is_empty() { "" } else { ": " };
    format!(
        "{place}{path}{end}expected {}, not {}",
        shown(expected),
        shown(actual)
    )
}

/// A value, shortened for a report.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    let length = text.len();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}… ({length} bytes)", &text[..end]),
        None => text,
    }
}
