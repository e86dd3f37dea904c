//! How names are spelt.

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::Findings;
use crate::lint::subject::Subject;
use crate::names::Kind;

/// A way to spell names.
pub(super) struct Case {
    /// What it is called.
    pub(super) title: &'static str,
    pub(super) holds: fn(&str) -> bool,
    /// A name spelt this way.
    pub(super) spell: fn(&str) -> String,
}

pub(super) const UPPER_CAMEL: Case = Case {
    title: "UpperCamelCase",
    holds: |name| name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('_'),
    spell: |name| words(name).map(capitalized).collect(),
};

pub(super) const LOWER: Case = Case {
    title: "lower case",
    holds: |name| !name.contains(|c: char| c.is_ascii_uppercase()) && is_parted(name),
    spell: snake,
};

pub(super) const CAMEL_OR_SNAKE: Case = Case {
    title: "lowerCamelCase or snake_case",
    holds: |name| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && is_parted(name)
            && !(name.contains('_') && name.contains(|c: char| c.is_ascii_uppercase()))
    },
    spell: |name| {
        if name.trim_matches('_').contains('_') || !name.contains(|c: char| c.is_ascii_lowercase())
        {
            return snake(name);
        }
        let mut words = words(name);
        let first = words.next().unwrap_or_default();
        let start = first
            .find(|c: char| c.is_ascii_lowercase())
            .unwrap_or(first.len());
        // `HTTPPort` is `httpPort`: its last capital begins a word.
        let (head, tail) = first.split_at(start.saturating_sub(1).max(1).min(first.len()));
        head.to_ascii_lowercase() + tail
    },
};

/// Reports each name of `kinds` that is spelt otherwise.
pub(super) fn check(
    code: Code,
    case: &Case,
    kinds: &[Kind],
    subject: &Subject<'_>,
    found: &mut Findings<'_>,
) {
    for (kind, name) in subject.names() {
        if !kinds.contains(&kind) || (case.holds)(&name.text) {
            continue;
        }
        let message = format!("{} `{}` is not in {}", kind.noun(), name.text, case.title);
        let diagnostic = Diagnostic::new(code, message).at(name.span, "");
        let spelt = (case.spell)(&name.text);
        found.push(if (case.holds)(&spelt) {
            diagnostic.help(format!("call it `{spelt}`"))
        } else {
            diagnostic
        });
    }
}

/// Whether underscores stand between words alone, one each.
fn is_parted(name: &str) -> bool {
    !name.starts_with('_') && !name.ends_with('_') && !name.contains("__")
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').filter(|word| !word.is_empty())
}

/// `pet` and `PET` as `Pet`; `petList` as `PetList`.
fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    let is_shouted = word.len() > 1 && !word.contains(|c: char| c.is_ascii_lowercase());
    let rest = if is_shouted {
        rest.to_ascii_lowercase()
    } else {
        rest.to_owned()
    };
    first.to_ascii_uppercase() + &rest
}

/// `PetList` and `petList` as `pet_list`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for word in words(name) {
        let mut is_lower = false;
        if !snake.is_empty() {
            snake.push('_');
        }
        for c in word.chars() {
            if is_lower && c.is_ascii_uppercase() {
                snake.push('_');
            }
            is_lower = !c.is_ascii_uppercase();
            snake.push(c.to_ascii_lowercase());
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_their_case_wants_it() {
        let spelt = |case: &Case, name| (case.spell)(name);
        for (name, wanted) in [
            ("pet", "Pet"),
            ("pet_list", "PetList"),
            ("PET_LIST", "PetList"),
        ] {
            assert_eq!(spelt(&UPPER_CAMEL, name), wanted);
        }
        for (name, wanted) in [("PetShop", "pet_shop"), ("_a__b", "a_b"), ("ABC", "abc")] {
            assert_eq!(spelt(&LOWER, name), wanted);
        }
        for (name, wanted) in [
            ("OnMessage", "onMessage"),
            ("ID", "id"),
            ("MAX_SIZE", "max_size"),
            ("user_Name", "user_name"),
            ("HTTPPort", "httpPort"),
            ("X", "x"),
            ("_x", "x"),
        ] {
            assert_eq!(spelt(&CAMEL_OR_SNAKE, name), wanted);
        }
    }

    #[test]
    fn the_names_that_tce_uses_are_fine() {
        for name in ["ITerminal", "BaseServer", "Bytes", "X", "URL"] {
            assert!((UPPER_CAMEL.holds)(name), "{name}");
        }
        for name in ["onMessage", "user_id", "b", "x2", "i18n"] {
            assert!((CAMEL_OR_SNAKE.holds)(name), "{name}");
        }
    }
}
