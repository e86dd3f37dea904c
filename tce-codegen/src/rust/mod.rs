//! The back end for Rust: the shape of a file, and what each element becomes.
//!
//! Generated code says `rt` for `tce_runtime::codegen`, through which alone it
//! uses the runtime, and spells what std's prelude lacks by its absolute path,
//! so that no name of an IDL can hide it: see [`names`].

mod codec;
mod docs;
mod layout;
mod names;
mod options;
mod print;
mod client;
mod multi_call;
mod proxy;
mod servant;
mod tasks;
mod types;

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use tce_idl::Excerpts;
use tce_idl::lint::Language;
use tce_idl::model::{Element, InterfaceId, Model, Module, ModuleId, Operation};

use self::docs::Docs;
use self::names::{Names, OperationNames};
use self::options::Parsed;
use self::print::Printer;
use crate::source::header;
use crate::{Backend, Error, GeneratedFile, Options};

pub use self::options::{MapType, RustOptions};

const LANGUAGE: Language = Language::Rust;

/// The largest tuple that the runtime marshals.
const MAX_TUPLE: usize = 12;

/// The back end for Rust.
#[derive(Debug, Clone, Copy)]
pub struct Rust;

impl Backend for Rust {
    fn language(&self) -> Language {
        LANGUAGE
    }

    fn generate(&self, model: &Model, options: &Options) -> Result<Vec<GeneratedFile>, Error> {
        let options = options.rust.parse()?;
        let names = Names::of(model);
        let excerpts = Excerpts::new(model);
        let files = (0..)
            .map(ModuleId)
            .zip(&model.modules)
            .map(|(id, module)| {
                Unit {
                    model,
                    options: &options,
                    names: &names,
                    excerpts: &excerpts,
                    module: id,
                }
                .file(module)
            })
            .collect();
        Ok(files)
    }
}

/// The module being written, and what it may refer to.
struct Unit<'m> {
    model: &'m Model,
    options: &'m Parsed,
    names: &'m Names,
    excerpts: &'m Excerpts<'m>,
    module: ModuleId,
}

impl Unit<'_> {
    fn file(&self, module: &Module) -> GeneratedFile {
        let mut printer = Printer::new(header(module, "//"));
        printer.items(self.imports(module));
        for element in &module.elements {
            match *element {
                Element::Struct(id) => {
                    printer.items(self.structure(id));
                    if self.options.has_tasks {
                        printer.items(self.struct_from_json(id));
                    }
                }
                Element::Exception(id) => printer.items(self.exception(id)),
                Element::Enum(id) => {
                    printer.items(self.enumeration(id));
                    if self.options.has_tasks {
                        printer.items(self.enum_from_json(id));
                    }
                }
                Element::Constant(id) => printer.items(self.constant_value(id)),
                Element::Sequence(id) => printer.items(self.sequence(id)),
                Element::Dictionary(id) => printer.items(self.dictionary(id)),
                Element::Interface(id) => {
                    printer.items(self.skeleton(id));
                    printer.items(self.proxy(id));
                    if self.options.has_clients {
                        printer.items(self.client(id));
                    }
                    if self.options.has_multi_calls {
                        printer.items(self.multi_call(id));
                    }
                    if self.options.has_tasks {
                        printer.items(self.task_client(id));
                    }
                }
            }
        }
        GeneratedFile {
            path: format!("{}.rs", module.name).into(),
            contents: printer.finish(),
        }
    }

    fn imports(&self, module: &Module) -> TokenStream {
        let has = |wanted: fn(&Element) -> bool| module.elements.iter().any(wanted);
        let has_interface = has(|element| matches!(element, Element::Interface(_)));
        let has_codec = has(|element| {
            matches!(
                element,
                Element::Struct(_) | Element::Exception(_) | Element::Enum(_)
            )
        });
        let path = &self.options.runtime;
        // An import that nothing uses is a warning.
        let runtime = (has_interface || has_codec).then(|| quote!(use #path::codegen as rt;));
        // `use module::*` then brings the methods that all proxies have.
        let methods = has_interface.then(|| {
            quote!(
                pub use rt::TypedProxy as _;
            )
        });
        let multi_calls = (has_interface && self.options.has_multi_calls).then(|| {
            quote!(
                pub use rt::TypedMulti as _;
            )
        });
        let has_value = has(|element| matches!(element, Element::Struct(_) | Element::Enum(_)));
        let tasks = (self.options.has_tasks && (has_interface || has_value)).then(|| {
            quote!(
                use ::tce_tasks::codegen as tasks;
            )
        });
        quote!(#runtime #tasks #methods #multi_calls)
    }

    /// What the IDL says of an interface, then what the item does for it.
    fn interface_docs(&self, id: InterfaceId, part: &str, rest: &str) -> Docs {
        let interface = self.model.interface(id);
        let spelled = self.model.qualified(interface.module, &interface.name);
        let index = interface.index;
        let text = interface.doc.as_deref().or(interface.comment.as_deref());
        Docs::idl(text)
            .then(Docs::sentence(format!(
                "{part} `{spelled}`, interface {index} on the wire{rest}"
            )))
            .then_deprecated(interface.deprecated.as_deref())
    }

    /// What the IDL says of an operation, and its declared name if Rust has another.
    fn operation_docs(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
    ) -> Docs {
        let text = operation.doc.as_deref().or(operation.comment.as_deref());
        let spelled = || self.model.qualified_operation(id, operation);
        let docs = operation.parameters.iter().map(|it| it.doc.as_deref());
        let docs = Docs::idl(text)
            .then_declared(&names.method, &operation.name, spelled)
            .then_parameters(names.parameters.iter().zip(docs))
            .then_deprecated(operation.deprecated.as_deref());
        let throws = operation.throws.iter().map(|id| {
            let exception = self.model.exception(*id);
            let name = self.names.exception(*id);
            match exception.module == self.module {
                true => format!("[`{name}`]"),
                false => {
                    let path = self.path(exception.module, name).to_string();
                    format!("[`{name}`]({})", path.replace(' ', ""))
                }
            }
        });
        let throws: Vec<_> = throws.collect();
        match throws.is_empty() {
            true => docs,
            false => docs.then(Docs::sentence(format!("Throws {}.", throws.join(", ")))),
        }
    }

    fn returns(&self, operation: &Operation) -> TokenStream {
        operation
            .returns
            .map_or_else(|| quote!(()), |ty| self.owned(ty))
    }
}

/// A tuple of all names. Where they are too many for one, the last element is a
/// tuple of those that remain: on the wire nesting makes no difference.
fn tuple(names: &[Ident]) -> TokenStream {
    match names {
        [name] => quote!((#name,)),
        names if names.len() <= MAX_TUPLE => quote!((#(#names),*)),
        names => {
            let (first, rest) = names.split_at(MAX_TUPLE - 1);
            let rest = tuple(rest);
            quote!((#(#first,)* #rest))
        }
    }
}
