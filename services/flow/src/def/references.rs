//! Whether the nodes, attributes and limits that a definition names are defined.

use std::ops::Range;

use crate::attribute::InLimit;
use crate::expression::Expression;
use crate::tree::{Definition, NodeId, Tree};

use super::diagnostic::{Code, Diagnostic};

/// What an attribute of a node refers to, and where it is written.
#[derive(Debug, Clone)]
pub(super) enum Reference {
    /// A trigger or complete expression.
    Expression(Expression, Range<usize>),
    /// A limit.
    Limit(InLimit, Range<usize>),
}

/// Checks the references of nodes, which are given by path.
pub(super) fn check(
    definition: &Definition,
    references: &[(String, Reference)],
) -> Vec<Diagnostic> {
    let mut tree = Tree::default();
    for suite in &definition.suites {
        tree.attach(NodeId::ROOT, suite.clone());
    }
    let mut found = Vec::new();
    for (path, reference) in references {
        let Some(node) = tree.find(path) else {
            continue;
        };
        match reference {
            Reference::Expression(expression, span) => {
                check_expression(&tree, node, definition, expression, span, &mut found);
            }
            Reference::Limit(limit, span) => {
                if tree.find_limit(node, limit).is_none() && !is_extern(definition, limit) {
                    let message =
                        format!("there is no limit `{}`, so nothing is limited", limit.name);
                    found.push(Diagnostic::new(Code::UnknownLimit, span.clone(), message));
                }
            }
        }
    }
    found
}

fn is_extern(definition: &Definition, limit: &InLimit) -> bool {
    let name = match &limit.path {
        Some(path) => format!("{path}:{}", limit.name),
        None => limit.name.to_string(),
    };
    definition.externs.iter().any(|known| **known == name)
}

fn check_expression(
    tree: &Tree,
    node: NodeId,
    definition: &Definition,
    expression: &Expression,
    span: &Range<usize>,
    found: &mut Vec<Diagnostic>,
) {
    let names_node = |path: &str| {
        let mut nodes = definition.externs.iter();
        nodes.any(|known| known.split(':').next() == Some(path))
    };
    for path in expression.paths() {
        if tree.find_from(node, path).is_none() && !names_node(path) {
            let message = format!("there is no node `{path}`");
            found.push(
                Diagnostic::new(Code::UnknownNode, span.clone(), message).help(format!(
                    "a bare name is a sibling; if the node is defined elsewhere, add `extern {path}`"
                )),
            );
        }
    }
    for reference in expression.attributes() {
        let Some(index) = reference.path else {
            continue;
        };
        let Some(path) = expression.paths().get(usize::from(index)) else {
            continue;
        };
        let full = format!("{path}:{}", reference.name);
        let is_extern = definition.externs.iter().any(|known| **known == *full);
        let Some(target) = tree.find_from(node, path) else {
            continue;
        };
        if tree.attribute_value(target, &reference.name).is_none() && !is_extern {
            let message = format!(
                "`{path}` has no event, meter, repeat or variable `{}`",
                reference.name
            );
            found.push(Diagnostic::new(
                Code::UnknownAttribute,
                span.clone(),
                message,
            ));
        }
    }
}
