//! The back end for Python: the shape of a file, and what each element becomes.
//!
//! Generated code says `_rt` for `tce.codegen`, through which alone it uses the
//! runtime and the standard library, so that no name of an IDL can hide it: see
//! [`names`]. Modules import each other as siblings of their package.

mod docs;
mod imports;
mod names;
mod options;
mod multi_call;
mod proxy;
mod servant;
mod tasks;
mod types;

use tce_idl::lint::Language;
use tce_idl::model::{Element, InterfaceId, Model, Module, ModuleId, Operation};

use self::docs::Docs;
use self::imports::Imports;
use self::names::{Names, OperationNames};
use self::options::Parsed;
use crate::source::{SourceWriter, header};
use crate::{Backend, Error, GeneratedFile, Options};

pub use self::options::{PythonApi, PythonOptions};

const LANGUAGE: Language = Language::Python;

/// The back end for Python 3.10 or newer.
#[derive(Debug, Clone, Copy)]
pub struct Python;

impl Backend for Python {
    fn language(&self) -> Language {
        LANGUAGE
    }

    fn generate(&self, model: &Model, options: &Options) -> Result<Vec<GeneratedFile>, Error> {
        let options = options.python.parse()?;
        let names = Names::of(model, options.has_tasks);
        let imports = imports::of(model)?;
        Ok((0..)
            .map(ModuleId)
            .zip(&model.modules)
            .zip(&imports)
            .map(|((id, module), imports)| {
                Unit {
                    model,
                    options: &options,
                    names: &names,
                    imports,
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
    imports: &'m Imports,
    module: ModuleId,
}

impl Unit<'_> {
    fn file(&self, module: &Module) -> GeneratedFile {
        let mut code = SourceWriter::new();
        if !module.elements.is_empty() {
            self.imports(&mut code);
            self.exports(module, &mut code);
            self.types(module, &mut code);
            for id in self.interfaces(module) {
                self.operation_constants(id, &mut code);
                self.servant(id, &mut code);
                self.proxy(id, &mut code);
                if self.options.has_tasks {
                    self.task_client(id, &mut code);
                }
                if self.options.has_multi_calls {
                    self.multi_call(id, &mut code);
                }
            }
            if !self.imports.late.is_empty() {
                code.blank(2);
                code.line("# At the end, since these modules import this one.");
                self.import(&self.imports.late, &mut code);
            }
        }
        GeneratedFile {
            path: format!("{}.py", self.names.module(self.module)).into(),
            contents: header(module, "#") + &code.finish(),
        }
    }

    fn imports(&self, code: &mut SourceWriter) {
        let runtime = &self.options.runtime;
        code.blank(1);
        code.line("from __future__ import annotations");
        code.blank(1);
        code.line(&format!("from {runtime} import codegen as _rt"));
        if self.options.has_tasks {
            code.line(&format!("from {runtime}.tasks import codegen as _tasks"));
        }
        if !self.imports.early.is_empty() {
            code.blank(1);
            self.import(&self.imports.early, code);
        }
    }

    fn import(&self, modules: &[ModuleId], code: &mut SourceWriter) {
        for id in modules {
            let (name, alias) = (self.names.module(*id), self.names.module_alias(*id));
            code.line(&format!("from . import {name} as {alias}"));
        }
    }

    /// `__all__`: what `from module import *` imports.
    fn exports(&self, module: &Module, code: &mut SourceWriter) {
        let mut names: Vec<&str> = Vec::new();
        for element in &module.elements {
            match *element {
                Element::Struct(id) => names.push(&self.names.struct_(id).name),
                Element::Exception(id) => names.push(&self.names.exception(id).name),
                Element::Enum(id) => names.push(&self.names.enum_(id).name),
                Element::Constant(id) => names.push(self.names.constant(id)),
                Element::Sequence(id) => names.push(&self.names.sequence(id).name),
                Element::Dictionary(id) => names.push(&self.names.dictionary(id).name),
                Element::Interface(id) => {
                    let interface = self.names.interface(id);
                    if self.has_servant(id) {
                        names.push(&interface.servant);
                        names.extend(self.servant_alias(id));
                    }
                    names.push(&interface.proxy);
                    names.extend(interface.tasks.as_ref().map(|it| it.class.as_str()));
                    if self.options.has_multi_calls {
                        names.push(&interface.multi_call);
                    }
                }
            }
        }
        let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        code.blank(1);
        code.list("__all__ = [", &names, "]");
    }

    /// The interfaces of the module, each after its base.
    fn interfaces(&self, module: &Module) -> Vec<InterfaceId> {
        let mut ordered = Vec::new();
        for element in &module.elements {
            let Element::Interface(id) = *element else {
                continue;
            };
            let mut lineage: Vec<_> = self.model.lineage(id).collect();
            lineage.reverse();
            let is_new = |id: &InterfaceId| {
                self.model.interface(*id).module == self.module && !ordered.contains(id)
            };
            let new: Vec<_> = lineage.into_iter().filter(is_new).collect();
            ordered.extend(new);
        }
        ordered
    }

    /// What the IDL says of an interface, then what the class does for it.
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

    /// What the IDL says of an operation, and its declared name if Python has another.
    fn operation_docs(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
    ) -> Docs {
        let text = operation.doc.as_deref().or(operation.comment.as_deref());
        let spelled = self.model.qualified_operation(id, operation);
        let docs = operation.parameters.iter().map(|it| it.doc.as_deref());
        let docs = Docs::idl(text)
            .then_declared(&names.method, &operation.name, &spelled)
            .then_parameters(names.parameters.iter().zip(docs))
            .then_deprecated(operation.deprecated.as_deref());
        let throws = operation.throws.iter().map(|id| {
            let module = self.model.exception(*id).module;
            let name = &self.names.exception(*id).name;
            match module == self.module {
                true => format!("`{name}`"),
                false => format!("`{}.{name}`", self.names.module(module)),
            }
        });
        let throws: Vec<_> = throws.collect();
        match throws.is_empty() {
            true => docs,
            false => docs.then(format!("Raises {}.", throws.join(", "))),
        }
    }
}
