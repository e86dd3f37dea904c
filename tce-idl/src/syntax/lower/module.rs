//! `module NAME { … }`, and elements that stand outside of one.

use super::{Lower, Node, Pending, Rule};
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{Element, Module};

impl<'a> Lower<'a> {
    /// `None` where the module has no name that could be understood.
    pub(super) fn module(&mut self, node: &Node<'a>, pending: &mut Pending) -> Option<Module> {
        self.not_annotated(pending, "a module");
        let doc = pending.take_doc();
        let mut name = None;
        let mut elements = Vec::new();
        let mut inner = Pending::default();
        let mut head = node.span().before();
        for child in node.children() {
            match child.rule() {
                Rule::module_head => {
                    name = self.head(&child);
                    head = child.span();
                }
                Rule::broken_module_head => {
                    self.broken_head(&child, Rule::just_module);
                    head = child.span();
                }
                _ => self.element(&child, &mut inner, &mut elements),
            }
        }
        self.annotates_nothing(&mut inner);
        let what = name.as_ref().map_or("this module".to_owned(), |name| {
            format!("module `{}`", name.text)
        });
        self.braces(node, &what, head);
        // Of a module without a name, everything inside is unreachable.
        if name.is_none() {
            self.broken
                .extend(elements.iter().map(|element| element.name().text.clone()));
        }
        Some(Module {
            name: name?,
            whole: node.span(),
            doc,
            elements,
        })
    }

    /// One part of a module's body.
    fn element(&mut self, node: &Node<'a>, pending: &mut Pending, elements: &mut Vec<Element>) {
        match node.rule() {
            Rule::structure => elements.extend(self.structure(node, pending).map(Element::Struct)),
            Rule::interface => {
                elements.extend(self.interface(node, pending).map(Element::Interface));
            }
            Rule::sequence => elements.extend(self.sequence(node, pending).map(Element::Sequence)),
            Rule::dictionary => {
                elements.extend(self.dictionary(node, pending).map(Element::Dictionary));
            }
            Rule::broken_element => {
                *pending = Pending::default();
                self.broken_element(node);
            }
            _ => self.prefix(node, pending),
        }
    }

    /// An element at the top of a file: it is checked like any other, and told to move.
    pub(super) fn outside_module(&mut self, node: &Node<'a>, pending: &mut Pending) {
        let mut elements = Vec::new();
        self.element(node, pending, &mut elements);
        for element in elements {
            let name = element.name();
            let what = match element {
                Element::Struct(_) => "struct",
                Element::Interface(_) => "interface",
                Element::Sequence(_) => "sequence",
                Element::Dictionary(_) => "dictionary",
            };
            let message = format!("{what} `{}` stands outside of any module", name.text);
            let diagnostic = Diagnostic::new(Code::OutsideModule, message).at(name.span, "");
            self.sink
                .push(diagnostic.help(format!("put it into one: `module NAME {{ {what} … }}`")));
            self.broken.insert(name.text.clone());
        }
    }
}
