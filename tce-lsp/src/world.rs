//! What the server knows: texts that are open, files on disk, and what was
//! made of them.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf, absolute},
    rc::Rc,
};

use ls_types::{
    Location, TextDocumentContentChangeEvent, TextDocumentItem, TextDocumentPositionParams, Uri,
};
use tce_idl::{
    loader::{FileSystem, Loader, idl_files},
    source::{FileId, Source, SourceMap, Span},
};

use crate::{Project, analysis::Analysis, convert};

/// A text that is open in the editor.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) uri: Uri,
    pub(crate) version: i32,
    pub(crate) source: Source,
}

/// The files of the project, where open texts go before what is on disk.
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

/// A place that the client asks about.
pub(crate) struct Spot {
    pub(crate) analysis: Rc<Analysis>,
    pub(crate) file: FileId,
    pub(crate) offset: u32,
}

/// Everything that the server knows.
pub(crate) struct World {
    pub(crate) files: Files,
    /// The folders that the editor has open.
    pub(crate) folders: Vec<PathBuf>,
    project: Box<dyn Fn(&Path) -> Project>,
    /// What is still true, by the identity of the file that it is about.
    analyses: HashMap<PathBuf, Rc<Analysis>>,
}

impl World {
    pub(crate) fn new(project: impl Fn(&Path) -> Project + 'static) -> Self {
        Self {
            files: Files::default(),
            folders: Vec::new(),
            project: Box::new(project),
            analyses: HashMap::new(),
        }
    }

    pub(crate) fn open(&mut self, document: TextDocumentItem) {
        let path = path_of(&document.uri);
        let buffer = Buffer {
            uri: document.uri,
            version: document.version,
            source: Source::new(path.clone(), document.text),
        };
        let identity = self.files.identity(&path);
        self.forget(&identity);
        self.files.buffers.insert(identity, buffer);
    }

    /// Changes an open text; a text that is not open stays so.
    pub(crate) fn change(
        &mut self,
        uri: &Uri,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
    ) {
        let path = path_of(uri);
        let identity = self.files.identity(&path);
        self.forget(&identity);
        let Some(buffer) = self.files.buffers.get_mut(&identity) else {
            return;
        };
        buffer.version = version;
        for change in changes {
            let text = match change.range {
                None => change.text,
                Some(range) => {
                    let start = convert::offset(&buffer.source, range.start) as usize;
                    let end = convert::offset(&buffer.source, range.end) as usize;
                    let mut text = buffer.source.text().to_owned();
                    text.replace_range(start..end.max(start), &change.text);
                    text
                }
            };
            buffer.source = Source::new(path.clone(), text);
        }
    }

    pub(crate) fn close(&mut self, uri: &Uri) {
        let identity = self.files.identity(&path_of(uri));
        self.forget(&identity);
        self.files.buffers.remove(&identity);
    }

    /// Forgets all that was made of files: they may be others now.
    pub(crate) fn forget_all(&mut self) {
        self.analyses.clear();
    }

    /// Forgets what was made of closed files: there may be many.
    pub(crate) fn forget_closed(&mut self) {
        let buffers = &self.files.buffers;
        self.analyses.retain(|path, _| buffers.contains_key(path));
    }

    /// Forgets what a change of a file may change.
    fn forget(&mut self, identity: &Path) {
        self.analyses
            .retain(|_, analysis| !analysis.depends_on(identity));
    }

    pub(crate) fn buffer(&self, uri: &Uri) -> Option<&Buffer> {
        self.files.buffers.get(&self.files.identity(&path_of(uri)))
    }

    /// The open texts, by path.
    pub(crate) fn buffers(&self) -> Vec<(PathBuf, Uri, i32)> {
        let buffers = self.files.buffers.values();
        let mut buffers: Vec<_> = buffers
            .map(|it| (it.source.path().to_owned(), it.uri.clone(), it.version))
            .collect();
        buffers.sort();
        buffers
    }

    /// What a file and its imports mean.
    pub(crate) fn analysis(&mut self, path: &Path) -> Rc<Analysis> {
        let identity = self.files.identity(path);
        if let Some(analysis) = self.analyses.get(&identity) {
            return analysis.clone();
        }
        let analysis = Rc::new(Analysis::new(&self.files, path, (self.project)(path)));
        self.analyses.insert(identity, analysis.clone());
        analysis
    }

    /// The place that a client means, if it is in an open text.
    pub(crate) fn spot(&mut self, at: &TextDocumentPositionParams) -> Option<Spot> {
        let buffer = self.buffer(&at.text_document.uri)?;
        let path = buffer.source.path().to_owned();
        let analysis = self.analysis(&path);
        let file = analysis.root?;
        let offset = convert::offset(analysis.sources().get(file), at.position);
        Some(Spot {
            analysis,
            file,
            offset,
        })
    }

    /// Every file that may name something: those in the editor's folders, and open ones.
    pub(crate) fn all_files(&self) -> Vec<PathBuf> {
        let open = self.files.buffers.values();
        let open = open.map(|buffer| buffer.source.path().to_owned());
        let on_disk = self.folders.iter().flat_map(|folder| idl_files(folder));
        let mut seen = HashSet::new();
        open.chain(on_disk)
            .filter(|path| seen.insert(self.files.identity(path)))
            .collect()
    }

    /// What the client calls a file.
    pub(crate) fn uri(&self, path: &Path) -> Option<Uri> {
        match self.files.buffers.get(&self.files.identity(path)) {
            Some(buffer) => Some(buffer.uri.clone()),
            None => Uri::from_file_path(absolute(path).ok()?),
        }
    }

    /// A place as the client knows it.
    pub(crate) fn location(&self, sources: &SourceMap, span: Span) -> Option<Location> {
        let uri = self.uri(sources.get(span.file).path())?;
        Some(Location::new(uri, convert::range(sources, span)))
    }
}

/// The path of a document. One that is no file has its address as path, by
/// which nothing is found on disk.
pub(crate) fn path_of(uri: &Uri) -> PathBuf {
    let is_file = uri.scheme().as_str().eq_ignore_ascii_case("file");
    let path = uri.to_file_path().filter(|_| is_file);
    path.map_or_else(|| PathBuf::from(uri.as_str()), Cow::into_owned)
}
