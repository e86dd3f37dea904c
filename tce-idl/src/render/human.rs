//! For people: the source lines with the places underlined.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::source::{FileId, SourceMap};

/// Longer lines are cut to the part around the place: one line can be a whole file.
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

/// One diagnostic: its title, a snippet for each file that it names, its repair.
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

/// The lines of one file that the diagnostic's labels are on.
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
    let window = clip(source.text(), lines, first as usize..last as usize);
    let base = window.start;
    let within = |offset: u32| (offset as usize).clamp(base, window.end) - base;
    let annotations = here().map(|(label, kind)| {
        let annotation = kind.span(within(label.span.start)..within(label.span.end));
        annotation.label((!label.text.is_empty()).then_some(label.text.as_str()))
    });
    Snippet::source(&source.text()[window.clone()])
        .path(source.path().to_string_lossy())
        .line_start(line_start)
        .annotations(annotations)
}

/// `lines` cut down to what stands around `place`, on character boundaries.
fn clip(text: &str, lines: Range<usize>, place: Range<usize>) -> Range<usize> {
    let newlines = text.as_bytes()[lines.clone()].split(|byte| *byte == b'\n');
    if newlines.map(<[u8]>::len).max().unwrap_or_default() <= MAX_CONTEXT_BYTES {
        return lines;
    }
    let start = place
        .start
        .saturating_sub(MAX_CONTEXT_BYTES / 2)
        .max(lines.start);
    let end = (place.start + MAX_CONTEXT_BYTES).min(lines.end);
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    boundary(start)..boundary(end)
}
