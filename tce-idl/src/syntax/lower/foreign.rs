//! Constructs of other interface languages, and characters that look like those
//! of the IDL: the diagnostic says what to write in TCE instead.

use super::Rule;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::Identifier;

/// A part that does not match a rule, and where.
pub(super) struct BrokenPart {
    /// The rule that it should match.
    pub(super) rule: Rule,
    /// Its words and punctuation marks, at least one.
    pub(super) tokens: Vec<Identifier>,
    /// The first token that does not match; the number of tokens if the text ends too early.
    pub(super) at: usize,
    pub(super) expected: Vec<Rule>,
}

impl BrokenPart {
    /// The text of a token; empty beyond the last.
    pub(super) fn word(&self, index: usize) -> &str {
        self.tokens
            .get(index)
            .map_or("", |token| token.text.as_str())
    }
}

/// Words that begin a declaration in other languages, and what to write in TCE.
const ELEMENTS: &[(&[&str], &str)] = &[
    (
        &["class", "valuetype"],
        "declare a `struct` for data, an `interface` for operations",
    ),
    (
        &["typedef", "using", "type"],
        "TCE has no aliases; only sequences and dictionaries get a name: `sequence<int> Numbers;`",
    ),
    (&["define"], "declare a constant: `const int LIMIT = 10;`"),
    (
        &["error"],
        "declare an `exception`, and name it behind an operation: `void f() throws Denied;`",
    ),
    (
        &["union", "oneof", "variant"],
        "declare a `struct` with a member for each case",
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
    (&["option", "syntax", "pragma"], "remove it"),
];

/// Reports a construct that TCE does not have.
pub(super) fn foreign(word: &str, span: Span, help: &str) -> Diagnostic {
    Diagnostic::new(Code::ForeignConstruct, format!("TCE has no `{word}`"))
        .at(span, "")
        .help(help)
}

/// Explains the first word of a part that is not an element.
pub(super) fn element(broken: &BrokenPart) -> Option<Diagnostic> {
    let first = broken.tokens.first()?;
    let word = first.text.to_ascii_lowercase();
    if let Some((_, help)) = ELEMENTS
        .iter()
        .find(|(words, _)| words.contains(&word.as_str()))
    {
        if word == "import" {
            let diagnostic =
                Diagnostic::new(Code::Unexpected, "imports are not allowed inside a module");
            return Some(diagnostic.at(first.span, "").help(*help));
        }
        return Some(foreign(&first.text, first.span, help));
    }
    let known: &[&str] = match broken.rule {
        Rule::file => &["import", "module"],
        _ => &[
            "struct",
            "interface",
            "sequence",
            "dictionary",
            "enum",
            "exception",
            "const",
        ],
    };
    let near = known
        .iter()
        .find(|known| strsim::damerau_levenshtein(known, &word) <= 2)?;
    let message = format!("no declaration begins with `{}`", first.text);
    let diagnostic = Diagnostic::new(Code::Unexpected, message).at(first.span, "");
    Some(diagnostic.fix(format!("did you mean `{near}`?"), first.span, *near))
}

/// Explains `interface A : B` and `interface A extends B, C`.
pub(super) fn base(broken: &BrokenPart) -> Option<Diagnostic> {
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
            Some(diagnostic.help("extend one of them, and let that one extend the next; or let one program serve several interfaces"))
        }
        _ => None,
    }
}

/// Explains `struct A extends B` and `struct A;`.
pub(super) fn structure(broken: &BrokenPart) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at)?;
    match found.text.as_str() {
        "extends" | ":" | "implements" => {
            let (message, help) = match broken.rule {
                Rule::just_exception => (
                    "an exception can't have a base",
                    "repeat the members; an operation can name several exceptions behind `throws`",
                ),
                _ => (
                    "a struct can't have a base",
                    "add a member of the other struct's type",
                ),
            };
            let diagnostic = Diagnostic::new(Code::ForeignConstruct, message).at(found.span, "");
            Some(diagnostic.help(help))
        }
        ";" => Some(forward(found)),
        _ => None,
    }
}

fn forward(semicolon: &Identifier) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code::ForeignConstruct, "TCE has no forward declarations")
        .at(semicolon.span, "expected `{` here");
    diagnostic.help("remove it: a type can be used before its declaration")
}

/// Explains `enum class A`, `enum A : byte` and `enum A;`.
pub(super) fn enumeration(broken: &BrokenPart) -> Option<Diagnostic> {
    let found = broken.tokens.get(broken.at)?;
    let second = broken.tokens.get(1)?;
    match found.text.as_str() {
        ":" | "extends" => {
            let message = "an enum is always an `int` on the wire";
            let span = found.span.to(broken.tokens.last()?.span);
            let diagnostic = Diagnostic::new(Code::ForeignConstruct, message).at(span, "");
            Some(diagnostic.help("remove the type"))
        }
        ";" => Some(forward(found)),
        _ if broken.at == 2 && matches!(second.text.as_str(), "class" | "struct") => Some(foreign(
            "enum class",
            second.span,
            "write `enum NAME { … };`",
        )),
        _ => None,
    }
}

/// Explains `RED = "red"` and `RED = 1 << 2`.
pub(super) fn enumerator(broken: &BrokenPart) -> Option<Diagnostic> {
    let is_value = broken.word(1) == "=" && broken.at >= 2;
    let found = broken.tokens.get(broken.at);
    let message = match found.map_or("", |found| found.text.as_str()) {
        "(" => "a member of an enum has no parameters",
        "" | "," if is_value => "a number is missing after `=`",
        _ if is_value => "the value of a member of an enum is a whole number",
        _ => return None,
    };
    let span = found.or(broken.tokens.last())?.span;
    let diagnostic = Diagnostic::new(Code::Unexpected, message).at(span, "");
    Some(
        diagnostic.help(
            "write `NAME = 5`, or `NAME` alone for the number after that of the member before",
        ),
    )
}

/// Explains `import "x.idl"` and `import x.idl`.
pub(super) fn import(broken: &BrokenPart) -> Option<Diagnostic> {
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
        "an import names a file without folder and extension",
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

pub(super) fn open_string(token: &Identifier) -> Option<Diagnostic> {
    let open = token.text.starts_with('"') && (token.text.len() == 1 || !token.text.ends_with('"'));
    let diagnostic = Diagnostic::new(
        Code::UnterminatedString,
        "this string does not end on its line",
    );
    open.then(|| diagnostic.at(token.span, "").help("close it with `\"`"))
}

/// Explains a character that is not part of a word, with the ASCII character that it resembles.
pub(super) fn odd_character(token: &Identifier) -> Option<Diagnostic> {
    let odd = token
        .text
        .chars()
        .next()
        .filter(|c| !c.is_ascii() && !c.is_alphabetic())?;
    let like = match odd {
        // The full-width forms have a fixed distance from ASCII.
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
            let message = format!("unexpected character `{odd}`");
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
            format!("`{odd}` ({name}) looks like `{like}`, but is another character"),
        )
        .fix(format!("write `{like}`"), token.span, like)
    };
    Some(diagnostic.at(token.span, ""))
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}
