//! Sequences and dictionaries that are used without giving them a name first.

use super::{Broken, Rule};
use crate::diagnostic::{Code, Diagnostic};

const GENERICS: &[&str] = &[
    "sequence",
    "list",
    "vector",
    "array",
    "set",
    "seq",
    "dictionary",
    "map",
    "dict",
    "hashmap",
];

/// `list<int>` where the name of a type is expected.
pub(super) fn unnamed_type(broken: &Broken) -> Option<Diagnostic> {
    let inside = matches!(
        broken.rule,
        Rule::just_member | Rule::just_operation | Rule::just_sequence | Rule::just_dictionary
    );
    let declared = usize::from(matches!(
        broken.rule,
        Rule::just_sequence | Rule::just_dictionary
    ));
    let at = (declared..broken.tokens.len())
        .find(|at| is_generic(broken, *at))
        .filter(|_| inside)?;
    let close = at
        + broken.tokens[at..]
            .iter()
            .position(|token| token.text == ">")?;
    let keyword = match broken.word(at).to_ascii_lowercase().as_str() {
        "dictionary" | "map" | "dict" | "hashmap" => "dictionary",
        _ => "sequence",
    };
    let span = broken.tokens[at].span.to(broken.tokens[close].span);
    let diagnostic = Diagnostic::new(
        Code::UnnamedType,
        format!("a {keyword} needs a name of its own"),
    )
    .at(span, "");
    let types: Vec<&str> = broken.tokens[at + 2..close]
        .iter()
        .map(|token| token.text.as_str())
        .collect();
    let example = match (keyword, types.as_slice()) {
        ("sequence", [element]) => format!("sequence<{element}> {}List", capitalised(element)),
        ("dictionary", [key, ",", value]) => {
            format!("dictionary<{key}, {value}> {}Map", capitalised(value))
        }
        _ => format!("{keyword}<…> NAME"),
    };
    let name = example.rsplit(' ').next().unwrap_or_default();
    Some(diagnostic.help(format!(
        "declare it in the module, `{example};`, and write `{name}` here"
    )))
}

fn is_generic(broken: &Broken, at: usize) -> bool {
    broken.word(at + 1) == "<" && GENERICS.contains(&broken.word(at).to_ascii_lowercase().as_str())
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
