//! What people bring from other interface languages, and characters that look
//! like ours: each is told what TCE has instead.

mod part;

use super::Rule;
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

/// What is special about a broken piece; `None` for an ordinary slip.
pub(super) fn explain(broken: &Broken) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at);
    found
        .and_then(character::open_string)
        .or_else(|| found.and_then(character::odd_character))
        .or_else(|| unnamed::unnamed_type(broken))
        .or_else(|| match broken.rule {
            Rule::file | Rule::element => element(broken),
            Rule::just_interface => base(broken),
            Rule::just_struct => structure(broken),
            Rule::just_import => import(broken),
            Rule::just_member | Rule::just_operation => {
                part::modifier(broken).or_else(|| part::part(broken))
            }
            _ => None,
        })
}

fn foreign(word: &str, span: Span, help: &str) -> Diagnostic {
    Diagnostic::new(Code::ForeignConstruct, format!("TCE has no `{word}`"))
        .at(span, "")
        .help(help)
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
    let message = format!("no declaration begins with `{}`", first.text);
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

/// A broken piece, and how far it can be followed.
pub(super) struct Broken {
    /// What it should have been.
    pub(super) rule: Rule,
    /// Its words and signs, at least one.
    pub(super) tokens: Vec<Name>,
    /// The first of them that does not fit; their number where the text ends too early.
    pub(super) at: usize,
    pub(super) expected: Vec<Rule>,
}

impl Broken {
    /// The text of a token; empty beyond the last.
    pub(super) fn word(&self, index: usize) -> &str {
        self.tokens
            .get(index)
            .map_or("", |token| token.text.as_str())
    }
}

pub(super) fn open_string(token: &Name) -> Option<Diagnostic> {
    let open = token.text.starts_with('"') && (token.text.len() == 1 || !token.text.ends_with('"'));
    let diagnostic = Diagnostic::new(
        Code::UnterminatedString,
        "this string does not end on its line",
    );
    open.then(|| diagnostic.at(token.span, "").help("close it with `\"`"))
}

/// A character of no word, with the ASCII one that it resembles.
pub(super) fn odd_character(token: &Name) -> Option<Diagnostic> {
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
