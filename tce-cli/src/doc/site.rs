//! The files of the site, in memory.

use maud::{Markup, html};
use tce_idl::model::{Element, Model, Module, ModuleId};

use super::{folder::MARK, frame, links::Links, pages, prose, search, usage::Users, wire};
use crate::output::Count;

/// The page to begin with.
pub(super) const START: &str = "index.html";
/// The page of all operations by their indices.
pub(super) const WIRE: &str = "wire.html";
const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/search.js");

/// One file.
pub(super) struct Page {
    pub(super) name: String,
    pub(super) text: String,
}

/// All files. The same model and title give the same bytes.
pub(super) fn pages(model: &Model, title: &str) -> Vec<Page> {
    let links = Links(model);
    let users = Users::of(model);
    let page = |name: &str, heading: &str, body: &Markup| Page {
        name: name.to_owned(),
        text: frame::page(&links, title, heading, body),
    };
    let mut pages = vec![
        page(START, title, &start(&links, title)),
        page(WIRE, "Wire index", &wire::body(&links)),
    ];
    for (id, it) in modules(model) {
        let heading = format!("module {}", it.name);
        pages.push(page(
            &links.page(id),
            &heading,
            &pages::body(&links, &users, id),
        ));
    }
    pages.push(asset("style.css", STYLE));
    pages.push(asset("search.js", SCRIPT));
    pages.push(asset("entries.js", &search::entries(&links)));
    pages
}

fn asset(name: &str, text: &str) -> Page {
    Page {
        name: name.to_owned(),
        text: format!("/* {MARK} */\n{text}"),
    }
}

/// The modules, each with its id.
pub(super) fn modules(model: &Model) -> impl Iterator<Item = (ModuleId, &Module)> {
    (0..).map(ModuleId).zip(&model.modules)
}

/// What the start page says: every module, with what it declares.
fn start(links: &Links<'_>, title: &str) -> Markup {
    html! {
        h1 { (title) }
        @for (id, it) in modules(links.0) {
            section {
                h2 { "module " a href=(links.page(id)) { (it.name) } }
                (prose::summary(it.doc.as_deref()))
                (interfaces(links, it))
                (types(links, it))
            }
        }
        @if links.0.modules.is_empty() {
            p { "The IDL declares nothing." }
        }
    }
}

fn interfaces(links: &Links<'_>, module: &Module) -> Markup {
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

fn types(links: &Links<'_>, module: &Module) -> Markup {
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
