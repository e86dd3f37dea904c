//! One canonical layout for `.idl` files.
//!
//! Only space between tokens changes, and optional `;`: after an `import` it is
//! added, elsewhere it is removed. Comments keep their positions, and
//! documentation stays before its declaration. Formatting is idempotent.

mod lexemes;
mod print;

use std::path::Path;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::loader::{self, Loader};
use crate::source::{FileId, SourceMap, Span};
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
        let diagnostic = match first_difference(source.text(), text) {
            Some((span, "")) => diagnostic.at(span, "should be empty"),
            Some((span, line)) => diagnostic.at(span, format!("should be `{line}`")),
            // Only a byte-order mark or the end of the file differs.
            None => diagnostic,
        };
        Some(diagnostic.help("`tce fmt` formats it"))
    }
}

/// The position of the first line of `old` that differs from `new`, and that line of `new`.
fn first_difference<'n>(old: &str, new: &'n str) -> Option<(Span, &'n str)> {
    let mut start = 0;
    let mut lines = new.split('\n');
    for line in old.split('\n') {
        let wanted = lines.next().unwrap_or_default();
        if line != wanted {
            let bytes = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            let span = Span {
                file: FileId(0),
                start: bytes(start),
                end: bytes(start + line.trim_end().len()),
            };
            return Some((span, wanted));
        }
        start += line.len() + 1;
    }
    None
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
        print::print(&lexemes::lexemes(source.text(), &tokens))
    });
    (text, sink.finish())
}
