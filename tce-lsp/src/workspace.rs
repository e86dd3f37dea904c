//! The state of the server: documents, and the analyses of files.

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
    analysis::{Analysis, Project},
    documents::{self, DocumentStore, path_of},
    settings::Settings,
};

/// A position in an open document that a request refers to.
pub(crate) struct Cursor {
    pub(crate) analysis: Rc<Analysis>,
    pub(crate) file: FileId,
    pub(crate) offset: u32,
}

/// Which documents may have other results after a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    /// The document that has changed, whose results the client requests again by itself.
    Document,
    /// Other documents, too.
    Others,
}

/// The documents, the folders and the cached analyses.
pub(crate) struct Workspace {
    pub(crate) documents: DocumentStore,
    /// The folders that the editor has open.
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) settings: Settings,
    project: Box<dyn Fn(&Path) -> Project>,
    /// Analyses that are up to date, by the identity of their file.
    analyses: HashMap<PathBuf, Rc<Analysis>>,
}

impl Workspace {
    pub(crate) fn new(project: impl Fn(&Path) -> Project + 'static) -> Self {
        Self {
            documents: DocumentStore::default(),
            folders: Vec::new(),
            settings: Settings::default(),
            project: Box::new(project),
            analyses: HashMap::new(),
        }
    }

    /// Returns, as [`Self::change`] and [`Self::close`] do, what may have changed.
    pub(crate) fn open(&mut self, document: TextDocumentItem) -> Change {
        let change = self.invalidate(&document.uri);
        self.documents.open(document);
        change
    }

    pub(crate) fn change(
        &mut self,
        uri: &Uri,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
    ) -> Change {
        let change = self.invalidate(uri);
        self.documents.change(uri, version, changes);
        change
    }

    pub(crate) fn close(&mut self, uri: &Uri) -> Change {
        let change = self.invalidate(uri);
        self.documents.close(uri);
        change
    }

    /// Drops the analyses that a change of a document may change.
    fn invalidate(&mut self, uri: &Uri) -> Change {
        let changed = self.documents.identity(&path_of(uri));
        let mut change = Change::Document;
        self.analyses.retain(|identity, analysis| {
            let is_valid = !analysis.depends_on(&changed);
            if !is_valid && *identity != changed {
                change = Change::Others;
            }
            is_valid
        });
        change
    }

    /// Drops all analyses: files on disk may have changed.
    pub(crate) fn invalidate_all(&mut self) -> Change {
        self.analyses.clear();
        Change::Others
    }

    /// Drops the analyses of closed files, of which there may be many.
    pub(crate) fn drop_closed(&mut self) {
        let documents = &self.documents;
        self.analyses
            .retain(|identity, _| documents.is_open(identity));
    }

    /// The analysis of a file and its imports.
    pub(crate) fn analysis(&mut self, path: &Path) -> Rc<Analysis> {
        let identity = self.documents.identity(path);
        if let Some(analysis) = self.analyses.get(&identity) {
            return analysis.clone();
        }
        let paths = [path.to_owned()];
        let analysis = Rc::new(Analysis::new(&self.documents, &paths, (self.project)(path)));
        self.analyses.insert(identity, analysis.clone());
        analysis
    }

    /// Analyses that cover files: one of all those of a project, so that what several import is
    /// read once; one of each file if those of a project contradict each other.
    pub(crate) fn cover(&mut self, paths: &[PathBuf]) -> Vec<Rc<Analysis>> {
        let mut projects: Vec<(Project, Vec<PathBuf>)> = Vec::new();
        for path in paths {
            let project = (self.project)(path);
            let is_same = |(other, _): &&mut (Project, _)| other.options == project.options;
            match projects.iter_mut().find(is_same) {
                Some((_, paths)) => paths.push(path.clone()),
                None => projects.push((project, vec![path.clone()])),
            }
        }
        let mut analyses = Vec::new();
        for (project, paths) in projects {
            let together = (paths.len() > 1)
                .then(|| Analysis::new(&self.documents, &paths, project))
                .filter(Analysis::is_unambiguous);
            match together {
                Some(analysis) => analyses.push(Rc::new(analysis)),
                None => analyses.extend(paths.iter().map(|path| self.analysis(path))),
            }
        }
        analyses
    }

    /// The analysis of an open document.
    pub(crate) fn opened(&mut self, uri: &Uri) -> Option<Rc<Analysis>> {
        let path = self.documents.document(uri)?.source.path().to_owned();
        Some(self.analysis(&path))
    }

    /// The position that a request refers to, if it is in an open document.
    pub(crate) fn cursor(&mut self, at: &TextDocumentPositionParams) -> Option<Cursor> {
        let analysis = self.opened(&at.text_document.uri)?;
        let file = analysis.root?;
        let offset = documents::offset(analysis.sources().get(file), at.position);
        Some(Cursor {
            analysis,
            file,
            offset,
        })
    }

    /// Every file of the project: open documents, files in the editor's folders, and
    /// those beside a document that is in none of these.
    pub(crate) fn all_files(&self) -> Vec<PathBuf> {
        let open = self.documents.documents().into_iter();
        let open: Vec<&Path> = open.map(|document| document.source.path()).collect();
        let on_disk = self.folders.iter().flat_map(|folder| idl_files(folder));
        let outside = open.iter().filter(|path| !self.is_in_folder(path));
        let folders: HashSet<&Path> = outside.filter_map(|path| path.parent()).collect();
        let beside = folders.into_iter().flat_map(|folder| {
            let names = self.documents.list(folder).into_iter();
            let idl = names.filter(|name| name.ends_with(".idl"));
            idl.map(|name| folder.join(name))
        });
        let mut beside: Vec<PathBuf> = beside.collect();
        beside.sort();
        let mut seen = HashSet::new();
        let open = open.iter().map(|path| (*path).to_owned());
        open.chain(on_disk)
            .chain(beside)
            .filter(|path| seen.insert(self.documents.identity(path)))
            .collect()
    }

    /// Whether a path is in a folder that the editor has open.
    pub(crate) fn is_in_folder(&self, path: &Path) -> bool {
        self.folders.iter().any(|folder| path.starts_with(folder))
    }

    /// The analyses of open documents that are up to date.
    pub(crate) fn cached(&self) -> impl Iterator<Item = &Analysis> {
        self.analyses.values().map(Rc::as_ref)
    }

    /// A range as a location of the protocol.
    pub(crate) fn location(&self, sources: &SourceMap, span: Span) -> Option<Location> {
        let uri = self.documents.uri(sources.get(span.file).path())?;
        Some(Location::new(uri, documents::range(sources, span)))
    }
}
