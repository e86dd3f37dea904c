//! Characters in comments and strings by which an editor shows other text than the
//! compiler reads: "Trojan Source", CVE-2021-42574.

use super::{Rule, SyntaxNode, part};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source;

/// Characters at which some editors begin a new line, in which `//` does not end.
const LINE_SEPARATORS: &[char] = &['\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];

/// Reports the first such character of each comment and string.
pub(super) fn check(root: &SyntaxNode<'_>, sink: &mut Diagnostics) {
    let texts = root.leaves();
    let texts = texts.filter(|leaf| {
        matches!(
            leaf.rule(),
            Rule::COMMENT | Rule::string | Rule::literal_string
        )
    });
    for node in texts.filter(|node| !node.text().is_ascii() || has_separator(node.text())) {
        let text = node.text();
        let is_block = text.starts_with("/*");
        let separator = text
            .char_indices()
            .find(|(at, c)| {
                !is_block && LINE_SEPARATORS.contains(c) && !text[*at..].trim().is_empty()
            })
            .map(|(at, c)| {
                let why = "an editor may show a new line here, but the text goes on";
                (at, c, why, "remove the character, or end the line")
            });
        let direction = open_direction(text).map(|(at, c)| {
            let why = "it changes the direction of the text, and is not closed on its line";
            (at, c, why, "remove the character, or close it")
        });
        if let Some((at, c, why, help)) = separator.or(direction) {
            let message = format!("hidden character U+{:04X}", u32::from(c));
            let span = part(node.span(), at, c.len_utf8());
            let diagnostic = Diagnostic::new(Code::HiddenText, message).at(span, why);
            sink.push(diagnostic.help(help));
        }
    }
}

fn has_separator(text: &str) -> bool {
    text.contains(['\u{b}', '\u{c}'])
}

/// A character that begins an embedding, override or isolate, which no character
/// on its line ends.
fn open_direction(text: &str) -> Option<(usize, char)> {
    let mut start = 0;
    for line in source::lines_with_ends(text) {
        let mut open = Vec::new();
        for (at, c) in line.char_indices() {
            match c {
                '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}' => open.push((at, c, '\u{202c}')),
                '\u{2066}'..='\u{2068}' => open.push((at, c, '\u{2069}')),
                '\u{202c}' | '\u{2069}' if open.last().is_some_and(|last| last.2 == c) => {
                    open.pop();
                }
                _ => {}
            }
        }
        if let Some((at, c, _)) = open.first() {
            return Some((start + at, *c));
        }
        start += line.len();
    }
    None
}
