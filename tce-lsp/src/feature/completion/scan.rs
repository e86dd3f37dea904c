//! The words and signs of a text that is not finished.

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
