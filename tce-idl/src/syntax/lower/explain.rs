//! Explains the parts that match a rule `broken_…` of the grammar.

use super::foreign::{self, BrokenPart};
use super::{Lowering, Rule, SyntaxNode, foreign_members};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::Identifier;
use crate::syntax::parse::{self, ParseFailure};

impl<'a> Lowering<'a> {
    /// Reports a part that does not match `rule`.
    pub(super) fn broken(&mut self, node: &SyntaxNode<'a>, rule: Rule) {
        if node.text() == ";" {
            self.stray_semicolon(node);
        } else {
            self.explain(node, rule, node.span().end);
        }
    }

    /// Reports the malformed head of a declaration, whose body may be valid. Returns its name if the second word is one.
    pub(super) fn broken_head(&mut self, node: &SyntaxNode<'a>, rule: Rule) -> Option<Identifier> {
        let end = node.span().end;
        let brace = self.text[end as usize..].find('{').map_or(0, |at| at + 1);
        self.explain(
            node,
            rule,
            end.saturating_add(u32::try_from(brace).unwrap_or(u32::MAX)),
        );
        node.tokens()
            .nth(1)
            .filter(|name| parse::failure(Rule::just_name, &name.text).is_none())
    }

    /// Reports a part of a module's body that is not an element.
    pub(super) fn broken_element(&mut self, node: &SyntaxNode<'a>) {
        self.broken.extend(node.tokens().map(|token| token.text));
        let first = node
            .tokens()
            .next()
            .map(|token| token.text.to_ascii_lowercase());
        let rule = match first.as_deref() {
            Some("struct") => Rule::just_struct,
            Some("exception") => Rule::just_exception,
            Some("enum") => Rule::just_enum,
            Some("const") => Rule::just_constant,
            Some("interface") => Rule::just_interface,
            Some("sequence") => Rule::just_sequence,
            Some("dictionary") => Rule::just_dictionary,
            _ => Rule::element,
        };
        self.broken(node, rule);
    }

    /// Reports a part outside of any module that is not an element either.
    pub(super) fn broken_outside(&mut self, node: &SyntaxNode<'a>) {
        // After a misplaced brace, it is unknown what is inside of a module.
        if self.unbalanced {
            return;
        }
        let first = node
            .tokens()
            .next()
            .map(|token| token.text.to_ascii_lowercase());
        if first.as_deref() == Some("module") {
            self.broken(node, Rule::just_module);
            return;
        }
        self.broken.extend(node.tokens().map(|token| token.text));
        self.broken(node, Rule::file);
    }

    fn explain(&mut self, node: &SyntaxNode<'a>, rule: Rule, end: u32) {
        if self.sink.is_full() {
            // Counted, but not shown: no need to explain it.
            self.sink.push(Diagnostic::new(Code::Unexpected, ""));
            return;
        }
        let tokens: Vec<Identifier> = node.tokens().collect();
        if tokens.is_empty() {
            return;
        }
        let start = node.span().start;
        let text = &self.text[start as usize..end as usize];
        let failure = match rule {
            // The first word begins neither an import, a module nor an element.
            Rule::element | Rule::file => ParseFailure {
                at: 0,
                expected: vec![rule],
            },
            _ => parse::failure(rule, text).unwrap_or(ParseFailure {
                at: text.len(),
                expected: Vec::new(),
            }),
        };
        let reached = |token: &Identifier| (token.span.end - start) as usize <= failure.at;
        let at = tokens.iter().take_while(|token| reached(token)).count();
        let broken = BrokenPart {
            rule,
            tokens,
            at,
            expected: failure.expected,
        };
        let diagnostic = explain_foreign(&broken).unwrap_or_else(|| self.unexpected(&broken));
        self.sink.push(diagnostic);
    }

    /// The diagnostic "expected …, found …".
    fn unexpected(&self, broken: &BrokenPart) -> Diagnostic {
        let expected = expectation(&broken.expected);
        let Some(token) = broken.tokens.get(broken.at) else {
            return self.ends_early(broken, &expected);
        };
        let is_name_expected =
            broken.expected.contains(&Rule::name) || broken.rule == Rule::just_enumerator;
        if is_name_expected && parse::failure(Rule::just_reserved, &token.text).is_none() {
            let message = format!("`{}` is a reserved word and can't be a name", token.text);
            let diagnostic = Diagnostic::new(Code::ReservedName, message)
                .at(token.span, "a name is expected here");
            return diagnostic.help(format!("choose another name, such as `{}_`", token.text));
        }
        let message = format!("expected {expected}, found `{}`", token.text);
        with_form(
            Diagnostic::new(Code::Unexpected, message).at(token.span, ""),
            broken.rule,
        )
    }

    fn ends_early(&self, broken: &BrokenPart, expected: &str) -> Diagnostic {
        let last = broken.tokens.last().map_or(
            Span {
                file: crate::source::FileId(0),
                start: 0,
                end: 0,
            },
            |t| t.span,
        );
        let rest = self.text[last.end as usize..].trim_start();
        let found = match rest.chars().next() {
            Some(sign @ ('{' | '}' | ';')) => format!(", found `{sign}`"),
            Some(_) => String::new(),
            None => ", found the end of the file".to_owned(),
        };
        let message = format!(
            "expected {expected} after `{}`{found}",
            broken.tokens.last().map_or("", |t| &t.text)
        );
        with_form(
            Diagnostic::new(Code::Unexpected, message).at(last.after(), ""),
            broken.rule,
        )
    }
}

/// Explains a part that is a construct of another language; `None` for an ordinary mistake.
fn explain_foreign(broken: &BrokenPart) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at);
    found
        .and_then(foreign::open_string)
        .or_else(|| found.and_then(foreign::odd_character))
        .or_else(|| foreign_members::unnamed_type(broken))
        .or_else(|| match broken.rule {
            Rule::file | Rule::element => foreign::element(broken),
            Rule::just_interface => foreign::base(broken),
            Rule::just_struct | Rule::just_exception => foreign::structure(broken),
            Rule::just_enum => foreign::enumeration(broken),
            Rule::just_enumerator => foreign::enumerator(broken),
            Rule::just_import => foreign::import(broken),
            Rule::just_member | Rule::just_operation => {
                foreign_members::modifier(broken).or_else(|| foreign_members::part(broken))
            }
            _ => None,
        })
}

/// Adds the complete form of the construct.
fn with_form(diagnostic: Diagnostic, rule: Rule) -> Diagnostic {
    diagnostic.help(match rule {
        Rule::just_import => "an import is written `import NAME;`",
        Rule::just_module => "a module is written `module NAME { … }`",
        Rule::just_struct => "a struct is written `struct NAME { … };`",
        Rule::just_exception => "an exception is written `exception NAME { … };`",
        Rule::just_enum => "an enum is written `enum NAME { … };`",
        Rule::just_enumerator => "a member of an enum is written `NAME` or `NAME = NUMBER`",
        Rule::just_constant => "a constant is written `const TYPE NAME = VALUE;`",
        Rule::just_interface => "an interface is written `interface NAME { … };` or `interface NAME extends BASE { … };`",
        Rule::just_sequence => "a sequence is written `sequence<TYPE> NAME;`",
        Rule::just_dictionary => "a dictionary is written `dictionary<KEY, VALUE> NAME;`",
        Rule::just_member => "a member is written `TYPE NAME;`",
        Rule::just_operation => "an operation is written `TYPE NAME(TYPE NAME, TYPE NAME);`",
        Rule::just_annotations => "annotations are written `[index=3]` or `[index=3, comment=\"words\"]`",
        Rule::element => "a module contains structs, enums, exceptions, constants, interfaces, sequences and dictionaries",
        _ => "a file contains imports and modules",
    })
}

/// Lists what rules allow: "`,` or `)`".
fn expectation(rules: &[Rule]) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in rules.iter().filter_map(|rule| in_words(*rule)) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    match words.split_last() {
        None => "something else".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// The name of a rule in a message; `None` for rules that are left out.
fn in_words(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::file => "`import` or `module`",
        Rule::element => "the declaration of a type, an interface or a constant, or `}`",
        Rule::name | Rule::just_enumerator => "a name",
        Rule::literal => "a number, a string, `true` or `false`",
        Rule::kw_throws | Rule::throws => "`throws`",
        Rule::r#type | Rule::builtin | Rule::just_member | Rule::just_operation => "a type",
        Rule::parameter => "a parameter",
        Rule::value | Rule::number | Rule::string => "a number, a string or a name",
        Rule::annotation => "`name=value`",
        Rule::kw_extends => "`extends`",
        Rule::open => "`{`",
        Rule::close => "`}`",
        Rule::semi => "`;`",
        Rule::comma => "`,`",
        Rule::equals => "`=`",
        Rule::lt => "`<`",
        Rule::gt => "`>`",
        Rule::lparen => "`(`",
        Rule::rparen => "`)`",
        Rule::lbracket => "`[`",
        Rule::rbracket => "`]`",
        _ => return None,
    })
}
