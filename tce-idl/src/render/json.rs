//! For programs: JSON Lines, one object for each diagnostic.

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::source::{SourceMap, Span};

#[derive(Serialize)]
struct Object<'a> {
    code: &'static str,
    name: &'static str,
    severity: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<Place<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<Repair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    breaks: Vec<&'static str>,
}

#[derive(Serialize)]
struct Place<'a> {
    file: String,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    start: u32,
    end: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct Repair<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<&'a str>,
}

/// All diagnostics as JSON Lines: one object on each line, empty for none.
///
/// ```json
/// {"code":"TCE0200","name":"unknown-type","severity":"error","message":"…",
///  "primary":{"file":"a.idl","line":1,"column":9,"end_line":1,"end_column":14,"start":8,"end":13,"text":"…"},
///  "notes":[…], "repair":{"message":"…","at":{…},"replacement":"…"},"breaks":["wire","source"]}
/// ```
///
/// Lines and columns count from 1, columns in characters, `end_column` is the
/// one after the last; `start` and `end` are bytes of the file after a
/// byte-order mark, if it has one. `primary`, `notes`, `repair`, `at` with
/// `replacement`, `text` and `breaks` are left out where there is nothing to say.
#[must_use]
pub fn json(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let lines = diagnostics.iter().map(|diagnostic| {
        // Strings and numbers alone: there is nothing here that JSON could not express.
        serde_json::to_string(&object(diagnostic, sources)).unwrap_or_default() + "\n"
    });
    lines.collect()
}

fn object<'a>(diagnostic: &'a Diagnostic, sources: &SourceMap) -> Object<'a> {
    let label = |label: &'a Label| Place {
        text: (!label.text.is_empty()).then_some(label.text.as_str()),
        ..place(label.span, sources)
    };
    Object {
        code: diagnostic.code.id(),
        name: diagnostic.code.name(),
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: &diagnostic.message,
        primary: diagnostic.primary.as_ref().map(label),
        notes: diagnostic.notes.iter().map(label).collect(),
        repair: diagnostic.repair.as_ref().map(|repair| Repair {
            message: &repair.message,
            at: repair.edit.as_ref().map(|edit| place(edit.span, sources)),
            replacement: repair.edit.as_ref().map(|edit| edit.replacement.as_str()),
        }),
        breaks: diagnostic.breaks.names().collect(),
    }
}

fn place<'a>(span: Span, sources: &SourceMap) -> Place<'a> {
    let source = sources.get(span.file);
    let (start, end) = (source.position(span.start), source.position(span.end));
    Place {
        file: source.path().to_string_lossy().into_owned(),
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        start: span.start,
        end: span.end,
        text: None,
    }
}
