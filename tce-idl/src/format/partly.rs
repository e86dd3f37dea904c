//! The layout of the valid declarations of a text that has syntax errors.
//!
//! The unit is an item: a declaration in a module with the comments and annotations before it,
//! and the comments behind it on its line. Consecutive valid items are laid out as the body of a
//! module of their own. Everything between them stays as it is.

use std::ops::Range;

use super::{ends_with_crlf, format};
use crate::source::{FileId, SourceFile};
use crate::syntax::{self, ModulePart, PartKind};

/// Formats the declarations in modules that have no syntax errors. Everything else stays as it
/// is, also what is on the line of something malformed. A text without syntax errors is better
/// formatted by [`format`](super::format()), which lays out the whole file.
///
/// ```
/// let text = "module m {\n  struct S{int a;};\n  interface I { strng; }\n}\n";
/// let expected = "\
/// module m {
///     struct S {
///         int a;
///     };
///   interface I { strng; }
/// }
/// ";
/// assert_eq!(tce_idl::format_partly(text), expected);
/// ```
#[must_use]
pub fn format_partly(text: &str) -> String {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = SourceFile::new("input.idl".into(), bare.to_owned());
    let modules = syntax::module_parts(FileId(0), &source);
    let runs = modules.iter().flat_map(|parts| runs(bare, parts));
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for run in runs {
        add_run(bare, &run, &mut edits);
    }
    let is_crlf = ends_with_crlf(bare);
    let mut out = bare.to_owned();
    for (range, new) in edits.into_iter().rev() {
        let new = if is_crlf {
            new.replace('\n', "\r\n")
        } else {
            new
        };
        out.replace_range(range, &new);
    }
    out
}

/// The items of a module's body, in runs: nothing but space is between the items of one.
fn runs(text: &str, parts: &[ModulePart]) -> Vec<Vec<Range<usize>>> {
    let mut runs = Vec::new();
    let mut run: Vec<Range<usize>> = Vec::new();
    // The first byte of the comments and annotations since the last item.
    let mut pending: Option<usize> = None;
    for part in parts {
        let (start, end) = (part.span.start as usize, part.span.end as usize);
        match (part.kind, run.last_mut()) {
            (PartKind::Comment, Some(last))
                if pending.is_none() && !text[last.end..start].contains(['\n', '\r']) =>
            {
                last.end = end;
            }
            // Behind something that stays as it is.
            (PartKind::Comment, None) if pending.is_none() && !begins_line(text, start) => {}
            (PartKind::Comment | PartKind::Annotations, _) => {
                pending.get_or_insert(start);
            }
            (PartKind::Declaration, _) => run.push(pending.take().unwrap_or(start)..end),
            (PartKind::Other, _) => {
                pending = None;
                runs.push(std::mem::take(&mut run));
            }
        }
    }
    runs.push(run);
    runs
}

/// Adds the edits that lay out a run. If that fails, leaves out the items at fault.
fn add_run(text: &str, run: &[Range<usize>], edits: &mut Vec<(Range<usize>, String)>) {
    let first = run.iter().position(|item| begins_line(text, item.start));
    let last = run.iter().rposition(|item| ends_line(text, item.end));
    let (Some(first), Some(last)) = (first, last) else {
        return;
    };
    let Some(run) = run.get(first..=last) else {
        return;
    };
    if let Some(edit) = laid_out(text, run) {
        edits.push(edit);
    } else if run.len() > 1 {
        let is_valid = |item: &Range<usize>| laid_out(text, std::slice::from_ref(item)).is_some();
        let valid: Vec<bool> = run.iter().map(is_valid).collect();
        // Fewer items each time, so that this ends.
        if valid.iter().all(|it| *it) {
            return;
        }
        let mut items = run.iter().zip(&valid).peekable();
        while items.peek().is_some() {
            let part: Vec<Range<usize>> = items
                .by_ref()
                .take_while(|(_, is_valid)| **is_valid)
                .map(|(item, _)| item.clone())
                .collect();
            add_run(text, &part, edits);
        }
    }
}

/// The layout of some items, and what it replaces: whole lines up to the end of the last item.
/// `None` if they have syntax errors.
fn laid_out(text: &str, run: &[Range<usize>]) -> Option<(Range<usize>, String)> {
    let (first, last) = (run.first()?, run.last()?);
    let start = first.start - indentation(text, first.start);
    let module = format!("module m {{\n{}\n}}\n", &text[start..last.end]);
    let formatted = format(&module).ok()?;
    let body = formatted.strip_prefix("module m {\n")?;
    let body = body.strip_suffix("\n}\n")?;
    Some((start..last.end, body.to_owned()))
}

/// The bytes of space between a byte and the start of its line, or what is before it.
fn indentation(text: &str, at: usize) -> usize {
    let before = &text[..at];
    before.len() - before.trim_end_matches([' ', '\t']).len()
}

fn begins_line(text: &str, at: usize) -> bool {
    let before = &text[..at - indentation(text, at)];
    before.is_empty() || before.ends_with(['\n', '\r'])
}

fn ends_line(text: &str, at: usize) -> bool {
    let after = text[at..].trim_start_matches([' ', '\t']);
    after.is_empty() || after.starts_with(['\n', '\r'])
}
