//! ASTs to the model: imports, scopes, types, inheritance, indices.

pub(crate) mod imports;
mod scope;
mod types;
mod inheritance;
mod annotations;
mod constants;
mod index_file;
pub(crate) mod indices;

use std::collections::HashSet;

use crate::diagnostic::Diagnostics;
use crate::model::{IndexOrigin, Interface, Member, Model, ModuleId, Operation, Parameter};
use crate::source::SourceMap;
use crate::syntax::ast;
use annotations::Annotated;
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
    pub(crate) exceptions: Vec<&'a ast::Struct>,
    pub(crate) enums: Vec<&'a ast::Enum>,
    pub(crate) constants: Vec<&'a ast::Constant>,
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
        it.deprecated = types.deprecated(&from.annotations, "a struct");
        it.members = types.members(&from.members, it.module);
    }
    for (it, from) in model.exceptions.iter_mut().zip(&ast.exceptions) {
        it.deprecated = types.deprecated(&from.annotations, "an exception");
        it.members = types.members(&from.members, it.module);
    }
    for (it, from) in model.enums.iter_mut().zip(&ast.enums) {
        it.deprecated = types.deprecated(&from.annotations, "an enum");
        it.members = constants::enum_members(from, types.sink);
    }
    for (it, from) in model.constants.iter_mut().zip(&ast.constants) {
        if let Some((ty, value)) = constants::constant(from, types.sink) {
            (it.ty, it.value) = (ty, value);
        }
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
    fn members(&mut self, from: &[ast::Member], module: ModuleId) -> Vec<Member> {
        let member = |member: &ast::Member| Member {
            name: member.name.text.clone(),
            span: member.name.span,
            doc: member.doc.clone(),
            deprecated: self.deprecated(&member.annotations, "a member"),
            ty: self.value(&member.ty, module),
        };
        from.iter().map(member).collect()
    }

    /// The `deprecated` annotation of `what`, which has no other annotations.
    fn deprecated(&mut self, from: &[ast::Annotation], what: &'static str) -> Option<String> {
        annotations::read(from, Annotated::Other(what), self.sink).deprecated
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
            doc: parameter.doc.clone(),
            ty: self.value(&parameter.ty, module),
        };
        Operation {
            name: from.name.text.clone(),
            span: from.name.span,
            doc: from.doc.clone(),
            comment: None,
            deprecated: None,
            idempotent: false,
            index: 0,
            index_origin: IndexOrigin::Implicit(from.returns.span),
            parameters: from.parameters.iter().map(parameter).collect(),
            returns: self.returned(&from.returns, module),
            throws: self.thrown(&from.throws, module),
        }
    }
}
