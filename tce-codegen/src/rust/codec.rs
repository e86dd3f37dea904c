//! The codec of a struct: its members in declared order, nothing between.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::types::Field;

pub(super) fn codec(name: &Ident, fields: &[Field]) -> TokenStream {
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let types = fields.iter().map(|field| &field.ty);
    quote! {
        impl rt::Marshal for #name {
            fn marshal(&self, out: &mut rt::Writer<'_>) {
                #(rt::Marshal::marshal(&self.#names, out);)*
            }
        }
        impl rt::Unmarshal for #name {
            const MIN_SIZE: usize = #(<#types as rt::Unmarshal>::MIN_SIZE)+*;
            fn unmarshal(input: &mut rt::Reader<'_>) -> Result<Self, rt::DecodeError> {
                Ok(Self { #(#names: rt::Unmarshal::unmarshal(input)?),* })
            }
        }
    }
}
