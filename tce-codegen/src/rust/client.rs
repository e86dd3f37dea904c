//! The trait of an interface's operations as a caller sees them, which code takes that is
//! tested with a double in place of a proxy.
//!
//! The trait has the bodies: so the proxy implements it by one method, and a double has
//! only the operations that its test needs.

use proc_macro2::TokenStream;
use quote::quote;
use tce_idl::model::{InterfaceId, Operation};

use super::Unit;
use super::docs::Docs;
use super::names::OperationNames;

impl Unit<'_> {
    pub(super) fn client(&self, id: InterfaceId) -> TokenStream {
        let interface = self.model.interface(id);
        let (name, proxy) = (self.names.client(id), &self.names.interface(id).proxy);
        let docs = Docs::sentence(format!(
            "The operations of [`{proxy}`], for code whose tests replace it by a double."
        ))
        .attributes();
        let bound = match interface.base {
            Some(base) => self.client_path(base),
            None => quote!(Send + Sync),
        };
        let fallback = interface.base.is_none().then(|| {
            quote! {
                /// The proxy for the operations that an implementation leaves out. Without
                /// one they fail.
                fn fallback_proxy(&self) -> Option<&rt::Proxy> {
                    None
                }
            }
        });
        let operations = interface.operations.iter();
        let methods = operations
            .zip(&self.names.interface(id).operations)
            .map(|(operation, names)| self.client_methods(id, operation, names));
        let implementations = self.client_implementations(id);
        quote! {
            #docs
            pub trait #name: #bound {
                #fallback
                #(#methods)*
            }
            #implementations
        }
    }

    fn client_methods(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
    ) -> TokenStream {
        let proxy = &self.names.interface(id).proxy;
        let (method, constant) = (&names.method, &names.constant);
        let types = operation.parameters.iter().map(|p| self.borrowed(p.ty));
        let arguments = names.parameters.iter().zip(types);
        let parameters: Vec<_> = arguments.map(|(name, ty)| quote!(#name: #ty)).collect();
        let marshalled = super::tuple(&names.parameters);
        let returns = self.returns(operation);
        let oneway = names.method_oneway.as_ref().map(|method| {
            quote! {
                fn #method(&self #(, #parameters)*) -> rt::Oneway {
                    rt::oneway(self.fallback_proxy(), &#proxy::#constant, #marshalled)
                }
            }
        });
        quote! {
            fn #method(&self #(, #parameters)*) -> rt::Pending<#returns> {
                rt::call(self.fallback_proxy(), &#proxy::#constant, #marshalled)
            }
            #oneway
        }
    }

    /// The proxy is a client of its interface and of all bases.
    fn client_implementations(&self, id: InterfaceId) -> TokenStream {
        let proxy = &self.names.interface(id).proxy;
        let implementations = self.model.lineage(id).map(|implemented| {
            let client = self.client_path(implemented);
            let is_root = self.model.interface(implemented).base.is_none();
            let fallback = is_root.then(|| {
                quote! {
                    fn fallback_proxy(&self) -> Option<&rt::Proxy> {
                        Some(rt::TypedProxy::as_proxy(self))
                    }
                }
            });
            quote!(impl #client for #proxy { #fallback })
        });
        implementations.collect()
    }

    fn client_path(&self, id: InterfaceId) -> TokenStream {
        self.path(self.model.interface(id).module, self.names.client(id))
    }
}
