//! `NAME`, `module::NAME` and the builtin types

use super::{Lower, Node, Rule};
use crate::syntax::ast::TypeName;

impl<'a> Lower<'a> {
    pub(super) fn type_name(&mut self, node: &Node<'a>) -> Option<TypeName> {
        let mut words = node
            .children()
            .filter(|child| matches!(child.rule(), Rule::name | Rule::builtin));
        let first = words.next()?.name();
        let (module, name) = match words.next() {
            Some(name) => (Some(first), name.name()),
            None => (None, first),
        };
        Some(TypeName {
            module,
            name,
            span: node.span(),
        })
    }
}
