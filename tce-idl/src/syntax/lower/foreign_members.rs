//! Members and operations with constructs of other languages.

use super::Rule;
use super::foreign::{BrokenPart, foreign};
use crate::diagnostic::{Code, Diagnostic};

/// Words that other languages allow before a member or an operation.
const MODIFIERS: &[(&[&str], &str)] = &[
    (
        &["optional", "required"],
        "remove it: every member is always sent",
    ),
    (
        &["repeated"],
        "declare a sequence, and use its name as the type",
    ),
    (
        &["const", "static", "readonly", "mutable", "final", "virtual"],
        "remove it",
    ),
    (
        &["public", "private", "protected"],
        "remove it: everything in an IDL is public",
    ),
    (
        &["unsigned", "signed"],
        "remove it: `byte` is unsigned; `short`, `int` and `long` are signed",
    ),
    (
        &["oneway", "async", "twoway", "rpc"],
        "remove it: the caller chooses, with the generated methods `NAME_oneway` and `NAME_async`",
    ),
    (
        &["enum", "exception", "typedef", "union"],
        "a member is written `TYPE NAME;`, an operation `TYPE NAME(…);`",
    ),
];

/// Explains a word that other languages allow before a member or an operation.
pub(super) fn modifier(broken: &BrokenPart) -> Option<Diagnostic> {
    let first = broken.tokens.first()?;
    if first.text == "idempotent" && broken.at > 0 {
        let message = "`idempotent` is an annotation";
        let diagnostic = Diagnostic::new(Code::ForeignConstruct, message).at(first.span, "");
        return Some(diagnostic.fix("write `[idempotent]`", first.span, "[idempotent]"));
    }
    let (_, help) = MODIFIERS
        .iter()
        .find(|(words, _)| words.contains(&first.text.as_str()))?;
    // A type may have such a name.
    (broken.at > 0).then(|| foreign(&first.text, first.span, help))
}

/// Explains a member or an operation with an unexpected token.
pub(super) fn part(broken: &BrokenPart) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at)?;
    let before = broken.word(broken.at.wrapping_sub(1));
    let operation = broken.rule == Rule::just_operation;
    let say = |code, message: &str, help: &str| {
        Some(Diagnostic::new(code, message).at(found.span, "").help(help))
    };
    match found.text.as_str() {
        "=" if operation => say(
            Code::ForeignConstruct,
            "TCE has no default values",
            "remove it: the caller passes every parameter",
        ),
        "=" => say(
            Code::ForeignConstruct,
            "TCE has no default values and no field numbers",
            "remove it: a member that was not set is sent as zero, false or empty",
        ),
        "[" => say(
            Code::ForeignConstruct,
            "TCE has no arrays",
            "declare a sequence, `sequence<int> IntList;`, and use its name as the type",
        ),
        "*" | "&" => say(
            Code::ForeignConstruct,
            "TCE has no pointers and no references",
            "remove it: values are copied, not referenced",
        ),
        "?" => say(
            Code::ForeignConstruct,
            "TCE has no optional members",
            "remove it: every member is always sent",
        ),
        "throw" | "raises" | "raise" if operation => {
            let message = format!("exceptions are named behind `throws`, not `{}`", found.text);
            let diagnostic = Diagnostic::new(Code::ForeignConstruct, message).at(found.span, "");
            Some(match broken.word(broken.at + 1) {
                "(" => diagnostic.help("write `throws NotFound, Denied;`"),
                _ => diagnostic.fix("write `throws`", found.span, "throws"),
            })
        }
        "(" if operation && before.eq_ignore_ascii_case("throws") => say(
            Code::ForeignConstruct,
            "the exceptions behind `throws` have no parentheses",
            "write `throws NotFound, Denied;`",
        ),
        _ if operation && before.eq_ignore_ascii_case("throws") => say(
            Code::Unexpected,
            "`throws` needs the name of an exception",
            "write, for example, `throws NotFound, Denied;`",
        ),
        ";" if operation && before == "," => {
            let comma = broken.tokens.get(broken.at.checked_sub(1)?)?;
            let message = "an exception is missing after this `,`";
            let diagnostic = Diagnostic::new(Code::Unexpected, message).at(comma.span, "");
            Some(diagnostic.fix("remove it", comma.span, ""))
        }
        "(" if !operation => say(
            Code::Unexpected,
            "a struct can't have operations",
            "move the operation to an interface",
        ),
        "{" if operation => say(
            Code::Unexpected,
            "an operation can't have a body in an IDL",
            "end it with `;`: the body is in the servant's code",
        ),
        ";" if operation && !broken.tokens.iter().any(|token| token.text == "(") => {
            let diagnostic = Diagnostic::new(
                Code::Unexpected,
                "an operation needs a parameter list, even if it is empty",
            );
            Some(diagnostic.at(found.span, "expected `(` here").fix(
                "write `();`",
                found.span,
                "();",
            ))
        }
        "," if !operation => say(
            Code::Unexpected,
            "each member needs its own declaration",
            "write `TYPE NAME;` for each",
        ),
        ":" => say(
            Code::ForeignConstruct,
            "the type comes before the name, without `:`",
            "write `TYPE NAME`",
        ),
        "," | ")" if operation => parameter(broken, before),
        _ if operation => direction(broken),
        _ if found.text.starts_with(|c: char| c.is_ascii_digit()) && broken.at == 0 => say(
            Code::ForeignConstruct,
            "TCE has no field numbers",
            "remove it: members are sent in declared order",
        ),
        _ => None,
    }
}

/// Explains `f(void)`, `f(int)` and `f(int a,,)`.
fn parameter(broken: &BrokenPart, before: &str) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at)?;
    let last = broken.tokens.get(broken.at.checked_sub(1)?)?;
    match before {
        "," => {
            let diagnostic =
                Diagnostic::new(Code::Unexpected, "a parameter is missing after this `,`");
            Some(diagnostic.at(last.span, "").fix("remove it", last.span, ""))
        }
        "void" => {
            let diagnostic = Diagnostic::new(
                Code::ForeignConstruct,
                "an empty parameter list is `()`, not `(void)`",
            )
            .at(last.span, "");
            Some(diagnostic.fix("remove `void`", last.span, ""))
        }
        _ if broken.expected.contains(&Rule::name) => {
            let diagnostic =
                Diagnostic::new(Code::Unexpected, "a parameter needs a name after its type");
            Some(
                diagnostic
                    .at(found.span.before(), "expected a name here")
                    .help(format!("write, for example, `{before} value`")),
            )
        }
        _ => None,
    }
}

/// Explains `f(out string a)`.
fn direction(broken: &BrokenPart) -> Option<Diagnostic> {
    let at = (1..broken.tokens.len()).find(|at| {
        let opened = matches!(broken.word(at - 1), "(" | ",");
        opened && matches!(broken.word(*at), "out" | "in" | "inout" | "ref" | "const")
    })?;
    let token = &broken.tokens[at];
    let help = match token.text.as_str() {
        "in" | "const" => "remove it: parameters are only sent to the servant",
        _ => "return the value, or a struct for several values",
    };
    (at < broken.at || at + 1 == broken.at).then(|| foreign(&token.text, token.span, help))
}

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

/// Explains `list<int>` where the name of a type is expected.
pub(super) fn unnamed_type(broken: &BrokenPart) -> Option<Diagnostic> {
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
        format!("a {keyword} type needs a declaration that names it"),
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
        "declare `{example};` in the module, and write `{name}` here"
    )))
}

fn is_generic(broken: &BrokenPart, at: usize) -> bool {
    broken.word(at + 1) == "<" && GENERICS.contains(&broken.word(at).to_ascii_lowercase().as_str())
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
