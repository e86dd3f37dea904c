//! What is wrong with a piece of text that the grammar could only catch.

use super::broken::Broken;
use super::{Lower, Node, Rule, foreign};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::Name;
use crate::syntax::parse::{self, Failure};

impl<'a> Lower<'a> {
    /// A piece that should have been what `rule` says.
    pub(super) fn broken(&mut self, node: &Node<'a>, rule: Rule) {
        if node.text() == ";" {
            self.stray_semicolon(node);
        } else {
            self.explain(node, rule, node.span().end);
        }
    }

    /// The head of a declaration whose body may be fine. Gives its name where that is plain.
    pub(super) fn broken_head(&mut self, node: &Node<'a>, rule: Rule) -> Option<Name> {
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

    /// A piece of a module's body that is no element.
    pub(super) fn broken_element(&mut self, node: &Node<'a>) {
        self.broken.extend(node.tokens().map(|token| token.text));
        let first = node
            .tokens()
            .next()
            .map(|token| token.text.to_ascii_lowercase());
        let rule = match first.as_deref() {
            Some("struct") => Rule::just_struct,
            Some("interface") => Rule::just_interface,
            Some("sequence") => Rule::just_sequence,
            Some("dictionary") => Rule::just_dictionary,
            _ => Rule::element,
        };
        self.broken(node, rule);
    }

    /// A piece outside of any module that is no element either.
    pub(super) fn broken_outside(&mut self, node: &Node<'a>) {
        // Behind a brace in the wrong place, what is outside and what inside is a guess.
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

    fn explain(&mut self, node: &Node<'a>, rule: Rule, end: u32) {
        if self.sink.is_full() {
            // It counts, but nobody will read it.
            self.sink.push(Diagnostic::new(Code::Unexpected, ""));
            return;
        }
        let tokens: Vec<Name> = node.tokens().collect();
        if tokens.is_empty() {
            return;
        }
        let start = node.span().start;
        let piece = &self.text[start as usize..end as usize];
        let failure = match rule {
            // Of these nothing is known but that the first word begins none of them.
            Rule::element | Rule::file => Failure {
                at: 0,
                expected: vec![rule],
            },
            _ => parse::failure(rule, piece).unwrap_or(Failure {
                at: piece.len(),
                expected: Vec::new(),
            }),
        };
        let reached = |token: &Name| (token.span.end - start) as usize <= failure.at;
        let at = tokens.iter().take_while(|token| reached(token)).count();
        let broken = Broken {
            rule,
            tokens,
            at,
            expected: failure.expected,
        };
        let diagnostic = foreign::explain(&broken).unwrap_or_else(|| self.unexpected(&broken));
        self.sink.push(diagnostic);
    }

    /// "expected this, found that"
    fn unexpected(&self, broken: &Broken) -> Diagnostic {
        let expected = expectation(&broken.expected);
        let Some(token) = broken.tokens.get(broken.at) else {
            return self.ends_early(broken, &expected);
        };
        if broken.expected.contains(&Rule::name)
            && parse::failure(Rule::just_reserved, &token.text).is_none()
        {
            let message = format!(
                "`{}` is a word of the language and can't be a name",
                token.text
            );
            let diagnostic = Diagnostic::new(Code::ReservedName, message)
                .at(token.span, "a name is expected here");
            return diagnostic.help(format!("choose another name, as `{}_`", token.text));
        }
        let message = format!("expected {expected}, found `{}`", token.text);
        with_form(
            Diagnostic::new(Code::Unexpected, message).at(token.span, ""),
            broken.rule,
        )
    }

    fn ends_early(&self, broken: &Broken, expected: &str) -> Diagnostic {
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

/// Shows how the thing is written that is broken.
fn with_form(diagnostic: Diagnostic, rule: Rule) -> Diagnostic {
    diagnostic.help(match rule {
        Rule::just_import => "an import is written `import NAME;`",
        Rule::just_module => "a module is written `module NAME { … }`",
        Rule::just_struct => "a struct is written `struct NAME { … };`",
        Rule::just_interface => "an interface is written `interface NAME { … };` or `interface NAME extends BASE { … };`",
        Rule::just_sequence => "a sequence is written `sequence<TYPE> NAME;`",
        Rule::just_dictionary => "a dictionary is written `dictionary<KEY, VALUE> NAME;`",
        Rule::just_member => "a member is written `TYPE NAME;`",
        Rule::just_operation => "an operation is written `TYPE NAME(TYPE NAME, TYPE NAME);`",
        Rule::just_annotations => "annotations are written `[index=3]` or `[index=3, comment=\"words\"]`",
        Rule::element => "a module holds structs, interfaces, sequences and dictionaries",
        _ => "a file holds imports and modules",
    })
}

/// "`,` or `)`"
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

/// What a rule is called in a message; `None` for what need not be mentioned.
fn in_words(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::file => "`import` or `module`",
        Rule::element => "`struct`, `interface`, `sequence`, `dictionary` or `}`",
        Rule::name => "a name",
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
