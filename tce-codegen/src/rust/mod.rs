//! The back end for Rust: the shape of a file, and what each element becomes.
//!
//! Generated code says `rt` for `tce_runtime::codegen`, its one way to the
//! runtime, and spells what std's prelude lacks by its absolute path: no name of
//! an IDL can be one of these, see [`names`].

mod codec;
mod docs;
mod names;
mod proxy;
mod servant;
mod types;

use std::ffi::OsStr;
use std::path::Path;

use proc_macro2::TokenStream;
use quote::quote;
use tce_idl::model::{Element, InterfaceId, Model, Module, ModuleId, Operation};

use self::docs::Docs;
use self::names::Names;
use crate::output::MARK;
use crate::{Backend, Error, GeneratedFile};

const LANGUAGE: &str = "rust";

/// The back end for Rust.
#[derive(Debug, Clone, Copy)]
pub struct Rust;

impl Backend for Rust {
    fn language(&self) -> &'static str {
        LANGUAGE
    }

    fn generate(&self, model: &Model) -> Result<Vec<GeneratedFile>, Error> {
        let names = Names::of(model);
        (0..)
            .map(ModuleId)
            .zip(&model.modules)
            .map(|(id, module)| {
                Unit {
                    model,
                    names: &names,
                    module: id,
                }
                .file(module)
            })
            .collect()
    }
}

/// The module being written, and what it may refer to.
struct Unit<'m> {
    model: &'m Model,
    names: &'m Names,
    module: ModuleId,
}

impl Unit<'_> {
    fn file(&self, module: &Module) -> Result<GeneratedFile, Error> {
        let items = self.items(module);
        let file: syn::File = syn::parse2(items).map_err(|source| Error::Unprintable {
            module: module.name.clone(),
            source,
        })?;
        let items = file.items.into_iter().map(print);
        let contents: Vec<_> = std::iter::once(header(module)).chain(items).collect();
        Ok(GeneratedFile {
            path: format!("{}.rs", module.name).into(),
            contents: contents.join("\n"),
        })
    }

    fn items(&self, module: &Module) -> TokenStream {
        let elements = module.elements.iter().map(|element| match *element {
            Element::Struct(id) => self.structure(id),
            Element::Sequence(id) => self.sequence(id),
            Element::Dictionary(id) => self.dictionary(id),
            Element::Interface(id) => self.interface(id),
        });
        // An import that nothing uses is a warning.
        let uses_runtime = module
            .elements
            .iter()
            .any(|element| matches!(element, Element::Struct(_) | Element::Interface(_)));
        let runtime = uses_runtime.then(|| {
            quote!(
                use ::tce_runtime::codegen as rt;
            )
        });
        quote!(#runtime #(#elements)*)
    }

    fn interface(&self, id: InterfaceId) -> TokenStream {
        let operations = &self.model.interface(id).operations;
        let names = &self.names.interface(id).operations;
        let parameters = operations
            .iter()
            .zip(names)
            .filter_map(|(operation, names)| self.parameters_struct(id, operation, names));
        let skeleton = self.skeleton(id);
        let proxy = self.proxy(id);
        quote!(#(#parameters)* #skeleton #proxy)
    }

    /// What the IDL says of an interface, then a sentence on the item's part in it.
    fn interface_docs(&self, id: InterfaceId, part: &str) -> Docs {
        let interface = self.model.interface(id);
        let spelled = self.spelled(interface.module, &interface.name);
        let index = interface.index;
        let text = interface.doc.as_deref().or(interface.comment.as_deref());
        Docs::idl(text).then(Docs::sentence(format!(
            "{part} `{spelled}`: interface {index} on the wire."
        )))
    }

    /// What the IDL says of an operation, and its place.
    fn operation_docs(&self, id: InterfaceId, operation: &Operation) -> Docs {
        let spelled = self.spelled_operation(id, operation);
        let (ifidx, opidx) = (self.model.interface(id).index, operation.index);
        let text = operation.doc.as_deref().or(operation.comment.as_deref());
        let place = format!("`{spelled}`: interface {ifidx}, operation {opidx} on the wire.");
        Docs::idl(text).then(Docs::sentence(place))
    }

    /// `module::Interface::operation`, as the IDL spells it.
    fn spelled_operation(&self, id: InterfaceId, operation: &Operation) -> String {
        let interface = self.model.interface(id);
        let interface = self.spelled(interface.module, &interface.name);
        format!("{interface}::{}", operation.name)
    }

    fn returns(&self, operation: &Operation) -> TokenStream {
        operation
            .returns
            .map_or_else(|| quote!(()), |ty| self.owned(ty))
    }
}

/// The comment on top: where the code comes from, and what the module is for,
/// as an included file has no place for a module's documentation. There is no
/// time and no version in it: the same IDL gives the same file.
fn header(module: &Module) -> String {
    let files: Vec<_> = module
        .files
        .iter()
        .map(|file| {
            Path::new(file)
                .file_name()
                .map_or(file.into(), OsStr::to_string_lossy)
        })
        .collect();
    let origin = format!(
        "{MARK}{}: change the IDL and compile again.",
        files.join(" and ")
    );
    let docs = module.doc.iter().flat_map(|doc| doc.lines());
    std::iter::once(origin)
        .chain(module.doc.iter().map(|_| String::new()))
        .chain(docs.map(docs::visible))
        .map(|line| format!("// {line}").trim_end().to_owned() + "\n")
        .collect()
}

/// The text of an item, with a blank line between the members of an impl or trait.
fn print(item: syn::Item) -> String {
    let has_methods = matches!(item, syn::Item::Impl(_) | syn::Item::Trait(_));
    let text = prettyplease::unparse(&syn::File {
        shebang: None,
        frontmatter: None,
        attrs: Vec::new(),
        items: vec![item],
    });
    if has_methods { space_out(&text) } else { text }
}

fn space_out(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    let mut after_member = false;
    for line in text.lines() {
        let starts_member = line.starts_with("    ") && !line[4..].starts_with([' ', '}', ')']);
        if starts_member && after_member && !line.starts_with("    const ") {
            spaced.push('\n');
        }
        spaced.extend([line, "\n"]);
        after_member = line.ends_with(['}', ';']);
    }
    spaced
}
