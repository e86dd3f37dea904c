//! Index files, which legacy compilers read too: lines `module.Interface=100[,false]`, or XML.

mod text;
mod xml;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::ResolvedProgram;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest};
use crate::loader::{self, Loader};
use crate::model::IndexOrigin;
use crate::source::{SourceMap, Span};
use crate::syntax::ast::Identifier;

/// The entry of one interface in an index file.
struct IndexFileEntry {
    /// `module.Interface`
    name: Identifier,
    index: Option<(u16, Span)>,
    skeleton: bool,
    operations: Vec<(Identifier, u16, Span)>,
}

/// The positions of interfaces in the model, by `module.Interface`.
type InterfacesByName = HashMap<String, usize>;

/// Sets the indices of the interfaces and operations that the index files name.
pub(super) fn apply(
    program: &mut ResolvedProgram<'_>,
    loader: &dyn Loader,
    paths: &[PathBuf],
    sources: &mut SourceMap,
    sink: &mut Diagnostics,
) {
    if paths.is_empty() {
        return;
    }
    let interfaces = interfaces(program);
    let mut given: HashMap<usize, Span> = HashMap::new();
    for path in paths {
        for entry in read(path, loader, sources, sink) {
            let Some(at) = interfaces.get(&entry.name.text) else {
                unknown_interface(&entry.name, program, &interfaces, sink);
                continue;
            };
            if let Some(first) = given.insert(*at, entry.name.span) {
                let message = format!("`{}` has two entries", entry.name.text);
                let diagnostic = Diagnostic::new(Code::IndexFileRepeat, message)
                    .at(entry.name.span, "this one applies");
                sink.push(
                    diagnostic
                        .note(first, "overridden")
                        .help("remove one of them"),
                );
            }
            set(program, *at, entry, sink);
        }
    }
}

/// Interfaces by `module.Interface`; of two with the same name, which is an error, the first.
fn interfaces(program: &ResolvedProgram<'_>) -> InterfacesByName {
    let mut interfaces = InterfacesByName::new();
    for (at, interface) in program.model.interfaces.iter().enumerate() {
        let name = format!(
            "{}.{}",
            program.model.module(interface.module).name,
            interface.name
        );
        interfaces.entry(name).or_insert(at);
    }
    interfaces
}

fn read(
    path: &Path,
    loader: &dyn Loader,
    sources: &mut SourceMap,
    sink: &mut Diagnostics,
) -> Vec<IndexFileEntry> {
    let bytes = match loader.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!(
                "can't read index file `{}`: {}",
                path.display(),
                loader::reason(&error)
            );
            sink.push(Diagnostic::new(Code::UnreadableFile, message));
            return Vec::new();
        }
    };
    let Some(id) = loader::add_text(bytes, path, sources, sink) else {
        return Vec::new();
    };
    let text = sources.get(id).text();
    match path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("xml"))
    {
        true => xml::read(id, text, sink),
        false => text::read(id, text, sink),
    }
}

fn set(
    program: &mut ResolvedProgram<'_>,
    at: usize,
    entry: IndexFileEntry,
    sink: &mut Diagnostics,
) {
    let interface = &mut program.model.interfaces[at];
    if let Some((index, span)) = entry.index {
        (interface.index, interface.index_origin) = (index, IndexOrigin::Explicit(span));
    }
    interface.skeleton_default &= entry.skeleton;
    for (name, index, span) in entry.operations {
        let mut operations = interface.operations.iter_mut();
        if let Some(operation) = operations.find(|operation| operation.name == name.text) {
            (operation.index, operation.index_origin) = (index, IndexOrigin::Explicit(span));
        } else {
            let known: Vec<&str> = interface
                .operations
                .iter()
                .map(|operation| operation.name.as_str())
                .collect();
            let message = format!(
                "interface `{}` has no operation `{}` of its own",
                entry.name.text, name.text
            );
            sink.push(near(
                Diagnostic::new(Code::IndexFileName, message),
                &name,
                &known,
            ));
        }
    }
}

/// Warns of an unknown interface only if its module is known or its name is
/// similar to a known one: an index file may serve several programs, and name
/// modules that are not part of this one.
fn unknown_interface(
    name: &Identifier,
    program: &ResolvedProgram<'_>,
    interfaces: &InterfacesByName,
    sink: &mut Diagnostics,
) {
    if sink.is_full() {
        return;
    }
    let known: Vec<&String> = interfaces.keys().collect();
    let module = name.text.split('.').next().unwrap_or_default();
    let ours = program
        .model
        .modules
        .iter()
        .any(|known| known.name == module);
    if ours || nearest(&name.text, &known).is_some() {
        let diagnostic = Diagnostic::new(
            Code::IndexFileName,
            format!("there is no interface `{}`", name.text),
        );
        sink.push(near(diagnostic, name, &known));
    }
}

fn near<S: AsRef<str>>(diagnostic: Diagnostic, name: &Identifier, known: &[S]) -> Diagnostic {
    let diagnostic = diagnostic.at(name.span, "this entry is ignored");
    match nearest(&name.text, known) {
        Some(near) => diagnostic.fix(format!("did you mean `{near}`?"), name.span, near),
        None => diagnostic,
    }
}
