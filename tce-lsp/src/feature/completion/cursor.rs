//! Where in a file the cursor is, from what stands before it. The file need
//! not be right: only the brackets that are open count, and the last few words.

/// The words and signs of a text, without comments and strings; a string is an
/// empty one. `None` where the text ends within a comment or a string.
pub(super) fn scan(text: &str) -> Option<Vec<&str>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") || first == '#' {
            rest.find('\n')?
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.find("*/")? + 4
        } else if let Some(string) = rest.strip_prefix('"') {
            tokens.push("\"\"");
            string.find(['"', '\n'])? + 2
        } else if is_word(first) {
            let end = rest.find(|next| !is_word(next)).unwrap_or(rest.len());
            tokens.push(&rest[..end]);
            end
        } else if rest.starts_with("::") {
            tokens.push("::");
            2
        } else {
            tokens.push(&rest[..first.len_utf8()]);
            first.len_utf8()
        };
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// What can stand at the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A name that only the author knows, or a sign.
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
    /// The type of a dictionary's key.
    Key,
    /// The type of a value.
    Value,
    /// A type, or `void`.
    Returned,
}

/// Where the cursor is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) wanted: Wanted,
    /// The module around the cursor.
    pub(super) module: Option<&'a str>,
    /// The module that is written before `::`.
    pub(super) qualifier: Option<&'a str>,
}

/// The place after a text. The word that the text ends with is being typed, and does not count.
pub(super) fn find(before: &str) -> Place<'_> {
    let Some(tokens) = scan(before.trim_end_matches(is_word)) else {
        return Place {
            wanted: Wanted::Nothing,
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
    Place {
        wanted: wanted(rest, bodies.last()),
        module: module.map(|body| body.name),
        qualifier,
    }
}

/// A `{` that is open, and what opened it.
struct Body<'a> {
    keyword: &'a str,
    name: &'a str,
}

/// The bodies around the end of a text, the outermost first.
fn bodies<'a>(tokens: &[&'a str]) -> Vec<Body<'a>> {
    let mut bodies = Vec::new();
    let mut head = Body {
        keyword: "",
        name: "",
    };
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "module" | "struct" | "interface" => {
                head = Body {
                    keyword: token,
                    name: tokens.get(at + 1).copied().unwrap_or_default(),
                };
            }
            "{" => bodies.push(std::mem::replace(
                &mut head,
                Body {
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

/// What can come after some words and signs, in a body.
fn wanted(tokens: &[&str], body: Option<&Body<'_>>) -> Wanted {
    let start = tokens
        .iter()
        .rposition(|token| matches!(*token, "{" | "}" | ";"));
    // What has begun since the last declaration.
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
        Some("struct") if begun.is_empty() => Wanted::Value,
        Some("interface") => in_interface(begun),
        Some(_) => Wanted::Nothing,
    }
}

fn at_top(begun: &[&str]) -> Wanted {
    match begun {
        // A `;` after an import is the author's choice.
        [] | ["import", _] | [.., "import", _] => Wanted::TopLevel,
        [.., "import"] => Wanted::Import,
        _ => Wanted::Nothing,
    }
}

fn in_annotations(list: &[&str]) -> Wanted {
    match list {
        [.., "[" | ","] => Wanted::Annotation,
        [.., key, "="] if key.starts_with("skeleton_") => Wanted::Flag,
        _ => Wanted::Nothing,
    }
}

fn in_module(begun: &[&str]) -> Wanted {
    match begun {
        [] => Wanted::Element,
        ["interface", _] => Wanted::Extends,
        ["interface", _, "extends"] => Wanted::Base,
        ["dictionary", "<"] => Wanted::Key,
        ["sequence", "<"] | ["dictionary", "<", .., ","] => Wanted::Value,
        _ => Wanted::Nothing,
    }
}

fn in_interface(begun: &[&str]) -> Wanted {
    match begun {
        [] => Wanted::Returned,
        [.., "(" | ","] => Wanted::Value,
        _ => Wanted::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::scan;

    #[test]
    fn comments_and_strings_are_no_words() {
        let text = "a /* b */ :: c // d\n# e\n[f=\"g // h\"] é1";
        let tokens = ["a", "::", "c", "[", "f", "=", "\"\"", "]", "é1"];
        assert_eq!(scan(text).unwrap_or_default(), tokens);
        for unfinished in ["// a", "a /* b", "[c=\"d", "# é"] {
            assert_eq!(scan(unfinished), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, find};

    #[test]
    fn what_is_open_and_the_last_words_tell_what_can_come() {
        for (before, wanted) in [
            ("", Wanted::TopLevel),
            ("imp", Wanted::TopLevel),
            ("import ba", Wanted::Import),
            ("import base\nmod", Wanted::TopLevel),
            ("module m", Wanted::Nothing),
            ("module m { str", Wanted::Element),
            ("module m { struct S { in", Wanted::Value),
            ("module m { struct S { int na", Wanted::Nothing),
            ("module m { struct S { int a; ", Wanted::Value),
            ("module m { struct S { int a; }; ", Wanted::Element),
            ("module m { interface I ex", Wanted::Extends),
            ("module m { interface I extends ", Wanted::Base),
            ("module m { interface I { ", Wanted::Returned),
            ("module m { interface I { void f(", Wanted::Value),
            ("module m { interface I { void f(int a, St", Wanted::Value),
            ("module m { interface I { void f(int a", Wanted::Nothing),
            ("module m { interface I { [index=1] ", Wanted::Returned),
            ("module m { [", Wanted::Annotation),
            ("module m { [index=1, ", Wanted::Annotation),
            ("module m { [index=", Wanted::Nothing),
            ("module m { [skeleton_rust=f", Wanted::Flag),
            ("module m { dictionary<", Wanted::Key),
            ("module m { dictionary<string, ", Wanted::Value),
            ("module m { sequence<", Wanted::Value),
            ("module m { // str", Wanted::Nothing),
            ("module m { } ", Wanted::TopLevel),
            ("{ {", Wanted::Nothing),
            ("} } ", Wanted::TopLevel),
        ] {
            assert_eq!(find(before).wanted, wanted, "after `{before}`");
        }
    }

    #[test]
    fn modules_around_and_before_the_cursor_are_known() {
        let place = find("module a { struct S { b::Or");
        assert_eq!(place.wanted, Wanted::Value);
        assert_eq!((place.module, place.qualifier), (Some("a"), Some("b")));
    }
}
