//! Rules about names: their case, names that look alike, keywords.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::{Findings, Level, Rule, Subject};
use crate::model::{Element, InterfaceId, Model};
use crate::symbols::Kind;
use crate::source::Span;

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

pub(super) const RULE: Rule = Rule {
    code: Code::TypeCase,
    level: Level::Warn,
    why: "Types begin with a capital in every language that code is generated for. A back end that has to change the case makes a second name, which nobody finds by searching for the first.",
    bad: include_str!("../examples/type_case.bad.idl"),
    good: include_str!("../examples/type_case.good.idl"),
    check: |subject, found| {
        case::check(
            Code::TypeCase,
            &case::UPPER_CAMEL,
            &[
                Kind::Struct,
                Kind::Sequence,
                Kind::Dictionary,
                Kind::Interface,
            ],
            subject,
            found,
        );
    },
};

pub(super) const RULE: Rule = Rule {
    code: Code::ModuleCase,
    level: Level::Warn,
    why: "A module becomes a module, package or namespace, and often a file. Where the file system knows no case, two spellings are one file.",
    bad: include_str!("../examples/module_case.bad.idl"),
    good: include_str!("../examples/module_case.good.idl"),
    check: |subject, found| {
        case::check(
            Code::ModuleCase,
            &case::LOWER,
            &[Kind::Module],
            subject,
            found,
        );
    },
};

pub(super) const RULE: Rule = Rule {
    code: Code::OperationCase,
    level: Level::Warn,
    why: "Both ways are common in TCE, so both are fine. A name that mixes them, or begins with a capital, reads as a type, and becomes yet another name in languages that spell operations in one way.",
    bad: include_str!("../examples/operation_case.bad.idl"),
    good: include_str!("../examples/operation_case.good.idl"),
    check: |subject, found| {
        case::check(
            Code::OperationCase,
            &case::CAMEL_OR_SNAKE,
            &[Kind::Operation],
            subject,
            found,
        );
    },
};

pub(super) const RULE: Rule = Rule {
    code: Code::MemberCase,
    level: Level::Warn,
    why: "As with operations, lowerCamelCase and snake_case are both fine, and mixing them in one name is not.",
    bad: include_str!("../examples/member_case.bad.idl"),
    good: include_str!("../examples/member_case.good.idl"),
    check: |subject, found| {
        case::check(
            Code::MemberCase,
            &case::CAMEL_OR_SNAKE,
            &[Kind::Member, Kind::Parameter],
            subject,
            found,
        );
    },
};

pub(super) const RULE: Rule = Rule {
    code: Code::SimilarNames,
    level: Level::Warn,
    why: "Languages spell names in their own case, and some tools know no case at all: such names \
          become one there, and one of them is given another that nobody expects. For an \
          interface, the operations of its bases count too.",
    bad: include_str!("../examples/similar_names.bad.idl"),
    good: include_str!("../examples/similar_names.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    let model = &subject.program.model;
    let mut scopes = Scopes {
        subject,
        found,
        reported: HashSet::new(),
    };
    for module in &model.modules {
        let elements = module.elements.iter();
        scopes.check(elements.map(|it| element(model, *it)));
    }
    for it in &model.structs {
        scopes.check(it.members.iter().map(|it| (it.name.as_str(), it.span)));
    }
    for (id, it) in (0..).map(InterfaceId).zip(&model.interfaces) {
        let mut lineage: Vec<InterfaceId> = model.lineage(id).collect();
        // What was there first is declared in the bases.
        lineage.reverse();
        let operations = lineage
            .into_iter()
            .flat_map(|id| &model.interface(id).operations);
        scopes.check(operations.map(|it| (it.name.as_str(), it.span)));
        for operation in &it.operations {
            let parameters = operation.parameters.iter();
            scopes.check(parameters.map(|it| (it.name.as_str(), it.span)));
        }
    }
}

fn element(model: &Model, element: Element) -> (&str, Span) {
    match element {
        Element::Struct(id) => (&model.struct_(id).name, model.struct_(id).span),
        Element::Sequence(id) => (&model.sequence(id).name, model.sequence(id).span),
        Element::Dictionary(id) => (&model.dictionary(id).name, model.dictionary(id).span),
        Element::Interface(id) => (&model.interface(id).name, model.interface(id).span),
    }
}

struct Scopes<'c, 'f> {
    subject: &'c Subject<'c>,
    found: &'c mut Findings<'f>,
    /// Operations of a base are in the scope of each interface that extends it.
    reported: HashSet<Span>,
}

impl Scopes<'_, '_> {
    /// Reports names of one scope that are alike.
    fn check<'a>(&mut self, names: impl Iterator<Item = (&'a str, Span)>) {
        let mut seen: HashMap<String, (&str, Span)> = HashMap::new();
        for (name, span) in names {
            let key = name.replace('_', "").to_ascii_lowercase();
            let Some((first, there)) = seen.get(&key) else {
                seen.insert(key, (name, span));
                continue;
            };
            if self.subject.is_given(span) && self.reported.insert(span) {
                let message = format!("`{name}` and `{first}` differ in case or underscores alone");
                let diagnostic = Diagnostic::new(Code::SimilarNames, message).at(span, "");
                let diagnostic = diagnostic.note(*there, format!("`{first}` is declared here"));
                self.found
                    .push(diagnostic.help("call one of them otherwise"));
            }
        }
    }
}

pub(super) const RULE: Rule = Rule {
    code: Code::KeywordName,
    level: Level::Warn,
    why: "Generated code can't use a keyword as it is: the name gets a mark or an underscore, \
          another one in each language, or the code does not compile where a legacy compiler \
          writes it. `languages` in the [lint] section of tce.toml says which languages count; \
          without it, all do.",
    bad: include_str!("../examples/keyword_name.bad.idl"),
    good: include_str!("../examples/keyword_name.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    for (kind, name) in subject.names() {
        let languages = subject.languages.iter();
        let titles: Vec<&str> = languages
            .filter(|language| language.has_keyword(&name.text))
            .map(|language| language.title())
            .collect();
        let places = match titles.as_slice() {
            [] => continue,
            [one] => (*one).to_owned(),
            [several @ .., last] => format!("{} and {last}", several.join(", ")),
        };
        let message = format!("{} `{}` is a keyword in {places}", kind.noun(), name.text);
        let diagnostic = Diagnostic::new(Code::KeywordName, message).at(name.span, "");
        found.push(diagnostic.help("call it otherwise: generated code has to"));
    }
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
