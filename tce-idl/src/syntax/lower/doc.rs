//! Documentation comments: `/// …` and `/** … */`

use super::Node;

/// Whether a comment goes to the end of the file for want of a `*/`.
pub(super) fn is_open(comment: &str) -> bool {
    comment
        .strip_prefix("/*")
        .is_some_and(|rest| !rest.ends_with("*/"))
}

/// The lines of a comment, without its marks, if it is documentation.
/// `////` and `/***` draw lines; they document nothing.
pub(super) fn lines(node: &Node<'_>, text: &str) -> Vec<String> {
    let comment = node.text();
    if let Some(line) = comment
        .strip_prefix("///")
        .filter(|rest| !rest.starts_with('/'))
    {
        return if is_remark(node, text) {
            Vec::new()
        } else {
            vec![line.trim_end().to_owned()]
        };
    }
    let block = comment
        .strip_prefix("/**")
        .filter(|rest| !rest.starts_with(['*', '/']));
    block
        .map(|inside| block_lines(inside.trim_end_matches("*/")))
        .unwrap_or_default()
}

/// `int x; /// the width`: it speaks of what stands before it, not of what comes.
fn is_remark(node: &Node<'_>, text: &str) -> bool {
    let before = &text[..node.span().start as usize];
    let line = before.rsplit('\n').next().unwrap_or_default();
    !line.trim().is_empty()
}

/// The lines inside `/** … */`. A `*` that starts each line is part of the frame.
fn block_lines(inside: &str) -> Vec<String> {
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
