//! Members and operations as other languages write them.

use super::{Broken, Rule, foreign};
use crate::diagnostic::{Code, Diagnostic};

/// Words that stand before a member or an operation elsewhere.
const MODIFIERS: &[(&[&str], &str)] = &[
    (
        &["optional", "required"],
        "leave it out: every member is always sent",
    ),
    (
        &["repeated"],
        "declare a sequence, and use its name as the type",
    ),
    (
        &["const", "static", "readonly", "mutable", "final", "virtual"],
        "leave it out",
    ),
    (
        &["public", "private", "protected"],
        "leave it out: everything in an IDL is public",
    ),
    (
        &["unsigned", "signed"],
        "leave it out: `byte` is unsigned; `short`, `int` and `long` are signed",
    ),
    (
        &["oneway", "async", "twoway", "rpc"],
        "leave it out: the caller chooses, by the generated methods `NAME_oneway` and `NAME_async`",
    ),
    (
        &["idempotent"],
        "leave it out: no call is repeated by itself, and the caller decides whether to repeat one",
    ),
    (
        &["enum", "exception", "typedef", "union"],
        "a member is written `TYPE NAME;`, an operation `TYPE NAME(…);`",
    ),
];

/// A word that another language writes before a member or an operation.
pub(super) fn modifier(broken: &Broken) -> Option<Diagnostic> {
    let first = broken.tokens.first()?;
    let (_, help) = MODIFIERS
        .iter()
        .find(|(words, _)| words.contains(&first.text.as_str()))?;
    // A type or an operation may have such a name.
    (broken.at > 0).then(|| foreign(&first.text, first.span, help))
}

/// A member or an operation that comes apart at some sign.
pub(super) fn part(broken: &Broken) -> Option<Diagnostic> {
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
            "leave it out: the caller gives every parameter",
        ),
        "=" => say(
            Code::ForeignConstruct,
            "TCE has no default values and no field numbers",
            "leave it out: a member that was not set is sent as zero, false or empty",
        ),
        "[" => say(
            Code::ForeignConstruct,
            "TCE has no arrays",
            "declare a sequence, `sequence<int> IntList;`, and use its name as the type",
        ),
        "*" | "&" => say(
            Code::ForeignConstruct,
            "TCE has no pointers and no references",
            "leave it out: values are sent whole",
        ),
        "?" => say(
            Code::ForeignConstruct,
            "TCE has no optional members",
            "leave it out: every member is always sent",
        ),
        "throws" | "raises" => say(
            Code::ForeignConstruct,
            &format!("TCE has no `{}`", found.text),
            "leave it out: any operation can fail, and its caller gets the error",
        ),
        "(" if !operation => say(
            Code::Unexpected,
            "a struct has members, not operations",
            "move the operation to an interface",
        ),
        "{" if operation => say(
            Code::Unexpected,
            "an operation has no body in an IDL",
            "end it with `;`: the servant's code is where its body is",
        ),
        ";" if operation && !broken.tokens.iter().any(|token| token.text == "(") => {
            let diagnostic = Diagnostic::new(
                Code::Unexpected,
                "an operation needs its parameters, even if there are none",
            );
            Some(diagnostic.at(found.span, "expected `(` here").fix(
                "write `();`",
                found.span,
                "();",
            ))
        }
        "," if !operation => say(
            Code::Unexpected,
            "each member has a declaration of its own",
            "write `TYPE NAME;` for each",
        ),
        ":" => say(
            Code::ForeignConstruct,
            "the type stands before the name, without `:`",
            "write `TYPE NAME`",
        ),
        "," | ")" if operation => parameter(broken, before),
        _ if operation => direction(broken),
        _ if found.text.starts_with(|c: char| c.is_ascii_digit()) && broken.at == 0 => say(
            Code::ForeignConstruct,
            "TCE does not number members",
            "leave it out: members are sent in declared order",
        ),
        _ => None,
    }
}

/// `f(void)`, `f(int)`, `f(int a,)`
fn parameter(broken: &Broken, before: &str) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at)?;
    let last = broken.tokens.get(broken.at.checked_sub(1)?)?;
    match before {
        "," => {
            let diagnostic =
                Diagnostic::new(Code::Unexpected, "there is no parameter after this `,`");
            Some(diagnostic.at(last.span, "").fix("remove it", last.span, ""))
        }
        "void" => {
            let diagnostic = Diagnostic::new(
                Code::ForeignConstruct,
                "an operation without parameters is written with `()`",
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
                    .help(format!("as `{before} value`")),
            )
        }
        _ => None,
    }
}

/// `f(out string a)`
fn direction(broken: &Broken) -> Option<Diagnostic> {
    let at = (1..broken.tokens.len()).find(|at| {
        let opened = matches!(broken.word(at - 1), "(" | ",");
        opened && matches!(broken.word(*at), "out" | "in" | "inout" | "ref" | "const")
    })?;
    let token = &broken.tokens[at];
    let help = match token.text.as_str() {
        "in" | "const" => "leave it out: every parameter goes to the servant only",
        _ => "return the value; return a struct for more than one",
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
