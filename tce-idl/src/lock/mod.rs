//! The indices that peers rely on, as a file: `tce.lock`.
//!
//! Indices follow positions, so that a declaration in the middle moves those
//! after it. A lock remembers what every interface and operation had, the ones
//! that are gone too: an old peer may still call those.
//!
//! ```text
//! # The indices that peers rely on. `tce lock` writes this file: commit it.
//! version = 1
//! test.Server = 2
//! test.Server.echo = 0
//! test.Server.shutdown = 1 retired
//! ```
//!
//! Modules go by name, interfaces and operations by index. Empty lines and
//! those that start with `#` say nothing.

mod hold;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) use hold::{Before, hold};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::loader::{self, Loader};
use crate::model::{IndexPlace, Model};
use crate::resolve::imports;
use crate::source::{SourceMap, Span};

/// The usual name of the file.
pub const FILE_NAME: &str = "tce.lock";

/// The indices of interfaces (`module.Interface`) and operations (`module.Interface.operation`).
#[derive(Debug, Clone, Default)]
pub struct Lock {
    entries: BTreeMap<String, Entry>,
}

/// What is known of one interface or operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) index: u16,
    /// Whether the IDL has it no more. Its index stays taken.
    pub(crate) retired: bool,
    /// The line of the lock, or the declaration.
    pub(crate) span: Span,
}

/// An interface or operation of a model.
pub(crate) struct Item {
    /// What its index tells it apart within: `module`, or `module.Interface`.
    pub(crate) scope: String,
    pub(crate) name: String,
    pub(crate) index: u16,
    pub(crate) place: IndexPlace,
    pub(crate) span: Span,
}

/// Every interface and operation of a model, by its full name.
pub(crate) fn items(model: &Model) -> Vec<Item> {
    let mut items = Vec::new();
    for interface in &model.interfaces {
        let scope = model.full_name(interface.module, &interface.name);
        items.push(Item {
            scope: model.module(interface.module).name.clone(),
            name: scope.clone(),
            index: interface.index,
            place: interface.index_place,
            span: interface.span,
        });
        items.extend(interface.operations.iter().map(|operation| Item {
            scope: scope.clone(),
            name: format!("{scope}.{}", operation.name),
            index: operation.index,
            place: operation.index_place,
            span: operation.span,
        }));
    }
    items
}

/// What `name` is unique within: the part before its last dot.
fn scope(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(scope, _)| scope)
}

/// The lock files that go with IDL files: for each the nearest [`FILE_NAME`], in its folder or above.
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
    /// The indices of a model as it is.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let mut lock = Self::default();
        lock.update(model);
        lock
    }

    /// Takes in a model: what is new is added, and what is gone is kept as
    /// retired. Modules that the model does not have stay as they are. A
    /// retired entry whose index is in use again is dropped.
    pub fn update(&mut self, model: &Model) {
        let modules: BTreeSet<&str> = model.modules.iter().map(|it| it.name.as_str()).collect();
        let ours = |name: &str| modules.contains(name.split('.').next().unwrap_or_default());
        for (_, entry) in self.entries.iter_mut().filter(|(name, _)| ours(name)) {
            entry.retired = true;
        }
        let mut used = BTreeSet::new();
        for item in items(model) {
            let entry = Entry {
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

    /// Reads a lock file; what is wrong with it comes as diagnostics.
    ///
    /// # Errors
    /// The diagnostics, at least one, where the file can't be read or understood.
    pub fn load(
        loader: &dyn Loader,
        path: &Path,
        sources: &mut SourceMap,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut sink = Diagnostics::default();
        read(loader, path, sources, &mut sink).ok_or_else(|| sink.finish())
    }

    /// What of a model the lock does not have yet, or has though the model does not.
    #[must_use]
    pub fn stale(&self, model: &Model) -> Vec<Diagnostic> {
        let mut fresh = self.clone();
        fresh.update(model);
        let known = |name: &str| self.entries.get(name).filter(|entry| !entry.retired);
        let stale = |name: &str, entry: &Entry| match (entry.retired, known(name)) {
            (false, None) => Some(format!("`{name}` is not in the lock")),
            (true, Some(_)) => Some(format!("`{name}` is locked, and gone from the IDL")),
            _ => None,
        };
        let stale = fresh.entries.iter().filter_map(|(name, entry)| {
            let diagnostic = Diagnostic::new(Code::LockStale, stale(name, entry)?);
            Some(diagnostic.at(entry.span, "").help("run `tce lock`"))
        });
        stale.collect()
    }

    pub(crate) fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// The same lock, with what `renamed` gives under its new name.
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
            let why = imports::reason(&error);
            let message = format!("can't read lock file `{}`: {why}", path.display());
            sink.push(Diagnostic::new(Code::UnreadableFile, message));
            return None;
        }
    };
    let file = loader::accept(bytes, path, sources, sink)?;
    text::read(file, sources.get(file).text(), sink)
}

/// Reports what in `model` has another index than the lock files say.
pub(crate) fn check(
    model: &Model,
    loader: &dyn Loader,
    paths: &[PathBuf],
    sources: &mut SourceMap,
    sink: &mut Diagnostics,
) {
    for path in paths {
        if let Some(lock) = read(loader, path, sources, sink) {
            for diagnostic in hold(&lock, model, Before::Locked) {
                sink.push(diagnostic);
            }
        }
    }
}
