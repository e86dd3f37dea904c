//! ASTs to the model: imports, scopes, types, inheritance, indices.

pub(crate) mod imports;
mod scope;
mod types;
mod inheritance;
mod annotations;
mod index_file;
pub(crate) mod indices;

use std::collections::HashSet;

use crate::diagnostic::Diagnostics;
use crate::model::{IndexOrigin, Interface, Member, Model, ModuleId, Operation, Parameter, Struct};
use crate::source::SourceMap;
use crate::syntax::ast;
pub(crate) use annotations::parse_index;
use imports::LoadedFiles;
use types::Types;
pub(crate) use types::{Reference, ReferenceTarget};

/// The model while it is built, with the AST nodes of its declarations.
///
/// After an error the model still has every declaration, so that the checks find
/// further errors: [`scope::UNKNOWN`] replaces an unknown type.
pub(crate) struct ResolvedProgram<'a> {
    pub(crate) model: Model,
    pub(crate) ast: AstNodes<'a>,
}

/// The AST nodes behind the model, at the same positions as in the model.
#[derive(Default)]
pub(crate) struct AstNodes<'a> {
    pub(crate) structs: Vec<&'a ast::Struct>,
    pub(crate) sequences: Vec<&'a ast::Sequence>,
    pub(crate) dictionaries: Vec<&'a ast::Dictionary>,
    pub(crate) interfaces: Vec<&'a ast::Interface>,
    /// The words of declarations that could not be parsed.
    pub(crate) broken: HashSet<&'a str>,
    /// Whether an imported file is missing, which may declare an unknown module.
    pub(crate) missing_import: bool,
    /// Every use of the name of a type, interface or module.
    pub(crate) references: Vec<Reference>,
}

/// Resolves the names in `loaded`, except for indices: see [`indices::assign`].
pub(crate) fn resolve<'a>(
    loaded: &'a LoadedFiles,
    sources: &SourceMap,
    sink: &mut Diagnostics,
) -> ResolvedProgram<'a> {
    let (mut program, scope) = scope::declare(loaded, sources, sink);
    let ResolvedProgram { model, ast } = &mut program;
    let mut types = Types {
        scope: &scope,
        ast,
        sink,
        references: Vec::new(),
    };
    for (it, from) in model.structs.iter_mut().zip(&ast.structs) {
        types.structure(it, from);
    }
    for (it, from) in model.sequences.iter_mut().zip(&ast.sequences) {
        it.element = types.value(&from.element, it.module);
    }
    for (it, from) in model.dictionaries.iter_mut().zip(&ast.dictionaries) {
        it.key = types.value(&from.key, it.module);
        it.value = types.value(&from.value, it.module);
    }
    for (it, from) in model.interfaces.iter_mut().zip(&ast.interfaces) {
        types.interface(it, from);
    }
    ast.references = types.references;
    inheritance::break_cycles(&mut program, sink);
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
            index_origin: IndexOrigin::Implicit(from.returns.span),
            parameters: from.parameters.iter().map(parameter).collect(),
            returns: self.returned(&from.returns, module),
        }
    }
}
