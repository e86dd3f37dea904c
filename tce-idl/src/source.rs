//! The files of a compilation, and positions in them.

use std::path::{Path, PathBuf};

/// A file of one compilation, by its position in [`SourceMap::files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A range of a file: the bytes `start..end` of [`SourceFile::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last; equal to `start` for a position between two characters.
    pub end: u32,
}

impl Span {
    /// The range from the start of `self` to the end of `other`, which is in the same file.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            end: other.end.max(self.start),
            ..self
        }
    }

    /// The empty range right after `self`.
    #[must_use]
    pub fn after(self) -> Self {
        Self {
            start: self.end,
            ..self
        }
    }

    /// The empty range right before `self`.
    #[must_use]
    pub fn before(self) -> Self {
        Self {
            end: self.start,
            ..self
        }
    }
}

/// A line and a column, both from 1. A column counts characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in Unicode scalar values.
    pub column: u32,
}

/// A line and a column as editors count them: from 0, in UTF-16 code units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utf16Position {
    /// The line, from 0.
    pub line: u32,
    /// The column, from 0, in UTF-16 code units: a character beyond U+FFFF is two.
    pub column: u32,
}

/// One file that was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    path: PathBuf,
    text: String,
    line_starts: Vec<u32>,
}

impl SourceFile {
    /// A file with this text, from which a byte-order mark was removed.
    #[must_use]
    pub fn new(path: PathBuf, text: String) -> Self {
        let line_starts = line_starts(&text);
        Self {
            path,
            text,
            line_starts,
        }
    }

    /// The path it was read from, as the command line gives it or an import found it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text, without a leading byte-order mark.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line and column of a byte of the text; the end of the text for an offset beyond it.
    #[must_use]
    pub fn position(&self, offset: u32) -> Position {
        let (line, before) = self.before(offset);
        Position {
            line: count(line + 1),
            column: count(before.chars().count() + 1),
        }
    }

    /// The line and column of a byte of the text as editors count them; the end
    /// of the text for an offset beyond it.
    #[must_use]
    pub fn utf16_position(&self, offset: u32) -> Utf16Position {
        let (line, before) = self.before(offset);
        Utf16Position {
            line: count(line),
            column: count(before.encode_utf16().count()),
        }
    }

    /// The byte at a line and column as editors count them. A column past the end
    /// of its line means that end; a line past the last one, the end of the text.
    #[must_use]
    pub fn utf16_offset(&self, position: Utf16Position) -> u32 {
        let line = position.line as usize;
        let Some(start) = self.line_starts.get(line).copied() else {
            return count(self.text.len());
        };
        let next = self.line_starts.get(line + 1);
        let stop = next.map_or(self.text.len(), |next| *next as usize);
        let text = self.text[start as usize..stop].trim_end_matches(['\r', '\n']);
        let mut column = 0;
        for (at, character) in text.char_indices() {
            // A column between the two units of a surrogate pair means the start of the character.
            column += character.len_utf16();
            if column > position.column as usize {
                return start + count(at);
            }
        }
        start + count(text.len())
    }

    /// The line number of a byte, from 0, and the text of that line before the byte.
    fn before(&self, offset: u32) -> (usize, &str) {
        let after = self.line_starts.partition_point(|start| *start <= offset);
        let line = after.max(1) - 1;
        let start = self.line_starts[line] as usize;
        let before = self.text.get(start..offset as usize);
        (line, before.unwrap_or(&self.text[start..]))
    }

    /// The bytes of the lines that hold `start` to `end`, and the number of the first line, from 1.
    pub(crate) fn lines(&self, start: u32, end: u32) -> (std::ops::Range<usize>, usize) {
        let first = self
            .line_starts
            .partition_point(|line| *line <= start)
            .max(1);
        let last = self
            .line_starts
            .partition_point(|line| *line <= end)
            .max(first);
        let stop = self
            .line_starts
            .get(last)
            .map_or(self.text.len(), |next| *next as usize);
        (self.line_starts[first - 1] as usize..stop, first)
    }
}

/// The first byte of each line. The last line has no end.
fn line_starts(text: &str) -> Vec<u32> {
    let mut starts = vec![0];
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_end = match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        if is_end {
            starts.push(count(at + 1));
        }
    }
    starts
}

/// The lines of a text, each with its end: LF, CR LF, or CR alone, as in editors
/// and in the language server protocol.
///
/// ```
/// let lines: Vec<_> = tce_idl::source::lines_with_ends("a\r\n\rb\nc").collect();
/// assert_eq!(lines, ["a\r\n", "\r", "b\n", "c"]);
/// ```
pub fn lines_with_ends(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = match rest.find(['\n', '\r']) {
            Some(at) if rest[at..].starts_with("\r\n") => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let (line, after) = rest.split_at(end);
        rest = after;
        Some(line)
    })
}

/// The lines of a text, without their ends: like [`str::lines`], and CR alone ends
/// a line too.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    lines_with_ends(text).map(|line| line.trim_end_matches(['\r', '\n']))
}

/// Converts a number of lines or characters, which is at most the number of bytes of a text.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Every file that a compilation read: arguments, imports, index files and lock files.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
    missing: Vec<PathBuf>,
}

impl SourceMap {
    /// The files, in the order in which they were read.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The paths at which an import was looked for before it was found elsewhere, or
    /// was not found. A file that is created at one of them changes the result.
    #[must_use]
    pub fn missing(&self) -> &[PathBuf] {
        &self.missing
    }

    /// Adds a path at which there is no file.
    pub(crate) fn add_missing(&mut self, path: PathBuf) {
        if !self.missing.contains(&path) {
            self.missing.push(path);
        }
    }

    /// The file with this id.
    #[must_use]
    pub fn get(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// Adds a file, from whose text a byte-order mark was removed.
    pub fn add(&mut self, path: PathBuf, text: String) -> FileId {
        let id = FileId(count(self.files.len()));
        self.files.push(SourceFile::new(path, text));
        id
    }
}
