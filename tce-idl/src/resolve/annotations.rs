//! The annotations of an interface or an operation.

use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use crate::source::Span;
use crate::syntax::ast::{Annotation, AnnotationValue};

/// The annotations of one declaration.
#[derive(Default)]
pub(super) struct ParsedAnnotations {
    pub(super) index: Option<(u16, Span)>,
    pub(super) comment: Option<String>,
    pub(super) deprecated: Option<String>,
    pub(super) is_idempotent: bool,
    pub(super) tasks: Option<String>,
    /// By language; always empty for an operation.
    pub(super) skeletons: Vec<(String, bool)>,
}

/// A declaration with annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Annotated {
    Interface,
    Operation,
    /// A declaration without an index: a type or a member, as a sentence names it.
    Other(&'static str),
}

/// Reads the annotations of a declaration.
pub(super) fn read(
    annotations: &[Annotation],
    of: Annotated,
    sink: &mut Diagnostics,
) -> ParsedAnnotations {
    let mut parsed = ParsedAnnotations::default();
    let mut seen: Vec<&Annotation> = Vec::new();
    for annotation in annotations {
        let key = annotation.key.text.as_str();
        // Bounds the search in a list of many distinct annotations.
        if let Some(first) = seen.iter().take(100).find(|other| other.key.text == key) {
            let diagnostic =
                Diagnostic::new(Code::RepeatedAnnotation, format!("`{key}` is given twice"));
            let diagnostic = diagnostic.at(annotation.key.span, "this one applies");
            sink.push(
                diagnostic
                    .note(first.key.span, "this one is ignored")
                    .help("remove one of them"),
            );
        }
        seen.push(annotation);
        match (key, key.strip_prefix("skeleton_")) {
            ("deprecated", _) => parsed.deprecated = deprecated(annotation, sink),
            (_, _) if matches!(of, Annotated::Other(_)) => sink.push(unknown(annotation, of)),
            ("index", _) => parsed.index = index(annotation, sink).or(parsed.index),
            ("comment", _) => parsed.comment = comment(annotation, sink).or(parsed.comment),
            ("idempotent", _) if of == Annotated::Operation => {
                parsed.is_idempotent = idempotent(annotation, sink);
            }
            ("tasks", _) if of == Annotated::Interface => parsed.tasks = tasks(annotation, sink),
            (_, Some(language)) if of == Annotated::Interface && !language.is_empty() => {
                parsed
                    .skeletons
                    .extend(flag(annotation, sink).map(|wanted| (language.to_owned(), wanted)));
            }
            _ => sink.push(unknown(annotation, of)),
        }
    }
    parsed
}

fn index(annotation: &Annotation, sink: &mut Diagnostics) -> Option<(u16, Span)> {
    let span = annotation.value_span;
    let number = match &annotation.value {
        AnnotationValue::Number(number) => number,
        // Legacy compilers accept it.
        AnnotationValue::String(text) if parse_index(text).is_ok() => {
            let message = "the index should be a number without quotes";
            let diagnostic = Diagnostic::new(Code::AnnotationQuotes, message).at(span, "");
            sink.push(diagnostic.fix(format!("write `index={text}`"), span, text));
            text
        }
        AnnotationValue::String(_) | AnnotationValue::Name(_) | AnnotationValue::Flag => {
            let diagnostic =
                Diagnostic::new(Code::AnnotationValue, "the index must be a number").at(span, "");
            sink.push(diagnostic.help("write a number from 0 to 65535: `[index=3]`"));
            return None;
        }
    };
    match parse_index(number) {
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

/// The text of a comment. Legacy compilers accept a word or a number too.
fn comment(annotation: &Annotation, sink: &mut Diagnostics) -> Option<String> {
    let (text, is_quoted) = match &annotation.value {
        AnnotationValue::Flag => {
            let message = "the comment has no text";
            let diagnostic = Diagnostic::new(Code::AnnotationValue, message);
            let diagnostic = diagnostic.at(annotation.value_span, "");
            sink.push(diagnostic.help("write `comment=\"text\"`"));
            return None;
        }
        AnnotationValue::String(text) => (text, true),
        AnnotationValue::Number(text) | AnnotationValue::Name(text) => (text, false),
    };
    if !is_quoted {
        let what = match annotation.key.text.as_str() {
            "comment" => "comment",
            _ => "text",
        };
        let message = format!("the {what} should be a string in quotes");
        let diagnostic =
            Diagnostic::new(Code::AnnotationQuotes, message).at(annotation.value_span, "");
        let quoted = format!("\"{text}\"");
        sink.push(diagnostic.fix("put it in quotes", annotation.value_span, quoted));
    }
    Some(text.clone())
}

/// The text of `deprecated="…"`, empty for `deprecated` alone.
fn deprecated(annotation: &Annotation, sink: &mut Diagnostics) -> Option<String> {
    match &annotation.value {
        AnnotationValue::Flag => Some(String::new()),
        AnnotationValue::Name(name) if name == "true" => Some(String::new()),
        AnnotationValue::Name(name) if name == "false" => None,
        _ => comment(annotation, sink),
    }
}

fn idempotent(annotation: &Annotation, sink: &mut Diagnostics) -> bool {
    match annotation.value {
        AnnotationValue::Flag => true,
        _ => flag(annotation, sink).unwrap_or_default(),
    }
}

/// The most bytes of the name of a group of tasks.
const MAX_GROUP: usize = 255;

/// The group of `tasks="…"`.
fn tasks(annotation: &Annotation, sink: &mut Diagnostics) -> Option<String> {
    let group = match &annotation.value {
        AnnotationValue::Flag => String::new(),
        _ => comment(annotation, sink)?,
    };
    if !group.is_empty() && group.len() <= MAX_GROUP {
        return Some(group);
    }
    let message = format!("the name of a group of tasks has 1 to {MAX_GROUP} bytes");
    let diagnostic = Diagnostic::new(Code::AnnotationValue, message).at(annotation.value_span, "");
    sink.push(diagnostic.help("write `tasks=\"group\"`"));
    None
}

fn flag(annotation: &Annotation, sink: &mut Diagnostics) -> Option<bool> {
    match &annotation.value {
        AnnotationValue::Name(name) if name == "true" => Some(true),
        AnnotationValue::Name(name) if name == "false" => Some(false),
        _ => {
            let message = format!("`{}` must be `true` or `false`", annotation.key.text);
            sink.push(
                Diagnostic::new(Code::AnnotationValue, message).at(annotation.value_span, ""),
            );
            None
        }
    }
}

/// The annotations that all declarations with annotations have.
const OF_ANY: &[&str] = &["deprecated"];
const OF_OPERATION: &[&str] = &["index", "comment", "deprecated", "idempotent"];
const OF_INTERFACE: &[&str] = &[
    "index",
    "comment",
    "deprecated",
    "tasks",
    "skeleton_rust",
    "skeleton_py",
    "skeleton_java",
    "skeleton_js",
    "skeleton_cpp",
];

fn unknown(annotation: &Annotation, of: Annotated) -> Diagnostic {
    let key = &annotation.key;
    let (what, known, help) = match of {
        Annotated::Interface => (
            "an interface",
            OF_INTERFACE,
            "the annotations are `index`, `comment`, `deprecated`, `tasks` and `skeleton_<language>`",
        ),
        Annotated::Operation => (
            "an operation",
            OF_OPERATION,
            "the annotations are `index`, `comment`, `deprecated` and `idempotent`",
        ),
        Annotated::Other(what) => (what, OF_ANY, "the only annotation here is `deprecated`"),
    };
    let is_elsewhere = OF_OPERATION.contains(&key.text.as_str())
        || key.text == "tasks"
        || key.text.starts_with("skeleton_");
    if is_elsewhere && matches!(of, Annotated::Other(_)) {
        let message = format!("{what} can't have the annotation `{}`", key.text);
        let diagnostic = Diagnostic::new(Code::MisplacedAnnotation, message).at(key.span, "");
        let help = match key.text.as_str() {
            "idempotent" => "put it before an operation",
            "tasks" => "put it before an interface",
            _ => "put it before an interface or an operation",
        };
        return diagnostic.help(help);
    }
    let message = format!("`{}` is not an annotation of {what}", key.text);
    let diagnostic = Diagnostic::new(Code::UnknownAnnotation, message)
        .at(key.span, "this annotation is ignored");
    match nearest(&key.text, known) {
        Some(near) => diagnostic.fix(format!("did you mean `{near}`?"), key.span, near),
        None => diagnostic.help(help),
    }
}

/// Parses an index of an annotation, an index file or a lock file. The error is a sentence.
pub(crate) fn parse_index(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Err("the index is missing".to_owned());
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is not a whole number"));
    }
    text.parse().map_err(|_| match text.starts_with('-') {
        true => format!("index {text} is negative"),
        false => format!("index {text} is too large: the largest is 65535"),
    })
}
