//! Types: how Rust spells them, and the structs and aliases that declare them.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use tce_idl::model::{Dictionary, DictionaryId, Member, ModuleId, SequenceId, StructId, Type};

use super::Unit;
use super::codec::{Field, codec};
use super::docs::Docs;
use super::names;

impl Unit<'_> {
    pub(super) fn structure(&self, id: StructId) -> TokenStream {
        let structure = self.model.struct_(id);
        let name = self.names.struct_(id);
        let module = &self.model.module(structure.module).name;
        let path = format!("{module}.{}", structure.name);
        let declared = || format!("struct {}", self.spelled(structure.module, &structure.name));
        let docs = Docs::idl(structure.doc.as_deref())
            .then_declared(name, &structure.name, declared)
            .attributes();
        let attributes = self.options.types.of(&path);
        let names = names::members(structure.members.iter().map(|member| member.name.as_str()));
        let fields: Vec<_> = structure
            .members
            .iter()
            .zip(names)
            .map(|(member, name)| self.field(&path, member, name))
            .collect();
        let members = fields.iter().map(|field| {
            let (docs, attributes) = (field.docs.attributes(), &field.attributes);
            let (name, ty) = (&field.name, &field.ty);
            quote!(#docs #attributes pub #name: #ty,)
        });
        let structure = quote! {
            #docs
            #[derive(Debug, Clone, PartialEq, Default)]
            #attributes
            pub struct #name { #(#members)* }
        };
        [structure, codec(name, &fields)].into_iter().collect()
    }

    fn field(&self, structure: &str, member: &Member, name: Ident) -> Field {
        let declared = || format!("{} {}", self.idl_type(member.ty), member.name);
        Field {
            docs: Docs::idl(member.doc.as_deref()).then_declared(&name, &member.name, declared),
            attributes: self
                .options
                .fields
                .of(&format!("{structure}.{}", member.name)),
            name,
            ty: self.owned(member.ty),
        }
    }

    pub(super) fn sequence(&self, id: SequenceId) -> TokenStream {
        let sequence = self.model.sequence(id);
        let (name, element) = (self.names.sequence(id), self.owned(sequence.element));
        let declared = || {
            let element = self.idl_type(sequence.element);
            let spelled = self.spelled(sequence.module, &sequence.name);
            format!("sequence<{element}> {spelled}")
        };
        let docs = Docs::idl(sequence.doc.as_deref())
            .then_declared(name, &sequence.name, declared)
            .attributes();
        quote!(#docs pub type #name = Vec<#element>;)
    }

    pub(super) fn dictionary(&self, id: DictionaryId) -> TokenStream {
        let dictionary = self.model.dictionary(id);
        let name = self.names.dictionary(id);
        let declared = || {
            let (key, value) = (
                self.idl_type(dictionary.key),
                self.idl_type(dictionary.value),
            );
            let spelled = self.spelled(dictionary.module, &dictionary.name);
            format!("dictionary<{key}, {value}> {spelled}")
        };
        let docs = Docs::idl(dictionary.doc.as_deref())
            .then_declared(name, &dictionary.name, declared)
            .attributes();
        let (key, value) = (self.owned(dictionary.key), self.owned(dictionary.value));
        if has_pairs(dictionary) {
            return quote!(#docs pub type #name = Vec<(#key, #value)>;);
        }
        let map = &self.options.map_type;
        quote!(#docs pub type #name = #map<#key, #value>;)
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
            Type::Dictionary(id) if has_pairs(self.model.dictionary(id)) => {
                let dictionary = self.model.dictionary(id);
                let (key, value) = (self.owned(dictionary.key), self.owned(dictionary.value));
                quote!(&[(#key, #value)])
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

/// Whether a dictionary is a list of pairs, which is the same on the wire: no map of
/// std has keys that are floating-point numbers.
fn has_pairs(dictionary: &Dictionary) -> bool {
    matches!(dictionary.key, Type::Float | Type::Double)
}
