//! Index files with lines `module.Interface=100` or `module.Interface=100,false`.

use super::IndexFileEntry;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::resolve::parse_index;
use crate::source::{FileId, Span, lines_with_ends};
use crate::syntax::ast::Identifier;

/// The entries of a file. Skips empty lines and those that start with `#` or `//`.
pub(super) fn read(file: FileId, text: &str, sink: &mut Diagnostics) -> Vec<IndexFileEntry> {
    let mut entries = Vec::new();
    let mut start = 0;
    for line in lines_with_ends(text) {
        let fragment = Fragment {
            file,
            text: line,
            start,
        }
        .trim();
        start += line.len();
        if !fragment.text.is_empty()
            && !fragment.text.starts_with('#')
            && !fragment.text.starts_with("//")
        {
            match entry(fragment) {
                Ok(entry) => entries.push(entry),
                Err(diagnostic) => sink.push(*diagnostic),
            }
        }
    }
    entries
}

/// A part of the text, with its position in the file.
#[derive(Clone, Copy)]
struct Fragment<'a> {
    file: FileId,
    text: &'a str,
    start: usize,
}

impl<'a> Fragment<'a> {
    fn trim(self) -> Self {
        let cut = self.text.len() - self.text.trim_start().len();
        Self {
            text: self.text.trim(),
            start: self.start + cut,
            ..self
        }
    }

    /// The parts before and after the first `separator`, trimmed.
    fn split(self, separator: char) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(separator)?;
        let start = self.start + before.len() + separator.len_utf8();
        let after = Self {
            text: after,
            start,
            ..self
        };
        Some((
            Self {
                text: before,
                ..self
            }
            .trim(),
            after.trim(),
        ))
    }

    fn span(self) -> Span {
        let count = |byte| u32::try_from(byte).unwrap_or(u32::MAX);
        Span {
            file: self.file,
            start: count(self.start),
            end: count(self.start + self.text.len()),
        }
    }
}

fn entry(line: Fragment<'_>) -> Result<IndexFileEntry, Box<Diagnostic>> {
    let error = |fragment: Fragment<'_>, message: String| {
        let diagnostic = Diagnostic::new(Code::IndexFileSyntax, message).at(fragment.span(), "");
        Box::new(
            diagnostic.help("a line is `module.Interface=100` or `module.Interface=100,false`"),
        )
    };
    let (name, rest) = line
        .split('=')
        .ok_or_else(|| error(line, "this line has no `=`".to_owned()))?;
    if name.text.split('.').filter(|word| !word.is_empty()).count() != 2 {
        return Err(error(
            name,
            format!("`{}` is not `module.Interface`", name.text),
        ));
    }
    let (number, skeleton) = match rest.split(',') {
        None => (rest, true),
        Some((number, flag)) => match flag.text.to_ascii_lowercase().as_str() {
            "true" => (number, true),
            "false" => (number, false),
            _ => {
                return Err(error(
                    flag,
                    format!("`{}` is not `true` or `false`", flag.text),
                ));
            }
        },
    };
    let index = parse_index(number.text).map_err(|message| error(number, message))?;
    Ok(IndexFileEntry {
        name: Identifier {
            text: name.text.to_owned(),
            span: name.span(),
        },
        index: Some((index, number.span())),
        skeleton,
        operations: Vec::new(),
    })
}
