//! The server's side of an interface: a trait, and what serves it.

use std::collections::BTreeSet;

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use tce_idl::model::{InterfaceId, Model};

use super::Unit;
use super::docs::Docs;

const SERVES: &str = "Implement each operation as an `async fn` to serve";

/// A text as a raw string literal, so that it can be read; with escapes if it has
/// a character that rustc or clippy refuses in a literal, or that is not visible.
fn literal(text: &str) -> TokenStream {
    let is_plain = |c: char| {
        c.is_ascii_graphic() || matches!(c, ' ' | '\n' | '\t') || c.escape_debug().eq([c])
    };
    if !text.chars().all(is_plain) {
        let escaped: String = text.chars().flat_map(escaped).collect();
        let literal = format!("\"{escaped}\"");
        return literal.parse().unwrap_or_else(|_| quote!(#text));
    }
    let mut hashes = "#".to_owned();
    while text.contains(&format!("\"{hashes}")) {
        hashes.push('#');
    }
    let literal = format!("r{hashes}\"{text}\"{hashes}");
    literal.parse().unwrap_or_else(|_| quote!(#text))
}

/// A character in a string literal. A line end is followed by one in the code.
fn escaped(c: char) -> Vec<char> {
    match c {
        '\n' => "\\n\\\n".chars().collect(),
        '\t' => "\\t".chars().collect(),
        _ if c.is_alphanumeric() => vec![c],
        _ => c.escape_debug().collect(),
    }
}

impl Unit<'_> {
    /// The trait and the dispatch of an interface, and the servant struct unless
    /// the IDL switches it off. A base of an interface with a servant has the trait
    /// in any case, since the derived trait needs it.
    pub(super) fn skeleton(&self, id: InterfaceId) -> TokenStream {
        let is_wanted = self
            .model
            .interface(id)
            .has_skeleton(super::LANGUAGE.name());
        if !is_wanted && !is_base_of_wanted(self.model, id) {
            return TokenStream::new();
        }
        let servant_trait = self.servant_trait(id);
        let servant = is_wanted.then(|| self.servant(id));
        let dispatch = self.dispatch(id);
        let items = [Some(servant_trait), servant, Some(dispatch)];
        items.into_iter().flatten().collect()
    }

    fn servant_trait(&self, id: InterfaceId) -> TokenStream {
        let interface = self.model.interface(id);
        let names = self.names.interface(id);
        let docs = self.interface_docs(id, SERVES, ".").attributes();
        let name = &names.servant_trait;
        let bounds = match interface.base {
            Some(base) => {
                let names = self.names.interface(base);
                self.path(self.model.interface(base).module, &names.servant_trait)
            }
            None => quote!(Send + Sync + 'static),
        };
        let methods =
            interface
                .operations
                .iter()
                .zip(&names.operations)
                .map(|(operation, names)| {
                    let method = &names.method;
                    let docs = self.operation_docs(id, operation, names).attributes();
                    let parameters = &names.parameters;
                    let types = operation.parameters.iter().map(|p| self.owned(p.ty));
                    let returns = self.returns(operation);
                    quote! {
                        #docs
                        fn #method(&self, #(#parameters: #types,)* ctx: &rt::Context)
                        -> impl ::std::future::Future<Output = Result<#returns, rt::Fault>> + Send;
                    }
                });
        quote!(#docs pub trait #name: #bounds { #(#methods)* })
    }

    fn servant(&self, id: InterfaceId) -> TokenStream {
        let names = self.names.interface(id);
        let (name, servant_trait) = (&names.servant, &names.servant_trait);
        // A derive may have the trait's name: `trait@` tells them apart.
        let docs = Docs::sentence(format!(
            "Serves an implementation of [`{servant_trait}`](trait@{servant_trait})."
        ))
        .attributes();
        let (indices, dispatches) = self.dispatches(id);
        let idl = literal(&self.excerpts.of(id));
        let operations = self.served_operations(id);
        quote! {
            #docs
            #[derive(Debug)]
            pub struct #name<T>(::std::sync::Arc<T>);
            impl<T: #servant_trait> #name<T> {
                /// Serves an implementation that it owns.
                pub fn new(servant: T) -> Self {
                    Self::from_arc(::std::sync::Arc::new(servant))
                }
                /// Serves an implementation that the program shares.
                pub fn from_arc(servant: ::std::sync::Arc<T>) -> Self {
                    Self(servant)
                }
            }
            impl<T: #servant_trait> rt::Servant for #name<T> {
                fn interfaces(&self) -> &[u16] {
                    &[#(#indices),*]
                }
                fn idl(&self) -> Option<&str> {
                    Some(#idl)
                }
                fn operation(&self, ifidx: u16, opidx: u16) -> Option<rt::Operation> {
                    let operation = match (ifidx, opidx) {
                        #(#operations,)*
                        _ => return None,
                    };
                    Some(operation)
                }
                fn dispatch(&self, call: rt::IncomingCall<'_>) {
                    match call.ifidx() {
                        #(#indices => #dispatches(&self.0, call),)*
                        _ => call.unknown_operation(),
                    }
                }
            }
        }
    }

    /// An interface and those of its bases whose calls a servant answers. Two modules may
    /// use one index: the derived interface hides its base.
    fn served(&self, id: InterfaceId) -> impl Iterator<Item = InterfaceId> {
        let mut served = BTreeSet::new();
        let lineage = self.model.lineage(id);
        lineage.filter(move |id| served.insert(self.model.interface(*id).index))
    }

    /// The interface indices that a servant answers, and the dispatch function of each.
    fn dispatches(&self, id: InterfaceId) -> (Vec<Literal>, Vec<TokenStream>) {
        self.served(id)
            .map(|id| (self.model.interface(id), &self.names.interface(id).dispatch))
            .map(|(interface, dispatch)| {
                let index = Literal::u16_unsuffixed(interface.index);
                (index, self.path(interface.module, dispatch))
            })
            .unzip()
    }

    /// The operations that a servant answers, as arms of a match.
    fn served_operations(&self, id: InterfaceId) -> Vec<TokenStream> {
        self.served(id)
            .flat_map(|id| {
                let interface = self.model.interface(id);
                interface.operations.iter().map(move |operation| {
                    let ifidx = Literal::u16_unsuffixed(interface.index);
                    let opidx = Literal::u16_unsuffixed(operation.index);
                    let value = self.operation_value(id, operation);
                    quote!((#ifidx, #opidx) => #value)
                })
            })
            .collect()
    }

    fn dispatch(&self, id: InterfaceId) -> TokenStream {
        let names = self.names.interface(id);
        let (name, servant_trait) = (&names.dispatch, &names.servant_trait);
        let operations = &self.model.interface(id).operations;
        let arms = operations
            .iter()
            .zip(&names.operations)
            .map(|(operation, names)| {
                let index = Literal::u16_unsuffixed(operation.index);
                let method = &names.method;
                let parameters = &names.parameters;
                let pattern = super::tuple(parameters);
                quote! {
                    #index => {
                        call.run(servant, |servant, #pattern, ctx| async move {
                            let result = T::#method(&servant, #(#parameters,)* &ctx).await;
                            (ctx, result)
                        });
                    }
                }
            });
        quote! {
            pub(super) fn #name<T: #servant_trait>(servant: &::std::sync::Arc<T>, call: rt::IncomingCall<'_>) {
                match call.opidx() {
                    #(#arms)*
                    _ => call.unknown_operation(),
                }
            }
        }
    }
}

/// Whether an interface with a servant extends this one, directly or not.
fn is_base_of_wanted(model: &Model, id: InterfaceId) -> bool {
    (0..)
        .map(InterfaceId)
        .zip(&model.interfaces)
        .filter(|(_, interface)| interface.has_skeleton(super::LANGUAGE.name()))
        .any(|(wanted, _)| model.lineage(wanted).any(|base| base == id))
}
