//! One canonical layout for `.idl` files.
//!
//! Only space between tokens changes, and each `;` that legacy compilers reject is
//! removed: after an `import`, after a module, and alone. Comments keep their
//! positions, and documentation stays before its declaration. Lines end with CR LF if all lines
//! of the text do, else with LF. Formatting is idempotent.

mod lexemes;
mod print;
mod partly;

use std::path::Path;

pub use partly::format_partly;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::loader::{self, Loader};
use crate::source::{self, FileId, SourceMap, Span};
use crate::syntax;

/// The result of formatting one file.
#[derive(Debug, Clone)]
pub struct Formatted {
    /// The file in canonical layout; `None` if it has syntax errors.
    pub text: Option<String>,
    /// Whether the layout, a byte-order mark or line endings change.
    pub changed: bool,
    /// Errors and warnings of the syntax, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The file, if it could be read.
    pub sources: SourceMap,
}

impl Formatted {
    /// The first line that changes, as a diagnostic; `None` if the file does not change.
    #[must_use]
    pub fn difference(&self) -> Option<Diagnostic> {
        let (source, text) = (self.sources.files().first()?, self.text.as_ref()?);
        if !self.changed {
            return None;
        }
        let path = source.path().display();
        let message = format!("`{path}` is not in canonical layout");
        let diagnostic = Diagnostic::new(Code::Layout, message);
        let help = "`tce fmt` formats it";
        Some(match first_difference(source.text(), text) {
            Some((span, what)) => diagnostic.at(span, what).help(help),
            None => diagnostic.help("`tce fmt` removes the byte-order mark at its start"),
        })
    }
}

/// The position of the first line of `old` that differs from `new`, and how. A
/// difference that is not visible is described.
fn first_difference(old: &str, new: &str) -> Option<(Span, String)> {
    let mut start = 0;
    let mut wanted_lines = source::lines_with_ends(new);
    for line in source::lines_with_ends(old) {
        let wanted = wanted_lines.next().unwrap_or_default();
        if line != wanted {
            let span = span(start, line.trim_end().len());
            return Some((span, line_difference(line, wanted)));
        }
        start += line.len();
    }
    let missing = wanted_lines.next()?;
    Some((
        span(start, 0),
        format!("should be `{}`", missing.trim_end()),
    ))
}

/// How a line differs from the one that it should be; both have their ends.
fn line_difference(line: &str, wanted: &str) -> String {
    let bare = |line: &str| line.trim_end_matches(['\r', '\n']).len();
    let (text, end) = line.split_at(bare(line));
    let (wanted_text, wanted_end) = wanted.split_at(bare(wanted));
    if text == wanted_text && !wanted.is_empty() {
        let end = end_name(end);
        let wanted_end = end_name(wanted_end);
        return format!("the line ends with {end}, and should end with {wanted_end}");
    }
    if text.trim_end() == wanted_text && !wanted.is_empty() {
        return "spaces at the end of the line should be removed".to_owned();
    }
    if text.contains('\t') && text.replace('\t', " ").trim() == wanted_text.trim() {
        return format!("tabs should be spaces: `{wanted_text}`");
    }
    match wanted_text {
        "" => "should be empty".to_owned(),
        text => format!("should be `{text}`"),
    }
}

fn end_name(end: &str) -> &'static str {
    match end {
        "" => "the file",
        "\n" => "LF",
        "\r" => "CR alone",
        _ => "CR LF",
    }
}

fn span(start: usize, length: usize) -> Span {
    let bytes = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span {
        file: FileId(0),
        start: bytes(start),
        end: bytes(start + length),
    }
}

/// Formats a text in canonical layout.
///
/// ```
/// let text = tce_idl::format("module m{interface I{void f( int a );};}").unwrap();
/// assert_eq!(text, "\
/// module m {
///     interface I {
///         void f(int a);
///     };
/// }
/// ");
/// ```
///
/// # Errors
/// The text has syntax errors. The positions in the diagnostics don't count a
/// byte-order mark, and are in the file with id 0.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let mut sources = SourceMap::default();
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let id = sources.add("input.idl".into(), bare.to_owned());
    let (text, diagnostics) = layout(id, &sources);
    text.ok_or(diagnostics)
}

/// Formats one file of `loader` in canonical layout. Its imports are not read.
pub fn format_file(loader: &dyn Loader, path: &Path) -> Formatted {
    let mut sources = SourceMap::default();
    let mut sink = Diagnostics::default();
    let bytes = match loader.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            sink.push(loader::unreadable(loader, path, &error));
            return unread(sink, sources);
        }
    };
    let Some(id) = loader::add_text(bytes.clone(), path, &mut sources, &mut sink) else {
        return unread(sink, sources);
    };
    let (text, diagnostics) = layout(id, &sources);
    Formatted {
        changed: text.as_ref().is_some_and(|text| text.as_bytes() != bytes),
        text,
        diagnostics,
        sources,
    }
}

fn unread(sink: Diagnostics, sources: SourceMap) -> Formatted {
    Formatted {
        text: None,
        changed: false,
        diagnostics: sink.finish(),
        sources,
    }
}

/// The text of a file in canonical layout; `None` if it has syntax errors.
fn layout(id: FileId, sources: &SourceMap) -> (Option<String>, Vec<Diagnostic>) {
    let source = sources.get(id);
    let mut sink = Diagnostics::default();
    syntax::read(id, source, &mut sink);
    let text = (!sink.has_errors()).then(|| {
        let tokens = syntax::tokens(id, source);
        let text = print::print(&lexemes::lexemes(source.text(), &tokens));
        match ends_with_crlf(source.text()) {
            true => text.replace('\n', "\r\n"),
            false => text,
        }
    });
    (text, sink.finish())
}

/// Whether all lines of a text that has some end with CR LF.
fn ends_with_crlf(text: &str) -> bool {
    let mut ended = source::lines_with_ends(text).filter(|line| line.ends_with(['\r', '\n']));
    text.contains("\r\n") && ended.all(|line| line.ends_with("\r\n"))
}
