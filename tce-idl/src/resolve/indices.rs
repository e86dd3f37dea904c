//! The numbers that go on the wire: by position, by annotation, by index file.

use std::path::PathBuf;

use super::{Program, annotations, index_file};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::loader::Loader;
use crate::model::{Element, IndexPlace, InterfaceId};
use crate::source::{SourceMap, Span};
use crate::syntax::ast::{Annotation, Name};

/// Gives every interface and operation its index; a later index file overrides
/// an earlier one, and that the annotations.
pub(crate) fn assign(
    program: &mut Program<'_>,
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
            declared(program, id.0 as usize, position, sink);
        }
    }
    index_file::apply(program, loader, index_files, sources, sink);
}

/// What the IDL says of the interface that is number `at` of all, and `position` of its module.
fn declared(program: &mut Program<'_>, at: usize, position: usize, sink: &mut Diagnostics) {
    let from = program.origin.interfaces[at];
    let interface = &mut program.model.interfaces[at];
    let said = annotations::of_interface(&from.annotations, sink);
    let counted = place(&from.annotations, from.whole.before());
    (interface.index, interface.index_place) =
        index(said.index, position, &from.name, counted, sink);
    interface.comment = said.comment;
    interface.skeletons = said.skeletons.into_iter().collect();
    let operations = interface.operations.iter_mut().zip(&from.operations);
    for (position, (operation, from)) in operations.enumerate() {
        let said = annotations::of_operation(&from.annotations, sink);
        let counted = place(&from.annotations, from.returns.span);
        (operation.index, operation.index_place) =
            index(said.index, position, &from.name, counted, sink);
        operation.comment = said.comment;
    }
}

/// Where an index could be written before a declaration that starts at `start`.
fn place(annotations: &[Annotation], start: Span) -> IndexPlace {
    match annotations.first() {
        Some(first) => IndexPlace::Annotated(first.key.span),
        None => IndexPlace::Counted(start),
    }
}

/// The index that was `said`, or else the position.
fn index(
    said: Option<(u16, Span)>,
    position: usize,
    name: &Name,
    counted: IndexPlace,
    sink: &mut Diagnostics,
) -> (u16, IndexPlace) {
    match said {
        Some((index, span)) => (index, IndexPlace::Written(span)),
        None => (by_position(position, name.span, sink), counted),
    }
}

fn by_position(position: usize, name: Span, sink: &mut Diagnostics) -> u16 {
    u16::try_from(position).unwrap_or_else(|_| {
        let message = format!("this is number {position}, and indices end at 65535");
        sink.push(
            Diagnostic::new(Code::BadIndex, message)
                .at(name, "")
                .help("split the interface, or the module"),
        );
        u16::MAX
    })
}
