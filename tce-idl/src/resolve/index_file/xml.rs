//! Index files in XML: `<interfaces><if name="m.I" index="100" delegate_expose="false"><functions><f name="op" index="1"/></functions></if></interfaces>`

use std::ops::Range;

use roxmltree::{Document, Node};

use super::IndexFileEntry;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::resolve::parse_index;
use crate::source::{FileId, Span};
use crate::syntax::ast::Identifier;

/// The entries of a file.
pub(super) fn read(file: FileId, text: &str, sink: &mut Diagnostics) -> Vec<IndexFileEntry> {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let place = span(file, offset(text, error.pos()));
            sink.push(
                Diagnostic::new(
                    Code::IndexFileSyntax,
                    format!("this is not valid XML: {error}"),
                )
                .at(place, ""),
            );
            return Vec::new();
        }
    };
    let mut reader = XmlReader { file, sink };
    let root = document.root_element();
    if root.tag_name().name() != "interfaces" {
        reader.report(
            name_range(root),
            "the root element must be `<interfaces>`".to_owned(),
        );
        return Vec::new();
    }
    root.children()
        .filter(|node| node.has_tag_name("if"))
        .filter_map(|node| reader.entry(node))
        .collect()
}

struct XmlReader<'s> {
    file: FileId,
    sink: &'s mut Diagnostics,
}

impl XmlReader<'_> {
    fn report(&mut self, place: Range<usize>, message: String) {
        self.sink
            .push(Diagnostic::new(Code::IndexFileSyntax, message).at(span(self.file, place), ""));
    }

    fn entry(&mut self, node: Node<'_, '_>) -> Option<IndexFileEntry> {
        let name = self.name(node)?;
        let index = node
            .attribute("index")
            .is_some()
            .then(|| self.index(node))
            .flatten();
        let skeleton = self.flag(node);
        let functions = node
            .children()
            .filter(|child| child.has_tag_name("functions"));
        let functions =
            functions.flat_map(|list| list.children().filter(|child| child.has_tag_name("f")));
        let mut operations = Vec::new();
        for function in functions {
            if let (Some(name), Some((index, place))) = (self.name(function), self.index(function))
            {
                operations.push((name, index, place));
            }
        }
        Some(IndexFileEntry {
            name,
            index,
            skeleton,
            operations,
        })
    }

    fn name(&mut self, node: Node<'_, '_>) -> Option<Identifier> {
        let Some(attribute) = node.attribute_node("name") else {
            self.report(
                name_range(node),
                format!("this `<{}>` has no `name`", node.tag_name().name()),
            );
            return None;
        };
        Some(Identifier {
            text: attribute.value().to_owned(),
            span: span(self.file, attribute.range_value()),
        })
    }

    fn index(&mut self, node: Node<'_, '_>) -> Option<(u16, Span)> {
        let Some(attribute) = node.attribute_node("index") else {
            self.report(
                name_range(node),
                format!("this `<{}>` has no `index`", node.tag_name().name()),
            );
            return None;
        };
        match parse_index(attribute.value().trim()) {
            Ok(index) => Some((index, span(self.file, attribute.range_value()))),
            Err(message) => {
                self.report(attribute.range_value(), message);
                None
            }
        }
    }

    /// Whether servant code is generated.
    fn flag(&mut self, node: Node<'_, '_>) -> bool {
        let Some(attribute) = node.attribute_node("delegate_expose") else {
            return true;
        };
        match attribute.value() {
            "false" => return false,
            "true" => {}
            other => self.report(
                attribute.range_value(),
                format!("`delegate_expose` must be `true` or `false`, not `{other}`"),
            ),
        }
        true
    }
}

/// The `<name` of an element, since the whole element may have many lines.
fn name_range(node: Node<'_, '_>) -> Range<usize> {
    let start = node.range().start;
    start..start + 1 + node.tag_name().name().len()
}

fn span(file: FileId, range: Range<usize>) -> Span {
    let count = |byte| u32::try_from(byte).unwrap_or(u32::MAX);
    Span {
        file,
        start: count(range.start),
        end: count(range.end),
    }
}

/// The character at a line and column, as roxmltree counts them: from 1, in characters.
fn offset(text: &str, position: roxmltree::TextPos) -> Range<usize> {
    let line_start: usize = text
        .split_inclusive('\n')
        .take(position.row as usize - 1)
        .map(str::len)
        .sum();
    let line = text[line_start..].lines().next().unwrap_or_default();
    let column = line.char_indices().nth(position.col as usize - 1);
    column.map_or(
        line_start + line.len()..line_start + line.len(),
        |(at, c)| line_start + at..line_start + at + c.len_utf8(),
    )
}
