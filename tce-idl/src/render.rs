//! Diagnostics as text: for people, for programs and for GitHub.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::source::{self, FileId, SourceFile, SourceMap, Span};

/// Longer lines are cut to the part around the label: one line can be a whole file.
const MAX_CONTEXT_BYTES: usize = 2000;

/// All diagnostics as text for a terminal, in colour if `color`. Ends with a
/// newline unless it is empty.
#[must_use]
pub fn human(diagnostics: &[Diagnostic], sources: &SourceMap, color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let texts = diagnostics
        .iter()
        .map(|diagnostic| renderer.render(&[group(diagnostic, sources)]) + "\n");
    texts.collect::<Vec<_>>().join("\n")
}

/// One diagnostic: its title, a snippet for each file with a label, its repair.
fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.id());
    let mut group = Group::with_title(title);
    for snippet in snippets(diagnostic, sources) {
        group = group.element(snippet);
    }
    match &diagnostic.repair {
        Some(repair) => group.element(Level::HELP.message(repair.message.as_str())),
        None => group,
    }
}

/// The labels of a diagnostic, each with whether it is the primary one.
fn labels(diagnostic: &Diagnostic) -> impl Iterator<Item = (&Label, AnnotationKind)> {
    let primary = diagnostic
        .primary
        .iter()
        .map(|label| (label, AnnotationKind::Primary));
    primary.chain(
        diagnostic
            .notes
            .iter()
            .map(|label| (label, AnnotationKind::Context)),
    )
}

fn snippets<'a>(
    diagnostic: &'a Diagnostic,
    sources: &'a SourceMap,
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let mut files: Vec<FileId> = Vec::new();
    for (label, _) in labels(diagnostic) {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    files
        .into_iter()
        .map(|file| snippet(diagnostic, file, sources))
        .collect()
}

/// The lines of one file that the labels of the diagnostic are on.
fn snippet<'a>(
    diagnostic: &'a Diagnostic,
    file: FileId,
    sources: &'a SourceMap,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let source = sources.get(file);
    let here = || labels(diagnostic).filter(|(label, _)| label.span.file == file);
    let first = here()
        .map(|(label, _)| label.span.start)
        .min()
        .unwrap_or_default();
    let last = here()
        .map(|(label, _)| label.span.end)
        .max()
        .unwrap_or_default();
    let (lines, line_start) = source.lines(first, last);
    let window = clip(source, lines, first as usize..last as usize);
    let base = window.start;
    let within = |offset: u32| (offset as usize).clamp(base, window.end) - base;
    let annotations = here().map(|(label, kind)| {
        let annotation = kind.span(within(label.span.start)..within(label.span.end));
        annotation.label((!label.text.is_empty()).then_some(label.text.as_str()))
    });
    // The renderer does not end a line at CR alone.
    let lines = source::lines_with_ends(&source.text()[window.clone()]);
    let lines = lines.flat_map(|line| match line.strip_suffix('\r') {
        Some(line) => [line, "\n"],
        None => [line, ""],
    });
    Snippet::source(lines.collect::<String>())
        .path(source.path().to_string_lossy())
        .line_start(line_start)
        .annotations(annotations)
}

/// `lines` cut to the part around `label`, on character boundaries.
fn clip(file: &SourceFile, lines: Range<usize>, label: Range<usize>) -> Range<usize> {
    let text = file.text();
    let shown = source::lines(&text[lines.clone()]);
    if shown.map(str::len).max().unwrap_or_default() <= MAX_CONTEXT_BYTES {
        return lines;
    }
    let start = label
        .start
        .saturating_sub(MAX_CONTEXT_BYTES / 2)
        .max(lines.start);
    let end = (label.start + MAX_CONTEXT_BYTES).min(lines.end);
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    boundary(start)..boundary(end)
}

#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    code: &'static str,
    name: &'static str,
    severity: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<JsonSpan<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<JsonSpan<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<JsonRepair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    breaks: Vec<&'static str>,
}

#[derive(Serialize)]
struct JsonSpan<'a> {
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
struct JsonRepair<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<JsonSpan<'a>>,
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
/// one after the last; `start` and `end` are byte offsets, not counting a
/// byte-order mark. `primary`, `notes`, `repair`, `at` with `replacement`,
/// `text` and `breaks` are left out if they are empty.
#[must_use]
pub fn json(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let lines = diagnostics.iter().map(|diagnostic| {
        // Serialization can't fail: the object consists of strings and numbers.
        serde_json::to_string(&json_diagnostic(diagnostic, sources)).unwrap_or_default() + "\n"
    });
    lines.collect()
}

fn json_diagnostic<'a>(diagnostic: &'a Diagnostic, sources: &SourceMap) -> JsonDiagnostic<'a> {
    let label = |label: &'a Label| JsonSpan {
        text: (!label.text.is_empty()).then_some(label.text.as_str()),
        ..json_span(label.span, sources)
    };
    JsonDiagnostic {
        code: diagnostic.code.id(),
        name: diagnostic.code.name(),
        severity: severity(diagnostic),
        message: &diagnostic.message,
        primary: diagnostic.primary.as_ref().map(label),
        notes: diagnostic.notes.iter().map(label).collect(),
        repair: diagnostic.repair.as_ref().map(|repair| JsonRepair {
            message: &repair.message,
            at: repair
                .edit
                .as_ref()
                .map(|edit| json_span(edit.span, sources)),
            replacement: repair.edit.as_ref().map(|edit| edit.replacement.as_str()),
        }),
        breaks: diagnostic.breaks.names().collect(),
    }
}

fn json_span<'a>(span: Span, sources: &SourceMap) -> JsonSpan<'a> {
    let source = sources.get(span.file);
    let (start, end) = (source.position(span.start), source.position(span.end));
    JsonSpan {
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

/// All diagnostics in one line each, as compilers of C print them, empty for none.
///
/// ```text
/// a.idl:1:9: error[TCE0200]: there is no type `strng`; did you mean `string`?
/// ```
///
/// The notes are left out. The column counts characters.
#[must_use]
pub fn short(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let lines = diagnostics.iter().map(|diagnostic| {
        let place = diagnostic.primary.as_ref().map(|label| {
            let source = sources.get(label.span.file);
            let at = source.position(label.span.start);
            format!("{}:{}:{}: ", source.path().display(), at.line, at.column)
        });
        let repair = diagnostic.repair.as_ref();
        let repair = repair.map(|repair| format!("; {}", repair.message));
        format!(
            "{}{}[{}]: {}{}\n",
            place.unwrap_or_default(),
            severity(diagnostic),
            diagnostic.code.id(),
            diagnostic.message,
            repair.unwrap_or_default(),
        )
    });
    lines.collect()
}

fn severity(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// All diagnostics as GitHub workflow commands, one on each line, empty for none.
///
/// ```text
/// ::error file=a.idl,line=1,endLine=1,col=9,endColumn=14,title=TCE0200 unknown-type::…
/// ```
///
/// The notes are left out: a command has one position.
#[must_use]
pub fn github(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let commands = diagnostics
        .iter()
        .map(|diagnostic| command(diagnostic, sources) + "\n");
    commands.collect()
}

fn command(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let level = severity(diagnostic);
    let position = diagnostic
        .primary
        .as_ref()
        .map(|label| position(label.span, sources))
        .unwrap_or_default();
    let title = format!("{} {}", diagnostic.code.id(), diagnostic.code.name());
    let label = diagnostic.primary.as_ref().map(|label| label.text.as_str());
    let repair = diagnostic
        .repair
        .as_ref()
        .map(|repair| format!("help: {}", repair.message));
    let mut message = diagnostic.message.clone();
    for line in label
        .filter(|text| !text.is_empty())
        .into_iter()
        .chain(repair.as_deref())
    {
        message.push('\n');
        message.push_str(line);
    }
    format!(
        "::{level} {position}title={}::{}",
        property(&title),
        data(&message)
    )
}

/// The properties for a range, with a comma after each.
fn position(span: Span, sources: &SourceMap) -> String {
    let source = sources.get(span.file);
    let (start, end) = (source.position(span.start), source.position(span.end));
    let file = property(&source.path().to_string_lossy());
    let lines = format!("file={file},line={},endLine={},", start.line, end.line);
    // GitHub ignores columns of a range over several lines.
    if start.line == end.line {
        format!("{lines}col={},endColumn={},", start.column, end.column)
    } else {
        lines
    }
}

/// Escapes a message: a line break would end the command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes the value of a property, which `,` and `:` would end too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use crate::compile_str;

    #[test]
    fn a_command_is_one_line_with_a_position() {
        let compilation = compile_str("module m {\n struct S { strng a; };\n}");
        let text = super::github(&compilation.diagnostics, &compilation.sources);
        assert_eq!(
            text,
            "::error file=input.idl,line=2,endLine=2,col=13,endColumn=18,\
             title=TCE0200 unknown-type::there is no type `strng`%0A\
             help: did you mean `string`?\n"
        );
    }

    #[test]
    fn a_short_line_has_place_code_and_repair() {
        let compilation = compile_str("module m {\n struct S { strng a; };\n}");
        let text = super::short(&compilation.diagnostics, &compilation.sources);
        assert_eq!(
            text,
            "input.idl:2:13: error[TCE0200]: there is no type `strng`; did you mean `string`?\n"
        );
    }

    #[test]
    fn characters_that_end_a_property_are_escaped() {
        assert_eq!(super::property("a:b,c%\r\n"), "a%3Ab%2Cc%25%0D%0A");
        assert_eq!(super::data("a:b,c%\n"), "a:b,c%25%0A");
    }
}
