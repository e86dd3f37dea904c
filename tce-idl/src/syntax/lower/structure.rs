//! `struct NAME { … }`

use super::{Lower, Node, Pending, Rule};
use crate::syntax::ast::{Member, Name, Struct};

impl<'a> Lower<'a> {
    /// `None` where the struct has no name that could be understood.
    pub(super) fn structure(&mut self, node: &Node<'a>, pending: &mut Pending) -> Option<Struct> {
        self.not_annotated(pending, "a struct");
        let doc = pending.take_doc();
        let mut name = None;
        let mut members = Vec::new();
        let mut broken = false;
        let mut inner = Pending::default();
        let mut head = node.span();
        for child in node.children() {
            match child.rule() {
                Rule::structure_head => {
                    name = self.head(&child);
                    head = child.span();
                }
                Rule::broken_struct_head => {
                    name = self.broken_head(&child, Rule::just_struct);
                    head = child.span();
                }
                Rule::member => members.extend(self.member(&child, &mut inner)),
                Rule::broken_part => {
                    broken = true;
                    inner = Pending::default();
                    self.broken(&child, Rule::just_member);
                }
                _ => self.prefix(&child, &mut inner),
            }
        }
        self.annotates_nothing(&mut inner);
        let what = name
            .as_ref()
            .map_or("this struct".to_owned(), |name: &Name| {
                format!("struct `{}`", name.text)
            });
        self.braces(node, &what, head);
        Some(Struct {
            name: name?,
            whole: node.span(),
            doc,
            members,
            broken,
        })
    }

    fn member(&mut self, node: &Node<'a>, pending: &mut Pending) -> Option<Member> {
        self.not_annotated(pending, "a member of a struct");
        let doc = pending.take_doc();
        let ty = self.type_name(&node.child(Rule::r#type)?)?;
        let name = self.name(&node.child(Rule::name)?);
        if node.child(Rule::no_semi_member).is_some() {
            self.missing_semicolon(&format!("member `{}`", name.text), name.span);
        }
        Some(Member { name, doc, ty })
    }

    /// The name in a head that was understood.
    pub(super) fn head(&mut self, node: &Node<'a>) -> Option<Name> {
        let mut name = None;
        for child in node.children() {
            match child.rule() {
                Rule::kw_module | Rule::kw_struct | Rule::kw_interface | Rule::kw_extends => {
                    self.keyword(&child);
                }
                Rule::name => name = Some(self.name(&child)),
                _ => {}
            }
        }
        name
    }
}
