//! The page of a module.

use maud::{Markup, html};
use tce_idl::model::{Element, InterfaceId, ModuleId, Operation, Type};

use super::{
    links::{Links, anchor},
    prose,
    usage::{Place, Users},
};

/// The page's body: interfaces first, then the types that they use.
pub(super) fn body(links: &Links<'_>, users: &Users, id: ModuleId) -> Markup {
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
        @for ty in module.elements.iter().filter_map(Links::value_type) {
            (value_type(links, users, ty))
        }
    }
}

fn interface(links: &Links<'_>, users: &Users, id: InterfaceId) -> Markup {
    let it = links.0.interface(id);
    html! {
        section #(it.name) {
            h2 {
                (here(&it.name)) "interface " (it.name)
                @if let Some(base) = it.base { " extends " (links.interface(base, it.module)) }
                span.index { "ifidx " (it.index) }
            }
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
                span.modes { (modes(it)) }
            }
            (prose::full(it.doc.as_deref().or(it.comment.as_deref())))
        }
    }
}

/// How an operation can be called.
pub(super) fn modes(operation: &Operation) -> &'static str {
    match operation.returns {
        None => "twoway, async, oneway",
        Some(_) => "twoway, async",
    }
}

/// The operations of a base, spelt for a reader in module `from`.
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

fn value_type(links: &Links<'_>, users: &Users, ty: Type) -> Markup {
    match ty {
        Type::Struct(id) => {
            let it = links.0.struct_(id);
            let title = html! { "struct " (it.name) };
            let members = html! {
                table { tbody { @for member in &it.members {
                    tr #(anchor(&it.name, &member.name)) {
                        td { code { (links.ty(Some(member.ty), it.module)) " " b { (member.name) } } }
                        td { (prose::full(member.doc.as_deref())) }
                    }
                } } }
            };
            declared(
                &it.name,
                &title,
                it.doc.as_deref(),
                &members,
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

fn declared(
    name: &str,
    title: &Markup,
    doc: Option<&str>,
    inside: &Markup,
    users: &[Place],
) -> Markup {
    html! {
        section #(name) {
            h2 { (here(name)) (title) }
            (prose::full(doc))
            (inside)
            (used_by("Used by", users))
        }
    }
}

fn used_by(title: &str, users: &[Place]) -> Markup {
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

/// A link to where the reader is, to be passed on.
fn here(anchor: &str) -> Markup {
    html! { a.here href={ "#" (anchor) } aria-label={ "Link to " (anchor) } { "#" } }
}
