//! `sequence<T> NAME` and `dictionary<K, V> NAME`

use super::{Lower, Node, Pending, Rule};
use crate::syntax::ast::{Dictionary, Name, Sequence, TypeName};

impl<'a> Lower<'a> {
    pub(super) fn sequence(&mut self, node: &Node<'a>, pending: &mut Pending) -> Option<Sequence> {
        self.not_annotated(pending, "a sequence");
        let doc = pending.take_doc();
        let (name, mut types) = self.container(node);
        Some(Sequence {
            name: name?,
            whole: node.span(),
            doc,
            element: types.pop()?,
        })
    }

    pub(super) fn dictionary(
        &mut self,
        node: &Node<'a>,
        pending: &mut Pending,
    ) -> Option<Dictionary> {
        self.not_annotated(pending, "a dictionary");
        let doc = pending.take_doc();
        let (name, mut types) = self.container(node);
        let value = types.pop()?;
        Some(Dictionary {
            name: name?,
            whole: node.span(),
            doc,
            key: types.pop()?,
            value,
        })
    }

    /// The name, and the types between `<` and `>`.
    fn container(&mut self, node: &Node<'a>) -> (Option<Name>, Vec<TypeName>) {
        let mut name: Option<Name> = None;
        let mut types = Vec::new();
        for child in node.children() {
            match child.rule() {
                Rule::kw_sequence | Rule::kw_dictionary => self.keyword(&child),
                Rule::r#type => types.extend(self.type_name(&child)),
                Rule::name => name = Some(self.name(&child)),
                Rule::no_semi_element => {
                    if let Some(name) = &name {
                        self.missing_semicolon(&format!("`{}`", name.text), name.span);
                    }
                }
                _ => {}
            }
        }
        (name, types)
    }
}
