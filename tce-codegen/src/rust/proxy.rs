//! The client's side of an interface: a proxy with every operation, the
//! inherited ones too.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use tce_idl::model::{InterfaceId, Operation};

use super::Unit;
use super::docs::Docs;
use super::names::OperationNames;

const TYPED_PROXY: &str =
    "[`TypedProxy`](rt::TypedProxy) connects it, and sets the timeout and the extra of its calls.";

impl Unit<'_> {
    pub(super) fn proxy(&self, id: InterfaceId) -> TokenStream {
        let name = &self.names.interface(id).proxy;
        let docs = self
            .interface_docs(id, "Calls")
            .then(Docs::sentence(TYPED_PROXY))
            .attributes();
        let bases = self.model.lineage(id).skip(1);
        let upcasts = bases.map(|base| self.upcast(name, base));
        let operations: Vec<_> = self
            .model
            .lineage(id)
            .flat_map(|id| {
                let operations = &self.model.interface(id).operations;
                let names = &self.names.interface(id).operations;
                operations
                    .iter()
                    .zip(names)
                    .map(move |(operation, names)| (id, operation, names))
            })
            .collect();
        let constants = operations
            .iter()
            .map(|(id, operation, names)| self.constant(*id, operation, names));
        let methods = operations
            .iter()
            .map(|(id, operation, names)| self.methods(*id, operation, names));
        let calls = (!operations.is_empty()).then(|| {
            quote!(impl #name {
                #(#constants)*
                #(#methods)*
            })
        });
        quote! {
            #docs
            #[derive(Debug, Clone)]
            pub struct #name(rt::Proxy);
            impl rt::TypedProxy for #name {
                fn from_proxy(proxy: rt::Proxy) -> Self {
                    Self(proxy)
                }
                fn as_proxy(&self) -> &rt::Proxy {
                    &self.0
                }
            }
            #(#upcasts)*
            #calls
        }
    }

    fn upcast(&self, derived: &Ident, base: InterfaceId) -> TokenStream {
        let proxy = &self.names.interface(base).proxy;
        let base = self.path(self.model.interface(base).module, proxy);
        quote! {
            impl ::std::convert::From<#derived> for #base {
                fn from(derived: #derived) -> Self {
                    rt::TypedProxy::from_proxy(derived.0)
                }
            }
        }
    }

    fn constant(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
    ) -> TokenStream {
        let interface = self.model.interface(id);
        let constant = &names.constant;
        let spelled = self.spelled_operation(id, operation);
        let ifidx = Literal::u16_unsuffixed(interface.index);
        let opidx = Literal::u16_unsuffixed(operation.index);
        quote!(const #constant: rt::Operation = rt::Operation::new(#spelled, #ifidx, #opidx);)
    }

    fn methods(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
    ) -> TokenStream {
        let (method, method_async, constant) =
            (&names.method, &names.method_async, &names.constant);
        let arguments = &names.parameters;
        let types = operation.parameters.iter().map(|p| self.borrowed(p.ty));
        let parameters: Vec<_> = arguments
            .iter()
            .zip(types)
            .map(|(name, ty)| quote!(#name: #ty))
            .collect();
        let marshalled = super::tuple(arguments);
        let returns = self.returns(operation);
        let docs = self.operation_docs(id, operation).attributes();
        let docs_async = refer(method, "under TCE's name for calls that are awaited later.");
        let oneway = names.method_oneway.as_ref().map(|method_oneway| {
            let docs = refer(method, "oneway: done when it is sent, without an answer.");
            quote! {
                #docs
                pub async fn #method_oneway(&self, #(#parameters),*) -> Result<(), rt::RpcError> {
                    self.0.oneway(&Self::#constant, #marshalled).await
                }
            }
        });
        quote! {
            #docs
            pub fn #method(&self, #(#parameters),*) -> rt::Pending<#returns> {
                self.0.call(&Self::#constant, #marshalled)
            }
            #docs_async
            pub fn #method_async(&self, #(#parameters),*) -> rt::Pending<#returns> {
                self.#method(#(#arguments),*)
            }
            #oneway
        }
    }
}

/// A sentence on how a method differs from `method`.
fn refer(method: &Ident, difference: &str) -> TokenStream {
    let method = method.unraw();
    Docs::sentence(format!("[`{method}`](Self::{method}) {difference}")).attributes()
}
