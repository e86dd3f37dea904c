//! Documentation comments: `/// …` and `/** … */`

use super::{Node, Rule};

/// The lines of a documentation comment, without its marks.
pub(super) fn lines(node: &Node<'_>, text: &str) -> Vec<String> {
    match node.rule() {
        Rule::doc_line if is_remark(node, text) => Vec::new(),
        Rule::doc_line => vec![node.text().trim_start_matches('/').trim_end().to_owned()],
        _ => block_lines(node.text()),
    }
}

/// `int x; /// the width`: it speaks of what stands before it, not of what comes.
fn is_remark(node: &Node<'_>, text: &str) -> bool {
    let before = &text[..node.span().start as usize];
    let line = before.rsplit('\n').next().unwrap_or_default();
    !line.trim().is_empty()
}

/// The lines of `/** … */`. A `*` that starts each line is part of the frame.
fn block_lines(comment: &str) -> Vec<String> {
    let inside = comment.strip_prefix("/**").unwrap_or(comment);
    let inside = inside.strip_suffix("*/").unwrap_or(inside);
    let mut lines = inside.lines().map(str::trim_end);
    let first = lines.next().unwrap_or_default().trim_start().to_owned();
    let rest: Vec<&str> = lines.collect();
    let framed = rest
        .iter()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('*'));
    let rest = rest.into_iter().map(|line| {
        if framed {
            line.trim_start().trim_start_matches('*')
        } else {
            line
        }
    });
    let mut rest: Vec<String> = rest.map(str::to_owned).collect();
    unindent(&mut rest);
    rest.insert(0, first);
    rest
}

/// The text that lines of documentation make together; `None` for no words at all.
pub(super) fn text(mut lines: Vec<String>) -> Option<String> {
    unindent(&mut lines);
    let text = lines.join("\n");
    let text = text.trim_matches('\n').trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Takes away the indent that all lines share.
fn unindent(lines: &mut [String]) {
    let width = |line: &String| line.len() - line.trim_start_matches([' ', '\t']).len();
    let shared = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(width)
        .min();
    for line in lines {
        *line = line
            .get(shared.unwrap_or_default()..)
            .unwrap_or_default()
            .to_owned();
    }
}
