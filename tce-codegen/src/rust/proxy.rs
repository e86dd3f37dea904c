//! The client's side of an interface: a proxy with every operation, the
//! inherited ones too.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use tce_idl::model::{InterfaceId, Operation};

use super::Unit;
use super::docs::Docs;
use super::names::OperationNames;

const ERRORS: &str = "A call that fails says in its `RpcError` on which side, for which peer and \
    operation, and whether a retry can help.";

impl Unit<'_> {
    pub(super) fn proxy(&self, id: InterfaceId) -> TokenStream {
        let name = &self.names.interface(id).proxy;
        let docs = self
            .interface_docs(id, "Calls")
            .then(Docs::sentence("# Errors"))
            .then(Docs::sentence(ERRORS))
            .attributes();
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
        let facets = facets();
        quote! {
            #docs
            #[derive(Debug, Clone)]
            pub struct #name(rt::Proxy);
            impl #name {
                #(#constants)*
                #facets
                #(#methods)*
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
        let call = self.proxy_call(id, operation, names);
        let Call {
            parameters,
            arguments,
            marshalled,
        } = &call;
        let returns = self.returns(operation);
        let docs = self.operation_docs(id, operation).attributes();
        let docs_async = refer(method, "sent now: await the answer when it is needed.");
        let oneway = names.method_oneway.as_ref().map(|method_oneway| {
            let docs = refer(method, "without an answer: done when it is sent.");
            quote! {
                #docs
                pub async fn #method_oneway(&self, #(#parameters),*) -> Result<(), rt::RpcError> {
                    self.0.oneway(&Self::#constant, #marshalled).await
                }
            }
        });
        quote! {
            #docs
            pub async fn #method(&self, #(#parameters),*) -> Result<#returns, rt::RpcError> {
                self.#method_async(#(#arguments),*).await
            }
            #docs_async
            pub fn #method_async(&self, #(#parameters),*) -> rt::Pending<#returns> {
                self.0.call(&Self::#constant, #marshalled)
            }
            #oneway
        }
    }

    fn proxy_call(&self, id: InterfaceId, operation: &Operation, names: &OperationNames) -> Call {
        if let Some(parameters) = &names.parameters_struct {
            let ty = self.path(self.model.interface(id).module, parameters);
            return Call {
                parameters: vec![quote!(params: &#ty)],
                arguments: vec![quote!(params)],
                marshalled: quote!(params),
            };
        }
        let arguments = &names.parameters;
        let parameters = arguments
            .iter()
            .zip(&operation.parameters)
            .map(|(name, parameter)| {
                let ty = self.borrowed(parameter.ty);
                quote!(#name: #ty)
            });
        Call {
            parameters: parameters.collect(),
            arguments: arguments.iter().map(|name| quote!(#name)).collect(),
            marshalled: quote!((#(#arguments,)*)),
        }
    }
}

/// How a proxy's methods take their parameters and hand them on.
struct Call {
    parameters: Vec<TokenStream>,
    arguments: Vec<TokenStream>,
    marshalled: TokenStream,
}

/// A sentence on what a method does other than its plain sibling.
fn refer(method: &Ident, what: &str) -> TokenStream {
    let method = method.unraw();
    Docs::sentence(format!("[`{method}`](Self::{method}), {what}")).attributes()
}

/// What every proxy has, whatever its interface.
fn facets() -> TokenStream {
    quote! {
        /// A proxy on a connection of its own to `endpoint`, for example `tcp://127.0.0.1:12002`.
        pub async fn connect(communicator: &rt::Communicator, endpoint: &str) -> Result<Self, rt::RpcError> {
            rt::Proxy::connect(communicator, endpoint).await.map(Self)
        }
        /// A proxy on a connection that is there already.
        pub fn new(connection: &rt::Connection) -> Self {
            Self(rt::Proxy::new(connection))
        }
        /// In a servant: a proxy to whoever called.
        pub fn to_caller(ctx: &rt::Context) -> Self {
            Self(rt::Proxy::to_caller(ctx))
        }
        /// In a server: a proxy to a user, by a connection to the gateway where that user is.
        pub fn to_user(gateway: &rt::Connection, user: &str) -> Self {
            Self(rt::Proxy::to_user(gateway, user))
        }
        /// The connection that carries the calls.
        pub fn connection(&self) -> &rt::Connection {
            self.0.connection()
        }
        /// The same proxy with another time limit for each of its calls.
        #[must_use]
        pub fn with_timeout(&self, timeout: ::std::time::Duration) -> Self {
            Self(self.0.with_timeout(timeout))
        }
        /// The same proxy whose calls over a message queue are dropped unprocessed when no
        /// servant has taken them after `linger`, in whole seconds, rounded up. Over a
        /// stream it does nothing.
        #[must_use]
        pub fn with_linger(&self, linger: ::std::time::Duration) -> Self {
            Self(self.0.with_linger(linger))
        }
        /// The same proxy with entries for the extra of each of its calls.
        #[must_use]
        pub fn with_extra<K: AsRef<str>, V: AsRef<str>>(&self, extra: impl IntoIterator<Item = (K, V)>) -> Self {
            Self(self.0.with_extra(extra))
        }
    }
}
