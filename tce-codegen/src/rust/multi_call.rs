//! What calls an interface at all members of a topic: each operation as a method that
//! returns a `MultiCall`, those of base interfaces too.

use proc_macro2::{Delimiter, Group, TokenStream};
use quote::quote;
use tce_idl::model::{InterfaceId, Operation};

use super::names::OperationNames;
use super::{Unit, types};

const TYPED_MULTI: &str = ", at all members of a topic. [`TypedMulti`](rt::TypedMulti) has the methods of all such types.";

impl Unit<'_> {
    pub(super) fn multi_call(&self, id: InterfaceId) -> TokenStream {
        let name = self.names.multi_call(id);
        let docs = self.interface_docs(id, "Calls", TYPED_MULTI).attributes();
        let mut lineage: Vec<_> = self.model.lineage(id).collect();
        lineage.reverse();
        let methods: Vec<_> = lineage
            .into_iter()
            .flat_map(|declaring| {
                let operations = &self.model.interface(declaring).operations;
                operations
                    .iter()
                    .zip(&self.names.interface(declaring).operations)
                    .map(move |(operation, names)| self.multi_method(declaring, operation, names))
            })
            .collect();
        let calls = (!methods.is_empty()).then(|| {
            let members = Group::new(Delimiter::Brace, methods.into_iter().collect());
            quote!(impl #name #members)
        });
        quote! {
            #docs
            #[derive(Debug, Clone)]
            pub struct #name(rt::MultiProxy);
            impl rt::TypedMulti for #name {
                fn from_multi(proxy: rt::MultiProxy) -> Self {
                    Self(proxy)
                }
                fn as_multi(&self) -> &rt::MultiProxy {
                    &self.0
                }
            }
            #calls
        }
    }

    fn multi_method(
        &self,
        declaring: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
    ) -> TokenStream {
        let (method, constant) = (&names.method, &names.constant);
        let module = self.model.interface(declaring).module;
        let proxy = self.path(module, &self.names.interface(declaring).proxy);
        let types = operation.parameters.iter().map(|p| self.borrowed(p.ty));
        let parameters = names
            .parameters
            .iter()
            .zip(types)
            .map(|(name, ty)| quote!(#name: #ty));
        let marshalled = super::tuple(&names.parameters);
        let returns = self.returns(operation);
        let docs = self
            .operation_docs(declaring, operation, names)
            .attributes();
        let deprecated = types::deprecated(operation.deprecated.as_deref());
        quote! {
            #docs
            #deprecated
            pub fn #method(&self #(, #parameters)*) -> rt::MultiCall<#returns> {
                self.0.call(&#proxy::#constant, #marshalled)
            }
        }
    }
}
