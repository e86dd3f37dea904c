//! The tokens of a text that may have any mistakes.

/// A word, a string, a comment or a punctuation mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    /// The byte of the text at which it begins.
    pub(super) start: usize,
    /// Whether the text ends inside it: a comment or a string without its end.
    pub(super) is_open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    /// With its quotes. Without a closing one, it ends with its line.
    String,
    LineComment,
    BlockComment,
    /// One character, or `::`.
    Punctuation,
}

/// The tokens of a text, in order.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += text[at..].len() - text[at..].trim_start().len();
        let (kind, length) = first(&text[at..])?;
        let start = at;
        at = length.map_or(text.len(), |length| start + length);
        Some(Token {
            kind,
            text: &text[start..at],
            start,
            is_open: length.is_none(),
        })
    })
}

/// The kind and length of the token that a text begins with; no length if the text
/// ends inside it.
fn first(text: &str) -> Option<(TokenKind, Option<usize>)> {
    let first = text.chars().next()?;
    Some(if text.starts_with("//") || first == '#' {
        (TokenKind::LineComment, text.find(['\n', '\r']))
    } else if let Some(comment) = text.strip_prefix("/*") {
        let end = comment.find("*/");
        (TokenKind::BlockComment, end.map(|end| end + 4))
    } else if let Some(string) = text.strip_prefix('"') {
        let end = string.find(['"', '\n', '\r']);
        let is_closed = end.is_some_and(|end| string[end..].starts_with('"'));
        let length = end.map(|end| end + 1 + usize::from(is_closed));
        (TokenKind::String, length)
    } else if is_word(first) {
        let end = text.find(|next| !is_word(next)).unwrap_or(text.len());
        (TokenKind::Word, Some(end))
    } else if text.starts_with("::") {
        (TokenKind::Punctuation, Some(2))
    } else {
        (TokenKind::Punctuation, Some(first.len_utf8()))
    })
}

/// Whether a character can be part of a word.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::{Token, TokenKind, tokens};

    #[test]
    fn every_character_but_space_is_in_one_token() {
        let text = "a /* b */ ::c// d\n# e\r[f=\"g // h\"] é1 \"open\n/* 𝄞";
        let found: Vec<Token<'_>> = tokens(text).collect();
        let words: Vec<&str> = found.iter().map(|token| token.text).collect();
        assert_eq!(
            words,
            [
                "a",
                "/* b */",
                "::",
                "c",
                "// d",
                "# e",
                "[",
                "f",
                "=",
                "\"g // h\"",
                "]",
                "é1",
                "\"open",
                "/* 𝄞"
            ]
        );
        for token in &found {
            assert!(text[token.start..].starts_with(token.text));
            assert_eq!(token.is_open, token.text == "/* 𝄞", "{token:?}");
        }
        assert_eq!(found[1].kind, TokenKind::BlockComment);
        assert_eq!(found[4].kind, TokenKind::LineComment);
    }
}
