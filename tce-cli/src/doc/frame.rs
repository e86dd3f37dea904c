//! What all pages have around them.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    folder::MARK,
    links::Links,
    site::{START, WIRE, modules},
};

/// A whole page. It asks for nothing but the files beside it, and can be read
/// without scripts; only the search needs them.
pub(super) fn page(links: &Links<'_>, title: &str, heading: &str, body: &Markup) -> String {
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
                script src="entries.js" defer {}
                script src="search.js" defer {}
            }
            body {
                (header(links, title))
                main {
                    section #results hidden aria-live="polite" {}
                    div #page { (body) }
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn header(links: &Links<'_>, title: &str) -> Markup {
    html! {
        header {
            a.title href=(START) { (title) }
            form #search role="search" hidden {
                input type="search" name="q" autocomplete="off" spellcheck="false"
                    placeholder="Search: a name, a word, an index as 2.0"
                    aria-label="Search" aria-keyshortcuts="/";
            }
            nav {
                @for (id, it) in modules(links.0) {
                    a href=(links.page(id)) { (it.name) }
                }
                a href=(WIRE) { "Wire index" }
            }
        }
    }
}
