//! The indices of interfaces and operations on the wire: by position, by annotation, by index file.

use std::path::PathBuf;

use super::annotations::{self, Annotated};
use super::{ResolvedProgram, index_file};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::loader::Loader;
use crate::model::{Element, IndexOrigin, InterfaceId};
use crate::source::{SourceMap, Span};
use crate::syntax::ast::{Annotation, Identifier};

/// Sets the index of every interface and operation. An index file overrides
/// annotations, and a later index file an earlier one.
pub(crate) fn assign(
    program: &mut ResolvedProgram<'_>,
    loader: &dyn Loader,
    index_files: &[PathBuf],
    sources: &mut SourceMap,
    sink: &mut Diagnostics,
) {
    for module in 0..program.model.modules.len() {
        let interfaces = program.model.modules[module]
            .elements
            .iter()
            .filter_map(|element| match element {
                Element::Interface(id) => Some(*id),
                _ => None,
            });
        let interfaces: Vec<InterfaceId> = interfaces.collect();
        for (position, id) in interfaces.into_iter().enumerate() {
            annotate(program, id.0 as usize, position, sink);
        }
    }
    index_file::apply(program, loader, index_files, sources, sink);
}

/// Reads the annotations of an interface: number `at` of all, number `position` of its module.
fn annotate(program: &mut ResolvedProgram<'_>, at: usize, position: usize, sink: &mut Diagnostics) {
    let from = program.ast.interfaces[at];
    let interface = &mut program.model.interfaces[at];
    let parsed = annotations::read(&from.annotations, Annotated::Interface, sink);
    let implicit = implicit_origin(&from.annotations, from.whole.before());
    (interface.index, interface.index_origin) =
        index(parsed.index, position, &from.name, implicit, sink);
    interface.comment = parsed.comment;
    interface.deprecated = parsed.deprecated;
    interface.tasks = parsed.tasks;
    interface.skeletons = parsed.skeletons.into_iter().collect();
    let operations = interface.operations.iter_mut().zip(&from.operations);
    for (position, (operation, from)) in operations.enumerate() {
        let parsed = annotations::read(&from.annotations, Annotated::Operation, sink);
        let implicit = implicit_origin(&from.annotations, from.returns.span);
        (operation.index, operation.index_origin) =
            index(parsed.index, position, &from.name, implicit, sink);
        operation.comment = parsed.comment;
        operation.deprecated = parsed.deprecated;
        operation.idempotent = parsed.is_idempotent;
    }
}

/// The origin of an index that is not written, for a declaration that starts at `start`.
fn implicit_origin(annotations: &[Annotation], start: Span) -> IndexOrigin {
    match annotations.first() {
        Some(first) => IndexOrigin::ImplicitAnnotated(first.key.span),
        None => IndexOrigin::Implicit(start),
    }
}

/// The `explicit` index, or else the position.
fn index(
    explicit: Option<(u16, Span)>,
    position: usize,
    name: &Identifier,
    implicit: IndexOrigin,
    sink: &mut Diagnostics,
) -> (u16, IndexOrigin) {
    match explicit {
        Some((index, span)) => (index, IndexOrigin::Explicit(span)),
        None => (by_position(position, name.span, sink), implicit),
    }
}

fn by_position(position: usize, name: Span, sink: &mut Diagnostics) -> u16 {
    u16::try_from(position).unwrap_or_else(|_| {
        let message = format!("the index by position is {position}, but the largest is 65535");
        sink.push(
            Diagnostic::new(Code::BadIndex, message)
                .at(name, "")
                .help("split the interface or the module"),
        );
        u16::MAX
    })
}
