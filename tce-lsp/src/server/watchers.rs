//! Which files the client watches for the server: those that change outside of the
//! editor and that diagnostics depend on.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf, absolute},
};

use ls_types::{
    ClientCapabilities, DidChangeWatchedFilesRegistrationOptions, FileSystemWatcher, GlobPattern,
    OneOf, Registration, RegistrationParams, RelativePattern, Uri,
    notification::{DidChangeWatchedFiles, Notification as _},
};
use lsp_server::RequestId;
use tce_idl::{lock, source::SourceFile};

use crate::{analysis::Analysis, workspace::Workspace};

/// Files in the editor's folders: IDL, settings and locks.
const IN_FOLDERS: [&str; 3] = ["**/*.idl", "**/tce.toml", "**/tce.lock"];

/// Names in a folder outside of these, or of a file with any name.
type Watched = (Option<PathBuf>, String);

/// What the client watches.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// Whether the client can be asked to watch files.
    is_supported: bool,
    /// Whether a pattern can name its folder.
    has_relative: bool,
    registered: BTreeSet<Watched>,
    requests: usize,
}

impl Watchers {
    pub(super) fn new(client: &ClientCapabilities) -> Self {
        let workspace = client.workspace.as_ref();
        let watching = workspace.and_then(|it| it.did_change_watched_files.as_ref());
        let is_set = |flag: Option<bool>| flag.unwrap_or_default();
        Self {
            is_supported: watching.is_some_and(|it| is_set(it.dynamic_registration)),
            has_relative: watching.is_some_and(|it| is_set(it.relative_pattern_support)),
            ..Self::default()
        }
    }

    /// The request for what is not watched yet. What is watched stays so: the files
    /// of a closed document are often those of the next one.
    pub(super) fn update(
        &mut self,
        workspace: &Workspace,
    ) -> Option<(RequestId, RegistrationParams)> {
        if !self.is_supported {
            return None;
        }
        let new: Vec<Watched> = wanted(workspace)
            .into_iter()
            .filter(|it| !self.registered.contains(it))
            .collect();
        if new.is_empty() {
            return None;
        }
        let watchers = new.iter().filter_map(|it| self.watcher(it)).collect();
        self.registered.extend(new);
        self.requests += 1;
        let id = format!("tce-watch-{}", self.requests);
        let options = DidChangeWatchedFilesRegistrationOptions { watchers };
        let registration = Registration {
            id: id.clone(),
            method: DidChangeWatchedFiles::METHOD.to_owned(),
            register_options: serde_json::to_value(options).ok(),
        };
        let registrations = vec![registration];
        Some((RequestId::from(id), RegistrationParams { registrations }))
    }

    fn watcher(&self, (folder, pattern): &Watched) -> Option<FileSystemWatcher> {
        let glob_pattern = match folder {
            None => GlobPattern::String(pattern.clone()),
            Some(folder) if self.has_relative => GlobPattern::Relative(RelativePattern {
                base_uri: OneOf::Right(Uri::from_file_path(folder)?),
                pattern: pattern.clone(),
            }),
            Some(folder) => GlobPattern::String(folder.join(pattern).display().to_string()),
        };
        Some(FileSystemWatcher {
            glob_pattern,
            kind: None,
        })
    }
}

/// What should be watched for the documents that are open.
fn wanted(workspace: &Workspace) -> BTreeSet<Watched> {
    let mut wanted: BTreeSet<Watched> = IN_FOLDERS
        .iter()
        .map(|pattern| (None, (*pattern).to_owned()))
        .collect();
    for analysis in workspace.cached() {
        for path in inputs(analysis) {
            let Ok(path) = absolute(path) else { continue };
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                continue;
            };
            let name = name.to_string_lossy();
            let is_idl = name.ends_with(".idl");
            let is_usual = is_idl || name == "tce.toml" || name == lock::FILE_NAME;
            if is_usual && workspace.is_in_folder(&path) {
                continue;
            }
            // One pattern for all files of a folder, including those that come later.
            let pattern = if is_idl {
                "*.idl".to_owned()
            } else {
                name.into_owned()
            };
            wanted.insert((Some(folder.to_owned()), pattern));
        }
    }
    wanted
}

/// The files that the result of a compilation depends on, including those that don't
/// exist.
fn inputs(analysis: &Analysis) -> impl Iterator<Item = &Path> {
    let sources = [analysis.sources(), &analysis.project.sources];
    let read = sources
        .into_iter()
        .flat_map(|sources| sources.files().iter().map(SourceFile::path));
    let options = &analysis.project.options;
    let others = [
        analysis.sources().missing(),
        &options.index_files,
        &options.lock_files,
    ];
    let others = others.into_iter().flatten().map(PathBuf::as_path);
    read.chain(others)
}
