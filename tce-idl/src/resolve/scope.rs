//! Modules, merged from all files that open them, and their elements by name.

use std::collections::{BTreeMap, HashMap};

use super::imports::LoadedFiles;
use super::{AstNodes, ResolvedProgram};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{
    Constant, ConstantId, ConstantValue, Dictionary, DictionaryId, Element, Enum, EnumId,
    Exception, ExceptionId, IndexOrigin, Interface, InterfaceId, Model, Module, ModuleId, Sequence,
    SequenceId, Struct, StructId, Type,
};
use crate::source::{SourceMap, Span};
use crate::syntax::ast;

/// Replaces an unknown type that was reported. No rule rejects it.
pub(super) const UNKNOWN: Type = Type::Int;

/// The modules of a compilation and the elements in each, by name.
#[derive(Default)]
pub(super) struct ModuleScopes<'a> {
    modules: HashMap<&'a str, ModuleId>,
    elements: Vec<BTreeMap<&'a str, NameBinding>>,
}

/// The element that a name refers to, and the position of its declaration.
#[derive(Clone, Copy)]
pub(super) struct NameBinding {
    pub(super) element: Element,
    pub(super) span: Span,
}

impl<'a> ModuleScopes<'a> {
    pub(super) fn module(&self, name: &str) -> Option<ModuleId> {
        self.modules.get(name).copied()
    }

    pub(super) fn element(&self, module: ModuleId, name: &str) -> Option<NameBinding> {
        self.elements[module.0 as usize].get(name).copied()
    }

    pub(super) fn module_names(&self) -> impl Iterator<Item = &'a str> {
        self.modules.keys().copied()
    }

    pub(super) fn names(&self, module: ModuleId) -> impl Iterator<Item = &'a str> {
        self.elements[module.0 as usize].keys().copied()
    }

    /// The first module, by name, that has an element called `name`.
    pub(super) fn module_with(&self, name: &str) -> Option<&'a str> {
        let modules = self
            .modules
            .iter()
            .filter(|(_, id)| self.element(**id, name).is_some());
        modules.map(|(module, _)| *module).min()
    }
}

/// Adds every module and element to the model and the scope, without their types.
pub(super) fn declare<'a>(
    loaded: &'a LoadedFiles,
    sources: &SourceMap,
    sink: &mut Diagnostics,
) -> (ResolvedProgram<'a>, ModuleScopes<'a>) {
    let ast = AstNodes {
        missing_import: loaded.missing_import,
        ..AstNodes::default()
    };
    let mut program = ResolvedProgram {
        model: Model::default(),
        ast,
    };
    let mut scope = ModuleScopes::default();
    for file in &loaded.files {
        program
            .ast
            .broken
            .extend(file.broken.iter().map(String::as_str));
        let path = sources.get(file.id).path().to_string_lossy();
        for opening in &file.modules {
            let id = open(opening, &mut program.model, &mut scope, &path);
            for element in &opening.elements {
                let name = element.name();
                let element = program.declare(element, id);
                program.model.modules[id.0 as usize].elements.push(element);
                scope.bind(
                    id,
                    name,
                    NameBinding {
                        element,
                        span: name.span,
                    },
                    &opening.name.text,
                    sink,
                );
            }
        }
    }
    (program, scope)
}

/// The id of the module that `opening` opens, which is new for the first opening.
fn open<'a>(
    opening: &'a ast::Module,
    model: &mut Model,
    scope: &mut ModuleScopes<'a>,
    path: &str,
) -> ModuleId {
    let id = *scope.modules.entry(&opening.name.text).or_insert_with(|| {
        let name = opening.name.text.clone();
        model.modules.push(Module {
            name,
            doc: None,
            elements: Vec::new(),
            files: Vec::new(),
        });
        scope.elements.push(BTreeMap::new());
        ModuleId(last(&model.modules))
    });
    let module = &mut model.modules[id.0 as usize];
    module.doc = module.doc.take().or_else(|| opening.doc.clone());
    if module.files.last().is_none_or(|last| last != path) {
        module.files.push(path.to_owned());
    }
    id
}

/// The id of the last element of a list. A file has fewer elements than bytes, and at most 4 MiB.
fn last<T>(parts: &[T]) -> u32 {
    u32::try_from(parts.len() - 1).unwrap_or(u32::MAX)
}

impl<'a> ModuleScopes<'a> {
    fn bind(
        &mut self,
        module: ModuleId,
        name: &'a ast::Identifier,
        binding: NameBinding,
        module_name: &str,
        sink: &mut Diagnostics,
    ) {
        let names = &mut self.elements[module.0 as usize];
        if let Some(first) = names.get(name.text.as_str()) {
            let message = format!(
                "module `{module_name}` has two elements called `{}`",
                name.text
            );
            let diagnostic = Diagnostic::new(Code::DuplicateElement, message)
                .at(name.span, "defined again here");
            sink.push(
                diagnostic
                    .note(first.span, "first defined here")
                    .help("rename one of them"),
            );
        } else {
            names.insert(&name.text, binding);
        }
    }
}

impl<'a> ResolvedProgram<'a> {
    /// Adds an element to the model, without its types.
    fn declare(&mut self, element: &'a ast::Element, module: ModuleId) -> Element {
        let Self { model, ast } = self;
        match element {
            ast::Element::Struct(it) => {
                ast.structs.push(it);
                model.structs.push(Struct {
                    module,
                    name: it.name.text.clone(),
                    span: it.name.span,
                    doc: it.doc.clone(),
                    deprecated: None,
                    members: Vec::new(),
                });
                Element::Struct(StructId(last(&model.structs)))
            }
            ast::Element::Exception(it) => {
                ast.exceptions.push(it);
                model.exceptions.push(Exception {
                    module,
                    name: it.name.text.clone(),
                    span: it.name.span,
                    doc: it.doc.clone(),
                    deprecated: None,
                    members: Vec::new(),
                });
                Element::Exception(ExceptionId(last(&model.exceptions)))
            }
            ast::Element::Enum(it) => {
                ast.enums.push(it);
                model.enums.push(Enum {
                    module,
                    name: it.name.text.clone(),
                    span: it.name.span,
                    doc: it.doc.clone(),
                    deprecated: None,
                    members: Vec::new(),
                });
                Element::Enum(EnumId(last(&model.enums)))
            }
            ast::Element::Constant(it) => {
                ast.constants.push(it);
                model.constants.push(Constant {
                    module,
                    name: it.name.text.clone(),
                    span: it.name.span,
                    doc: it.doc.clone(),
                    ty: UNKNOWN,
                    value: ConstantValue::Integer(0),
                });
                Element::Constant(ConstantId(last(&model.constants)))
            }
            ast::Element::Sequence(it) => {
                ast.sequences.push(it);
                model.sequences.push(Sequence {
                    module,
                    name: it.name.text.clone(),
                    span: it.name.span,
                    doc: it.doc.clone(),
                    element: UNKNOWN,
                });
                Element::Sequence(SequenceId(last(&model.sequences)))
            }
            ast::Element::Dictionary(it) => {
                ast.dictionaries.push(it);
                let (name, doc) = (it.name.text.clone(), it.doc.clone());
                model.dictionaries.push(Dictionary {
                    module,
                    name,
                    span: it.name.span,
                    doc,
                    key: UNKNOWN,
                    value: UNKNOWN,
                });
                Element::Dictionary(DictionaryId(last(&model.dictionaries)))
            }
            ast::Element::Interface(it) => {
                ast.interfaces.push(it);
                model.interfaces.push(interface(it, module));
                Element::Interface(InterfaceId(last(&model.interfaces)))
            }
        }
    }
}

fn interface(from: &ast::Interface, module: ModuleId) -> Interface {
    Interface {
        module,
        name: from.name.text.clone(),
        span: from.name.span,
        doc: from.doc.clone(),
        comment: None,
        deprecated: None,
        index: 0,
        index_origin: IndexOrigin::Implicit(from.whole.before()),
        base: None,
        operations: Vec::new(),
        skeletons: BTreeMap::new(),
        skeleton_default: true,
        tasks: None,
    }
}
