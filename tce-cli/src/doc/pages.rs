//! The contents of the pages: start page, modules, wire index.

use maud::{Markup, html};
use tce_idl::model::{
    Constant, ConstantValue, Element, Enum, ExceptionId, Interface, InterfaceId, Member, Module,
    ModuleId, Operation, Type,
};

use super::{
    links::{Links, anchor},
    prose,
    usage::{UsageIndex, UserLink},
};
use crate::console::Count;

/// The start page: every module with its interfaces and types.
pub(super) fn start(links: &Links<'_>, title: &str) -> Markup {
    html! {
        h1 { (title) }
        @for (id, it) in links.modules() {
            section {
                h2 { "module " a href=(links.page(id)) { (it.name) } }
                (prose::summary(it.doc.as_deref()))
                (interface_table(links, it))
                (type_list(links, it))
            }
        }
        @if links.0.modules.is_empty() {
            p { "The IDL declares no modules." }
        }
    }
}

fn interface_table(links: &Links<'_>, module: &Module) -> Markup {
    let interfaces = module.elements.iter().filter_map(|element| match element {
        Element::Interface(id) => Some((*id, links.0.interface(*id))),
        _ => None,
    });
    let interfaces: Vec<_> = interfaces.collect();
    html! {
        @if !interfaces.is_empty() {
            table {
                thead { tr { th { "Interface" } th { "Index" } th { "Operations" } th { "" } } }
                tbody {
                    @for (id, it) in interfaces {
                        tr {
                            td { (links.interface(id, it.module)) }
                            td.number { (it.index) }
                            td.number { (it.operations.len()) }
                            td { (prose::summary(it.doc.as_deref().or(it.comment.as_deref()))) }
                        }
                    }
                }
            }
        }
    }
}

fn type_list(links: &Links<'_>, module: &Module) -> Markup {
    let types: Vec<_> = module
        .elements
        .iter()
        .filter_map(Links::value_type)
        .collect();
    html! {
        @if !types.is_empty() {
            p {
                (Count(types.len(), "type")) ": "
                @for (number, ty) in types.iter().enumerate() {
                    @if number > 0 { ", " }
                    (links.own_type(*ty))
                }
            }
        }
    }
}

/// The page of a module: interfaces, then value types.
pub(super) fn module(links: &Links<'_>, users: &UsageIndex, id: ModuleId) -> Markup {
    let module = links.0.module(id);
    let is_interface = |element: &&Element| matches!(element, Element::Interface(_));
    html! {
        h1 { "module " (module.name) }
        p.where { "in " @for (number, file) in module.files.iter().enumerate() {
            @if number > 0 { ", " }
            code { (file) }
        } }
        (prose::full(module.doc.as_deref()))
        @for element in module.elements.iter().filter(is_interface) {
            @if let Element::Interface(id) = element { (interface(links, users, *id)) }
        }
        @for element in &module.elements {
            @if let Element::Exception(id) = element { (exception(links, users, *id)) }
        }
        @for ty in module.elements.iter().filter_map(Links::value_type) {
            (value_type(links, users, ty))
        }
        @for element in &module.elements {
            @if let Element::Constant(id) = element { (constant(links, links.0.constant(*id))) }
        }
    }
}

fn interface(links: &Links<'_>, users: &UsageIndex, id: InterfaceId) -> Markup {
    let it = links.0.interface(id);
    html! {
        section #(it.name) {
            h2 {
                (self_link(&it.name)) "interface " (it.name)
                @if let Some(base) = it.base { " extends " (links.interface(base, it.module)) }
                span.index { "ifidx " (it.index) }
            }
            (deprecation(it.deprecated.as_deref()))
            (prose::full(it.doc.as_deref().or(it.comment.as_deref())))
            @for operation in &it.operations { (self::operation(links, id, operation)) }
            @for base in links.0.lineage(id).skip(1) { (inherited(links, base, it.module)) }
            (used_by("Extended by", users.of_interface(id)))
        }
    }
}

fn operation(links: &Links<'_>, interface: InterfaceId, it: &Operation) -> Markup {
    let home = links.0.interface(interface);
    html! {
        article #(anchor(&home.name, &it.name)) {
            h3 {
                code { (links.signature(interface, it, home.module)) }
                span.index { "ifidx " (home.index) ", opidx " (it.index) }
                span.modes {
                    (modes(it))
                    @if it.idempotent { ", idempotent" }
                }
            }
            (deprecation(it.deprecated.as_deref()))
            (prose::full(it.doc.as_deref().or(it.comment.as_deref())))
            (parameter_table(it))
        }
    }
}

/// The documentation of parameters, where there is any.
fn parameter_table(it: &Operation) -> Markup {
    let documented: Vec<_> = it.parameters.iter().filter(|it| it.doc.is_some()).collect();
    html! {
        @if !documented.is_empty() {
            table { tbody { @for parameter in documented {
                tr {
                    td { code { (parameter.name) } }
                    td { (prose::full(parameter.doc.as_deref())) }
                }
            } } }
        }
    }
}

/// Says that a declaration is deprecated.
fn deprecation(text: Option<&str>) -> Markup {
    html! {
        @if let Some(text) = text {
            p {
                strong { "Deprecated" }
                @if !text.is_empty() { ": " (text) }
            }
        }
    }
}

/// The modes in which an operation can be called.
fn modes(operation: &Operation) -> &'static str {
    match operation.returns {
        None => "twoway, async, oneway",
        Some(_) => "twoway, async",
    }
}

/// The operations of a base interface, with types as module `from` writes them.
fn inherited(links: &Links<'_>, base: InterfaceId, from: ModuleId) -> Markup {
    let it = links.0.interface(base);
    html! {
        h3 { "Inherited from " (links.interface(base, from)) }
        ul.inherited {
            @for operation in &it.operations {
                li {
                    code { (links.signature(base, operation, from)) }
                    span.index { "ifidx " (it.index) ", opidx " (operation.index) }
                }
            }
        }
    }
}

fn value_type(links: &Links<'_>, users: &UsageIndex, ty: Type) -> Markup {
    match ty {
        Type::Struct(id) => {
            let it = links.0.struct_(id);
            let title = html! { "struct " (it.name) };
            let members = html! {
                (deprecation(it.deprecated.as_deref()))
                (member_table(links, &it.name, &it.members, it.module))
            };
            declared(
                &it.name,
                &title,
                it.doc.as_deref(),
                &members,
                users.of_type(ty),
            )
        }
        Type::Enum(id) => {
            let it = links.0.enum_(id);
            let title = html! { "enum " (it.name) };
            declared(
                &it.name,
                &title,
                it.doc.as_deref(),
                &enum_table(it),
                users.of_type(ty),
            )
        }
        Type::Sequence(id) => {
            let it = links.0.sequence(id);
            let element = links.ty(Some(it.element), it.module);
            let title = html! { "sequence<" (element) "> " (it.name) };
            declared(
                &it.name,
                &title,
                it.doc.as_deref(),
                &html! {},
                users.of_type(ty),
            )
        }
        Type::Dictionary(id) => {
            let it = links.0.dictionary(id);
            let (key, value) = (
                links.ty(Some(it.key), it.module),
                links.ty(Some(it.value), it.module),
            );
            let title = html! { "dictionary<" (key) ", " (value) "> " (it.name) };
            declared(
                &it.name,
                &title,
                it.doc.as_deref(),
                &html! {},
                users.of_type(ty),
            )
        }
        _ => html! {},
    }
}

/// The members of a struct or an exception.
fn member_table(links: &Links<'_>, owner: &str, members: &[Member], module: ModuleId) -> Markup {
    html! {
        table { tbody { @for member in members {
            tr #(anchor(owner, &member.name)) {
                td { code { (links.ty(Some(member.ty), module)) " " b { (member.name) } } }
                td {
                    (deprecation(member.deprecated.as_deref()))
                    (prose::full(member.doc.as_deref()))
                }
            }
        } } }
    }
}

fn enum_table(it: &Enum) -> Markup {
    html! {
        (deprecation(it.deprecated.as_deref()))
        table { tbody { @for member in &it.members {
            tr #(anchor(&it.name, &member.name)) {
                td { code { b { (member.name) } " = " (member.number) } }
                td {
                    (deprecation(member.deprecated.as_deref()))
                    (prose::full(member.doc.as_deref()))
                }
            }
        } } }
    }
}

fn exception(links: &Links<'_>, users: &UsageIndex, id: ExceptionId) -> Markup {
    let it = links.0.exception(id);
    html! {
        section #(it.name) {
            h2 { (self_link(&it.name)) "exception " (it.name) }
            (deprecation(it.deprecated.as_deref()))
            (prose::full(it.doc.as_deref()))
            (member_table(links, &it.name, &it.members, it.module))
            (used_by("Thrown by", users.of_exception(id)))
        }
    }
}

fn constant(links: &Links<'_>, it: &Constant) -> Markup {
    let value = match &it.value {
        ConstantValue::Bool(value) => value.to_string(),
        ConstantValue::Integer(value) => value.to_string(),
        ConstantValue::Float(value) => format!("{value:?}"),
        ConstantValue::String(value) => format!("{value:?}"),
    };
    let ty = links.ty(Some(it.ty), it.module);
    let title = html! { "const " (ty) " " (it.name) " = " (value) };
    declared(&it.name, &title, it.doc.as_deref(), &html! {}, &[])
}

fn declared(
    name: &str,
    title: &Markup,
    doc: Option<&str>,
    inside: &Markup,
    users: &[UserLink],
) -> Markup {
    html! {
        section #(name) {
            h2 { (self_link(name)) (title) }
            (prose::full(doc))
            (inside)
            (used_by("Used by", users))
        }
    }
}

fn used_by(title: &str, users: &[UserLink]) -> Markup {
    html! {
        @if !users.is_empty() {
            p.users {
                (title) ": "
                @for (number, user) in users.iter().enumerate() {
                    @if number > 0 { ", " }
                    a href=(user.href) { (user.name) }
                }
            }
        }
    }
}

/// A link from a heading to itself, for copying its address.
fn self_link(anchor: &str) -> Markup {
    html! { a.here href={ "#" (anchor) } aria-label={ "Link to " (anchor) } { "#" } }
}

/// The page of all operations by their indices, for reading frames, logs and routes.
pub(super) fn wire_index(links: &Links<'_>) -> Markup {
    let model = links.0;
    let mut interfaces: Vec<_> = links.interfaces().collect();
    interfaces.sort_by_key(|(id, it)| (it.index, *id));
    html! {
        h1 { "Wire index" }
        p {
            "A call names its operation by two numbers: " code { "ifidx" }
            ", the index of the interface that declares it, and " code { "opidx" }
            ", the index of the operation in that interface. An inherited operation is called by the numbers of its base."
        }
        div.wide {
            table {
                thead { tr { th { "ifidx" } th { "opidx" } th { "Operation" } th { "Interface" } th { "Modes" } } }
                tbody { @for (id, it) in interfaces { @for operation in sorted(it) {
                    tr {
                        td.number { (it.index) }
                        td.number { (operation.index) }
                        td { code { (links.signature(id, operation, it.module)) } }
                        td { a href=(links.element(it.module, &it.name)) {
                            (model.full_name(it.module, &it.name))
                        } }
                        td.modes { (modes(operation)) }
                    }
                } } }
            }
        }
    }
}

fn sorted(it: &Interface) -> Vec<&Operation> {
    let mut operations: Vec<_> = it.operations.iter().collect();
    operations.sort_by_key(|operation| operation.index);
    operations
}
