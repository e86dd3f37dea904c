//! The arguments of a call, as they were typed.

use serde_json::Value;
use tce_idl::model::Type;

use super::{
    json::{Mismatch, encode},
    target::Target,
};

/// Why the arguments are none for the operation.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadArguments {
    #[error("{0} takes {1}; there {2}")]
    Count(String, String, String),
    #[error("{0} has no parameter `{1}`")]
    Stranger(String, String),
    #[error("{0}: the argument `{1}` is missing")]
    Missing(String, String),
    #[error("the argument {0}")]
    Value(#[from] Mismatch),
}

/// What was typed on the command line: one JSON value for each parameter, or
/// one array or object for all. What is no JSON may be the text of a string.
pub(super) fn of_words(target: &Target<'_>, words: &[String]) -> Result<Vec<u8>, BadArguments> {
    let parameters = target.parameters;
    if let [word] = words
        && let Ok(value) = serde_json::from_str(word)
        && stands_for_all(target, &value)
    {
        return of_value(target, &value);
    }
    let values = words.iter().enumerate().map(|(number, word)| {
        let ty = parameters.get(number).map(|parameter| parameter.ty);
        match serde_json::from_str(word) {
            Ok(value @ Value::String(_)) => value,
            // `42` is a fine text, where a text is wanted.
            _ if ty == Some(Type::String) => Value::String(word.clone()),
            Ok(value) => value,
            // Where a word is no JSON, what is wanted says more than where it ends.
            Err(_) => Value::String(word.clone()),
        }
    });
    marshal(target, &values.collect::<Vec<_>>())
}

/// The value of the only parameter, or one that stands for all arguments: an
/// array of them, or an object by their names.
pub(super) fn of_value(target: &Target<'_>, value: &Value) -> Result<Vec<u8>, BadArguments> {
    // `[[]]` may be both: what is a value already is that value.
    if let Ok(only) = marshal(target, std::slice::from_ref(value)) {
        return Ok(only);
    }
    match value {
        Value::Object(fields) if stands_for_all(target, value) => {
            let is_known = |key: &&String| target.parameters.iter().any(|it| it.name == **key);
            if let Some(stranger) = fields.keys().find(|key| !is_known(key)) {
                return Err(BadArguments::Stranger(
                    target.signature.clone(),
                    stranger.clone(),
                ));
            }
            let values = target.parameters.iter().map(|parameter| {
                fields.get(&parameter.name).cloned().ok_or_else(|| {
                    BadArguments::Missing(target.signature.clone(), parameter.name.clone())
                })
            });
            marshal(target, &values.collect::<Result<Vec<_>, _>>()?)
        }
        Value::Array(values) if stands_for_all(target, value) => marshal(target, values),
        value => marshal(target, std::slice::from_ref(value)),
    }
}

/// Whether an array or object may hold the arguments, and not be the only one.
fn stands_for_all(target: &Target<'_>, value: &Value) -> bool {
    match (value, target.parameters) {
        (Value::Array(values), [only]) => {
            !matches!(only.ty, Type::Sequence(_)) || matches!(values.as_slice(), [Value::Array(_)])
        }
        (Value::Object(fields), [only]) => {
            !matches!(only.ty, Type::Struct(_) | Type::Dictionary(_))
                || (fields.len() == 1 && fields.contains_key(&only.name))
        }
        (Value::Array(_) | Value::Object(_), _) => true,
        _ => false,
    }
}

fn marshal(target: &Target<'_>, values: &[Value]) -> Result<Vec<u8>, BadArguments> {
    if values.len() != target.parameters.len() {
        let takes = match target.parameters.len() {
            0 => "no argument".to_owned(),
            1 => "one argument".to_owned(),
            count => format!("{count} arguments"),
        };
        let given = match values.len() {
            0 => "is none".to_owned(),
            1 => "is one".to_owned(),
            count => format!("are {count}"),
        };
        return Err(BadArguments::Count(target.signature.clone(), takes, given));
    }
    let mut out = Vec::new();
    for (parameter, value) in target.parameters.iter().zip(values) {
        encode(target.model, parameter.ty, value, &parameter.name, &mut out)?;
    }
    Ok(out)
}
