//! The arguments of a call, from the command line to marshalled parameters.

use serde_json::Value;
use tce_idl::model::Type;

use crate::{
    json::{TypeMismatch, encode},
    syntax::syntax_error,
    target::CallTarget,
};

/// Why the arguments do not fit the operation.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentError {
    /// The number of arguments is wrong: signature, what it takes, what was given.
    #[error("{0} takes {1}, got {2}")]
    Count(String, String, usize),
    /// An object has a member that is not a parameter: signature, name.
    #[error("{0} has no parameter `{1}`")]
    Unknown(String, String),
    /// An object lacks a parameter: signature, name.
    #[error("{0}: the argument `{1}` is missing")]
    Missing(String, String),
    /// A value does not fit the type of its parameter.
    #[error("the argument {0}")]
    Value(#[from] TypeMismatch),
    /// A word begins as JSON and is none: parameter, and what is wrong with it.
    #[error("the argument {0} is not JSON: {1}")]
    Syntax(String, String),
}

/// Marshals the words of the command line: one JSON value per parameter, or one array or object with
/// all. A word that is not JSON is taken as a string.
///
/// # Errors
/// The arguments do not fit the parameters.
pub fn marshal_words(target: &CallTarget<'_>, words: &[String]) -> Result<Vec<u8>, ArgumentError> {
    let parameters = target.parameters;
    if let [word] = words
        && let Ok(value) = serde_json::from_str(word)
        && may_hold_all(target, &value)
    {
        return marshal_value(target, &value);
    }
    let values = words.iter().enumerate().map(|(number, word)| {
        let parameter = parameters.get(number);
        let ty = parameter.map(|parameter| parameter.ty);
        match serde_json::from_str(word) {
            Ok(value @ Value::String(_)) => Ok(value),
            // For a string, `42` needs no quotes.
            _ if ty == Some(Type::String) => Ok(Value::String(word.clone())),
            Ok(value) => Ok(value),
            // What begins as JSON is meant as JSON.
            Err(error) if word.starts_with(['{', '[', '"']) => {
                let line = word.lines().nth(error.line().saturating_sub(1));
                let text = syntax_error(&error, error.line(), line.unwrap_or_default());
                let name = parameter.map_or_else(|| (number + 1).to_string(), |it| it.name.clone());
                Err(ArgumentError::Syntax(name, text))
            }
            // An error message with the expected type is clearer than one of the JSON parser.
            Err(_) => Ok(Value::String(word.clone())),
        }
    });
    marshal_values(target, &values.collect::<Result<Vec<_>, _>>()?)
}

/// Marshals the value of the only parameter, or an array or object with all arguments.
///
/// # Errors
/// The arguments do not fit the parameters.
pub fn marshal_value(target: &CallTarget<'_>, value: &Value) -> Result<Vec<u8>, ArgumentError> {
    // `[[]]` can be both; a value of the parameter's type takes precedence.
    if let Ok(params) = marshal_values(target, std::slice::from_ref(value)) {
        return Ok(params);
    }
    match value {
        Value::Object(fields) if may_hold_all(target, value) => {
            let is_known = |key: &&String| target.parameters.iter().any(|it| it.name == **key);
            if let Some(unknown) = fields.keys().find(|key| !is_known(key)) {
                return Err(ArgumentError::Unknown(
                    target.signature.clone(),
                    unknown.clone(),
                ));
            }
            let values = target.parameters.iter().map(|parameter| {
                fields.get(&parameter.name).cloned().ok_or_else(|| {
                    ArgumentError::Missing(target.signature.clone(), parameter.name.clone())
                })
            });
            marshal_values(target, &values.collect::<Result<Vec<_>, _>>()?)
        }
        Value::Array(values) if may_hold_all(target, value) => marshal_values(target, values),
        value => marshal_values(target, std::slice::from_ref(value)),
    }
}

/// Whether a value may be an array or object with all arguments, not the only argument.
fn may_hold_all(target: &CallTarget<'_>, value: &Value) -> bool {
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

/// Marshals one JSON value per parameter.
///
/// # Errors
/// The arguments do not fit the parameters.
pub fn marshal_values(target: &CallTarget<'_>, values: &[Value]) -> Result<Vec<u8>, ArgumentError> {
    if values.len() != target.parameters.len() {
        let takes = match target.parameters.len() {
            0 => "no argument".to_owned(),
            1 => "one argument".to_owned(),
            count => format!("{count} arguments"),
        };
        let signature = target.signature.clone();
        return Err(ArgumentError::Count(signature, takes, values.len()));
    }
    let mut out = Vec::new();
    for (parameter, value) in target.parameters.iter().zip(values) {
        encode(target.model, parameter.ty, value, &parameter.name, &mut out)?;
    }
    Ok(out)
}
