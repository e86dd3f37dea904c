//! ASTs to the model: imports, scopes, types, indices.

mod annotations;
pub(crate) mod imports;
mod index_file;
pub(crate) mod indices;
mod inheritance;
pub(crate) mod number;
mod scope;
mod suggest;
mod types;

use std::collections::HashSet;

use crate::diagnostic::Diagnostics;
use crate::model::{IndexPlace, Interface, Member, Model, ModuleId, Operation, Parameter, Struct};
use crate::source::SourceMap;
use crate::syntax::ast;
use imports::Loaded;
use types::Types;
pub(crate) use types::{Target, Use};

/// The model in the making, with the places that its parts come from.
///
/// After an error the model still has every part, so that the checks find what
/// else is wrong: where a type is not known, [`scope::UNKNOWN`] stands in.
pub(crate) struct Program<'a> {
    pub(crate) model: Model,
    pub(crate) origin: Origin<'a>,
}

/// Where the parts of the model come from; positions are those of the model.
#[derive(Default)]
pub(crate) struct Origin<'a> {
    pub(crate) structs: Vec<&'a ast::Struct>,
    pub(crate) sequences: Vec<&'a ast::Sequence>,
    pub(crate) dictionaries: Vec<&'a ast::Dictionary>,
    pub(crate) interfaces: Vec<&'a ast::Interface>,
    /// The words of declarations that could not be understood.
    pub(crate) broken: HashSet<&'a str>,
    /// Whether an imported file is missing: a module may be declared there.
    pub(crate) missing_import: bool,
    /// Where names of types and of their modules are used.
    pub(crate) uses: Vec<Use>,
}

/// Finds out what the names in `loaded` mean.
pub(crate) fn resolve<'a>(
    loaded: &'a Loaded,
    sources: &SourceMap,
    sink: &mut Diagnostics,
) -> Program<'a> {
    let (mut program, scope) = scope::declare(loaded, sources, sink);
    let Program { model, origin } = &mut program;
    let mut types = Types {
        scope: &scope,
        origin,
        sink,
        uses: Vec::new(),
    };
    for (it, from) in model.structs.iter_mut().zip(&origin.structs) {
        types.structure(it, from);
    }
    for (it, from) in model.sequences.iter_mut().zip(&origin.sequences) {
        it.element = types.value(&from.element, it.module);
    }
    for (it, from) in model.dictionaries.iter_mut().zip(&origin.dictionaries) {
        it.key = types.value(&from.key, it.module);
        it.value = types.value(&from.value, it.module);
    }
    for (it, from) in model.interfaces.iter_mut().zip(&origin.interfaces) {
        types.interface(it, from);
    }
    origin.uses = types.uses;
    inheritance::cut_circles(&mut program, sink);
    program
}

impl Types<'_, '_> {
    fn structure(&mut self, it: &mut Struct, from: &ast::Struct) {
        let member = |member: &ast::Member| Member {
            name: member.name.text.clone(),
            span: member.name.span,
            doc: member.doc.clone(),
            ty: self.value(&member.ty, it.module),
        };
        it.members = from.members.iter().map(member).collect();
    }

    fn interface(&mut self, it: &mut Interface, from: &ast::Interface) {
        it.base = from
            .base
            .as_ref()
            .and_then(|base| self.base(base, it.module));
        let module = it.module;
        it.operations = from
            .operations
            .iter()
            .map(|operation| self.operation(operation, module))
            .collect();
    }

    fn operation(&mut self, from: &ast::Operation, module: ModuleId) -> Operation {
        let parameter = |parameter: &ast::Parameter| Parameter {
            name: parameter.name.text.clone(),
            span: parameter.name.span,
            ty: self.value(&parameter.ty, module),
        };
        Operation {
            name: from.name.text.clone(),
            span: from.name.span,
            doc: from.doc.clone(),
            comment: None,
            index: 0,
            index_place: IndexPlace::Counted(from.returns.span),
            parameters: from.parameters.iter().map(parameter).collect(),
            returns: self.returned(&from.returns, module),
        }
    }
}
