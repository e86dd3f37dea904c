//! `import NAME`

use super::{Lower, Node, Rule};
use crate::syntax::ast::Name;

impl<'a> Lower<'a> {
    pub(super) fn import(&mut self, node: &Node<'a>) -> Option<Name> {
        let mut name = None;
        for child in node.children() {
            match child.rule() {
                Rule::kw_import => self.keyword(&child),
                Rule::name => name = Some(self.name(&child)),
                _ => {}
            }
        }
        name
    }
}
