//! What the server knows: files, and what was made of them.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    rc::Rc,
};

use ls_types::{
    Location, TextDocumentContentChangeEvent, TextDocumentItem, TextDocumentPositionParams, Uri,
};
use tce_idl::{
    loader::{Loader, idl_files},
    source::{FileId, SourceMap, Span},
};

use crate::{
    analysis::Analysis,
    convert,
    files::{Files, path_of},
    project::Project,
};

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
        self.forget(&document.uri);
        self.files.open(document);
    }

    pub(crate) fn change(
        &mut self,
        uri: &Uri,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
    ) {
        self.forget(uri);
        self.files.change(uri, version, changes);
    }

    pub(crate) fn close(&mut self, uri: &Uri) {
        self.forget(uri);
        self.files.close(uri);
    }

    /// Forgets what a change of a text may change.
    fn forget(&mut self, uri: &Uri) {
        let identity = self.files.identity(&path_of(uri));
        self.analyses
            .retain(|_, analysis| !analysis.depends_on(&identity));
    }

    /// Forgets all that was made of files: they may be others now.
    pub(crate) fn forget_all(&mut self) {
        self.analyses.clear();
    }

    /// Forgets what was made of closed files: there may be many.
    pub(crate) fn forget_closed(&mut self) {
        let files = &self.files;
        self.analyses.retain(|identity, _| files.is_open(identity));
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

    /// What an open text means.
    pub(crate) fn opened(&mut self, uri: &Uri) -> Option<Rc<Analysis>> {
        let path = self.files.buffer(uri)?.source.path().to_owned();
        Some(self.analysis(&path))
    }

    /// The place that a client means, if it is in an open text.
    pub(crate) fn spot(&mut self, at: &TextDocumentPositionParams) -> Option<Spot> {
        let analysis = self.opened(&at.text_document.uri)?;
        let file = analysis.root?;
        let offset = convert::offset(analysis.sources().get(file), at.position);
        Some(Spot {
            analysis,
            file,
            offset,
        })
    }

    /// Every file that may name something: open ones, and those in the editor's folders.
    pub(crate) fn all_files(&self) -> Vec<PathBuf> {
        let open = self.files.buffers().into_iter();
        let open = open.map(|buffer| buffer.source.path().to_owned());
        let on_disk = self.folders.iter().flat_map(|folder| idl_files(folder));
        let mut seen = HashSet::new();
        open.chain(on_disk)
            .filter(|path| seen.insert(self.files.identity(path)))
            .collect()
    }

    /// A place as the client knows it.
    pub(crate) fn location(&self, sources: &SourceMap, span: Span) -> Option<Location> {
        let uri = self.files.uri(sources.get(span.file).path())?;
        Some(Location::new(uri, convert::range(sources, span)))
    }
}
