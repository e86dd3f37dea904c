//! The codecs of structs and enums: the members of a struct in declared order, without
//! anything between them.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::docs::Docs;

/// A member of a generated struct.
pub(super) struct Field {
    pub(super) docs: Docs,
    pub(super) attributes: TokenStream,
    pub(super) name: Ident,
    pub(super) ty: TokenStream,
}

/// An impl of a trait has its methods in scope: nothing is imported for them.
pub(super) fn codec(name: &Ident, fields: &[Field]) -> TokenStream {
    if fields.is_empty() {
        return empty(name);
    }
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    quote! {
        impl rt::Marshal for #name {
            fn marshal(&self, out: &mut rt::Writer<'_>) {
                #(self.#names.marshal(out);)*
            }
        }
        impl rt::Unmarshal for #name {
            const MIN_SIZE: usize = #(#types::MIN_SIZE)+*;
            fn unmarshal(input: &mut rt::Reader<'_>) -> Result<Self, rt::DecodeError> {
                Ok(Self { #(#names: #types::unmarshal(input)?,)* })
            }
        }
    }
}

/// An exception may have no members.
fn empty(name: &Ident) -> TokenStream {
    quote! {
        impl rt::Marshal for #name {
            fn marshal(&self, _: &mut rt::Writer<'_>) {}
        }
        impl rt::Unmarshal for #name {
            const MIN_SIZE: usize = 0;
            fn unmarshal(_: &mut rt::Reader<'_>) -> Result<Self, rt::DecodeError> {
                Ok(Self {})
            }
        }
    }
}

/// An enum is its number, an `int`.
pub(super) fn enumeration(name: &Ident) -> TokenStream {
    quote! {
        impl rt::Marshal for #name {
            fn marshal(&self, out: &mut rt::Writer<'_>) {
                self.0.marshal(out);
            }
        }
        impl rt::Unmarshal for #name {
            const MIN_SIZE: usize = i32::MIN_SIZE;
            fn unmarshal(input: &mut rt::Reader<'_>) -> Result<Self, rt::DecodeError> {
                Ok(Self(i32::unmarshal(input)?))
            }
        }
    }
}
