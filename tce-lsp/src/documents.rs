//! Files, where texts that are open in the editor go before what is on disk.

use std::{
    borrow::Cow,
    collections::HashMap,
    io,
    path::{Path, PathBuf, absolute},
};

use ls_types::{Position, Range, TextDocumentContentChangeEvent, TextDocumentItem, Uri};
use tce_idl::{
    loader::{FileSystem, Loader},
    source::{Source, SourceMap, Span, Utf16Position},
};

/// A text that is open in the editor.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) uri: Uri,
    pub(crate) version: i32,
    pub(crate) source: Source,
}

/// The files of the project.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// By identity.
    buffers: HashMap<PathBuf, Buffer>,
}

impl Loader for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.buffers.get(&self.identity(path)) {
            Some(buffer) => Ok(buffer.source.text().as_bytes().to_vec()),
            None => FileSystem.read(path),
        }
    }

    fn identity(&self, path: &Path) -> PathBuf {
        FileSystem.identity(path)
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        FileSystem.list(folder)
    }
}

impl Files {
    /// Takes in a text that was opened.
    pub(crate) fn open(&mut self, document: TextDocumentItem) {
        let path = path_of(&document.uri);
        let buffer = Buffer {
            uri: document.uri,
            version: document.version,
            source: Source::new(path.clone(), document.text),
        };
        self.buffers.insert(self.identity(&path), buffer);
    }

    /// Changes an open text; a text that is not open stays so.
    pub(crate) fn change(
        &mut self,
        uri: &Uri,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
    ) {
        let path = path_of(uri);
        let identity = self.identity(&path);
        let Some(buffer) = self.buffers.get_mut(&identity) else {
            return;
        };
        buffer.version = version;
        for change in changes {
            let text = changed(&buffer.source, change);
            buffer.source = Source::new(path.clone(), text);
        }
    }

    pub(crate) fn close(&mut self, uri: &Uri) {
        self.buffers.remove(&self.identity(&path_of(uri)));
    }

    /// The text that a client has open under this address.
    pub(crate) fn buffer(&self, uri: &Uri) -> Option<&Buffer> {
        self.buffers.get(&self.identity(&path_of(uri)))
    }

    /// The open texts, by address.
    pub(crate) fn buffers(&self) -> Vec<&Buffer> {
        let mut buffers: Vec<&Buffer> = self.buffers.values().collect();
        buffers.sort_by_key(|buffer| &buffer.uri);
        buffers
    }

    /// Whether the file with this identity is open.
    pub(crate) fn is_open(&self, identity: &Path) -> bool {
        self.buffers.contains_key(identity)
    }

    /// What the client calls a file.
    pub(crate) fn uri(&self, path: &Path) -> Option<Uri> {
        match self.buffers.get(&self.identity(path)) {
            Some(buffer) => Some(buffer.uri.clone()),
            None => Uri::from_file_path(absolute(path).ok()?),
        }
    }
}

/// A text with a change in it. Ends that come in the wrong order insert at the first.
fn changed(source: &Source, change: TextDocumentContentChangeEvent) -> String {
    let Some(range) = change.range else {
        return change.text;
    };
    let start = convert::offset(source, range.start) as usize;
    let end = convert::offset(source, range.end) as usize;
    let mut text = source.text().to_owned();
    text.replace_range(start..end.max(start), &change.text);
    text
}

/// The path of a document. One that is no file has its address as path, by
/// which nothing is found on disk.
pub(crate) fn path_of(uri: &Uri) -> PathBuf {
    let is_file = uri.scheme().as_str().eq_ignore_ascii_case("file");
    let path = uri.to_file_path().filter(|_| is_file);
    path.map_or_else(|| PathBuf::from(uri.as_str()), Cow::into_owned)
}

/// A place as the client counts it.
pub(crate) fn range(sources: &SourceMap, span: Span) -> Range {
    let source = sources.get(span.file);
    Range {
        start: position(source, span.start),
        end: position(source, span.end),
    }
}

pub(crate) fn position(source: &Source, offset: u32) -> Position {
    let position = source.utf16_position(offset);
    Position::new(position.line, position.column)
}

/// The byte of a text that a client means.
pub(crate) fn offset(source: &Source, position: Position) -> u32 {
    source.utf16_offset(Utf16Position {
        line: position.line,
        column: position.character,
    })
}

#[cfg(test)]
mod tests {
    use ls_types::{Position, Range, TextDocumentContentChangeEvent};
    use tce_idl::source::Source;

    use super::changed;

    /// `𝄞 a\r\nb` with what is between two positions replaced by `+`.
    fn edited(start: (u32, u32), end: (u32, u32)) -> String {
        let position = |(line, character)| Position::new(line, character);
        let source = Source::new("a.idl".into(), "𝄞 a\r\nb".to_owned());
        let change = TextDocumentContentChangeEvent {
            range: Some(Range::new(position(start), position(end))),
            range_length: None,
            text: "+".to_owned(),
        };
        changed(&source, change)
    }

    #[test]
    fn changes_are_counted_in_code_units_and_never_out_of_the_text() {
        for (start, end, expected) in [
            ((0, 0), (0, 0), "+𝄞 a\r\nb"),
            ((0, 2), (0, 3), "𝄞+a\r\nb"),
            ((0, 4), (1, 0), "𝄞 a+b"),
            ((1, 1), (1, 1), "𝄞 a\r\nb+"),
            // Within a character, past a line, past the text, backwards.
            ((0, 1), (0, 2), "+ a\r\nb"),
            ((0, 9), (0, 99), "𝄞 a+\r\nb"),
            ((7, 0), (9, 9), "𝄞 a\r\nb+"),
            ((1, 0), (0, 0), "𝄞 a\r\n+b"),
        ] {
            assert_eq!(edited(start, end), expected, "{start:?} to {end:?}");
        }
    }
}
