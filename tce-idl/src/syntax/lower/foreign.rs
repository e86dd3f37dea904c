//! What people bring from other interface languages, and characters that look
//! like ours: each is told what TCE has instead.

use super::Rule;
use super::explain::Broken;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::Name;

/// Words that begin a declaration elsewhere, and what to do here.
const ELEMENTS: &[(&[&str], &str)] = &[
    (&["enum"], "use an `int`, and name its values in a comment"),
    (
        &["class", "valuetype"],
        "declare a `struct` for data, an `interface` for operations",
    ),
    (
        &["typedef", "using", "type"],
        "only sequences and dictionaries are named: `sequence<int> Numbers;`",
    ),
    (
        &["const", "define"],
        "write the value where it is used, and document it in a comment",
    ),
    (
        &["exception", "error"],
        "any operation can fail: the caller gets an error without a declaration for it",
    ),
    (
        &["union", "oneof", "variant"],
        "declare a `struct` that holds each of the cases",
    ),
    (&["service", "protocol"], "declare an `interface`"),
    (&["message", "record"], "declare a `struct`"),
    (
        &["list", "vector", "array", "set"],
        "declare a sequence: `sequence<int> Numbers;`",
    ),
    (
        &["map"],
        "declare a dictionary: `dictionary<string, int> Counts;`",
    ),
    (
        &["import", "include"],
        "write `import NAME` before the first module of the file",
    ),
    (
        &["package", "namespace"],
        "open a module: `module NAME { … }`",
    ),
    (&["option", "syntax", "pragma"], "leave it out"),
];

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
        &["oneway", "async", "twoway", "idempotent", "rpc"],
        "leave it out: the caller chooses, by `NAME_oneway` or `NAME_async`",
    ),
    (
        &["enum", "exception", "typedef", "union"],
        "a member is written `TYPE NAME;`, an operation `TYPE NAME(…);`",
    ),
];

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

/// What is special about a broken piece; `None` for an ordinary slip.
pub(super) fn explain(broken: &Broken) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at);
    found
        .and_then(open_string)
        .or_else(|| found.and_then(odd_character))
        .or_else(|| unnamed_type(broken))
        .or_else(|| match broken.rule {
            Rule::file | Rule::element => element(broken),
            Rule::just_interface => base(broken),
            Rule::just_struct => structure(broken),
            Rule::just_import => import(broken),
            Rule::just_member | Rule::just_operation => modifier(broken).or_else(|| part(broken)),
            _ => None,
        })
}

fn foreign(word: &str, span: Span, help: &str) -> Diagnostic {
    Diagnostic::new(Code::ForeignConstruct, format!("TCE has no `{word}`"))
        .at(span, "")
        .help(help)
}

fn open_string(token: &Name) -> Option<Diagnostic> {
    let open = token.text.starts_with('"') && (token.text.len() == 1 || !token.text.ends_with('"'));
    let diagnostic = Diagnostic::new(
        Code::UnterminatedString,
        "this string does not end on its line",
    );
    open.then(|| diagnostic.at(token.span, "").help("close it with `\"`"))
}

/// A character of no word, with the ASCII one that it resembles.
fn odd_character(token: &Name) -> Option<Diagnostic> {
    let odd = token
        .text
        .chars()
        .next()
        .filter(|c| !c.is_ascii() && !c.is_alphabetic())?;
    let like = match odd {
        // The full-width forms repeat ASCII at a fixed distance.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(odd) - 0xfee0)?.to_string(),
        '“' | '”' | '„' | '«' | '»' | '‘' | '’' => "\"".to_owned(),
        '、' => ",".to_owned(),
        '。' => ";".to_owned(),
        '【' | '〔' => "[".to_owned(),
        '】' | '〕' => "]".to_owned(),
        '《' | '〈' => "<".to_owned(),
        '》' | '〉' => ">".to_owned(),
        '–' | '—' | '−' => "-".to_owned(),
        odd if odd.is_whitespace() || is_invisible(odd) => " ".to_owned(),
        _ => {
            let message = format!("the character `{odd}` has no meaning here");
            return Some(Diagnostic::new(Code::BadCharacter, message).at(token.span, ""));
        }
    };
    let name = format!("U+{:04X}", u32::from(odd));
    let diagnostic = if like == " " {
        Diagnostic::new(
            Code::BadCharacter,
            format!("this looks like a space, but is the character {name}"),
        )
        .fix("write an ordinary space", token.span, " ")
    } else {
        Diagnostic::new(
            Code::BadCharacter,
            format!("`{odd}` ({name}) only looks like `{like}`"),
        )
        .fix(format!("write `{like}`"), token.span, like)
    };
    Some(diagnostic.at(token.span, ""))
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// `list<int>` where the name of a type is expected.
fn unnamed_type(broken: &Broken) -> Option<Diagnostic> {
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

/// The first word of something that is no element.
fn element(broken: &Broken) -> Option<Diagnostic> {
    let first = broken.tokens.first()?;
    let word = first.text.to_ascii_lowercase();
    if let Some((_, help)) = ELEMENTS
        .iter()
        .find(|(words, _)| words.contains(&word.as_str()))
    {
        if word == "import" {
            let diagnostic =
                Diagnostic::new(Code::Unexpected, "an import stands outside of modules");
            return Some(diagnostic.at(first.span, "").help(*help));
        }
        return Some(foreign(&first.text, first.span, help));
    }
    let known: &[&str] = match broken.rule {
        Rule::file => &["import", "module"],
        _ => &["struct", "interface", "sequence", "dictionary"],
    };
    let near = known
        .iter()
        .find(|known| strsim::damerau_levenshtein(known, &word) <= 2)?;
    let message = format!("`{}` begins no declaration", first.text);
    let diagnostic = Diagnostic::new(Code::Unexpected, message).at(first.span, "");
    Some(diagnostic.fix(format!("did you mean `{near}`?"), first.span, *near))
}

/// `interface A : B`, `interface A extends B, C`
fn base(broken: &Broken) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at)?;
    match found.text.as_str() {
        ":" | "implements" | "inherits" | "<" => {
            let message = format!("a base is given by `extends`, not by `{}`", found.text);
            let diagnostic = Diagnostic::new(Code::ForeignConstruct, message).at(found.span, "");
            Some(diagnostic.fix(
                "write `extends`",
                found.span,
                if found.text == ":" {
                    " extends"
                } else {
                    "extends"
                },
            ))
        }
        "," => {
            let span = found.span.to(broken.tokens.last()?.span);
            let message = "an interface has at most one base";
            let diagnostic =
                Diagnostic::new(Code::ForeignConstruct, message).at(span, "more than one");
            Some(diagnostic.help("extend one of them; let that one extend the next, or let a servant serve several interfaces"))
        }
        _ => None,
    }
}

/// `struct A extends B`, `struct A;`
fn structure(broken: &Broken) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at)?;
    match found.text.as_str() {
        "extends" | ":" | "implements" => {
            let diagnostic =
                Diagnostic::new(Code::ForeignConstruct, "a struct has no base").at(found.span, "");
            Some(diagnostic.help("give it a member of the other struct's type"))
        }
        ";" => Some(forward(found)),
        _ => None,
    }
}

fn forward(semicolon: &Name) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code::ForeignConstruct, "TCE has no forward declarations")
        .at(semicolon.span, "expected `{` here");
    diagnostic.help("leave it out: a type may be used before it is declared")
}

/// `import "x.idl"`, `import x.idl`
fn import(broken: &Broken) -> Option<Diagnostic> {
    let found = broken
        .tokens
        .get(broken.at)
        .filter(|token| token.text != ";")?;
    let last = broken.tokens.iter().rfind(|token| token.text != ";")?;
    let quoted = broken.tokens.get(1)?.span.to(last.span);
    let words = broken.tokens[1..]
        .iter()
        .filter(|token| token.text != ";")
        .map(|token| token.text.as_str());
    let file: String = words.collect();
    let file = file.trim_matches(['"', '\'', '<', '>']);
    let name = file.strip_suffix(".idl").unwrap_or(file);
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let diagnostic = Diagnostic::new(
        Code::Unexpected,
        "an import names a file without folder and ending",
    );
    Some(if plain && broken.at > 0 {
        diagnostic
            .at(quoted, "")
            .fix(format!("write `import {name}`"), quoted, name)
    } else {
        diagnostic
            .at(found.span, "")
            .help("`import NAME` finds `NAME.idl` beside this file or on the include path")
    })
}

/// A word that another language writes before a member or an operation.
fn modifier(broken: &Broken) -> Option<Diagnostic> {
    let first = broken.tokens.first()?;
    let (_, help) = MODIFIERS
        .iter()
        .find(|(words, _)| words.contains(&first.text.as_str()))?;
    // A type or an operation may have such a name.
    (broken.at > 0).then(|| foreign(&first.text, first.span, help))
}

/// A member or an operation that comes apart at some sign.
fn part(broken: &Broken) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at)?;
    let before = broken.word(broken.at.wrapping_sub(1));
    let operation = broken.rule == Rule::just_operation;
    let say = |code, message: &str, help: &str| {
        Some(Diagnostic::new(code, message).at(found.span, "").help(help))
    };
    match found.text.as_str() {
        ";" if broken.at == 0 => {
            let diagnostic =
                Diagnostic::new(Code::Unexpected, "this `;` ends nothing").at(found.span, "");
            Some(diagnostic.fix("remove it", found.span, ""))
        }
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
            let diagnostic =
                Diagnostic::new(Code::ForeignConstruct, "no parameters are written `()`")
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
