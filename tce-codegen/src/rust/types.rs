//! Types: how Rust spells them, and the structs and aliases that declare them.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use tce_idl::model::{DictionaryId, InterfaceId, ModuleId, Operation, SequenceId, StructId, Type};

use super::Unit;
use super::codec::{Field, codec};
use super::docs::Docs;
use super::names::{self, OperationNames};

/// A struct that goes on the wire, with its codec.
fn wire_struct(name: &Ident, docs: &Docs, fields: &[Field]) -> TokenStream {
    let docs = docs.attributes();
    let members = fields.iter().map(|field| {
        let (docs, name, ty) = (field.docs.attributes(), &field.name, &field.ty);
        quote!(#docs pub #name: #ty)
    });
    let codec = codec(name, fields);
    quote! {
        #docs
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct #name { #(#members),* }
        #codec
    }
}

impl Unit<'_> {
    pub(super) fn structure(&self, id: StructId) -> TokenStream {
        let structure = self.model.struct_(id);
        let place = format!(
            "`struct {}` of the IDL.",
            self.spelled(structure.module, &structure.name)
        );
        let docs = Docs::idl(structure.doc.as_deref()).then(Docs::sentence(place));
        let names = names::members(structure.members.iter().map(|member| member.name.as_str()));
        let fields: Vec<_> = structure
            .members
            .iter()
            .zip(names)
            .map(|(member, name)| self.field(&member.name, member.doc.as_deref(), member.ty, name))
            .collect();
        wire_struct(self.names.struct_(id), &docs, &fields)
    }

    /// The struct that holds the parameters of an operation with too many.
    pub(super) fn parameters_struct(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
    ) -> Option<TokenStream> {
        let name = names.parameters_struct.as_ref()?;
        let spelled = self.spelled_operation(id, operation);
        let docs = Docs::sentence(format!("The parameters of `{spelled}`."));
        let parameters = operation.parameters.iter().zip(&names.parameters);
        let fields: Vec<_> = parameters
            .map(|(parameter, name)| self.field(&parameter.name, None, parameter.ty, name.clone()))
            .collect();
        Some(wire_struct(name, &docs, &fields))
    }

    /// A member, whose IDL spelling is told where the documentation or the
    /// Rust name leaves it open.
    fn field(&self, spelled: &str, doc: Option<&str>, ty: Type, name: Ident) -> Field {
        let mut docs = Docs::idl(doc);
        if docs.is_empty() || name != spelled {
            docs = docs.then(Docs::sentence(format!(
                "`{} {spelled}` of the IDL.",
                self.idl_type(ty)
            )));
        }
        Field {
            docs,
            name,
            ty: self.owned(ty),
        }
    }

    pub(super) fn sequence(&self, id: SequenceId) -> TokenStream {
        let sequence = self.model.sequence(id);
        let element = self.idl_type(sequence.element);
        let spelled = self.spelled(sequence.module, &sequence.name);
        let place = format!("`sequence<{element}> {spelled}` of the IDL.");
        let docs = Docs::idl(sequence.doc.as_deref())
            .then(Docs::sentence(place))
            .attributes();
        let (name, element) = (self.names.sequence(id), self.owned(sequence.element));
        quote!(#docs pub type #name = Vec<#element>;)
    }

    pub(super) fn dictionary(&self, id: DictionaryId) -> TokenStream {
        let dictionary = self.model.dictionary(id);
        let (key, value) = (
            self.idl_type(dictionary.key),
            self.idl_type(dictionary.value),
        );
        let spelled = self.spelled(dictionary.module, &dictionary.name);
        let place = format!("`dictionary<{key}, {value}> {spelled}` of the IDL.");
        let docs = Docs::idl(dictionary.doc.as_deref())
            .then(Docs::sentence(place))
            .attributes();
        let (key, value) = (self.owned(dictionary.key), self.owned(dictionary.value));
        let name = self.names.dictionary(id);
        quote!(#docs pub type #name = ::std::collections::BTreeMap<#key, #value>;)
    }

    /// A type that owns its value: what members, results and servants hold.
    pub(super) fn owned(&self, ty: Type) -> TokenStream {
        match ty {
            Type::Byte => quote!(u8),
            Type::Bool => quote!(bool),
            Type::Short => quote!(i16),
            Type::Int => quote!(i32),
            Type::Long => quote!(i64),
            Type::Float => quote!(f32),
            Type::Double => quote!(f64),
            Type::String => quote!(String),
            Type::Struct(id) => self.path(self.model.struct_(id).module, self.names.struct_(id)),
            Type::Sequence(id) => {
                self.path(self.model.sequence(id).module, self.names.sequence(id))
            }
            Type::Dictionary(id) => {
                self.path(self.model.dictionary(id).module, self.names.dictionary(id))
            }
        }
    }

    /// A type that proxies take: scalars by value, anything else by reference.
    pub(super) fn borrowed(&self, ty: Type) -> TokenStream {
        let owned = self.owned(ty);
        match ty {
            Type::String => quote!(&str),
            Type::Sequence(id) => {
                let element = self.owned(self.model.sequence(id).element);
                quote!(&[#element])
            }
            Type::Struct(_) | Type::Dictionary(_) => quote!(&#owned),
            _ => owned,
        }
    }

    /// A type as the IDL spells it, with its module.
    fn idl_type(&self, ty: Type) -> String {
        match ty {
            Type::Byte => "byte".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::Short => "short".to_owned(),
            Type::Int => "int".to_owned(),
            Type::Long => "long".to_owned(),
            Type::Float => "float".to_owned(),
            Type::Double => "double".to_owned(),
            Type::String => "string".to_owned(),
            Type::Struct(id) => {
                let structure = self.model.struct_(id);
                self.spelled(structure.module, &structure.name)
            }
            Type::Sequence(id) => {
                let sequence = self.model.sequence(id);
                self.spelled(sequence.module, &sequence.name)
            }
            Type::Dictionary(id) => {
                let dictionary = self.model.dictionary(id);
                self.spelled(dictionary.module, &dictionary.name)
            }
        }
    }

    /// `module::name`, as the IDL spells both.
    pub(super) fn spelled(&self, module: ModuleId, name: &str) -> String {
        format!("{}::{name}", self.model.module(module).name)
    }

    /// How the module being written names an item of `module`.
    pub(super) fn path(&self, module: ModuleId, item: &Ident) -> TokenStream {
        if module == self.module {
            return quote!(#item);
        }
        let module = self.names.module(module);
        quote!(super::#module::#item)
    }
}
