//! The back end for TypeScript: the shape of a file, and what each element becomes.
//!
//! Generated code says `rt` for the runtime's `codegen`, through which alone it uses the
//! runtime, so that no name of an IDL can hide it: see [`names`]. It has no statement
//! that runs when a module is loaded, so that bundlers drop what a program does not use,
//! and modules may import each other in circles.

mod codec;
mod docs;
mod names;
mod options;
mod proxy;
mod servant;
mod types;

use std::collections::BTreeSet;

use tce_idl::lint::Language;
use tce_idl::model::{Element, InterfaceId, Model, Module, ModuleId, Operation, Type};

use self::codec::MinSizes;
use self::docs::Docs;
use self::names::{Names, OperationNames};
use self::options::Parsed;
use crate::source::{SourceWriter, header};
use crate::{Backend, Error, GeneratedFile, Options};

pub use self::options::TypeScriptOptions;

const LANGUAGE: Language = Language::TypeScript;

/// The back end for TypeScript, whose code runs in browsers and in Node.
#[derive(Debug, Clone, Copy)]
pub struct TypeScript;

impl Backend for TypeScript {
    fn language(&self) -> Language {
        LANGUAGE
    }

    fn generate(&self, model: &Model, options: &Options) -> Result<Vec<GeneratedFile>, Error> {
        let options = options.typescript.parse()?;
        let names = Names::of(model);
        let min_sizes = MinSizes::of(model);
        Ok((0..)
            .map(ModuleId)
            .zip(&model.modules)
            .map(|(id, module)| {
                Unit {
                    model,
                    options: &options,
                    names: &names,
                    min_sizes: &min_sizes,
                    module: id,
                }
                .file(module)
            })
            .collect())
    }
}

/// The module being written, and what it may refer to.
struct Unit<'m> {
    model: &'m Model,
    options: &'m Parsed,
    names: &'m Names,
    min_sizes: &'m MinSizes,
    module: ModuleId,
}

impl Unit<'_> {
    fn file(&self, module: &Module) -> GeneratedFile {
        let mut code = SourceWriter::new();
        if module.elements.is_empty() {
            code.blank(1);
            code.line("export {};");
        } else {
            self.imports(module, &mut code);
        }
        for element in &module.elements {
            code.blank(1);
            match *element {
                Element::Struct(id) => self.structure(id, &mut code),
                Element::Exception(id) => self.exception(id, &mut code),
                Element::Enum(id) => self.enumeration(id, &mut code),
                Element::Constant(id) => self.constant(id, &mut code),
                Element::Sequence(id) => self.sequence(id, &mut code),
                Element::Dictionary(id) => self.dictionary(id, &mut code),
                Element::Interface(id) => {
                    self.servant(id, &mut code);
                    self.proxy(id, &mut code);
                }
            }
        }
        GeneratedFile {
            path: format!("{}.ts", self.names.module(self.module)).into(),
            contents: header(module, "//") + &code.finish(),
        }
    }

    fn imports(&self, module: &Module, code: &mut SourceWriter) {
        code.blank(1);
        code.line(&format!(
            "import * as rt from \"{}\";",
            self.options.codegen()
        ));
        let mut used: BTreeSet<_> = module
            .elements
            .iter()
            .flat_map(|element| self.used_by(*element))
            .collect();
        used.remove(&self.module);
        for id in used {
            let (name, alias) = (self.names.module(id), self.names.module_alias(id));
            code.line(&format!("import * as {alias} from \"./{name}.js\";"));
        }
    }

    /// The modules of the names that the code of an element has.
    fn used_by(&self, element: Element) -> Vec<ModuleId> {
        let of = |ty: Type| self.model.declared(ty).map(|(module, _)| module);
        match element {
            Element::Struct(id) => {
                let members = self.model.struct_(id).members.iter();
                members.filter_map(|member| of(member.ty)).collect()
            }
            Element::Exception(id) => {
                let members = self.model.exception(id).members.iter();
                members.filter_map(|member| of(member.ty)).collect()
            }
            Element::Enum(_) | Element::Constant(_) => Vec::new(),
            Element::Sequence(id) => of(self.model.sequence(id).element).into_iter().collect(),
            Element::Dictionary(id) => {
                let dictionary = self.model.dictionary(id);
                let types = [dictionary.key, dictionary.value];
                types.into_iter().filter_map(of).collect()
            }
            Element::Interface(id) => {
                let mut modules: Vec<_> = self
                    .model
                    .lineage(id)
                    .flat_map(|id| &self.model.interface(id).operations)
                    .flat_map(|it| it.parameters.iter().map(|it| it.ty).chain(it.returns))
                    .filter_map(of)
                    .collect();
                let operations = self.model.lineage(id);
                let operations = operations.flat_map(|id| &self.model.interface(id).operations);
                let thrown = operations.flat_map(|it| &it.throws);
                modules.extend(thrown.map(|id| self.model.exception(*id).module));
                if self.has_servant(id) {
                    let lineage = self.model.lineage(id);
                    modules.extend(lineage.map(|id| self.model.interface(id).module));
                }
                modules
            }
        }
    }

    /// What the IDL says of an interface, then what the code does for it.
    fn interface_docs(&self, id: InterfaceId, part: &str) -> Docs {
        let interface = self.model.interface(id);
        let spelled = self.model.qualified(interface.module, &interface.name);
        let text = interface.doc.as_deref().or(interface.comment.as_deref());
        Docs::idl(text)
            .then(format!(
                "{part} `{spelled}`, interface {} on the wire.",
                interface.index
            ))
            .then_deprecated(interface.deprecated.as_deref())
    }

    /// What the IDL says of an operation, and its declared name if TypeScript has another.
    fn operation_docs(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
        is_of_proxy: bool,
    ) -> Docs {
        let text = operation.doc.as_deref().or(operation.comment.as_deref());
        let spelled = self.model.qualified_operation(id, operation);
        // No generated code calls a method of a proxy.
        let (deprecated, tag) = match is_of_proxy {
            true => (None, docs::deprecated(operation.deprecated.as_deref())),
            false => (operation.deprecated.as_deref(), None),
        };
        let parameters = names.parameters.iter().zip(&operation.parameters);
        let parameters =
            parameters.filter_map(|(name, it)| Some((format!("param {name} -"), it.doc.clone()?)));
        let throws = operation.throws.iter().map(|id| {
            let module = self.model.exception(*id).module;
            let path = self.path(module, &self.names.exception(*id).name);
            ("throws".to_owned(), format!("{{@link {path}}}"))
        });
        Docs::idl(text)
            .then_declared(&names.method, &operation.name, &spelled)
            .then_deprecated(deprecated)
            .then_tags(parameters.chain(throws).chain(tag))
    }
}
