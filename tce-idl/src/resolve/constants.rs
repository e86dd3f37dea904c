//! The values of constants and the numbers of enum members.

use super::annotations::{self, Annotated};
use super::types::builtin;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{ConstantValue, EnumMember, Type};
use crate::source::Span;
use crate::syntax::ast::{self, Identifier, Literal};

/// The members of an enum with their numbers: what is written, or one more than the
/// number of the member before, from 0.
pub(super) fn enum_members(from: &ast::Enum, sink: &mut Diagnostics) -> Vec<EnumMember> {
    let mut members = Vec::new();
    let mut next = Some(0);
    for member in &from.members {
        let number = match &member.number {
            Some(written) => enum_number(written, sink),
            None => next.or_else(|| {
                let message = format!("there is no number left for `{}`", member.name.text);
                let diagnostic = Diagnostic::new(Code::EnumNumber, message);
                let diagnostic = diagnostic.at(member.name.span, "");
                sink.push(diagnostic.help("the largest is 2147483647: write a number"));
                None
            }),
        };
        // A number that was reported is replaced by one that no rule rejects.
        next = number.map_or(Some(0), |number: i32| number.checked_add(1));
        let of = Annotated::Other("a member of an enum");
        members.extend(number.map(|number| EnumMember {
            name: member.name.text.clone(),
            span: member.name.span,
            doc: member.doc.clone(),
            deprecated: annotations::read(&member.annotations, of, sink).deprecated,
            number,
        }));
    }
    members
}

fn enum_number(written: &Identifier, sink: &mut Diagnostics) -> Option<i32> {
    let whole = integer(&written.text);
    let number = whole.and_then(|number| i32::try_from(number).ok());
    if number.is_none() {
        let text = &written.text;
        let message = match whole {
            Some(_) => format!("{text} does not fit into an `int`"),
            None => format!("`{text}` is not a whole number"),
        };
        let diagnostic = Diagnostic::new(Code::EnumNumber, message).at(written.span, "");
        sink.push(diagnostic.help("a number of an enum is from -2147483648 to 2147483647"));
    }
    number
}

/// A whole number, decimal or hexadecimal.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let hexadecimal = digits.strip_prefix("0x").or(digits.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((digits, 10), |digits| (digits, 16));
    // A sign behind the sign or behind `0x` would be accepted.
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    // The longest is that of a `long`, with zeros before it.
    let number = i128::from_str_radix(digits, radix)
        .ok()
        .filter(|_| is_plain);
    number.map(|number| sign * number)
}

/// The type and value of a constant; `None` if one of them was reported.
pub(super) fn constant(
    from: &ast::Constant,
    sink: &mut Diagnostics,
) -> Option<(Type, ConstantValue)> {
    let named = from
        .ty
        .module
        .is_none()
        .then(|| builtin(&from.ty.name.text));
    let Some(ty) = named.flatten() else {
        let message = format!("`{}` can't be the type of a constant", from.ty.name.text);
        let diagnostic = Diagnostic::new(Code::ConstantType, message).at(from.ty.span, "");
        sink.push(diagnostic.help(
            "a constant is a `bool`, `byte`, `short`, `int`, `long`, `float`, `double` or `string`",
        ));
        return None;
    };
    match value(ty, from, sink) {
        Ok(value) => Some((ty, value)),
        Err(help) => {
            let written = match &from.value {
                Literal::Number(text) | Literal::Name(text) => format!("`{text}`"),
                Literal::String(_) => "a string".to_owned(),
            };
            let name = &from.ty.name.text;
            let message = format!("{written} is not a value of type `{name}`");
            let diagnostic = Diagnostic::new(Code::ConstantValue, message);
            sink.push(diagnostic.at(from.value_span, "").help(help));
            None
        }
    }
}

/// The value of a constant of type `ty`. The error is the advice.
fn value(
    ty: Type,
    from: &ast::Constant,
    sink: &mut Diagnostics,
) -> Result<ConstantValue, &'static str> {
    let range = |limits: std::ops::RangeInclusive<i64>, help: &'static str| {
        let Literal::Number(text) = &from.value else {
            return Err(help);
        };
        let number = integer(text).and_then(|number| i64::try_from(number).ok());
        let number = number.filter(|number| limits.contains(number));
        number.map(ConstantValue::Integer).ok_or(help)
    };
    match (ty, &from.value) {
        (Type::Bool, Literal::Name(name)) if name == "true" => Ok(ConstantValue::Bool(true)),
        (Type::Bool, Literal::Name(name)) if name == "false" => Ok(ConstantValue::Bool(false)),
        (Type::Bool, _) => Err("write `true` or `false`"),
        (Type::Byte, _) => range(0..=255, "write a whole number from 0 to 255"),
        (Type::Short, _) => range(
            i64::from(i16::MIN)..=i64::from(i16::MAX),
            "write a whole number from -32768 to 32767",
        ),
        (Type::Int, _) => range(
            i64::from(i32::MIN)..=i64::from(i32::MAX),
            "write a whole number from -2147483648 to 2147483647",
        ),
        (Type::Long, _) => range(
            i64::MIN..=i64::MAX,
            "write a whole number from -9223372036854775808 to 9223372036854775807",
        ),
        (Type::Float, Literal::Number(text)) => float(text, f64::from(f32::MAX)),
        (Type::Double, Literal::Number(text)) => float(text, f64::MAX),
        (Type::String, Literal::String(text)) => Ok(ConstantValue::String(unescaped(
            text,
            from.value_span,
            sink,
        ))),
        (Type::String, _) => Err("write a string in quotes: `\"text\"`"),
        _ => Err("write a number, such as `1.5`"),
    }
}

fn float(text: &str, largest: f64) -> Result<ConstantValue, &'static str> {
    let is_decimal = !text.contains(['x', 'X', '_']);
    let number: Option<f64> = text.parse().ok().filter(|_| is_decimal);
    let number = number.ok_or("write a decimal number, such as `1.5` or `2e10`")?;
    match number.abs() <= largest {
        true => Ok(ConstantValue::Float(number)),
        false => Err("it is too large for the type"),
    }
}

/// A string with its escapes replaced. An unknown escape is reported, and stays.
fn unescaped(text: &str, span: Span, sink: &mut Diagnostics) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(same @ ('"' | '\\')) => out.push(same),
            other => {
                let other = other.unwrap_or_default();
                let message = format!("there is no escape `\\{other}`");
                let diagnostic = Diagnostic::new(Code::ConstantValue, message).at(span, "");
                sink.push(
                    diagnostic.help("the escapes are `\\\"`, `\\\\`, `\\n`, `\\r` and `\\t`"),
                );
                out.extend(['\\', other]);
            }
        }
    }
    out
}
