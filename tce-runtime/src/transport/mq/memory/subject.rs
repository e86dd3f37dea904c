//! Which subjects a topic's reader wants.

/// Whether a pattern takes a subject: words between dots, where `*` stands for
/// one word and `#` for any number of them, as in a topic exchange.
pub(super) fn matches(pattern: &str, subject: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.split('.').filter(|_| !text.is_empty());
        words.map(str::to_owned).collect()
    };
    take(&words(pattern), &words(subject))
}

fn take(pattern: &[String], subject: &[String]) -> bool {
    let Some((wanted, others)) = pattern.split_first() else {
        return subject.is_empty();
    };
    if wanted == "#" {
        return (0..=subject.len()).any(|taken| take(others, &subject[taken..]));
    }
    subject
        .split_first()
        .is_some_and(|(word, rest)| (wanted == "*" || wanted == word) && take(others, rest))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn words_stand_for_themselves_and_wildcards_for_others() {
        for (pattern, subject, expected) in [
            ("#", "", true),
            ("#", "a.b", true),
            ("*", "", false),
            ("*", "a", true),
            ("*", "a.b", false),
            ("a.*", "a.b", true),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("a.#.d", "a.b.c.d", true),
            ("a.#.d", "a.b.c", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }
}
