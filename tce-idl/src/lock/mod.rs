//! The indices that peers rely on, as a file: `tce.lock`.
//!
//! An implicit index is a position, so that a declaration that is inserted moves
//! those after it. A lock file records the index of every interface and
//! operation, including removed ones, which an old peer may still call.
//!
//! ```text
//! # The indices that peers rely on. `tce lock` writes this file: commit it.
//! version = 1
//! test.Server = 2
//! test.Server.echo = 0
//! test.Server.shutdown = 1 retired
//! ```
//!
//! Modules are sorted by name, interfaces and operations by index. Empty lines
//! and lines that start with `#` are ignored.

mod changes;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) use changes::{Baseline, changed_indices};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::loader::{self, Loader};
use crate::model::{IndexOrigin, Model};
use crate::source::{SourceMap, Span};

/// The usual name of the file.
pub const FILE_NAME: &str = "tce.lock";

/// The indices of interfaces (`module.Interface`) and operations (`module.Interface.operation`).
#[derive(Debug, Clone, Default)]
pub struct Lock {
    entries: BTreeMap<String, LockEntry>,
}

/// The recorded index of an interface or operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LockEntry {
    pub(crate) index: u16,
    /// Whether the IDL no longer declares it. Its index stays reserved.
    pub(crate) retired: bool,
    /// The line of the lock file, or the declaration.
    pub(crate) span: Span,
}

/// An interface or operation of a model, with its index.
pub(crate) struct IndexedItem {
    /// Where its index is unique: `module`, or `module.Interface`.
    pub(crate) scope: String,
    pub(crate) name: String,
    pub(crate) index: u16,
    pub(crate) origin: IndexOrigin,
    pub(crate) span: Span,
}

/// Every interface and operation of a model, by its full name.
pub(crate) fn items(model: &Model) -> Vec<IndexedItem> {
    let mut items = Vec::new();
    for interface in &model.interfaces {
        let scope = model.full_name(interface.module, &interface.name);
        items.push(IndexedItem {
            scope: model.module(interface.module).name.clone(),
            name: scope.clone(),
            index: interface.index,
            origin: interface.index_origin,
            span: interface.span,
        });
        items.extend(interface.operations.iter().map(|operation| IndexedItem {
            scope: scope.clone(),
            name: format!("{scope}.{}", operation.name),
            index: operation.index,
            origin: operation.index_origin,
            span: operation.span,
        }));
    }
    items
}

/// Where the index of `name` is unique: the part before its last dot.
fn scope(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(scope, _)| scope)
}

/// The lock files of IDL files: for each the nearest [`FILE_NAME`], in its folder or above.
pub fn find(files: &[impl AsRef<Path>]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in files {
        let folder = file.as_ref().parent().unwrap_or(Path::new(""));
        if let Some(path) = loader::find_upwards(folder, FILE_NAME)
            && !found.contains(&path)
        {
            found.push(path);
        }
    }
    found
}

impl Lock {
    /// The indices of a model.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let mut lock = Self::default();
        lock.update(model);
        lock
    }

    /// Updates the lock from a model: adds new entries, and keeps removed ones
    /// as retired. Modules that are not in the model stay unchanged. A retired
    /// entry whose index is in use again is dropped.
    pub fn update(&mut self, model: &Model) {
        let modules: BTreeSet<&str> = model.modules.iter().map(|it| it.name.as_str()).collect();
        let ours = |name: &str| modules.contains(name.split('.').next().unwrap_or_default());
        for (_, entry) in self.entries.iter_mut().filter(|(name, _)| ours(name)) {
            entry.retired = true;
        }
        let mut used = BTreeSet::new();
        for item in items(model) {
            let entry = LockEntry {
                index: item.index,
                retired: false,
                span: item.span,
            };
            self.entries.insert(item.name, entry);
            used.insert((item.scope, item.index));
        }
        self.entries.retain(|name, entry| {
            !entry.retired || !used.contains(&(scope(name).to_owned(), entry.index))
        });
    }

    /// Whether [`update`](Self::update) would mark an entry as retired or drop it.
    #[must_use]
    pub fn loses(&self, model: &Model) -> bool {
        !self.leaving(model).is_empty()
    }

    /// The interfaces and operations that [`update`](Self::update) would mark as
    /// retired although `other` declares them, the model of a file that opens the
    /// same module and was not compiled with the others.
    #[must_use]
    pub fn lost(&self, model: &Model, other: &Model) -> Vec<String> {
        let leaving = self.leaving(model);
        let declared = items(other).into_iter().map(|item| item.name);
        declared
            .filter(|name| leaving.contains(name.as_str()))
            .collect()
    }

    /// The entries in use that are not in use after an update.
    fn leaving(&self, model: &Model) -> BTreeSet<&str> {
        let mut updated = self.clone();
        updated.update(model);
        let is_used = |lock: &Self, name: &str| {
            let entry = lock.entries.get(name);
            entry.is_some_and(|entry| !entry.retired)
        };
        let names = self.entries.keys().map(String::as_str);
        names
            .filter(|name| is_used(self, name) && !is_used(&updated, name))
            .collect()
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// The file can't be read or parsed: at least one diagnostic.
    pub fn load(
        loader: &dyn Loader,
        path: &Path,
        sources: &mut SourceMap,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut sink = Diagnostics::default();
        read(loader, path, sources, &mut sink).ok_or_else(|| sink.finish())
    }

    /// Reports the declarations that the lock lacks, and the entries that the model lacks.
    #[must_use]
    pub fn stale(&self, model: &Model) -> Vec<Diagnostic> {
        let mut fresh = self.clone();
        fresh.update(model);
        let known = |name: &str| self.entries.get(name).filter(|entry| !entry.retired);
        let stale = |name: &str, entry: &LockEntry| match (entry.retired, known(name)) {
            (false, None) => Some(format!("`{name}` is not in the lock")),
            (true, Some(_)) => Some(format!("`{name}` is in the lock, but not in the IDL")),
            _ => None,
        };
        let stale = fresh.entries.iter().filter_map(|(name, entry)| {
            let diagnostic = Diagnostic::new(Code::LockStale, stale(name, entry)?);
            Some(diagnostic.at(entry.span, "").help("run `tce lock`"))
        });
        stale.collect()
    }

    pub(crate) fn entries(&self) -> &BTreeMap<String, LockEntry> {
        &self.entries
    }

    /// The same lock with every name replaced by the result of `renamed`.
    pub(crate) fn renamed(self, renamed: impl Fn(&str) -> String) -> Self {
        let entries = self.entries.into_iter();
        Self {
            entries: entries
                .map(|(name, entry)| (renamed(&name), entry))
                .collect(),
        }
    }
}

fn read(
    loader: &dyn Loader,
    path: &Path,
    sources: &mut SourceMap,
    sink: &mut Diagnostics,
) -> Option<Lock> {
    let bytes = match loader.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let why = loader::reason(&error);
            let message = format!("can't read lock file `{}`: {why}", path.display());
            sink.push(Diagnostic::new(Code::UnreadableFile, message));
            return None;
        }
    };
    let file = loader::add_text(bytes, path, sources, sink)?;
    text::read(file, sources.get(file).text(), sink)
}

/// Reports every index in `model` that differs from the lock files.
pub(crate) fn check(
    model: &Model,
    loader: &dyn Loader,
    paths: &[PathBuf],
    sources: &mut SourceMap,
    sink: &mut Diagnostics,
) {
    for path in paths {
        if let Some(lock) = read(loader, path, sources, sink) {
            for diagnostic in changed_indices(&lock, model, Baseline::LockFile) {
                sink.push(diagnostic);
            }
        }
    }
}
