//! The client of an interface's tasks, and how its results are read from JSON. Generated code
//! says `tasks` for `tce_tasks::codegen`, through which alone it uses that crate.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use tce_idl::model::{EnumId, InterfaceId, Operation, StructId};

use super::docs::Docs;
use super::{Unit, names, types};

impl Unit<'_> {
    /// A struct with a method for each operation, those of bases included.
    pub(super) fn task_client(&self, id: InterfaceId) -> TokenStream {
        let interface = self.model.interface(id);
        let full_name = self.model.full_name(interface.module, &interface.name);
        let group = interface.tasks.as_ref().unwrap_or(&full_name);
        let names = self.names.task_client(id);
        let name = &names.name;
        let part = "Sends as tasks the operations of";
        let docs = self.interface_docs(id, part, ".").attributes();
        let new_docs =
            Docs::sentence(format!("Sends to the group `{group}` of a queue.")).attributes();
        let mut lineage: Vec<_> = self.model.lineage(id).collect();
        lineage.reverse();
        let methods = lineage
            .into_iter()
            .zip(&names.methods)
            .map(|(base, methods)| {
                let operations = &self.model.interface(base).operations;
                let own = &self.names.interface(base).operations;
                let operations = operations.iter().zip(own).zip(methods);
                let methods = operations.map(|((operation, own), method)| {
                    let docs = self.operation_docs(base, operation, own).attributes();
                    let full_name = format!("{full_name}.{}", operation.name);
                    let task = self.task(operation, &own.parameters, &method.call, &full_name);
                    let step = self.step(operation, method, &full_name);
                    quote!(#docs #task #step)
                });
                methods.collect::<TokenStream>()
            });
        quote! {
            #docs
            #[derive(Debug, Clone)]
            pub struct #name(tasks::TaskSender);
            impl #name {
                #new_docs
                pub fn new(queue: &tasks::Tasks) -> Self {
                    Self(tasks::TaskSender::new(queue, #group))
                }
                /// The same for another group.
                pub fn in_group(&self, group: impl ::std::convert::Into<String>) -> Self {
                    Self(self.0.in_group(group))
                }
                #(#methods)*
            }
        }
    }

    fn task(
        &self,
        operation: &Operation,
        arguments: &[proc_macro2::Ident],
        method: &proc_macro2::Ident,
        full_name: &str,
    ) -> TokenStream {
        let deprecated = types::deprecated(operation.deprecated.as_deref());
        let types = operation.parameters.iter().map(|p| self.borrowed(p.ty));
        let parameters = arguments
            .iter()
            .zip(types)
            .map(|(name, ty)| quote!(#name: #ty));
        let returns = self.returns(operation);
        let marshalled = super::tuple(arguments);
        let layout = self.model.layout(&operation.parameters, operation.returns);
        quote! {
            #deprecated
            pub fn #method(&self #(, #parameters)*) -> tasks::TaskCall<#returns> {
                self.0.call(#full_name, #layout, #marshalled)
            }
        }
    }

    /// The operation with the result of the step before; nothing if it has no parameters, or more
    /// than a tuple.
    fn step(
        &self,
        operation: &Operation,
        methods: &names::TaskMethods,
        full_name: &str,
    ) -> Option<TokenStream> {
        if operation.parameters.is_empty() || operation.parameters.len() > super::MAX_TUPLE {
            return None;
        }
        let deprecated = types::deprecated(operation.deprecated.as_deref());
        let method = &methods.step;
        let docs = Docs::sentence(format!(
            "[`{0}`](Self::{0}) as a further step of a chain: see `TaskCall::then`.",
            methods.call.unraw()
        ));
        let docs = docs.attributes();
        let arguments = operation.parameters.iter().map(|p| self.owned(p.ty));
        let arguments = match operation.parameters.as_slice() {
            [_] => quote!((#(#arguments,)*)),
            _ => quote!((#(#arguments),*)),
        };
        let returns = self.returns(operation);
        let layout = self.model.layout(&operation.parameters, operation.returns);
        Some(quote! {
            #docs
            #deprecated
            pub fn #method(&self) -> tasks::TaskStep<#arguments, #returns> {
                self.0.step(#full_name, #layout)
            }
        })
    }

    /// That the members of a struct can be the arguments of a further step.
    fn step_arguments(&self, id: StructId) -> Option<TokenStream> {
        let structure = self.model.struct_(id);
        // The only member of a struct is not told apart from the struct.
        if !(2..=super::MAX_TUPLE).contains(&structure.members.len()) {
            return None;
        }
        let name = self.names.struct_(id);
        let members = structure.members.iter().map(|member| self.owned(member.ty));
        Some(quote!(impl tasks::StepArguments<(#(#members),*)> for #name {}))
    }

    pub(super) fn struct_from_json(&self, id: StructId) -> TokenStream {
        let structure = self.model.struct_(id);
        let name = self.names.struct_(id);
        let idl_names = structure.members.iter().map(|member| member.name.as_str());
        let fields = names::members(idl_names.clone());
        let step_arguments = self.step_arguments(id);
        quote! {
            impl tasks::FromJson for #name {
                fn from_json(value: &tasks::Value) -> Result<Self, tasks::FromJsonError> {
                    let members = tasks::Members::of(value)?;
                    Ok(Self { #(#fields: members.get(#idl_names)?,)* })
                }
            }
            #step_arguments
        }
    }

    pub(super) fn enum_from_json(&self, id: EnumId) -> TokenStream {
        let name = &self.names.enum_(id).name;
        quote! {
            impl tasks::FromJson for #name {
                fn from_json(value: &tasks::Value) -> Result<Self, tasks::FromJsonError> {
                    tasks::enum_from_json(value, Self::from_name, Self)
                }
            }
        }
    }
}
