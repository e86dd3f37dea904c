//! What the rules judge.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Language;
use crate::loader::Loader;
use crate::names::Kind;
use crate::resolve::Program;
use crate::resolve::imports::Loaded;
use crate::source::{FileId, SourceMap, Span};
use crate::syntax::ast::{self, Element, Name};

/// A compilation without errors. Only the files that were given are judged,
/// not those that they import.
pub(crate) struct Subject<'a> {
    pub(crate) program: &'a Program<'a>,
    pub(crate) sources: &'a SourceMap,
    /// The languages whose keywords count.
    pub(crate) languages: &'a [Language],
    /// Whether a file holds the indices to what they are.
    pub(crate) has_lock: bool,
    pub(crate) loaded: &'a Loaded,
    /// The files that are judged.
    pub(crate) given: HashSet<FileId>,
}

/// Those of the files that were loaded whose paths were given.
pub(crate) fn given(
    loader: &dyn Loader,
    paths: &[&Path],
    loaded: &Loaded,
    sources: &SourceMap,
) -> HashSet<FileId> {
    let given: HashSet<PathBuf> = paths.iter().map(|path| loader.identity(path)).collect();
    let ids = loaded.files.iter().map(|file| file.id);
    ids.filter(|id| given.contains(&loader.identity(sources.get(*id).path())))
        .collect()
}

impl<'a> Subject<'a> {
    /// Whether a place is in a file that is judged.
    pub(super) fn is_given(&self, span: Span) -> bool {
        self.given.contains(&span.file)
    }

    /// The files that are judged.
    pub(super) fn files(&self) -> impl Iterator<Item = &'a ast::File> {
        let files = self.loaded.files.iter();
        files.filter(|file| self.given.contains(&file.id))
    }

    /// The openings of modules that are judged.
    pub(super) fn modules(&self) -> impl Iterator<Item = &'a ast::Module> {
        self.files().flat_map(|file| &file.modules)
    }

    /// Every name that is declared, in the order of the text.
    pub(super) fn names(&self) -> Vec<(Kind, &'a Name)> {
        let mut names = Vec::new();
        for module in self.modules() {
            names.push((Kind::Module, &module.name));
            for element in &module.elements {
                names.push((kind(element), element.name()));
                add_inner(element, &mut names);
            }
        }
        names
    }
}

pub(super) fn kind(element: &Element) -> Kind {
    match element {
        Element::Struct(_) => Kind::Struct,
        Element::Sequence(_) => Kind::Sequence,
        Element::Dictionary(_) => Kind::Dictionary,
        Element::Interface(_) => Kind::Interface,
    }
}

/// Adds the names inside of an element.
fn add_inner<'a>(element: &'a Element, names: &mut Vec<(Kind, &'a Name)>) {
    match element {
        Element::Struct(it) => {
            names.extend(it.members.iter().map(|member| (Kind::Member, &member.name)));
        }
        Element::Interface(it) => {
            for operation in &it.operations {
                names.push((Kind::Operation, &operation.name));
                let parameters = operation.parameters.iter();
                names.extend(parameters.map(|parameter| (Kind::Parameter, &parameter.name)));
            }
        }
        Element::Sequence(_) | Element::Dictionary(_) => {}
    }
}
