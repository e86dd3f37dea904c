//! Documentation comments, which are Markdown, as HTML.
//!
//! The authors of comments are not trusted: HTML is shown as text, links lead to web pages, mail
//! addresses or anchors only, and images are not loaded.

use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// The whole text of a comment.
pub(super) fn full(doc: Option<&str>) -> Markup {
    let Some(doc) = doc else {
        return html! {};
    };
    let mut out = String::new();
    pulldown_cmark::html::push_html(&mut out, safe(doc));
    html! { div.prose { (PreEscaped(out)) } }
}

/// The first paragraph of a comment, as plain text.
pub(super) fn summary(doc: Option<&str>) -> Markup {
    let text = first_paragraph(doc.unwrap_or_default());
    html! { @if !text.is_empty() { p { (text) } } }
}

/// The text of the first paragraph, without markup.
pub(super) fn first_paragraph(doc: &str) -> String {
    let mut text = String::new();
    for event in safe(doc) {
        match event {
            Event::Text(part) | Event::Code(part) => text.push_str(&part),
            Event::SoftBreak | Event::HardBreak => text.push(' '),
            Event::End(TagEnd::Paragraph) => break,
            _ => {}
        }
    }
    text
}

/// The Markdown without scripts, HTML and images.
fn safe(doc: &str) -> impl Iterator<Item = Event<'_>> {
    let mut links = Vec::new();
    Parser::new_ext(doc, Options::ENABLE_TABLES).filter_map(move |event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::Heading {
            id, classes, attrs, ..
        }) => Some(Event::Start(Tag::Heading {
            // Below the headings of the site.
            level: HeadingLevel::H6,
            id,
            classes,
            attrs,
        })),
        Event::End(TagEnd::Heading(_)) => Some(Event::End(TagEnd::Heading(HeadingLevel::H6))),
        // Keeps the alternative text of an image.
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        Event::Start(Tag::Link { ref dest_url, .. }) => {
            let is_kept = is_safe_address(dest_url);
            links.push(is_kept);
            is_kept.then_some(event)
        }
        Event::End(TagEnd::Link) => links.pop().unwrap_or_default().then_some(event),
        event => Some(event),
    })
}

fn is_safe_address(address: &CowStr<'_>) -> bool {
    let known = ["https://", "http://", "mailto:", "#"];
    known.iter().any(|start| address.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(doc: &str) -> String {
        full(Some(doc)).into_string()
    }

    #[test]
    fn markdown_is_markdown() {
        let html = shown("Adds *two* `ints`.\n\n- one\n- [two](https://example.org)");
        for part in [
            "<em>two</em>",
            "<code>ints</code>",
            "<li>one</li>",
            "<a href=\"https://example.org\">two</a>",
        ] {
            assert!(html.contains(part), "{html}");
        }
        assert!(shown("# Loud").contains("<h6>Loud</h6>"));
    }

    #[test]
    fn nothing_in_a_comment_runs_or_loads() {
        let html = shown(
            "<script>alert(1)</script>\n\na <img src=x onerror=alert(1)> b\n\n\
             [c](javascript:alert(1)) [d](JAVASCRIPT:alert(1)) [e](data:text/html,x)\n\n\
             ![f](https://example.org/f.png \"g\")\n\n`<b>`\n\n    <i>\n",
        );
        for part in ["<script", "<img", "<b>", "<i>", "href"] {
            assert!(!html.contains(part), "{part} in {html}");
        }
        for part in ["&lt;script", "c", "f", "&lt;b&gt;"] {
            assert!(html.contains(part), "{part} not in {html}");
        }
    }

    #[test]
    fn a_summary_is_the_first_paragraph() {
        assert_eq!(
            first_paragraph("Adds `a`\nto *b*.\n\nSlowly."),
            "Adds a to b."
        );
        assert_eq!(first_paragraph(""), "");
    }
}
