//! What annotations say of an interface or an operation.

use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use crate::source::Span;
use crate::syntax::ast::{Annotation, Value};

/// What the annotations of one declaration say.
#[derive(Default)]
pub(super) struct Said {
    pub(super) index: Option<(u16, Span)>,
    pub(super) comment: Option<String>,
    /// By language; always empty for an operation.
    pub(super) skeletons: Vec<(String, bool)>,
}

/// What the annotations of an interface say.
pub(super) fn of_interface(annotations: &[Annotation], sink: &mut Diagnostics) -> Said {
    read(annotations, true, sink)
}

/// What the annotations of an operation say.
pub(super) fn of_operation(annotations: &[Annotation], sink: &mut Diagnostics) -> Said {
    read(annotations, false, sink)
}

fn read(annotations: &[Annotation], interface: bool, sink: &mut Diagnostics) -> Said {
    let mut said = Said::default();
    let mut seen: Vec<&Annotation> = Vec::new();
    for annotation in annotations {
        let key = annotation.key.text.as_str();
        // A list is short; a long one is only compared with its first part.
        if let Some(first) = seen.iter().take(100).find(|other| other.key.text == key) {
            let diagnostic =
                Diagnostic::new(Code::RepeatedAnnotation, format!("`{key}` is given twice"));
            let diagnostic = diagnostic.at(annotation.key.span, "this one counts");
            sink.push(
                diagnostic
                    .note(first.key.span, "this one does not")
                    .help("remove one of them"),
            );
        }
        seen.push(annotation);
        match (key, key.strip_prefix("skeleton_")) {
            ("index", _) => said.index = index(annotation, sink).or(said.index),
            ("comment", _) => said.comment = comment(annotation, sink),
            (_, Some(language)) if interface && !language.is_empty() => {
                said.skeletons
                    .extend(flag(annotation, sink).map(|wanted| (language.to_owned(), wanted)));
            }
            _ => sink.push(unknown(annotation, interface)),
        }
    }
    said
}

fn index(annotation: &Annotation, sink: &mut Diagnostics) -> Option<(u16, Span)> {
    let span = annotation.value_span;
    let number = match &annotation.value {
        Value::Number(number) => number,
        Value::String(text) | Value::Name(text) => {
            let diagnostic =
                Diagnostic::new(Code::AnnotationValue, "an index is a number").at(span, "");
            sink.push(match number::parse(text) {
                Ok(number) => {
                    diagnostic.fix(format!("write `index={number}`"), span, number.to_string())
                }
                Err(_) => diagnostic.help("write a number from 0 to 65535: `[index=3]`"),
            });
            return None;
        }
    };
    match number::parse(number) {
        Ok(index) => Some((index, span)),
        Err(message) => {
            sink.push(
                Diagnostic::new(Code::BadIndex, message)
                    .at(span, "")
                    .help("an index is a number from 0 to 65535"),
            );
            None
        }
    }
}

fn comment(annotation: &Annotation, sink: &mut Diagnostics) -> Option<String> {
    let (Value::Number(text) | Value::Name(text)) = &annotation.value else {
        let Value::String(text) = &annotation.value else {
            return None;
        };
        return Some(text.clone());
    };
    let diagnostic = Diagnostic::new(Code::AnnotationValue, "a comment is a string")
        .at(annotation.value_span, "");
    sink.push(diagnostic.fix(
        "put it in quotes",
        annotation.value_span,
        format!("\"{text}\""),
    ));
    None
}

fn flag(annotation: &Annotation, sink: &mut Diagnostics) -> Option<bool> {
    match &annotation.value {
        Value::Name(name) if name == "true" => Some(true),
        Value::Name(name) if name == "false" => Some(false),
        _ => {
            let message = format!("`{}` must be `true` or `false`", annotation.key.text);
            sink.push(
                Diagnostic::new(Code::AnnotationValue, message).at(annotation.value_span, ""),
            );
            None
        }
    }
}

fn unknown(annotation: &Annotation, interface: bool) -> Diagnostic {
    let key = &annotation.key;
    let (what, known): (_, &[&str]) = match interface {
        true => (
            "an interface",
            &[
                "index",
                "comment",
                "skeleton_rust",
                "skeleton_py",
                "skeleton_java",
                "skeleton_js",
                "skeleton_cpp",
            ],
        ),
        false => ("an operation", &["index", "comment"]),
    };
    let message = format!("`{}` says nothing about {what}", key.text);
    let diagnostic = Diagnostic::new(Code::UnknownAnnotation, message)
        .at(key.span, "this annotation is ignored");
    match nearest(&key.text, known) {
        Some(near) => diagnostic.fix(format!("did you mean `{near}`?"), key.span, near),
        None if interface => {
            diagnostic.help("known are `index`, `comment` and `skeleton_<language>`")
        }
        None => diagnostic.help("known are `index` and `comment`"),
    }
}

/// The index that a text stands for, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Err("there is no number".to_owned());
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is no whole number"));
    }
    text.parse().map_err(|_| match text.starts_with('-') {
        true => format!("index {text} is negative"),
        false => format!("index {text} is too large for the 16 bits that it has on the wire"),
    })
}
