//! The client's side of an interface: a proxy with every operation. Those of a base
//! interface are reached through `Deref`, as methods of base classes are in `web-sys`
//! and `windows-rs`.

use proc_macro2::{Delimiter, Group, Ident, Literal, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use tce_idl::model::{InterfaceId, Operation};

use super::docs::Docs;
use super::names::OperationNames;
use super::{Unit, types};

const TYPED_PROXY: &str = ". [`TypedProxy`](rt::TypedProxy) has the methods of all proxies.";

impl Unit<'_> {
    pub(super) fn proxy(&self, id: InterfaceId) -> TokenStream {
        let name = &self.names.interface(id).proxy;
        let docs = self.interface_docs(id, "Calls", TYPED_PROXY).attributes();
        let proxy = self.proxy_struct(id);
        let operations = &self.model.interface(id).operations;
        let names = &self.names.interface(id).operations;
        let constants = operations
            .iter()
            .zip(names)
            .map(|(operation, names)| self.constant(id, operation, names));
        let methods = operations
            .iter()
            .zip(names)
            .map(|(operation, names)| self.methods(id, operation, names));
        let inherited_ping = self.inherited_ping(id);
        let calls = (!operations.is_empty() || inherited_ping.is_some()).then(|| {
            let members = constants.chain(methods).chain(inherited_ping).collect();
            let members = Group::new(Delimiter::Brace, members);
            quote!(impl #name #members)
        });
        let items = [Some(docs), Some(proxy), calls];
        items.into_iter().flatten().collect()
    }

    /// The struct and its conversions: around the untyped proxy, or around the proxy of
    /// the base interface.
    fn proxy_struct(&self, id: InterfaceId) -> TokenStream {
        let name = &self.names.interface(id).proxy;
        let mut bases = self.model.lineage(id).skip(1).map(|base| {
            let proxy = &self.names.interface(base).proxy;
            self.path(self.model.interface(base).module, proxy)
        });
        let Some(base) = bases.next() else {
            return quote! {
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
            };
        };
        quote! {
            #[derive(Debug, Clone)]
            pub struct #name(#base);
            impl rt::TypedProxy for #name {
                fn from_proxy(proxy: rt::Proxy) -> Self {
                    Self(rt::TypedProxy::from_proxy(proxy))
                }
                fn as_proxy(&self) -> &rt::Proxy {
                    rt::TypedProxy::as_proxy(&self.0)
                }
            }
            impl ::std::ops::Deref for #name {
                type Target = #base;
                fn deref(&self) -> &Self::Target {
                    &self.0
                }
            }
            impl ::std::convert::From<#name> for #base {
                fn from(derived: #name) -> Self {
                    derived.0
                }
            }
            #(impl ::std::convert::From<#name> for #bases {
                fn from(derived: #name) -> Self {
                    ::std::convert::From::from(derived.0)
                }
            })*
        }
    }

    /// An operation `ping` of a base interface, which through `Deref` alone the `ping` of
    /// `TypedProxy` would hide.
    fn inherited_ping(&self, id: InterfaceId) -> Option<TokenStream> {
        let is_ping = |(_, names): &(&Operation, &OperationNames)| names.method == "ping";
        let pinging = |id: InterfaceId| {
            let operations = self.model.interface(id).operations.iter();
            operations
                .zip(&self.names.interface(id).operations)
                .find(is_ping)
        };
        if pinging(id).is_some() {
            return None;
        }
        let (operation, names) = self.model.lineage(id).skip(1).find_map(pinging)?;
        let arguments = &names.parameters;
        let types = operation.parameters.iter().map(|p| self.borrowed(p.ty));
        let parameters = arguments
            .iter()
            .zip(types)
            .map(|(name, ty)| quote!(#name: #ty));
        let returns = self.returns(operation);
        Some(quote! {
            pub fn ping(&self #(, #parameters)*) -> rt::Pending<#returns> {
                self.0.ping(#(#arguments),*)
            }
        })
    }

    fn constant(
        &self,
        id: InterfaceId,
        operation: &Operation,
        names: &OperationNames,
    ) -> TokenStream {
        let constant = &names.constant;
        let value = self.operation_value(id, operation);
        quote!(pub const #constant: rt::Operation = #value;)
    }

    /// An operation as the runtime knows it.
    pub(super) fn operation_value(&self, id: InterfaceId, operation: &Operation) -> TokenStream {
        let interface = self.model.interface(id);
        let spelled = self.model.qualified_operation(id, operation);
        let ifidx = Literal::u16_unsuffixed(interface.index);
        let opidx = Literal::u16_unsuffixed(operation.index);
        let idempotent = operation.idempotent.then(|| quote!(.idempotent()));
        quote!(rt::Operation::new(#spelled, #ifidx, #opidx) #idempotent)
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
        let proxy = match self.model.interface(id).base {
            Some(_) => quote!(rt::TypedProxy::as_proxy(self)),
            None => quote!(self.0),
        };
        let docs = self.operation_docs(id, operation, names).attributes();
        let deprecated = types::deprecated(operation.deprecated.as_deref());
        let docs_async = refer(method, "under TCE's name for calls that are awaited later.");
        let oneway = names.method_oneway.as_ref().map(|method_oneway| {
            let docs = refer(method, "oneway: done when it is sent, without an answer.");
            quote! {
                #docs
                #deprecated
                pub fn #method_oneway(&self #(, #parameters)*) -> rt::Oneway {
                    #proxy.oneway(&Self::#constant, #marshalled)
                }
            }
        });
        // A deprecated method would be reported here, too.
        let call_async = match operation.deprecated {
            Some(_) => quote!(#proxy.call(&Self::#constant, #marshalled)),
            None => quote!(self.#method(#(#arguments),*)),
        };
        quote! {
            #docs
            #deprecated
            pub fn #method(&self #(, #parameters)*) -> rt::Pending<#returns> {
                #proxy.call(&Self::#constant, #marshalled)
            }
            #docs_async
            #deprecated
            pub fn #method_async(&self #(, #parameters)*) -> rt::Pending<#returns> {
                #call_async
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
