//! The files of the site, in memory.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Value, json};
use tce_idl::model::{Model, Type};

use super::{
    folder::{ENTRIES, MARK, SiteFile},
    links::{Links, START_PAGE, WIRE_PAGE, anchor},
    pages, prose,
    usage::UsageIndex,
};

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/search.js");

/// All files. The same model and title give the same bytes.
pub(super) fn files(model: &Model, title: &str) -> Vec<SiteFile> {
    let links = Links(model);
    let users = UsageIndex::new(model);
    let page = |name: &str, heading: &str, body: &Markup| SiteFile {
        name: name.to_owned(),
        text: html_page(&links, title, heading, body),
    };
    let mut files = vec![
        page(START_PAGE, title, &pages::start(&links, title)),
        page(WIRE_PAGE, "Wire index", &pages::wire_index(&links)),
    ];
    for (id, it) in links.modules() {
        let heading = format!("module {}", it.name);
        let body = pages::module(&links, &users, id);
        files.push(page(&links.page(id), &heading, &body));
    }
    files.push(asset("style.css", STYLE));
    files.push(asset("search.js", SCRIPT));
    files.push(asset(ENTRIES, &search_index(&links)));
    files
}

fn asset(name: &str, text: &str) -> SiteFile {
    SiteFile {
        name: name.to_owned(),
        text: format!("/* {MARK} */\n{text}"),
    }
}

/// A complete HTML page. It loads only files of the site, and needs scripts only for the search.
/// Its own ids have a hyphen, since every name of an IDL may be an id too.
fn html_page(links: &Links<'_>, title: &str, heading: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        (PreEscaped(format!("<!-- {MARK} -->\n")))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title {
                    (heading)
                    @if heading != title { " – " (title) }
                }
                link rel="stylesheet" href="style.css";
                script src=(ENTRIES) defer {}
                script src="search.js" defer {}
            }
            body {
                (header(links, title))
                main {
                    section #search-results hidden aria-live="polite" {}
                    div #page-content { (body) }
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn header(links: &Links<'_>, title: &str) -> Markup {
    html! {
        header {
            a.title href=(START_PAGE) { (title) }
            form #search-form role="search" hidden {
                input type="search" name="q" autocomplete="off" spellcheck="false"
                    placeholder="Search: name, word or index such as 2.0"
                    aria-label="Search" aria-keyshortcuts="/";
            }
            nav {
                @for (id, it) in links.modules() {
                    a href=(links.page(id)) { (it.name) }
                }
                a href=(WIRE_PAGE) { "Wire index" }
            }
        }
    }
}

/// The search index: modules, interfaces, operations, types and members. A script, since pages
/// opened from a folder can load scripts but no data files.
fn search_index(links: &Links<'_>) -> String {
    let model = links.0;
    let mut entries = Vec::new();
    for (id, it) in links.modules() {
        entries.push(entry("module", &it.name, &links.page(id), &it.doc, ""));
    }
    for (id, it) in links.interfaces() {
        let name = |inner: &str| model.full_name(it.module, inner);
        let href = links.element(it.module, &it.name);
        let doc = it.doc.clone().or(it.comment.clone());
        entries.push(entry(
            "interface",
            &name(&it.name),
            &href,
            &doc,
            &it.index.to_string(),
        ));
        for operation in &it.operations {
            entries.push(entry(
                "operation",
                &name(&anchor(&it.name, &operation.name)),
                &links.operation(id, operation),
                &operation.doc.clone().or(operation.comment.clone()),
                &format!("{}.{}", it.index, operation.index),
            ));
        }
    }
    for module in &model.modules {
        let types = module.elements.iter().filter_map(Links::value_type);
        types.for_each(|ty| add_value_type(links, ty, &mut entries));
    }
    for it in &model.exceptions {
        let mut add = |kind, name: &str, doc| {
            let full = model.full_name(it.module, name);
            entries.push(entry(kind, &full, &links.element(it.module, name), doc, ""));
        };
        add("exception", &it.name, &it.doc);
        for member in &it.members {
            add("member", &anchor(&it.name, &member.name), &member.doc);
        }
    }
    for it in &model.constants {
        let (full, href) = (
            model.full_name(it.module, &it.name),
            links.element(it.module, &it.name),
        );
        entries.push(entry("constant", &full, &href, &it.doc, ""));
    }
    // One entry per line, so that a small change of the IDL gives a small difference.
    let lines: Vec<String> = entries.iter().map(ToString::to_string).collect();
    format!("const ENTRIES = [\n{}\n];\n", lines.join(",\n"))
}

fn add_value_type(links: &Links<'_>, ty: Type, entries: &mut Vec<Value>) {
    let model = links.0;
    let Some((module, name)) = model.declared(ty) else {
        return;
    };
    let (kind, doc) = match ty {
        Type::Struct(id) => ("struct", &model.struct_(id).doc),
        Type::Enum(id) => ("enum", &model.enum_(id).doc),
        Type::Sequence(id) => ("sequence", &model.sequence(id).doc),
        Type::Dictionary(id) => ("dictionary", &model.dictionary(id).doc),
        _ => return,
    };
    let mut add = |kind, name: &str, doc| {
        let full = model.full_name(module, name);
        entries.push(entry(kind, &full, &links.element(module, name), doc, ""));
    };
    add(kind, name, doc);
    if let Type::Enum(id) = ty {
        for member in &model.enum_(id).members {
            add("member", &anchor(name, &member.name), &member.doc);
        }
    }
    if let Type::Struct(id) = ty {
        for member in &model.struct_(id).members {
            add("member", &anchor(name, &member.name), &member.doc);
        }
    }
}

fn entry(kind: &str, name: &str, href: &str, doc: &Option<String>, index: &str) -> Value {
    let text = prose::first_paragraph(doc.as_deref().unwrap_or_default());
    json!([kind, name, href, text, index])
}
