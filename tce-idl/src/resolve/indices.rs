//! The numbers that go on the wire: by position, by annotation, by index file.

use std::path::PathBuf;

use super::{Program, annotations, index_file};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::loader::Loader;
use crate::model::{Element, InterfaceId};
use crate::source::{SourceMap, Span};

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
    let places = &mut program.origin.indices[at];
    let interface = &mut program.model.interfaces[at];
    let said = annotations::of_interface(&from.annotations, sink);
    (interface.index, places.interface) = said
        .index
        .unwrap_or_else(|| by_position(position, from.name.span, sink));
    interface.comment = said.comment;
    interface.skeletons = said.skeletons.into_iter().collect();
    let operations = interface
        .operations
        .iter_mut()
        .zip(&from.operations)
        .zip(&mut places.operations);
    for (position, ((operation, from), place)) in operations.enumerate() {
        let said = annotations::of_operation(&from.annotations, sink);
        (operation.index, *place) = said
            .index
            .unwrap_or_else(|| by_position(position, from.name.span, sink));
        operation.comment = said.comment;
    }
}

fn by_position(position: usize, name: Span, sink: &mut Diagnostics) -> (u16, Span) {
    let index = u16::try_from(position).unwrap_or_else(|_| {
        let message = format!("this is number {position}, and indices end at 65535");
        sink.push(
            Diagnostic::new(Code::BadIndex, message)
                .at(name, "")
                .help("split the interface, or the module"),
        );
        u16::MAX
    });
    (index, name)
}
