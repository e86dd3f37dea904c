//! `interface NAME extends BASE { … }`

use super::{Lower, Node, Pending, Rule};
use crate::syntax::ast::{Interface, Name, Operation, Parameter};

impl<'a> Lower<'a> {
    /// `None` where the interface has no name that could be understood.
    pub(super) fn interface(
        &mut self,
        node: &Node<'a>,
        pending: &mut Pending,
    ) -> Option<Interface> {
        let doc = pending.take_doc();
        let annotations = pending.take_annotations();
        let (mut name, mut base) = (None, None);
        let mut operations = Vec::new();
        let mut broken = false;
        let mut inner = Pending::default();
        let mut head = node.span();
        for child in node.children() {
            match child.rule() {
                Rule::interface_head => {
                    name = self.head(&child);
                    base = child.child(Rule::r#type).and_then(|ty| self.type_name(&ty));
                    head = child.span();
                }
                Rule::broken_interface_head => {
                    name = self.broken_head(&child, Rule::just_interface);
                    head = child.span();
                }
                Rule::operation => operations.extend(self.operation(&child, &mut inner)),
                Rule::broken_part => {
                    broken = true;
                    inner = Pending::default();
                    self.broken(&child, Rule::just_operation);
                }
                _ => self.prefix(&child, &mut inner),
            }
        }
        self.annotates_nothing(&mut inner);
        let what = name
            .as_ref()
            .map_or("this interface".to_owned(), |name: &Name| {
                format!("interface `{}`", name.text)
            });
        self.braces(node, &what, head);
        Some(Interface {
            name: name?,
            whole: node.span(),
            doc,
            annotations,
            base,
            operations,
            broken,
        })
    }

    fn operation(&mut self, node: &Node<'a>, pending: &mut Pending) -> Option<Operation> {
        let doc = pending.take_doc();
        let annotations = pending.take_annotations();
        let returns = self.type_name(&node.child(Rule::r#type)?)?;
        let name = self.name(&node.child(Rule::name)?);
        let mut parameters = Vec::new();
        for child in node.children() {
            match child.rule() {
                Rule::parameter => parameters.extend(self.parameter(&child)),
                Rule::rparen if node.child(Rule::no_semi_op).is_some() => {
                    self.missing_semicolon(&format!("operation `{}`", name.text), child.span());
                }
                _ => {}
            }
        }
        Some(Operation {
            name,
            whole: node.span(),
            doc,
            annotations,
            returns,
            parameters,
        })
    }

    fn parameter(&mut self, node: &Node<'a>) -> Option<Parameter> {
        let ty = self.type_name(&node.child(Rule::r#type)?)?;
        let name = self.name(&node.child(Rule::name)?);
        Some(Parameter { name, ty })
    }
}
