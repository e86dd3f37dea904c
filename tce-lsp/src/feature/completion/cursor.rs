//! What is expected at the cursor, from the text before it. The text may have
//! errors: only open brackets and the last tokens matter.

use crate::feature::lexer::{self, TokenKind, is_word};

/// The tokens of an unfinished text, without comments. `None` if the text ends inside a
/// comment or a string.
fn scan(text: &str) -> Option<Vec<&str>> {
    let mut tokens = Vec::new();
    for token in lexer::tokens(text) {
        match token.kind {
            _ if token.is_open => return None,
            TokenKind::LineComment | TokenKind::BlockComment => {}
            _ => tokens.push(token.text),
        }
    }
    Some(tokens)
}

/// What is expected at the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// A new name or a punctuation mark: nothing to suggest.
    Nothing,
    /// `import` or `module`.
    TopLevel,
    /// The name of a file.
    Import,
    /// A declaration in a module.
    Element,
    /// The key of an annotation.
    Annotation,
    /// `true` or `false`.
    Flag,
    /// The keyword after an interface's name.
    Extends,
    /// An interface.
    Base,
    /// The keyword after the parameters of an operation.
    Throws,
    /// An exception.
    Exception,
    /// The type of a constant.
    Builtin,
    /// The type of a dictionary's key.
    Key,
    /// The type of a value.
    Value,
    /// A type, or `void`.
    Returned,
}

/// The context of the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CursorContext<'a> {
    pub(super) expected: Expected,
    /// The module around the cursor.
    pub(super) module: Option<&'a str>,
    /// The module that is written before `::`.
    pub(super) qualifier: Option<&'a str>,
}

/// The context at the end of a text. Ignores the word that the text ends with, which is being typed.
pub(super) fn context(before: &str) -> CursorContext<'_> {
    let Some(tokens) = scan(before.trim_end_matches(is_word)) else {
        return CursorContext {
            expected: Expected::Nothing,
            module: None,
            qualifier: None,
        };
    };
    let (rest, qualifier) = match tokens.as_slice() {
        [rest @ .., module, "::"] => (rest, Some(*module)),
        all => (all, None),
    };
    let bodies = bodies(rest);
    let module = bodies.iter().find(|body| body.keyword == "module");
    CursorContext {
        expected: expected(rest, bodies.last()),
        module: module.map(|body| body.name),
        qualifier,
    }
}

/// An open `{`, and the declaration that it belongs to.
struct OpenBody<'a> {
    keyword: &'a str,
    name: &'a str,
}

/// The bodies around the end of a text, outermost first.
fn bodies<'a>(tokens: &[&'a str]) -> Vec<OpenBody<'a>> {
    let mut bodies = Vec::new();
    let mut head = OpenBody {
        keyword: "",
        name: "",
    };
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            // The later ones are names, too, except at the beginning of a declaration.
            "enum" | "exception" if !begins_declaration(&tokens[..at]) => {}
            "module" | "struct" | "interface" | "enum" | "exception" => {
                head = OpenBody {
                    keyword: token,
                    name: tokens.get(at + 1).copied().unwrap_or_default(),
                };
            }
            "{" => bodies.push(std::mem::replace(
                &mut head,
                OpenBody {
                    keyword: "",
                    name: "",
                },
            )),
            "}" => {
                bodies.pop();
            }
            _ => {}
        }
    }
    bodies
}

/// Whether a declaration may begin after some tokens.
fn begins_declaration(tokens: &[&str]) -> bool {
    tokens
        .last()
        .is_none_or(|token| matches!(*token, "{" | "}" | ";" | "]"))
}

/// What is expected after some tokens, in a body.
fn expected(tokens: &[&str], body: Option<&OpenBody<'_>>) -> Expected {
    let start = tokens
        .iter()
        .rposition(|token| matches!(*token, "{" | "}" | ";"));
    // The tokens since the last declaration.
    let begun = &tokens[start.map_or(0, |at| at + 1)..];
    if let Some(open) = begun.iter().rposition(|token| *token == "[")
        && !begun[open..].contains(&"]")
    {
        return in_annotations(&begun[open..]);
    }
    let annotated = begun.iter().rposition(|token| *token == "]");
    let begun = &begun[annotated.map_or(0, |at| at + 1)..];
    match body.map(|body| body.keyword) {
        None => at_top(begun),
        Some("module") => in_module(begun),
        Some("struct" | "exception") if begun.is_empty() => Expected::Value,
        Some("interface") => in_interface(begun),
        Some(_) => Expected::Nothing,
    }
}

fn at_top(begun: &[&str]) -> Expected {
    match begun {
        // The `;` after an import is optional.
        [] | ["import", _] | [.., "import", _] => Expected::TopLevel,
        [.., "import"] => Expected::Import,
        _ => Expected::Nothing,
    }
}

fn in_annotations(list: &[&str]) -> Expected {
    match list {
        [.., "[" | ","] => Expected::Annotation,
        [.., key, "="] if key.starts_with("skeleton_") => Expected::Flag,
        _ => Expected::Nothing,
    }
}

fn in_module(begun: &[&str]) -> Expected {
    match begun {
        [] => Expected::Element,
        ["interface", _] => Expected::Extends,
        ["interface", _, "extends"] => Expected::Base,
        ["dictionary", "<"] => Expected::Key,
        ["const"] => Expected::Builtin,
        ["sequence", "<"] | ["dictionary", "<", .., ","] => Expected::Value,
        _ => Expected::Nothing,
    }
}

fn in_interface(begun: &[&str]) -> Expected {
    match begun {
        [] => Expected::Returned,
        [.., ")"] => Expected::Throws,
        [.., "throws"] => Expected::Exception,
        [.., ","] if begun.contains(&")") => Expected::Exception,
        [.., "(" | ","] => Expected::Value,
        _ => Expected::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::{Expected, context, scan};

    #[test]
    fn comments_are_not_tokens() {
        let text = "a /* b */ :: c // d\n# e\n[f=\"g // h\"] é1";
        let tokens = ["a", "::", "c", "[", "f", "=", "\"g // h\"", "]", "é1"];
        assert_eq!(scan(text).unwrap_or_default(), tokens);
        for unfinished in ["// a", "a /* b", "[c=\"d", "# é"] {
            assert_eq!(scan(unfinished), None);
        }
    }

    #[test]
    fn open_brackets_and_the_last_tokens_tell_what_is_expected() {
        for (before, expected) in [
            ("", Expected::TopLevel),
            ("imp", Expected::TopLevel),
            ("import ba", Expected::Import),
            ("import base\nmod", Expected::TopLevel),
            ("module m", Expected::Nothing),
            ("module m { str", Expected::Element),
            ("module m { struct S { in", Expected::Value),
            ("module m { struct S { int na", Expected::Nothing),
            ("module m { struct S { int a; ", Expected::Value),
            ("module m { struct S { int a; }; ", Expected::Element),
            ("module m { interface I ex", Expected::Extends),
            ("module m { interface I extends ", Expected::Base),
            ("module m { interface I { ", Expected::Returned),
            ("module m { interface I { void f(", Expected::Value),
            ("module m { interface I { void f(int a, St", Expected::Value),
            ("module m { interface I { void f(int a", Expected::Nothing),
            ("module m { interface I { [index=1] ", Expected::Returned),
            ("module m { [", Expected::Annotation),
            ("module m { [index=1, ", Expected::Annotation),
            ("module m { [index=", Expected::Nothing),
            ("module m { [skeleton_rust=f", Expected::Flag),
            ("module m { dictionary<", Expected::Key),
            ("module m { dictionary<string, ", Expected::Value),
            ("module m { sequence<", Expected::Value),
            ("module m { // str", Expected::Nothing),
            ("module m { } ", Expected::TopLevel),
            ("module m { exception E { in", Expected::Value),
            ("module m { exception E { int a; }; ", Expected::Element),
            ("module m { enum E { A, ", Expected::Nothing),
            ("module m { enum E { A }; en", Expected::Element),
            ("module m { const in", Expected::Builtin),
            ("module m { const int A", Expected::Nothing),
            ("module m { struct S { int enum; ", Expected::Value),
            ("module m { interface I { void f() thr", Expected::Throws),
            (
                "module m { interface I { void f(int a) throws ",
                Expected::Exception,
            ),
            (
                "module m { interface I { void f(int a) throws A, B",
                Expected::Exception,
            ),
            (
                "module m { interface I { void exception(int enum, ",
                Expected::Value,
            ),
            ("{ {", Expected::Nothing),
            ("} } ", Expected::TopLevel),
        ] {
            assert_eq!(context(before).expected, expected, "after `{before}`");
        }
    }

    #[test]
    fn modules_around_and_before_the_cursor_are_known() {
        let context = context("module a { struct S { b::Or");
        assert_eq!(context.expected, Expected::Value);
        assert_eq!((context.module, context.qualifier), (Some("a"), Some("b")));
    }
}
