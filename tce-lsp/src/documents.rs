//! Files as the client sees them: texts that are open in the editor replace those
//! on disk. Converts paths and positions between client and compiler.

use std::{
    borrow::Cow,
    collections::HashMap,
    io,
    path::{Path, PathBuf, absolute},
};

use ls_types::{Position, Range, TextDocumentContentChangeEvent, TextDocumentItem, Uri};
use tce_idl::{
    loader::{FileSystem, Loader},
    source::{SourceFile, SourceMap, Span, Utf16Position},
};

/// A text that is open in the editor.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) uri: Uri,
    pub(crate) version: i32,
    pub(crate) source: SourceFile,
}

/// The open documents, and the file system for all other files.
#[derive(Debug, Default)]
pub(crate) struct DocumentStore {
    /// By the identity of the file.
    documents: HashMap<PathBuf, Document>,
}

impl Loader for DocumentStore {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.documents.get(&self.identity(path)) {
            Some(document) => Ok(document.source.text().as_bytes().to_vec()),
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

impl DocumentStore {
    /// Adds a document that the client has opened.
    pub(crate) fn open(&mut self, document: TextDocumentItem) {
        let path = path_of(&document.uri);
        let document = Document {
            uri: document.uri,
            version: document.version,
            source: SourceFile::new(path.clone(), document.text),
        };
        self.documents.insert(self.identity(&path), document);
    }

    /// Applies changes to an open document; ignores changes to any other.
    pub(crate) fn change(
        &mut self,
        uri: &Uri,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
    ) {
        let path = path_of(uri);
        let identity = self.identity(&path);
        let Some(document) = self.documents.get_mut(&identity) else {
            return;
        };
        document.version = version;
        for change in changes {
            let text = changed(&document.source, change);
            document.source = SourceFile::new(path.clone(), text);
        }
    }

    pub(crate) fn close(&mut self, uri: &Uri) {
        self.documents.remove(&self.identity(&path_of(uri)));
    }

    /// The open document with this URI.
    pub(crate) fn document(&self, uri: &Uri) -> Option<&Document> {
        self.documents.get(&self.identity(&path_of(uri)))
    }

    /// The open documents, by URI.
    pub(crate) fn documents(&self) -> Vec<&Document> {
        let mut documents: Vec<&Document> = self.documents.values().collect();
        documents.sort_by_key(|document| &document.uri);
        documents
    }

    /// Whether the file with this identity is open.
    pub(crate) fn is_open(&self, identity: &Path) -> bool {
        self.documents.contains_key(identity)
    }

    /// The URI of a file: the one that the client uses, if the file is open.
    pub(crate) fn uri(&self, path: &Path) -> Option<Uri> {
        match self.documents.get(&self.identity(path)) {
            Some(document) => Some(document.uri.clone()),
            None => Uri::from_file_path(absolute(path).ok()?),
        }
    }
}

/// A text with one change applied. If the end is before the start, the new text is inserted at the start.
fn changed(source: &SourceFile, change: TextDocumentContentChangeEvent) -> String {
    let Some(range) = change.range else {
        return change.text;
    };
    let start = offset(source, range.start) as usize;
    let end = offset(source, range.end) as usize;
    let mut text = source.text().to_owned();
    text.replace_range(start..end.max(start), &change.text);
    text
}

/// The path of a document. For a URI that is not a file, the URI itself, which
/// does not exist on disk.
pub(crate) fn path_of(uri: &Uri) -> PathBuf {
    let is_file = uri.scheme().as_str().eq_ignore_ascii_case("file");
    let path = uri.to_file_path().filter(|_| is_file);
    path.map_or_else(|| PathBuf::from(uri.as_str()), Cow::into_owned)
}

/// A range as the client counts it: lines and UTF-16 code units, from 0.
pub(crate) fn range(sources: &SourceMap, span: Span) -> Range {
    let source = sources.get(span.file);
    Range {
        start: position(source, span.start),
        end: position(source, span.end),
    }
}

pub(crate) fn position(source: &SourceFile, offset: u32) -> Position {
    let position = source.utf16_position(offset);
    Position::new(position.line, position.column)
}

/// The byte offset of a position of the client.
pub(crate) fn offset(source: &SourceFile, position: Position) -> u32 {
    source.utf16_offset(Utf16Position {
        line: position.line,
        column: position.character,
    })
}

#[cfg(test)]
mod tests {
    use ls_types::{Position, Range, TextDocumentContentChangeEvent};
    use tce_idl::source::SourceFile;

    use super::changed;

    /// `𝄞 a\r\nb` with the text between two positions replaced by `+`.
    fn edited(start: (u32, u32), end: (u32, u32)) -> String {
        let position = |(line, character)| Position::new(line, character);
        let source = SourceFile::new("a.idl".into(), "𝄞 a\r\nb".to_owned());
        let change = TextDocumentContentChangeEvent {
            range: Some(Range::new(position(start), position(end))),
            range_length: None,
            text: "+".to_owned(),
        };
        changed(&source, change)
    }

    #[test]
    fn changes_count_code_units_and_stay_within_the_text() {
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
