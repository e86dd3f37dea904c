//! Imports, modules and the elements in them.

use super::annotations::DeclarationPrefix;
use super::{Lowering, Rule, SyntaxNode};
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{
    Constant, Dictionary, Element, Enum, Enumerator, Identifier, Interface, Literal, Member,
    Module, Operation, Parameter, Sequence, Struct, TypeName,
};

impl<'a> Lowering<'a> {
    /// `None` if the name of the module could not be parsed.
    pub(super) fn module(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
    ) -> Option<Module> {
        self.not_annotated(pending, "a module");
        let doc = pending.take_doc();
        let mut name = None;
        let mut elements = Vec::new();
        let mut inner = DeclarationPrefix::default();
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
        // The elements of a module without a name can't be referred to.
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

    /// Lowers one part of a module's body.
    fn element(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
        elements: &mut Vec<Element>,
    ) {
        match node.rule() {
            Rule::structure => elements.extend(self.structure(node, pending).map(Element::Struct)),
            Rule::exception => {
                elements.extend(self.structure(node, pending).map(Element::Exception));
            }
            Rule::enumeration => {
                elements.extend(self.enumeration(node, pending).map(Element::Enum));
            }
            Rule::constant => {
                elements.extend(self.constant(node, pending).map(Element::Constant));
            }
            Rule::interface => {
                elements.extend(self.interface(node, pending).map(Element::Interface));
            }
            Rule::sequence => elements.extend(self.sequence(node, pending).map(Element::Sequence)),
            Rule::dictionary => {
                elements.extend(self.dictionary(node, pending).map(Element::Dictionary));
            }
            Rule::broken_element => {
                *pending = DeclarationPrefix::default();
                self.broken_element(node);
            }
            _ => self.prefix(node, pending),
        }
    }

    /// Lowers an element outside of any module, and reports it.
    pub(super) fn outside_module(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
    ) {
        let mut elements = Vec::new();
        self.element(node, pending, &mut elements);
        for element in &elements {
            let name = element.name();
            let what = match element {
                Element::Struct(_) => "struct",
                Element::Exception(_) => "exception",
                Element::Enum(_) => "enum",
                Element::Constant(_) => "constant",
                Element::Interface(_) => "interface",
                Element::Sequence(_) => "sequence",
                Element::Dictionary(_) => "dictionary",
            };
            let message = format!("{what} `{}` is outside of any module", name.text);
            let diagnostic = Diagnostic::new(Code::OutsideModule, message).at(name.span, "");
            let keyword = match element {
                Element::Constant(_) => "const",
                _ => what,
            };
            self.sink.push(diagnostic.help(format!(
                "put it into a module: `module NAME {{ {keyword} … }}`"
            )));
            self.broken.insert(name.text.clone());
        }
    }
}

impl<'a> Lowering<'a> {
    /// Lowers a struct or an exception; `None` if its name could not be parsed.
    pub(super) fn structure(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
    ) -> Option<Struct> {
        let doc = pending.take_doc();
        let annotations = pending.take_annotations();
        let mut name = None;
        let mut members = Vec::new();
        let mut broken = false;
        let mut inner = DeclarationPrefix::default();
        let mut head = node.span();
        for child in node.children() {
            match child.rule() {
                Rule::structure_head | Rule::exception_head => {
                    name = self.head(&child);
                    head = child.span();
                }
                Rule::broken_struct_head => {
                    name = self.broken_head(&child, Rule::just_struct);
                    head = child.span();
                }
                Rule::broken_exception_head => {
                    name = self.broken_head(&child, Rule::just_exception);
                    head = child.span();
                }
                Rule::member => members.extend(self.member(&child, &mut inner)),
                Rule::broken_part => {
                    broken = true;
                    inner = DeclarationPrefix::default();
                    self.broken(&child, Rule::just_member);
                }
                _ => self.prefix(&child, &mut inner),
            }
        }
        self.annotates_nothing(&mut inner);
        let kind = match node.rule() {
            Rule::exception => "exception",
            _ => "struct",
        };
        self.braces(node, &body_of(kind, name.as_ref()), head);
        Some(Struct {
            name: name?,
            whole: node.span(),
            doc,
            annotations,
            members,
            broken,
        })
    }

    fn member(&mut self, node: &SyntaxNode<'a>, pending: &mut DeclarationPrefix) -> Option<Member> {
        let doc = pending.take_doc();
        let annotations = pending.take_annotations();
        let ty = self.type_name(&node.child(Rule::r#type)?)?;
        let name = self.name(&node.child(Rule::name)?);
        if node.child(Rule::no_semi_member).is_some() {
            self.missing_semicolon(&format!("member `{}`", name.text), name.span);
        }
        Some(Member {
            name,
            doc,
            annotations,
            ty,
        })
    }

    /// The name in a valid head.
    pub(super) fn head(&mut self, node: &SyntaxNode<'a>) -> Option<Identifier> {
        let mut name = None;
        for child in node.children() {
            match child.rule() {
                Rule::kw_module
                | Rule::kw_struct
                | Rule::kw_exception
                | Rule::kw_enum
                | Rule::kw_interface
                | Rule::kw_extends => self.keyword(&child),
                Rule::name => name = Some(self.name(&child)),
                _ => {}
            }
        }
        name
    }
}

/// What a body belongs to, in a message.
fn body_of(kind: &str, name: Option<&Identifier>) -> String {
    match name {
        Some(name) => format!("{kind} `{}`", name.text),
        None => format!("this {kind}"),
    }
}

impl<'a> Lowering<'a> {
    /// `None` if the name of the enum could not be parsed.
    fn enumeration(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
    ) -> Option<Enum> {
        let doc = pending.take_doc();
        let annotations = pending.take_annotations();
        let mut name = None;
        let mut members = Vec::new();
        let mut broken = false;
        let mut inner = DeclarationPrefix::default();
        let mut head = node.span();
        for child in node.children() {
            match child.rule() {
                Rule::enum_head => {
                    name = self.head(&child);
                    head = child.span();
                }
                Rule::broken_enum_head => {
                    name = self.broken_head(&child, Rule::just_enum);
                    head = child.span();
                }
                Rule::enumerator => members.extend(self.enumerator(&child, &mut inner)),
                Rule::broken_enumerator => {
                    broken = true;
                    inner = DeclarationPrefix::default();
                    self.broken(&child, Rule::just_enumerator);
                }
                _ => self.prefix(&child, &mut inner),
            }
        }
        self.annotates_nothing(&mut inner);
        self.braces(node, &body_of("enum", name.as_ref()), head);
        Some(Enum {
            name: name?,
            whole: node.span(),
            doc,
            annotations,
            members,
            broken,
        })
    }

    fn enumerator(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
    ) -> Option<Enumerator> {
        let doc = pending.take_doc();
        let annotations = pending.take_annotations();
        let name = self.name(&node.child(Rule::name)?);
        let number = node.child(Rule::number).map(|number| number.name());
        let end = number.as_ref().map_or(name.span, |number| number.span);
        if let Some(wrong) = node.child(Rule::wrong_comma) {
            let message = "the members of an enum are separated by `,`";
            let diagnostic = Diagnostic::new(Code::Unexpected, message).at(wrong.span(), "");
            self.sink
                .push(diagnostic.fix("write `,`", wrong.span(), ","));
        }
        if node.child(Rule::no_comma).is_some() {
            let message = format!("missing `,` after `{}`", name.text);
            let diagnostic = Diagnostic::new(Code::Unexpected, message);
            let diagnostic = diagnostic.at(end.after(), "expected `,` here");
            self.sink.push(diagnostic.fix("add `,`", end.after(), ","));
        }
        Some(Enumerator {
            name,
            doc,
            annotations,
            number,
        })
    }

    fn constant(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
    ) -> Option<Constant> {
        self.not_annotated(pending, "a constant");
        let doc = pending.take_doc();
        if let Some(keyword) = node.child(Rule::kw_const) {
            self.keyword(&keyword);
        }
        let ty = self.type_name(&node.child(Rule::r#type)?)?;
        let name = self.name(&node.child(Rule::name)?);
        let literal = node.child(Rule::literal)?;
        let value_span = literal.span();
        if node.child(Rule::no_semi_element).is_some() {
            self.missing_semicolon(&format!("`{}`", name.text), value_span);
        }
        let word = literal
            .child(Rule::literal_string)
            .or(literal.child(Rule::number))
            .or(literal.child(Rule::name))?;
        let text = word.text();
        let value = match word.rule() {
            Rule::literal_string => {
                let inside = text
                    .strip_prefix('"')
                    .and_then(|text| text.strip_suffix('"'));
                Literal::String(inside.unwrap_or(text).to_owned())
            }
            Rule::number => Literal::Number(text.to_owned()),
            _ => Literal::Name(text.to_owned()),
        };
        Some(Constant {
            name,
            whole: node.span(),
            doc,
            ty,
            value,
            value_span,
        })
    }
}

impl<'a> Lowering<'a> {
    pub(super) fn sequence(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
    ) -> Option<Sequence> {
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
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
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
    fn container(&mut self, node: &SyntaxNode<'a>) -> (Option<Identifier>, Vec<TypeName>) {
        let mut name: Option<Identifier> = None;
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

impl<'a> Lowering<'a> {
    /// `None` if the name of the interface could not be parsed.
    pub(super) fn interface(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
    ) -> Option<Interface> {
        let doc = pending.take_doc();
        let annotations = pending.take_annotations();
        let (mut name, mut base) = (None, None);
        let mut operations = Vec::new();
        let mut broken = false;
        let mut inner = DeclarationPrefix::default();
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
                    inner = DeclarationPrefix::default();
                    self.broken(&child, Rule::just_operation);
                }
                _ => self.prefix(&child, &mut inner),
            }
        }
        self.annotates_nothing(&mut inner);
        self.braces(node, &body_of("interface", name.as_ref()), head);
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

    fn operation(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
    ) -> Option<Operation> {
        let doc = pending.take_doc();
        let annotations = pending.take_annotations();
        let returns = self.type_name(&node.child(Rule::r#type)?)?;
        let name = self.name(&node.child(Rule::name)?);
        let (mut parameters, mut throws) = (Vec::new(), Vec::new());
        let mut inner = DeclarationPrefix::default();
        let mut end = node.span();
        for child in node.children() {
            match child.rule() {
                // Only a comment directly before a parameter documents it.
                Rule::lparen | Rule::comma => inner = DeclarationPrefix::default(),
                Rule::COMMENT => self.prefix(&child, &mut inner),
                Rule::parameter => parameters.extend(self.parameter(&child, &mut inner)),
                Rule::rparen => end = child.span(),
                Rule::throws => {
                    throws = self.throws(&child);
                    end = child.span();
                }
                _ => {}
            }
        }
        if node.child(Rule::no_semi_op).is_some() {
            self.missing_semicolon(&format!("operation `{}`", name.text), end);
        }
        Some(Operation {
            name,
            whole: node.span(),
            doc,
            annotations,
            returns,
            parameters,
            throws,
        })
    }

    fn parameter(
        &mut self,
        node: &SyntaxNode<'a>,
        pending: &mut DeclarationPrefix,
    ) -> Option<Parameter> {
        let doc = pending.take_doc();
        let ty = self.type_name(&node.child(Rule::r#type)?)?;
        let name = self.name(&node.child(Rule::name)?);
        Some(Parameter { name, doc, ty })
    }

    /// The names behind `throws`.
    fn throws(&mut self, node: &SyntaxNode<'a>) -> Vec<TypeName> {
        let mut names = Vec::new();
        for child in node.children() {
            match child.rule() {
                Rule::kw_throws => self.keyword(&child),
                Rule::r#type => names.extend(self.type_name(&child)),
                _ => {}
            }
        }
        names
    }
}

impl<'a> Lowering<'a> {
    pub(super) fn import(&mut self, node: &SyntaxNode<'a>) -> Option<Identifier> {
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

impl<'a> Lowering<'a> {
    pub(super) fn type_name(&mut self, node: &SyntaxNode<'a>) -> Option<TypeName> {
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
