//! The input of the rules.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Language;
use crate::loader::Loader;
use crate::resolve::ResolvedProgram;
use crate::resolve::imports::LoadedFiles;
use crate::source::{FileId, SourceMap, Span};
use crate::symbols::SymbolKind;
use crate::syntax::ast::{self, Element, Identifier};

/// A compilation without errors. The rules check the files of the command line,
/// not their imports.
pub(crate) struct LintContext<'a> {
    pub(crate) program: &'a ResolvedProgram<'a>,
    pub(crate) sources: &'a SourceMap,
    /// The languages whose keywords are reported as names.
    pub(crate) languages: &'a [Language],
    /// Whether there is a lock file, which reports changed indices.
    pub(crate) has_lock: bool,
    pub(crate) loaded: &'a LoadedFiles,
    /// The files that are checked.
    pub(crate) checked: HashSet<FileId>,
}

/// The ids of the loaded files that are at `paths`.
pub(crate) fn checked_files(
    loader: &dyn Loader,
    paths: &[&Path],
    loaded: &LoadedFiles,
    sources: &SourceMap,
) -> HashSet<FileId> {
    let given: HashSet<PathBuf> = paths.iter().map(|path| loader.identity(path)).collect();
    let ids = loaded.files.iter().map(|file| file.id);
    ids.filter(|id| given.contains(&loader.identity(sources.get(*id).path())))
        .collect()
}

impl<'a> LintContext<'a> {
    /// Whether a range is in a file that is checked.
    pub(super) fn is_checked(&self, span: Span) -> bool {
        self.checked.contains(&span.file)
    }

    /// The files that are checked.
    pub(super) fn files(&self) -> impl Iterator<Item = &'a ast::File> {
        let files = self.loaded.files.iter();
        files.filter(|file| self.checked.contains(&file.id))
    }

    /// The openings of modules in the files that are checked.
    pub(super) fn modules(&self) -> impl Iterator<Item = &'a ast::Module> {
        self.files().flat_map(|file| &file.modules)
    }

    /// Every declared name, in the order of the text.
    pub(super) fn names(&self) -> Vec<(SymbolKind, &'a Identifier)> {
        let mut names = Vec::new();
        for module in self.modules() {
            names.push((SymbolKind::Module, &module.name));
            for element in &module.elements {
                names.push((kind(element), element.name()));
                add_inner(element, &mut names);
            }
        }
        names
    }
}

pub(super) fn kind(element: &Element) -> SymbolKind {
    match element {
        Element::Struct(_) => SymbolKind::Struct,
        Element::Exception(_) => SymbolKind::Exception,
        Element::Enum(_) => SymbolKind::Enum,
        Element::Constant(_) => SymbolKind::Constant,
        Element::Sequence(_) => SymbolKind::Sequence,
        Element::Dictionary(_) => SymbolKind::Dictionary,
        Element::Interface(_) => SymbolKind::Interface,
    }
}

/// Adds the names inside of an element.
fn add_inner<'a>(element: &'a Element, names: &mut Vec<(SymbolKind, &'a Identifier)>) {
    match element {
        Element::Enum(it) => {
            let members = it.members.iter();
            names.extend(members.map(|member| (SymbolKind::EnumMember, &member.name)));
        }
        Element::Struct(it) | Element::Exception(it) => {
            names.extend(
                it.members
                    .iter()
                    .map(|member| (SymbolKind::Member, &member.name)),
            );
        }
        Element::Interface(it) => {
            for operation in &it.operations {
                names.push((SymbolKind::Operation, &operation.name));
                let parameters = operation.parameters.iter();
                names.extend(parameters.map(|parameter| (SymbolKind::Parameter, &parameter.name)));
            }
        }
        Element::Constant(_) | Element::Sequence(_) | Element::Dictionary(_) => {}
    }
}
