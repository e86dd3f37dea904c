//! Characters that look like ours, and strings without an end.

use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::Name;

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
