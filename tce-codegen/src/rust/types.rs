//! Types: how Rust spells them, and the structs and aliases that declare them.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;
use tce_idl::model::{
    ConstantId, ConstantValue, Dictionary, DictionaryId, EnumId, ExceptionId, Member, ModuleId,
    SequenceId, StructId, Type,
};

use super::Unit;
use super::codec::{self, Field, codec};
use super::docs::Docs;
use super::names;

impl Unit<'_> {
    pub(super) fn structure(&self, id: StructId) -> TokenStream {
        let structure = self.model.struct_(id);
        let name = self.names.struct_(id);
        let module = &self.model.module(structure.module).name;
        let path = format!("{module}.{}", structure.name);
        let declared = || {
            format!(
                "struct {}",
                self.model.qualified(structure.module, &structure.name)
            )
        };
        let docs = Docs::idl(structure.doc.as_deref())
            .then_declared(name, &structure.name, declared)
            .then_deprecated(structure.deprecated.as_deref());
        let fields = self.fields(&path, &structure.members);
        self.record(&path, name, &docs, &fields)
    }

    /// The fields of a struct or exception.
    fn fields(&self, path: &str, members: &[Member]) -> Vec<Field> {
        let names = names::members(members.iter().map(|member| member.name.as_str()));
        let fields = members.iter().zip(names);
        fields
            .map(|(member, name)| self.field(path, member, name))
            .collect()
    }

    /// A struct with its codec, for a struct or exception of the IDL.
    fn record(&self, path: &str, name: &Ident, docs: &Docs, fields: &[Field]) -> TokenStream {
        let docs = docs.attributes();
        let attributes = self.options.types.of(path);
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
        [structure, codec(name, fields)].into_iter().collect()
    }

    /// A struct that becomes a fault at the servant's side, and that the caller gets
    /// out of the error.
    pub(super) fn exception(&self, id: ExceptionId) -> TokenStream {
        let exception = self.model.exception(id);
        let name = self.names.exception(id);
        let path = self.model.exception_name(id);
        let spelled = self.model.qualified(exception.module, &exception.name);
        let docs = Docs::idl(exception.doc.as_deref())
            .then(Docs::sentence(format!(
                "The exception `{spelled}`: a servant returns it by `?` or `into()`, and a \
                 caller gets it by `RpcError::exception`."
            )))
            .then_deprecated(exception.deprecated.as_deref());
        let fields = self.fields(&path, &exception.members);
        let record = self.record(&path, name, &docs, &fields);
        let first_string = exception.members.iter().zip(&fields);
        let first_string = first_string.filter(|(member, _)| member.ty == Type::String);
        let detail = first_string.map(|(_, field)| &field.name).next();
        let detail = detail.map(|field| quote!(fn detail(&self) -> &str { &self.#field }));
        quote! {
            #record
            impl rt::Exception for #name {
                const NAME: &'static str = #path;
                #detail
            }
            impl ::std::convert::From<#name> for rt::Fault {
                fn from(exception: #name) -> Self {
                    Self::raise(&exception)
                }
            }
        }
    }

    /// A struct around the number, with a constant for each member: numbers of later
    /// versions are kept.
    pub(super) fn enumeration(&self, id: EnumId) -> TokenStream {
        let it = self.model.enum_(id);
        let names = self.names.enum_(id);
        let name = &names.name;
        let path = self.model.full_name(it.module, &it.name);
        let declared = || format!("enum {}", self.model.qualified(it.module, &it.name));
        let docs = Docs::idl(it.doc.as_deref())
            .then_declared(name, &it.name, declared)
            .then(Docs::sentence(
                "The constants are its members; a number of a later version is kept.",
            ))
            .then_deprecated(it.deprecated.as_deref())
            .attributes();
        let attributes = self.options.types.of(&path);
        let members = it.members.iter().zip(&names.members);
        let constants = members.clone().map(|(member, constant)| {
            let declared = || {
                format!(
                    "{}::{}",
                    self.model.qualified(it.module, &it.name),
                    member.name
                )
            };
            let docs = Docs::idl(member.doc.as_deref())
                .then_declared(constant, &member.name, declared)
                .attributes();
            let deprecated = deprecated(member.deprecated.as_deref());
            let number = Literal::i32_unsuffixed(member.number);
            quote!(#docs #deprecated pub const #constant: Self = Self(#number);)
        });
        let idl_names: Vec<_> = it
            .members
            .iter()
            .map(|member| member.name.as_str())
            .collect();
        let numbers: Vec<_> = it
            .members
            .iter()
            .map(|member| Literal::i32_unsuffixed(member.number))
            .collect();
        let first = it.members.first().map_or(0, |member| member.number);
        let (derived, default) = match first {
            0 => (quote!(, Default), TokenStream::new()),
            _ => (TokenStream::new(), default_of(name, first)),
        };
        let structure = quote! {
            #docs
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash #derived)]
            #attributes
            pub struct #name(pub i32);
            impl #name {
                #(#constants)*
                /// The name in the IDL; `None` for a number of a later version.
                pub fn name(self) -> Option<&'static str> {
                    match self.0 {
                        #(#numbers => Some(#idl_names),)*
                        _ => None,
                    }
                }
                /// The member with this name in the IDL.
                pub fn from_name(name: &str) -> Option<Self> {
                    match name {
                        #(#idl_names => Some(Self(#numbers)),)*
                        _ => None,
                    }
                }
            }
            #default
            impl ::std::fmt::Debug for #name {
                fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                    rt::debug_enum(self.name(), self.0, f)
                }
            }
        };
        [structure, codec::enumeration(name)].into_iter().collect()
    }

    pub(super) fn constant_value(&self, id: ConstantId) -> TokenStream {
        let constant = self.model.constant(id);
        let name = self.names.constant(id);
        let declared = || {
            format!(
                "const {}",
                self.model.qualified(constant.module, &constant.name)
            )
        };
        let docs = Docs::idl(constant.doc.as_deref())
            .then_declared(name, &constant.name, declared)
            .attributes();
        let ty = match constant.ty {
            Type::String => quote!(&str),
            ty => self.owned(ty),
        };
        let value = match &constant.value {
            ConstantValue::Bool(value) => quote!(#value),
            ConstantValue::Integer(value) => {
                let value = Literal::i64_unsuffixed(*value);
                quote!(#value)
            }
            ConstantValue::Float(value) => float(constant.ty, *value),
            ConstantValue::String(value) => quote!(#value),
        };
        quote!(#docs pub const #name: #ty = #value;)
    }

    fn field(&self, structure: &str, member: &Member, name: Ident) -> Field {
        let declared = || format!("{} {}", self.model.qualified_type(member.ty), member.name);
        Field {
            docs: Docs::idl(member.doc.as_deref())
                .then_declared(&name, &member.name, declared)
                .then_deprecated(member.deprecated.as_deref()),
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
            let element = self.model.qualified_type(sequence.element);
            let spelled = self.model.qualified(sequence.module, &sequence.name);
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
                self.model.qualified_type(dictionary.key),
                self.model.qualified_type(dictionary.value),
            );
            let spelled = self.model.qualified(dictionary.module, &dictionary.name);
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
            Type::Enum(id) => self.path(self.model.enum_(id).module, &self.names.enum_(id).name),
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

    /// How the module being written names an item of `module`.
    pub(super) fn path(&self, module: ModuleId, item: &Ident) -> TokenStream {
        if module == self.module {
            return quote!(#item);
        }
        let module = self.names.module(module);
        quote!(super::#module::#item)
    }
}

/// The attribute of what the IDL marks as deprecated.
pub(super) fn deprecated(text: Option<&str>) -> TokenStream {
    match text {
        None => TokenStream::new(),
        Some("") => quote!(#[deprecated]),
        Some(text) => quote!(#[deprecated = #text]),
    }
}

/// The default of an enum whose first member has another number than 0.
fn default_of(name: &Ident, first: i32) -> TokenStream {
    let first = Literal::i32_unsuffixed(first);
    quote! {
        impl ::std::default::Default for #name {
            fn default() -> Self {
                Self(#first)
            }
        }
    }
}

/// A finite number as the shortest literal of its type.
fn float(ty: Type, value: f64) -> TokenStream {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounds as the target type does"
    )]
    let literal = match ty {
        Type::Float => format!("{:?}", value as f32),
        _ => format!("{value:?}"),
    };
    // A number is always a valid token.
    literal.parse().unwrap_or_default()
}

/// Whether a dictionary is a list of pairs, which is the same on the wire: no map of
/// std has keys that are floating-point numbers.
fn has_pairs(dictionary: &Dictionary) -> bool {
    matches!(dictionary.key, Type::Float | Type::Double)
}
